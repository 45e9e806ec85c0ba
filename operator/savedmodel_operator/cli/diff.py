"""`savedmodel diff A B`: what is different between two versions, and who would notice.

`diff_facts` compares, `diff_view` shows. Like diff(1) it ends with 0 where nothing differs and 1
where something does; whether B may replace A is another question, which `check` answers.
"""

from __future__ import annotations

import sys
from functools import partial

import click

from savedmodel_operator.cli.diff_facts import compare_versions
from savedmodel_operator.cli.diff_view import as_dict, as_text
from savedmodel_operator.cli.findings import client_option
from savedmodel_operator.cli.output import Exit, emit, fail, output_option
from savedmodel_operator.cli.reading import NotReadableError
from savedmodel_operator.cli.target import (
    StoreOptions,
    Version,
    not_empty,
    read_target,
    store_options,
)
from savedmodel_operator.gate.finding import CLIENTS

EPILOG = """
\b
Examples:
  savedmodel diff models/flowers/6 models/flowers/7
  savedmodel diff s3://models/flowers/6 models/flowers/7 --client GRPC
  savedmodel diff models/flowers/6 models/flowers/7 -o json |
    jq -r '.metaGraphs[].findings[] | select(.severity == "break") | .path'

\b
Exit codes, as diff(1):
  0  no difference
  1  something differs (whether that is harmless: savedmodel check B --against A)
  2  usage
  4  one of them could not be read
"""


@click.command("diff", epilog=EPILOG)
@click.argument("a", callback=not_empty)
@click.argument("b", callback=not_empty)
@click.option("--tag-set", "--tag_set", metavar="TAG,…", help="Only this MetaGraph.")
@client_option
@output_option
@store_options
def diff(
    a: str,
    b: str,
    tag_set: str | None,
    clients: tuple[str, ...],
    output: str,
    store: StoreOptions,
) -> None:
    """Show what changed from version A to version B, and which clients of A would notice.

    Both are version directories, paths or s3:// URLs. Compared are signatures (each difference
    with its exact place, who breaks and what to do), ops, variables, assets, files and what wrote
    them. Values of variables are compared by their checksums, without reading them.
    """
    try:
        old, new = (_readable(read_target(text, store)) for text in (a, b))
        found = compare_versions(old, new, clients or CLIENTS, _tags(tag_set))
    except NotReadableError as error:
        fail("diff", str(error))
    emit(partial(as_dict, found), output, partial(as_text, found))
    sys.exit(Exit.YES if found.same else Exit.NO)


def _tags(tag_set: str | None) -> frozenset[str] | None:
    return None if tag_set is None else frozenset(tag_set.split(","))


def _readable(version: Version) -> Version:
    if version.facts is None:
        raise NotReadableError(f"{version.name}: {version.layout.message}")
    return version
