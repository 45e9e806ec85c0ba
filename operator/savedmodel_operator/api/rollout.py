"""`spec.rollout`: how traffic moves to a new revision.

Part of `types`; every bound, pattern, rule and default of these fields stands here.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from savedmodel_operator.api import analysis as analyses
from savedmodel_operator.api import capacity as capacities
from savedmodel_operator.api.analysis import Analysis
from savedmodel_operator.api.capacity import Capacity
from savedmodel_operator.api.mirror import Mirror
from savedmodel_operator.api.scalars import Base, Duration, cel


class Step(Base, frozen=True):
    """One step of a rollout."""

    weight: Annotated[int, Meta(ge=1, le=99, description="Percent of requests for the candidate.")]
    hold: Annotated[
        Duration,
        Meta(
            description="How long the step lasts once every router carries its weight.",
            extra_json_schema=cel(
                (
                    "duration(self) <= duration('168h')",
                    "must be at most 168h; use pause: true to wait for a person",
                )
            ),
        ),
    ] = "0s"
    pause: Annotated[bool, Meta(description="Wait here, after the hold, for the verb promote.")] = (
        False
    )


class Rollout(Base, frozen=True):
    """How traffic moves to a new revision."""

    RULES = (*analyses.ROLLOUT_RULES, *capacities.ROLLOUT_RULES)

    steps: Annotated[
        tuple[Step, ...],
        Meta(
            max_length=20,
            description="Weights of the candidate in order; 100 is implied at the end.",
            extra_json_schema=cel(
                (
                    "self.map(s, s.weight).isSorted() && "
                    "self.all(s, self.exists_one(t, t.weight == s.weight))",
                    "weights must rise from step to step; 100 is implied after the last one",
                )
            ),
        ),
    ] = ()
    mirror: Mirror | None = None
    analysis: Analysis | None = None
    capacity: Capacity = "Surge"
    deadline: Annotated[
        Duration,
        Meta(
            description="Longest time without progress; holds and pauses do not count.",
            extra_json_schema=cel(
                (
                    "duration(self) >= duration('10s') && duration(self) <= duration('168h')",
                    "must be between 10s and 168h",
                )
            ),
        ),
    ] = "30m"
    scale_down_delay: Annotated[
        Duration,
        Meta(
            description="How long the former stable revision stays after it lost its traffic.",
            extra_json_schema=cel(("duration(self) <= duration('168h')", "must be at most 168h")),
        ),
    ] = "30s"
