"""What the gate tries on a running candidate, and the budgets it must keep. Pure.

Part of the types of `savedmodel.dev/v1alpha1`; `types` is the door.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from savedmodel_operator.api.scalars import (
    INT64_MAX,
    Base,
    Duration,
    Key,
    Name,
    Quantity,
    cel,
)

DECIMAL_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,12})?(e-?[0-9]{1,2})?$"
Decimal = Annotated[str, Meta(pattern=DECIMAL_PATTERN, min_length=1, max_length=32)]
TensorName = Annotated[str, Meta(min_length=1, max_length=256)]
RequestName = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class ConfigMapFile(Base, frozen=True):
    """One file of a ConfigMap in the same namespace."""

    name: Name
    key: Key


class Closeness(Base, frozen=True):
    """How far a number may be from the expected one: absolute + relative × |expected|."""

    # Not "1e-5": PyYAML writes that without quotes, and Kubernetes would read a number.
    absolute: Decimal = "0.00001"
    relative: Decimal = "0.0001"


class Tolerance(Closeness, frozen=True):
    """How far floating-point numbers may be from the expected: absolute + relative × |expected|.

    Everything else (integers, booleans, strings, shapes) is compared exactly.
    """

    outputs: Annotated[
        dict[TensorName, Closeness],
        Meta(max_length=32, description="Tolerances of single outputs, by name of the output."),
    ] = field(default_factory=dict)


class GoldenRequest(Base, frozen=True):
    """A request that every candidate pod gets before clients, and the answer it has to give."""

    name: RequestName
    config_map: Annotated[
        ConfigMapFile,
        Meta(
            description="Where the file is: JSON {request: …, response: …} in TensorFlow Serving's "
            "REST form, or an npz with the arrays in:NAME and out:NAME in binaryData. Without a "
            "response it warms up and serves gate.agreement."
        ),
    ]
    signature: TensorName = "serving_default"
    tolerance: Tolerance = Tolerance()


class Agreement(Base, frozen=True):
    """The candidate's answers against stable's on the same golden requests."""

    max_difference: Annotated[
        Decimal,
        Meta(description="The most that two numbers may differ; strings and booleans not at all."),
    ]
    requests: Annotated[
        tuple[RequestName, ...],
        Meta(max_length=16, description="Names in gate.requests; left out: all of them."),
    ] = ()


class Budgets(Base, frozen=True):
    """The most that a version may take. What is left out is not limited."""

    bytes: (
        Annotated[
            Quantity,
            Meta(
                description="Bytes of all objects of a version, for example 20Gi.",
                extra_json_schema=cel(
                    (
                        "type(self) == int ? self > 0 : "
                        "(isQuantity(self) && quantity(self).isGreaterThan(quantity('0')))",
                        "must be a number of bytes such as 500Mi or 20Gi",
                    )
                ),
            ),
        ]
        | None
    ) = None
    objects: (
        Annotated[int, Meta(ge=1, le=INT64_MAX, description="Objects of a version.")] | None
    ) = None
    load_time: (
        Annotated[
            Duration,
            Meta(
                description="From the start of a candidate's container until its pod is ready, as "
                "the kubelet reports it (whole seconds; the probe looks every 2 s).",
                extra_json_schema=cel(
                    (
                        "duration(self) >= duration('1s') && duration(self) <= duration('168h')",
                        "must be between 1s and 168h",
                    )
                ),
            ),
        ]
        | None
    ) = None
    first_request: (
        Annotated[
            Duration,
            Meta(
                description="Until a candidate pod has answered the first golden request.",
                extra_json_schema=cel(
                    (
                        "duration(self) >= duration('1ms') && duration(self) <= duration('5m')",
                        "must be between 1ms and 5m",
                    )
                ),
            ),
        ]
        | None
    ) = None


GATE_RULES = (
    (
        "!has(self.agreement) || (has(self.requests) && size(self.requests) > 0)",
        "agreement compares answers to the golden requests: set requests",
    ),
    (
        "!has(self.agreement) || !has(self.agreement.requests) || !has(self.requests) || "
        "self.agreement.requests.all(n, self.requests.exists(r, r.name == n))",
        "agreement.requests must hold names of requests",
    ),
    (
        "!has(self.budgets) || !has(self.budgets.firstRequest) || "
        "(has(self.requests) && size(self.requests) > 0)",
        "budgets.firstRequest is the time of the first golden request: set requests",
    ),
)
