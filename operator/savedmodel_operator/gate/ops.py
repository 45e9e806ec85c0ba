"""A graph's ops against what the server knows: the findings of the op inventory. Pure.

`inventory` knows the lists, `checks` hooks this in beside the Python ops, `plan` and the CLI fill
in the server's version from its image by `with_serving_version`. What TensorFlow does in each case
was tried on the C++ loader of 2.16.1 to 2.21.0; the tests say how.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Gate, Ops
from savedmodel_operator.gate import inventory
from savedmodel_operator.gate.finding import Finding, Severity
from savedmodel_operator.gate.verdict import listed, short
from savedmodel_operator.savedmodel.facts import GraphFacts

CHECK = "ops"

NOT_COMPARED = "server-unknown"
"""The row of the finding that says that no server's ops were at hand."""

READS_FILES = frozenset({
    "CSVDataset", "CSVDatasetV2", "ExperimentalCSVDataset", "ExperimentalLMDBDataset",
    "ExperimentalMatchingFilesDataset", "ExperimentalSqlDataset", "FixedLengthRecordDataset",
    "FixedLengthRecordDatasetV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2",
    "GenerateVocabRemapping", "LMDBDataset", "LMDBReader", "ListSnapshotChunksDataset",
    "LoadAndRemapMatrix", "LoadDataset", "MatchingFiles", "MatchingFilesDataset", "ReadFile",
    "SnapshotChunkDataset", "SnapshotDatasetReader", "SqlDataset", "TFRecordDataset",
    "TFRecordDatasetV2", "TFRecordReader", "TFRecordReaderV2", "TextLineDataset", "TextLineReader",
    "TextLineReaderV2", "WholeFileReader", "WholeFileReaderV2",
})  # fmt: skip
"""Ops that read files by a name that the graph or the request gives. Not among them: RestoreV2,
which every SavedModel has, and InitializeTableFromTextFileV2, which reads the model's assets."""

WRITES_FILES = frozenset({
    "CalibrationStatisticsSaver", "CreateSummaryDbWriter", "CreateSummaryFileWriter",
    "DatasetToTFRecord", "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DistributedSave",
    "DumpTensor", "ExperimentalDatasetToTFRecord", "SaveDataset", "SaveDatasetV2",
    "SnapshotDataset", "SnapshotDatasetV2", "WriteFile",
})  # fmt: skip
"""Ops that write files. Not among them: SaveV2 and MergeV2Checkpoints, which every SavedModel has
in its save function, and summary ops, which write by the writers named here."""

NEEDS_XLA = frozenset({"XlaCallModule", "XlaLaunch", "XlaLaunchV2"})
"""Ops that compile by XLA, which main.cc of the server switches off without a flag. XlaCallModule
is what JAX exports."""

PRINTS = frozenset({"Print", "PrintV2"})

_TAG = re.compile(r"v?(\d+\.\d+)(?:[.+_-].*|rc\d+)?")


def serving_version(image: str) -> str | None:
    """The version that the tag of an image says, one of `inventory.VERSIONS` or None.

    >>> serving_version("tensorflow/serving:2.20.0-gpu"), serving_version("r:5000/serving:latest")
    ('2.20', None)
    >>> serving_version("registry:5000/tensorflow/serving@sha256:00")
    """
    name = image.partition("@")[0].rpartition("/")[2]
    found = _TAG.fullmatch(name.partition(":")[2])
    return found[1] if found and found[1] in inventory.VERSIONS else None


def with_serving_version(gate: Gate, image: str) -> Gate:
    """The gate with `ops.servingVersion` as the user set it, else as the image's tag says."""
    if gate.ops.serving_version is not None:
        return gate
    ops = msgspec.structs.replace(gate.ops, serving_version=serving_version(image))
    return msgspec.structs.replace(gate, ops=ops)


def find_ops(graph: GraphFacts, ops: Ops) -> tuple[Finding, ...]:
    """What the server cannot run first, then what is at risk. Without `ops.servingVersion` only
    what needs no server to be known, and one finding that says so."""
    version = ops.serving_version
    found: list[Finding] = []
    if version is None:
        found.append(_not_compared())
    else:
        found += _unsuited_version(graph, version)
        found += _unknown(graph, ops, version)
        found += _ended(graph, version)
        found += _new_attributes(graph, version)
    found += _by_name(graph)
    return tuple(sorted(found, key=lambda finding: finding.severity.rank))


def _not_compared() -> Finding:
    known = f"{inventory.VERSIONS[0]} to {inventory.VERSIONS[-1]}"
    return Finding(
        CHECK,
        Severity.Info,
        "",
        f"the ops were not compared with a server's, because the tag of serving.image says none "
        f"of TensorFlow Serving {known}: set gate.ops.servingVersion",
        row=NOT_COMPARED,
    )


