"""What a command was pointed at: one version directory, on this machine or in a bucket.

`read_target` lists it and has the headers read, for `inspect`, `diff`, `check` and whoever else
asks about a version; `folder` and `bucket` know the two kinds of places. Over a store only the
ranges that the readers ask for are fetched, with the rights of whoever calls. The facts are not
judged here beyond whether the directory is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from savedmodel_operator.cli.folder import FolderPlace
from savedmodel_operator.cli.reading import Meter, Metered, NotReadableError
from savedmodel_operator.savedmodel import (
    BundleIndex,
    MalformedModel,
    ModelFacts,
    Source,
    graph_file,
    read_bundle_index,
    read_graph_file,
)
from savedmodel_operator.savedmodel.bundle import MAX_INDEX_BYTES
from savedmodel_operator.savedmodel.layout import INDEX, Layout, check_layout

if TYPE_CHECKING:
    from savedmodel_operator.savedmodel.extras import Extras

R = TypeVar("R")


@dataclass(frozen=True)
class StoreOptions:
    """How to reach a bucket; None leaves it to the AWS environment and profile."""

    endpoint_url: str | None = None
    region: str | None = None
    anonymous: bool = False
    addressing: str = "Auto"


def store_options(command: Callable[..., R]) -> Callable[..., R]:
    """Adds the options of a bucket to a command, which gets them as `store: StoreOptions`."""

    @wraps(command)
    def wrapped(*args: Any, **given: Any) -> R:
        names = ("endpoint_url", "region", "anonymous", "addressing")
        store = StoreOptions(**{name: given.pop(name) for name in names})
        return command(*args, store=store, **given)

    options = [
        click.option("--endpoint-url", metavar="URL", help="S3-compatible store; none means AWS."),
        click.option("--region", help="Region of the bucket.  [default: as AWS tools find it]"),
        click.option("--anonymous", is_flag=True, help="Read a public bucket without a key."),
        click.option(
            "--addressing",
            type=click.Choice(["Auto", "Path", "Virtual"]),
            default="Auto",
            show_default=True,
            help="Where the bucket's name stands: in the path or in the host.",
        ),
    ]
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """For arguments that name a version: an empty one is a variable that was not set, and would
    otherwise mean the working directory."""
    if value == "":
        raise click.BadParameter("it is empty: name a path or s3:// URL", ctx, param)
    return value


class Place(Protocol):
    """A version directory somewhere: what `folder` and `bucket` offer."""

    @property
    def name(self) -> str:
        """As a person would write it."""

    @property
    def chunk(self) -> int:
        """Bytes that are worth one read when all of a file is wanted."""

    def listing(self) -> dict[str, int]:
        """Relative key → size in bytes. Raises NotReadableError."""

    def open(self, key: str) -> Source:
        """The bytes of a listed file. Raises NotReadableError, here and while they are read."""


@dataclass(frozen=True)
class Version:
    """What one look at a version gave; None for a file that is missing or malformed.

    `damaged` is empty unless the target was read `deep`; then it has a phrase for each tensor
    whose bytes are not those that were saved.
    """

    name: str
    listing: Mapping[str, int]
    facts: ModelFacts | None
    bundle: BundleIndex | None
    layout: Layout
    damaged: tuple[str, ...]
    place: Place
    meter: Meter

    @property
    def bytes_read(self) -> int:
        """Bytes of files read so far, by this look and through `open`."""
        return self.meter.bytes

    @property
    def reads(self) -> int:
        """Ranges asked for so far."""
        return self.meter.reads

    @cached_property
    def extras(self) -> Extras:
        """What lies beside graph and weights; read when it is first asked for, a warm-up file
        whole. Raises NotReadableError."""
        from savedmodel_operator.savedmodel.extras import read_extras

        return read_extras(self.listing, self.open)

    def open(self, key: str) -> Source:
        """The bytes of a listed file. Raises NotReadableError, here and while they are read."""
        return Metered(self.place.open(key), self.meter)


def read_target(text: str, store: StoreOptions | None = None, deep: bool = False) -> Version:
    """Reads the version directory at a path or s3:// URL, or around the graph file named.

    deep: also compare every tensor with its checksum; reads all variables.
    Raises NotReadableError for what is no version directory or may not be read.
    """
    place = _place(text, store or StoreOptions())
    listing = place.listing()
    meter = Meter()
    facts = _facts(place, listing, meter)
    bundle = _bundle(place, listing, meter)
    layout = check_layout(listing, facts, bundle)
    index = bundle if isinstance(bundle, BundleIndex) else None
    return Version(
        name=place.name,
        listing=listing,
        facts=facts if isinstance(facts, ModelFacts) else None,
        bundle=index,
        layout=layout,
        damaged=_damaged(place, listing, index, meter) if deep and index else (),
        place=place,
        meter=meter,
    )


def _place(text: str, store: StoreOptions) -> Place:
    scheme, separator, _ = text.partition("://")
    if not separator:
        return FolderPlace(text)
    if scheme == "file":
        return FolderPlace(text.removeprefix("file://"))
    if scheme != "s3":
        raise NotReadableError(
            f"{scheme}:// cannot be read yet: name a path or s3://BUCKET/PATH/OF/VERSION"
        )
    from savedmodel_operator.cli.bucket import open_bucket  # boto3 costs 0.3 s

    return open_bucket(text, store)


def _facts(
    place: Place, listing: Mapping[str, int], meter: Meter
) -> ModelFacts | MalformedModel | None:
    file = graph_file(listing)
    if file is None or not listing[file]:
        return None
    try:
        return read_graph_file(file, Metered(place.open(file), meter))
    except MalformedModel as error:
        return error


def _bundle(
    place: Place, listing: Mapping[str, int], meter: Meter
) -> BundleIndex | MalformedModel | None:
    if not listing.get(INDEX):
        return None
    source = Metered(place.open(INDEX), meter)
    try:
        return read_bundle_index(source.read(0, min(source.size, MAX_INDEX_BYTES + 1)))
    except MalformedModel as error:
        return error


def _damaged(
    place: Place, listing: Mapping[str, int], bundle: BundleIndex, meter: Meter
) -> tuple[str, ...]:
    """Tensors of missing or short shards are the layout's matter, not damage."""
    from savedmodel_operator.savedmodel.checksum import find_damage

    there = frozenset(key for key, size in bundle.shards.items() if listing.get(key, -1) >= size)
    try:
        found = find_damage(
            bundle, lambda key: Metered(place.open(key), meter), only=there, chunk=place.chunk
        )
        return tuple(str(damage) for damage in found)
    except MalformedModel as error:
        return (str(error),)
