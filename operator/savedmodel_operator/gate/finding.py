"""What one check found at one place: the row of every report of the gate. Pure data.

Made by the checks (`compatibility`, `contract`, `checks`, `ops`), gathered by `checks.examine`,
shown by the CLI and, where it refuses, by the verdict. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from savedmodel_operator.api.reasons import Reason

CLIENTS = ("GRPC", "RESTRow", "RESTColumn")
"""The kinds of client, in the order of every table and sentence.

GRPC clients send typed tensors by key; RESTRow clients send `instances` (values, or objects with
exactly the signature's keys); RESTColumn clients send `inputs`.
"""

_DISPLAY = {"GRPC": "gRPC"}


class Severity(StrEnum):
    """Break: the gate refuses the version. Risk: calls go on, answers or some of them may differ.
    Info: a difference that harms none of the clients that were asked about."""

    Break = "break"
    Risk = "risk"
    Info = "info"

    @property
    def rank(self) -> int:
        """0 is the worst; findings are sorted by it."""
        return tuple(Severity).index(self)


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    `check` names the check; `path` is exact, as `serving_default.inputs.x.shape[1]`, empty where
    the whole MetaGraph is meant. `fact` goes on where the path ends, as "changed 4 → 5"; `change`
    is its short form, as "4 → 5". `clients` are the kinds that it breaks (or puts at risk), `who`
    tells which of them exactly, `advice` what to do, `source` where the rule comes from, `row` the
    rule's id. `effects` has one word for each kind of client: ok, risk, may break, would break;
    `doubt` says why it is "may"; `harm` is all that in words. `reason` is the verdict's where the
    finding refuses.
    """

    check: str
    severity: Severity
    path: str
    fact: str
    change: str = ""
    clients: tuple[str, ...] = ()
    who: str = ""
    advice: str = ""
    source: str = ""
    row: str = ""
    effects: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""
    harm: str = ""
    reason: Reason | None = None

    @property
    def breaks(self) -> bool:
        """Whether the gate refuses the version for it."""
        return self.severity is Severity.Break

    def sentence(self) -> str:
        """What is so, who suffers, what to do; without a full stop.

        >>> Finding("tensors", Severity.Info, "a.outputs.y", "is new").sentence()
        'a.outputs.y is new'
        """
        text = f"{self.path} {self.fact}" if self.path else self.fact
        return text + _led(": ", self.harm) + _led("; ", self.advice)

    def short(self) -> str:
        """The place and its change, for lists of further findings."""
        return f"{self.path}: {self.change}" if self.path and self.change else self.sentence()


def _led(by: str, text: str) -> str:
    """The text after its separator, nothing where there is no text."""
    return f"{by}{text}" if text else ""


def named(clients: Sequence[str]) -> str:
    """Kinds of client in words.

    >>> named(CLIENTS), named(("GRPC",))
    ('gRPC, RESTRow and RESTColumn', 'gRPC')
    """
    names = [_DISPLAY.get(client, client) for client in clients]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
