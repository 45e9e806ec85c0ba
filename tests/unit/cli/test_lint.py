"""`savedmodel lint`: the API server's own refusals without one, line numbers, advice, wrong input.

The refusals are the table that the tests of the API level put to a real API server, so lint and
server are held to the same words.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from api.bad_manifests import CASES
from api.good_manifest import GOOD, manifest
from savedmodel_operator.api.schema import build_root
from savedmodel_operator.cli.__main__ import main
from savedmodel_operator.cli.lint_cel import UnknownCelError, compile_rule
from savedmodel_operator.cli.lint_cel_functions import CelError

TESTS = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((TESTS.parent / "docs/examples").glob("*.yaml"))


def lint(*args: object, stdin: str | bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["lint", *map(str, args)], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def problems(text: str, *args: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, _ = lint("-", "-o", "json", *args, stdin=text)
    return code, json.loads(out)["problems"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_samples_are_valid(path):
    code, out, err = lint(path)
    assert (code, err) == (0, "")
    assert "valid: 1 object, 0 errors" in out


@pytest.mark.parametrize("name", CASES)
def test_what_an_api_server_refuses_is_refused_in_its_words(name):
    changes, texts = CASES[name]
    code, found = problems(yaml.safe_dump(manifest(changes)))
    said = "\n".join(p["message"] for p in found if p["level"] == "error")
    assert code == 1
    for text in texts:
        assert text in said


def test_nulls_and_stored_fields_are_no_problem():
    changes = {"spec.source.pollInterval": None, "spec.modelName": None, "spec.rollout": None}
    stored = {"metadata.uid": "1", "metadata.managedFields": [{}], "status": {"phase": "Serving"}}
    code, found = problems(yaml.safe_dump(manifest(changes | stored)))
    assert code == 0
    assert {p["level"] for p in found} == {"advice"}


def _rules(node: Any) -> set[str]:
    if isinstance(node, list):
        return {rule for item in node for rule in _rules(item)}
    if not isinstance(node, dict):
        return set()
    own = {rule["rule"] for rule in node.get("x-kubernetes-validations", [])}
    return own | {rule for value in node.values() for rule in _rules(value)}


@pytest.mark.parametrize("rule", sorted(_rules(build_root())), ids=str)
def test_no_rule_of_the_crd_is_beyond_the_reader(rule):
    compile_rule(rule)


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ("self.a + self.b - 1 == 4", {"a": 2, "b": 3}, True),
        ("!(self in [1, 2]) || self > 1", 1, False),
        ("self.exists(x, x == 'it\\'s')", ["it's"], True),
        ("self.filter(x, x % 2)", [], UnknownCelError),
        ("self.map(x, x * 2)", [], UnknownCelError),
        ("has(self.a.b) ? self.a.b : 'none'", {"a": {}}, "none"),
        ("self.a.b", {"a": {}}, CelError),
        ("self[1] == 'b'", ["a", "b"], True),
        ("self[5]", ["a"], CelError),
        ("duration(self) < duration('1h')", "59m59s", True),
        ("duration(self) < duration('1h')", "3000000h", CelError),
        ("type(self) == int ? self > 0 : quantity(self).isGreaterThan(quantity('0'))", "1Gi", True),
        ("quantity(self).isGreaterThan(quantity('0'))", "lots", CelError),
        ("size(self) < 3 && -1 < size(self)", "ab", True),
        ("self < 'a'", 1, CelError),
        ("self.nonsense()", 1, UnknownCelError),
        ("self ==", 1, UnknownCelError),
        ("self ~ 1", 1, UnknownCelError),
    ],
)
def test_rules(rule, value, expected):
    if isinstance(expected, type) and issubclass(expected, Exception):
        with pytest.raises(expected):
            compile_rule(rule)({"self": value})
    else:
        assert compile_rule(rule)({"self": value}) == expected


MANIFEST = """\
# one that is wrong in several places
apiVersion: savedmodel.dev/v1alpha1
kind: SavedModelDeployment
metadata:
  name: flowers
spec:
  source:
    uri: s3://models/flowers
    secretRef: {name: savedmodel-storage}
    poll_interval: 10s
  serving:
    image: tensorflow/serving:2.20.0
    replicas: two
  rollout:
    steps:
      - weight: 5
        hold: 5 minutes
      - weihgt: 50
