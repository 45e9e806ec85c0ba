"""What a GraphDef contains: op names with counts, and which wanted nodes exist. Pure.

`saved_model` calls `scan_graph` after it has read the signatures, so that the names to look for
are known and node names need not be kept. Attributes (weights inlined as constants, the bulk of a
large file) are skipped by offset and never read, but for the few that tell dtype and shape of a
tensor that a signature names (`outputs`); how deep they nest is for TensorFlow's parser.

Field numbers: GraphDef {1 node, 2 library, 3 version, 4 versions}, FunctionDefLibrary {1 function},
FunctionDef {1 signature (OpDef {1 name}), 3 node_def}, NodeDef {1 name, 2 op},
VersionDef {1 producer, 2 min_consumer, 3 bad_consumers}.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from savedmodel_operator.savedmodel.outputs import Made, read_attribute
from savedmodel_operator.savedmodel.wire import LEN, VARINT, Field, Window, signed

PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
"""Ops that call back into the Python process that built the graph. Counted even where a library
function carries the name, so that none hides behind one."""

_NODE_WORK = 6
"""Units of `wire.MAX_WORK` for a node beside one for each of its fields."""

MAX_NAMES = 50_000
"""Distinct op names and function names; TensorFlow 2.21 registers 1,799 ops, large Keras models
have some thousand functions. 50,000 × (200 bytes of name + 100 of set) = 15 MiB."""

MAX_NAME_BYTES = 8 * 1024 * 1024
"""Bytes of those names together: with `MAX_NAMES` it keeps all of them below 16 MiB."""

_NODE_IN_GRAPH, _NODE_IN_FUNCTION = 0x0A, 0x1A
"""Tag bytes of GraphDef.node (1) and FunctionDef.node_def (3), length-delimited."""

_RUN_AHEAD = 16 * 1024
"""Longest node of a run: its length takes two bytes. Others go the slow way."""

_HEADER = 3
"""Bytes of a run's tag and length; a run ends that far before its buffer does."""


@dataclass
class GraphScan:
    """What one GraphDef holds; `found` are those of the wanted node names that exist, `made` what
    their own attributes say of their outputs."""

    ops: dict[bytes, int] = field(default_factory=dict)
    functions: set[bytes] = field(default_factory=set)
    found: set[bytes] = field(default_factory=set)
    made: dict[bytes, Made] = field(default_factory=dict)
    nodes: int = 0
    producer: int = 0
    min_consumer: int = 0
    bad_consumers: list[int] = field(default_factory=list)

    def op_counts(self) -> dict[str, int]:
        """Op names with counts, sorted, without the calls of library functions."""
        counts = {}
        for name in sorted(self.ops):
            text = name.decode()
            if name not in self.functions or text in PYTHON_OPS:
                counts[text] = self.ops[name]
        return counts


def scan_graph(window: Window, graph: Field, wanted: Collection[bytes]) -> GraphScan:
    """One pass over a GraphDef. Raises MalformedModel."""
    scanner = _Scanner(window, frozenset(wanted))
    scanner.graph(graph)
    return scanner.scan


