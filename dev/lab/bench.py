"""`dev/bench`: measurements behind the budgets, one module per subject.

Neighbours: `bench_*`, each with a click command `run`. A budget is a goal to look at, never a timed
test, so nothing here fails because a machine is slow. Must not measure anything itself.
"""

from __future__ import annotations

import importlib

import click

SUBJECTS = {
    "fetch": "Fetching a version from S3, beside s5cmd and cp.",
    "router": "What the router adds to a request, beside none.",
    "inspect": "Reading SavedModels, beside TensorFlow's saved_model_cli.",
}


class Subjects(click.Group):
    """Finds `lab.bench_NAME` when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's interface)
        """Names for `--help`."""
        return sorted(SUBJECTS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  (click's interface)
        cmd_name: str,
    ) -> click.Command | None:
        """The subject's command."""
        if cmd_name not in SUBJECTS:
            return None
        command: click.Command = importlib.import_module(f"lab.bench_{cmd_name}").run
        return command


@click.group(cls=Subjects)
def main() -> None:
    """Measure, with spread, beside what it is compared to."""


if __name__ == "__main__":
    main(prog_name="dev/bench")
