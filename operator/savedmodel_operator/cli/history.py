"""`savedmodel history NAME`: which versions served, and how the others ended.

Status keeps the newest ten of each kind. Must not write.
"""

from __future__ import annotations

import time
from functools import partial

import click

from savedmodel_operator.cli.cluster_access import cluster_options
from savedmodel_operator.cli.cluster_command import NO_ANSWER, on_cluster
from savedmodel_operator.cli.complete import complete_name
from savedmodel_operator.cli.output import emit, output_option
from savedmodel_operator.cli.standing import Seen
from savedmodel_operator.cli.status_view import history_entries, show_history

EPILOG = f"""
\b
Examples:
  savedmodel history flowers -n shop
  savedmodel history flowers -o json | jq -r '.entries[] | select(.outcome == "RolledBack")'

\b
Exit codes:
  0    here it is
  2    usage{NO_ANSWER}
"""


@click.command("history", epilog=EPILOG)
@click.argument("name", shell_complete=complete_name)
@cluster_options
@output_option
def history(name: str, namespace: str | None, context: str | None, output: str) -> None:
    """Show which version serves since when, and how the ones before it ended, newest first."""
    with on_cluster("history", context, namespace) as cluster:
        seen = Seen(cluster.get(name))
    emit(
        lambda: {
            "name": seen.name,
            "namespace": seen.namespace,
            "entries": history_entries(seen),
        },
        output,
        partial(show_history, seen, time.time()),
    )
