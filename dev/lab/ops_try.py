"""`dev/ops --try FOLDER`: the gate's findings beside the loader of every TensorFlow that is listed.

Neighbours: `ops_wheels` gives the libraries, `ops_load` asks them. Every SavedModel below FOLDER is
read by the product's reader and judged by `gate.ops` for each version of TensorFlow Serving; what
the gate refuses and what the loader refuses must be the same. Must not change what is judged.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import ops_load
from lab.command import run
from lab.ops_registry import LIBRARIES
from lab.ops_wheels import SERVERS, TENSORFLOW, Registry, unpack
from lab.progress import step
from savedmodel_operator.api.types import Gate
from savedmodel_operator.cli.folder import FileSource
from savedmodel_operator.gate.ops import find_ops, with_serving_version
from savedmodel_operator.savedmodel import MalformedModel, read_saved_model
from savedmodel_operator.savedmodel.facts import GraphFacts

AT_ONCE = 40
"""Models of one process: what is loaded stays in it, some 20 MB each."""


@dataclass(frozen=True)
class Tried:
    """One model on one version: `gate` and `loader` are why each refuses it, "" where it does not."""

    version: str
    folder: str
    gate: str
    loader: str

    @property
    def agrees(self) -> bool:
        """Whether both refuse, or neither."""
        return bool(self.gate) == bool(self.loader)


def models(root: Path) -> dict[str, GraphFacts]:
    """The graphs tagged `serve` below a folder, by the folder of their version."""
    found = {}
    for path in sorted(root.rglob("saved_model.pb")):
        try:
            graph = read_saved_model(FileSource(path)).graph(["serve"])
        except MalformedModel:
            continue
        if graph is not None:
            found[str(path.parent)] = graph
    return found


def try_all(root: Path, scratch: Path) -> list[Tried]:
    """Every model on every version."""
    graphs, tried = models(root), []
    registry = Registry(scratch)
    for version, pins in SERVERS.items():
        with step(f"{len(graphs)} models on TensorFlow {pins[TENSORFLOW]}"):
            wheel = registry.fetch(TENSORFLOW, pins[TENSORFLOW])
            libraries = scratch / "libraries"
            unpack(wheel, [f"tensorflow/{name}" for name in LIBRARIES], libraries)
            loaded = load(libraries, list(graphs))
            shutil.rmtree(wheel.parent)
        tried += [_tried(version, folder, graphs[folder], loaded) for folder in graphs]
    return tried


def load(libraries: Path, folders: Sequence[str]) -> dict[str, str]:
    """What the loader says of each folder, "" where it loads."""
    found: dict[str, str] = {}
    for first in range(0, len(folders), AT_ONCE):
        part = folders[first : first + AT_ONCE]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
        text = run([sys.executable, ops_load.__file__, libraries, *part], env=quiet, timeout=600)
        found |= json.loads(text)
    return found


def _tried(version: str, folder: str, graph: GraphFacts, loaded: Mapping[str, str]) -> Tried:
    gate = with_serving_version(Gate(), f"tensorflow/serving:{version}")
    broken = [finding.sentence() for finding in find_ops(graph, gate.ops) if finding.breaks]
    return Tried(version, folder, "; ".join(broken), loaded[folder])


def report(tried: Iterable[Tried]) -> tuple[list[str], bool]:
    """Lines for a person, and whether all agree."""
    everything = list(tried)
    lines = []
    for version in SERVERS:
        here = [t for t in everything if t.version == version]
        refused = sum(1 for t in here if t.gate and t.loader)
        agreed = sum(1 for t in here if t.agrees)
        lines.append(f"{version}: {agreed} of {len(here)} agree, {refused} refused by both")
    for one in everything:
        if not one.agrees:
            who, why = ("gate", one.gate) if one.gate else ("loader", one.loader)
            lines.append(f"{one.version} {one.folder}: only the {who} refuses: {why[:200]}")
    return lines, all(t.agrees for t in everything)
