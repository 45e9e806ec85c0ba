"""The static gate: an ordered chain of pure checks over what was read from the bucket.

tags → signatures present → contract → compatibility with stable → tensors in the graph → Python
ops → op inventory. Completeness was decided before, by `savedmodel.layout`; what only a running
server can say comes after, in `live`. Each check returns its findings; the first check with a
finding that breaks gives the verdict, so the order is the order in which a person would fix things.
A new check is one more row in `CHAIN`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Gate
from savedmodel_operator.gate.compatibility import compare
from savedmodel_operator.gate.contract import find_breaches
from savedmodel_operator.gate.finding import Finding, Severity
from savedmodel_operator.gate.ops import NOT_COMPARED, find_ops
from savedmodel_operator.gate.verdict import Verdict, listed, passed, rejected, short
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts, Signature, TensorSpec
from savedmodel_operator.savedmodel.graph import PYTHON_OPS

DEFAULT_SIGNATURE = "serving_default"

_MOST_NOTES = 10


@dataclass(frozen=True)
class Question:
    """All that the checks look at. `graph` is the candidate's MetaGraph with the served tags."""

    graph: GraphFacts
    stable: GraphFacts | None
    gate: Gate


@dataclass(frozen=True)
class Examination:
    """All that the static checks found, in the chain's order, and what follows from it."""

    verdict: Verdict
    findings: tuple[Finding, ...]


Check = Callable[[Question], Iterable[Finding]]


def check_static(
    candidate: ModelFacts,
    stable: ModelFacts | None,
    gate: Gate,
    tags: Sequence[str],
    stable_tags: Sequence[str] | None = None,
) -> Verdict:
    """May this version be started and tried? The verdict of `examine`."""
    return examine(candidate, stable, gate, tags, stable_tags).verdict


def examine(
    candidate: ModelFacts,
    stable: ModelFacts | None,
    gate: Gate,
    tags: Sequence[str],
    stable_tags: Sequence[str] | None = None,
) -> Examination:
    """Every finding of every check, and the verdict. Never Errored: all it needs is at hand.

    `stable` is None where there is nothing to be compatible with. `stable_tags` are the tags that
    stable serves with, if they may differ from the candidate's.
    """
    graph = candidate.graph(tags)
    if graph is None:
        missing = _no_such_tags(candidate, tags)
        return Examination(_refusal((missing,)), (missing,))
    question = Question(graph, _stable_graph(stable, stable_tags or tags), gate)
    answers = [tuple(check(question)) for check in CHAIN]
    findings = tuple(finding for answer in answers for finding in answer)
    broken = next((broken for answer in answers if (broken := _breaking(answer))), ())
    verdict = _refusal(broken) if broken else passed("static", _summary(question), _notes(findings))
    return Examination(verdict, findings)


def _breaking(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.breaks)


def _refusal(broken: Sequence[Finding], most: int = 4) -> Verdict:
    """The first problem in full, a few more in short, the others counted."""
    first, rest = broken[0], [finding.short() for finding in broken[1:]]
    message = first.sentence()
    if first.clients:
        message += " or set gate.compatibility.mode: None"
    if rest:
        more = f"; and {len(rest) - most} more" if len(rest) > most else ""
        message += f". Also: {'; '.join(rest[:most])}{more}"
    return rejected(first.check, first.reason or Reason.IncompatibleSignature, message)


def _refuse(check: str, reason: Reason, path: str, fact: str, advice: str) -> Finding:
    return Finding(check, Severity.Break, path, fact, advice=advice, reason=reason)


def _no_such_tags(candidate: ModelFacts, tags: Sequence[str]) -> Finding:
    there = [_tags(graph.tags) for graph in candidate.graphs]
    one = f", or set serving.options.tags to {there[0]}" if len(there) == 1 else ""
    return _refuse(
        "tags",
        Reason.TagsMissing,
        "",
        f"no MetaGraph has exactly the tags {_tags(tags)}, the file has {listed(there)}",
        f"export it with these tags{one}",
    )


def _tags(tags: Sequence[str]) -> str:
    return "[" + ", ".join(short(tag) for tag in sorted(tags)) + "]"


def _stable_graph(stable: ModelFacts | None, tags: Sequence[str]) -> GraphFacts | None:
    """What clients of stable see; with changed tags, the graph that can have been served."""
    if stable is None:
        return None
    servable = [graph for graph in stable.graphs if graph.signatures]
    return stable.graph(tags) or (servable[0] if servable else None)


def check_signatures_present(question: Question) -> Iterator[Finding]:
    """Something must be callable, and what the contract names must be there."""
    signatures = question.graph.signatures
    if not signatures:
        yield _refuse(
            "signatures",
            Reason.NoSignatures,
            "",
            f"the MetaGraph {_tags(question.graph.tags)} has no signature that clients could call",
            "export it with signatures= or with a tf.function that has an input_signature",
        )
        return
    for name, field in _named_signatures(question.gate).items():
        if name not in signatures:
            yield _refuse(
                "signatures",
                Reason.SignatureMissing,
                f"signature {short(name)}",
                f"is asked for by {field} and is not there; the model has "
                f"{listed(sorted(signatures))}",
                "",
            )


