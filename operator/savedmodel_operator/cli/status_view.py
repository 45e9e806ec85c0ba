"""What `status`, `watch` and `history` show, to people and to programs. Must not judge or ask.

Neighbours: `standing` reads status; the commands call here. `now` is Unix seconds, for "4m ago".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from savedmodel_operator.api.mirror import MIRROR_STEP
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.cli.output import Block, Cell, Exit, Style, Styled, Table, count_of, line
from savedmodel_operator.cli.standing import Seen, stand

BAR = 20  # cells: one for 5 %

PHASES: Mapping[str, Style] = {
    "Serving": "good",
    "Verifying": "name",
    "Progressing": "name",
    "Paused": "warn",
    "RollingBack": "bad",
    "Blocked": "bad",
}
VERDICTS: Mapping[Exit, Style] = {
    Exit.YES: "good",
    Exit.NO: "bad",
    Exit.WAITING: "warn",
    Exit.COULD_NOT_TELL: "warn",
}
OUTCOMES: Mapping[str, Style] = {
    "Serving": "good",
    "Promoted": "good",
    "Rejected": "bad",
    "RolledBack": "bad",
    "Aborted": "warn",
}


def as_dict(seen: Seen) -> dict[str, Any]:
    """For programs; keys are stable, parts of status are as the CRD has them."""
    found, status = stand(seen), seen.status
    return {
        "name": seen.name,
        "namespace": seen.namespace,
        "verdict": found.word,
        "exitCode": int(found.code),
        "why": found.why,
        "phase": seen.phase,
        "message": status.get("message", ""),
        "next": status.get("next", ""),
        "stable": dict(seen.stable) or None,
        "candidate": dict(seen.candidate) or None,
        "steps": list(seen.steps),
        "refused": dict(seen.refused) or None,
        "url": status.get("url", ""),
        "conditions": {
            str(c["type"]): {k: c.get(k, "") for k in ("status", "reason", "message")}
            for c in seen.entries("conditions")
        },
    }


def show_one(seen: Seen, now: float, bars: bool) -> Iterator[Block]:
    """One object: what serves, what is tried, what is next, why the last one was refused."""
    yield line(
        Styled(seen.name, "title"),
        f" in {seen.namespace}: ",
        Styled(seen.phase, PHASES.get(seen.phase, "")),
    )
    yield line(_headline(seen), indent=2)
    yield line()
    yield Table(tuple(_traffic(seen, now, bars)), indent=2, right=(1, 2))
    facts = tuple(_facts(seen, now))
    if facts:
        yield line()
        yield Table(facts, indent=2)
    hints = _hints(seen)
    if hints:
        yield line()
    for hint in hints:
        yield line(Styled("→ ", "dim"), hint, indent=2)


def _traffic(seen: Seen, now: float, bars: bool) -> Iterator[tuple[Cell, ...]]:
    parts: tuple[tuple[str, Mapping[str, Any], Style], ...] = (
        ("serving", seen.stable, "good"),
        ("trying", seen.candidate, "name"),
    )
    for label, part, style in parts:
        if not part:
            if label == "serving":
                yield label, "–", "", "", "nothing yet", "", ""
            continue
        weight = int(part.get("weight", 0))
        yield (
            label,
            Styled(f"v{part['number']}", "name"),
            f"{weight} %",
            Styled(bar(weight), style) if bars else "",
            f"{count_of(int(part.get('readyReplicas', 0)), 'pod')} ready",
            f"for {ago(part.get('since'), now).removesuffix(' ago')}",
            Styled(str(part.get("revision", "")), "dim"),
        )


def _headline(seen: Seen) -> str:
    """The operator's sentence, without the refusal that is told below."""
    text, refusal = str(seen.status.get("message", "")), str(seen.refused.get("message", ""))
    if text == refusal != "":
        text = seen.condition("Ready")[2] if seen.stable else "nothing serves"
    return seen.behind or (text.removesuffix(f": {refusal}") if refusal else text)


def bar(weight: int) -> str:
    """A weight as a picture.

    >>> bar(25)
    '█████░░░░░░░░░░░░░░░'
    """
    full = round(weight * BAR / 100)
    return "█" * full + "░" * (BAR - full)


def _facts(seen: Seen, now: float) -> Iterator[tuple[Cell, ...]]:
    if seen.candidate:
        yield "steps", *_steps(seen)
    if seen.status.get("next"):
        yield "next", str(seen.status["next"])
    if seen.refused:
        yield from _refusal(seen.refused, now)
    for label, kind in (("source", "SourceReady"), ("router", "TrafficSynced")):
        state, reason, message = seen.condition(kind)
        if state not in ("True", ""):
            yield label, Styled(f"{reason}: {message}", "warn")
    yield from _bytes(seen)
    ready, reason, message = seen.condition("Ready")
    if seen.stable and ready == "False":
        yield "ready", Styled(f"{reason}: {message}", "bad")
    stalled, reason, message = seen.condition("Stalled")
    if stalled == "True" and message != seen.refused.get("message"):
        yield "stalled", Styled(f"{reason}: {message}", "bad")
    if seen.status.get("url"):
        yield "url", str(seen.status["url"])


def _bytes(seen: Seen) -> Iterator[tuple[Cell, ...]]:
    """What happened in the bucket to the bytes that serve."""
    state, reason, message = seen.condition("Restorable")
    if state == "False":
        yield "bytes", Styled(f"{reason}: {message}", "bad")
    _, reason, message = seen.condition("UpToDate")
    if reason == Reason.VersionOverwritten:
        yield "bucket", Styled(f"{reason}: {message}", "warn")


