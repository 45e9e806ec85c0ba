"""Old signatures against new ones: every difference as a `Finding`. Pure.

Knows which row of `table` a difference belongs to; the table knows what that means for whom.
`checks` decides by the mode and the kinds of client that the user listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.gate.finding import CLIENTS, Finding, Severity
from savedmodel_operator.gate.table import TABLE, Effect, Row
from savedmodel_operator.gate.verdict import short
from savedmodel_operator.savedmodel.dtypes import FLOATS, INTEGERS
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

_UNWRITABLE = frozenset({"DT_HALF", "DT_BFLOAT16", "DT_UINT16"})
"""Numbers that TensorFlow Serving's JSON can neither read nor write (util/json_tensor.cc)."""

_BITS = {"DT_FLOAT": 24, "DT_DOUBLE": 53}
"""Bits of the mantissa: whole numbers up to that width survive."""

_KERAS_NAME = re.compile(r"keras_tensor(_\d+)?")
_KERAS_ADVICE = "name the layer, keras.Input(..., name=...): Keras numbers unnamed inputs anew"


@dataclass(frozen=True)
class Difference:
    """One difference and its row of the table. `path` is exact, as `serving_default.outputs.y`;
    `change` is short, as `removed` or `4 → 5`; `fact` says it in words."""

    row: Row
    path: str
    change: str
    fact: str
    advice: str = ""

    def breaks(self, clients: Iterable[str]) -> tuple[str, ...]:
        """Those of the clients that it breaks, in the table's order."""
        listed = set(clients)
        return tuple(c for c in CLIENTS if c in listed and self.row.effects[c].breaks)

    def risks(self, clients: Iterable[str]) -> tuple[str, ...]:
        """Those that go on working but may see other answers."""
        listed = set(clients)
        return tuple(c for c in CLIENTS if c in listed and self.row.effects[c] is Effect.Risk)

    def finding(self, clients: Iterable[str] = CLIENTS) -> Finding:
        """What it means for these kinds of client."""
        listed = tuple(clients)
        broken, risky = self.breaks(listed), self.risks(listed)
        severity = Severity.Break if broken else Severity.Risk if risky else Severity.Info
        may = any(self.row.effects[client] is Effect.Depends for client in broken)
        harmless = severity is Severity.Info
        return Finding(
            check="compatibility",
            severity=severity,
            path=self.path,
            fact=self.fact,
            change=self.change,
            clients=broken or risky,
            who="" if harmless else self.row.who,
            advice="" if harmless else self.advice or self.row.advice,
            source=self.row.source,
            row=self.row.id,
            effects={client: str(effect) for client, effect in self.row.effects.items()},
            doubt=self.row.doubt if may else "",
            reason=Reason.IncompatibleSignature,
        )


DEFAULT = "serving_default"


Signatures = Mapping[str, Signature]


def compare(
    old: Signatures, new: Signatures, clients: Iterable[str] = CLIENTS
) -> tuple[Finding, ...]:
    """Every difference between two sets of signatures, as findings for these kinds of client:
    worst first, then the default signature's, then in order of their keys."""
    listed = tuple(clients)
    found = [difference.finding(listed) for difference in find_differences(old, new)]
    return tuple(sorted(found, key=lambda f: (f.severity.rank, -len(f.clients))))


def find_differences(old: Signatures, new: Signatures) -> tuple[Difference, ...]:
    """Every difference: the default signature's first, then in order of their keys."""
    keys = sorted({*old, *new}, key=lambda key: (key != DEFAULT, key))
    return tuple(f for key in keys for f in _signature(key, old.get(key), new.get(key)))


def _find(row: str, path: str, change: str, fact: str, advice: str = "") -> Difference:
    return Difference(TABLE[row], path, change, fact, advice)


def _signature(key: str, old: Signature | None, new: Signature | None) -> Iterator[Difference]:
    path = short(key)
    if old is None:
        yield _find("signature-added", path, "added", "is new")
    elif new is None:
        yield _find("signature-removed", path, "removed", "is gone")
    else:
        if old.method != new.method:
            change = f"{short(old.method) or 'none'} → {short(new.method) or 'none'}"
            yield _find("method-changed", f"{path}.method", change, f"changed {change}")
        yield from _inputs(f"{path}.inputs", old.inputs, new.inputs)
        yield from _outputs(f"{path}.outputs", old.outputs, new.outputs)