def _named_signatures(gate: Gate) -> dict[str, str]:
    """Signature → the first field of the gate that needs it."""
    named = {contract.name: "gate.signatures" for contract in gate.signatures}
    for golden in gate.requests:
        named.setdefault(golden.signature, f"gate.requests[{golden.name}]")
    return named


def check_contract(question: Question) -> Iterator[Finding]:
    """Every signature of the contract is as it says."""
    for contract in question.gate.signatures:
        if contract.name in question.graph.signatures:
            yield from find_breaches(contract, question.graph.signatures[contract.name])


def check_compatibility(question: Question) -> Iterator[Finding]:
    """Old clients against the new signatures, by the table; with Exact, every difference."""
    compatibility = question.gate.compatibility
    if compatibility.mode == "None" or question.stable is None:
        return
    found = compare(question.stable.signatures, question.graph.signatures, compatibility.clients)
    for finding in found:
        yield _exactly(finding) if compatibility.mode == "Exact" else finding


def _exactly(finding: Finding) -> Finding:
    """The same difference, refused because it is one."""
    return replace(
        finding,
        severity=Severity.Break,
        fact=f"{finding.fact}: gate.compatibility.mode is Exact",
        clients=(),
        harm="",
        advice="export the same signatures or set it to Backward",
    )


def check_tensors(question: Question) -> Iterator[Finding]:
    """Signatures must name tensors that the graph has and that the server can feed and fetch.

    TensorFlow Serving loads such a model and fails its requests. It reads `TensorInfo.name` only,
    so sparse and composite tensors cannot be served; they are refused where a client would meet
    them and stable did not have them already.
    """
    absent = question.graph.absent
    if absent:
        yield _refuse(
            "tensors",
            Reason.TensorMissing,
            "",
            f"the signatures name {listed(absent)}, which the graph does not have: every request "
            f"would fail",
            "export the model again",
        )
    for contradiction in question.graph.contradicted:
        yield _refuse(
            "tensors",
            Reason.TensorMismatch,
            "",
            f"{short(contradiction, 400)}: requests made by the signature would fail",
            "export the model again",
        )
    for path, tensor in _client_tensors(question):
        if tensor.kind != "Dense":
            yield _refuse(
                "tensors",
                Reason.TensorMissing,
                path,
                f"is a {tensor.kind.lower()} tensor, which TensorFlow Serving cannot feed or "
                f"return: requests would fail",
                "export it dense, for example with to_tensor()",
            )


def _client_tensors(question: Question) -> list[tuple[str, TensorSpec]]:
    """Tensors of the signatures that clients are known to call, without what stable has too."""
    signatures = question.graph.signatures
    called = {contract.name for contract in question.gate.signatures} | {DEFAULT_SIGNATURE}
    called |= set(signatures) if len(signatures) == 1 else set()
    before = question.stable.signatures if question.stable else {}
    found = []
    for key in sorted(called & signatures.keys()):
        known = before.get(key, Signature("", {}, {}))
        for side, old, new in (
            ("inputs", known.inputs, signatures[key].inputs),
            ("outputs", known.outputs, signatures[key].outputs),
        ):
            for name, tensor in new.items():
                if name not in old or old[name].kind != tensor.kind:
                    found.append((f"{short(key)}.{side}.{short(name)}", tensor))
    return found


def check_python_ops(question: Question) -> Iterator[Finding]:
    """The C++ server loads them and has no kernel for them."""
    used = [f"{op} ({n})" for op, n in question.graph.ops.items() if op in PYTHON_OPS]
    if question.gate.ops.python == "Allow" or not used:
        return
    yield _refuse(
        "ops",
        Reason.PythonOps,
        "",
        f"the graph has {listed(used)}: TensorFlow Serving has no Python, it loads the model and "
        f"then fails every request that needs it",
        "write tf.py_function and tf.numpy_function as TensorFlow ops, or set "
        "gate.ops.python: Allow if no request needs it",
    )


def check_inventory(question: Question) -> Iterable[Finding]:
    """What the server's list of ops says of the graph's."""
    return find_ops(question.graph, question.gate.ops)


CHAIN: tuple[Check, ...] = (
    check_signatures_present,
    check_contract,
    check_compatibility,
    check_tensors,
    check_python_ops,
    check_inventory,
)


def _summary(question: Question) -> str:
    count = len(question.graph.signatures)
    noun = "signature" if count == 1 else "signatures"
    mode = question.gate.compatibility.mode
    if question.stable is None or mode == "None":
        return f"{count} {noun}, nothing to be compatible with"
    named = ", ".join(question.gate.compatibility.clients)
    return f"{count} {noun}, compatible with stable for {named} clients"


def _notes(findings: Iterable[Finding]) -> tuple[str, ...]:
    """What changes without breaking a call, and what could not be compared."""
    risky = [f for f in findings if f.severity is Severity.Risk or f.row == NOT_COMPARED]
    return tuple(f"{f.path} {f.fact}" if f.path else f.fact for f in risky[:_MOST_NOTES])
