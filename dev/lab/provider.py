"""Which of the two ways to a cluster is taken, and which one was.

Neighbours: `native` and `kind` are the ways; `images`, `s3` and `cluster_cli` go through here. kind is
taken when a Docker engine answers, because then nothing of the host is touched; it can be forced.
Must not do the work itself.
"""

from enum import StrEnum
from typing import Protocol

from lab import kind, native
from lab.errors import LabError
from lab.instance import Instance
from lab.recipes import Image


class Way(StrEnum):
    """How a cluster is made."""

    NATIVE = "native"
    KIND = "kind"


class Provider(Protocol):
    """What both ways can do. Every function may raise LabError."""

    def up(self, instance: Instance) -> None: ...
    def down(self, instance: Instance, *, purge: bool = False) -> None: ...
    def load(self, instance: Instance, image: Image) -> None: ...
    def status(self, instance: Instance) -> list[tuple[str, bool, str]]: ...
    def log_command(self, instance: Instance, component: str, words: list[str]) -> list[str]: ...


PROVIDERS: dict[Way, Provider] = {Way.NATIVE: native, Way.KIND: kind}


def decide(recorded: Way | None, *, forced: bool, docker: bool) -> Way:
    """The way for `up`: a cluster that is there stays what it is.

    Raises LabError when kind is asked for and cannot be had.
    """
    if forced and recorded is Way.NATIVE:
        raise LabError("a cluster without Docker is up; dev/cluster down first, then up --kind")
    if forced and not docker:
        raise LabError("kind needs a Docker engine and none answers (docker info)")
    if recorded:
        return recorded
    return Way.KIND if forced or docker else Way.NATIVE


def recorded(instance: Instance) -> Way | None:
    """How the present cluster was made; None if there is none."""
    try:
        return Way((instance.state / "way").read_text().strip())
    except (FileNotFoundError, ValueError):
        return None


def up(instance: Instance, *, forced: bool = False) -> Way:
    """Bring the cluster up, by the way that was decided. Gives back that way."""
    known = recorded(instance)
    way = decide(known, forced=forced, docker=known is not Way.NATIVE and kind.engine_answers())
    if known is None:
        instance.state.mkdir(parents=True, exist_ok=True)
        (instance.state / "way").write_text(way)
    PROVIDERS[way].up(instance)
    return way


def down(instance: Instance, *, purge: bool = False) -> None:
    """Take down whatever is there; native remains are looked for in any case."""
    if recorded(instance) is Way.KIND:
        kind.down(instance, purge=purge)
    else:
        native.down(instance, purge=purge)


def running(instance: Instance) -> Provider:
    """The provider of the cluster that is there. Raises LabError if there is none."""
    way = recorded(instance)
    if way is None:
        raise LabError("there is no cluster; start one with dev/cluster up")
    return PROVIDERS[way]
