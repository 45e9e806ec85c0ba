"""One difference between two signatures and its row of the table. Pure.

Made by `inputs`, `outputs`, `examples` and `compatibility`; turned into a `Finding` for the kinds
of client that the user listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.gate.finding import CLIENTS, Finding, Severity, named
from savedmodel_operator.gate.table import TABLE, Effect, Row
from savedmodel_operator.gate.tensors import shown_shape
from savedmodel_operator.gate.verdict import short
from savedmodel_operator.savedmodel.facts import TensorSpec

Tensors = Mapping[str, TensorSpec]
"""The inputs or the outputs of a signature by their keys."""


@dataclass(frozen=True)
class Difference:
    """`path` is exact, as `serving_default.outputs.y`; `change` is short, as `removed` or `4 → 5`;
    `fact` says it in words."""

    row: Row
    path: str
    change: str
    fact: str
    advice: str = ""

    def finding(self, clients: Iterable[str] = CLIENTS) -> Finding:
        """What it means for these kinds of client."""
        listed = set(clients)
        asked = {c: self.row.effects[c] for c in CLIENTS if c in listed}
        broken = tuple(c for c, effect in asked.items() if effect.breaks)
        risky = tuple(c for c, effect in asked.items() if effect is Effect.Risk)
        severity = Severity.Break if broken else Severity.Risk if risky else Severity.Info
        harmed = broken or risky
        may = any(asked[client] is Effect.Depends for client in broken)
        doubt = self.row.doubt if may else ""
        return Finding(
            check="compatibility",
            severity=severity,
            path=self.path,
            fact=self.fact,
            change=self.change,
            clients=harmed,
            who="; ".join(dict.fromkeys(map(self._who, harmed))),
            advice=(self.advice or self.row.advice) if harmed else "",
            source=self.row.source,
            row=self.row.id,
            effects={client: str(effect) for client, effect in self.row.effects.items()},
            doubt=doubt,
            harm=self._harm(harmed) + (f": {doubt}" if doubt else ""),
            reason=Reason.IncompatibleSignature,
        )

    def _who(self, client: str) -> str:
        return self.row.others.get(client, self.row.who)

    def _harm(self, clients: Sequence[str]) -> str:
        """Which clients suffer what; those for which it is certain come first."""
        groups: dict[tuple[str, str], list[str]] = {}
        for client in sorted(clients, key=lambda c: _ORDER.index(self.row.effects[c])):
            verb = _VERBS[self.row.effects[client]]
            groups.setdefault((self._who(client), verb), []).append(client)
        return ", ".join(
            " ".join(filter(None, [named(members), "clients", who, verb]))
            for (who, verb), members in groups.items()
        )


_VERBS = {
    Effect.Break: "would break",
    Effect.Depends: "may break",
    Effect.Risk: "are at risk",
    Effect.Ok: "",
}
_ORDER = tuple(_VERBS)


def found(row: str, path: str, change: str, fact: str, advice: str = "") -> Difference:
    """A difference that belongs to this row."""
    return Difference(TABLE[row], path, change, fact, advice)


def encoding_changed(
    side: str, path: str, old: TensorSpec, new: TensorSpec
) -> Iterator[Difference]:
    """What to say of a tensor that is not dense before and after; `side`: input or output."""
    if old.kind != "Dense":
        yield from unserved(f"{side}-was-not-served", path, old, new)
    elif new.kind != "Dense":
        change = f"{old.kind} → {new.kind}"
        yield found(f"{side}-encoding-changed", path, change, f"changed {change}")


def at(path: str, key: str) -> str:
    """The path of a key that the exporter chose.

    >>> at("serving_default.inputs", "x")
    'serving_default.inputs.x'
    """
    return f"{path}.{short(key)}"


def unserved(row: str, path: str, old: TensorSpec, new: TensorSpec) -> Iterator[Difference]:
    """All that changed of a tensor that was sparse or composite: no client could use it."""
    changes = (
        (path, old.kind, new.kind),
        (f"{path}.dtype", old.dtype, new.dtype),
        (f"{path}.shape", shown_shape(old.shape), shown_shape(new.shape)),
        (f"{path}.default", old.default or "none", new.default or "none"),
    )
    for place, before, after in changes:
        if before != after:
            yield found(row, place, f"{before} → {after}", f"changed {before} → {after}")
