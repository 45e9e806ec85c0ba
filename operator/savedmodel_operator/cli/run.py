"""`savedmodel run`: one request to a model, at a live endpoint or on this machine.

Reads the model's own metadata first, so that an input of the wrong name, type or shape is said in
one sentence before anything is sent. `run_inputs` reads what is given, `client` asks, `run_outputs`
shows. Ends with 0 (outputs), 1 (the inputs do not fit, or the model refuses them), 2 (usage), 4
(nobody judged them: unreachable, no such model, a package missing) or 124 (timeout).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from savedmodel_operator.cli.output import Exit, emit, fail, output_option
from savedmodel_operator.cli.reading import NotReadableError
from savedmodel_operator.client.errors import (
    ClientError,
    MisfitError,
    NoAnswerError,
    RefusedError,
    TimedOutError,
    load,
)
from savedmodel_operator.client.rest import RestClient, parse_url
from savedmodel_operator.client.surface import DEFAULT_SIGNATURE, NAMELESS, Choice, Form
from savedmodel_operator.savedmodel.facts import GraphFacts, Signature

if TYPE_CHECKING:
    from savedmodel_operator.client.arrays import Array
    from savedmodel_operator.client.rpc import GrpcClient

PATH = click.Path(path_type=Path)


class Model(Protocol):
    """Something that has signatures and can be asked."""

    @property
    def where(self) -> str:
        """The model as a person would name it."""

    def signatures(self) -> Mapping[str, Signature]:
        """What may be called. Raises ClientError."""

    def predict(
        self, name: str, signature: Signature, feeds: Mapping[str, Array]
    ) -> dict[str, Array]:
        """The outputs. Raises ClientError."""


@dataclass(frozen=True)
class _Options:
    """The options that say whom to ask."""

    path: str | None
    url: str | None
    grpc: str | None
    model_name: str | None
    model_version: int | None
    model_label: str | None
    tag_set: str
    rest: Form
    timeout: float
    tls: bool
    ca_bundle: Path | None


@click.command(
    "run", context_settings={"token_normalize_func": lambda name: name.replace("_", "-")}
)
@click.argument("path", required=False)
@click.option("--url", metavar="URL", help="REST API: http://HOST:8501, or up to /v1/models/NAME.")
@click.option("--grpc", metavar="HOST:PORT", help="gRPC API, such as HOST:8500.")
@click.option("--model-name", metavar="NAME", help="Model at the endpoint.")
@click.option("--model-version", type=click.IntRange(0), help="This version of it.")
@click.option("--model-label", metavar="LABEL", help="The version with this label.")
@click.option("--signature-def", default=DEFAULT_SIGNATURE, show_default=True, metavar="KEY",
              help="Signature to call.")  # fmt: skip
@click.option("--tag-set", default="serve", show_default=True, metavar="TAGS",
              help="MetaGraph of a path: its tags, with commas.")  # fmt: skip
@click.option("--inputs", multiple=True, metavar="KEY=FILE",
              help="Array from f.npy, or f.npz[variable]; may be repeated, or joined with ';'.")  # fmt: skip
@click.option("--input-exprs", multiple=True, metavar="KEY=LITERAL",
              help="Python literal, such as 'x=[[1.0, 2.0]]'.")  # fmt: skip
@click.option("--input-examples", multiple=True, metavar="KEY=[{…}]",
              help="tf.Example per entry, such as 'inputs=[{\"age\": [22]}]'.")  # fmt: skip
@click.option(
    "--allow-pickle", is_flag=True, help="Read arrays of Python objects: runs their code."
)
@click.option("--cast", is_flag=True, help="Convert arrays of a file to the wanted type.")
@click.option("--outdir", type=PATH, metavar="DIR", help="Save each output as DIR/KEY.npy.")
@click.option("--overwrite", is_flag=True, help="Replace files in --outdir.")
@click.option("--rest", type=click.Choice(["row", "column"]), default="row", show_default=True,
              help="Form of a REST request.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True,
              help="Seconds to wait for an answer of an endpoint.")  # fmt: skip
@click.option("--tls", is_flag=True, help="TLS for --grpc; --url has it by https://.")
@click.option("--ca-bundle", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              metavar="FILE", help="Certificates to trust, as PEM.")  # fmt: skip
@output_option
def run(
    signature_def: str,
    inputs: tuple[str, ...],
    input_exprs: tuple[str, ...],
    input_examples: tuple[str, ...],
    allow_pickle: bool,
    cast: bool,
    outdir: Path | None,
    overwrite: bool,
    output: str,
    **target: Any,
) -> None:
    """Call a signature of a model: at --url, at --grpc, or of the version directory PATH.

    PATH is run by TensorFlow on this machine, with your rights: only for models that you trust.
    """
    try:
        load("numpy", "run", "savedmodel run")
        from savedmodel_operator.cli.run_inputs import InputsError, parse_options, read_feeds
        from savedmodel_operator.cli.run_outputs import OutputsError, plan_files
    except ClientError as error:
        fail("run", str(error))
    try:
        model = _model(_Options(**target))
        given = parse_options(inputs, input_exprs, input_examples)
        signature = _signature(model, signature_def)
        feeds = read_feeds(given, signature, allow_pickle=allow_pickle, cast=cast)
        keys = sorted(key for key, spec in signature.outputs.items() if spec.kind == "Dense")
        files = plan_files(outdir, keys, overwrite=overwrite) if outdir else {}
        outputs = model.predict(signature_def, signature, feeds)
    except (InputsError, OutputsError) as error:
        fail("run", str(error), Exit.USAGE)
    except (MisfitError, RefusedError) as error:
        fail("run", str(error), Exit.NO)
    except TimedOutError as error:
        fail("run", str(error), Exit.TIMEOUT)
    except (ClientError, NotReadableError) as error:
        fail("run", str(error))
    _show(model.where, signature_def, outputs, files, output)


def _show(
    where: str,
    signature: str,
    outputs: Mapping[str, Array],
    files: Mapping[str, Path],
    output: str,
) -> None:
    from savedmodel_operator.cli.run_outputs import OutputsError, as_blocks, as_data, save

    problem = ""
    try:
        if files:
            save(outputs, files)
    except OutputsError as error:  # the answer is there and is shown
        problem, files = str(error), {}
    emit(
        lambda: {"model": where, "signature": signature, "outputs": as_data(outputs, files)},
        output,
        lambda: as_blocks(where, signature, outputs, files),
    )
    if problem:
        fail("run", problem)


def _signature(model: Model, name: str) -> Signature:
    signatures = model.signatures()
    if name not in signatures:
        known = ", ".join(sorted(signatures)) or "none"
        raise MisfitError(f"{model.where} has no signature {name!r}; it has {known}")
    if not name:
        raise MisfitError(f"the signature '' cannot be called: {NAMELESS}")
    return signatures[name]


def _model(options: _Options) -> Model:
    """Whom to ask. Raises click.UsageError for options that do not go together."""
    if sum(target is not None for target in (options.path, options.url, options.grpc)) != 1:
        raise click.UsageError("name one model: a PATH, or --url, or --grpc")
    if options.model_version is not None and options.model_label is not None:
        raise click.UsageError("--model-version and --model-label exclude each other")
    if options.path is not None:
        if options.model_name or options.model_version is not None or options.model_label:
            raise click.UsageError("a PATH is one version already; --model-… are for endpoints")
        return _Local(options.path, [tag for tag in options.tag_set.split(",") if tag])
    choice = Choice(options.model_name or "", options.model_version, options.model_label)
    if options.url is not None:
        try:
            endpoint, named = parse_url(options.url)
        except MisfitError as error:
            raise click.UsageError(str(error)) from None
        choice = choose(named, choice)
        client = RestClient(endpoint, choice, options.timeout, options.ca_bundle)
        return _Rest(client, options.rest)
    if "://" in str(options.grpc):
        raise click.UsageError("--grpc is HOST:PORT, without a scheme; --url takes http://")
    return _Grpc(options, choose(None, choice))


def choose(named: Choice | None, given: Choice) -> Choice:
    """The model of a URL or of the options. Raises click.UsageError for none and for two."""
    if named is None:
        if not given.name:
            raise click.UsageError("--model-name says which model at the endpoint")
        return given
    if given.name not in ("", named.name):
        raise click.UsageError(f"the URL names the model {named.name!r}, --model-name another")
    if (given.version, given.label) == (None, None):
        return named
    if (named.version, named.label) not in ((None, None), (given.version, given.label)):
        raise click.UsageError("the URL names a version or label already")
    return Choice(named.name, given.version, given.label)


@dataclass(frozen=True)
class _Rest:
    client: RestClient
    form: Form

    @property
    def where(self) -> str:
        return f"{self.client.endpoint.url}{self.client.choice.path}"

    def signatures(self) -> Mapping[str, Signature]:
        return self.client.metadata().signatures

    def predict(
        self, name: str, signature: Signature, feeds: Mapping[str, Array]
    ) -> dict[str, Array]:
        return self.client.predict(name, signature, feeds, self.form)


@dataclass(frozen=True)
class _Grpc:
    options: _Options
    choice: Choice

    @property
    def where(self) -> str:
        return f"{self.options.grpc}{self.choice.path.removeprefix('/v1/models')}"

    def _client(self) -> GrpcClient:
        load("grpc", "grpc", "asking over gRPC")
        from savedmodel_operator.client.rpc import GrpcClient

        return GrpcClient(
            str(self.options.grpc),
            self.choice,
            timeout=self.options.timeout,
            tls=self.options.tls,
            ca_bundle=self.options.ca_bundle,
        )

    def signatures(self) -> Mapping[str, Signature]:
        with self._client() as client:
            return client.metadata().signatures

    def predict(
        self, name: str, signature: Signature, feeds: Mapping[str, Array]
    ) -> dict[str, Array]:
        with self._client() as client:
            return client.predict(name, signature, feeds)


@dataclass(frozen=True)
class _Local:
    path: str
    tags: Sequence[str]

    @property
    def where(self) -> str:
        return self.path

    def signatures(self) -> Mapping[str, Signature]:
        """Read without TensorFlow: what does not fit is said in milliseconds."""
        graph = self._graph()
        from savedmodel_operator.savedmodel.graph import PYTHON_OPS

        python = sorted(op for op in graph.ops if op in PYTHON_OPS)
        if python:
            words = ", ".join(python)
            click.echo(
                f"savedmodel run: {words}: TensorFlow Serving cannot run this model", err=True
            )
        return graph.signatures

    def _graph(self) -> GraphFacts:
        from savedmodel_operator.cli.target import read_target

        if "://" in self.path and not self.path.startswith("file://"):
            raise NoAnswerError("TensorFlow runs a path on this machine; copy the version there")
        version = read_target(self.path)
        if version.facts is None:
            raise NoAnswerError(f"{self.path}: {version.layout.message}")
        graph = version.facts.graph(self.tags)
        if graph is None:
            known = "; ".join(",".join(g.tags) for g in version.facts.graphs)
            raise MisfitError(
                f"{self.path} has no MetaGraph [{','.join(self.tags)}]; it has {known}"
            )
        return graph

    def predict(
        self,
        name: str,
        signature: Signature,  # noqa: ARG002  (TensorFlow reads its own)
        feeds: Mapping[str, Array],
    ) -> dict[str, Array]:
        from savedmodel_operator.client.local import run_local

        path = Path(self.path.removeprefix("file://"))
        return run_local(path if path.is_dir() else path.parent, self.tags, name, feeds)
