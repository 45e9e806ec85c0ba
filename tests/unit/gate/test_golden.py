"""What a golden file says, how answers are compared, and what the sentence on it is."""

import base64
import io
import json

import numpy as np
import pytest

from savedmodel_operator.api.golden import (
    Agreement,
    Budgets,
    Closeness,
    ConfigMapFile,
    GoldenRequest,
    Tolerance,
)
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.gate.budgets import check_first_request, check_load_time, check_size
from savedmodel_operator.gate.golden import choose_verb, judge_agreement, judge_golden
from savedmodel_operator.gate.golden_file import MalformedGolden, digest, read_golden
from savedmodel_operator.gate.verdict import Outcome
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

FILE = ConfigMapFile("golden", "iris.json")
STRICT = Tolerance("1e-5", "1e-4")


def request(tolerance=STRICT, signature="serving_default"):
    return GoldenRequest("iris", FILE, signature, tolerance)


def file(response=None, asked=None, tolerance=STRICT):
    content = {"request": asked or {"instances": [[1.0]]}}
    if response is not None:
        content["response"] = response
    return read_golden(request(tolerance), json.dumps(content).encode())


def model(method="predict", **dtypes):
    outputs = {k: TensorSpec(f"DT_{v}", (-1,), f"{k}:0") for k, v in dtypes.items()}
    return Signature(f"tensorflow/serving/{method}", {}, outputs)


def judge(expected, got, tolerance=STRICT, **dtypes):
    answer = got if isinstance(got, tuple) else (200, json.dumps(got).encode())
    return judge_golden(
        file(expected, tolerance=tolerance), model(**dtypes or {"y": "FLOAT"}), answer
    )


def rows(*values):
    return {"predictions": list(values)}


# the file


def test_the_signature_is_sent_along():
    golden = file({"predictions": [1]}, {"instances": [1], "context": {}})
    assert json.loads(golden.body) == {
        "signature_name": "serving_default",
        "instances": [1],
        "context": {},
    }
    assert golden.expected == {"predictions": [1]}


def test_numbers_are_sent_as_they_stand_in_the_file():
    text = b'{"request": {"inputs": [0.1, 1e-40, NaN, -Infinity, 9007199254740993, 1.0]}}'
    golden = read_golden(request(), text)
    assert b"[0.1, 1e-40, NaN, -Infinity, 9007199254740993, 1.0]" in golden.body
    assert golden.expected is None


MALFORMED = {
    "no JSON": (b"{", "it is no JSON"),
    "not UTF-8": (b"\xff{}", "it is no JSON"),
    "a list": (b"[]", "the file is no JSON object"),
    "deep": (b"[" * 100_000, "it is no JSON"),
    "no request": (b"{}", "request is no JSON object"),
    "a typing error": (b'{"request": {"inputs": 1}, "respones": {}}', "it has respones; only"),
    "two forms": (b'{"request": {"inputs": 1, "instances": []}}', "exactly one of instances"),
    "no form": (b'{"request": {"x": 1}}', "exactly one of instances"),
    "another signature": (
        b'{"request": {"signature_name": "other", "inputs": 1}}',
        "request.signature_name is other and the field signature is serving_default",
    ),
    "another form of response": (
        b'{"request": {"instances": []}, "response": {"outputs": 1}}',
        "request has instances, so response must have predictions; it has outputs",
    ),
    "too long": (b" " * (1024 * 1024 + 1), "at most 1 MiB"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_names_field_and_remedy(name):
    data, text = MALFORMED[name]
    with pytest.raises(MalformedGolden) as caught:
        read_golden(request(), data)
    assert str(caught.value).startswith("gate.requests[iris]: ConfigMap golden, key iris.json: "), (
        caught.value
    )
    assert text in str(caught.value)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_arrays_are_sent_in_column_form():
    data = npz(
        **{
            "in:x": np.array([[1.5, 2]], np.float32),
            "in:name": np.array([b"\xff"]),
            "out:y": np.array([3], np.int64),
        }
    )
    golden = read_golden(request(), data)
    assert json.loads(golden.body) == {
        "signature_name": "serving_default",
        "inputs": {"x": [[1.5, 2.0]], "name": [{"b64": base64.b64encode(b"\xff").decode()}]},
    }
    assert golden.expected == {"outputs": {"y": [3]}}


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": np.zeros(1)}, "it has an array x; name inputs in:NAME"),
        ({"out:y": np.zeros(1)}, "nothing to send"),
        ({"in:x": np.zeros(1, np.float16)}, "in:x is float16"),
        ({"in:x": np.array([None])}, "would have to be unpickled"),
    ],
)
def test_arrays_that_say_nothing(arrays, text):
    with pytest.raises(MalformedGolden, match=text):
        read_golden(request(), npz(**arrays))


