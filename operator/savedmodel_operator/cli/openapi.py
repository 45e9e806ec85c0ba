"""`savedmodel openapi`: an OpenAPI 3.1 document of a version's REST surface.

Signatures come from a version directory, a bucket, or a live server's own metadata; the document
is `client.openapi`'s. Ends with 0 (printed), 1 (no such MetaGraph), 2 (usage), 4 (not readable,
not reachable) or 124 (timeout).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import click

from savedmodel_operator.cli.output import Exit, as_json, fail
from savedmodel_operator.cli.reading import NotReadableError
from savedmodel_operator.cli.run import choose
from savedmodel_operator.cli.target import StoreOptions, read_target, store_options
from savedmodel_operator.client.errors import (
    ClientError,
    MisfitError,
    NoAnswerError,
    TimedOutError,
)
from savedmodel_operator.client.openapi import Described, build_document
from savedmodel_operator.client.rest import RestClient, parse_url
from savedmodel_operator.client.surface import Choice

LOCAL_SERVER = "http://localhost:8501"
"""Where a server that was started by hand listens; the document of a path names no other."""


@click.command(
    "openapi", context_settings={"token_normalize_func": lambda name: name.replace("_", "-")}
)
@click.argument("target")
@click.option("--model-name", metavar="NAME", help="Name in the paths.  [default: the folder's]")
@click.option("--model-version", type=click.IntRange(0), help="Paths of this version only.")
@click.option("--model-label", metavar="LABEL", help="Paths of this label only.")
@click.option("--server", metavar="URL", help="Address of the REST API in the document.")
@click.option("--tag-set", default="serve", show_default=True, metavar="TAGS",
              help="MetaGraph of a path or bucket: its tags, with commas.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True,
              help="Seconds to wait for a live server.")  # fmt: skip
@click.option("--ca-bundle", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              metavar="FILE", help="Certificates to trust for https://, as PEM.")  # fmt: skip
@store_options
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml",
              show_default=True, help="Form of the document.")  # fmt: skip
def openapi(
    target: str,
    model_name: str | None,
    model_version: int | None,
    model_label: str | None,
    server: str | None,
    tag_set: str,
    timeout: float,
    ca_bundle: Path | None,
    store: StoreOptions,
    output: str,
) -> None:
    """Describe the REST API of a version: predict, classify, regress, status, metadata, errors.

    TARGET is a version directory, s3://BUCKET/PATH, or a live http://HOST:8501/v1/models/NAME.
    """
    if model_version is not None and model_label is not None:
        raise click.UsageError("--model-version and --model-label exclude each other")
    given = Choice(model_name or "", model_version, model_label)
    try:
        if target.startswith(("http://", "https://")):
            model = _live(target, given, server, timeout, ca_bundle)
        else:
            model = _stored(target, given, server, tag_set, store)
    except MisfitError as error:
        fail("openapi", str(error), Exit.NO)
    except TimedOutError as error:
        fail("openapi", str(error), Exit.TIMEOUT)
    except (ClientError, NotReadableError) as error:
        fail("openapi", str(error))
    document = build_document(model)
    click.echo(as_json(document) if output == "json" else _as_yaml(document), nl=output == "json")


def _as_yaml(document: dict[str, Any]) -> str:
    """YAML that is read by people: no anchors for schemas that are alike, long texts as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  (PyYAML's interface)
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    written: str = yaml.dump(
        document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return written


def _live(
    target: str, given: Choice, server: str | None, timeout: float, ca_bundle: Path | None
) -> Described:
    try:
        endpoint, named = parse_url(target)
    except MisfitError as error:
        raise click.UsageError(str(error)) from None
    choice = choose(named, given)
    served = RestClient(endpoint, choice, timeout, ca_bundle).metadata()
    return Described(choice, served.version, served.signatures, server or endpoint.url)


def _stored(
    target: str, given: Choice, server: str | None, tag_set: str, store: StoreOptions
) -> Described:
    version = read_target(target, store)
    if version.facts is None:
        raise NoAnswerError(f"{target}: {version.layout.message}")
    tags = [tag for tag in tag_set.split(",") if tag]
    graph = version.facts.graph(tags)
    if graph is None:
        known = "; ".join(",".join(g.tags) for g in version.facts.graphs)
        raise MisfitError(f"{target} has no MetaGraph [{','.join(tags)}]; it has {known}")
    name, number = name_of(version.name)
    choice = Choice(given.name or name, given.version, given.label)
    return Described(choice, number, graph.signatures, server or LOCAL_SERVER)


def name_of(path: str) -> tuple[str, int | None]:
    """(model, version) as the folders are called: TensorFlow Serving wants MODEL/NUMBER.

    >>> name_of("models/half/00000124"), name_of("s3://bucket/half/3"), name_of("export")
    (('half', 124), ('half', 3), ('export', None))
    """
    _, remote, rest = path.partition("://")
    folder = PurePosixPath(rest) if remote else Path(path).absolute()
    names = [part for part in folder.parts if part != "/"] or ["model"]
    if names[-1].isdecimal() and names[-1].isascii():
        return (names[-2] if len(names) > 1 else "model"), int(names[-1])
    return names[-1], None
