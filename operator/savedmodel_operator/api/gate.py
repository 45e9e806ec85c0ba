"""`spec.gate`: what is asked of a version before the first client request.

Part of `types`; every bound, pattern, rule and default of these fields stands here. `golden` has
the parts that need a running server.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from savedmodel_operator.api.golden import GATE_RULES, Agreement, Budgets, GoldenRequest
from savedmodel_operator.api.scalars import INT64_MAX, Base

DTYPES = (
    "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool", "string", "complex64", "complex128",
)  # fmt: skip


class TensorContract(Base, frozen=True):
    """What a tensor of a signature must be."""

    dtype: Annotated[
        Literal[
            "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64",
            "uint8", "uint16", "uint32", "uint64", "bool", "string", "complex64", "complex128",
        ],
        Meta(description="The element type, by TensorFlow's Python name."),
    ]  # fmt: skip
    shape: (
        Annotated[
            tuple[Annotated[int, Meta(ge=-1, le=INT64_MAX)], ...],
            Meta(max_length=16, description="Dimensions, -1 for any size; left out: any shape."),
        ]
        | None
    ) = None


TensorName = Annotated[str, Meta(min_length=1, max_length=256)]


class SignatureContract(Base, frozen=True):
    """A signature that every version must offer."""

    name: TensorName
    method: Literal["Predict", "Classify", "Regress"] = "Predict"
    inputs: Annotated[dict[TensorName, TensorContract], Meta(max_length=64)] = field(
        default_factory=dict
    )
    outputs: Annotated[dict[TensorName, TensorContract], Meta(max_length=64)] = field(
        default_factory=dict
    )


Client = Literal["RESTRow", "RESTColumn", "GRPC"]


class Compatibility(Base, frozen=True):
    """What old clients must still be able to do with the new version."""

    mode: Annotated[
        Literal["None", "Backward", "Exact"],
        Meta(
            description="Backward: calls that work on the stable version go on working; "
            "Exact: the signatures are the same; None: not compared."
        ),
    ] = "Backward"
    clients: Annotated[
        tuple[Client, ...],
        Meta(
            min_length=1,
            max_length=3,
            description="Kinds of client to protect: REST with instances, REST with inputs, gRPC.",
        ),
    ] = ("RESTRow", "RESTColumn", "GRPC")


class Ops(Base, frozen=True):
    """What the graph may contain."""

    python: Annotated[
        Literal["Forbid", "Allow"],
        Meta(
            description="Ops that need a Python interpreter load in TF Serving but fail every request."
        ),
    ] = "Forbid"
    custom: Annotated[
        tuple[
            Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.>/-]*$", max_length=128)],
            ...,
        ],
        Meta(
            max_length=64,
            description="Ops that the serving image has beside those of TensorFlow Serving.",
        ),
    ] = ()
    serving_version: (
        Annotated[
            Literal["2.16", "2.17", "2.18", "2.19", "2.20", "2.21"],
            Meta(
                description="The TensorFlow Serving whose ops the image has; left out: what the "
                "tag of serving.image says. Where it says none of these, ops are not compared."
            ),
        ]
        | None
    ) = None


class Gate(Base, frozen=True):
    """All that is checked before the first client request."""

    RULES = GATE_RULES

    signatures: Annotated[tuple[SignatureContract, ...], Meta(max_length=32)] = ()
    compatibility: Compatibility = Compatibility()
    ops: Ops = Ops()
    requests: Annotated[
        tuple[GoldenRequest, ...],
        Meta(
            max_length=16,
            description="Golden requests: sent to every candidate pod before the weight rises.",
        ),
    ] = ()
    agreement: Agreement | None = None
    budgets: Budgets | None = None
