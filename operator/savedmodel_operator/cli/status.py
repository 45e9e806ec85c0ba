"""`savedmodel status [NAME]`: what serves, what is tried, what is next, why one was refused.

`standing` judges, `status_view` shows. Must not write.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial

import click

from savedmodel_operator.cli.cluster_access import Cluster, Deadline, cluster_options
from savedmodel_operator.cli.cluster_command import (
    CODES,
    form_option,
    on_cluster,
    say,
    wait_options,
)
from savedmodel_operator.cli.complete import complete_name
from savedmodel_operator.cli.output import Exit
from savedmodel_operator.cli.standing import Seen, settled, stand
from savedmodel_operator.cli.status_view import as_dict, show_many, show_one

WORST = (Exit.NO, Exit.COULD_NOT_TELL, Exit.WAITING, Exit.YES)
"""Which code several objects have together: the first of these that one of them has."""

EPILOG = f"""
\b
Examples:
  savedmodel status                        # of this namespace
  savedmodel status -A
  savedmodel status flowers -n shop
  savedmodel status flowers --wait --timeout 30m && deploy-the-client
  savedmodel status -A -o json | jq -r '.items[] | select(.verdict == "no") | .why'

\b
Exit codes (of several objects the worst: 1, then 4, then 3):
  0    it serves, and nothing newer was refused; a rollout may be under way
  1    the newest version was refused or rolled back, the pinned one is not in
       the bucket, nothing serves, or fewer pods than asked for
  2    usage
  3    a rollout waits for a person: promote, resume, abort, or spec.suspend{CODES}
"""


@click.command("status", epilog=EPILOG)
@click.argument("name", required=False, shell_complete=complete_name)
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@cluster_options
@wait_options
@form_option
def status(
    name: str | None,
    all_namespaces: bool,
    namespace: str | None,
    context: str | None,
    wait: bool,
    timeout: float,
    output: str,
) -> None:
    """Show what serves, what is tried, at what weight, what is next, why the last one was refused.

    With NAME all of one object, else a line for each. --wait (with NAME) waits until no rollout
    is under way, or one is paused, and then answers.
    """
    if name is None and (wait or timeout):
        raise click.UsageError("--wait and --timeout need a NAME")
    if timeout and not wait:
        raise click.UsageError("--timeout needs --wait")
    if name is not None and all_namespaces:
        raise click.UsageError("a NAME is of one namespace; leave out -A")
    with on_cluster("status", context, namespace) as cluster:
        if name is None:
            found = [Seen(body) for body in cluster.list(all_namespaces)]
        else:
            found = [_one(cluster, name, Deadline(timeout) if wait else None)]
    if name is None:
        _show_all(found, output)
    else:
        now, bars = time.time(), sys.stdout.isatty()
        seen = found[0]
        say([name], partial(as_dict, seen), output, partial(show_one, seen, now, bars))
    codes = {stand(seen).code for seen in found}
    sys.exit(next((code for code in WORST if code in codes), Exit.YES))


def _one(cluster: Cluster, name: str, deadline: Deadline | None) -> Seen:
    first = cluster.get(name)
    if deadline is not None:
        for body in cluster.follow(first, deadline):
            if settled(Seen(body)) is not None:
                return Seen(body)
    return Seen(first)


def _show_all(found: Sequence[Seen], output: str) -> None:
    say(
        [seen.name for seen in found],
        lambda: {"items": [as_dict(seen) for seen in found]},
        output,
        partial(show_many, found),
    )
