"""What became of the cases, kept as data and shown as a page: case → injection → expected → seen.

`lab.campaign` runs them and calls this. A case that never ran stands there as "not run": the page
must not look better than the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.campaign_list import GROUPS, LEFT, NOT_HERE, order

NOT_RUN = "not run"
#: The worst comes first: what one test of a case says holds for the case.
RESULTS = ("failed", "skipped", "passed")


@dataclass(frozen=True)
class Row:
    """A case with what was last seen of it. `words`: why it failed or was left out."""

    id: str
    injection: str
    expected: str
    where: str
    result: str = NOT_RUN
    seen: tuple[str, ...] = ()
    words: str = ""
    seconds: float = 0.0
    commit: str = ""
    date: str = ""


def read_record(lines: Iterable[str]) -> tuple[dict[str, Row], dict[str, list[dict[str, Any]]]]:
    """(cases that there are, what became of the tests of each) from the lines of one run."""
    known: dict[str, Row] = {}
    ended: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        entry = json.loads(line)
        if entry["kind"] == "case":
            row = Row(entry["id"], entry["injection"], entry["expected"], entry["where"])
            known[row.id] = _joined(known[row.id], row) if row.id in known else row
        else:
            for found in entry["ids"]:
                ended.setdefault(found, []).append(entry)
    return known, ended


def _joined(one: Row, other: Row) -> Row:
    """A case of several tests: each text once."""

    def both(first: str, second: str) -> str:
        return "; ".join(dict.fromkeys((first, second)))

    return Row(
        one.id,
        both(one.injection, other.injection),
        both(one.expected, other.expected),
        both(one.where, other.where),
    )


def judge(row: Row, tests: Sequence[Mapping[str, Any]], commit: str, date: str) -> Row:
    """The row with what its tests say; the worst result counts."""
    worst = min((test["result"] for test in tests), key=RESULTS.index)
    return Row(
        row.id,
        row.injection,
        row.expected,
        row.where,
        worst,
        tuple(dict.fromkeys(text for test in tests for text in test["seen"])),
        "; ".join(dict.fromkeys(test["words"] for test in tests if test["words"])),
        round(sum(test["seconds"] for test in tests), 1),
        commit,
        date,
    )


def renewed(old: Mapping[str, Row], known: Mapping[str, Row], new: Mapping[str, Row]) -> list[Row]:
    """All cases that there are now: the new result, else the old one, else "not run"."""
    rows = [new.get(found) or old.get(found) or row for found, row in known.items()]
    return sorted(rows, key=lambda row: order(row.id))


def load(path: Path) -> dict[str, Row]:
    """The results kept in a file; none where there is none."""
    if not path.exists():
        return {}
    entries = json.loads(path.read_text())
    return {e["id"]: Row(**{**e, "seen": tuple(e["seen"])}) for e in entries}


def dump(rows: Sequence[Row]) -> str:
    """The file's text."""
    return json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n"


def page(rows: Sequence[Row], head: str) -> str:
    """docs/reliability.md: the introduction, a table for each group, what has no case."""
    lines = [head.rstrip(), "", _sum(rows), ""]
    for group, title in GROUPS.items():
        chosen = [row for row in rows if order(row.id)[0] == group]
        if chosen:
            lines += [f"## {group}. {title[0].upper()}{title[1:]}", ""]
            lines += ["| Case | Where | Injection | Expected | Seen | Result |"]
            lines += ["| --- | --- | --- | --- | --- | --- |", *map(_line, chosen), ""]
    lines += ["## Without a case", "", "| Fault | Why |", "| --- | --- |"]
    left = LEFT - {row.id for row in rows}
    without = {**NOT_HERE, **dict.fromkeys(left, "its case is not written yet")}
    lines += [f"| {found} | {why} |" for found, why in sorted(without.items(), key=_by_id)]
    return "\n".join(lines) + "\n"


def _by_id(item: tuple[str, str]) -> tuple[str, int]:
    return order(item[0])


def _sum(rows: Sequence[Row]) -> str:
    counts = {name: sum(row.result == name for row in rows) for name in (*RESULTS, NOT_RUN)}
    told = [f"{counts['passed']} of {len(rows)} cases passed"]
    told += [f"{counts[name]} {name}" for name in ("failed", "skipped", NOT_RUN) if counts[name]]
    minutes = sum(row.seconds for row in rows) / 60
    return f"**{', '.join(told)}.** {minutes:.0f} minutes of test time; {_when(rows)}."


def _when(rows: Sequence[Row]) -> str:
    """On which days, at how many commits; which row at which stands in the results alone."""
    days = sorted({row.date for row in rows if row.date})
    if not days:
        return "never run"
    commits = sorted({row.commit for row in rows if row.date})
    at = f"commit {commits[0]}" if len(commits) == 1 else f"{len(commits)} commits"
    return f"run {' to '.join(dict.fromkeys((days[0], days[-1])))} at {at}"


def _line(row: Row) -> str:
    result = row.result if row.result == NOT_RUN else f"{row.result}, {row.seconds:.0f} s"
    if row.words and row.result != "passed":
        result += f": {row.words}"
    seen = "; ".join(row.seen) or "–"
    cells = (row.id, row.where, row.injection, row.expected, seen, result)
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
