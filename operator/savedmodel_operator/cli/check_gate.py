"""The question that `check` asks, and the gate's answer to it. Reads only the manifest.

`Terms` are what a version is held to: a manifest's gate with the options laid over it. The order
is the operator's: layout, size budgets, warm-up file, then `gate.examine`. Must not print and must
not judge what the gate judges.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import KIND, Compatibility, Gate, Spec
from savedmodel_operator.cli.lint import lint_document
from savedmodel_operator.cli.manifest import Document, NotYamlError, read_manifest, shown
from savedmodel_operator.cli.target import Version
from savedmodel_operator.gate import Finding, examine
from savedmodel_operator.gate.budgets import check_size
from savedmodel_operator.gate.ops import with_serving_version
from savedmodel_operator.gate.warmup import check_warmup

TAGS = ("serve",)


@dataclass(frozen=True)
class Terms:
    """`source` says where they come from; `later` are checks that need a running pod."""

    gate: Gate
    tags: tuple[str, ...]
    image: str = ""
    source: str = "defaults"
    later: tuple[str, ...] = ()
    warmup: bool = True

    def on_server(self, version: str | None) -> Terms:
        """The same terms for a server of that version, one of `gate.inventory.VERSIONS`."""
        if version is None:
            return self
        ops = replace(self.gate.ops, serving_version=version)
        return dataclasses.replace(self, gate=replace(self.gate, ops=ops))


@dataclass(frozen=True)
class Answer:
    """`check` is the one that decided; `findings` are those of all checks that could be done."""

    candidate: Version
    stable: Version | None
    terms: Terms
    passed: bool
    check: str
    reason: Reason
    message: str
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def terms_of(
    manifest: str | None,
    name: str | None = None,
    mode: str | None = None,
    clients: tuple[str, ...] = (),
    tags: tuple[str, ...] | None = None,
) -> Terms:
    """The manifest's terms, or the defaults, with the options laid over them.

    Raises NotReadableError, and ValueError for a manifest that is not valid or not the one meant.
    """
    terms = Terms(Gate(), TAGS) if manifest is None else _from_manifest(manifest, name)
    compatibility: Compatibility = terms.gate.compatibility
    changes: dict[str, Any] = {}
    if mode is not None:
        changes["mode"] = mode
    if clients:
        changes["clients"] = tuple(dict.fromkeys(clients))
    gate = replace(terms.gate, compatibility=replace(compatibility, **changes))
    return dataclasses.replace(terms, gate=gate, tags=tags or terms.tags)


def _from_manifest(file: str, name: str | None) -> Terms:
    document = _chosen(file, name)
    linted = lint_document(document)
    if linted.spec is None:
        first, *rest = [remark for remark in linted.remarks if remark.level == "error"]
        more = f" (and {len(rest)} more: savedmodel lint {file})" if rest else ""
        raise ValueError(f"{first.file}:{first.line}: {first.message}{more}")
    spec = linted.spec
    return Terms(
        with_serving_version(spec.gate, spec.serving.image),
        spec.serving.options.tags,
        spec.serving.image,
        f"{document.file}: {document.name}",
        tuple(_later(spec)),
        spec.serving.options.warmup,
    )


def _chosen(file: str, name: str | None) -> Document:
    try:
        found = [document for document in read_manifest(file) if document.is_deployment]
    except NotYamlError as error:
        raise ValueError(f"{shown(file)}:{error.line}: {error}") from error
    chosen = [document for document in found if name is None or document.name == name]
    names = ", ".join(document.name or "(no name)" for document in found)
    if not found:
        raise ValueError(f"no {KIND} in {shown(file)}")
    if not chosen:
        raise ValueError(f"no {KIND} {name} in {shown(file)}; it has {names}")
    if len(chosen) > 1:
        raise ValueError(f"{shown(file)} has several, {names}: choose one by --name")
    return chosen[0]


def _later(spec: Spec) -> Iterator[str]:
    """What the operator checks on a pod that runs, and no file can say."""
    gate = spec.gate
    if gate.requests:
        yield f"golden requests {', '.join(request.name for request in gate.requests)}"
    if gate.agreement:
        yield "agreement with stable"
    budgets = gate.budgets
    if budgets and budgets.load_time:
        yield f"load time within {budgets.load_time}"
    if budgets and budgets.first_request:
        yield f"first request within {budgets.first_request}"


def judge(candidate: Version, stable: Version | None, terms: Terms) -> Answer:
    """The gate's answer; `stable` must have facts."""
    refused = _layout(candidate) or _size(candidate, terms.gate) or _warmup(candidate, terms)
    if candidate.facts is None:
        assert refused, "a version without facts is never complete"
        return Answer(candidate, stable, terms, False, *refused)
    before = stable.facts if stable else None
    examination = examine(candidate.facts, before, terms.gate, terms.tags)
    findings, verdict = examination.findings, examination.verdict
    if refused:
        return Answer(candidate, stable, terms, False, *refused, findings=findings)
    return Answer(
        candidate, stable, terms, verdict.passed, verdict.check, verdict.reason, verdict.message,
        verdict.notes, findings,
    )  # fmt: skip


Refusal = tuple[str, Reason, str]


def _layout(version: Version) -> Refusal | None:
    layout = version.layout
    if not layout.complete:
        return "layout", layout.reason, layout.message
    if version.damaged:
        more = f" and {len(version.damaged) - 1} more" if len(version.damaged) > 1 else ""
        return "deep", Reason.TensorDamaged, f"{version.damaged[0]}{more}; upload it again"
    return None


def _size(version: Version, gate: Gate) -> Refusal | None:
    """Bytes and objects as the operator counts them: those of the listing."""
    verdict = check_size(sum(version.listing.values()), len(version.listing), gate.budgets)
    return None if verdict is None else (verdict.check, verdict.reason, verdict.message)


def _warmup(version: Version, terms: Terms) -> Refusal | None:
    warmup = version.extras.warmup
    verdict = check_warmup(warmup.problem if warmup else "", terms.warmup)
    return None if verdict is None else (verdict.check, verdict.reason, verdict.message)
