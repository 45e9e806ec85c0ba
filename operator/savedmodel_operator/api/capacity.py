"""Which `spec.rollout.capacity` goes with which other fields: rules with their messages. Pure.

Part of `types`: `rollout` and `types` attach them. What the capacities mean is `plan.capacity`'s
matter. `has` is asked of every field, because the API server judges defaults before it fills them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from savedmodel_operator.api.scalars import Rule

Capacity = Annotated[
    Literal["Surge", "Replace", "Recreate"],
    Meta(
        description="Where the candidate's pods come from. Surge: on top of stable's. Replace: one "
        "pod of stable for one of the candidate, never more than serving.replicas in all; weights "
        "follow the pods, the steps' are the most. Recreate: stable stops, then the candidate "
        "starts; requests are answered 503 meanwhile."
    ),
]

ROLLOUT_RULES: tuple[Rule, ...] = (
    (
        "!has(self.capacity) || self.capacity != 'Recreate' || !has(self.steps) || "
        "size(self.steps) == 0",
        "capacity: Recreate stops stable before the candidate starts, so there is nothing to share "
        "in steps: leave steps out, or write capacity: Surge or Replace",
    ),
    (
        "!has(self.capacity) || self.capacity == 'Surge' || !has(self.mirror)",
        "mirror copies requests to pods that stand beside stable's, and capacity: Replace or "
        "Recreate has none to spare: leave mirror out, or write capacity: Surge",
    ),
)
_CAPACITY = "!has(self.rollout) || !has(self.rollout.capacity) || self.rollout.capacity"
_IN_PLACE = f"({_CAPACITY} == 'Surge')"

SPEC_RULES: tuple[Rule, ...] = (
    (
        f"({_CAPACITY} != 'Replace') || has(self.serving.autoscaling) || "
        "(has(self.serving.replicas) && self.serving.replicas != 1)",
        "rollout.capacity: Replace would leave no ready pod of one: set serving.replicas to 2 or "
        "more, or write capacity: Surge (one pod more meanwhile) or Recreate (downtime)",
    ),
    (
        f"{_IN_PLACE} || !has(self.serving.autoscaling)",
        "rollout.capacity: Replace and Recreate need a fixed number of pods: set serving.replicas "
        "instead of serving.autoscaling, or write capacity: Surge",
    ),
    (
        f"{_IN_PLACE} || !has(self.versions) || !has(self.versions.keep) || "
        "self.versions.keep == 0",
        "versions.keep runs former revisions beside stable, and rollout.capacity: Replace or "
        "Recreate leaves no room for them: set keep: 0, or write capacity: Surge",
    ),
    (
        f"({_CAPACITY} != 'Recreate') || !has(self.gate) || !has(self.gate.agreement)",
        "gate.agreement asks stable and candidate the same, and rollout.capacity: Recreate never "
        "runs both: leave agreement out, or write capacity: Surge or Replace",
    ),
)
