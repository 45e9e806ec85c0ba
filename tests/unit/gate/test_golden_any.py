"""Whatever a server answers and whatever a file expects, there is a verdict and it is bounded."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from savedmodel_operator.api.golden import Agreement, ConfigMapFile, GoldenRequest
from savedmodel_operator.gate.golden import judge_agreement, judge_golden
from savedmodel_operator.gate.golden_file import MalformedGolden, read_golden
from savedmodel_operator.gate.verdict import MAX_MESSAGE
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

REQUEST = GoldenRequest("any", ConfigMapFile("golden", "any.json"))
NAMES = st.sampled_from(["y", "z", "b64", "", "a[0]"])
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.just(10**400) | st.just({"b64": "YQ=="}) | st.just({"b64": "?"})
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
FORMS = st.sampled_from(["predictions", "outputs", "results"])
ANSWERS = st.one_of(VALUES, st.builds(lambda form, value: {form: value}, FORMS, VALUES))
SIGNATURES = st.builds(
    lambda outputs: Signature("tensorflow/serving/predict", {}, outputs),
    st.dictionaries(
        NAMES,
        st.builds(
            lambda dtype: TensorSpec(dtype, None, "t:0"),
            st.sampled_from(["DT_FLOAT", "DT_INT64", "DT_STRING", "DT_BOOL"]),
        ),
        max_size=3,
    ),
)
CODES = st.sampled_from([0, 200, 200, 200, 400, 404, 500, 503])


def reply(code, answer):
    return code, json.dumps(answer).encode()


@settings(max_examples=400, deadline=None)
@given(ANSWERS, ANSWERS, SIGNATURES, CODES)
def test_any_expectation_and_any_answer(expected, answer, signature, code):
    form = {"predictions": "instances", "outputs": "inputs", "results": "examples"}
    asked = next((form[k] for k in form if isinstance(expected, dict) and k in expected), "inputs")
    file = json.dumps({"request": {asked: []}, "response": expected}).encode()
    try:
        golden = read_golden(REQUEST, file)
    except MalformedGolden:
        return
    verdict = judge_golden(golden, signature, reply(code, answer))
    assert 0 < len(verdict.message) <= MAX_MESSAGE


@settings(max_examples=300, deadline=None)
@given(ANSWERS, ANSWERS, SIGNATURES, SIGNATURES, CODES, CODES)
def test_any_two_answers(mine, theirs, has, had, code, other):
    golden = read_golden(REQUEST, b'{"request": {"inputs": 1}}')
    answers = (reply(code, mine), reply(other, theirs))
    verdict = judge_agreement(golden, Agreement("0.5"), (has, had), answers)
    assert 0 < len(verdict.message) <= MAX_MESSAGE


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.builds(lambda v: json.dumps(v).encode(), VALUES))
def test_any_file(data):
    try:
        golden = read_golden(REQUEST, data)
    except MalformedGolden:
        return
    json.loads(golden.body)
