"""YAML manifests with line numbers, read as an API server's client reads them.

For `lint` and `check --manifest`. Several documents, JSON and `List` objects are taken; keys are
text, timestamps stay text, a key that stands twice is remembered. Must not judge what it reads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from savedmodel_operator.api.types import GROUP, KIND
from savedmodel_operator.cli.reading import NotReadableError

MAX_BYTES = 4 * 1024 * 1024
"""An object may take 1.5 MiB in etcd; a file holds some of them."""

MAX_NODES = 200_000
"""Values of all documents, aliases counted each time: 4 MiB of "- x" lines are no more than a
million, a file that multiplies itself by aliases meets this first."""

Path = tuple[str | int, ...]


class NotYamlError(Exception):
    """The text is no YAML; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Document:
    """One object. `lines` has the line of every value by its path, `twice` the paths of keys
    that stand more than once."""

    file: str
    data: Any
    lines: Mapping[Path, int]
    twice: tuple[Path, ...] = ()

    def line(self, path: Path) -> int:
        """Where the value stands, or the nearest that is there around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)

    @property
    def is_deployment(self) -> bool:
        """Whether it is meant to be a SavedModelDeployment, of whatever version."""
        if not isinstance(self.data, Mapping):
            return False
        group = str(self.data.get("apiVersion", "")).partition("/")[0]
        return self.data.get("kind") == KIND or group == GROUP

    @property
    def name(self) -> str:
        """metadata.name, "" where there is none."""
        meta = self.data.get("metadata") if isinstance(self.data, Mapping) else None
        return str(meta.get("name", "")) if isinstance(meta, Mapping) else ""


def read_manifest(file: str) -> tuple[Document, ...]:
    """The documents of a file, "-" for standard input; empty ones left out.

    Raises NotReadableError and NotYamlError.
    """
    text = _read(file)
    try:
        return tuple(_documents(text, shown(file)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = ": ".join(filter(None, [error.context, error.problem]))
        raise NotYamlError(f"no YAML: {why}", mark.line + 1 if mark else 1) from error
    except yaml.YAMLError as error:
        raise NotYamlError(f"no YAML: {error}".splitlines()[0], 1) from error
    except RecursionError as error:
        raise NotYamlError("nested too deep", 1) from error


def shown(file: str) -> str:
    """The file's name in messages."""
    return "stdin" if file == "-" else file


def _read(file: str) -> str:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(file, "rb") as opened:  # noqa: PTH123  (a Path would turn "" into ".")
                data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise NotReadableError(f"{file}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise NotReadableError(f"{file} is longer than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotYamlError("no YAML: the text is not UTF-8", line) from error


class _Loader(yaml.SafeLoader):
    """SafeLoader that leaves timestamps as they are written: JSON has none."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _documents(text: str, file: str) -> Iterator[Document]:
    loader = _Loader(text)
    budget = [MAX_NODES]
    try:
        while loader.check_node():
            reader = _Reader(loader, budget)
            node = loader.get_node()
            data = reader.value(node, ()) if node else None
            if data is not None:
                yield from _items(Document(file, data, reader.lines, tuple(reader.twice)))
    finally:
        loader.dispose()


def _items(document: Document) -> Iterator[Document]:
    """The entries of a `List`, any other document as it is."""
    data = document.data
    if not (isinstance(data, Mapping) and data.get("kind") == "List"):
        yield document
        return
    items = data.get("items")
    for at, item in enumerate(items if isinstance(items, list) else []):
        yield Document(
            document.file,
            item,
            {path[2:]: n for path, n in document.lines.items() if path[:2] == ("items", at)},
            tuple(path[2:] for path in document.twice if path[:2] == ("items", at)),
        )


@dataclass
class _Reader:
    """Nodes → plain data, writing down where everything stands."""

    loader: _Loader
    budget: list[int]
    lines: dict[Path, int] = field(default_factory=dict)
    twice: list[Path] = field(default_factory=list)

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.budget[0] -= 1
        if self.budget[0] < 0:
            raise NotYamlError(f"more than {MAX_NODES} values", node.start_mark.line + 1)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, at)) for at, item in enumerate(node.value)]
        return self.loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own = [self._key(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        self.twice += [(*path, key) for key in sorted({k for k in own if own.count(k) > 1})]
        self.loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value in node.value:
            key = self._key(key_node)
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = self.value(value, (*path, key))
        return result

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise NotYamlError("a key must be text", node.start_mark.line + 1)
        key = self.loader.construct_object(node)
        return str(key).lower() if isinstance(key, bool) else str(key)
