"""All findings of all checks: modes, kinds of client, several signatures, bounds."""

from __future__ import annotations

from itertools import combinations
from time import process_time

import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import (
    Compatibility,
    Gate,
    SignatureContract,
    TensorContract,
)
from savedmodel_operator.gate import Examination, Outcome, Severity, compare, examine
from savedmodel_operator.gate.finding import CLIENTS
from savedmodel_operator.gate.verdict import MAX_MESSAGE
from savedmodel_operator.savedmodel.facts import Signature
from unit.gate.compatibility_cases import CASES, I32, TEXT, F, inputs, outputs
from unit.gate.facts_builder import model, signature, tensor

SERVE = ("serve",)


def look(new, old=None, *, mode="Backward", clients=CLIENTS, graph=None, **gate) -> Examination:
    chosen = Gate(compatibility=Compatibility(mode, tuple(clients)), **gate)
    stable = None if old is None else model(old)
    return examine(model(new, **(graph or {})), stable, chosen, SERVE)


def of(examination: Examination, check: str):
    return [f for f in examination.findings if f.check == check]


def test_every_check_is_heard_not_only_the_first() -> None:
    contract = SignatureContract("serving_default", outputs={"score": TensorContract("float32")})
    found = look(
        outputs(y=tensor(kind="Composite")),
        outputs(y=F),
        graph={"ops": {"PyFunc": 1}, "absent": ("gone:0",)},
        signatures=(contract, SignatureContract("rank")),
    )
    checks = [f.check for f in found.findings if f.breaks]
    assert list(dict.fromkeys(checks)) == [
        "signatures", "contract", "compatibility", "tensors", "ops",
    ]  # fmt: skip
    assert found.verdict.check == "signatures"
    assert found.verdict.reason is Reason.SignatureMissing
    assert all(f.reason is not None for f in found.findings if f.breaks)


def test_without_the_tags_nothing_else_can_be_said() -> None:
    found = examine(model(), None, Gate(), ["serve", "tpu"])
    assert [(f.check, f.reason) for f in found.findings] == [("tags", Reason.TagsMissing)]
    assert found.verdict.message == found.findings[0].sentence()


SUBSETS = [chosen for n in (1, 2, 3) for chosen in combinations(CLIENTS, n)]
LETTERS = {"X": "would break", "m": "may break", "r": "risk", ".": "ok"}


@pytest.mark.parametrize("clients", SUBSETS, ids="+".join)
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[4]}")
def test_only_listed_clients_count(case, clients) -> None:
    """The severity is the worst of the listed kinds, and none but them is named."""
    row, old, new, path, change, effects = case
    (found,) = [
        f for f in compare(old, new, clients) if (f.row, f.path, f.change) == (row, path, change)
    ]
    listed = {c: LETTERS[effects[CLIENTS.index(c)]] for c in clients}
    broken = tuple(c for c in CLIENTS if listed.get(c, "").endswith("break"))
    risky = tuple(c for c in CLIENTS if listed.get(c) == "risk")
    assert found.clients == (broken or risky)
    assert found.severity == ("break" if broken else "risk" if risky else "info")
    others = {"gRPC", "RESTRow", "RESTColumn"} - {
        "gRPC" if client == "GRPC" else client for client in found.clients
    }
    assert not [name for name in others if f"{name} " in found.harm]
    assert bool(found.harm) == bool(found.clients) == bool(found.advice)
    assert ("may break" in found.harm) == ("may break" in {listed[c] for c in broken})
    assert bool(found.doubt) == ("may break" in {listed[c] for c in broken})


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[4]}")
def test_exact_makes_every_difference_a_break_and_none_compares_nothing(case) -> None:
    _, old, new, *_ = case
    exact = of(look(new, old, mode="Exact", clients=["GRPC"]), "compatibility")
    plain = of(look(new, old, clients=["GRPC"]), "compatibility")
    assert [f.path for f in exact] == [f.path for f in plain]
    for finding in exact:
        assert finding.severity is Severity.Break
        assert finding.sentence().endswith("export the same signatures or set it to Backward")
    assert not of(look(new, old, mode="None"), "compatibility")


def test_exact_lets_the_same_signatures_in_whatever_the_tensors_are_called() -> None:
    old = {"serving_default": signature({"x": tensor(name="a:0")})}
    new = {"serving_default": signature({"x": tensor(name="b:0")})}
    assert look(new, old, mode="Exact").verdict.passed
    assert compare(old, new) == ()