class _Scanner:
    def __init__(self, window: Window, wanted: frozenset[bytes]) -> None:
        self._window = window
        self._wanted = wanted
        self._name_bytes = 0
        self.scan = GraphScan()

    def graph(self, graph: Field) -> None:
        """Every field of the GraphDef, nodes in runs."""
        window, once = self._window, set[int]()
        position = graph.start
        while position < graph.end:
            position = self._run(position, graph.end, _NODE_IN_GRAPH)
            if position >= graph.end:
                return
            part = window.field(position, graph.end)
            position = part.end
            if part.number == 1:
                self._node(window.expect(part, LEN, "graph_def.node"), in_graph=True)
            elif part.number == 2:
                self._library(window.expect(part, LEN, "graph_def.library"))
            elif part.number == 4:
                self._versions(window.expect(part, LEN, "graph_def.versions"))
            if part.number in (2, 4):
                if part.number in once:
                    raise window.malformed(part.start, "graph_def has a field twice")
                once.add(part.number)

    def _library(self, library: Field) -> None:
        position = library.start
        while position < library.end:
            part = self._window.field(position, library.end)
            position = part.end
            if part.number == 1:
                self._function(self._window.expect(part, LEN, "library.function"))

    def _function(self, function: Field) -> None:
        position, named = function.start, False
        while position < function.end:
            position = self._run(position, function.end, _NODE_IN_FUNCTION)
            if position >= function.end:
                break
            part = self._window.field(position, function.end)
            position = part.end
            if part.number == 1:
                if named:
                    raise self._window.malformed(part.start, "a function has two signatures")
                self._function_name(self._window.expect(part, LEN, "function.signature"))
                named = True
            elif part.number == 3:
                self._node(self._window.expect(part, LEN, "function.node_def"), in_graph=False)
        if not named:  # the format's default: a function whose name is empty
            self.scan.functions.add(b"")

    def _function_name(self, signature: Field) -> None:
        position, name = signature.start, b""
        while position < signature.end:
            part = self._window.field(position, signature.end)
            position = part.end
            if part.number == 1:
                if name:
                    raise self._window.malformed(part.start, "a function has two names")
                name = self._name(self._window.expect(part, LEN, "function name"))
        self._keep(name, self.scan.functions, signature.start)
        self.scan.functions.add(name)

    def _name(self, part: Field) -> bytes:
        return self._window.text(part, "the name of a node, op or function").encode()

    def _keep(self, name: bytes, known: Collection[bytes], position: int) -> None:
        if name in known:
            return
        self._name_bytes += len(name)
        if len(known) >= MAX_NAMES or self._name_bytes > MAX_NAME_BYTES:
            raise self._window.malformed(position, "too many different op or function names")

    def _run(self, position: int, end: int, node_tag: int) -> int:
        """Scans the nodes that follow each other whole in the buffer; the offset behind them."""
        window = self._window
        index = window.at(position, min(_RUN_AHEAD, end - position))
        base, buffer = window.base, window.buffer
        stop = min(len(buffer), end - base) - _HEADER
        ops, wanted, in_graph = self.scan.ops, self._wanted, node_tag == _NODE_IN_GRAPH
        work = 0
        while index < stop and buffer[index] == node_tag:
            start, length = index + 2, buffer[index + 1]
            if length > 0x7F:
                length += (buffer[start] << 7) - 0x80
                start += 1
                if not 0x7F < length < 0x4000:
                    break
            node = _fast_node(buffer, start, start + length) if start + length <= stop else None
            if node is None:
                break
            name, op, fields = node
            index = start + length
            work += fields + _NODE_WORK
            if op in ops:
                ops[op] += 1
            else:
                self._new_op(op, base + start)
            if in_graph:
                self.scan.nodes += 1
                if name in wanted and name not in self.scan.found:
                    self.scan.found.add(name)
                    self._made(name, op, Field(1, LEN, 0, base + start, base + start + length))
        window.spend(work, base + index)
        return base + index

    def _node(self, node: Field, *, in_graph: bool) -> None:
        """A node that is large, lies across the buffer's end or is written in an unusual way."""
        texts: dict[int, bytes] = {}
        made = Made()
        position = node.start
        while position < node.end:
            part = self._window.field(position, node.end)
            position = part.end
            if part.number in (1, 2):
                if part.number in texts:
                    raise self._window.malformed(part.start, "a node has two names or two ops")
                texts[part.number] = self._name(self._window.expect(part, LEN, "node name or op"))
            elif part.number == 5 and in_graph and texts.get(1) in self._wanted:
                read_attribute(self._window, part, made)
        op = texts.get(2, b"")
        if op in self.scan.ops:
            self.scan.ops[op] += 1
        else:
            self._new_op(op, node.start)
        if in_graph:
            self.scan.nodes += 1
            if texts.get(1) in self._wanted:
                self.scan.found.add(texts[1])
                made.op = op
                self.scan.made.setdefault(texts[1], made)

    def _made(self, name: bytes, op: bytes, node: Field) -> None:
        """The attributes of a wanted node that lies whole in the buffer: no read happens."""
        made = Made(op)
        for part in self._window.fields(node.start, node.end):
            if part.number == 5:
                read_attribute(self._window, part, made)
        self.scan.made[name] = made

    def _new_op(self, op: bytes, position: int) -> None:
        if not op:
            raise self._window.malformed(position, "a node has no op")
        try:
            op.decode()
        except UnicodeDecodeError:
            raise self._window.malformed(position, "an op name is not UTF-8") from None
        self._keep(op, self.scan.ops, position)
        self.scan.ops[op] = 1

    def _versions(self, versions: Field) -> None:
        scan, window = self.scan, self._window
        for part in window.fields(versions.start, versions.end):
            if part.number == 1:
                scan.producer = signed(window.expect(part, VARINT, "producer").value)
            elif part.number == 2:
                scan.min_consumer = signed(window.expect(part, VARINT, "min_consumer").value)
            elif part.number == 3:
                self._bad_consumers(part)

    def _bad_consumers(self, part: Field) -> None:
        """proto3 packs the list; a writer may also repeat the field."""
        window, position = self._window, part.start
        if part.kind == VARINT:
            self.scan.bad_consumers.append(signed(part.value))
            return
        window.expect(part, LEN, "bad_consumers")
        while position < part.end:
            value, position = window.varint(position, part.end)
            self.scan.bad_consumers.append(signed(value))
        if len(self.scan.bad_consumers) > 1000:
            raise window.malformed(part.start, "more than 1000 bad_consumers")


def _fast_node(buffer: bytes, index: int, end: int) -> tuple[bytes, bytes, int] | None:
    """Name, op and number of fields of a node that lies whole in the buffer.

    Every real node of that size has only length-delimited fields with a one-byte tag and a length
    of one or two bytes. None for anything else: the slow way judges it.
    """
    name = op = b""
    fields = 0
    while index + 1 < end:
        tag, length = buffer[index], buffer[index + 1]
        index += 2
        if length > 0x7F:
            if index >= end:
                return None
            length += (buffer[index] << 7) - 0x80
            index += 1
            if not 0x7F < length < 0x4000:
                return None
        stop = index + length
        if tag == 0x0A and not name:
            name = buffer[index:stop]
        elif tag == 0x12 and not op:
            op = buffer[index:stop]
        elif tag & 0x87 != LEN or tag < 0x18:
            return None
        index = stop
        fields += 1
    return (name, op, fields) if index == end else None
