"""What a verb asks for, and when it has come about. Pure.

The annotation names the revision and the step that the person saw, so that it cannot hit another
one that has come meanwhile. Neighbours: `verbs` writes it and asks here at each change. The
operator alone decides; a verb is held back here only where status says that it means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.api import action, names
from savedmodel_operator.api.action import Verb
from savedmodel_operator.api.mirror import MIRROR_STEP, MIRROR_WORD
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.cli.output import Exit
from savedmodel_operator.cli.standing import Seen, Standing, settled

STEERING = (Verb.Promote, Verb.PromoteFull, Verb.Abort, Verb.Pause, Verb.Resume)
"""Verbs about the candidate; the others are about a version and about the bucket."""

WITH_STEP = (Verb.Promote, Verb.Pause, Verb.Resume)

ANSWERS = (Reason.ActionHandled, Reason.ActionRefused, Reason.ActionRecorded)
"""Reasons of the Event in which the operator says what it makes of an action."""

_VERSION = re.compile(
    r"v?([0-9]{1,19})|v[0-9]{1,19}-[0-9a-f]{8}|[a-z][-a-z0-9]*-v[0-9]+-[0-9a-f]{8}"
)


class Pointless(Exception):
    """The verb would mean nothing now; the text is a sentence."""


@dataclass(frozen=True)
class Request:
    """A verb with what it was aimed at; `before` is the rejected entry that a retry lifts."""

    verb: Verb
    text: str
    revision: str = ""
    number: int | None = None
    step: int | None = None
    before: Mapping[str, Any] | None = None


def ask(seen: Seen, verb: Verb, version: str | None, nonce: str) -> Request:
    """The request for this object as it is. Raises Pointless."""
    if verb in STEERING:
        return _steer(seen, verb, nonce)
    if verb is Verb.Retry:
        return _retry(seen, version, nonce)
    return Request(verb, f"{verb.value} #{nonce}")


def _steer(seen: Seen, verb: Verb, nonce: str) -> Request:
    candidate, word = seen.candidate, verb.value.split("-")[0]
    if not candidate:
        raise Pointless(f"nothing to {word}: no rollout is running")
    if seen.suspended and not seen.held and verb in (Verb.Promote, Verb.PromoteFull, Verb.Resume):
        raise Pointless("it is held by spec.suspend; set that to false first")
    if verb is Verb.Pause and seen.held:
        raise Pointless("it is paused already; resume lets it go on")
    if verb is Verb.Resume and not seen.held:
        raise Pointless("it was not paused by hand; where a step has a pause, promote ends it")
    revision, step = str(candidate.get("revision", "")), int(candidate.get("step", 0))
    words = [verb.value, revision]
    if verb in WITH_STEP:
        words.append(MIRROR_WORD if step == MIRROR_STEP else str(step))
    text = " ".join([*words, f"#{nonce}"])
    return Request(verb, text, revision, candidate.get("number"), step)


def _retry(seen: Seen, version: str | None, nonce: str) -> Request:
    rejected = seen.entries("rejected")
    if version is None:
        entry = seen.refused or seen.last_refused
        if not entry:
            raise Pointless("nothing to retry: no version was refused or rolled back")
        revision = str(entry.get("revision", ""))
        return Request(
            Verb.Retry, f"retry {revision} #{nonce}", revision, entry.get("number"), before=entry
        )
    identity = f"v{version}" if version.isdecimal() else version
    matching = [e for e in rejected if action.names(identity_of(identity), str(e["revision"]))]
    if not matching and seen.status.get("highWaterMark") is None:
        raise Pointless(
            f"nothing to retry: version {version} is not among those that were refused or rolled back"
        )
    entry = matching[0] if matching else {}
    number = entry.get("number", _number(identity))
    return Request(Verb.Retry, f"retry {identity} #{nonce}", "", number, before=entry)


def identity_of(word: str) -> str:
    """Of a whole revision name, the part that the operator compares.

    >>> identity_of("flowers-v4-1a2b3c4d"), identity_of("v4")
    ('v4-1a2b3c4d', 'v4')
    """
    found = re.search(r"v[0-9]{1,19}(-[0-9a-f]{8})?$", word)
    return found[0] if found else word


def is_version(word: str) -> bool:
    """Whether a word names a version: 4, v4, v4-1a2b3c4d or the revision.

    >>> [is_version(w) for w in ("4", "v4", "flowers-v4-1a2b3c4d", "latest")]
    [True, True, True, False]
    """
    return _VERSION.fullmatch(word) is not None


def _number(identity: str) -> int:
    return int(identity_of(identity).split("-")[0].removeprefix("v"))


def is_handled(seen: Seen, request: Request) -> bool:
    """Whether the operator has looked at the action."""
    return seen.status.get("lastHandledAction") == request.text


def is_lost(seen: Seen, request: Request) -> bool:
    """Whether somebody put another action in its place before the operator saw it."""
    found = (seen.body["metadata"].get("annotations") or {}).get(names.ANNOTATION_ACTION)
    return found != request.text and not is_handled(seen, request)


def is_later(event: Mapping[str, Any], handled: Mapping[str, Any]) -> bool:
    """Whether an Event came after the status that handled the action, as its answer does: an
    earlier one is about another action. Where Events are stored apart, the numbers do not compare;
    then an answer may be overlooked, and the outcome alone tells."""
    versions = [str(body["metadata"].get("resourceVersion", "")) for body in (event, handled)]
    return all(v.isdecimal() for v in versions) and int(versions[0]) > int(versions[1])


def refusal(event: Mapping[str, Any]) -> str | None:
    """What the operator's Event says against the action; None where it was carried out."""
    refused = event.get("reason") in (Reason.ActionRefused, Reason.ActionRecorded)
    return str(event.get("note", "")) if refused else None


