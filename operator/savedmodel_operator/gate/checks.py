"""The static gate: an ordered chain of pure checks over what was read from the bucket.

tags → signatures present → contract → compatibility with stable → tensors in the graph → Python
ops. Completeness was decided before, by `savedmodel.layout`; what only a running server can say
comes after, in `live`. Each check returns a refusal or None; the first refusal ends the chain, so
the order is the order in which a person would fix things. A new check is one more row in `CHAIN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Gate
from savedmodel_operator.gate.compatibility import Finding, compare
from savedmodel_operator.gate.contract import find_breaches
from savedmodel_operator.gate.verdict import Verdict, listed, passed, rejected, short
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts, Signature, TensorSpec
from savedmodel_operator.savedmodel.graph import PYTHON_OPS

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Question:
    """All that the checks look at. `graph` is the candidate's MetaGraph with the served tags."""

    graph: GraphFacts
    stable: GraphFacts | None
    gate: Gate


Check = Callable[[Question], Verdict | None]


def check_static(
    candidate: ModelFacts,
    stable: ModelFacts | None,
    gate: Gate,
    tags: Sequence[str],
    stable_tags: Sequence[str] | None = None,
) -> Verdict:
    """May this version be started and tried? Never Errored: everything it needs is at hand.

    `stable` is None where there is nothing to be compatible with. `stable_tags` are the tags that
    stable serves with, if they may differ from the candidate's.
    """
    graph = candidate.graph(tags)
    if graph is None:
        return _no_such_tags(candidate, tags)
    question = Question(graph, _stable_graph(stable, stable_tags or tags), gate)
    for check in CHAIN:
        verdict = check(question)
        if verdict is not None:
            return verdict
    return passed("static", _summary(question), _notes(question))


def _no_such_tags(candidate: ModelFacts, tags: Sequence[str]) -> Verdict:
    there = [_tags(graph.tags) for graph in candidate.graphs]
    one = f", or set serving.options.tags to {there[0]}" if len(there) == 1 else ""
    return rejected(
        "tags",
        Reason.TagsMissing,
        f"no MetaGraph has exactly the tags {_tags(tags)}, the file has "
        f"{listed(there)}; export it with these tags{one}",
    )


def _tags(tags: Sequence[str]) -> str:
    return "[" + ", ".join(short(tag) for tag in sorted(tags)) + "]"


def _stable_graph(stable: ModelFacts | None, tags: Sequence[str]) -> GraphFacts | None:
    """What clients of stable see; with changed tags, the graph that can have been served."""
    if stable is None:
        return None
    servable = [graph for graph in stable.graphs if graph.signatures]
    return stable.graph(tags) or (servable[0] if servable else None)


def check_signatures_present(question: Question) -> Verdict | None:
    """Something must be callable, and what the contract names must be there."""
    signatures = question.graph.signatures
    if not signatures:
        return rejected(
            "signatures",
            Reason.NoSignatures,
            f"the MetaGraph {_tags(question.graph.tags)} has no signature that clients could call; "
            f"export it with signatures= or with a tf.function that has an input_signature",
        )
    for contract in question.gate.signatures:
        if contract.name not in signatures:
            return rejected(
                "signatures",
                Reason.SignatureMissing,
                f"signature {short(contract.name)} is asked for by gate.signatures and is not "
                f"there; the model has {listed(sorted(signatures))}",
            )
    return None


def check_contract(question: Question) -> Verdict | None:
    """Every signature of the contract is as it says."""
    breaches = [
        breach
        for contract in question.gate.signatures
        for breach in find_breaches(contract, question.graph.signatures[contract.name])
    ]
    if not breaches:
        return None
    return rejected("contract", Reason.SignatureContract, _with_rest(breaches[0], breaches[1:]))


def check_compatibility(question: Question) -> Verdict | None:
    """Old clients against the new signatures, by the table."""
    mode, clients = question.gate.compatibility.mode, question.gate.compatibility.clients
    findings = _compared(question)
    if mode == "Exact" and findings:
        first = findings[0]
        return _incompatible(
            f"{first.path} {first.fact}: gate.compatibility.mode is Exact; export the same "
            f"signatures or set it to Backward",
            findings,
        )
    broken = [finding for finding in findings if finding.breaks(clients)]
    if mode == "Backward" and broken:
        return _incompatible(broken[0].sentence(clients), broken)
    return None


def _compared(question: Question) -> tuple[Finding, ...]:
    if question.gate.compatibility.mode == "None" or question.stable is None:
        return ()
    return compare(question.stable.signatures, question.graph.signatures)


def _incompatible(sentence: str, findings: Sequence[Finding]) -> Verdict:
    rest = [f"{finding.path}: {finding.change}" for finding in findings[1:]]
    return rejected("compatibility", Reason.IncompatibleSignature, _with_rest(sentence, rest))


def _with_rest(sentence: str, rest: Sequence[str], most: int = 4) -> str:
    """The first problem in full, a few more in short, the others counted."""
    if not rest:
        return sentence
    shown = "; ".join(rest[:most])
    more = f"; and {len(rest) - most} more" if len(rest) > most else ""
    return f"{sentence}. Also: {shown}{more}"


def check_tensors(question: Question) -> Verdict | None:
    """Signatures must name tensors that the graph has and that the server can feed and fetch.

    TensorFlow Serving loads such a model and fails its requests. It reads `TensorInfo.name` only,
    so sparse and composite tensors cannot be served; they are refused where a client would meet
    them and stable did not have them already.
    """
    graph = question.graph
    if graph.absent:
        return rejected(
            "tensors",
            Reason.TensorMissing,
            f"the signatures name {listed(graph.absent)}, which the graph does not have: every "
            f"request would fail; export the model again",
        )
    for path, tensor in _client_tensors(question):
        if tensor.kind != "Dense":
            return rejected(
                "tensors",
                Reason.TensorMissing,
                f"{path} is a {tensor.kind.lower()} tensor, which TensorFlow Serving cannot feed "
                f"or return: requests would fail; export it dense, for example with to_tensor()",
            )
    return None


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


def check_python_ops(question: Question) -> Verdict | None:
    """The C++ server loads them and has no kernel for them."""
    used = [f"{op} ({n})" for op, n in question.graph.ops.items() if op in PYTHON_OPS]
    if question.gate.ops.python == "Allow" or not used:
        return None
    return rejected(
        "ops",
        Reason.PythonOps,
        f"the graph has {listed(used)}: TensorFlow Serving has no Python, it loads the model and "
        f"then fails every request that needs it; write tf.py_function and tf.numpy_function as "
        f"TensorFlow ops, or set gate.ops.python: Allow if no request needs it",
    )


CHAIN: tuple[Check, ...] = (
    check_signatures_present,
    check_contract,
    check_compatibility,
    check_tensors,
    check_python_ops,
)


def _summary(question: Question) -> str:
    count = len(question.graph.signatures)
    noun = "signature" if count == 1 else "signatures"
    mode = question.gate.compatibility.mode
    if question.stable is None or mode == "None":
        return f"{count} {noun}, nothing to be compatible with"
    named = ", ".join(question.gate.compatibility.clients)
    return f"{count} {noun}, compatible with stable for {named} clients"


def _notes(question: Question) -> tuple[str, ...]:
    """What changes without breaking a call."""
    clients = question.gate.compatibility.clients
    risky = [finding for finding in _compared(question) if finding.risks(clients)]
    return tuple(f"{finding.path} {finding.fact}" for finding in risky[:10])
