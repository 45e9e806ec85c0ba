"""docs/SECURITY.md: every threat has a defence and a test, and every test named there exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/SECURITY.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.partition("\n## Threats\n")[2].splitlines()
    if line.startswith("| ")
][1:]
NAMED = re.findall(r"`(tests/[^`]*)`", PAGE)


def test_every_threat_has_a_defence_and_a_test():
    assert len(ROWS) >= 20
    for row in ROWS:
        assert len(row) == 3, row
        assert row[1], row
        assert "`tests/" in row[2], row


@pytest.mark.parametrize("named", sorted(set(NAMED)))
def test_every_test_that_is_named_exists(named):
    file, _, test = named.partition("::")
    text = (ROOT / file).read_text()
    assert re.search(rf"^(async )?def {re.escape(test)}\(", text, re.MULTILINE)


def test_every_page_that_is_named_exists():
    pages = re.findall(r"\]\(([^):]+)\)", PAGE)
    assert pages
    for page in pages:
        assert (ROOT / "docs" / page).is_file(), page
