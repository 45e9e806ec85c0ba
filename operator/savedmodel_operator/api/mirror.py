"""`spec.rollout.mirror`: copies of requests to the candidate before the first weight. Pure.

Part of `types`; every bound and rule of these fields stands here.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from savedmodel_operator.api.scalars import Base, Duration, cel

MIRROR_STEP = -1
"""The step before the first one, as `status.candidate.step`."""

MIRROR_WORD = "mirror"
"""What stands for it where a verb names a step."""


class Mirror(Base, frozen=True):
    """Before the first weight the candidate gets copies of clients' requests, whose answers nobody
    gets.

    The model is asked twice then: mind what that costs, and what an op of it may change elsewhere.
    """

    percent: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Share of the predictions without a version that are copied. The candidate "
            "gets as many pods as for this weight.",
        ),
    ]
    hold: Annotated[
        Duration,
        Meta(
            description="How long, once every router copies; the analysis counts meanwhile.",
            extra_json_schema=cel(
                (
                    "duration(self) >= duration('1s') && duration(self) <= duration('168h')",
                    "must be between 1s and 168h",
                )
            ),
        ),
    ]


def name_step(step: int) -> str:
    """For sentences.

    >>> name_step(-1), name_step(2)
    ('the mirror step', 'step 2')
    """
    return "the mirror step" if step == MIRROR_STEP else f"step {step}"
