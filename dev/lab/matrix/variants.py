"""A version of a model as data: the signatures it promises and what its kernels really do.

Neighbours: `families` lists them, `make` turns them into SavedModels, `ask` never sees them: a
client knows the signature of the file only. Pure data; must not import TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Shape = tuple[int, ...] | None
"""-1 is any size, None unknown rank."""

PREDICT, CLASSIFY, REGRESS = (f"tensorflow/serving/{m}" for m in ("predict", "classify", "regress"))


@dataclass(frozen=True)
class In:
    """An input. `strict`: the kernels refuse what the shape does not allow, as a matrix product
    does; otherwise they take any shape, as an element-wise op does. `kind` Sparse or Composite
    are encodings that TensorFlow Serving cannot feed."""

    dtype: str = "float32"
    shape: Shape = (-1,)
    default: float | None = None
    strict: bool = True
    kind: str = "Dense"


@dataclass(frozen=True)
class Out:
    """An output. `real`: the shape that the kernels give where the file says less; -1 in
    dimension 0 is the batch, elsewhere 2."""

    dtype: str = "float32"
    shape: Shape = (-1,)
    real: tuple[int, ...] | None = None
    kind: str = "Dense"

    @property
    def given(self) -> tuple[int, ...]:
        """The shape that the kernels give."""
        if self.real is not None:
            return self.real
        return (-1,) if self.shape is None else self.shape


@dataclass(frozen=True)
class Sig:
    """A signature."""

    inputs: Mapping[str, In] = field(default_factory=lambda: {"x": In()})
    outputs: Mapping[str, Out] = field(default_factory=lambda: {"y": Out()})
    method: str = PREDICT


@dataclass(frozen=True)
class Variant:
    """One version of a model. `python`: its kernels call back into Python."""

    name: str
    signatures: Mapping[str, Sig]
    python: bool = False

    def to_json(self) -> dict[str, Any]:
        """For the process that makes it."""
        return asdict(self)


@dataclass(frozen=True)
class Family:
    """Variants that could be versions of one model; `about` says what differs between them.

    `exporter` names a function of `make_exports` that makes real exports instead of variants.
    """

    name: str
    about: str
    variants: tuple[Variant, ...] = ()
    exports: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """The names of its versions."""
        return tuple(v.name for v in self.variants) + self.exports


def one(
    name: str,
    inputs: Mapping[str, In] | None = None,
    outputs: Mapping[str, Out] | None = None,
    method: str = PREDICT,
) -> Variant:
    """A version with one signature."""
    sig = Sig({"x": In()} if inputs is None else inputs, outputs or {"y": Out()}, method)
    return Variant(name, {"serving_default": sig})


def describe(families: tuple[Family, ...]) -> str:
    """All variants as JSON: what `make` reads, and what its results are kept by."""
    found = {
        f.name: {"variants": [v.to_json() for v in f.variants], "exports": f.exports}
        for f in families
    }
    return json.dumps(found, sort_keys=True)
