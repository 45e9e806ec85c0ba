"""What makes a test a case of the campaign: its id, what is injected, what is expected, what was seen.

`case` marks the test, the fixture `seen` takes what it saw; `campaign_record` hands both to
`dev/campaign`, which makes the table. Must not know any case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import pytest

Where = Literal["cluster", "control plane", "simulation", "process"]
Test = TypeVar("Test", bound=Callable[..., Any])

SEEN = "seen"


@dataclass(frozen=True)
class Case:
    """One row of the table. `quick`: `dev/test` runs it, too."""

    id: str
    injection: str
    expected: str
    where: Where
    quick: bool = False


def case(
    id: str,  # noqa: A002 — what the table calls it
    injection: str,
    expected: str,
    where: Where,
    quick: bool = False,
) -> Callable[[Test], Test]:
    """Marks a test as (a part of) the case `id`. A test may carry several."""
    made = Case(id, injection, expected, where, quick)

    def mark(test: Test) -> Test:
        marked: Test = pytest.mark.campaign(made)(test)
        if quick:
            level = pytest.mark.cluster if where == "cluster" else pytest.mark.api
            marked = level(marked)
        return marked

    return mark


def cases(item: pytest.Item) -> list[Case]:
    """The cases of a test, in the order of its decorators."""
    return [mark.args[0] for mark in reversed(list(item.iter_markers("campaign")))]


def row(made: Case) -> dict[str, Any]:
    """What is written of a case."""
    return asdict(made)


class Seen:
    """What a case saw, in words and figures; it becomes a column of the table."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def say(self, text: str) -> None:
        """One sentence or half of one; may be called again."""
        self._properties.append((SEEN, text))
