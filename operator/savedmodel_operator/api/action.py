"""The action annotation: "VERB [IDENTITY] [STEP] [NONCE]". Pure.

One annotation serves kubectl, the CLI and GitOps buttons. A bare `abort` works by hand. IDENTITY
is `v42`, `v42-1a2b3c4d` or the whole revision name and guards against a race with a newer
version; STEP (a number, or `mirror`) guards `promote` against a step that has moved meanwhile;
NONCE (anything that starts with `#`) makes two equal actions differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from savedmodel_operator.api.mirror import MIRROR_STEP, MIRROR_WORD


class Verb(StrEnum):
    """What a person may ask for."""

    Promote = "promote"
    PromoteFull = "promote-full"
    Abort = "abort"
    Retry = "retry"
    Pause = "pause"
    Resume = "resume"
    Sync = "sync"


@dataclass(frozen=True)
class Action:
    """A parsed annotation."""

    verb: Verb
    identity: str | None = None
    step: int | None = None


_IDENTITY = re.compile(r"^(?:[a-z][-a-z0-9]*-)?(v[0-9]{1,19}(?:-[0-9a-f]{8})?)$")
MAX_LENGTH = 256  # a revision name of 63, a verb and a nonce fit four times


def parse(text: str) -> Action | str:
    """The action, or one sentence on what is wrong with the text."""
    words = text[: MAX_LENGTH + 1].split()
    verbs = ", ".join(v.value for v in Verb)
    if len(text) > MAX_LENGTH or not words:
        return f"the action must be one of {verbs}, in at most {MAX_LENGTH} characters"
    try:
        verb = Verb(words[0])
    except ValueError:
        return f"{words[0][:40]!r} is no action; use one of {verbs}"
    identity: str | None = None
    step: int | None = None
    for word in words[1:]:
        if word.startswith("#"):
            continue
        match = _IDENTITY.match(word)
        if match and identity is None:
            identity = match[1]
        elif word == MIRROR_WORD and step is None:
            step = MIRROR_STEP
        elif word.isdecimal() and word.isascii() and step is None:
            step = int(word[:6])
        else:
            return (
                f"{word[:80]!r} is neither an identity (v42 or v42-1a2b3c4d), a step nor a #nonce"
            )
    return Action(verb, identity, step)


def names(identity: str, revision: str) -> bool:
    """Whether an identity of an action means this revision.

    >>> names("v42", "shop-v42-1a2b3c4d"), names("v4", "shop-v42-1a2b3c4d")
    (True, False)
    """
    number, _, digest = revision.rpartition("-")
    suffix = number.rpartition("-")[2]
    return identity in (suffix, f"{suffix}-{digest}")
