"""Which key became which, where an exporter chose the keys. Pure.

Keras gives unnamed inputs and layers a number that counts on with every model of the process:
`keras_tensor_1` is `keras_tensor_6` in the next export of the same code. Sparse and ragged inputs
are exported as one dense input per component, `x`, `x_1`, `x_2`. Both look like inputs that went
and others that came; here they are recognised, so that the advice fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from savedmodel_operator.gate.difference import Tensors
from savedmodel_operator.savedmodel.facts import TensorSpec

_AUTO = re.compile(r"(?:keras_tensor|input|input_layer|.+_input)(?:_\d+)?")
"""Keys of Keras 3 (keras_tensor, input_layer) and of Keras 2 (input, dense_input)."""

_NUMBER = re.compile(r"_(\d+)(?=_|$)")
"""Where Keras puts the number: keras_tensor_1, dense_1_input."""

_RAGGED_SPLITS = ("DT_INT64", "DT_INT32")

Pairs = tuple[tuple[str, str], ...]


def renumbered_inputs(old: Tensors, new: Tensors) -> Pairs:
    """(former key, present key) of inputs that Keras numbered anew; empty where it is not so.

    All automatic keys of both sides are matched, as the number of one input may now belong to
    another: {keras_tensor_1, keras_tensor_2} → {keras_tensor_2, keras_tensor_3}.
    """
    before = [key for key in old if _AUTO.fullmatch(key)]
    after = [key for key in new if _AUTO.fullmatch(key)]
    if set(before) == set(after) or sorted(map(_base, before)) != sorted(map(_base, after)):
        return ()
    return _matched(before, after, old, new)


def renumbered_outputs(old: Tensors, new: Tensors) -> Pairs:
    """The same for outputs: gone and new keys that differ in their number only."""
    before = [key for key in old if key not in new]
    after = [key for key in new if key not in old]
    if sorted(map(_base, before)) != sorted(map(_base, after)):
        return ()
    return _matched(before, after, old, new)


def _base(key: str) -> str:
    """The key without its numbers.

    >>> _base("keras_tensor_12"), _base("dense_1_input")
    ('keras_tensor', 'dense_input')
    """
    return _NUMBER.sub("", key)


def _number(key: str) -> tuple[list[int], str]:
    """Sorts keras_tensor before keras_tensor_9 before keras_tensor_10."""
    return [int(number) for number in _NUMBER.findall(key)], key


def _matched(before: list[str], after: list[str], old: Tensors, new: Tensors) -> Pairs:
    """Pairs of the same dtype and shape in numeric order; else of the same dtype in that order."""
    before, after = sorted(before, key=_number), sorted(after, key=_number)
    for alike in (_whole, _dtype):
        groups = _grouped(before, old, alike), _grouped(after, new, alike)
        if groups[0].keys() != groups[1].keys():
            continue
        pairs = [
            pair
            for key, names in groups[0].items()
            if len(names) == len(groups[1][key])
            for pair in zip(names, groups[1][key], strict=True)
        ]
        if len(pairs) == len(before):
            return tuple(sorted(pairs, key=lambda pair: _number(pair[0])))
    return tuple(zip(before, after, strict=True)) if len(before) == 1 else ()


def _whole(tensor: TensorSpec) -> object:
    return (tensor.dtype, tensor.shape, tensor.kind)


def _dtype(tensor: TensorSpec) -> object:
    return (tensor.dtype, tensor.kind)


def _grouped(
    keys: list[str], tensors: Tensors, alike: Callable[[TensorSpec], object]
) -> dict[object, list[str]]:
    groups: dict[object, list[str]] = {}
    for key in keys:
        groups.setdefault(alike(tensors[key]), []).append(key)
    return groups


def flattened(whole: Tensors, parts: Tensors) -> dict[str, tuple[str, ...]]:
    """Inputs that are one tensor in `whole` and the components of a sparse or ragged one in
    `parts`: key → keys of the components, itself first."""
    return {
        key: components
        for key in whole
        if key in parts and (components := _components(key, whole, parts))
    }


def _components(key: str, whole: Tensors, parts: Tensors) -> tuple[str, ...]:
    names = [key]
    while (name := f"{key}_{len(names)}") in parts and name not in whole:
        names.append(name)
    if any(parts[name].has_default for name in names):
        return ()
    tensors = [parts[name] for name in names]
    if is_sparse(tensors):
        return tuple(names)
    splits = tensors[1:]
    ragged = all(t.dtype in _RAGGED_SPLITS and t.shape and len(t.shape) == 1 for t in splits)
    return tuple(names) if splits and ragged else ()


def is_sparse(tensors: Sequence[TensorSpec]) -> bool:
    """Whether these are the components of a sparse tensor, not of a ragged one: indices int64
    [n, rank], values [n], dense shape int64 [rank]. A ragged one has its values and then the row
    splits of each ragged dimension."""
    if len(tensors) != 3:
        return False
    indices, _, size = tensors
    ranks = [len(t.shape) if t.shape is not None else -1 for t in tensors]
    return indices.dtype == size.dtype == "DT_INT64" and ranks == [2, 1, 1]
