"""`savedmodel promote|abort|retry|pause|resume|sync NAME`: one annotation, and what becomes of it.

`verbs_rules` knows what is asked and when it has come about; the operator decides and does it.
Needs the right to get and patch SavedModelDeployments; `--wait` also to list and watch them, and
tells why the operator refused where it may read Events. Must not write anything else.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import click

from savedmodel_operator.api.action import Verb
from savedmodel_operator.cli.cluster_access import Cluster, Deadline, TimedOut, cluster_options
from savedmodel_operator.cli.cluster_command import (
    CODES,
    form_option,
    on_cluster,
    say,
    wait_options,
)
from savedmodel_operator.cli.complete import complete_name, complete_refused
from savedmodel_operator.cli.output import Exit, Style, Styled, line
from savedmodel_operator.cli.standing import WORDS, Seen, Standing
from savedmodel_operator.cli.verbs_rules import (
    ANSWERS,
    Pointless,
    Request,
    ask,
    is_handled,
    is_later,
    is_lost,
    is_version,
    outcome,
    refusal,
    shows,
)

_Command = TypeVar("_Command", bound=Callable[..., Any])

EVENT_PATIENCE = 5.0
"""Seconds to wait for the Event that says how an action was taken. It follows status within one
call of the operator; a quota or an outage may take it away, and then the outcome alone tells."""

_CODES = f"""
\b
Exit codes:
  0    asked for (with --wait: it has come about)
  1    it means nothing now, or was refused; with --wait also: it ended otherwise
  2    usage
  3    with --wait: the rollout is paused again and waits for a person{CODES}
"""


def _verb_options(command: _Command) -> _Command:
    """What all verbs take."""
    for option in (
        form_option,
        wait_options,
        click.option(
            "--dry-run",
            is_flag=True,
            help="Have the API server check rights and object, and change nothing.",
        ),
        cluster_options,
        click.argument("name", shell_complete=complete_name),
    ):
        command = option(command)
    return command


@click.command("promote", epilog=_CODES)
@_verb_options
@click.option("--full", is_flag=True, help="Skip all remaining steps.")
def promote(full: bool, **options: Any) -> None:
    """Let the candidate of NAME go on: leave the pause or hold of the present step.

    It names the revision and step that are seen now; if the rollout has moved on meanwhile, the
    operator refuses. --wait follows to the next pause (3) or the end.
    """
    _run(Verb.PromoteFull if full else Verb.Promote, None, **options)


@click.command("abort", epilog=_CODES)
@_verb_options
def abort(**options: Any) -> None:
    """Take the candidate of NAME back: no more requests, then no more pods.

    The version is not tried again until `savedmodel retry`. --wait ends once every router has
    weight 0.
    """
    _run(Verb.Abort, None, **options)


@click.command("pause", epilog=_CODES)
@_verb_options
def pause(**options: Any) -> None:
    """Hold the candidate of NAME where it is, with the weight it has, also beyond its deadline.

    One that fails is taken back all the same. `savedmodel resume` or `promote` lets it go on.
    """
    _run(Verb.Pause, None, **options)


@click.command("resume", epilog=_CODES)
@_verb_options
def resume(**options: Any) -> None:
    """Let the candidate of NAME go on after `savedmodel pause`.

    --wait follows to the next pause (3) or the end.
    """
    _run(Verb.Resume, None, **options)


@click.command("sync", epilog=_CODES)
@_verb_options
def sync(**options: Any) -> None:
    """List the bucket of NAME now instead of at the next poll.

    --wait ends once the operator has taken note; `savedmodel status NAME --wait` follows what
    comes of it.
    """
    _run(Verb.Sync, None, **options)


def _version(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_version(value):
        raise click.BadParameter(f"'{value}' is no version; write 4, v4 or v4-1a2b3c4d", ctx, param)
    return value


@click.command("retry", epilog=_CODES)
@_verb_options
@click.argument("version", required=False, callback=_version, shell_complete=complete_refused)
def retry(version: str | None, **options: Any) -> None:
    """Let a version of NAME that was refused or rolled back be tried again.

    Without VERSION (4, v4 or v4-1a2b3c4d): the one that keeps NAME from being up to date.
    --wait follows the new rollout to its first pause (3) or its end.
    """
    _run(Verb.Retry, version, **options)


def _run(
    verb: Verb,
    version: str | None,
    *,
    name: str,
    namespace: str | None,
    context: str | None,
    wait: bool,
    timeout: float,
    dry_run: bool,
    output: str,
) -> None:
    if timeout and not wait:
        raise click.UsageError("--timeout needs --wait")
    if wait and dry_run:
        raise click.UsageError("--dry-run changes nothing, so there is nothing to --wait for")
    with on_cluster(verb.value.split("-")[0], context, namespace) as cluster:
        deadline = Deadline(timeout)
        try:
            request = ask(Seen(cluster.get(name)), verb, version, secrets.token_hex(4))
        except Pointless as error:
            _end(name, Request(verb, ""), Standing(Exit.NO, str(error)), output, False)
        mark = cluster.event_mark(name) if wait else None
        body = cluster.act(name, request.text, dry_run)
        if wait:
            end = _follow(cluster, body, request, mark, deadline)
        else:
            told = "would be asked for" if dry_run else "asked for"
            end = Standing(Exit.YES, f"{told}: {request.text}")
        _end(name, request, end, output, dry_run)


def _follow(
    cluster: Cluster, body: dict[str, Any], request: Request, mark: str | None, deadline: Deadline
) -> Standing:
    """How it ended. Raises TimedOut, NoAnswer."""
    answered = False
    for state in cluster.follow(body, deadline):
        seen = Seen(state)
        if is_lost(seen, request):
            return Standing(Exit.NO, "another action took its place before the operator saw it")
        if not answered and not is_handled(seen, request):
            continue
        if not answered and mark is not None and not shows(seen, request):
            refused = _refused(cluster, seen, mark, deadline)
            if refused is not None:
                return Standing(Exit.NO, refused)
        answered = True
        end = outcome(seen, request)
        if end is not None:
            return end
    raise AssertionError("a watch goes on until it raises")


def _refused(cluster: Cluster, handled: Seen, mark: str, deadline: Deadline) -> str | None:
    """What the operator has against the action that this state has handled; None: nothing, or
    nobody says."""
    with suppress(TimedOut):
        for event in cluster.events(handled.name, mark, Deadline(deadline.left(EVENT_PATIENCE))):
            if event.get("reason") in ANSWERS and is_later(event, handled.body):
                return refusal(event)
    return None


def _end(name: str, request: Request, end: Standing, output: str, dry_run: bool) -> None:
    styles: dict[Exit, Style] = {Exit.YES: "good", Exit.WAITING: "warn"}
    say(
        [name],
        lambda: {
            "name": name,
            "verb": request.verb.value,
            "action": request.text or None,
            "dryRun": dry_run,
            "verdict": WORDS[end.code],
            "why": end.why,
        },
        output,
        lambda: [line(Styled(WORDS[end.code], styles.get(end.code, "bad")), f": {end.why}")],
    )
    sys.exit(end.code)
