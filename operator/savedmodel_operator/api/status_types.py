"""The types of `status`: source of the status part of the CRD's schema. Pure.

`plan.memory` and `status` write plain mappings with exactly these names; the API server prunes
what is not declared here, so a test compares the two. Strings stay open (no enums): an operator
newer than the CRD must be able to write its status. Lists are bounded, because etcd is.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from savedmodel_operator.api.scalars import Base

KEPT = 10
"""Entries of `versions`, `rejected` and `history` each; a full status stays below 32 KiB."""

# Times come from the API server's clock with fractions of a second. They carry no `format`:
# date-time, because a server would refuse the whole status for one unusual but legal spelling.
Time = Annotated[str, Meta(max_length=64, description="RFC 3339.")]
Number = Annotated[int, Meta(ge=0, description="Number of the version's directory.")]
Fingerprint = Annotated[
    str, Meta(max_length=128, description="SHA-256 over names, sizes and checksums of its objects.")
]
Revision = Annotated[
    str, Meta(max_length=63, description="Name of the revision: NAME-v<number>-<hash>.")
]
Message = Annotated[str, Meta(max_length=32768, description="One sentence for people.")]
Reason = Annotated[str, Meta(max_length=128, description="Why, as one word; see docs/reasons.md.")]


class StableStatus(Base, frozen=True, kw_only=True):
    """The revision that holds the traffic."""

    number: Number
    fingerprint: Fingerprint
    revision: Revision
    since: Annotated[Time, Meta(description="When it became stable (RFC 3339).")] | None = None
    weight: Annotated[int, Meta(description="Percent of the requests.")] | None = None
    ready_replicas: Annotated[int, Meta(description="Pods that are ready.")] | None = None
    service: (
        Annotated[str, Meta(max_length=63, description="Service of this revision alone.")] | None
    ) = None


class MetricStatus(Base, frozen=True, kw_only=True):
    """One limit of the analysis: how often it was looked at."""

    metric: Annotated[str, Meta(max_length=64, description="Name of the limit.")]
    looks: Annotated[int, Meta(description="Looks that could have condemned the candidate.")]
    stage: Annotated[
        int,
        Meta(description="How often the requests had grown by a quarter at the latest; -1: none."),
    ]


class AnalysisStatus(Base, frozen=True, kw_only=True):
    """What the analysis has spent of the doubt that a rollout has; kept over restarts."""

    window: Annotated[
        Time,
        Meta(
            description="From when requests are counted; with queries, when the latest broken "
            "look was taken (RFC 3339)."
        ),
    ]
    broken_looks: Annotated[int, Meta(description="Looks that found a limit broken.")]
    metrics: Annotated[
        tuple[MetricStatus, ...], Meta(max_length=16, description="The limits looked at.")
    ] = ()


class CandidateStatus(StableStatus, frozen=True, kw_only=True):
    """The revision being tried."""

    since: Annotated[Time, Meta(description="When it became the candidate (RFC 3339).")] | None = (
        None
    )
    step: (
        Annotated[
            int,
            Meta(
                description="Index into spec.rollout.steps; one past the last is the implied "
                "100 %, -1 spec.rollout.mirror."
            ),
        ]
        | None
    ) = None
    step_since: (
        Annotated[
            Time, Meta(description="When every router was seen with this step's weight (RFC 3339).")
        ]
        | None
    ) = None
    progress_since: (
        Annotated[Time, Meta(description="From when spec.rollout.deadline counts (RFC 3339).")]
        | None
    ) = None
    mirror: (
        Annotated[int, Meta(description="Percent of requests that every router copies to it.")]
        | None
    ) = None
    paused: Annotated[bool, Meta(description="A person holds it by the verb pause.")] | None = None
    returning: (
        Annotated[bool, Meta(description="It was stable before and comes back without steps.")]
        | None
    ) = None
    suspended: Annotated[bool, Meta(description="It is held by spec.suspend.")] | None = None
    full: Annotated[bool, Meta(description="A person skipped the remaining steps.")] | None = None
    live_checked: (
        Annotated[bool, Meta(description="The gate's checks on the running pod are done.")] | None
    ) = None
    served: (
        Annotated[bool, Meta(description="Clients had answers of it, now or before.")] | None
    ) = None
    base_replicas: (
        Annotated[
            int,
            Meta(
                description="Pods that carry all requests, where an autoscaler says how many: "
                "stable's when the rollout began, more where load rose since."
            ),
        ]
        | None
    ) = None
    analysis: AnalysisStatus | None = None


class VersionStatus(Base, frozen=True, kw_only=True):
    """A version in the bucket, as last seen."""

    number: Number
    fingerprint: Fingerprint | None = None
    bytes: Annotated[int, Meta(description="Bytes of all its objects.")] | None = None
    verdict: (
        Annotated[str, Meta(max_length=64, description="What the operator makes of it.")] | None
    ) = None
    reason: Reason | None = None
    message: Message | None = None


class RejectedStatus(Base, frozen=True, kw_only=True):
    """A version that is not tried again until it changes or a person says retry."""

    number: Number
    fingerprint: Fingerprint
    revision: Revision
    gate: (
        Annotated[str, Meta(max_length=128, description="Hash of the gate that refused it.")] | None
    ) = None
    kind: (
        Annotated[str, Meta(max_length=64, description="Rejected (by the gate) or RolledBack.")]
        | None
    ) = None
    reason: Reason | None = None
    message: Message | None = None
    at: Annotated[Time, Meta(description="When (RFC 3339).")] | None = None


class HistoryStatus(Base, frozen=True, kw_only=True):
    """How an earlier stable or candidate ended."""

    number: Number
    fingerprint: Fingerprint
    revision: Revision
    outcome: Annotated[str, Meta(max_length=64, description="How it ended.")] | None = None
    reason: Reason | None = None
    message: Message | None = None
    at: Annotated[Time, Meta(description="When (RFC 3339).")] | None = None


class Condition(Base, frozen=True, kw_only=True):
    """A condition as Kubernetes defines it."""

    type: Annotated[
        str, Meta(min_length=1, max_length=316, description="Ready, Reconciling, Stalled, …")
    ]
    status: Annotated[str, Meta(max_length=16, description="True, False or Unknown.")]
    observed_generation: (
        Annotated[int, Meta(description="metadata.generation that it is about.")] | None
    ) = None
    last_transition_time: Annotated[Time, Meta(description="When status changed (RFC 3339).")]
    reason: Reason
    message: Message


class Status(Base, frozen=True, kw_only=True):
    """What the operator found and did; written by the operator alone."""

    observed_generation: (
        Annotated[
            int,
            Meta(description="The metadata.generation that this status is about; -1: none yet."),
        ]
        | None
    ) = None
    phase: (
        Annotated[
            str,
            Meta(
                max_length=64,
                description="Pending, Serving, Verifying, Progressing, Paused, RollingBack or Blocked.",
            ),
        ]
        | None
    ) = None
    message: Annotated[Message, Meta(description="What is going on, in one sentence.")] | None = (
        None
    )
    next: Annotated[Message, Meta(description="What happens next, in one sentence.")] | None = None
    stable: StableStatus | None = None
    candidate: CandidateStatus | None = None
    versions: Annotated[
        tuple[VersionStatus, ...], Meta(max_length=KEPT, description="The newest in the bucket.")
    ] = ()
    rejected: Annotated[
        tuple[RejectedStatus, ...],
        Meta(max_length=KEPT, description="Refused or rolled back, newest first."),
    ] = ()
    history: Annotated[
        tuple[HistoryStatus, ...],
        Meta(max_length=KEPT, description="How earlier rollouts ended, newest first."),
    ] = ()
    high_water_mark: (
        Annotated[
            int,
            Meta(
                description="Greatest number dropped from rejected; up to it a version needs retry."
            ),
        ]
        | None
    ) = None
    url: (
        Annotated[
            str,
            Meta(max_length=1024, description="Where clients inside the cluster reach the model."),
        ]
        | None
    ) = None
    replicas: Annotated[int, Meta(description="Pods of the stable revision, for scale.")] | None = (
        None
    )
    selector: (
        Annotated[
            str, Meta(max_length=1024, description="Label selector of these pods, for scale.")
        ]
        | None
    ) = None
    last_handled_action: (
        Annotated[
            str, Meta(max_length=1024, description="The savedmodel.dev/action last looked at.")
        ]
        | None
    ) = None
    conditions: Annotated[
        tuple[Condition, ...], Meta(max_length=16, description="Kubernetes conditions.")
    ] = ()
