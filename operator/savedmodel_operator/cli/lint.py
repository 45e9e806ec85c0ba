"""`savedmodel lint FILE…`: would an API server take these manifests, and are they wise?

`manifest` reads, `lint_schema` says what the server would, `api.parse` what the operator would, and
`lint_advice` what else is worth a thought. `check --manifest` asks `lint_document`, too. Ends with
0 (valid), 1 (not valid; with --strict also where there is advice), 2 (usage, or nothing to judge in
the files) or 4 (a file could not be read).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import click

from savedmodel_operator.api.parse import InvalidSpec, parse
from savedmodel_operator.api.schema import build_root
from savedmodel_operator.api.types import API_VERSION, KIND, Spec
from savedmodel_operator.cli.lint_advice import advise
from savedmodel_operator.cli.lint_schema import dotted, fill, inspect_object
from savedmodel_operator.cli.manifest import Document, NotYamlError, Path, read_manifest, shown
from savedmodel_operator.cli.output import (
    Block,
    Exit,
    Styled,
    count_of,
    emit,
    fail,
    line,
    output_option,
)
from savedmodel_operator.cli.reading import NotReadableError

EPILOG = """
\b
Examples:
  savedmodel lint smd.yaml
  savedmodel lint deploy/*.yaml --strict
  helm template charts/shop | savedmodel lint -
  savedmodel lint smd.yaml -o json | jq -r '.problems[] | "\\(.line) \\(.message)"'

\b
Exit codes:
  0  an API server would take them (advice may be there)
  1  it would not; with --strict: or there is advice
  2  usage, or no SavedModelDeployment in the files
  4  a file could not be read
"""


STORED = {"namespace": "default", "uid": "", "resourceVersion": ""}
"""What a stored object has in its metadata and a manifest need not have."""


@dataclass(frozen=True)
class Remark:
    """One line of the answer; `level` is error or advice, `line` counts from 1."""

    file: str
    line: int
    level: str
    name: str
    path: str
    message: str


@dataclass(frozen=True)
class Linted:
    """One object: its remarks, the spec if it is valid, and the rules that were not applied."""

    remarks: tuple[Remark, ...]
    spec: Spec | None = None
    skipped: tuple[str, ...] = ()


@click.command("lint", epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--strict", is_flag=True, help="Advice fails, too.")
@output_option
def lint(files: tuple[str, ...], strict: bool, output: str) -> None:
    """Validate the SavedModelDeployments in FILEs ("-": standard input) without a cluster.

    Says what the API server would say, with line numbers: types, bounds, patterns, rules, unknown
    fields (with the one that was meant). Advice is what is allowed but rarely wanted. Documents
    of other kinds are passed over. Not known here: what is in the cluster, such as Secrets.
    """
    results: list[Linted] = []
    try:
        for file in files:
            results += _lint_file(file)
    except NotReadableError as error:
        fail("lint", str(error))
    if not results:
        fail("lint", f"no {KIND} in {', '.join(files)}", Exit.USAGE)
    remarks = [remark for result in results for remark in result.remarks]
    emit(partial(_as_dict, results), output, partial(_as_text, results))
    bad = [remark for remark in remarks if strict or remark.level == "error"]
    sys.exit(Exit.NO if bad else Exit.YES)


def _lint_file(file: str) -> list[Linted]:
    try:
        documents = read_manifest(file)
    except NotYamlError as error:
        return [Linted((Remark(shown(file), error.line, "error", "", "", str(error)),))]
    return [lint_document(document) for document in documents if document.is_deployment]


def lint_document(document: Document) -> Linted:
    """Judges one SavedModelDeployment as far as that goes without a cluster."""
    schema = _schema()
    data = fill(document.data, schema)
    inspection = inspect_object(data, schema)
    found = [*_head(document), *((p.path, p.message) for p in inspection.problems)]
    found += [(path, f'duplicate field "{dotted(path)}"') for path in document.twice]
    spec: Spec | None = None
    if not found:
        try:
            spec = parse({**data, "metadata": {**STORED, **data["metadata"]}})[1]
        except InvalidSpec as error:
            found.append((("spec",), error.message))
    errors = [_remark(document, "error", path, message) for path, message in found]
    advice = advise(spec) if spec else ()
    return Linted(
        (*errors, *(_remark(document, "advice", path, text) for path, text in advice)),
        spec,
        tuple(inspection.skipped),
    )


def _schema() -> dict[str, Any]:
    """The object's schema; the API server adds the fields of metadata and drops a status."""
    root = build_root()
    properties = dict(root["properties"])
    del properties["status"]
    open_object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    named = {"properties": {"name": {"type": "string"}}, "required": ["name"]}
    properties |= {"metadata": {**open_object, **named}, "status": open_object}
    return {**root, "properties": properties, "required": ["metadata", *root["required"]]}


def _head(document: Document) -> Iterator[tuple[Path, str]]:
    """apiVersion and kind, which the API server takes from the request's address."""
    for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        have = document.data.get(key)
        if have != wanted:
            yield (key,), f"{key}: {wanted} is expected, found {have!r}"


def _remark(document: Document, level: str, path: Path, message: str) -> Remark:
    at = dotted(path)
    if level == "advice":
        message = f"{at}: {message}"
    return Remark(document.file, document.line(path), level, document.name, at, message)


def _as_dict(results: Iterable[Linted]) -> Mapping[str, Any]:
    found = tuple(results)
    remarks = [remark for result in found for remark in result.remarks]
    return {
        "valid": not any(remark.level == "error" for remark in remarks),
        "objects": len(found),
        "problems": [asdict(remark) for remark in remarks],
        "notApplied": sorted({message for result in found for message in result.skipped}),
    }


def _as_text(results: Iterable[Linted]) -> Iterator[Block]:
    found = tuple(results)
    remarks = [remark for result in found for remark in result.remarks]
    for remark in remarks:
        level = Styled(remark.level, "bad" if remark.level == "error" else "warn")
        yield line(
            Styled(f"{remark.file}:{remark.line}", "name"), ": ", level, f": {remark.message}"
        )
    errors = sum(remark.level == "error" for remark in remarks)
    word = Styled("not valid", "bad") if errors else Styled("valid", "good")
    counts = f"{count_of(errors, 'error')}, {len(remarks) - errors} advice"
    yield line(word, f": {count_of(len(found), 'object')}, {counts}")
    for message in sorted({text for result in found for text in result.skipped}):
        yield line(Styled(f"not looked at without a cluster: {message}", "dim"))
