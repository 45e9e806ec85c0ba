"""`savedmodel run` against the real server: three ways of asking, one answer."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path

import numpy as np
import pytest
import yaml

from unit.serving_compatible.conftest import Server, free_port

WAYS = ("row", "column", "grpc")


def where(served: Server, way: str) -> list[str]:
    """The options that lead to the server."""
    if way == "grpc":
        return ["--grpc", f"127.0.0.1:{served.grpc_port}"]
    return ["--url", f"http://127.0.0.1:{served.rest_port}", "--rest", way]


ECHO = {
    "bool": ("[True, False]", [True, False]),
    "float32": ("[0.1, -2, 3e38]", [0.1, -2.0, 3e38]),
    "float64": ("[0.1, 1e300]", [0.1, 1e300]),
    "int8": ("[-128, 127]", [-128, 127]),
    "int16": ("[-32768, 32767]", [-32768, 32767]),
    "int32": ("[-2147483648, 2147483647]", [-(2**31), 2**31 - 1]),
    "int64": ("[-9223372036854775808, 9223372036854775807]", [-(2**63), 2**63 - 1]),
    "uint8": ("[0, 255]", [0, 255]),
    "uint32": ("[0, 4294967295]", [0, 2**32 - 1]),
    "uint64": ("[0, 18446744073709551615]", [0, 2**64 - 1]),
    "string": (r"['', 'é', b'\xff\x00a']", ["", "é", {"b64": "/wBh"}]),
}
ONLY_GRPC = {
    "float16": ("[0.5, 65504]", [0.5, 65504.0]),
    "bfloat16": ("[0.5, -2]", [0.5, -2.0]),
    "uint16": ("[0, 65535]", [0, 65535]),
    "complex64": ("[1+2j, 3]", [[1.0, 2.0], [3.0, 0.0]]),
    "complex128": ("[1e300+2j]", [[1e300, 2.0]]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ECHO)
def test_every_type_arrives_unchanged(served, savedmodel, dtype, way):
    text, values = ECHO[dtype]
    code, out, err = savedmodel(
        "run", *where(served, way), "--model-name", "echo", "--signature-def", dtype,
        "--input-exprs", f"x={text}", "-o", "json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert json.loads(out)["outputs"]["y"] == {
        "dtype": dtype, "shape": [len(values)], "values": values,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ONLY_GRPC)
def test_types_without_json_go_by_grpc_and_are_named_over_rest(served, savedmodel, dtype):
    text, values = ONLY_GRPC[dtype]
    rest = ["--model-name", "echo", "--signature-def", dtype, "--input-exprs", f"x={text}"]
    code, out, _ = savedmodel("run", *where(served, "grpc"), *rest, "-o", "yaml")
    assert code == 0
    assert yaml.safe_load(out)["outputs"]["y"]["values"] == values
    code, out, err = savedmodel("run", *where(served, "row"), *rest)
    assert (code, out) == (1, "")
    assert f"its input 'x' is {dtype}, which has no form in Serving's JSON" in err


@pytest.mark.parametrize("way", WAYS)
def test_version_and_label_choose(served, savedmodel, way):
    def answer(*choice: str) -> float:
        code, out, err = savedmodel(
            "run", *where(served, way), "--model-name", "half", *choice,
            "--input-exprs", "x=[[1.0]]", "-o", "json",
        )  # fmt: skip
        assert code == 0, err
        value: float = json.loads(out)["outputs"]["y"]["values"][0][0]
        return value

    assert answer() == answer("--model-version", "124") == 3.5
    assert answer("--model-version", "123") == answer("--model-label", "stable") == 2.5


def test_a_url_may_name_the_model(served, savedmodel):
    base = f"http://127.0.0.1:{served.rest_port}/v1/models/half"
    exprs = ("--input-exprs", "x=[[1.0],[2.0]]")
    code, out, _ = savedmodel("run", "--url", f"{base}/versions/123", *exprs)
    assert code == 0
    assert out.splitlines() == [
        f"serving_default  {base}/versions/123",
        "",
        "  y  float32 [2, 1]",
        "    [[2.5],",
        "     [3. ]]",
    ]
    assert savedmodel("run", "--url", base, "--model-name", "other", *exprs)[0] == 2
    assert savedmodel("run", "--url", f"{base}/versions/1", "--model-version", 2, *exprs)[0] == 2


@pytest.mark.parametrize("way", WAYS)
def test_bytes_nan_and_infinity(served, savedmodel, way):
    code, out, err = savedmodel(
        "run", *where(served, way), "--model-name", "shapes", "--signature-def", "nan",
        "--input-exprs", "x=[1.0, -1.0]", "-o", "json",
    )  # fmt: skip
    assert code == 0, err
    outputs = json.loads(out, parse_constant=pytest.fail)["outputs"]
    assert outputs["bad"]["values"] == ["NaN", "NaN"]
    assert outputs["large"]["values"] == ["Infinity", "-Infinity"]
    texts = [base64.b64decode(value["b64"]) for value in outputs["thumb_bytes"]["values"]]
    assert [float(text) for text in texts] == [1.0, -1.0]


@pytest.mark.parametrize("way", WAYS)
def test_examples_are_serialized(served, savedmodel, way):
    code, out, err = savedmodel(
        "run", *where(served, way), "--model-name", "names", "--signature-def", "regress",
        "--input_examples", 'inputs=[{"age": [22.0]}, {"age": [4.5], "town": ["B", b"C"]}, {}]',
        "-o", "json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["outputs"]["outputs"]["values"] == [66.0, 13.5, 3.0]


def test_a_default_may_be_left_out_by_grpc_only(served, savedmodel):
    given = ["--model-name", "defaulted", "--input-exprs", "x=[1.5]"]
    code, out, _ = savedmodel("run", *where(served, "grpc"), *given, "-o", "json")
    assert (code, json.loads(out)["outputs"]["y"]["values"]) == (0, [15.0])
    for way in ("row", "column"):
        code, _, err = savedmodel("run", *where(served, way), *given)
        assert code == 1
        assert "'factor' is missing: it has a default, but only gRPC" in err
    both = ["--input-exprs", "x=[1.5];factor=2.0"]
    code, out, _ = savedmodel("run", *where(served, "column"), *given[:2], *both, "-o", "json")
    assert (code, json.loads(out)["outputs"]["y"]["values"]) == (0, [3.0])
    code, _, err = savedmodel("run", *where(served, "row"), *given[:2], *both)
    assert (code, "scalar, which has no rows; try --rest column" in err) == (1, True)


MISFITS = {
    "unknown input": ("z=[[1.0]]", "there is no input 'z'; the signature has x"),
    "missing input": ("", "input 'x' is missing: it wants float32 [any, 1]"),
    "rank": ("x=[1.0]", "input 'x' wants float32 [any, 1], given is [1]"),
    "size": ("x=[[1.0, 2.0]]", "input 'x' wants float32 [any, 1], given is [1, 2]"),
    "type": ("x=[['a']]", "input 'x' wants float32 [any, 1], given is 'a' of type str"),
    "ragged": ("x=[[1.0], [2.0, 3.0]]", "the lists at depth 1 differ in length"),
    "too large": ("x=[[1e39]]", "1e+39 is too large for float32"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_said_before_anything_is_sent(served, savedmodel, case):
    text, words = MISFITS[case]
    given = ["--input-exprs", text] if text else []
    for way in WAYS:
        code, out, err = savedmodel("run", *where(served, way), "--model-name", "half", *given)
        assert (code, out) == (1, ""), err
        assert words in err


def test_files_are_held_to_the_type(served, savedmodel, tmp_path: Path):
    np.save(tmp_path / "f8.npy", np.array([[1.0], [2.0]]))
    np.save(tmp_path / "f4.npy", np.array([[1.0], [2.0]], dtype=">f4"))
    np.savez(tmp_path / "two.npz", a=np.zeros((1, 1), "f4"), b=np.ones((1, 1), "f4"))
    call = ["run", *where(served, "grpc"), "--model-name", "half", "-o", "json"]
    code, _, err = savedmodel(*call, "--inputs", f"x={tmp_path}/f8.npy")
    assert code == 1
    assert "input 'x' wants float32 [any, 1], given is float64 [2, 1]; --cast converts it" in err
    for options in (["f8.npy", "--cast"], ["f4.npy"]):
        code, out, err = savedmodel(*call, "--inputs", f"x={tmp_path}/{options[0]}", *options[1:])
        assert (code, json.loads(out)["outputs"]["y"]["values"]) == (0, [[3.5], [4.0]]), err
    code, out, _ = savedmodel(*call, "--inputs", f"x={tmp_path}/two.npz[b]")
    assert (code, json.loads(out)["outputs"]["y"]["values"]) == (0, [[3.5]])
    code, _, err = savedmodel(*call, "--inputs", f"x={tmp_path}/two.npz")
    assert (code, "has the arrays a, b: name one" in err) == (2, True)
    code, _, err = savedmodel(*call, "--inputs", f"x={tmp_path}/absent.npy")
    assert (code, "No such file or directory" in err) == (2, True)


def test_outputs_are_stored_and_not_lost(served, savedmodel, tmp_path: Path):
    call = ["run", *where(served, "grpc"), "--model-name", "names", "--outdir", tmp_path / "out"]
    code, out, _ = savedmodel(*call, "--input-exprs", "x=[1.0]")
    assert code == 0
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file == tmp_path / "out" / "..%2Fevil.npy"
    assert f"saved to {file}" in out
    assert np.load(file).tolist() == [2.0]
    code, out, err = savedmodel(*call, "--input-exprs", "x=[5.0]")
    assert (code, out) == (2, "")
    assert "is there already; --overwrite replaces it" in err
    assert savedmodel(*call, "--overwrite", "--input-exprs", "x=[5.0]")[0] == 0
    assert np.load(file).tolist() == [6.0]


def test_strings_that_a_file_cannot_hold_are_shown_and_told(served, savedmodel, tmp_path: Path):
    code, out, err = savedmodel(
        "run", *where(served, "grpc"), "--model-name", "names", "--signature-def", "text",
        "--input-exprs", "text=['a']", "--outdir", tmp_path,
    )  # fmt: skip
    assert code == 4
    assert r"['a\x00']" in out
    assert "end in a zero byte, which .npy cannot keep without a pickle" in err


def test_verdicts_of_the_server_and_its_absence_differ(served, savedmodel, tmp_path: Path):
    python = ["--model-name", "zoo", "--signature-def", "python", "--input-exprs", "x=[1.0]"]
    for way in WAYS:
        code, _, err = savedmodel("run", *where(served, way), *python)
        assert (code, "No OpKernel was registered to support Op 'EagerPyFunc'" in err) == (1, True)
        code, _, err = savedmodel("run", *where(served, way), "--model-name", "nobody")
        assert (code, "Servable not found for request: Latest(nobody)" in err) == (4, True)
        label = ["--model-name", "half", "--model-label", "canary"]
        code, _, err = savedmodel("run", *where(served, way), *label)
        assert (code, "Unrecognized servable version label: canary" in err) == (4, True)
        signature = ["--model-name", "half", "--signature-def", "nothing"]
        code, _, err = savedmodel("run", *where(served, way), *signature)
        assert (code, "has no signature 'nothing'; it has classify_x2_to_y3," in err) == (1, True)
    nobody = free_port()
    for target in (["--url", f"http://127.0.0.1:{nobody}"], ["--grpc", f"127.0.0.1:{nobody}"]):
        code, _, err = savedmodel("run", *target, "--model-name", "half")
        assert (code, "refused" in err) == (4, True), err


@pytest.mark.parametrize("way", ["row", "grpc"])
def test_a_server_that_says_nothing_times_out(savedmodel, way):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        target = (
            ["--grpc", f"127.0.0.1:{port}"]
            if way == "grpc"
            else ["--url", f"http://127.0.0.1:{port}"]
        )
        code, _, err = savedmodel("run", *target, "--model-name", "m", "--timeout", "0.3")
        assert (code, "did not answer within 0.3 s" in err) == (124, True), err


def test_one_model_is_named(savedmodel):
    for options in (
        [],
        ["path", "--url", "http://127.0.0.1:1"],
        [
            "--url",
            "http://127.0.0.1:1",
            "--model-name",
            "m",
            "--model-version",
            1,
            "--model-label",
            "l",
        ],
        ["--url", "http://127.0.0.1:1"],
        ["--url", "ftp://127.0.0.1/v1/models/m"],
        ["--url", "http://user:word@127.0.0.1/v1/models/m"],
        ["path", "--model-name", "m"],
    ):
        code, out, err = savedmodel("run", *options)
        assert (code, out) == (2, ""), options
        assert "word" not in err.replace("password", "")
