"""Judges what pods answered to golden requests: right, like stable, and in time. Pure.

`observe.candidate` sends, this room compares. An answer that says "not now" (nothing, 404, 408,
429, 499, 503, 504) is no evidence: Errored, asked again. Every other error is what a client would
get, hence a refusal. Choice (2026-11): an output that the file does not name is not compared,
because what may come and go is the compatibility table's matter, not a request's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from savedmodel_operator.api.golden import Agreement, Closeness
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.gate.golden_compare import (
    FLOATS,
    Comparison,
    Difference,
    Limit,
    StructureError,
    compare,
    read_outputs,
)
from savedmodel_operator.gate.golden_file import Golden
from savedmodel_operator.gate.verdict import Verdict, errored, passed, rejected, short
from savedmodel_operator.savedmodel.facts import Signature

Response = tuple[int, bytes]
"""HTTP status and body; (0, what went wrong) where there was no answer."""

NOT_NOW = frozenset({0, 404, 408, 429, 499, 503, 504})
"""404: TensorFlow Serving says so while no such version is loaded; 429 and 504: overload."""

EXACT = Limit(0.0, exact=True)

_VERBS = {
    "tensorflow/serving/classify": "classify",
    "tensorflow/serving/regress": "regress",
}


def choose_verb(golden: Golden, signature: Signature) -> str | None:
    """predict, classify or regress, as the URL ends; None: `examples` for neither of the latter."""
    if golden.form != "examples":
        return "predict"
    return _VERBS.get(signature.method)


def judge_golden(golden: Golden, signature: Signature, response: Response) -> Verdict:
    """Whether the candidate's answer is what the file expects; any answer, if it expects none."""
    what = f"golden request {golden.name}"
    found = _read(what, "the candidate", response)
    if isinstance(found, Verdict):
        return found
    if golden.expected is None:
        return passed("golden", f"{what} was answered")
    names = list(signature.outputs)
    try:
        wanted, seen = read_outputs(golden.expected, names), read_outputs(found, names)
        limits = {name: _limit(golden, signature, name) for name in wanted}
        result = compare(wanted, seen, limits)
    except StructureError as error:
        return _mismatch(golden, str(error))
    if result.worst is None:
        return passed("golden", f"{what}: {result.values} values as expected")
    return _mismatch(golden, _worst(result, golden, signature))


def judge_agreement(
    golden: Golden,
    agreement: Agreement,
    signatures: tuple[Signature, Signature],
    responses: tuple[Response, Response],
) -> Verdict:
    """Candidate and stable (in this order) on the same request."""
    what = f"golden request {golden.name}"
    mine = _read(what, "the candidate", responses[0])
    if isinstance(mine, Verdict):
        return mine
    theirs = _read(what, "stable", responses[1])
    if isinstance(theirs, Verdict):
        return errored(
            "agreement",
            f"{theirs.message}; without stable's answer there is no agreement, so leave "
            f"{golden.name} out of gate.agreement.requests if stable cannot answer it",
        )
    limit = Limit(float(agreement.max_difference))
    try:
        seen = read_outputs(mine, list(signatures[0].outputs))
        wanted = read_outputs(theirs, list(signatures[1].outputs))
        result = compare(wanted, seen, dict.fromkeys(wanted, limit))
    except StructureError as error:
        return rejected(
            "agreement",
            Reason.AgreementMismatch,
            f"{what}: the candidate's answer is built unlike stable's: {error}",
        )
    if result.worst is None:
        return passed("agreement", f"{what}: {result.values} values agree with stable")
    return rejected("agreement", Reason.AgreementMismatch, f"{what}: {_apart(result, agreement)}")


def _read(what: str, who: str, response: Response) -> Mapping[str, Any] | Verdict:
    """The JSON object of an answer, or what its absence means."""
    code, text = response
    if code in NOT_NOW:
        why = text.decode(errors="replace") if code == 0 else f"HTTP {code}{_error(text)}"
        return errored("golden", f"{what} could not be tried: {who} gave no answer ({why[:300]})")
    if code != 200:
        return rejected(
            "golden",
            Reason.GoldenMismatch,
            f"{what}: {who} answered with HTTP {code}{_error(text)}",
        )
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return rejected(
            "golden", Reason.GoldenMismatch, f"{what}: {who}'s answer is no JSON object"
        )
    return body


def _error(text: bytes) -> str:
    """The server's own words, quoted: the model may have written them."""
    try:
        words = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {' '.join(str(words).split())[:300]!r}"


def _limit(golden: Golden, signature: Signature, name: str) -> Limit:
    """Floating-point outputs have a tolerance; `results` of classify and regress are scores."""
    tensor = signature.outputs.get(name)
    if tensor is not None and tensor.dtype not in FLOATS:
        return EXACT
    closeness = _closeness(golden, name)
    return Limit(float(closeness.absolute), float(closeness.relative))


def _closeness(golden: Golden, name: str) -> Closeness:
    tolerance = golden.request.tolerance
    return tolerance.outputs.get(name, tolerance)


def _mismatch(golden: Golden, text: str) -> Verdict:
    return rejected(
        "golden",
        Reason.GoldenMismatch,
        f"golden request {golden.name}: {text}; correct the model, or the file ({golden.file}) if "
        f"the new answer is right",
    )


def _worst(result: Comparison, golden: Golden, signature: Signature) -> str:
    worst = result.worst
    assert worst is not None
    text = f"{worst.path}: expected {_shown(worst.wanted)}, got {_shown(worst.seen)}"
    if _is_measured(worst) and not worst.limit.exact:
        closeness = _closeness(golden, worst.output)
        allowed = f"{_plain(closeness.absolute)} + {_plain(closeness.relative)}"
        size = _shown(abs(worst.wanted))
        text += f", off by {worst.off:.6g}, allowed {allowed} × {size}"
    elif _is_measured(worst):
        dtype = signature.outputs[worst.output].dtype
        text += f", off by {worst.off:.6g}; {dtype} is compared exactly"
    return text + _others(result)


def _apart(result: Comparison, agreement: Agreement) -> str:
    worst = result.worst
    assert worst is not None
    text = (
        f"{worst.path}: stable answers {_shown(worst.wanted)}, the candidate {_shown(worst.seen)}"
    )
    if _is_measured(worst):
        text += f", {worst.off:.6g} apart, allowed {_plain(agreement.max_difference)}"
    return text + _others(result)


def _others(result: Comparison) -> str:
    return f" ({result.off} of {result.values} values differ too much)" if result.off > 1 else ""


def _is_measured(found: Difference) -> bool:
    return not math.isinf(found.off)


def _plain(number: str) -> str:
    """A tolerance without exponent, as people compare it.

    >>> _plain("1e-5"), _plain("0.050"), _plain("2e3"), _plain("0")
    ('0.00001', '0.05', '2000', '0')
    """
    text = format(Decimal(number), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shown(value: Any) -> str:
    """A value for a message: short, and printable."""
    if isinstance(value, float):
        return f"{value:.9g}"  # nine digits tell every float32 from its neighbours
    if isinstance(value, int) or value is None:
        return str(value).lower() if isinstance(value, bool) else str(value)[:40]
    return short(json.dumps(value, ensure_ascii=False))
