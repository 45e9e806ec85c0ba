"""Entry point of `savedmodel`: a group of commands that imports only the one that is called.

Start-up counts: `inspect` answers in a fraction of TensorFlow's import time, and `fetch` runs
before every model server. Exit codes: 0 yes; 1 the verdict is no; 2 usage; 3 waiting for a
person; 4 could not tell; 124 timeout; 130 interrupted. A new command is one more row in `COMMANDS`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from savedmodel_operator import __version__


class Entry(NamedTuple):
    """Where a command lives, and the line that `--help` shows without importing it."""

    module: str
    help: str
    cluster: bool = False


COMMANDS = {
    "check": Entry("savedmodel_operator.cli.check", "Say whether a version may replace another."),
    "diff": Entry("savedmodel_operator.cli.diff", "Show what differs between two versions."),
    "fetch": Entry("savedmodel_operator.cli.fetch", "Fetch the version that a lock names."),
    "openapi": Entry("savedmodel_operator.cli.openapi", "Describe a version's REST API."),
    "run": Entry("savedmodel_operator.cli.run", "Call a model, live or on this machine."),
    "inspect": Entry("savedmodel_operator.cli.inspect", "Show what is in a SavedModel."),
    "lint": Entry("savedmodel_operator.cli.lint", "Validate manifests without a cluster."),
    "status": Entry(
        "savedmodel_operator.cli.status", "Show what serves, is tried, and was refused.", True
    ),
    "watch": Entry("savedmodel_operator.cli.watch", "Follow a rollout as it goes on.", True),
    "history": Entry("savedmodel_operator.cli.history", "Show how earlier versions ended.", True),
    "promote": Entry("savedmodel_operator.cli.verbs", "Let the candidate go on.", True),
    "abort": Entry("savedmodel_operator.cli.verbs", "Take the candidate back.", True),
    "pause": Entry("savedmodel_operator.cli.verbs", "Hold the candidate where it is.", True),
    "resume": Entry("savedmodel_operator.cli.verbs", "Let a paused candidate go on.", True),
    "sync": Entry("savedmodel_operator.cli.verbs", "List the bucket now.", True),
    "retry": Entry("savedmodel_operator.cli.verbs", "Try a refused version again.", True),
}

INTERRUPTED = 130


class LazyGroup(click.Group):
    """Finds commands in `COMMANDS` and imports them when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's interface)
        """Names for `--help`."""
        return sorted(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  (click's interface)
        cmd_name: str,
    ) -> click.Command | None:
        """The command of that name: the module's attribute of the same name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), cmd_name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands with their help, from the table; options as ever."""
        found = [
            CompletionItem(name, help=COMMANDS[name].help)
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list under `--help`, from the table."""
        for title, cluster in (("Commands", False), ("Commands on a cluster", True)):
            with formatter.section(title):
                rows = [(n, COMMANDS[n]) for n in self.list_commands(ctx)]
                formatter.write_dl(
                    [(n, entry.help) for n, entry in rows if entry.cluster is cluster]
                )

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command; an interrupt ends with 130, as shells expect, instead of click's 1."""
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            if not standalone_mode:
                raise
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            if not standalone_mode:
                raise
            sys.exit(INTERRUPTED)
        if not standalone_mode:
            return result
        sys.exit(result if isinstance(result, int) else 0)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="savedmodel")
def main() -> None:
    """SavedModels from bucket to traffic."""


if __name__ == "__main__":
    main()
