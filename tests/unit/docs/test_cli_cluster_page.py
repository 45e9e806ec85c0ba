"""docs/cli-cluster.md shows what the commands print: rows, labels and exit codes of each example.

The sentences in them are the operator's and have tests of their own.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from savedmodel_operator.cli.__main__ import COMMANDS
from savedmodel_operator.cli.output import plain
from savedmodel_operator.cli.standing import stand
from savedmodel_operator.cli.status_view import show_history, show_many, show_one
from unit.cli.cluster_stories import paused, refused, seen

PAGE = (Path(__file__).resolve().parents[3] / "docs/cli-cluster.md").read_text()
EXAMPLE = re.compile(r"\$ savedmodel (.*?); echo \$\?\n(.*?)\n(\d+)\n(?=```|\$)", re.DOTALL)
EXAMPLES = {command: (shown, int(code)) for command, shown, code in EXAMPLE.findall(PAGE)}


def labels(text: str) -> list[str]:
    """The first word of each line that begins a row."""
    rows = [line for line in text.splitlines() if line.strip()]
    return [re.split(r"  +", row.strip())[0] for row in rows if not row.startswith(" " * 8)]


@pytest.mark.parametrize(
    ("command", "story"),
    [("status flowers -n shop", lambda: paused(20, 50)), ("status flowers -n garden", refused)],
)
def test_the_example_of_status(command, story):
    world = story()
    shown, code = EXAMPLES[command]
    rows = plain(show_one(seen(world), world.now, bars=False))
    assert labels(shown)[2:-1] == labels("\n".join(rows))[2:-1]
    assert code == stand(seen(world)).code


def test_the_examples_of_tables():
    world = refused()
    head = next(plain(show_many([seen(world), seen(paused(20, 50))])))
    row = next(plain(show_history(seen(world), world.now)))
    assert EXAMPLES["status -A"][0].splitlines()[0].split() == head.split()
    assert EXAMPLES["history flowers -n garden"][0].splitlines()[0].split() == row.split()


def test_every_command_is_on_the_page():
    for name, entry in COMMANDS.items():
        assert not entry.cluster or f"| `{name}" in PAGE, name
