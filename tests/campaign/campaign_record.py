"""Chooses cases by their ids and writes what became of them, one JSON line each, for `dev/campaign`.

Hooks of pytest, taken over by this folder's conftest. A line is written when its test has ended, so
that a run which is broken off leaves what it has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from campaign_case import SEEN, cases, row

_seconds: dict[str, float] = {}
_failures: dict[str, str] = {}
_skipped: dict[str, str] = {}
_ids: dict[str, list[str]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("campaign")
    group.addoption("--case", action="append", default=[], help="an id (A3) or a group (A)")
    group.addoption("--campaign-record", default="", help="the file that takes the lines")


def is_chosen(found: str, words: list[str]) -> bool:
    """Whether an id is asked for, by itself or by its group; nothing asked means all."""
    group = found.rstrip("0123456789")
    return not words or any(word.upper() in (found, group) for word in words)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not asked for; tell what there is."""
    words = config.getoption("--case", default=[])
    kept, dropped = [], []
    for item in items:
        found = cases(item)
        if words and not any(is_chosen(made.id, words) for made in found):
            dropped.append(item)
            continue
        kept.append(item)
        _ids[item.nodeid] = [made.id for made in found]
        for made in found:
            _write(config, {"kind": "case", "test": item.nodeid, **row(made)})
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    name = item.nodeid
    _seconds[name] = _seconds.get(name, 0.0) + report.duration
    if report.failed:
        _failures.setdefault(name, _words(report))
    elif report.skipped:
        _skipped[name] = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    if report.when == "teardown" and _ids.get(name):
        seen = [text for key, text in report.user_properties if key == SEEN]
        result = "failed" if name in _failures else "skipped" if name in _skipped else "passed"
        _write(
            item.config,
            {
                "kind": "test",
                "test": name,
                "ids": _ids[name],
                "result": result,
                "seconds": round(_seconds[name], 1),
                "seen": seen,
                "words": _failures.get(name) or _skipped.get(name) or "",
            },
        )
    return report


def _words(report: pytest.TestReport) -> str:
    """The first line of what went wrong."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash else report.longrepr or "")
    return text.strip().splitlines()[0] if text.strip() else f"{report.when} failed"


def _write(config: pytest.Config, line: dict[str, Any]) -> None:
    path = config.getoption("--campaign-record", default="")
    if path:
        with Path(path).open("a") as record:
            record.write(json.dumps(line, ensure_ascii=False) + "\n")
