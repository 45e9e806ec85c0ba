"""What `check` says, to people and to programs. Must not judge.

Neighbours: `check` calls it with the answer of `check_gate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from savedmodel_operator.cli.check_gate import Answer
from savedmodel_operator.cli.findings import finding_dict, show_findings
from savedmodel_operator.cli.output import Block, Cell, Styled, Table, count_of, line
from savedmodel_operator.cli.target import Version


def as_dict(answer: Answer) -> dict[str, Any]:
    """For programs; keys are stable."""
    gate = answer.terms.gate
    return {
        "passed": answer.passed,
        "check": answer.check,
        "reason": answer.reason.value,
        "message": answer.message,
        "notes": list(answer.notes),
        "findings": [finding_dict(finding) for finding in answer.findings],
        "later": list(answer.terms.later),
        "candidate": _version(answer.candidate),
        "stable": _version(answer.stable) if answer.stable else None,
        "terms": {
            "source": answer.terms.source,
            "tags": list(answer.terms.tags),
            "image": answer.terms.image or None,
            "mode": gate.compatibility.mode,
            "clients": list(gate.compatibility.clients),
            "signatures": [contract.name for contract in gate.signatures],
        },
    }


def _version(version: Version) -> dict[str, Any]:
    return {
        "path": version.name,
        "reason": version.layout.reason.value,
        "message": version.layout.message,
        "bytes": sum(version.listing.values()),
        "objects": len(version.listing),
        "bytesRead": version.bytes_read,
    }


def as_text(answer: Answer) -> Iterator[Block]:
    """The verdict first, then what it rests on. Notes are findings too, so they do not stand again."""
    if answer.passed:
        yield line(Styled("yes", "good"), f": {answer.message}")
    else:
        broken = sum(finding.breaks for finding in answer.findings)
        why = count_of(broken, "problem") if broken and _from_findings(answer) else answer.message
        yield line(Styled("no", "bad"), f": {answer.reason.value}: {why}")
    yield line()
    yield Table(tuple(_rows(answer)), indent=2)
    if answer.findings:
        yield line()
        yield from show_findings(answer.findings)


def _from_findings(answer: Answer) -> bool:
    """Whether the verdict is one of the findings below, so that its sentence need not stand twice."""
    return any(f.breaks and f.check == answer.check for f in answer.findings)


def _rows(answer: Answer) -> Iterator[tuple[Cell, ...]]:
    gate = answer.terms.gate
    yield "candidate", answer.candidate.name
    yield "against", answer.stable.name if answer.stable else "nothing: a first version"
    yield "terms", answer.terms.source
    clients = ", ".join(gate.compatibility.clients)
    yield "", f"tags [{', '.join(answer.terms.tags)}], {gate.compatibility.mode} for {clients}"
    if gate.signatures:
        yield "", f"contract for {', '.join(contract.name for contract in gate.signatures)}"
    if answer.terms.later:
        yield "later", f"{'; '.join(answer.terms.later)}: only a running pod can say"
