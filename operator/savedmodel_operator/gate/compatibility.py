"""Old signatures against new ones: every difference as a `Finding`. Pure.

Here the signatures are matched by their keys; `inputs`, `outputs` and `examples` know which row of
`table` a difference belongs to, the table knows what that means for whom. `checks` decides by the
mode and the kinds of client that the user listed.

What a signature does not tell is not compared: the tensors' names in the graph (no client sees
them), the features that a serialized tf.Example must have, and what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from savedmodel_operator.gate.difference import Difference, found
from savedmodel_operator.gate.examples import differing_methods
from savedmodel_operator.gate.finding import CLIENTS, Finding
from savedmodel_operator.gate.inputs import differing_inputs
from savedmodel_operator.gate.outputs import differing_outputs
from savedmodel_operator.gate.verdict import short
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

DEFAULT = "serving_default"
"""The signature of requests that name none."""

Signatures = Mapping[str, Signature]


def compare(
    old: Signatures, new: Signatures, clients: Iterable[str] = CLIENTS
) -> tuple[Finding, ...]:
    """Every difference between two sets of signatures, as findings for these kinds of client:
    worst first, then the default signature's, then in order of their keys."""
    listed = tuple(clients)
    findings = [difference.finding(listed) for difference in find_differences(old, new)]
    return tuple(sorted(findings, key=lambda f: (f.severity.rank, -len(f.clients))))


def find_differences(old: Signatures, new: Signatures) -> tuple[Difference, ...]:
    """Every difference: the default signature's first, then in order of their keys."""
    keys = sorted({*old, *new}, key=lambda key: (key != DEFAULT, key))
    return tuple(d for key in keys for d in _signature(key, old, new))


def _signature(key: str, old: Signatures, new: Signatures) -> Iterator[Difference]:
    path = short(key)
    if key not in old:
        yield found("signature-added", path, "added", "is new")
    elif key not in new:
        yield _removed(key, old, new)
    else:
        before, after = old[key], new[key]
        if before.method != after.method:
            change = f"{short(before.method) or 'none'} → {short(after.method) or 'none'}"
            yield found("method-changed", f"{path}.method", change, f"changed {change}")
        yield from differing_methods(path, before, after)
        yield from differing_inputs(f"{path}.inputs", before.inputs, after.inputs)
        yield from differing_outputs(f"{path}.outputs", before.outputs, after.outputs)


def _removed(key: str, old: Signatures, new: Signatures) -> Difference:
    """The signature may be there under another name, an alias or a new one."""
    path = short(key)
    same = sorted(name for name in new if _offered(new[name]) == _offered(old[key]))
    fresh = [name for name in same if name not in old]
    if key == DEFAULT:
        row = "default-signature-removed"
    else:
        row = "signature-renamed" if fresh else "signature-removed"
    if not same:
        return found(row, path, "removed", "is gone")
    name = short((fresh or same)[0])
    advice = f"export it under the name {path} as well, as clients call it by that"
    fact = f"is gone, {name} takes and gives the same"
    return found(row, path, f"{path} → {name}" if fresh else "removed", fact, advice)


def _offered(signature: Signature) -> object:
    """What clients see of a signature; names of tensors in the graph are none of it."""
    return signature.method, _seen(signature.inputs), _seen(signature.outputs)


def _seen(tensors: Mapping[str, TensorSpec]) -> object:
    return {k: (t.dtype, t.shape, t.kind, t.default) for k, t in tensors.items()}