Tensors = Mapping[str, TensorSpec]


def _sole_pair(old: Tensors, new: Tensors) -> tuple[str, str] | None:
    """The two names if the only tensor of the one became the only tensor of the other."""
    if len(old) == 1 == len(new) and old.keys() != new.keys():
        return next(iter(old)), next(iter(new))
    return None


def _inputs(path: str, old: Tensors, new: Tensors) -> Iterator[Difference]:
    pair = _sole_pair(old, new)
    if pair:
        keras = all(_KERAS_NAME.fullmatch(name) for name in pair)
        yield _find(
            "sole-input-renamed", _at(path, pair[0]), f"renamed to {short(pair[1])}",
            f"is now called {short(pair[1])}", _KERAS_ADVICE if keras else "",
        )  # fmt: skip
        yield from _input(_at(path, pair[1]), old[pair[0]], new[pair[1]])
        return
    for key in sorted({*old, *new}):
        at = _at(path, key)
        if key not in new:
            row = "input-removed" if new else "last-input-removed"
            yield _find(row, at, "removed", f"({old[key]}) is gone")
        elif key in old:
            yield from _input(at, old[key], new[key])
        elif new[key].has_default:
            fact = f"({new[key]}) is new and has a default"
            yield _find("input-added-with-default", at, "added", fact)
        else:
            yield _find("input-added-required", at, "added", f"({new[key]}) is new and required")


def _input(path: str, old: TensorSpec, new: TensorSpec) -> Iterator[Difference]:
    if old.kind != new.kind:
        yield _encoding(path, old, new)
        return
    if old.dtype != new.dtype:
        yield _dtype(_input_dtype_row(old.dtype, new.dtype), path, old, new)
    yield from _input_shape(path, old.shape, new.shape)
    if old.default != new.default:
        row = (
            "default-removed" if new.default is None
            else "default-added" if old.default is None
            else "default-changed"
        )  # fmt: skip
        change = row.removeprefix("default-")
        facts = {"removed": "lost its default", "added": "has a default now"}
        yield _find(row, f"{path}.default", change, facts.get(change, "has another value now"))


def _outputs(path: str, old: Tensors, new: Tensors) -> Iterator[Difference]:
    pair = _sole_pair(old, new)
    if pair:
        as_bytes = old[pair[0]].dtype == new[pair[1]].dtype == "DT_STRING" and (
            pair[0].endswith("_bytes") != pair[1].endswith("_bytes")
        )
        yield _find(
            "sole-output-renamed-bytes" if as_bytes else "sole-output-renamed",
            _at(path, pair[0]), f"renamed to {short(pair[1])}", f"is now called {short(pair[1])}",
        )  # fmt: skip
        yield from _output(_at(path, pair[1]), old[pair[0]], new[pair[1]])
        return
    for key in sorted({*old, *new}):
        at = _at(path, key)
        if key not in new:
            yield _find("output-removed", at, "removed", f"({old[key]}) is gone")
        elif key in old:
            yield from _output(at, old[key], new[key])
        else:
            yield _find(_added_output_row(key, old, new), at, "added", f"({new[key]}) is new")
    if len(old) > 1 and len(new) == 1:
        yield _find("outputs-reduced-to-one", path, f"{len(old)} → 1", "has only one output left")


def _added_output_row(key: str, old: Tensors, new: Tensors) -> str:
    if len(old) == 1:
        return "output-added-to-one"
    rows = {_rows(tensor) for name, tensor in new.items() if name in old}
    return "output-added" if _rows(new[key]) in rows else "output-added-with-other-rows"


def _rows(tensor: TensorSpec) -> str:
    """The size of dimension 0, as far as the file says."""
    if tensor.shape is None:
        return "unknown rank"
    return _size(tensor.shape[0]) if tensor.shape else "scalar"


