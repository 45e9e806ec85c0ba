"""Is a version directory complete? Pure: listing, graph facts and variables index → `Layout`.

An upload is many objects in any order, and TensorFlow Serving loads some torn ones and fails
every request afterwards (tensorflow/serving#1086, #572, #631), so completeness is proved before
a version is looked at further. Incomplete is not a refusal: the rest may still arrive.
Whoever lists (`storage`, `cli.inspect`) hands in the sizes; whether the listing still changes
and whether a ready marker is there is theirs to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.savedmodel import bundle as bundle_file
from savedmodel_operator.savedmodel import saved_model
from savedmodel_operator.savedmodel.bundle import BundleIndex
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts
from savedmodel_operator.savedmodel.wire import MalformedModel

PB, PBTXT, CPB = saved_model.FILE, saved_model.TEXT_FILE, "saved_model.cpb"
INDEX = bundle_file.FILE

VARIABLE_OPS = frozenset({"VarHandleOp", "Variable", "VariableV2", "AutoReloadVariable"})
"""Ops whose values come from the variables bundle."""

_NAMED = 5
"""Missing files that a message names; the rest are counted."""


@dataclass(frozen=True)
class Layout:
    """`reason` is Complete, Incomplete or MalformedModel; `message` is one sentence.

    `problems` has one phrase for each file that is missing or has the wrong size.
    """

    reason: Reason
    message: str
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every byte that the version needs is there."""
        return self.reason is Reason.Complete


def check_layout(
    listing: Mapping[str, int],
    facts: ModelFacts | MalformedModel | None,
    bundle: BundleIndex | MalformedModel | None,
    marker_ok: bool = True,
) -> Layout:
    """Judges one listing of a version directory (relative key → size in bytes).

    `facts` and `bundle` are what reading the file of the graph (`saved_model.graph_file`) and the
    variables index gave, None where the file is not there. `marker_ok`: the ready marker exists or
    none is asked for.
    """
    graph_file = _graph_file(listing)
    if graph_file:
        return _incomplete([graph_file])
    for read in (facts, bundle):
        if isinstance(read, MalformedModel):
            return Layout(Reason.MalformedModel, f"{read}; upload the version again", (str(read),))
    assert facts is None or isinstance(facts, ModelFacts)
    assert bundle is None or isinstance(bundle, BundleIndex)
    problems = [*_variables(listing, facts, bundle), *_assets(listing, facts)]
    if not marker_ok:
        problems.append("the ready marker is missing")
    if facts is None:
        problems.append(f"{saved_model.graph_file(listing)} was not read yet")
    if problems:
        return _incomplete(problems)
    files = sum(1 for key in listing if not key.endswith("/"))
    return Layout(Reason.Complete, f"{files} files, {sum(listing.values())} bytes, nothing missing")


def _graph_file(listing: Mapping[str, int]) -> str | None:
    """What is wrong with the file of the graph."""
    file = saved_model.graph_file(listing)
    if file:
        return None if listing[file] else f"{file} is empty"
    if CPB in listing:
        return f"{PB} is missing ({CPB} is there, but TensorFlow Serving does not load it)"
    return f"{PB} is missing"


def _variables(
    listing: Mapping[str, int], facts: ModelFacts | None, bundle: BundleIndex | None
) -> Iterator[str]:
    if INDEX not in listing:
        why = next(filter(None, map(_needs_variables, facts.graphs if facts else ())), None)
        strays = [key for key in listing if key.startswith("variables/variables.data-")]
        if why or strays:
            folder = INDEX.partition("/")[0] + "/"
            lost = INDEX if any(key.startswith(folder) for key in listing) else folder
            yield f"{lost} is missing ({why or f'{strays[0]} is there'})"
        return
    if bundle is None:
        yield f"{INDEX} was not read yet" if listing[INDEX] else f"{INDEX} is empty"
        return
    for key, expected in bundle.shards.items():
        found = listing.get(key)
        if found is None and expected:
            yield f"{key} is missing ({expected} bytes)"
        elif found is not None and found < expected:
            yield f"{key} has {found} of {expected} bytes"
        elif found is not None and found > expected:
            yield f"{key} has {found} bytes where the index says {expected}: not from one save"


def _needs_variables(graph: GraphFacts) -> str | None:
    used = next((op for op in sorted(VARIABLE_OPS) if op in graph.ops), None)
    if used:
        return f"the graph has {graph.ops[used]} {used}"
    return "TensorFlow 2 always writes it" if graph.object_graph else None


def _assets(listing: Mapping[str, int], facts: ModelFacts | None) -> Iterator[str]:
    names = {name for graph in (facts.graphs if facts else ()) for name in graph.assets}
    for name in sorted(names):
        if f"assets/{name}" not in listing:
            yield f"assets/{name} is missing"


def _incomplete(problems: list[str]) -> Layout:
    shown = "; ".join(problems[:_NAMED])
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return Layout(Reason.Incomplete, shown + more, tuple(problems))
