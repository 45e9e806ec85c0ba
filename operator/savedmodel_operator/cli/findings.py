"""The gate's findings as `diff` and `check` show them: severity, place, who breaks, what to do.

Must not judge: severity and words are the gate's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from savedmodel_operator.cli.output import Block, Style, Styled, line
from savedmodel_operator.gate.finding import Finding, Severity

_STYLES: Mapping[Severity, Style] = {
    Severity.Break: "bad",
    Severity.Risk: "warn",
    Severity.Info: "dim",
}

client_option = click.option(
    "--client",
    "clients",
    multiple=True,
    type=click.Choice(("RESTRow", "RESTColumn", "GRPC")),
    help="Kind of client to protect; may be repeated.  [default: all three]",
)


def finding_dict(finding: Finding) -> dict[str, Any]:
    """For programs; `effects` has one word for each kind of client."""
    return {
        "check": finding.check,
        "severity": finding.severity.value,
        "path": finding.path,
        "change": finding.change,
        "fact": finding.fact,
        "clients": list(finding.clients),
        "who": finding.who,
        "effects": {client: str(effect) for client, effect in finding.effects.items()},
        "doubt": finding.doubt,
        "harm": finding.harm,
        "advice": finding.advice,
        "reason": finding.reason.value if finding.reason else None,
        "rule": finding.row,
        "source": finding.source,
    }


def show_findings(findings: Iterable[Finding]) -> Iterator[Block]:
    """Worst first; up to three lines each."""
    for finding in sorted(findings, key=lambda f: f.severity.rank):
        severity = Styled(f"{finding.severity.value:<5}", _STYLES[finding.severity])
        place = (Styled(finding.path, "name"), " ") if finding.path else ()
        yield line(severity, "  ", *place, finding.fact, indent=2)
        if finding.harm:
            yield line(finding.harm, indent=9)
        if finding.advice:
            yield line("→ ", finding.advice, indent=9)


def count_severities(findings: Iterable[Finding]) -> str:
    """How many of each, in words.

    >>> count_severities([])
    'no differences'
    """
    found = [finding.severity for finding in findings]
    counted = [
        f"{found.count(severity)} {severity.value}" for severity in Severity if severity in found
    ]
    return ", ".join(counted) or "no differences"
