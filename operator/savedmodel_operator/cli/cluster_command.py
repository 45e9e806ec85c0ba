"""What the commands on a cluster share: their output forms, time limits and ways to end.

Neighbours: `cluster_access` asks, `standing` judges; `status`, `watch`, `history` and `verbs` are
the commands. Must not know what a rollout is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from savedmodel_operator.api.types import PLURAL
from savedmodel_operator.cli.cluster_access import (
    GROUP,
    Cluster,
    NoAnswer,
    Place,
    TimedOut,
    connect,
)
from savedmodel_operator.cli.output import FORMATS, Block, Exit, emit, fail

_Command = TypeVar("_Command", bound=Callable[..., Any])

RESOURCE = f"{PLURAL.removesuffix('s')}.{GROUP}"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}

NO_ANSWER = """
  4    could not tell: no API server, no right, no such object, or the operator
       has not looked at it yet"""
CODES = f"""{NO_ANSWER}
  124  --timeout is over
  130  interrupted"""


class Seconds(click.ParamType[float]):
    """Durations as Kubernetes writes them: 90s, 5m, 1h30m; 0 is without end."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        if value == "0":
            return 0.0
        if not re.fullmatch(r"(\d{1,6}[smh])+", value):
            self.fail(f"'{value}' is no duration; write 90s, 5m or 1h30m", param, ctx)
        return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([smh])", value))


def wait_options(command: _Command) -> _Command:
    """The options `--wait` and `--timeout`, given to the command as `wait` and `timeout`."""
    for option in (
        timeout_option,
        click.option("--wait", is_flag=True, help="Wait for the outcome; its code is the exit's."),
    ):
        command = option(command)
    return command


def timeout_option(command: _Command) -> _Command:
    """The option `--timeout`, given to the command in seconds."""
    return click.option(
        "--timeout",
        type=Seconds(),
        default="0",
        metavar="DURATION",
        help="Longest time to wait, say 90s or 1h30m; default: without end.",
    )(command)


def form_option(command: _Command) -> _Command:
    """The option `-o`, with kubectl's form `name` beside the usual ones."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice((*FORMATS, "name")),
        default="text",
        show_default=True,
        help="text for people; json and yaml for programs, with stable keys; name for xargs.",
    )(command)


def say(
    names: Iterable[str],
    data: Callable[[], Any],
    output: str,
    render: Callable[[], Iterable[Block]],
) -> None:
    """`emit`, or only the names as kubectl takes them."""
    if output == "name":
        for name in names:
            click.echo(f"{RESOURCE}/{name}")
    else:
        emit(data, output, render)


@contextmanager
def on_cluster(command: str, context: str | None, namespace: str | None) -> Iterator[Cluster]:
    """The cluster for the time of the block; no answer ends the process with 4, time with 124."""
    try:
        with connect(Place(context, namespace)) as cluster:
            yield cluster
    except NoAnswer as error:
        fail(command, str(error))
    except TimedOut:
        fail(command, "the time is over before there is an outcome", Exit.TIMEOUT)
