"""Every row of the compatibility table, for every kind of client.

The expected effects are written down here from the facts about TensorFlow Serving, not taken from
the table: X breaks, r goes on with a risk, a dot is fine; in the order gRPC, rows, columns.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Compatibility, Gate
from savedmodel_operator.gate import Outcome, check_static
from savedmodel_operator.gate.compatibility import compare
from savedmodel_operator.gate.finding import CLIENTS, Severity
from savedmodel_operator.gate.table import TABLE
from unit.gate.facts_builder import NAMES, model, signature, tensor

F, I32, I64, TEXT = tensor("float32"), tensor("int32"), tensor("int64"), tensor("string")


def inputs(**tensors):
    return {"serving_default": signature(inputs=tensors)}


def outputs(**tensors):
    return {"serving_default": signature(outputs=tensors)}


IN, OUT = "serving_default.inputs", "serving_default.outputs"
ONE = {"serving_default": signature()}

CASES = [
    # row, old, new, path, change, effects (gRPC, rows, columns)
    ("signature-removed", {**ONE, "b": signature()}, ONE, "b", "removed", "XXX"),
    ("signature-added", ONE, {**ONE, "b": signature()}, "b", "added", "..."),
    ("method-changed", ONE, {"serving_default": signature(method="")},
     "serving_default.method", "tensorflow/serving/predict → none", "rrr"),
    ("input-added-required", inputs(x=F), inputs(x=F, k=I32), f"{IN}.k", "added", "XXX"),
    ("input-added-with-default", inputs(x=F), inputs(x=F, k=tensor(default="a")),
     f"{IN}.k", "added", ".XX"),
    ("input-removed", inputs(x=F, k=I32), inputs(x=F), f"{IN}.k", "removed", "XX."),
    ("input-removed", inputs(x=F, k=I32, j=I32), inputs(x=F, k=I32), f"{IN}.j", "removed", "XX."),
    ("last-input-removed", inputs(x=F), inputs(), f"{IN}.x", "removed", "XXX"),
    ("sole-input-renamed", inputs(a=F), inputs(b=F), f"{IN}.a", "renamed to b", "XXX"),
    ("input-dtype-widened", inputs(x=I32), inputs(x=I64),
     f"{IN}.x.dtype", "DT_INT32 → DT_INT64", "X.."),
    ("input-dtype-widened", inputs(x=tensor("uint8")), inputs(x=I32),
     f"{IN}.x.dtype", "DT_UINT8 → DT_INT32", "X.."),
    ("input-dtype-widened", inputs(x=F), inputs(x=tensor("float64")),
     f"{IN}.x.dtype", "DT_FLOAT → DT_DOUBLE", "X.."),
    ("input-integer-to-float", inputs(x=I32), inputs(x=tensor("float64")),
     f"{IN}.x.dtype", "DT_INT32 → DT_DOUBLE", "X.."),
    ("input-integer-to-float", inputs(x=tensor("int8")), inputs(x=F),
     f"{IN}.x.dtype", "DT_INT8 → DT_FLOAT", "X.."),
    ("input-large-integer-to-float", inputs(x=I32), inputs(x=F),
     f"{IN}.x.dtype", "DT_INT32 → DT_FLOAT", "Xrr"),
    ("input-dtype-narrowed", inputs(x=I64), inputs(x=I32),
     f"{IN}.x.dtype", "DT_INT64 → DT_INT32", "XXX"),
    ("input-dtype-narrowed", inputs(x=I32), inputs(x=tensor("uint32")),
     f"{IN}.x.dtype", "DT_INT32 → DT_UINT32", "XXX"),
    ("input-dtype-narrowed", inputs(x=tensor("float64")), inputs(x=F),
     f"{IN}.x.dtype", "DT_DOUBLE → DT_FLOAT", "XXX"),
    ("input-float-to-integer", inputs(x=F), inputs(x=I64),
     f"{IN}.x.dtype", "DT_FLOAT → DT_INT64", "XXX"),
    ("input-dtype-kind", inputs(x=TEXT), inputs(x=I32),
     f"{IN}.x.dtype", "DT_STRING → DT_INT32", "XXX"),
    ("input-dtype-kind", inputs(x=F), inputs(x=TEXT),
     f"{IN}.x.dtype", "DT_FLOAT → DT_STRING", "XXX"),
    ("input-dtype-kind", inputs(x=I32), inputs(x=tensor("bool")),
     f"{IN}.x.dtype", "DT_INT32 → DT_BOOL", "XXX"),
    ("input-dtype-unwritable", inputs(x=F), inputs(x=tensor("float16")),
     f"{IN}.x.dtype", "DT_FLOAT → DT_HALF", "XXX"),
    ("input-dtype-was-unwritable", inputs(x=tensor("float16")), inputs(x=F),
     f"{IN}.x.dtype", "DT_HALF → DT_FLOAT", "X.."),
    ("input-shape-widened", inputs(x=tensor(shape=[-1, 4])), inputs(x=tensor(shape=[-1, -1])),
     f"{IN}.x.shape[1]", "4 → any", "..."),
    ("input-shape-widened", inputs(x=tensor(shape=[-1, 4])), inputs(x=tensor(shape=None)),
     f"{IN}.x.shape", "[-1,4] → unknown rank", "..."),
    ("input-shape-narrowed", inputs(x=tensor(shape=[-1, 4])), inputs(x=tensor(shape=[-1, 5])),
     f"{IN}.x.shape[1]", "4 → 5", "XXX"),
    ("input-shape-narrowed", inputs(x=tensor(shape=[-1, 4])), inputs(x=tensor(shape=[1, 4])),
     f"{IN}.x.shape[0]", "any → 1", "XXX"),
    ("input-shape-narrowed", inputs(x=tensor(shape=[-1])), inputs(x=tensor(shape=[-1, 1])),
     f"{IN}.x.shape", "[-1] → [-1,1]", "XXX"),
    ("input-shape-narrowed", inputs(x=tensor(shape=None)), inputs(x=tensor(shape=[-1])),
     f"{IN}.x.shape", "unknown rank → [-1]", "XXX"),
    ("default-removed", inputs(x=F, k=tensor(default="a")), inputs(x=F, k=F),
     f"{IN}.k.default", "removed", "X.."),
    ("default-added", inputs(x=F, k=F), inputs(x=F, k=tensor(default="a")),
     f"{IN}.k.default", "added", "..."),
    ("default-changed", inputs(x=F, k=tensor(default="a")), inputs(x=F, k=tensor(default="b")),
     f"{IN}.k.default", "changed", "r.."),
    ("output-removed", outputs(y=F, z=F, w=F), outputs(y=F, z=F), f"{OUT}.w", "removed", "XXX"),
    ("output-removed", outputs(y=F), outputs(z=F, w=F), f"{OUT}.y", "removed", "XXX"),
    ("outputs-reduced-to-one", outputs(y=F, z=F), outputs(y=F), OUT, "2 → 1", "XXX"),
    ("sole-output-renamed", outputs(y=F), outputs(z=F), f"{OUT}.y", "renamed to z", "X.."),
    ("sole-output-renamed", outputs(a_bytes=F), outputs(a=F), f"{OUT}.a_bytes", "renamed to a",
     "X.."),
    ("sole-output-renamed-bytes", outputs(a=TEXT), outputs(a_bytes=TEXT),
     f"{OUT}.a", "renamed to a_bytes", "XXX"),
    ("output-added-to-one", outputs(y=F), outputs(y=F, z=F), f"{OUT}.z", "added", ".XX"),
    ("output-added", outputs(y=F, z=F), outputs(y=F, z=F, w=F), f"{OUT}.w", "added", "..."),
    ("output-added-with-other-rows", outputs(y=F, z=F), outputs(y=F, z=F, w=tensor(shape=[])),
     f"{OUT}.w", "added", ".X."),
    ("output-added-with-other-rows", outputs(y=F, z=F), outputs(y=F, z=F, w=tensor(shape=[7])),
     f"{OUT}.w", "added", ".X."),
    ("output-dtype-number", outputs(y=I32), outputs(y=F),
     f"{OUT}.y.dtype", "DT_INT32 → DT_FLOAT", "Xrr"),
    ("output-dtype-kind", outputs(y=I32), outputs(y=TEXT),
     f"{OUT}.y.dtype", "DT_INT32 → DT_STRING", "XXX"),
    ("output-dtype-kind", outputs(y=F), outputs(y=tensor("float16")),
     f"{OUT}.y.dtype", "DT_FLOAT → DT_HALF", "XXX"),
    ("output-dtype-was-unwritable", outputs(y=tensor("uint16")), outputs(y=I32),
     f"{OUT}.y.dtype", "DT_UINT16 → DT_INT32", "X.."),
    ("output-shape-narrowed", outputs(y=tensor(shape=[-1, -1])), outputs(y=tensor(shape=[-1, 3])),
     f"{OUT}.y.shape[1]", "any → 3", "..."),
    ("output-shape-unknown", outputs(y=tensor(shape=[-1, 3])), outputs(y=tensor(shape=[-1, -1])),
     f"{OUT}.y.shape[1]", "3 → any", "rrr"),
    ("output-shape-changed", outputs(y=tensor(shape=[-1, 3])), outputs(y=tensor(shape=[-1, 4])),
     f"{OUT}.y.shape[1]", "3 → 4", "XXX"),
    ("output-shape-changed", outputs(y=tensor(shape=[-1])), outputs(y=tensor(shape=[])),
     f"{OUT}.y.shape", "[-1] → []", "XXX"),
    ("encoding-changed", outputs(y=F, z=F), outputs(y=F, z=tensor(kind="Composite")),
     f"{OUT}.z", "Dense → Composite", "XXX"),
    ("encoding-changed", inputs(x=F), inputs(x=tensor(kind="Sparse")),
     f"{IN}.x", "Dense → Sparse", "XXX"),
]  # fmt: skip

PER_CLIENT = [
    pytest.param(*case, client, id=f"{case[0]}-{case[4]}-{client}")
    for case in CASES
    for client in CLIENTS
]


def gate(mode="Backward", clients=CLIENTS):
    return Gate(compatibility=Compatibility(mode, tuple(clients)))


@pytest.mark.parametrize(("row", "old", "new", "path", "change", "effects", "client"), PER_CLIENT)
def test_each_change_for_each_client(row, old, new, path, change, effects, client):
    findings = compare(old, new, [client])
    found = [f for f in findings if (f.row, f.path, f.change) == (row, path, change)]
    assert len(found) == 1, [(f.row, f.path, f.change) for f in findings]
    expected = effects[CLIENTS.index(client)]
    assert (found[0].severity is Severity.Break) == (expected == "X")
    assert (found[0].severity is Severity.Risk) == (expected == "r")


@pytest.mark.parametrize(("row", "old", "new", "path", "change", "effects", "client"), PER_CLIENT)
def test_the_gate_refuses_what_breaks_the_listed_client(
    row, old, new, path, change, effects, client
):
    verdict = check_static(model(new), model(old), gate(clients=[client]), ["serve"])
    assert verdict.rejected == (effects[CLIENTS.index(client)] == "X")
    if verdict.rejected:
        assert verdict.reason is Reason.IncompatibleSignature
        assert path in verdict.message


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[4]}")
def test_exact_refuses_every_change_and_none_refuses_none(case):
    _, old, new, *_ = case
    exact = check_static(model(new), model(old), gate("Exact"), ["serve"])
    assert exact.reason is Reason.IncompatibleSignature
    assert "Exact" in exact.message
    dense = "encoding-changed" not in case
    assert check_static(model(new), model(old), gate("None"), ["serve"]).passed == dense


def test_every_row_has_a_case():
    assert {case[0] for case in CASES} == set(TABLE)


def test_every_row_names_source_and_advice():
    for row in TABLE.values():
        assert row.source, row.id
        assert set(row.effects) == set(CLIENTS)
        refused = any(effect.breaks for effect in row.effects.values())
        assert bool(row.advice and row.who) or not refused, row.id


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[4]}")
def test_no_change_no_finding(case):
    assert compare(case[1], case[1]) == ()
    assert compare(case[2], case[2]) == ()


TENSORS = st.builds(
    tensor,
    st.sampled_from(sorted(NAMES)),
    st.none() | st.lists(st.sampled_from([-1, 1, 3]), max_size=3),
    st.none() | st.sampled_from(["a", "b"]),
    st.sampled_from(["Dense", "Dense", "Sparse", "Composite"]),
)
SIDES = st.dictionaries(st.sampled_from(["a", "b", "c", "a_bytes"]), TENSORS, max_size=3)
SIGNATURES = st.dictionaries(
    st.sampled_from(["serving_default", "other"]),
    st.builds(signature, SIDES, SIDES, st.sampled_from(["m", "n"])),
    max_size=2,
)


@given(SIGNATURES, SIGNATURES)
def test_any_two_models_differ_exactly_if_there_is_a_finding(old, new):
    """No combination is unknown to the differ, and nothing that changed goes unnoticed."""
    findings = compare(old, new)
    seen_old = {k: (s.method, s.inputs, _without_defaults(s.outputs)) for k, s in old.items()}
    seen_new = {k: (s.method, s.inputs, _without_defaults(s.outputs)) for k, s in new.items()}
    assert bool(findings) == (seen_old != seen_new)
    for finding in findings:
        assert finding.sentence()


def _without_defaults(tensors):
    """Outputs have none; the builder gives them some."""
    return {k: (t.dtype, t.shape, t.kind) for k, t in tensors.items()}


def refusal(old, new, **options):
    verdict = check_static(model(new), model(old), gate(**options), ["serve"])
    assert verdict.outcome is Outcome.Rejected
    return verdict.message


def test_the_sentence_names_tensor_clients_and_remedy():
    old = outputs(prob=tensor(shape=[-1, 3]), label=TEXT, rank=I32)
    assert refusal(old, outputs(label=TEXT, rank=I32)) == (
        "serving_default.outputs.prob (DT_FLOAT [-1,3]) is gone: gRPC, RESTRow and RESTColumn "
        "clients that read it would break; export it again or set gate.compatibility.mode: None"
    )


def test_the_sentence_names_only_listed_clients_that_break():
    message = refusal(inputs(x=F, k=I32), inputs(x=F), clients=["RESTColumn", "GRPC"])
    assert message.startswith(
        "serving_default.inputs.k (DT_INT32 [-1]) is gone: gRPC clients that send it would break"
    )


def test_further_differences_are_named_in_short():
    old = outputs(a=F, b=F, c=F)
    message = refusal(old, outputs(a=I32, b=TEXT, d=F))
    assert ". Also: " in message
    assert "serving_default.outputs.c: removed" in message


def test_renumbered_keras_inputs_come_with_their_own_remedy():
    message = refusal(inputs(keras_tensor_1=F), inputs(keras_tensor_6=F))
    assert "keras.Input(..., name=...)" in message
    assert "keras.Input" not in refusal(inputs(a=F), inputs(b=F))


def test_risks_are_noted_on_a_pass():
    verdict = check_static(
        model(outputs(y=tensor(shape=[-1, -1]))), model(outputs(y=tensor(shape=[-1, 3]))),
        gate(), ["serve"],
    )  # fmt: skip
    assert verdict.passed
    assert verdict.notes == ("serving_default.outputs.y.shape[1] changed 3 → any",)
