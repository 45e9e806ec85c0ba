"""The table's verdict against clients that are played on the serving-compatible server's code.

Three laws for any two signatures and each kind of client. Where the verdict lets a version in, no
call that worked fails. Where it says "would break", some call fails whatever the kernels take;
where it says "may break", some call fails with kernels that take only what the file says.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savedmodel_operator.gate import Severity, compare
from savedmodel_operator.gate.finding import CLIENTS
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec
from unit.gate.compatibility_cases import CASES
from unit.gate.facts_builder import NAMES, signature, tensor
from unit.gate.old_client import Call, calls, outcome

DEFAULT = "serving_default"


def failures(worked: list[Call], old: Signature, new: Signature, *, strict: bool) -> list[str]:
    """Words of every call that fails on `new`."""
    found = [outcome(call, old, new, strict=strict) for call in worked]
    return [words for words in found if words is not None]


def judge(old: Signature, new: Signature, client: str) -> None:
    """Falsely refused is judged only where every way of calling worked: a client that could call
    with three rows alone does not mind a version that takes three rows alone."""
    findings = compare({DEFAULT: old}, {DEFAULT: new}, [client])
    told = [(f.row, f.path, f.change) for f in findings]
    broken = [f for f in findings if f.severity is Severity.Break]
    ways = list(calls(old, client))
    worked = [call for call in ways if outcome(call, old, old, strict=True) is None]
    strict = failures(worked, old, new, strict=True)
    lenient = failures(worked, old, new, strict=False)
    if not broken:
        assert not strict, (told, strict[0])
        assert not lenient, told
    elif len(worked) == len(ways):
        certain = any(f.effects[client] == "would break" for f in broken)
        assert lenient if certain else strict, ("a false break", told)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[4]}")
def test_each_row_is_what_happens(case, client):
    """Rows about whole signatures that are gone have nothing to call: the server says so."""
    _, old, new, *_ = case
    if DEFAULT in old and DEFAULT in new:
        judge(old[DEFAULT], new[DEFAULT], client)


SHAPES = st.none() | st.lists(st.sampled_from([-1, -1, 1, 3]), max_size=2).map(tuple)
TENSORS = st.builds(
    tensor,
    st.sampled_from(["float32", "float32", "int32", *sorted(NAMES)]),
    st.just((-1,)) | SHAPES,
    st.sampled_from([None, None, "a", "b"]),
    st.sampled_from(["Dense"] * 6 + ["Sparse", "Composite"]),
)
EXAMPLES = {"inputs": tensor("string")}
CLASSIFIES = signature(EXAMPLES, {"scores": tensor(shape=[-1, 3])}, "tensorflow/serving/classify")
REGRESSES = signature(EXAMPLES, {"outputs": tensor(shape=[-1, 1])}, "tensorflow/serving/regress")
KEYS = st.sampled_from(["a", "b", "c_bytes", "keras_tensor_1", "keras_tensor_2", "a_1"])
OUTPUTS = TENSORS.map(lambda t: replace(t, default=None))
METHODS = st.sampled_from(["predict"] * 4 + ["classify", "regress"]).map(
    lambda name: f"tensorflow/serving/{name}"
)


@st.composite
def near(draw: st.DrawFn) -> tuple[Signature, Signature]:
    """A signature and one that differs from it in one to three places."""
    old = draw(st.sampled_from([CLASSIFIES, REGRESSES, None, None, None, None]))
    if old is None:
        old = signature(
            draw(st.dictionaries(KEYS, TENSORS, min_size=1, max_size=3)),
            draw(st.dictionaries(KEYS, OUTPUTS, min_size=1, max_size=3)),
            draw(METHODS),
        )
    new = old
    for _ in range(draw(st.integers(1, 3))):
        side = draw(st.sampled_from(["inputs", "outputs"]))
        tensors = draw(edited(dict(getattr(new, side)), TENSORS if side == "inputs" else OUTPUTS))
        new = replace(new, **{side: tensors})
    return old, new


@st.composite
def edited(draw: st.DrawFn, tensors: dict, any_tensor: st.SearchStrategy) -> dict:
    """One edit: a tensor is added, dropped, renamed, or changed in one of its properties."""
    made: TensorSpec = draw(any_tensor)
    if not tensors or draw(st.integers(0, 4)) == 0:
        return {**tensors, draw(KEYS): made}
    key = draw(st.sampled_from(sorted(tensors)))
    rest = {name: value for name, value in tensors.items() if name != key}
    edit = draw(st.sampled_from(["drop", "rename", "dtype", "shape", "default", "kind"]))
    if edit == "drop":
        return rest
    if edit == "rename":
        return {**rest, draw(KEYS): tensors[key]}
    if edit == "kind":
        return {**rest, key: replace(tensors[key], kind=made.kind, name=made.name)}
    return {**rest, key: replace(tensors[key], **{edit: getattr(made, edit)})}


@pytest.mark.parametrize("client", CLIENTS)
@settings(max_examples=100, deadline=None)
@given(pair=near())
def test_the_laws_hold_for_any_two_near_signatures(client, pair):
    judge(*pair, client)
