"""What the graph's own nodes make, against what the signatures say they make. Pure.

TensorFlow Serving believes the signature and the graph does what it does: a TensorInfo of another
dtype or shape than its node's loads, and then every request that was built by it fails. Nothing is
inferred here; only ops that write dtype or shape of their outputs on the node are compared, which
are those that exporters put behind signatures. `graph` collects, `saved_model` asks.

Field numbers: NodeDef {5 attr {1 key, 2 AttrValue}}, AttrValue {1 list {6 type}, 6 type, 7 shape},
TensorShapeProto {2 dim {1 size}, 3 unknown_rank}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from savedmodel_operator.savedmodel.dtypes import proto_name, python_name
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec
from savedmodel_operator.savedmodel.wire import LEN, VARINT, Field, Window, signed

TYPES_OF = {
    b"Placeholder": b"dtype",
    b"PlaceholderWithDefault": b"dtype",
    b"Identity": b"T",
    b"PartitionedCall": b"Tout",
    b"StatefulPartitionedCall": b"Tout",
}
"""Op → the attribute with the dtypes of its outputs."""

SHAPED = frozenset({b"Placeholder", b"PlaceholderWithDefault"})
"""Ops whose attribute `shape` is that of their output."""

SCALARS_FROM = 24
"""Before this GraphDef version a Placeholder wrote an unknown shape as that of a scalar
(`tensorflow/core/ops/array_ops.cc`)."""

_KEYS = frozenset({*TYPES_OF.values(), b"shape"})
_LONGEST = 4096
"""Bytes of an attribute that is read: a thousand output types, or 254 dimensions of 13 bytes."""

_TYPE_WORK = 3
"""Units of `wire.MAX_WORK` for a packed number."""


@dataclass(slots=True)
class Made:
    """One node: `types` by attribute, `shape` as in TensorSpec, None also where nothing is said."""

    op: bytes = b""
    types: dict[bytes, tuple[int, ...]] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None


def read_attribute(window: Window, entry: Field, made: Made) -> None:
    """One entry of NodeDef.attr. What is written in an unusual way says nothing here."""
    if entry.kind != LEN or entry.end - entry.start > _LONGEST:
        return
    key = b""
    for part in window.fields(entry.start, entry.end):
        if part.number == 1 and part.kind == LEN:
            key = window.bytes(part.start, part.end)
        elif part.number == 2 and part.kind == LEN and key in _KEYS:
            _read_value(window, part, key, made)


def _read_value(window: Window, value: Field, key: bytes, made: Made) -> None:
    for part in window.fields(value.start, value.end):
        if part.number == 6 and part.kind == VARINT:
            made.types[key] = (part.value,)
        elif part.number == 1 and part.kind == LEN:
            made.types[key] = tuple(_types(window, part))
        elif part.number == 7 and part.kind == LEN and key == b"shape":
            made.shape = _shape(window, part)


def _types(window: Window, values: Field) -> Iterator[int]:
    for part in window.fields(values.start, values.end):
        if part.number != 6:
            continue
        if part.kind == VARINT:
            yield part.value
        elif part.kind == LEN:
            window.spend(_TYPE_WORK * (part.end - part.start), part.start)
            position = part.start
            while position < part.end:
                value, position = window.varint(position, part.end)
                yield value


def _shape(window: Window, shape: Field) -> tuple[int, ...] | None:
    sizes = list[int]()
    for part in window.fields(shape.start, shape.end):
        if part.number == 3 and part.value:
            return None
        if part.number == 2 and part.kind == LEN:
            dim = window.fields(part.start, part.end)
            sizes.append(next((signed(d.value) for d in dim if d.number == 1), 0))
    return tuple(sizes)


def find_contradictions(
    signatures: Mapping[str, Signature], made: Mapping[bytes, Made], producer: int
) -> Iterator[str]:
    """A phrase for each tensor of a signature that its node does not make."""
    for key, signature in sorted(signatures.items()):
        for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
            for name, tensor in sorted(tensors.items()):
                node, _, output = tensor.name.partition(":")
                found = made.get(node.encode()) if tensor.kind == "Dense" else None
                differs = found and _difference(tensor, found, output, producer)
                if differs:
                    yield f"{key}.{side}.{name} is {differs}"


def _difference(tensor: TensorSpec, made: Made, output: str, producer: int) -> str:
    node = f"{tensor.name.partition(':')[0]} ({made.op.decode()})"
    types = made.types.get(TYPES_OF.get(made.op, b""), ())
    number = int(output) if output.isascii() and output.isdecimal() else 0
    if number < len(types):
        there, said = proto_name(types[number]), tensor.dtype
        if there.removesuffix("_REF") != said.removesuffix("_REF"):
            return f"{python_name(said)}, and its node {node} makes {python_name(there)}"
    if made.op in SHAPED and _disagree(tensor.shape, made.shape, producer):
        return f"{_shown(tensor.shape)}, and its node {node} makes {_shown(made.shape)}"
    return ""


def _disagree(said: tuple[int, ...] | None, there: tuple[int, ...] | None, producer: int) -> bool:
    """Whether no tensor can have both shapes."""
    if said is None or there is None or (there == () and producer < SCALARS_FROM):
        return False
    if len(said) != len(there):
        return True
    return any(a >= 0 and b >= 0 and a != b for a, b in zip(said, there, strict=True))


def _shown(shape: tuple[int, ...] | None) -> str:
    return "[" + ", ".join("any" if n < 0 else str(n) for n in shape or ()) + "]"