"""


def test_each_problem_has_its_line_and_the_field_that_was_meant():
    code, found = problems(MANIFEST)
    assert code == 1
    assert [(p["line"], p["path"]) for p in found] == [
        (10, "spec.source.poll_interval"),
        (13, "spec.serving.replicas"),
        (17, "spec.rollout.steps[0].hold"),
        (18, "spec.rollout.steps[1].weight"),
        (18, "spec.rollout.steps[1].weihgt"),
    ]
    said = {p["path"]: p["message"] for p in found}
    assert said["spec.source.poll_interval"] == (
        'unknown field "spec.source.poll_interval"; did you mean pollInterval?'
    )
    assert said["spec.rollout.steps[1].weihgt"].endswith("did you mean weight?")
    text = lint("-", stdin=MANIFEST)[1].splitlines()
    assert text[0] == (
        'stdin:10: error: unknown field "spec.source.poll_interval"; did you mean pollInterval?'
    )
    assert text[5] == "not valid: 1 object, 5 errors, 0 advice"


def test_an_unknown_field_that_is_near_to_none_names_those_that_are_there():
    bad = manifest({"spec.versions.zzz": 1})
    assert "; known are policy" in problems(yaml.safe_dump(bad))[1][0]["message"]


def test_a_field_that_stands_twice_is_refused():
    code, found = problems(MANIFEST.split("  rollout")[0].replace("two", "2\n    replicas: 3"))
    messages = [p["message"] for p in found]
    assert code == 1
    assert 'duplicate field "spec.serving.replicas"' in messages


def test_several_documents_and_lists(tmp_path):
    good, bad = GOOD, manifest({"spec.serving.image": ""})
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "golden"}}
    code, found = problems(yaml.safe_dump_all([other, good, None, bad]))
    assert code == 1
    assert [p["path"] for p in found if p["level"] == "error"] == ["spec.serving.image"]
    both = {"apiVersion": "v1", "kind": "List", "items": [other, bad]}
    text = yaml.safe_dump(both)
    code, found = problems(text)
    errors = [p for p in found if p["level"] == "error"]
    assert code == 1
    assert text.splitlines()[errors[0]["line"] - 1].strip() == "image: ''"
    file = tmp_path / "both.json"
    file.write_text(json.dumps(both))
    assert lint(file)[0] == 1


ADVICE = {
    "image without version": ({"spec.serving.image": "tensorflow/serving"}, "names no version"),
    "image latest": ({"spec.serving.image": "tensorflow/serving:latest-gpu"}, "names no version"),
    "registry with a port": ({"spec.serving.image": "store:5000/serving"}, "names no version"),
    "no contract": ({}, "list what clients call"),
    "no compatibility": ({"spec.gate.compatibility.mode": "None"}, "write Backward"),
    "python ops": ({"spec.gate.ops.python": "Allow"}, "fails every request"),
    "no steps": ({}, "gets all requests at once"),
    "no hold": ({"spec.rollout.steps": [{"weight": 5}]}, "give them a hold"),
    "downtime": ({"spec.rollout.capacity": "Recreate"}, "answered 503 until it has loaded"),
    "less than a pod": (
        {
            "spec.serving.replicas": 3,
            "spec.rollout": {"capacity": "Replace", "steps": [{"weight": 5, "hold": "1m"}]},
        },
        "the step has one pod and 33 % of the requests",
    ),
    "deadline": ({"spec.rollout.deadline": "10m"}, "no longer than serving.loadDeadline"),
    "one pod": ({}, "one pod"),
    "one router": ({"spec.traffic.router.replicas": 1}, "one router"),
    "no memory": ({}, "no memory is asked for"),
    "plain http": ({"spec.source.endpoint": "http://store:9000"}, "use https"),
}


@pytest.mark.parametrize("name", ADVICE)
def test_advice_is_given_and_fails_only_when_strict(name):
    changes, words = ADVICE[name]
    text = yaml.safe_dump(manifest(changes))
    code, found = problems(text)
    assert code == 0
    assert words in "\n".join(p["message"] for p in found)
    assert problems(text, "--strict")[0] == 1


def test_nothing_to_advise():
    whole = manifest(
        {
            "spec.serving.image": "registry.example:5000/serving@sha256:" + "0" * 64,
            "spec.serving.replicas": 2,
            "spec.serving.resources": {"requests": {"memory": "1Gi"}},
            "spec.gate.signatures": [{"name": "serving_default"}],
            "spec.gate.ops.servingVersion": "2.20",
            "spec.rollout.steps": [{"weight": 5, "hold": "5m"}],
        }
    )
    assert problems(yaml.safe_dump(whole), "--strict") == (0, [])


def test_what_is_no_yaml_is_refused_with_its_line():
    code, out, _ = lint("-", stdin="a: b\nc: [1, 2\nd: e\n")
    assert code == 1
    assert out.startswith("stdin:3: error: no YAML: ")
    assert lint("-", stdin=b"a: \xff")[0] == 1
    assert "nested too deep" in lint("-", stdin="[" * 5000 + "]" * 5000)[1]


def test_a_file_that_multiplies_itself_is_refused():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
    )
    code, out, _ = lint("-", stdin=bomb)
    assert code == 1
    assert "more than 200000 values" in out
    assert lint("-", stdin="a: &a [*a]\n")[0] == 1


def test_wrong_files(tmp_path):
    assert lint()[0] == 2
    code, out, err = lint(tmp_path / "missing.yaml")
    assert (code, out) == (4, "")
    assert "missing.yaml: No such file or directory" in err
    assert lint(tmp_path)[0] == 4
    pod = tmp_path / "pod.yaml"
    pod.write_text("apiVersion: v1\nkind: Pod\n")
    code, out, err = lint(pod)
    assert (code, out) == (2, "")
    assert f"no SavedModelDeployment in {pod}" in err
    for text in ("", "just a text", "[1, 2]"):
        assert lint("-", stdin=text)[0] == 2


def test_another_version_or_kind_of_the_group_is_refused():
    text = yaml.safe_dump(GOOD)
    code, found = problems(text.replace("v1alpha1", "v1"))
    assert code == 1
    assert "savedmodel.dev/v1alpha1 is expected, found 'savedmodel.dev/v1'" in found[0]["message"]
    assert problems(text.replace("SavedModelDeployment", "SavedModel"))[0] == 1