def shows(seen: Seen, request: Request) -> bool:
    """Whether status itself proves that the operator carried out what it has looked at.

    Another step proves nothing for `promote`: a hold that ended, or another person, may have moved
    it before, and then the operator refused.
    """
    candidate = seen.candidate
    tried = bool(candidate) and _means(request, candidate)
    if request.verb is Verb.Retry:
        return tried
    if request.verb is Verb.PromoteFull and candidate.get("full") is True:
        return True
    if request.verb is Verb.Pause and seen.held:
        return True
    return request.verb in STEERING and not tried


def outcome(seen: Seen, request: Request) -> Standing | None:
    """How it ended, once the action is handled; None as long as it goes on."""
    if request.verb is Verb.Abort:
        return _taken_back(seen, request)
    if request.verb is Verb.Pause and seen.held and _means(request, seen.candidate):
        return Standing(Exit.YES, f"{request.revision} stays where it is until resume or promote")
    if request.verb in STEERING or request.verb is Verb.Retry:
        return _rolled_out(seen, request)
    return Standing(Exit.YES, str(seen.status.get("message", "")))


def _taken_back(seen: Seen, request: Request) -> Standing | None:
    if seen.stable.get("revision") == request.revision:
        return Standing(Exit.NO, f"too late: {request.revision} is stable")
    tried = seen.candidate.get("revision") == request.revision
    if tried or seen.phase == "RollingBack" or (seen.stable and not seen.synced):
        return None
    return Standing(Exit.YES, f"{request.revision} gets no requests any more")


def _rolled_out(seen: Seen, request: Request) -> Standing | None:
    if _means(request, seen.stable):
        return Standing(Exit.YES, f"version {request.number} serves") if seen.synced else None
    if _means(request, seen.candidate):
        if seen.paused:  # anew: the status that handles the action has left the old pause
            return Standing(Exit.WAITING, str(seen.status.get("message", "")))
        return None
    for entry in seen.entries("rejected"):
        if _means(request, entry) and entry.get("at") != (request.before or {}).get("at"):
            return Standing(Exit.NO, f"{entry.get('reason', '')}: {entry.get('message', '')}")
    for entry in seen.entries("history")[:1]:
        if _means(request, entry) and entry.get("outcome") == Reason.Superseded:
            return Standing(Exit.NO, str(entry.get("message", "")))
    end = settled(seen)
    if end is None:
        return None
    return Standing(Exit.NO, f"version {request.number} is not what is wanted now: {end.why}")


def _means(request: Request, part: Mapping[str, Any]) -> bool:
    """A retry may make another revision of the same version, where the spec changed since."""
    if request.verb is Verb.Retry:
        return part.get("number") == request.number
    return part.get("revision") == request.revision
