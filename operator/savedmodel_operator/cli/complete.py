"""Completion: names of objects for the shells, and kubectl's own protocol for its plugins.

`kubectl_complete-savedmodel ARGS… LAST` is called by kubectl ≥ 1.26 for `kubectl savedmodel ARGS…
LAST<Tab>`: a candidate a line, its help after a tab, and at last a directive of Cobra's shell
completion (`:4`, no file names; `:0`, the shell's own; `:16`, folders). What cannot be asked is
completed by nothing: an error would be written into the line that somebody is typing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem, ShellComplete

if TYPE_CHECKING:
    from savedmodel_operator.cli.cluster_access import Cluster

_Answer = TypeVar("_Answer")

NO_FILES, FILES, FOLDERS = 4, 0, 16


def complete_name(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001  (click's interface)
    incomplete: str,
) -> list[CompletionItem]:
    """SavedModelDeployments of the namespace that the line names so far."""
    found = _ask(ctx, lambda cluster: cluster.list(False)) or []
    phases = {b["metadata"]["name"]: (b.get("status") or {}).get("phase") for b in found}
    return _fitting(phases, incomplete)


def complete_refused(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001  (click's interface)
    incomplete: str,
) -> list[CompletionItem]:
    """Versions of NAME that `retry` may name."""
    body = _ask(ctx, lambda cluster: cluster.get(str(ctx.params.get("name")))) or {}
    entries = (body.get("status") or {}).get("rejected") or ()
    return _fitting({str(e["number"]): e["reason"] for e in entries}, incomplete)


def _fitting(known: Mapping[str, str | None], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(k, help=v) for k, v in known.items() if k.startswith(incomplete)]


def _ask(ctx: click.Context, question: Callable[[Cluster], _Answer]) -> _Answer | None:
    """The cluster's answer; None where there is none."""
    from savedmodel_operator.cli.cluster_access import NoAnswer, Place, connect

    place = Place(ctx.params.get("context"), ctx.params.get("namespace"))
    try:
        with connect(place) as cluster:
            return question(cluster)
    except NoAnswer:
        return None


class Line(ShellComplete):
    """A line that somebody else's shell has split already: kubectl's."""

    name = "kubectl"
    source_template = ""

    def __init__(self, command: click.Command, words: list[str]) -> None:
        super().__init__(command, {}, "savedmodel", "")
        self._words = words

    def get_completion_args(self) -> tuple[list[str], str]:
        """(whole words, the word that is being typed)."""
        return self._words[:-1], self._words[-1] if self._words else ""

    def format_completion(self, item: CompletionItem) -> str:
        """Cobra's form."""
        return f"{item.value}\t{item.help}" if item.help else str(item.value)

    @property
    def _offline(self) -> bool:
        """Whether the command works on paths: its arguments are files where nothing else fits."""
        from savedmodel_operator.cli.__main__ import COMMANDS

        entry = COMMANDS.get(self._words[0]) if self._words else None
        return entry is not None and not entry.cluster

    def answer(self) -> str:
        """What kubectl reads."""
        found = self.get_completions(*self.get_completion_args())
        kinds: dict[Any, int] = {"file": FILES, "dir": FOLDERS}
        rest = FILES if not found and self._offline else NO_FILES
        directive = next((kinds[item.type] for item in found if item.type in kinds), rest)
        lines = [self.format_completion(item) for item in found if item.type not in kinds]
        return "\n".join([*lines, f":{directive}"])


def main() -> None:
    """Entry point of `kubectl_complete-savedmodel`."""
    from savedmodel_operator.cli.__main__ import main as savedmodel

    click.echo(Line(savedmodel, sys.argv[1:]).answer())


if __name__ == "__main__":
    main()
