"""`savedmodel inspect VERSION`: what is in a SavedModel, and is it whole? Without TensorFlow.

Prints what `target` read, as `inspect_data` (for programs) or `inspect_view` (for people) has it;
decides nothing itself. Ends with 0 (complete), 1 (something is missing, malformed or damaged, or
what was asked for is not in the file) or 4 (it could not be read).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import click

from savedmodel_operator.cli.inspect_data import Detail, as_dict
from savedmodel_operator.cli.inspect_view import as_text
from savedmodel_operator.cli.output import Exit, emit, fail, listed, output_option
from savedmodel_operator.cli.reading import NotReadableError
from savedmodel_operator.cli.target import (
    StoreOptions,
    Version,
    not_empty,
    read_target,
    store_options,
)
from savedmodel_operator.savedmodel import GraphFacts, Signature

EPILOG = """
\b
Examples:
  savedmodel inspect models/flowers/7
  savedmodel inspect models/flowers/7 --all
  savedmodel inspect models/flowers/7 --tag-set serve,gpu --signature-def classify
  savedmodel inspect s3://models/flowers/7 --endpoint-url https://s3.example --deep
  savedmodel inspect models/flowers/7 -o json | jq '.metaGraphs[0].signatures'

\b
Exit codes:
  0  the version is whole
  1  it is not, or it has not got the tag set or signature that was asked for
  2  usage
  4  it could not be read
"""


class NotThereError(Exception):
    """The file was read and has not got what was asked for."""


@click.command("inspect", epilog=EPILOG)
@click.argument("version", callback=not_empty)
@click.option(
    "--tag-set",
    "--tag_set",
    metavar="TAG,…",
    help="Only the MetaGraph with exactly these tags.",
)
@click.option("--signature-def", "--signature_def", metavar="KEY", help="Only this signature.")
@click.option("--list-ops", "--list_ops", is_flag=True, help="Every op of the graph, counted.")
@click.option("--variables", is_flag=True, help="Every variable: dtype, shape, shard, size.")
@click.option("--functions", is_flag=True, help="Every function that a Python program can call.")
@click.option("--files", is_flag=True, help="Every file, with its size.")
@click.option("--all", "everything", is_flag=True, help="All of the four above.")
@click.option("--deep", is_flag=True, help="Compare the bytes of every tensor with its checksum.")
@output_option
@store_options
def inspect(
    version: str,
    tag_set: str | None,
    signature_def: str | None,
    deep: bool,
    output: str,
    store: StoreOptions,
    **shown: bool,
) -> None:
    """Show what is in the version directory VERSION (a path or s3:// URL), and whether it is whole.

    Tags, signatures with their tensors, what wrote it, ops, assets, variables. TensorFlow is not
    needed: only headers are read, over a store by ranges, so a model of many GiB costs kilobytes.
    """
    everything = shown.pop("everything")
    detail = Detail(**{name: wanted or everything for name, wanted in shown.items()}, deep=deep)
    try:
        found = _select(read_target(version, store, deep), tag_set, signature_def)
        emit(partial(as_dict, found, detail), output, partial(as_text, found, detail))
    except NotReadableError as error:
        fail("inspect", str(error))
    except NotThereError as error:
        fail("inspect", str(error), Exit.NO)
    sys.exit(Exit.YES if found.layout.complete and not found.damaged else Exit.NO)


def _select(version: Version, tag_set: str | None, signature: str | None) -> Version:
    """Only what was asked for. Raises NotThereError, naming what is there."""
    if version.facts is None or (tag_set is None and signature is None):
        return version
    graphs = version.facts.graphs
    if tag_set is not None:
        graphs = tuple(graph for graph in graphs if set(graph.tags) == set(tag_set.split(",")))
        if not graphs:
            there = [",".join(graph.tags) or "(no tags)" for graph in version.facts.graphs]
            raise NotThereError(
                f"{version.name} has no MetaGraph with exactly the tags {tag_set}; "
                f"it has {listed(there, ' | ')}"
            )
    if signature is not None:
        graphs = _with_signature(version, graphs, signature)
    return replace(version, facts=replace(version.facts, graphs=graphs))


def _with_signature(
    version: Version, graphs: tuple[GraphFacts, ...], key: str
) -> tuple[GraphFacts, ...]:
    chosen = tuple(
        replace(graph, signatures=_only(graph.signatures, key))
        for graph in graphs
        if key in graph.signatures
    )
    if not chosen:
        there = sorted({name for graph in graphs for name in graph.signatures})
        raise NotThereError(f"{version.name} has no signature {key}; it has {listed(there)}")
    return chosen


def _only(signatures: Mapping[str, Signature], key: str) -> dict[str, Signature]:
    return {key: signatures[key]}
