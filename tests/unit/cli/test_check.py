"""`savedmodel check` as a pipeline calls it, on real models: verdicts, terms, exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from savedmodel_operator.cli.__main__ import main


def check(*args: object, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["check", *map(str, args)], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def answer(*args: object, stdin: str | None = None) -> dict[str, Any]:
    code, out, err = check(*args, "-o", "json", stdin=stdin)
    found: dict[str, Any] = json.loads(out)
    assert (code, err) == (0 if found["passed"] else 1, "")
    return found


def smd(name: str = "flowers", **spec: Any) -> str:
    source = {"uri": "s3://models/flowers", "anonymous": True}
    serving = {"image": "tensorflow/serving:2.20.0"} | spec.pop("serving", {})
    return yaml.safe_dump(
        {
            "apiVersion": "savedmodel.dev/v1alpha1",
            "kind": "SavedModelDeployment",
            "metadata": {"name": name},
            "spec": {"source": source, "serving": serving, **spec},
        }
    )


def test_a_version_may_replace_itself(zoo):
    folder = zoo.folder / "module"
    code, out, err = check(folder, "--against", folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("yes: 1 signature, compatible with stable for ")
    found = answer(folder, "--against", folder)
    assert found["reason"] == "GatePassed"
    assert found["terms"] == {
        "source": "defaults",
        "tags": ["serve"],
        "image": None,
        "mode": "Backward",
        "clients": ["RESTRow", "RESTColumn", "GRPC"],
        "signatures": [],
    }


def test_a_first_version_needs_no_other(zoo):
    code, out, _ = check(zoo.folder / "module")
    assert code == 0
    assert "nothing: a first version" in out


def test_a_broken_signature_is_a_no_with_every_finding(zoo):
    args = (zoo.folder / "defaults", "--against", zoo.folder / "two_signatures")
    code, out, _ = check(*args)
    assert code == 1
    assert out.startswith("no: IncompatibleSignature: ")
    assert "  break  wide is gone\n" in out
    assert "would break\n         → export it again\n" in out
    found = answer(*args)
    paths = {f["path"]: f for f in found["findings"]}
    assert paths["serving_default.outputs.z"]["effects"] == {
        "GRPC": "would break",
        "RESTRow": "would break",
        "RESTColumn": "would break",
    }
    assert paths["wide"]["advice"] == "export it again"
    assert paths["wide"]["source"]


def test_the_kinds_of_client_decide(zoo):
    """An input with a default is new: gRPC clients may leave it out, REST clients may not."""
    old, new = zoo.folder / "frozen", zoo.folder / "defaults"
    both = answer(new, "--against", old)
    for client in ("RESTRow", "RESTColumn", "GRPC"):
        found = answer(new, "--against", old, "--client", client)
        broken = [f for f in found["findings"] if f["severity"] == "break"]
        assert all(f["clients"] == [client] for f in broken if f["clients"])
        assert found["terms"]["clients"] == [client]
    twice = answer(new, "--against", old, "--client", "GRPC", "--client", "GRPC")
    assert twice["terms"]["clients"] == ["GRPC"]
    assert both["terms"]["clients"] == ["RESTRow", "RESTColumn", "GRPC"]


def test_modes(zoo):
    args = (zoo.folder / "defaults", "--against", zoo.folder / "two_signatures")
    assert answer(*args, "--mode", "None")["passed"]
    assert not answer(*args, "--mode", "Exact")["passed"]
    assert check(*args, "--mode", "backward")[0] == 2


def test_tags(zoo):
    found = answer(zoo.folder / "module", "--tag-set", "serve,gpu")
    assert (found["passed"], found["reason"]) == (False, "TagsMissing")
    assert found["terms"]["tags"] == ["serve", "gpu"]


def test_a_manifest_sets_the_terms(zoo, tmp_path):
    contract = [{"name": "serving_default", "inputs": {"nonsense": {"dtype": "float32"}}}]
    file = tmp_path / "smd.yaml"
    file.write_text(smd(gate={"signatures": contract, "compatibility": {"clients": ["GRPC"]}}))
    found = answer(zoo.folder / "module", "--manifest", file)
    assert (found["passed"], found["reason"]) == (False, "SignatureContract")
    assert found["terms"]["source"] == f"{file}: flowers"
    assert found["terms"]["image"] == "tensorflow/serving:2.20.0"
    assert found["terms"]["clients"] == ["GRPC"]
    assert found["terms"]["signatures"] == ["serving_default"]


def test_options_lie_over_the_manifest_which_may_come_from_stdin(zoo):
    folder = zoo.folder / "module"
    text = smd(
        gate={"compatibility": {"mode": "None"}}, serving={"options": {"tags": ["serve", "gpu"]}}
    )
    assert answer(folder, "-f", "-", stdin=text)["reason"] == "TagsMissing"
    found = answer(folder, "-f", "-", "--tag-set", "serve", "--mode", "Exact", stdin=text)
    assert found["passed"]
    assert found["terms"]["mode"] == "Exact"


def test_one_of_several_manifests(zoo):
    folder = zoo.folder / "module"
    text = smd("a") + "---\n" + smd("b", gate={"ops": {"python": "Allow"}}) + "---\nkind: Pod\n"
    assert answer(folder, "-f", "-", "--name", "b", stdin=text)["terms"]["source"] == "stdin: b"
    code, _, err = check(folder, "-f", "-", stdin=text)
    assert code == 2
    assert "stdin has several, a, b: choose one by --name" in err
    code, _, err = check(folder, "-f", "-", "--name", "c", stdin=text)
    assert code == 2
    assert "no SavedModelDeployment c in stdin; it has a, b" in err
    assert check(folder, "--name", "a")[0] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "stdin:1: no YAML: "),
        ("kind: Pod\napiVersion: v1\n", "no SavedModelDeployment in stdin"),
        (smd(gate={"compatability": {}}), 'unknown field "spec.gate.compatability"; did you mean '),
        (smd(gate={"compatibility": {"mode": "Off"}}), "stdin:"),
        ("", "no SavedModelDeployment"),
    ],
    ids=["no yaml", "wrong kind", "misspelt", "not valid", "empty"],
)
def test_a_wrong_manifest_is_no_verdict(zoo, text, words):
    code, out, err = check(zoo.folder / "module", "-f", "-", stdin=text)
    assert (code, out) == (2, "")
    assert words in err


def test_what_needs_a_running_pod_is_named(zoo):
    text = (Path(__file__).resolve().parents[3] / "docs/examples/golden.yaml").read_text()
    found = answer(zoo.folder / "module", "-f", "-", stdin=text)
    assert [text.split()[0] for text in found["later"]] == ["golden", "agreement", "load", "first"]
    assert "only a running pod can say" in check(zoo.folder / "module", "-f", "-", stdin=text)[1]


BUDGETS = {
    "bytes": ({"bytes": "1Ki"}, "bytes, gate.budgets.bytes allows 1Ki (1,024)"),
    "bytes as a number": ({"bytes": 1024}, "gate.budgets.bytes allows 1024"),
    "objects": ({"objects": 3}, "4 objects, gate.budgets.objects allows 3"),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_size_budgets(zoo, name):
    budgets, words = BUDGETS[name]
    found = answer(zoo.folder / "module", "-f", "-", stdin=smd(gate={"budgets": budgets}))
    assert (found["passed"], found["check"], found["reason"]) == (False, "size", "SizeOverBudget")
    assert words in found["message"]


def test_budgets_that_are_kept(zoo):
    budgets = {"bytes": "1Mi", "objects": 4}
    assert answer(zoo.folder / "module", "-f", "-", stdin=smd(gate={"budgets": budgets}))["passed"]


@pytest.fixture
def torn(zoo, tmp_path) -> Path:
    shutil.copytree(zoo.folder / "module", tmp_path / "7")
    return tmp_path / "7"


def test_a_torn_candidate_is_a_no_and_a_torn_stable_none(zoo, torn):
    shard = next(torn.glob("variables/variables.data*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    found = answer(torn, "--against", zoo.folder / "module")
    assert (found["passed"], found["check"], found["reason"]) == (False, "layout", "Incomplete")
    assert check(zoo.folder / "module", "--against", torn)[0] == 0
    (torn / "saved_model.pb").write_bytes(b"\xff" * 100)
    assert answer(torn)["reason"] == "MalformedModel"
    code, out, err = check(zoo.folder / "module", "--against", torn)
    assert (code, out) == (4, "")
    assert "saved_model.pb, byte " in err


def test_damage_is_seen_by_a_deep_look(torn):
    shard = next(torn.glob("variables/variables.data*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert answer(torn)["passed"]
    found = answer(torn, "--deep")
    assert (found["passed"], found["check"], found["reason"]) == (False, "deep", "TensorDamaged")


def test_what_could_not_be_read_is_no_verdict(zoo, torn):
    good = zoo.folder / "module"
    code, out, err = check(torn.parent, "--against", good)
    assert (code, out) == (4, "")
    assert "it holds the versions 7: name one of them" in err
    assert check(good, "--against", torn.parent / "nothing")[0] == 4
    assert check(good, "--manifest", torn.parent / "nothing.yaml")[0] == 4
    assert check(good, "--against", "gs://models/flowers/1")[0] == 4
    assert check()[0] == 2
    assert check(good, good)[0] == 2
    code, _, err = check(good, "--against", "")
    assert code == 2
    assert "it is empty: name a path or s3:// URL" in err