def test_a_digest_changes_with_every_byte_and_name():
    seen = {
        digest(pairs)
        for pairs in (
            [],
            [("a", b"x")],
            [("a", b"y")],
            [("b", b"x")],
            [("a", b"x"), ("b", b"x")],
            [("a", b""), ("b", b"xx")],
        )
    }
    assert len(seen) == 6
    assert "" in seen


@pytest.mark.parametrize(
    ("form", "method", "verb"),
    [
        ("instances", "predict", "predict"),
        ("inputs", "classify", "predict"),
        ("examples", "classify", "classify"),
        ("examples", "regress", "regress"),
        ("examples", "predict", None),
    ],
)
def test_the_verb_follows_form_and_method(form, method, verb):
    assert choose_verb(file(asked={form: []}), model(method)) == verb


# the comparison

SAME = {
    "equal": (rows(0.25, 1), rows(0.25, 1.0), {}),
    "at the limit": (rows(0.25), rows(0.25 + 0.99e-5 + 0.25e-4), {}),
    "NaN with NaN": (rows(float("nan")), rows(float("nan")), {}),
    "infinities": (rows(float("inf"), -float("inf")), rows(float("inf"), -float("inf")), {}),
    "integers": (rows(9007199254740993), rows(9007199254740993), {"y": "INT64"}),
    "booleans": (rows(True, False), rows(True, False), {"y": "BOOL"}),
    "strings": (rows("ab"), rows("ab"), {"y": "STRING"}),
    "text and base64": (rows("ab"), rows({"b64": "YWI="}), {"y": "STRING"}),
    "column form": ({"outputs": {"y": [1]}}, {"outputs": [1.0]}, {}),
    "rows with names": (rows({"y": 1, "z": 2}), rows({"z": 2, "y": 1}), {"y": "FLOAT", "z": "FLOAT"}),
    "an output more": (rows({"y": 1}), rows({"y": 1, "z": 2}), {"y": "FLOAT", "z": "FLOAT"}),
    "nothing": (rows(), rows(), {}),
    "empty rows": (rows([], []), rows([], []), {}),
    "only asked": (None, rows(1, 2, 3), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_near_enough(name):
    expected, got, dtypes = SAME[name]
    form = "inputs" if expected and "outputs" in expected else "instances"
    golden = file(expected, {form: []})
    verdict = judge_golden(
        golden, model(**dtypes or {"y": "FLOAT"}), (200, json.dumps(got).encode())
    )
    assert verdict.passed, verdict.message


NAN, INF = float("nan"), float("inf")
OTHER = {
    "beyond the limit": (
        rows([0, 0], [0, 0], [0, 0], [0, 0.25]), rows([0, 0], [0, 0], [0, 0], [0, 0.31]), {},
        "y[3][1]: expected 0.25, got 0.31, off by 0.06, allowed 0.00001 + 0.0001 × 0.25;",
    ),
    "the worst of several": (
        rows(1, 2, 3), rows(1.1, 2.5, 3.2), {},
        "y[1]: expected 2, got 2.5, off by 0.5, allowed 0.00001 + 0.0001 × 2 (3 of 3 values differ",
    ),
    "negative": (rows(-4.0), rows(-3.0), {}, "allowed 0.00001 + 0.0001 × 4"),
    "NaN": (rows(1), rows(NAN), {}, "y[0]: expected 1, got nan;"),
    "NaN expected": (rows(NAN), rows(1), {}, "y[0]: expected nan, got 1;"),
    "infinity of the other sign": (rows(INF), rows(-INF), {}, "expected inf, got -inf"),
    "infinity for a number": (rows(1e308), rows(INF), {}, "expected 1e+308, got inf"),
    "integers": (
        rows(9007199254740993), rows(9007199254740992), {"y": "INT64"},
        "y[0]: expected 9007199254740993, got 9007199254740992, off by 1; DT_INT64 is compared exact",
    ),
    "an absurd integer": (rows(1), rows(10**400), {}, "y[0]: expected 1, got 1000"),
    "absurd integers": (rows(1, 10**400), rows(2, 10**400 + 1), {"y": "INT64"}, "y[1]: expected 1000"),
    "booleans": (rows(True), rows(False), {"y": "BOOL"}, "expected true, got false"),
    "a number for a boolean": (rows(True), rows(1), {"y": "BOOL"}, "expected true, got 1"),
    "strings": (rows("a"), rows("b"), {"y": "STRING"}, 'y[0]: expected "a", got "b";'),
    "long strings": (rows("a" * 999), rows("b" * 999), {"y": "STRING"}, "aaa…, got"),
    "null": (rows(1), rows(None), {}, "expected 1, got None"),
    "fewer rows": (rows(1, 2), rows(1), {}, "y: expected shape [2], got [1];"),
    "wider rows": (rows([1, 2]), rows([1, 2, 3]), {}, "y: expected shape [1, 2], got [1, 3];"),
    "ragged": (rows([1], [1, 2]), rows([1], [1]), {}, "y[1]: expected a list of 2, got a list of 1"),
    "another rank": (rows([1]), rows(1), {}, "y: expected shape [1, 1], got [1]"),
    "a missing output": (
        rows({"y": 1, "z": 2}), rows({"y": 1}), {"y": "FLOAT"},
        "outputs z are missing, there are y;",
    ),
    "rows of different outputs": (
        rows({"y": 1}), rows({"y": 1}, {"z": 1}), {"y": "FLOAT", "z": "FLOAT"}, "different outputs",
    ),
    "another form": (rows(1), {"outputs": [1]}, {}, None),
    "nonsense": (rows(1), {"x": 1}, {}, "has none of predictions"),
    "no JSON": (rows(1), (200, b"{"), {}, "answer is no JSON object"),
    "an error": (
        rows(1), (400, b'{"error": "input must be [?,4]"}'), {},
        "golden request iris: the candidate answered with HTTP 400: 'input must be [?,4]'",
    ),
    "an error of the server": (rows(1), (500, b"oops"), {}, "answered with HTTP 500"),
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in OTHER if n != "another form"])
def test_refused_with_the_figures(name):
    expected, got, dtypes, text = OTHER[name]
    verdict = judge(expected, got, **dtypes)
    assert verdict.reason is Reason.GoldenMismatch
    assert text in verdict.message
    assert len(verdict.message) <= 1000
    if not isinstance(got, tuple):
        assert "the file (ConfigMap golden, key iris.json)" in verdict.message


@pytest.mark.parametrize("code", [0, 404, 429, 499, 503, 504])
def test_an_answer_that_says_not_now_is_no_refusal(code):
    verdict = judge(rows(1), (code, b"connection refused"))
    assert (verdict.outcome, verdict.reason) == (Outcome.Errored, Reason.CheckErrored)


def test_deep_answers_end_in_a_refusal():
    deep: object = 1
    for _ in range(80):
        deep = [deep]
    assert "nested deeper than 64" in judge(rows(deep), rows(deep)).message


def test_a_tolerance_of_one_output():
    loose = Tolerance("0", "0", {"z": Closeness("0.5", "0")})
    both = {"y": "FLOAT", "z": "FLOAT"}
    assert judge(rows({"y": 1, "z": 1}), rows({"y": 1, "z": 1.4}), loose, **both).passed
    verdict = judge(rows({"y": 1, "z": 1}), rows({"y": 1.05, "z": 1.6}), loose, **both)
    assert "z[0]: expected 1, got 1.6, off by 0.6, allowed 0.5 + 0 × 1" in verdict.message


def test_scores_of_a_classifier_have_a_tolerance_and_its_labels_none():
    expected = {"results": [[["cat", 0.9], ["dog", 0.1]]]}
    golden = file(expected, {"examples": [{}]})
    near = {"results": [[["cat", 0.90001], ["dog", 0.1]]]}
    other = {"results": [[["dog", 0.9], ["cat", 0.1]]]}
    signature = model("classify", scores="FLOAT", classes="STRING")
    assert judge_golden(golden, signature, (200, json.dumps(near).encode())).passed
    verdict = judge_golden(golden, signature, (200, json.dumps(other).encode()))
    assert 'results[0][0][0]: expected "cat", got "dog"' in verdict.message


# agreement


def agree(mine, theirs, most="0.05", mine_has=None, theirs_has=None):
    answers = [a if isinstance(a, tuple) else (200, json.dumps(a).encode()) for a in (mine, theirs)]
    signatures = (model(**mine_has or {"y": "FLOAT"}), model(**theirs_has or {"y": "FLOAT"}))
    return judge_agreement(file(), Agreement(most), signatures, tuple(answers))


def test_agreement_and_its_figures():
    assert agree(rows(0.3, NAN), rows(0.25, NAN)).passed
    verdict = agree(rows([0.31, 0.9]), rows([0.25, 0.9]))
    assert verdict.reason is Reason.AgreementMismatch
    assert "y[0][0]: stable answers 0.25, the candidate 0.31, 0.06 apart, allowed 0.05" in (
        verdict.message
    )


def test_agreement_by_name_where_the_candidate_has_an_output_more():
    both = {"y": "FLOAT", "z": "FLOAT"}
    assert agree(rows({"y": 1, "z": 2}), rows(1), mine_has=both).passed
    assert (
        agree(rows(1), rows({"y": 1, "z": 2}), theirs_has=both).reason is Reason.AgreementMismatch
    )


def test_labels_must_be_the_same():
    strings = {"mine_has": {"y": "STRING"}, "theirs_has": {"y": "STRING"}}
    assert agree(rows("cat"), rows("cat"), **strings).passed
    assert (
        'stable answers "cat", the candidate "dog"'
        in agree(rows("dog"), rows("cat"), **strings).message
    )


@pytest.mark.parametrize("answer", [(503, b""), (400, b'{"error": "no such input"}'), (200, b"[]")])
def test_without_stables_answer_nothing_is_refused(answer):
    verdict = agree(rows(1), answer)
    assert verdict.reason is Reason.CheckErrored
    assert "stable" in verdict.message
    assert "gate.agreement.requests" in verdict.message


def test_another_structure_than_stables():
    assert (
        "built unlike stable's: y: expected shape [2], got [1]"
        in agree(rows(1), rows(1, 2)).message
    )


# budgets


def test_sizes():
    assert check_size(10**12, 10**6, None) is None
    assert check_size(1024, 5, Budgets(bytes="1Ki", objects=5)) is None
    verdict = check_size(1025, 5, Budgets(bytes="1Ki", objects=5))
    assert verdict.reason is Reason.SizeOverBudget
    assert "1,025 bytes, gate.budgets.bytes allows 1Ki (1,024)" in verdict.message
    assert (
        "6 objects, gate.budgets.objects allows 5"
        in check_size(1, 6, Budgets(bytes="1Ki", objects=5)).message
    )


def test_times():
    assert check_load_time(None, Budgets(load_time="1s")) is None
    assert check_load_time(1.0, Budgets(load_time="1s")) is None
    assert check_load_time(99.0, Budgets()) is None
    assert "took 90 s" in check_load_time(90.0, Budgets(load_time="1m")).message
    assert check_first_request(0.5, "iris", Budgets(first_request="500ms")) is None
    verdict = check_first_request(0.501, "iris", Budgets(first_request="500ms"))
    assert verdict.reason is Reason.TimeOverBudget
    assert "(golden request iris) took 0.501 s" in verdict.message