def test_a_risk_refuses_nothing() -> None:
    found = look(outputs(y=F), outputs(y=I32), clients=["RESTRow"])
    assert found.verdict.outcome is Outcome.Passed
    assert [f.severity for f in of(found, "compatibility")] == [Severity.Risk]
    assert found.verdict.notes[0] == "serving_default.outputs.y.dtype changed DT_INT32 → DT_FLOAT"


def test_several_signatures_worst_first_then_the_default_one() -> None:
    old = {
        "a": signature({"x": F}),
        "serving_default": signature({"x": F}),
        "z": signature({"x": F}, {"y": F, "w": F}),
    }
    new = {
        "a": signature({"x": TEXT}),
        "serving_default": signature({"x": TEXT}),
        "z": signature({"x": tensor(shape=None)}, {"y": F, "w": F}),
        "fresh": signature({"q": F}),
    }
    assert [(f.path, f.severity.value) for f in compare(old, new)] == [
        ("serving_default.inputs.x.dtype", "break"),
        ("a.inputs.x.dtype", "break"),
        ("fresh", "info"),
        ("z.inputs.x.shape", "info"),
    ]


def test_aliases_of_one_function_are_each_told() -> None:
    """A client calls a name; that two names are one function does not help it."""
    both = {key: signature({"x": F}) for key in ("serving_default", "predict")}
    changed = {key: signature({"x": TEXT}) for key in both}
    assert [f.path for f in compare(both, changed)] == [
        "serving_default.inputs.x.dtype", "predict.inputs.x.dtype",
    ]  # fmt: skip
    (gone,) = compare(both, {"serving_default": both["serving_default"]})
    assert (gone.row, gone.severity) == ("signature-removed", Severity.Break)
    assert gone.fact == "is gone, serving_default takes and gives the same"
    (hidden,) = [f for f in compare(both, {"predict": both["predict"]}) if f.breaks]
    assert hidden.row == "default-signature-removed"
    assert "name no signature" in hidden.harm


def test_renumbered_inputs_that_change_as_well_are_told_both() -> None:
    old = inputs(keras_tensor_1=tensor(shape=[-1, 4]))
    new = inputs(keras_tensor_6=tensor(shape=[-1, 5]))
    assert [(f.row, f.path, f.change) for f in compare(old, new)] == [
        ("keras-input-renumbered", "serving_default.inputs.keras_tensor_1",
         "keras_tensor_1 → keras_tensor_6"),
        ("input-shape-narrowed", "serving_default.inputs.keras_tensor_6.shape[1]", "4 → 5"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (inputs(keras_tensor_1=F, keras_tensor_2=F), inputs(keras_tensor_1=F)),
        (inputs(keras_tensor_1=F, keras_tensor_2=F), inputs(keras_tensor_3=F, keras_tensor_4=TEXT)),
        (inputs(text_input=F, image_input=I32), inputs(text_input=F, sound_input=I32)),
        (inputs(a_1=F, b=I32), inputs(a_2=F, b=I32)),
    ],
    ids=["fewer", "another type", "named by a person", "not Keras's way of naming"],
)
def test_what_is_no_renumbering_is_not_called_so(old, new) -> None:
    assert not [f for f in compare(old, new) if f.row.startswith("keras")]


def test_hostile_names_and_shapes_stay_in_bounds() -> None:
    name = "k\n\u202e" * 5000
    wild = tensor(shape=[7] * 100_000)
    old = {name: signature({name: wild, "b": F}, {name: F}), "m": Signature(name, {}, {})}
    new = {name: signature({"b": F}, {name: TEXT, "c": wild}), "m": Signature("x", {}, {})}
    for examination in (look(new, old), look(new, old, mode="Exact"), look({}, old)):
        for finding in examination.findings:
            assert len(finding.sentence()) < 1500
            assert finding.sentence().isprintable()
            assert len(finding.path) < 300
        assert len(examination.verdict.message) <= MAX_MESSAGE


def test_thousands_of_differences_take_no_time() -> None:
    """5,000 inputs, all of them changed: the most that a stored record holds."""
    many = {f"feature_{i}": F for i in range(5000)}
    old = {"serving_default": signature(many)}
    new = {"serving_default": signature(dict.fromkeys(many, TEXT))}
    start = process_time()
    examination = look(new, old)
    assert process_time() - start < 5
    assert len(of(examination, "compatibility")) == 5000
    assert examination.verdict.message.endswith("and 4995 more") or (
        len(examination.verdict.message) == MAX_MESSAGE
    )