def _unsuited_version(graph: GraphFacts, version: str) -> Iterator[Finding]:
    """min_consumer and bad_consumers, as CheckVersions of TensorFlow judges them."""
    server = inventory.graph_def_version(version)
    if graph.min_consumer > server:
        yield Finding(
            CHECK,
            Severity.Break,
            "graph_def.versions.min_consumer",
            f"is {graph.min_consumer}, TensorFlow {version} has {server}: it refuses to load the "
            f"graph",
            change=f"{graph.min_consumer} > {server}",
            advice=f"export it with TensorFlow {version} or serve it with a newer one",
            source="tensorflow/core/framework/versions.cc CheckVersions",
            row="min-consumer",
            reason=Reason.GraphVersion,
        )
    if server in graph.bad_consumers:
        yield Finding(
            CHECK,
            Severity.Break,
            "graph_def.versions.bad_consumers",
            f"has {server}, which is TensorFlow {version}: it refuses to load the graph",
            change=f"has {server}",
            advice="serve it with another version",
            source="tensorflow/core/framework/versions.cc CheckVersions",
            row="bad-consumer",
            reason=Reason.GraphVersion,
        )


def _unknown(graph: GraphFacts, ops: Ops, version: str) -> Iterator[Finding]:
    """Ops that are not registered: the load fails, or the first request that reaches one in the
    body of a loop or branch."""
    known = inventory.ops(version)
    for name in sorted(graph.ops):
        if name in known or name in ops.custom:
            continue
        told, advice = _whereabouts(name, version)
        if graph.declared and name in graph.undeclared:
            told += ", and the file's own op list leaves it out: perhaps no request reaches it"
        yield Finding(
            CHECK,
            Severity.Break,
            f"op {short(name)}",
            f"is not in TensorFlow {version}{told}",
            change=f"not in {version}",
            advice=advice,
            source="the wheel's TF_GetAllOpList, by dev/ops",
            row="op-missing",
            reason=Reason.OpMissing,
        )


def _whereabouts(name: str, version: str) -> tuple[str, str]:
    """Where the op is to be had, and what to do."""
    first, last = inventory.first_version(name), inventory.last_version(name)
    if first is None or last is None:
        return "", (
            "serve it with an image that has the op and name it in gate.ops.custom, or export "
            "the model without it"
        )
    if _order(first) > _order(version):
        told = f" (it came with {first})"
        return told, f"serve it with TensorFlow {first} or newer, or export it without the op"
    return f" (it was last in {last})", f"export it with TensorFlow {version}"


def _order(version: str) -> int:
    return inventory.VERSIONS.index(version)


def _ended(graph: GraphFacts, version: str) -> Iterator[Finding]:
    """Ops that TensorFlow refuses in graphs as new as this one. It looks at the graph's own nodes
    only, never into functions, so with functions it is a risk."""
    known = inventory.ops(version)
    ended = [
        name
        for name in sorted(graph.ops)
        if name in known and 0 < known[name].deprecated <= graph.producer
    ]
    if not ended:
        return
    certain = not graph.functions
    yield Finding(
        CHECK,
        Severity.Break if certain else Severity.Risk,
        "",
        f"the graph has {listed(ended)}, which TensorFlow {version} refuses to load in a graph of "
        f"GraphDef version {graph.producer}{'' if certain else ' outside of functions'}",
        advice="export the model with the op that took its place",
        source="tensorflow/core/framework/op.h CheckOpDeprecation",
        row="op-ended",
        reason=Reason.OpMissing if certain else None,
    )


def _new_attributes(graph: GraphFacts, version: str) -> Iterator[Finding]:
    """Attributes that the producer's ops have and the server's lack: it drops them with a line in
    its log, which matters where one has another value than its default. One finding for all."""
    known = inventory.ops(version)
    new = [
        f"{name}.{attribute}"
        for name in sorted(graph.declared)
        if name in graph.ops and name in known
        for attribute in graph.declared[name]
        if attribute not in known[name].attributes and not attribute.startswith("_")
    ]
    if new:
        yield Finding(
            CHECK,
            Severity.Risk,
            "",
            f"TensorFlow {version} does not know the attributes {listed(new)} of the producer's "
            f"ops and ignores them: answers differ where the model sets one to another value than "
            f"its default",
            advice=f"export it with TensorFlow {version}, or compare answers by gate.requests",
            source="tensorflow/core/framework/node_def_util.cc ValidateNodeDef",
            row="attribute-unknown",
        )


def _by_name(graph: GraphFacts) -> Iterator[Finding]:
    """Ops that every version knows, and that deserve a look for what they do."""
    for row, names, does, advice in (
        ("reads-files", READS_FILES, "read files in the serving container",
         "put what they read into the model's assets or the pod"),
        ("writes-files", WRITES_FILES, "write files, and the serving container is read-only",
         "export the model without them, or mount a volume where they write"),
    ):  # fmt: skip
        if used := _used(graph, names):
            yield Finding(
                CHECK, Severity.Risk, "", f"the graph has {listed(used)}, which {does}",
                advice=advice, row=row,
            )  # fmt: skip
    if used := _used(graph, NEEDS_XLA):
        yield Finding(
            CHECK,
            Severity.Risk,
            "",
            f"the graph has {listed(used)}, which TensorFlow Serving runs only with XLA",
            advice="add --xla_cpu_compilation_enabled=true to serving.args, or "
            "--xla_gpu_compilation_enabled=true",
            source="tensorflow_serving/model_servers/main.cc DisableXlaCompilation",
            row="needs-xla",
        )
    if used := _used(graph, PRINTS):
        text = f"the graph has {listed(used)}, which print into the server's log"
        yield Finding(CHECK, Severity.Info, "", text, row="prints")


def _used(graph: GraphFacts, names: frozenset[str]) -> list[str]:
    return [f"{op} ({count})" for op, count in sorted(graph.ops.items()) if op in names]
