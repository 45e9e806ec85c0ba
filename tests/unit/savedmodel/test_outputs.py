"""Signatures against the nodes that they name: what is compared, and what is left alone."""

from __future__ import annotations

import pytest

from savedmodel_operator.savedmodel import BytesSource, MalformedModel, ModelFacts, read_saved_model
from unit.savedmodel.wire_builder import (
    message,
    node,
    number,
    saved_model,
    signature,
    tensor,
    text,
    varint,
)

FLOAT, INT32, STRING, FLOAT_REF = 1, 3, 7, 101


def attr(key: str, *value: bytes) -> bytes:
    return message(5, text(1, key), message(2, *value))


def dtype(key: str, kind: int) -> bytes:
    return attr(key, number(6, kind))


def types(key: str, *kinds: int) -> bytes:
    return attr(key, message(1, message(6, *map(varint, kinds))))


def shape(*sizes: int, unknown: bool = False) -> bytes:
    dims = [message(2, number(1, size)) for size in sizes]
    return attr("shape", message(7, *dims, *([number(3, 1)] if unknown else [])))


def contradictions(made: bytes, said: bytes, producer: int = 2000) -> tuple[str, ...]:
    nodes = node("x", "Placeholder") + made + message(4, number(1, producer))
    data = saved_model(signature("s", {"x": tensor("x:0")}, {"y": said}), nodes=nodes)
    facts = read_saved_model(BytesSource(data))
    assert ModelFacts.from_dict(facts.to_dict()) == facts
    assert facts.graphs[0].absent == ()
    return facts.graphs[0].contradicted


CASES = {
    "dtype": (
        node("y", "Placeholder", dtype("dtype", INT32)),
        tensor("y:0"),
        "s.outputs.y is float32, and its node y (Placeholder) makes int32",
    ),
    "second output": (
        node("y", "StatefulPartitionedCall", types("Tout", FLOAT, STRING)),
        tensor("y:1"),
        "s.outputs.y is float32, and its node y (StatefulPartitionedCall) makes string",
    ),
    "identity": (
        node("y", "Identity", text(3, "x"), dtype("T", INT32)),
        tensor("y:0"),
        "s.outputs.y is float32, and its node y (Identity) makes int32",
    ),
    "shape": (
        node("y", "Placeholder", dtype("dtype", FLOAT), shape(-1, 4)),
        tensor("y:0", shape=(-1, 5)),
        "s.outputs.y is [any, 5], and its node y (Placeholder) makes [any, 4]",
    ),
    "rank": (
        node("y", "PlaceholderWithDefault", dtype("dtype", FLOAT), shape(4)),
        tensor("y:0", shape=(4, 1)),
        "s.outputs.y is [4, 1], and its node y (PlaceholderWithDefault) makes [4]",
    ),
    "no colon": (
        node("y", "Placeholder", dtype("dtype", STRING)),
        tensor("y"),
        "s.outputs.y is float32, and its node y (Placeholder) makes string",
    ),
    "large node": (
        node("y", "Placeholder", text(3, "i" * 20_000), dtype("dtype", INT32)),
        tensor("y:0"),
        "s.outputs.y is float32, and its node y (Placeholder) makes int32",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_contradicts(case: str):
    made, said, words = CASES[case]
    assert contradictions(made, said) == (words,)


FINE = {
    "same": (node("y", "Placeholder", dtype("dtype", FLOAT), shape(-1)), tensor("y:0")),
    "first output": (node("y", "PartitionedCall", types("Tout", FLOAT, STRING)), tensor("y:0")),
    "output beyond the list": (node("y", "PartitionedCall", types("Tout", STRING)), tensor("y:7")),
    "TF1 reference": (node("y", "Identity", dtype("T", FLOAT_REF)), tensor("y:0")),
    "op that says nothing": (node("y", "Cast", dtype("T", INT32)), tensor("y:0")),
    "no attributes": (node("y", "Placeholder"), tensor("y:0")),
    "refined shape": (node("y", "Placeholder", dtype("dtype", FLOAT), shape(-1)), tensor("y:0", shape=(3,))),
    "unknown rank in the graph": (
        node("y", "Placeholder", dtype("dtype", FLOAT), shape(unknown=True)),
        tensor("y:0", shape=(1, 2)),
    ),
    "shape of another op's attribute": (
        node("y", "Identity", dtype("T", FLOAT), shape(9)),
        tensor("y:0", shape=(1, 2)),
    ),
    "attribute that nobody writes": (
        node("y", "Placeholder", message(5, text(1, "dtype"), number(2, 5))),
        tensor("y:0"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FINE)
def test_what_is_left_alone(case: str):
    assert contradictions(*FINE[case]) == ()


def test_thousands_of_types_are_paid_for():
    """Every name that a signature asks for, with as many output types as an attribute can hold."""
    many = types("Tout", *[FLOAT] * 4000)
    nodes = b"".join(node(f"n{n}", "PartitionedCall", many, many, many) for n in range(300))
    said = {f"k{n}": tensor(f"n{n}:0") for n in range(300)}
    data = saved_model(signature("s", said, {}), nodes=nodes)
    with pytest.raises(MalformedModel, match="more nodes and fields than this reader accepts"):
        read_saved_model(BytesSource(data))


def test_old_placeholders_write_unknown_shapes_as_scalars():
    made = node("y", "Placeholder", dtype("dtype", FLOAT), shape())
    assert contradictions(made, tensor("y:0", shape=(2,)), producer=23) == ()
    assert contradictions(made, tensor("y:0", shape=(2,)), producer=24) != ()


def test_real_models_agree_with_themselves(zoo):
    for name in zoo.truth:
        if (zoo.folder / name / "saved_model.pb").exists():
            facts = read_saved_model(BytesSource(zoo.pb(name)))
            assert [g.contradicted for g in facts.graphs] == [()] * len(facts.graphs), name