def _output(path: str, old: TensorSpec, new: TensorSpec) -> Iterator[Difference]:
    if old.kind != new.kind:
        yield _encoding(path, old, new)
        return
    if old.dtype != new.dtype:
        yield _dtype(_output_dtype_row(old.dtype, new.dtype), path, old, new)
    if old.shape != new.shape:
        yield from _output_shape(path, old.shape, new.shape)


def _dtype(row: str, path: str, old: TensorSpec, new: TensorSpec) -> Difference:
    change = f"{old.dtype} → {new.dtype}"
    return _find(row, f"{path}.dtype", change, f"changed {change}")


def _encoding(path: str, old: TensorSpec, new: TensorSpec) -> Difference:
    change = f"{old.kind} → {new.kind}"
    return _find("encoding-changed", path, change, f"changed {change}")


def _json_kind(dtype: str) -> str | None:
    """How JSON writes it; None where TensorFlow Serving's JSON cannot."""
    if dtype in _UNWRITABLE:
        return None
    if dtype in INTEGERS or dtype in FLOATS:
        return "number"
    return {"DT_STRING": "string", "DT_BOOL": "bool"}.get(dtype)


def _input_dtype_row(old: str, new: str) -> str:
    before, after = _json_kind(old), _json_kind(new)
    if before is None or after is None:
        return "input-dtype-was-unwritable" if after else "input-dtype-unwritable"
    if before != after:
        return "input-dtype-kind"
    if old in FLOATS:
        if new in INTEGERS:
            return "input-float-to-integer"
        return "input-dtype-widened" if _BITS[new] > _BITS[old] else "input-dtype-narrowed"
    low, high = _range(old)
    if new in FLOATS:
        fits = high < 2 ** _BITS[new]
        return "input-integer-to-float" if fits else "input-large-integer-to-float"
    fits = _range(new)[0] <= low and high <= _range(new)[1]
    return "input-dtype-widened" if fits else "input-dtype-narrowed"


def _range(dtype: str) -> tuple[int, int]:
    """Smallest and greatest value of an integer type.

    >>> _range("DT_INT8"), _range("DT_UINT8")
    ((-128, 127), (0, 255))
    """
    bits = int(re.sub(r"\D", "", dtype))
    return (0, 2**bits - 1) if "UINT" in dtype else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _output_dtype_row(old: str, new: str) -> str:
    before, after = _json_kind(old), _json_kind(new)
    if before is None and after is not None:
        return "output-dtype-was-unwritable"
    return "output-dtype-number" if before == after == "number" else "output-dtype-kind"


Shape = tuple[int, ...] | None


def _input_shape(path: str, old: Shape, new: Shape) -> Iterator[Difference]:
    for at, before, after in _sizes(path, old, new):
        widened = after in ("any", "unknown rank")
        row = "input-shape-widened" if widened else "input-shape-narrowed"
        yield _find(row, at, f"{before} → {after}", f"changed {before} → {after}")


def _output_shape(path: str, old: Shape, new: Shape) -> Iterator[Difference]:
    for at, before, after in _sizes(path, old, new):
        if after in ("any", "unknown rank"):
            row = "output-shape-unknown"
        elif before in ("any", "unknown rank"):
            row = "output-shape-narrowed"
        else:
            row = "output-shape-changed"
        yield _find(row, at, f"{before} → {after}", f"changed {before} → {after}")


def _sizes(path: str, old: Shape, new: Shape) -> Iterator[tuple[str, str, str]]:
    """Path, former and new size of everything that differs, rank first."""
    if old is None or new is None or len(old) != len(new):
        if old != new:
            yield f"{path}.shape", _shown(old), _shown(new)
        return
    for i, (before, after) in enumerate(zip(old, new, strict=True)):
        if before != after:
            yield f"{path}.shape[{i}]", _size(before), _size(after)


def _shown(shape: Sequence[int] | None) -> str:
    return "unknown rank" if shape is None else "[" + ",".join(map(str, shape)) + "]"


def _size(size: int) -> str:
    return "any" if size < 0 else str(size)


def _at(path: str, key: str) -> str:
    return f"{path}.{short(key)}"
