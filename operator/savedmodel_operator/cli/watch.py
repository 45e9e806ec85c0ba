"""`savedmodel watch NAME`: a line for each thing that changes, as it changes.

Lines, not a picture that is drawn over: what happened stays on the screen and in a CI log. The
time before each is this machine's; what `next` promises is the API server's. Must not write.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

import click

from savedmodel_operator.cli.cluster_access import Deadline, cluster_options
from savedmodel_operator.cli.cluster_command import CODES, on_cluster, timeout_option
from savedmodel_operator.cli.complete import complete_name
from savedmodel_operator.cli.output import Styled, as_yaml, emit, line, output_option
from savedmodel_operator.cli.standing import Seen, settled
from savedmodel_operator.cli.status_view import as_dict, change, show_one

EPILOG = f"""
\b
Examples:
  savedmodel watch flowers -n shop
  savedmodel watch flowers --until-settled --timeout 1h
  savedmodel watch flowers -o json | jq -r '"\\(.candidate.weight) \\(.message)"'

\b
Exit codes (with --until-settled; else it ends only with 4, 124 or 130):
  0    the newest version serves
  1    the newest version was refused or rolled back, or nothing will serve
  2    usage
  3    a rollout waits for a person: promote, resume, abort, or spec.suspend{CODES}
"""


@click.command("watch", epilog=EPILOG)
@click.argument("name", shell_complete=complete_name)
@click.option(
    "--until-settled", "--wait", "wait", is_flag=True, help="End once no rollout goes on."
)
@cluster_options
@timeout_option
@output_option
def watch(
    name: str, wait: bool, namespace: str | None, context: str | None, timeout: float, output: str
) -> None:
    """Follow a rollout: the present state, then a line for each change.

    -o json prints one object a line, -o yaml one document each; both have the keys of status.
    """
    with on_cluster("watch", context, namespace) as cluster:
        shown = None
        for body in cluster.follow(cluster.get(name), Deadline(timeout)):
            seen = Seen(body)
            now = _what_counts(seen)
            if now != shown:
                _show(seen, output, first=shown is None)
                shown = now
            outcome = settled(seen) if wait else None
            if outcome is not None:
                sys.exit(outcome.code)


def _what_counts(seen: Seen) -> object:
    """What a new line is printed for; not each heartbeat of status."""
    return seen.phase, seen.status.get("message"), change(seen), seen.status.get("next")


def _show(seen: Seen, output: str, first: bool) -> None:
    if output == "text":
        stamp = Styled(datetime.now(UTC).strftime("%H:%M:%S  "), "dim")
        head = [*show_one(seen, time.time(), sys.stdout.isatty()), line()] if first else []
        emit(dict, output, lambda: [*head, line(stamp, *change(seen))])
        return
    if output == "json":
        click.echo(json.dumps(as_dict(seen)))
    else:
        click.echo("---\n" + as_yaml(as_dict(seen)), nl=False)
    sys.stdout.flush()
