"""The compatibility table as data: what a change of a signature does to each kind of client. Pure.

An old client was written for the stable version and now meets the candidate. Rows come from
TensorFlow Serving's sources (each names the file, below `tensorflow_serving/`) and, where they
say "derived", from those rows by the same reasoning. `compatibility` finds which row applies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from savedmodel_operator.gate.finding import CLIENTS

_PREDICT = "servables/tensorflow/predict_util.cc"
_JSON = "util/json_tensor.cc"


class Effect(StrEnum):
    """What happens to a client.

    Ok: nothing. Risk: calls go on working, answers or some values may differ. Depends: breaks for
    some calls or is left to the graph's kernels, so it counts as broken. Break: breaks.
    """

    Ok = "ok"
    Risk = "risk"
    Depends = "may break"
    Break = "would break"

    @property
    def breaks(self) -> bool:
        """Whether Backward compatibility refuses it."""
        return self in (Effect.Depends, Effect.Break)


@dataclass(frozen=True)
class Row:
    """One kind of change: what it does per client, who exactly suffers, what to do, and why.

    `doubt` says on what it hangs where an effect is Depends.
    """

    id: str
    effects: Mapping[str, Effect]
    who: str
    advice: str
    source: str
    doubt: str = ""


def _row(
    id_: str,
    grpc: Effect,
    row: Effect,
    column: Effect,
    who: str,
    do: str,
    why: str,
    doubt: str = "",
) -> Row:
    return Row(id_, dict(zip(CLIENTS, (grpc, row, column), strict=True)), who, do, why, doubt)


OK, RISK, DEPENDS, BREAK = Effect.Ok, Effect.Risk, Effect.Depends, Effect.Break
_AGAIN, _OLD_TYPE = "export it again", "export it with the former dtype"
_OLD_SHAPE, _OLD_NAME = "export it with the former shape", "export it under its former name"
_SHAPES = "no file checks shapes: the session's kernels decide (derived for outputs)"

_ROWS = (
    _row("signature-removed", BREAK, BREAK, BREAK, "that call it", _AGAIN,
         f"{_PREDICT} RunPredict: key not found is FAILED_PRECONDITION"),
    _row("signature-added", OK, OK, OK, "", "", "derived"),
    _row("method-changed", RISK, RISK, RISK, "that check the method name", "export it as before",
         "servables/tensorflow/classifier.cc, regressor.cc: only with the method-name check on"),
    _row("input-added-required", BREAK, BREAK, BREAK, "that do not send it",
         "give it a default or drop it", f"{_PREDICT} VerifyRequestInputsSize"),
    _row("input-added-with-default", OK, BREAK, BREAK, "that do not send it",
         "REST has no defaults: drop it or add it in a signature of its own",
         f"{_PREDICT} GetInputValues; {_JSON} keys must equal all inputs"),
    _row("input-removed", BREAK, BREAK, OK, "that send it", "accept it again, even if unused",
         f"{_PREDICT} VerifyRequestInputsSize; {_JSON} columns ignore extra keys"),
    _row("last-input-removed", BREAK, BREAK, BREAK, "that send it",
         "accept it again, even if unused", f"{_JSON} FillPredictRequestFromJson: empty input map"),
    _row("sole-input-renamed", BREAK, DEPENDS, DEPENDS, "that name it", _OLD_NAME,
         f"{_PREDICT} GetInputValues; {_JSON} only plain values need no key"),
    _row("input-dtype-widened", BREAK, OK, OK, "that send the former dtype", _OLD_TYPE,
         f"session: Expects arg to be …; {_JSON} AddValueToTensor"),
    _row("input-integer-to-float", BREAK, OK, OK, "that send the former dtype", _OLD_TYPE,
         f"session; {_JSON} AddValueToTensor: decimals accept whole numbers"),
    _row("input-large-integer-to-float", BREAK, RISK, RISK, "that send large numbers", _OLD_TYPE,
         f"session; {_JSON} IsLosslessDecimal refuses what the mantissa cannot hold"),
    _row("input-dtype-narrowed", BREAK, DEPENDS, DEPENDS, "that send values beyond its range",
         _OLD_TYPE, f"session; {_JSON} AddValueToTensor range checks (derived)"),
    _row("input-float-to-integer", BREAK, BREAK, BREAK, "that send fractions or 1.0", _OLD_TYPE,
         f"session; {_JSON} AddValueToTensor: 1.0 is no integer"),
    _row("input-dtype-kind", BREAK, BREAK, BREAK, "that send the former dtype", _OLD_TYPE,
         f"session; {_JSON} AddValueToTensor TypeError"),
    _row("input-dtype-unwritable", BREAK, BREAK, BREAK, "that send it", _OLD_TYPE,
         f"session; {_JSON} AddValueToTensor: Unimplemented"),
    _row("input-dtype-was-unwritable", BREAK, OK, OK, "that send the former dtype", _OLD_TYPE,
         f"session; {_JSON}: REST could not call it before (derived)"),
    _row("input-shape-widened", OK, OK, OK, "", "", _SHAPES),
    _row("input-shape-narrowed", DEPENDS, DEPENDS, DEPENDS, "that send other sizes", _OLD_SHAPE,
         _SHAPES),
    _row("default-removed", BREAK, OK, OK, "that leave it out", "give it a default again",
         f"{_PREDICT} VerifyRequestInputsSize; REST must always send every key"),
    _row("default-added", OK, OK, OK, "", "", "derived"),
    _row("default-changed", RISK, OK, OK, "that leave it out get other answers",
         "keep the former value", f"{_PREDICT} GetInputValues"),
    _row("output-removed", BREAK, BREAK, BREAK, "that read it", _AGAIN,
         f"{_PREDICT} output_filter is INVALID_ARGUMENT; {_JSON} the key is missing"),
    _row("sole-output-renamed", BREAK, OK, OK, "that read it by name", _OLD_NAME,
         f"{_JSON} a single output has no key in the answer"),
    _row("sole-output-renamed-bytes", BREAK, BREAK, BREAK, "that read it", _OLD_NAME,
         f"{_JSON} strings of outputs named *_bytes are written as b64 objects"),
    _row("output-added-to-one", OK, BREAK, BREAK, "that read the bare answer",
         "add it in a signature of its own", f"{_JSON} two outputs are written as objects"),
    _row("output-added", OK, OK, OK, "", "", f"{_JSON} objects gain a key"),
    _row("output-added-with-other-rows", OK, DEPENDS, OK, "that ask for rows",
         "give every output the batch as its first dimension",
         f"{_JSON} rows need one size of dimension 0 on every output"),
    _row("outputs-reduced-to-one", BREAK, BREAK, BREAK, "that read an object",
         "export both outputs again", f"{_JSON} a single output is written bare"),
    _row("output-dtype-number", BREAK, RISK, RISK, "that expect the former dtype", _OLD_TYPE,
         f"typed clients; {_JSON} WriteDecimal writes 1 as 1.0"),
    _row("output-dtype-kind", BREAK, BREAK, BREAK, "that read it", _OLD_TYPE,
         f"typed clients; {_JSON} AddSingleValueAndAdvance"),
    _row("output-dtype-was-unwritable", BREAK, OK, OK, "that expect the former dtype", _OLD_TYPE,
         f"typed clients; {_JSON}: REST could not call it before (derived)"),
    _row("output-shape-narrowed", OK, OK, OK, "", "", "derived: still what was promised"),
    _row("output-shape-unknown", RISK, RISK, RISK, "that rely on the size",
         _OLD_SHAPE, "derived: the file no longer promises the size"),
    _row("output-shape-changed", DEPENDS, DEPENDS, DEPENDS, "that rely on the size", _OLD_SHAPE,
         _SHAPES),
    _row("encoding-changed", BREAK, BREAK, BREAK, "that use it", "export it as a dense tensor",
         "servables/tensorflow/predict_util.cc uses TensorInfo.name only (derived)"),
)  # fmt: skip

TABLE: Mapping[str, Row] = {row.id: row for row in _ROWS}
