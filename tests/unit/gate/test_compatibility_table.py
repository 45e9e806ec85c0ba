"""Every row of the compatibility table, for every kind of client: `compatibility_cases`."""

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
from unit.gate.compatibility_cases import CASES, I32, TEXT, F, inputs, outputs
from unit.gate.facts_builder import NAMES, model, signature, tensor

LETTERS = {"would break": "X", "may break": "m", "risk": "r", "ok": "."}

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
    assert "".join(LETTERS[found[0].effects[c]] for c in CLIENTS) == effects
    expected = effects[CLIENTS.index(client)]
    severity = Severity.Break if expected in "Xm" else Severity.Risk
    assert found[0].severity is (Severity.Info if expected == "." else severity)
    assert ("may break" in found[0].sentence()) == (expected == "m")


@pytest.mark.parametrize(("row", "old", "new", "path", "change", "effects", "client"), PER_CLIENT)
def test_the_gate_refuses_what_breaks_the_listed_client(
    row, old, new, path, change, effects, client
):
    verdict = check_static(model(new), model(old), gate(clients=[client]), ["serve"])
    assert verdict.rejected == (effects[CLIENTS.index(client)] in "Xm")
    if verdict.rejected:
        assert verdict.reason is Reason.IncompatibleSignature
        assert path in verdict.message


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[4]}")
def test_exact_refuses_every_change_and_none_refuses_none(case):
    _, old, new, *_ = case
    exact = check_static(model(new), model(old), gate("Exact"), ["serve"])
    assert exact.reason is Reason.IncompatibleSignature
    assert "Exact" in exact.message
    dense = not case[0].endswith(("encoding-changed", "composite"))
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
    with_default = inputs(x=F, k=tensor(default="a"))
    verdict = check_static(
        model(inputs(x=F, k=tensor(default="b"))), model(with_default), gate(), ["serve"]
    )
    assert verdict.passed
    assert verdict.notes[0] == "serving_default.inputs.k.default has another value now"
