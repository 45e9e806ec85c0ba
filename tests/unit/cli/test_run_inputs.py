"""What the input options mean, without a server; a pickle's code never runs unasked."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from tensorflow_serving_compatible.protos import example_pb2

from savedmodel_operator.cli.run_inputs import (
    FileInput,
    InputsError,
    parse_options,
    read_array,
    read_feeds,
)
from savedmodel_operator.cli.run_outputs import OutputsError, as_data, plan_files, save
from savedmodel_operator.client.arrays import NARROW, numpy_dtype
from savedmodel_operator.client.errors import MisfitError
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec


class Touch:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("form", ["npy", "npz", "pickle"])
def test_a_pickle_runs_nothing_unless_asked(tmp_path: Path, form):
    canary, file = tmp_path / "ran", tmp_path / f"x.{form}"
    array = np.array([Touch(canary)], dtype=object)
    if form == "npy":
        np.save(file, array, allow_pickle=True)
    elif form == "npz":
        np.savez(file, x=array)
    else:
        file.write_bytes(pickle.dumps({"x": Touch(canary)}))
    with pytest.raises(InputsError, match="runs the code in it; --allow-pickle reads it"):
        read_array(FileInput(file, None))
    assert not canary.exists()
    read_array(FileInput(file, "x" if form != "npy" else None), allow_pickle=True)
    assert canary.exists()


def test_a_pickled_dictionary_has_variables(tmp_path: Path):
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"a": [1.0, 2.0]}))
    assert read_array(FileInput(file, "a"), allow_pickle=True).tolist() == [1.0, 2.0]
    with pytest.raises(InputsError, match="no dictionary with 'b'"):
        read_array(FileInput(file, "b"), allow_pickle=True)


BAD_OPTIONS = {
    "a call": ({"literals": ["x=np.ones(2)"]}, "is no Python literal"),
    "an import": ({"literals": ["x=__import__('os')"]}, "is no Python literal"),
    "a comprehension": ({"literals": ["x=[i for i in (1, 2)]"]}, "is no Python literal"),
    "nested too deep": ({"literals": ["x=" + "[" * 5000 + "]" * 5000]}, "is no Python literal"),
    "no equals sign": ({"literals": ["x"]}, "write KEY=VALUE"),
    "no value": ({"files": ["x="]}, "write KEY=VALUE"),
    "no key": ({"files": ["=f.npy"]}, "write KEY=VALUE"),
    "twice": ({"literals": ["x=1", "x=2"]}, "gives the input 'x' twice"),
    "by two options": ({"literals": ["x=1"], "files": ["x=f.npy"]}, "given by two options"),
    "an example that is none": ({"examples": ["x={'a': [1]}"]}, "examples are a list of"),
    "a feature that is no list": ({"examples": ["x=[{'a': 1}]"]}, "a feature is a name and a list"),
    "a mixed feature": ({"examples": ["x=[{'a': [1, 'b']}]"]}, "mixes or has no such values"),
    "a feature that is too large": ({"examples": ["x=[{'a': [2**64]}]"]}, "no Python literal"),
    "an integer above 64 bits": ({"examples": [f"x=[{{'a': [{2**64}]}}]"]}, "feature 'a': "),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_said(case):
    options, words = BAD_OPTIONS[case]
    with pytest.raises(InputsError, match=words.replace("[", r"\[")):
        parse_options(*(options.get(name, []) for name in ("files", "literals", "examples")))


def test_semicolons_part_inputs_but_not_text(tmp_path: Path):
    odd = tmp_path / "a[b]"
    odd.touch()
    given = parse_options(
        [f"p=f.npz[v];q={odd}", "r=g.npy"], [r"a=['x;y', 'it\'s;'];b=(1, 2)", "c-1=True"], []
    )
    assert given.literals == {"a": ["x;y", "it's;"], "b": (1, 2), "c-1": True}
    assert given.files == {
        "p": FileInput(Path("f.npz"), "v"),
        "q": FileInput(odd, None),  # a file of that very name is there
        "r": FileInput(Path("g.npy"), None),
    }


def test_examples_are_those_of_tensorflow():
    text = "x=[{'i': [1, True], 'f': [1, 0.5], 's': ['é', b'\\xff'], 'none': []}, {}]"
    first, second = parse_options([], [], [text]).examples["x"]
    example = example_pb2.Example.FromString(first)
    features = example.features.feature
    assert list(features["i"].int64_list.value) == [1, 1]
    assert list(features["f"].float_list.value) == [1.0, 0.5]
    assert list(features["s"].bytes_list.value) == ["é".encode(), b"\xff"]
    assert features["none"].WhichOneof("kind") is None  # to TensorFlow a missing feature
    assert not example_pb2.Example.FromString(second).features.feature


# numpy writes a description of float8_e5m2, `<f1`, that it refuses to read.
@pytest.mark.parametrize("dtype", sorted({*NARROW} - {"DT_FLOAT8_E5M2"}))
def test_types_that_numpy_lacks_survive_a_file(tmp_path: Path, dtype):
    wanted = numpy_dtype(dtype)
    array = np.array([0, 1], dtype=wanted)
    np.save(tmp_path / "x.npy", array)  # numpy writes nameless bytes
    signature = Signature("", {"x": TensorSpec(dtype, (2,), "x:0")}, {})
    given = parse_options([f"x={tmp_path / 'x.npy'}"], [], [])
    feeds = read_feeds(given, signature, allow_pickle=False, cast=False)
    assert feeds["x"].dtype == wanted
    assert as_data(feeds, {})["x"]["values"] == [0, 1]
    save(feeds, plan_files(tmp_path, ["x"], overwrite=True))
    assert np.load(tmp_path / "x.npy").tolist() == [0, 1]


def test_inputs_that_no_signature_can_feed():
    sparse = Signature("", {"x": TensorSpec("DT_FLOAT", None, "", "Sparse", ("a", "b", "c"))}, {})
    with pytest.raises(MisfitError, match="'x' is sparse"):
        read_feeds(parse_options([], ["x=1"], []), sparse, allow_pickle=False, cast=False)


@pytest.mark.parametrize("key", ["../up", "/etc/x", "..", ".", "a/b", "a\0b", "ä"])
def test_a_name_never_leaves_the_folder(tmp_path: Path, key):
    (path,) = plan_files(tmp_path, [key], overwrite=False).values()
    assert path.parent == tmp_path
    assert path.resolve().parent == tmp_path.resolve()
    save({key: np.array([1])}, {key: path})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_is_a_file_is_said(tmp_path: Path):
    (tmp_path / "f").touch()
    with pytest.raises(OutputsError, match=r"File exists|Not a directory"):
        save({"y": np.array([1])}, plan_files(tmp_path / "f", ["y"], overwrite=True))
