"""`savedmodel diff` on real models: what differs, who notices, exit codes as diff(1)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from savedmodel_operator.cli.__main__ import main


def diff(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["diff", *map(str, args)])
    return result.exit_code, result.stdout, result.stderr


def found(*args: object) -> dict[str, Any]:
    code, out, err = diff(*args, "-o", "json")
    data: dict[str, Any] = json.loads(out)
    assert (code, err) == (0 if data["same"] else 1, "")
    return data


def test_nothing_differs_from_itself(zoo):
    folder = zoo.folder / "module"
    code, out, err = diff(folder, folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("same: no difference")
    data = found(folder, folder)
    tensors = len(zoo.truth["module"]["variables"])
    assert data["variables"] == {"changed": {}, "otherValues": 0, "sameValues": tensors}
    assert data["metaGraphs"][0]["findings"] == []


def test_signatures_ops_and_variables(zoo):
    a, b = zoo.folder / "two_signatures", zoo.folder / "defaults"
    code, out, _ = diff(a, b)
    assert code == 1
    lines = out.splitlines()
    assert "  break  wide is gone" in lines
    assert lines[-1].startswith("different: ")
    graph = found(a, b)["metaGraphs"][0]
    ops = [zoo.truth[name]["graphs"][0]["ops"] for name in ("two_signatures", "defaults")]
    for op in {*ops[0], *ops[1]}:
        pair = [side.get(op, 0) for side in ops]
        assert graph["ops"].get(op, [pair[0], pair[0]]) == pair
    changed = found(a, b)["variables"]["changed"]
    assert changed["weight/.ATTRIBUTES/VARIABLE_VALUE"] == [
        {"dtype": "DT_FLOAT", "shape": [4, 3]},
        None,
    ]


def test_who_notices_depends_on_the_clients_asked_about(zoo):
    a, b = zoo.folder / "two_signatures", zoo.folder / "defaults"

    def severity(client: str) -> str:
        findings = found(a, b, "--client", client)["metaGraphs"][0]["findings"]
        return next(f["severity"] for f in findings if f["path"].endswith("inputs.scale"))

    assert severity("RESTRow") == "break"
    assert severity("GRPC") == "info"


@pytest.fixture
def copy(zoo, tmp_path) -> Path:
    shutil.copytree(zoo.folder / "two_signatures", tmp_path / "2")
    return tmp_path / "2"


def test_a_file_more_is_a_difference(zoo, copy):
    (copy / "assets.extra").mkdir()
    (copy / "assets.extra" / "note.txt").write_text("hello")
    data = found(zoo.folder / "two_signatures", copy)
    assert data["files"] == {"assets.extra/note.txt": [None, 5]}
    assert not data["same"]
    assert "nothing that breaks clients of A" in diff(zoo.folder / "two_signatures", copy)[1]


def test_other_values_are_seen_in_the_index_alone(zoo):
    """Both have the same weight of ones; the object graph beside it differs."""
    data = found(zoo.folder / "two_signatures", zoo.folder / "module")["variables"]
    assert data == {"changed": {}, "otherValues": 1, "sameValues": 1}
    data = found(zoo.folder / "module", zoo.folder / "sharded")["variables"]
    names = [set(zoo.truth[name]["variables"]) for name in ("module", "sharded")]
    assert set(data["changed"]) >= names[0] ^ names[1]


def test_one_tag_set(zoo):
    folder = zoo.folder / "module"
    assert diff(folder, folder, "--tag-set", "serve")[0] == 0
    code, out, err = diff(folder, folder, "--tag-set", "gpu")
    assert (code, out) == (4, "")
    assert "neither has a MetaGraph with exactly the tags gpu" in err


def test_another_tag_set_is_a_difference(zoo, copy):
    pb = copy / "saved_model.pb"
    changed = pb.read_bytes().replace(b"serve", b"nerve", 1)
    assert changed != pb.read_bytes()
    pb.write_bytes(changed)
    data = found(zoo.folder / "two_signatures", copy)
    assert sorted((g["tags"][0], g["only"]) for g in data["metaGraphs"]) == [
        ("nerve", "B"),
        ("serve", "A"),
    ]


def test_what_could_not_be_read_is_no_verdict(zoo, copy):
    good = zoo.folder / "module"
    assert diff(good, copy.parent)[0] == 4
    assert "it holds the versions 2: name one of them" in diff(good, copy.parent)[2]
    (copy / "saved_model.pb").write_bytes(b"\xff" * 10)
    code, out, err = diff(good, copy)
    assert (code, out) == (4, "")
    assert "saved_model.pb, byte " in err
    assert diff(good)[0] == 2
