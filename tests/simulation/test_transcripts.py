"""The named stories as pages in docs/transcripts: what a person would see is what is written there.

`SAVEDMODEL_REGENERATE=1 dev/test --fast tests/simulation/test_transcripts.py` writes them anew; read
what changed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from simulation.sim_transcript import page

PAGES = Path(__file__).parents[2] / "docs" / "transcripts"

TOLD = (
    *("first_revision", "promotion", "serving_change", "newer_mid_rollout"),
    *("refusal", "golden_failure", "golden_error", "never_ready", "crash_loop", "pods_lost"),
    *("late_pod_fails", "server_errors", "slow_answers", "healthy_version", "no_requests"),
    *("abort", "abort_and_retry", "paused_step", "paused_by_hand", "suspended"),
    *("pinned_back", "pinned_refused", "kept_way_back", "stuck_router", "drift"),
    *("status_lost_after_rollback", "stable_loses_pods"),
    *("replace_four", "recreate", "recreate_wrong_answers"),
)


@pytest.mark.parametrize("name", TOLD)
def test_the_page_tells_what_happens(name: str) -> None:
    path, found = PAGES / f"{name.replace('_', '-')}.md", page(name)
    if os.environ.get("SAVEDMODEL_REGENERATE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert path.read_text() == found, "it goes otherwise now: regenerate, and read what changed"


def test_there_is_a_page_for_each_and_no_other() -> None:
    there = {path.stem.replace("-", "_") for path in PAGES.glob("*.md")} - {"README"}
    assert there == set(TOLD)
    index = (PAGES / "README.md").read_text()
    assert all(f"({name.replace('_', '-')}.md)" in index for name in TOLD)
