"""`savedmodel check CANDIDATE --against STABLE`: what the operator's gate would say, offline.

Reads both versions, asks `check_gate` with the gate of a manifest or of the options, prints its
answer. Ends with 0 (it may be started and tried), 1 (it may not), 2 (usage: options or manifest)
or 4 (a version or the manifest could not be read), so that a pipeline can tell "no" from "could
not tell". Must not judge itself.
"""

from __future__ import annotations

import sys
from functools import partial

import click

from savedmodel_operator.cli.check_gate import Terms, judge, terms_of
from savedmodel_operator.cli.check_view import as_dict, as_text
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
from savedmodel_operator.gate.inventory import VERSIONS

EPILOG = """
\b
Examples:
  savedmodel check models/flowers/7 --against models/flowers/6
  savedmodel check export/ --against s3://models/flowers/6 --manifest smd.yaml --deep
  savedmodel check export/ --manifest smd.yaml            # a first version
  savedmodel check export/ --against prod/6 --client GRPC --mode Exact

\b
In a pipeline:
  savedmodel check export/ --against "$PROD" --manifest smd.yaml || case $? in
    1) echo "refused: clients would break" ;;
    *) echo "could not tell: try again" ;;
  esac

\b
Exit codes:
  0  yes: the gate would start it and try it
  1  no: incomplete, damaged, incompatible or refused by the manifest's gate
  2  usage: an option or the manifest is wrong
  4  could not tell: a version or the manifest could not be read
"""


@click.command("check", epilog=EPILOG)
@click.argument("candidate", callback=not_empty)
@click.option(
    "--against",
    callback=not_empty,
    metavar="STABLE",
    help="The version that serves now; without it CANDIDATE is judged as a first version.",
)
@click.option(
    "-f",
    "--manifest",
    metavar="FILE",
    help='Take gate, tags and image from this SavedModelDeployment ("-": standard input).',
)
@click.option("--name", help="Which SavedModelDeployment, where FILE holds several.")
@click.option(
    "--mode",
    type=click.Choice(["None", "Backward", "Exact"]),
    help="Compatibility with STABLE.  [default: the manifest's, else Backward]",
)
@client_option
@click.option(
    "--tag-set",
    "--tag_set",
    metavar="TAG,…",
    help="Tags that are served.  [default: the manifest's, else serve]",
)
@click.option(
    "--serving-version",
    type=click.Choice(VERSIONS),
    help="The TensorFlow Serving whose ops the graph may use.  [default: by the manifest's image]",
)
@click.option("--deep", is_flag=True, help="Compare the bytes of every tensor with its checksum.")
@output_option
@store_options
def check(
    candidate: str,
    against: str | None,
    manifest: str | None,
    name: str | None,
    mode: str | None,
    clients: tuple[str, ...],
    tag_set: str | None,
    serving_version: str | None,
    deep: bool,
    output: str,
    store: StoreOptions,
) -> None:
    """Say whether CANDIDATE may take the place of STABLE, as the operator's gate would.

    Both are version directories, paths or s3:// URLs. Looked at are completeness, budgets, tags,
    the contract, compatibility for each kind of client, tensors and ops. What only a running
    server can say (golden requests, agreement, load time) is named, not judged.
    """
    terms = _terms(manifest, name, mode, clients, tag_set).on_server(serving_version)
    try:
        new = read_target(candidate, store, deep)
        old = None if against is None else _stable(read_target(against, store))
        answer = judge(new, old, terms)  # may read a warm-up file
    except NotReadableError as error:
        fail("check", str(error))
    emit(partial(as_dict, answer), output, partial(as_text, answer))
    sys.exit(Exit.YES if answer.passed else Exit.NO)


def _terms(
    manifest: str | None,
    name: str | None,
    mode: str | None,
    clients: tuple[str, ...],
    tag_set: str | None,
) -> Terms:
    """Ends the process with 2 or 4 where the manifest is wrong or cannot be read."""
    if name is not None and manifest is None:
        raise click.UsageError("--name chooses one of --manifest's objects; give --manifest, too")
    tags = None if tag_set is None else tuple(tag_set.split(","))
    try:
        return terms_of(manifest, name, mode, clients, tags)
    except NotReadableError as error:
        fail("check", str(error))
    except ValueError as error:
        fail("check", str(error), Exit.USAGE)


def _stable(version: Version) -> Version:
    """Its signatures are what counts; that a shard is missing would not change the answer."""
    if version.facts is None:
        raise NotReadableError(f"{version.name}: {version.layout.message}")
    return version
