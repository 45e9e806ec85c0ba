"""A Prometheus of the simulated world: what it answers, when it is silent, and who asks it when.

Bodies are as the real server writes them and are read by the operator's own reader. A round comes
once per interval of a step, the first one an interval after its weight, as `observe.queries` has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from savedmodel_operator.analysis.answer import read
from savedmodel_operator.analysis.queries import Answer
from savedmodel_operator.plan.snapshot import QueriesView

if TYPE_CHECKING:
    from simulation.sim_world import World

Key = tuple[str, str, int]
SILENT = Answer(trouble="prometheus:9090 cannot be reached")


@dataclass
class Prometheus:
    """`values`: version → what every query about it gives; a text is written as it is."""

    world: World
    values: dict[int, float | str] = field(default_factory=dict)
    up: bool = True
    interval: float = 5.0
    key: Key | None = None
    asked_at: float = 0.0
    answers: dict[str, Answer] = field(default_factory=dict)
    turn: int = 0

    def view(self, key: Key | None, spec: Mapping[str, Any]) -> QueriesView | None:
        """The latest round of this step."""
        if key != self.key:
            self.forget()
            self.key = key
            if key is not None:
                self.world.after(self.interval, self.interval, self._round(self.turn, spec))
        if key is None or not self.asked_at:
            return None
        return QueriesView(*key, self.asked_at, dict(self.answers))

    def forget(self) -> None:
        """The operator's process is gone, or the step is another."""
        self.key, self.asked_at, self.answers = None, 0.0, {}
        self.turn += 1

    def _round(self, turn: int, spec: Mapping[str, Any]) -> Callable[[], None]:
        def ask() -> None:
            if turn != self.turn or self.key is None or self.world.down:
                return
            number = int(self.key[0].split("-v")[1].split("-")[0])
            self.answers = {q["name"]: self._answer(number) for q in spec.get("queries", ())}
            self.asked_at = self.world.now
            self.world.wake(0.01)
            self.world.after(self.interval, self.interval, ask)

        return ask

    def _answer(self, number: int) -> Answer:
        if not self.up:
            return SILENT
        value = self.values.get(number)
        series = [] if value is None else [{"metric": {}, "value": [self.world.now, f"{value}"]}]
        data = {"resultType": "vector", "result": series}
        return read(200, json.dumps({"status": "success", "data": data}).encode())
