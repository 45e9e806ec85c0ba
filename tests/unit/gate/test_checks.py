"""The chain of static checks: each refuses for its own reason, in its order."""

from __future__ import annotations

import pytest

from savedmodel_operator.api.golden import ConfigMapFile, GoldenRequest
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import (
    Compatibility,
    Gate,
    Ops,
    SignatureContract,
    TensorContract,
)
from savedmodel_operator.gate import Verdict, check_static
from savedmodel_operator.gate.verdict import MAX_MESSAGE
from savedmodel_operator.savedmodel import BytesSource, ModelFacts, read_saved_model
from unit.gate.facts_builder import model, signature, tensor

SERVE = ("serve",)
GOLDEN = GoldenRequest("iris", ConfigMapFile("golden", "iris.json"), "rank")


def check(candidate: ModelFacts, stable: ModelFacts | None = None, **gate) -> Verdict:
    return check_static(candidate, stable, Gate(**gate), SERVE)


def contract(method="Predict", name="serving_default", inputs=None, outputs=None):
    def side(tensors):
        return {key: TensorContract(*value) for key, value in (tensors or {}).items()}

    return (SignatureContract(name, method, side(inputs), side(outputs)),)


REFUSED = {
    "other tags": (
        model(tags=("serve", "tpu")), {},
        Reason.TagsMissing, "set serving.options.tags to [serve, tpu]",
    ),
    "no signature": (model({}), {}, Reason.NoSignatures, "input_signature"),
    "contract names another": (
        model(), {"signatures": contract(name="rank")},
        Reason.SignatureMissing, "rank is asked for by gate.signatures and is not there",
    ),
    "golden request names another": (
        model(), {"requests": (GOLDEN,)},
        Reason.SignatureMissing, "rank is asked for by gate.requests[iris] and is not there",
    ),
    "method": (
        model(), {"signatures": contract("Classify")},
        Reason.SignatureContract, "asks for Classify (tensorflow/serving/classify)",
    ),
    "contract's input missing": (
        model(), {"signatures": contract(inputs={"k": ("float32",)})},
        Reason.SignatureContract, "serving_default.inputs.k (float32) is asked for",
    ),
    "input that the contract does not know": (
        model({"serving_default": signature({"x": tensor(), "k": tensor()})}),
        {"signatures": contract(inputs={"x": ("float32",)})},
        Reason.SignatureContract, "inputs.k (DT_FLOAT [-1]) is required by the model",
    ),
    "input dtype": (
        model(), {"signatures": contract(inputs={"x": ("int64",)})},
        Reason.SignatureContract, "inputs.x.dtype is float32, gate.signatures asks for int64",
    ),
    "input rank": (
        model(), {"signatures": contract(inputs={"x": ("float32", (-1, 4))})},
        Reason.SignatureContract, "inputs.x.shape is [-1], gate.signatures asks for [-1,4]",
    ),
    "fixed batch": (
        model({"serving_default": signature({"x": tensor(shape=[1, 4])})}),
        {"signatures": contract(inputs={"x": ("float32", (-1, 4))})},
        Reason.SignatureContract, "inputs.x.shape is [1,4]",
    ),
    "contract's output missing": (
        model(), {"signatures": contract(outputs={"z": ("float32",)})},
        Reason.SignatureContract, "outputs.z (float32) is asked for by gate.signatures",
    ),
    "output dtype": (
        model(), {"signatures": contract(outputs={"y": ("string",)})},
        Reason.SignatureContract, "outputs.y.dtype is float32",
    ),
    "output size not promised": (
        model({"serving_default": signature(outputs={"y": tensor(shape=[-1, -1])})}),
        {"signatures": contract(outputs={"y": ("float32", (-1, 3))})},
        Reason.SignatureContract, "outputs.y.shape is [-1,-1]",
    ),
    "output of unknown rank": (
        model({"serving_default": signature(outputs={"y": tensor(shape=None)})}),
        {"signatures": contract(outputs={"y": ("float32", (-1,))})},
        Reason.SignatureContract, "outputs.y.shape is unknown rank",
    ),
    "contract on a sparse input": (
        model({"serving_default": signature({"x": tensor(kind="Sparse")})}),
        {"signatures": contract(inputs={"x": ("float32",)})},
        Reason.SignatureContract, "inputs.x is Sparse",
    ),
    "tensor without node": (
        model(absent=("gone:0",)), {}, Reason.TensorMissing, "the signatures name gone:0",
    ),
    "composite output": (
        model({"serving_default": signature(outputs={"y": tensor(kind="Composite")})}), {},
        Reason.TensorMissing, "serving_default.outputs.y is a composite tensor",
    ),
    "sparse input of the only signature": (
        model({"only": signature({"x": tensor(kind="Sparse")})}), {},
        Reason.TensorMissing, "only.inputs.x is a sparse tensor",
    ),
    "python ops": (
        model(ops={"EagerPyFunc": 2, "PyFunc": 1, "Add": 5}), {},
        Reason.PythonOps, "the graph has EagerPyFunc (2), PyFunc (1): ",
    ),
    "stateless python op": (
        model(ops={"PyFuncStateless": 1}), {}, Reason.PythonOps, "PyFuncStateless (1)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refusals(case):
    candidate, gate, reason, phrase = REFUSED[case]
    verdict = check(candidate, **gate)
    assert verdict.rejected
    assert verdict.reason is reason
    assert phrase in verdict.message


ALLOWED = {
    "plain": (model(), {}),
    "contract by name only": (model(), {"signatures": contract()}),
    "contract in full": (
        model({"serving_default": signature(
            {"x": tensor(shape=[-1, 4]), "k": tensor(default="d")},
            {"y": tensor(shape=[-1, 3]), "z": tensor()})}),
        {"signatures": contract(
            inputs={"x": ("float32", (-1, 4))}, outputs={"y": ("float32", (-1, -1))})},
    ),
    "input takes more than asked": (
        model({"serving_default": signature({"x": tensor(shape=None)})}),
        {"signatures": contract(inputs={"x": ("float32", (2, 4))})},
    ),
    "any shape": (
        model({"serving_default": signature({"x": tensor(shape=[1, 4])})}),
        {"signatures": contract(inputs={"x": ("float32",)})},
    ),
    "classify": (
        model({"serving_default": signature(method="tensorflow/serving/classify")}),
        {"signatures": contract("Classify")},
    ),
    "python ops allowed": (model(ops={"PyFunc": 1}), {"ops": Ops("Allow")}),
    "sparse input of a signature that nobody is known to call": (
        model({"serving_default": signature(), "b": signature({"x": tensor(kind="Sparse")})}), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED, ids=str)
def test_passes(case):
    candidate, gate = ALLOWED[case]
    verdict = check(candidate, **gate)
    assert verdict.passed, verdict.message
    assert verdict.reason is Reason.GatePassed


def test_what_stable_has_already_is_no_news():
    """A ragged output that clients filter out today does not stop tomorrow's version."""
    ragged = {"y": tensor(), "r": tensor(kind="Composite")}
    facts = model({"serving_default": signature(outputs=ragged)})
    assert check(facts).reason is Reason.TensorMissing
    assert check(facts, stable=facts).passed


def test_the_first_check_that_refuses_decides():
    """Everything is wrong at once; fixing one thing shows the next."""
    broken = {"y": tensor(kind="Composite")}
    faults = {"ops": {"PyFunc": 1}, "absent": ("gone:0",)}
    named = {"signatures": contract(outputs={"z": ("float32",)})}
    stable = model({"serving_default": signature(outputs={"w": tensor(), "v": tensor()})})
    bad = model({"serving_default": signature(outputs=broken)}, **faults)
    order = [
        check(model({}, tags=("x",)), stable, **named),
        check(model({}, **faults), stable, **named),
        check(model({"b": signature()}, **faults), stable, **named),
        check(bad, stable, **named),
        check(bad, stable),
        check(bad),
        check(model({"serving_default": signature(outputs=broken)}, ops=faults["ops"])),
        check(model(ops=faults["ops"])),
        check(model()),
    ]
    assert [v.reason for v in order] == [
        Reason.TagsMissing, Reason.NoSignatures, Reason.SignatureMissing, Reason.SignatureContract,
        Reason.IncompatibleSignature, Reason.TensorMissing, Reason.TensorMissing, Reason.PythonOps,
        Reason.GatePassed,
    ]  # fmt: skip


def test_changed_tags_still_compare_with_what_stable_served():
    stable = model({"serving_default": signature(outputs={"y": tensor(), "z": tensor()})})
    candidate = model(tags=("serve", "gpu"))
    verdict = check_static(candidate, stable, Gate(), ["serve", "gpu"])
    assert verdict.reason is Reason.IncompatibleSignature
    named = check_static(candidate, stable, Gate(), ["serve", "gpu"], stable_tags=["serve"])
    assert named.reason is Reason.IncompatibleSignature


def test_a_returning_revision_skips_compatibility():
    stable = model({"other": signature()})
    none = Compatibility("None")
    assert check(model(), stable).rejected
    assert check(model(), stable, compatibility=none).passed


def test_hostile_names_do_not_grow_or_break_the_message():
    name = "k\n" * 5000
    stable = model({name: signature({name: tensor(), "b": tensor()}, {name: tensor()})})
    for candidate in (model(), model({name: signature({"b": tensor()}, {name: tensor("string")})})):
        verdict = check(candidate, stable)
        assert verdict.rejected
        assert len(verdict.message) <= MAX_MESSAGE
        assert verdict.message.isprintable()


REAL = {
    "keras3": Reason.GatePassed,
    "keras2": Reason.GatePassed,
    "module": Reason.GatePassed,
    "two_signatures": Reason.GatePassed,
    "sharded": Reason.GatePassed,
    "vocabulary": Reason.GatePassed,
    "defaults": Reason.GatePassed,
    "control_flow": Reason.GatePassed,
    "frozen": Reason.GatePassed,
    "tf1_builder": Reason.GatePassed,
    "no_signature": Reason.NoSignatures,
    "python_ops": Reason.PythonOps,
    "ragged_output": Reason.TensorMissing,
}


@pytest.mark.parametrize("name", REAL)
def test_real_models(zoo, name):
    facts = read_saved_model(BytesSource(zoo.pb(name)))
    assert check(facts).reason is REAL[name]


@pytest.mark.parametrize("name", [n for n, r in REAL.items() if r is Reason.GatePassed])
def test_a_real_model_is_compatible_with_itself(zoo, name):
    facts = read_saved_model(BytesSource(zoo.pb(name)))
    assert check(facts, facts, compatibility=Compatibility("Exact")).passed


def test_an_older_real_model_against_a_newer_one(zoo):
    """`two_signatures` is `module` plus a signature: forward fits, backward takes it away."""
    one = read_saved_model(BytesSource(zoo.pb("module")))
    two = read_saved_model(BytesSource(zoo.pb("two_signatures")))
    assert check(two, one).passed
    back = check(one, two)
    assert back.reason is Reason.IncompatibleSignature
    assert back.message.startswith("wide is gone: gRPC, RESTRow and RESTColumn clients that call")
