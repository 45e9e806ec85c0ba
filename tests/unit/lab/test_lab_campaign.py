"""The campaign's table says what the data say, and every listed fault has a case or a reason."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import click
import pytest

from lab.campaign import HEAD, ROOT, choose
from lab.campaign_list import GROUPS, LEFT, LISTED, NOT_HERE, order
from lab.campaign_table import NOT_RUN, Row, dump, judge, load, page, read_record, renewed

CASES = ROOT / "tests" / "campaign"


def decorated() -> list[str]:
    """The ids in the @case decorators of the tests, without importing them."""
    found = []
    for file in sorted(CASES.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "case":
                assert isinstance(node.args[0], ast.Constant), f"{file.name}: the id is a literal"
                found.append(str(node.args[0].value))
    return found


def test_every_listed_fault_is_a_case_or_says_why_not() -> None:
    missing = set(LISTED) - set(decorated()) - set(NOT_HERE)
    assert missing <= LEFT, sorted(missing - LEFT, key=order)
    assert not set(decorated()) & set(NOT_HERE), "a case that is there needs no excuse"


def test_every_id_belongs_to_the_list_or_to_the_open_groups() -> None:
    for found in decorated():
        group, _ = order(found)
        assert group in GROUPS
        assert found in LISTED or group in ("H", "I", "S"), found


def _record(*entries: dict[str, object]) -> list[str]:
    return [json.dumps(entry) for entry in entries]


def _case(found: str, injection: str = "503", where: str = "cluster") -> dict[str, object]:
    text = {"injection": injection, "expected": "goes on", "where": where}
    return {"kind": "case", "test": "t", "id": found, **text, "quick": False}


def _test(ids: list[str], result: str, *seen: str, words: str = "") -> dict[str, object]:
    return {
        "kind": "test",
        "test": "t",
        "ids": ids,
        "result": result,
        "seconds": 2.0,
        "seen": list(seen),
        "words": words,
    }


def test_the_worst_test_of_a_case_counts_and_what_all_saw_is_told() -> None:
    known, ended = read_record(
        _record(
            _case("A3"),
            _case("A3", where="simulation"),
            _test(["A3"], "passed", "0 failed"),
            _test(["A3"], "failed", "2 failed", words="assert 2 == 0"),
        )
    )
    row = judge(known["A3"], ended["A3"], "abc", "2026-01-02")
    assert (row.result, row.seconds, row.where) == ("failed", 4.0, "cluster; simulation")
    assert row.seen == ("0 failed", "2 failed")
    assert row.words == "assert 2 == 0"


def test_one_test_may_carry_two_cases() -> None:
    _, ended = read_record(_record(_case("A3"), _case("A4"), _test(["A3", "A4"], "passed")))
    assert set(ended) == {"A3", "A4"}


def test_a_run_of_some_cases_keeps_the_other_results(tmp_path: Path) -> None:
    known = {found: Row(found, "i", "e", "cluster") for found in ("A10", "A9", "B1")}
    old = {
        "A9": Row("A9", "i", "e", "cluster", "passed", ("one",), seconds=60.0, commit="abc"),
        "Z9": Row("Z9", "gone", "e", "cluster", "passed"),
    }
    new = {"B1": Row("B1", "i", "e", "cluster", "failed", words="no")}
    rows = renewed(old, known, new)
    assert [(row.id, row.result) for row in rows] == [
        ("A9", "passed"),
        ("A10", NOT_RUN),
        ("B1", "failed"),
    ]
    path = tmp_path / "results.json"
    path.write_text(dump(rows))
    assert list(load(path).values()) == rows
    assert load(tmp_path / "none.json") == {}


def test_the_page_counts_what_it_shows_and_bars_break_no_row() -> None:
    rows = [
        Row(
            "A3", "a|b", "goes on", "cluster", "passed", ("x", "y\nz"), "", 30.0, "abc", "2026-1-2"
        ),
        Row("A4", "i", "e", "process", "failed", (), "assert 2 == 0", 30.0, "abc", "2026-1-2"),
        Row("B1", "i", "e", "simulation"),
    ]
    text = page(rows, "# Head\n")
    assert "**1 of 3 cases passed, 1 failed, 1 not run.** 1 minutes of test time" in text
    assert "; run 2026-1-2 at commit abc." in text
    assert "| A3 | cluster | a\\|b | goes on | x; y z | passed, 30 s |" in text
    assert "| A4 | process | i | e | – | failed, 30 s: assert 2 == 0 |" in text
    assert "| B1 | simulation | i | e | – | not run |" in text
    for found in NOT_HERE:
        assert f"| {found} | {NOT_HERE[found]} |" in text


def test_ids_and_groups_choose() -> None:
    known = ["A1", "A12", "B1", "H1"]
    assert choose(known, []) == known
    assert choose(known, ["a", "H1"]) == ["A1", "A12", "H1"]
    with pytest.raises(click.UsageError, match="no case B9"):
        choose(known, ["B9"])
    with pytest.raises(click.UsageError, match="has no case"):
        choose(known, [next(iter(NOT_HERE))])


def test_the_introduction_says_where_cases_run() -> None:
    for where in ("cluster", "control plane", "simulation", "process"):
        assert f"**{where}**" in HEAD.read_text()
