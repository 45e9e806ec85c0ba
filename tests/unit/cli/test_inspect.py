"""`savedmodel inspect` as a person and as a pipeline call it, on real models."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import savedmodel_operator
from savedmodel_operator.cli.__main__ import COMMANDS, main
from savedmodel_operator.cli.inspect_data import as_dict
from savedmodel_operator.cli.target import read_target

ROOT = str(Path(savedmodel_operator.__file__).parents[1])


def run(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(a) for a in args])
    return result.exit_code, result.stdout, result.stderr


def test_a_whole_model_in_words(zoo):
    code, out, err = run("inspect", zoo.folder / "two_signatures")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == str(zoo.folder / "two_signatures")
    assert lines[1].startswith("  Complete: 4 files, ")
    graph = next(line for line in lines if line.startswith("MetaGraph [serve]  "))
    assert graph.endswith("TensorFlow 2.21.0, graph version 2474 (needs 12)")
    assert "  wide  tensorflow/serving/predict" in lines
    assert "    in   flag  bool     scalar        wide_flag:0" in lines
    assert "    in   ids   int64    unknown rank  wide_ids:0" in lines
    assert "    in   x     float32  [any, 4]  serving_default_x:0" in lines
    assert any(line.startswith("Variables  2 tensors, ") for line in lines)
    assert lines[-1].endswith(" read in 3 reads")
    assert "\x1b" not in out


def test_what_serving_cannot_do_is_said(zoo):
    assert (
        "EagerPyFunc (1), PyFunc (1): TensorFlow Serving cannot run them"
        in run("inspect", zoo.folder / "python_ops")[1]
    )
    assert (
        "composite: TensorFlow Serving cannot use it"
        in run("inspect", zoo.folder / "ragged_output")[1]
    )
    assert "clients cannot call it" in run("inspect", zoo.folder / "no_signature")[1]
    assert "has a default" in run("inspect", zoo.folder / "defaults")[1]
    assert "assets   words.txt" in run("inspect", zoo.folder / "vocabulary")[1]


def test_ops_are_listed_on_request(zoo):
    folder = zoo.folder / "module"
    count = zoo.truth["module"]["graphs"][0]["ops"]["MatMul"]
    assert re.search(rf"^ +{count}  MatMul$", run("inspect", "--list-ops", folder)[1], re.M)
    assert "MatMul" not in run("inspect", folder)[1]


def test_json_for_programs(zoo):
    code, out, _ = run("inspect", "-o", "json", zoo.folder / "sharded")
    found = json.loads(out)
    assert code == 0
    assert found["complete"] is True
    assert found["files"] == zoo.listing("sharded")
    assert found["bytes"] == sum(zoo.listing("sharded").values())
    graph = zoo.truth["sharded"]["graphs"][0]
    assert found["metaGraphs"][0]["ops"] == graph["ops"]
    tensors = {t["name"]: t["shape"] for t in found["variables"]["tensors"]}
    assert tensors == {k: v["shape"] for k, v in zoo.truth["sharded"]["variables"].items()}
    assert found == as_dict(read_target(str(zoo.folder / "sharded")))


def test_what_lies_beside(zoo, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(zoo.folder / "module", folder)
    (folder / "model.tflite").write_bytes(b"x")
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"torn")
    code, out, _ = run("inspect", folder)
    assert code == 0
    assert re.search(r"^  fingerprint +\d{20,}$", out, re.M)
    assert "  warm-up      0 requests" in out
    found = json.loads(run("inspect", folder, "-o", "json")[1])["extras"]
    assert found["tflite"] is True
    assert found["warmup"]["count"] == 0
    assert found["warmup"]["problem"] in out
    assert found["fingerprint"]["uuid"] in out


def test_one_tag_set_or_signature(zoo):
    folder = zoo.folder / "two_signatures"
    code, out, _ = run("inspect", folder, "--tag-set", "serve", "--signature-def", "wide")
    assert code == 0
    assert "  wide  " in out
    assert "serving_default" not in out
    found = json.loads(run("inspect", folder, "--signature_def", "wide", "-o", "json")[1])
    assert list(found["metaGraphs"][0]["signatures"]) == ["wide"]
    code, out, err = run("inspect", folder, "--tag-set", "serve,gpu")
    assert (code, out) == (1, "")
    assert "no MetaGraph with exactly the tags serve,gpu; it has serve" in err
    code, _, err = run("inspect", folder, "--signature-def", "narrow")
    assert code == 1
    assert "has no signature narrow; it has serving_default, wide" in err


def test_all_has_the_long_lists(zoo):
    folder = zoo.folder / "sharded"
    out = run("inspect", folder, "--all")[1]
    for name, tensor in zoo.truth["sharded"]["variables"].items():
        row = next(line for line in out.splitlines() if line.strip().startswith(f"{name}  "))
        if tensor["shape"]:
            assert str(tensor["shape"]) in row
    for key in zoo.listing("sharded"):
        assert f"  {key}  " in out
    assert "variables.data" not in run("inspect", folder)[1]


def test_functions_on_request(zoo):
    folder = zoo.folder / "keras2"
    out = run("inspect", folder, "--functions")[1]
    assert "  __call__(out_input: float32 [any, 5], True, None)\n" in out
    assert "__call__" not in run("inspect", folder)[1]
    found = json.loads(run("inspect", folder, "--all", "-o", "json")[1])["functions"]
    assert [graph["tags"] for graph in found] == [["serve"]]
    call = next(f for f in found[0]["functions"] if f["name"] == "__call__")
    tensor = {"tensor": "out_input", "dtype": "DT_FLOAT", "shape": [-1, 5]}
    assert call["traces"][0] == {"arguments": [tensor, True, None], "keywords": {"dict": {}}}
    assert json.loads(run("inspect", folder, "-o", "json")[1])["functions"] is None


def test_the_text_form(zoo, tmp_path):
    """The same model as saved_model.pbtxt, written by TensorFlow's protobuf."""
    folder = tmp_path / "1"
    shutil.copytree(zoo.folder / "two_signatures", folder)
    script = (
        "import sys, pathlib\n"
        "from google.protobuf import text_format\n"
        "from tensorflow.core.protobuf import saved_model_pb2\n"
        "pb = pathlib.Path(sys.argv[1], 'saved_model.pb')\n"
        "model = saved_model_pb2.SavedModel.FromString(pb.read_bytes())\n"
        "pb.with_suffix('.pbtxt').write_text(text_format.MessageToString(model))\n"
        "pb.unlink()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True, timeout=300)
    found = json.loads(run("inspect", folder, "-o", "json")[1])
    binary = json.loads(run("inspect", zoo.folder / "two_signatures", "-o", "json")[1])
    assert found["graphFile"] == "saved_model.pbtxt"
    assert found["metaGraphs"] == binary["metaGraphs"]
    assert run("diff", folder, zoo.folder / "two_signatures")[0] == 1  # files differ, facts do not
    assert run("check", folder, "--against", zoo.folder / "two_signatures")[0] == 0


def test_yaml_says_what_json_says(zoo):
    folder = zoo.folder / "two_signatures"
    as_yaml = yaml.safe_load(run("inspect", folder, "-o", "yaml")[1])
    assert as_yaml == json.loads(run("inspect", folder, "-o", "json")[1])


def on_a_terminal(*args: object, **environment: str) -> str:
    """What a person sees: the command under a pseudo-terminal of 100 columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    command = [sys.executable, "-m", "savedmodel_operator.cli.__main__", *map(str, args)]
    process = subprocess.Popen(
        command,
        stdout=follower,
        stderr=follower,
        env={**kept, "PYTHONPATH": ROOT, "TERM": "xterm", **environment},
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal that nobody holds with EIO
        while chunk := os.read(leader, 65536):
            shown += chunk
    os.close(leader)
    assert process.wait(timeout=60) == 0, shown
    return shown.decode()


def test_a_terminal_gets_tables_and_colour_unless_told_otherwise(zoo):
    folder = zoo.folder / "two_signatures"
    shown = on_a_terminal("inspect", folder)
    assert "\x1b[1;32mComplete" in shown
    assert "─────" in shown
    bare = on_a_terminal("inspect", folder, NO_COLOR="1")
    assert "\x1b[1;32m" not in bare
    assert "─────" in bare
    assert "Complete: 4 files" in re.sub("\x1b\\[[0-9;]*m", "", bare)


@pytest.fixture
def torn(zoo, tmp_path) -> Path:
    shutil.copytree(zoo.folder / "module", tmp_path / "7")
    return tmp_path / "7"


def test_a_missing_file_is_a_no(torn):
    shard = next(torn.glob("variables/variables.data*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    code, out, _ = run("inspect", torn)
    assert code == 1
    assert "Incomplete: variables/variables.data-00000-of-00001 has " in out
    assert json.loads(run("inspect", "-o", "json", torn)[1])["reason"] == "Incomplete"


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_malformed_file_is_a_no(torn, name):
    file = torn / name
    file.write_bytes(file.read_bytes()[:-9])
    code, out, _ = run("inspect", torn)
    assert code == 1
    assert f"MalformedModel: {name}, byte " in out
    assert json.loads(run("inspect", "-o", "json", torn)[1])["reason"] == "MalformedModel"


def test_names_from_the_file_cannot_drive_the_terminal(torn):
    pb = torn / "saved_model.pb"
    pb.write_bytes(pb.read_bytes().replace(b"serving_default", b"\x1b[2Jing_default"))
    out = run("inspect", torn)[1]
    assert "\x1b" not in out
    assert "\\x1b[2Jing_default" in out


def test_the_file_itself_may_be_named(zoo):
    code, out, _ = run("inspect", zoo.folder / "module" / "saved_model.pb")
    assert code == 0
    assert out == run("inspect", zoo.folder / "module")[1]


def test_what_could_not_be_read_is_no_verdict(torn, tmp_path):
    code, out, err = run("inspect", tmp_path)
    assert (code, out) == (4, "")
    assert "it holds the versions 7: name one of them" in err
    assert run("inspect", tmp_path / "nothing")[0] == 4
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "there is no saved_model.pb in it" in run("inspect", empty)[2]


def test_usage_errors_and_help():
    assert run("inspect")[0] == 2
    assert run("inspcet")[0] == 2
    code, out, _ = run("--help")
    assert code == 0
    for name, entry in COMMANDS.items():
        assert name in out
        assert entry.help in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name):
    command = main.get_command(main.make_context("savedmodel", [], resilient_parsing=True), name)
    assert command is not None
    assert command.name == name


@pytest.mark.parametrize(("name", "code"), [("module", 0), ("torn", 1)])
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_reader_that_leaves_early_changes_no_verdict(zoo, torn, name, code, output):
    if name == "torn":
        next(torn.glob("variables/variables.data*")).unlink()
    folder = torn if name == "torn" else zoo.folder / name
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "savedmodel_operator.cli.__main__", "inspect"]
    done = subprocess.run(
        [*command, str(folder), "-o", output],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ROOT},
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (code, b"")


def test_files_that_are_none(zoo, torn, tmp_path):
    pb = torn / "saved_model.pb"
    pb.unlink()
    pb.mkdir()
    assert run("inspect", torn)[0] == 1
    pb.rmdir()
    pb.symlink_to("nowhere")
    code, out, err = run("inspect", torn)
    assert (code, out) == (4, "")
    assert "saved_model.pb: No such file or directory" in err
    assert run("inspect", "")[0] == 2
    assert "is no directory" in run("inspect", zoo.folder / "module" / "fingerprint.pb")[2]


def test_names_of_files_that_are_no_text(torn):
    (Path(os.fsdecode(os.fsencode(torn) + b"/\xff\x9b2J"))).write_bytes(b"")
    for output in ("text", "json", "yaml"):
        out = run("inspect", torn, "--files", "-o", output)[1]
        assert re.search(r"\\udcff\\udc9b2J", out, re.I), out


def test_a_start_imports_only_what_it_needs(zoo):
    """The whole process, as the `savedmodel` script runs it."""
    code = (
        "import sys\n"
        "from savedmodel_operator.cli.__main__ import main\n"
        "try:\n    main(['inspect', sys.argv[1]])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'boto3', 'kubernetes', 'kopf', 'aiohttp', 'msgspec', 'rich', 'tensorflow'}\n"
        "heavy |= {'json', 'yaml', 'numpy', 'asyncio', 'savedmodel_operator.savedmodel.functions'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(zoo.folder / "module")],
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