def _steps(seen: Seen) -> Iterator[Cell]:
    """The ladder, with the present step in brackets."""
    at = min(int(seen.candidate.get("step", 0)), len(seen.steps) - 1)
    ladder = [f"[{w} %]" if i == at else f"{w} %" for i, w in enumerate(seen.steps)]
    yield " → ".join(["[mirror]", *ladder] if at == MIRROR_STEP else ladder)


def _refusal(entry: Mapping[str, Any], now: float) -> Iterator[tuple[Cell, ...]]:
    what = f"v{entry.get('number', '?')} {entry.get('kind', '')} {ago(entry.get('at'), now)}"
    yield "refused", Styled(what, "bad")
    yield "", f"{entry.get('reason', '')}: {entry.get('message', '')}"


def _hints(seen: Seen) -> Sequence[str]:
    """What a person may do now, to be copied."""
    tail = f"{seen.name} -n {seen.namespace}"
    if seen.suspended:
        patch = f'kubectl patch smd {tail} --type merge -p \'{{"spec": {{"suspend": false}}}}\''
        return [patch, f"savedmodel abort {tail}"] if seen.candidate else [patch]
    if seen.paused or seen.held:
        return [
            f"savedmodel {'resume' if seen.held else 'promote'} {tail}",
            f"savedmodel abort {tail}",
        ]
    if seen.refused.get("number") is not None and not seen.candidate:
        return [f"savedmodel retry {seen.name} v{seen.refused['number']} -n {seen.namespace}"]
    return []


def show_many(all_seen: Sequence[Seen]) -> Iterator[Block]:
    """A line for each object, those that need a look marked."""
    if not all_seen:
        yield line("no SavedModelDeployments here")
        return
    yield Table(
        tuple(_row(seen) for seen in all_seen),
        head=("namespace", "name", "ok", "phase", "stable", "candidate", "weight", "message"),
        indent=0,
        right=(6,),
    )


def _row(seen: Seen) -> tuple[Cell, ...]:
    found, candidate = stand(seen), seen.candidate
    return (
        seen.namespace,
        Styled(seen.name, "title"),
        Styled(found.word, VERDICTS[found.code]),
        Styled(seen.phase, PHASES.get(seen.phase, "")),
        _number(seen.stable),
        _number(candidate),
        f"{candidate.get('weight', 0)} %" if candidate else "",
        found.why,
    )


def _number(part: Mapping[str, Any]) -> str:
    return f"v{part['number']}" if part else ""


def change(seen: Seen) -> tuple[Cell, ...]:
    """The moment of a rollout in a line, without a time of its own."""
    parts = [f"{_number(p)} {p.get('weight', 0)} %" for p in (seen.stable, seen.candidate) if p]
    text = stand(seen).why if seen.refused else _headline(seen)
    return (
        Styled(f"{seen.phase:<13}", PHASES.get(seen.phase, "")),
        f"{', '.join(parts) or '–':<18}",
        text,
    )


def history_entries(seen: Seen) -> list[dict[str, Any]]:
    """What serves, then history[] and the gate's refusals, newest first."""
    ended = [dict(e) for e in seen.entries("history")]
    told = {(e.get("revision"), e.get("at")) for e in ended}
    refused = [
        {**{k: v for k, v in e.items() if k not in ("kind", "gate")}, "outcome": e.get("kind")}
        for e in seen.entries("rejected")
        if (e.get("revision"), e.get("at")) not in told
    ]
    past = sorted((*ended, *refused), key=lambda e: str(e.get("at", "")), reverse=True)
    if not seen.stable:
        return past
    kept = ("number", "fingerprint", "revision")
    serving = {k: seen.stable[k] for k in kept if k in seen.stable}
    return [{**serving, "outcome": "Serving", "at": seen.stable.get("since")}, *past]


def show_history(seen: Seen, now: float) -> Iterator[Block]:
    """A line for each entry."""
    rows = tuple(_past(entry, now) for entry in history_entries(seen))
    if not rows:
        yield line(f"{seen.name} has no history yet")
        return
    yield Table(rows, head=("version", "outcome", "when", "ago", "revision", "message"), indent=0)


def _past(entry: Mapping[str, Any], now: float) -> tuple[Cell, ...]:
    outcome = str(entry.get("outcome") or "")
    reason, message = str(entry.get("reason") or ""), str(entry.get("message") or "")
    return (
        Styled(f"v{entry.get('number', '?')}", "name"),
        Styled(outcome, OUTCOMES.get(outcome, "")),
        str(entry.get("at") or "")[:19].replace("T", " "),
        ago(entry.get("at"), now).removesuffix(" ago"),
        Styled(str(entry.get("revision", "")), "dim"),
        f"{reason}: {message}" if reason and message else reason or message,
    )


def ago(text: Any, now: float) -> str:
    """How long since an RFC 3339 time, as kubectl says it.

    >>> ago("2027-01-15T08:00:00Z", 1_800_000_000.0 + 250)
    '4m ago'
    """
    try:
        seconds = int(now - datetime.fromisoformat(str(text)).timestamp())
    except ValueError:
        return "?"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit} ago"
    return f"{max(0, seconds)}s ago"
