"""What a check says: outcome, reason and one sentence. Pure; made by every module of `gate`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from savedmodel_operator.api.reasons import Reason

MAX_MESSAGE = 1000
"""Characters of a message: conditions and events carry it, and names in it are the exporter's."""

_MAX_NAME = 80


class Outcome(StrEnum):
    """Passed: go on. Rejected: this identity never serves. Errored: could not tell, ask again."""

    Passed = "Passed"
    Rejected = "Rejected"
    Errored = "Errored"


@dataclass(frozen=True)
class Verdict:
    """`check` names the check that decided; `notes` are sentences that refuse nothing.

    `files` is the digest of the golden files that it rests on, "" where it rests on the gate's
    fields alone, None where it rests on neither: changed, they let the question be asked again.
    """

    outcome: Outcome
    check: str
    reason: Reason
    message: str
    notes: tuple[str, ...] = ()
    files: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the candidate may go on."""
        return self.outcome is Outcome.Passed

    @property
    def rejected(self) -> bool:
        """Whether the candidate was refused."""
        return self.outcome is Outcome.Rejected


def passed(check: str, message: str, notes: tuple[str, ...] = ()) -> Verdict:
    """All checks said yes."""
    return Verdict(Outcome.Passed, check, Reason.GatePassed, _bounded(message), notes)


def rejected(check: str, reason: Reason, message: str) -> Verdict:
    """The check says no, for this reason."""
    return Verdict(Outcome.Rejected, check, reason, _bounded(message))


def errored(check: str, message: str) -> Verdict:
    """The check could not be done."""
    return Verdict(Outcome.Errored, check, Reason.CheckErrored, _bounded(message))


def short(name: str, most: int = _MAX_NAME) -> str:
    """A name of the exporter's as messages show it: printable, of bounded length.

    >>> short("x\\n"), len(short("k" * 5000))
    ('x\\\\n', 80)
    """
    shown = name if name.isprintable() else name.encode("unicode_escape").decode()
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def listed(names: tuple[str, ...] | list[str], most: int = 5) -> str:
    """Names for a message, the first few and how many more.

    >>> listed(["a", "b"]), listed(list("abcdefg")), listed([])
    ('a, b', 'a, b, c, d, e and 2 more', 'none')
    """
    if not names:
        return "none"
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(short(n) for n in names[:most]) + rest


def _bounded(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
