"""The compatibility table as data: what a change of a signature does to each kind of client. Pure.

An old client was written for the stable version and now meets the candidate. Rows come from
TensorFlow Serving's sources (each names the file, below `tensorflow_serving/` where no other root
is given) and, where they say "derived", from those rows by the same reasoning. Which row a
difference belongs to is found by `inputs`, `outputs`, `examples` and `compatibility`.

A client that could not call the stable version at all (REST with a type that JSON cannot carry)
does not exist: such rows are ok.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from savedmodel_operator.gate.finding import CLIENTS

_PREDICT = "servables/tensorflow/predict_util.cc"
_JSON = "util/json_tensor.cc"
_REST = "model_servers/http_rest_api_handler.cc"
_FEED = "tensorflow/cc/saved_model/util.cc GetInputValues"
_SESSION = "tensorflow/core/common_runtime session: Expects arg[0] to be …"


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

    `doubt` says on what it hangs where an effect is Depends; `others` names who suffers among a
    kind of client for which `who` does not hold.
    """

    id: str
    effects: Mapping[str, Effect]
    who: str
    advice: str
    source: str
    doubt: str = ""
    others: Mapping[str, str] = field(default_factory=dict)


def _row(
    id_: str,
    effects: tuple[Effect, Effect, Effect],
    who: str,
    do: str,
    why: str,
    doubt: str = "",
    **others: str,
) -> Row:
    return Row(id_, dict(zip(CLIENTS, effects, strict=True)), who, do, why, doubt, others)


_OK, _RISK, _MAY, _NO = Effect.Ok, Effect.Risk, Effect.Depends, Effect.Break
_ALL_OK, _ALL_RISK = (_OK, _OK, _OK), (_RISK, _RISK, _RISK)
_ALL_MAY, _ALL_NO = (_MAY, _MAY, _MAY), (_NO, _NO, _NO)

_AGAIN, _OLD_TYPE = "export it again", "export it with the former dtype"
_OLD_SHAPE, _OLD_NAME = "export it with the former shape", "export it under its former name"
_APART = "add it in a signature of its own"
_SEND_OLD = "that send the former dtype"
_SHAPES = f"{_PREDICT}: no shape is compared with TensorInfo, the session's kernels decide"
_KERNELS = "left to the graph's kernels, the server compares no shapes"
_KEYS = "plain values without keys go on working"
_RANGE = "values within the new type's range go on working"

_SIGNATURES = (
    _row("signature-removed", _ALL_NO, "that call it", _AGAIN,
         f"{_PREDICT} RunPredict; {_REST} GetInfoMap: key not found"),
    _row("default-signature-removed", _ALL_NO, "that call it or name no signature", _AGAIN,
         f"{_PREDICT} RunPredict: no name means serving_default"),
    _row("signature-renamed", _ALL_NO, "that call it", "export it under its former name as well",
         f"{_PREDICT} RunPredict; {_REST} GetInfoMap: key not found"),
    _row("signature-added", _ALL_OK, "", "", f"{_PREDICT} RunPredict reads one signature only"),
    _row("method-changed", _ALL_RISK, "of a server with --enable_signature_method_name_check",
         "export it as before", f"{_PREDICT} VerifySignature: checked only with that flag"),
    _row("classify-lost", _ALL_NO, "that classify with it",
         "keep one input named inputs and the outputs classes (string) and scores (float32), each "
         "[batch, classes]", "servables/tensorflow/classifier.cc PreProcess…, PostProcess…"),
    _row("regress-lost", _ALL_NO, "that regress with it",
         "keep one input named inputs and one float32 output named outputs, [batch] or [batch, 1]",
         "servables/tensorflow/regressor.cc PreProcess…, PostProcess…"),
    _row("examples-rows-fixed", _ALL_MAY, "that classify or regress another number of examples",
         "keep the batch as the first dimension of its outputs",
         "servables/tensorflow/classifier.cc, regressor.cc PostProcess…: one row for each example",
         "as many examples as the output has rows go on working"),
)  # fmt: skip

_INPUTS = (
    _row("input-added-required", _ALL_NO, "that do not send it", "give it a default or drop it",
         f"{_PREDICT} VerifyRequestInputsSize; {_JSON} keys must equal all inputs"),
    _row("input-added-with-default", (_OK, _NO, _NO), "that do not send it",
         f"REST has no defaults: drop it or {_APART}",
         f"{_FEED} takes the default; {_JSON} keys must equal all inputs"),
    _row("first-input-required", (_NO, _OK, _OK), "that send none", "give it a default",
         f"{_PREDICT} VerifyRequestInputsSize; {_JSON}: REST cannot call without inputs"),
    _row("first-input-with-default", _ALL_OK, "", "",
         f"{_FEED}; {_JSON}: REST cannot call without inputs"),
    _row("input-removed", (_NO, _NO, _OK), "that send it", "accept it again, even if unused",
         f"{_PREDICT} VerifyRequestInputsSize; {_JSON} FillTensorMapFromInputsMap looks up only "
         f"what the signature has"),
    _row("last-input-removed", _ALL_NO, "that send it", "accept it again, even if unused",
         f"{_PREDICT} VerifyRequestInputsSize; {_JSON} FillPredictRequestFromJson: empty input map"),
    _row("sole-input-renamed", (_NO, _MAY, _MAY), "that name it", _OLD_NAME,
         f"{_FEED}; {_JSON}: only plain values need no key", _KEYS),
    _row("keras-input-renumbered", (_NO, _MAY, _MAY), "that name it",
         "name the input, keras.Input(..., name=...): Keras numbers unnamed inputs anew in every "
         "export", f"{_FEED}; {_JSON}: only plain values need no key", _KEYS),
    _row("keras-inputs-renumbered", _ALL_NO, "that send it",
         "name every input, keras.Input(..., name=...): Keras numbers unnamed inputs anew in every "
         "export", f"{_FEED}; {_JSON}: several inputs are found by key"),
    _row("input-flattened", _ALL_NO, "that send it as one dense tensor",
         "take a dense input and make it sparse or ragged inside the graph, for example with "
         "tf.sparse.from_dense or tf.RaggedTensor.from_tensor",
         f"{_PREDICT} VerifyRequestInputsSize; the exporter gives each component a key of its own"),
    _row("input-unflattened", (_NO, _NO, _MAY), "that send its components",
         "export the sparse or ragged input again",
         f"{_PREDICT} VerifyRequestInputsSize; {_JSON} columns ignore extra keys", _KERNELS),
    _row("input-dtype-widened", (_NO, _OK, _OK), _SEND_OLD, _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor"),
    _row("input-integer-to-float", (_NO, _OK, _OK), _SEND_OLD, _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor: decimals accept whole numbers"),
    _row("input-large-integer-to-float", (_NO, _RISK, _RISK),
         "that send numbers beyond the mantissa (they are rounded)", _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor: GetFloat and GetDouble round",
         GRPC=_SEND_OLD),
    _row("input-float-narrowed", (_NO, _RISK, _RISK),
         "that send values beyond float32 (they are rounded, or infinite)", _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor: GetFloat rounds",
         GRPC=_SEND_OLD),
    _row("input-dtype-narrowed", (_NO, _MAY, _MAY), "that send values beyond its range", _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor: IsInt, IsUint, IsInt64, IsUint64", _RANGE,
         GRPC=_SEND_OLD),
    _row("input-dtype-wrapped", (_NO, _MAY, _MAY), "that send values beyond its range", _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor takes any int32 for DT_INT8, DT_INT16 and DT_UINT8; "
         f"tensorflow/core/framework/tensor.cc FromProto casts",
         "such values are not refused, they wrap around silently",
         GRPC=_SEND_OLD),
    _row("input-float-to-integer", _ALL_NO, "that send fractions or 1.0", _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor: 1.0 is no integer",
         GRPC=_SEND_OLD),
    _row("input-dtype-kind", _ALL_NO, _SEND_OLD, _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor TypeError"),
    _row("input-dtype-unwritable", _ALL_NO, "that send it", _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor: Unimplemented"),
    _row("input-dtype-was-unwritable", (_NO, _OK, _OK), _SEND_OLD, _OLD_TYPE,
         f"{_SESSION}; {_JSON} AddValueToTensor: REST could not call it before (derived)"),
    _row("input-shape-widened", _ALL_OK, "", "", _SHAPES),
    _row("input-shape-narrowed", _ALL_MAY, "that send other sizes", _OLD_SHAPE, _SHAPES, _KERNELS),
    _row("default-removed", (_NO, _OK, _OK), "that leave it out", "give it a default again",
         f"{_PREDICT} VerifyRequestInputsSize; {_FEED}; REST must always send every key"),
    _row("default-added", _ALL_OK, "", "", f"{_FEED}: a value that is sent wins"),
    _row("default-changed", (_RISK, _OK, _OK), "that leave it out (they get other answers)",
         "keep the former value", f"{_FEED}: what is left out is the default"),
    _row("input-encoding-changed", _ALL_NO, "that send it", "export it as a dense tensor",
         f"{_PREDICT} PreProcessPrediction feeds TensorInfo.name only (derived)"),
    _row("input-was-not-served", _ALL_OK, "", "",
         f"{_PREDICT} PreProcessPrediction: nobody could call it before (derived)"),
)  # fmt: skip

_OUTPUTS = (
    _row("output-removed", _ALL_NO, "that read it", _AGAIN,
         f"{_PREDICT} output_filter is INVALID_ARGUMENT; {_JSON} the key is missing"),
    _row("keras-output-renumbered", _ALL_NO, "that read it",
         "name the layer that makes it: Keras numbers unnamed layers anew in every process",
         f"{_PREDICT} output_filter is INVALID_ARGUMENT; {_JSON} the key is missing"),
    _row("sole-output-renamed", (_NO, _OK, _OK), "that read it by name", _OLD_NAME,
         f"{_JSON} MakeJsonFromTensors: a single output has no key in the answer"),
    _row("sole-output-renamed-bytes", _ALL_NO, "that read it", _OLD_NAME,
         f"{_JSON} IsNamedTensorBytes: strings named *_bytes are written as b64 objects"),
    _row("output-added-to-one", (_OK, _NO, _NO), "that read the bare answer", _APART,
         f"{_JSON} MakeJsonFromTensors: two outputs are written as objects"),
    _row("output-added", _ALL_OK, "", "", f"{_JSON} MakeJsonFromTensors: objects gain a key"),
    _row("output-added-scalar", (_OK, _NO, _OK), "that ask for rows",
         "give it the batch as its first dimension",
         f"{_JSON} MakeRowFormatJsonFromTensors: rows need a dimension 0 on every output"),
    _row("output-added-with-other-rows", (_OK, _MAY, _OK), "that ask for rows",
         "give every output the batch as its first dimension",
         f"{_JSON} MakeRowFormatJsonFromTensors: one size of dimension 0 on every output",
         "rows need one size of dimension 0 on every output"),
    _row("output-added-unwritable", (_OK, _NO, _NO), "that call it",
         "export it in a type that JSON can carry, for example float32",
         f"{_JSON} AddSingleValueAndAdvance: Failed to write JSON value"),
    _row("output-added-composite", (_MAY, _NO, _NO), "that call it",
         "export it dense, for example with to_tensor()",
         f"{_PREDICT} PreProcessPrediction fetches TensorInfo.name only (derived)",
         "calls with an output_filter go on working",
         GRPC="that do not filter outputs"),
    _row("outputs-reduced-to-one", _ALL_NO, "that read an object", "export both outputs again",
         f"{_PREDICT} output_filter; {_JSON} a single output is written bare",
         GRPC="that read the others"),
    _row("output-dtype-number", (_NO, _RISK, _RISK), "that expect the former dtype", _OLD_TYPE,
         f"typed clients; {_JSON} WriteDecimal writes 1 as 1.0"),
    _row("output-dtype-kind", _ALL_NO, "that read it", _OLD_TYPE,
         f"typed clients; {_JSON} AddSingleValueAndAdvance"),
    _row("output-dtype-was-unwritable", (_NO, _OK, _OK), "that expect the former dtype", _OLD_TYPE,
         f"typed clients; {_JSON} AddSingleValueAndAdvance: REST could not call it before"),
    _row("output-shape-narrowed", _ALL_OK, "", "", "derived: still what was promised"),
    _row("output-shape-unknown", _ALL_MAY, "that rely on the size", _OLD_SHAPE, _SHAPES,
         "the file no longer promises the size"),
    _row("output-shape-changed", _ALL_MAY, "that rely on the size", _OLD_SHAPE, _SHAPES,
         "left to what the client reads, the server compares no shapes"),
    _row("output-became-scalar", (_MAY, _NO, _MAY), "that rely on the size", _OLD_SHAPE,
         f"{_JSON} MakeRowFormatJsonFromTensors: rows need a dimension 0 on every output",
         "left to what the client reads, the server compares no shapes",
         RESTRow="that ask for rows"),
    _row("output-known-as-scalar", (_MAY, _NO, _MAY), "that rely on the size",
         "give it the batch as its first dimension",
         f"{_JSON} MakeRowFormatJsonFromTensors: rows need a dimension 0 on every output",
         "left to what the client reads, the server compares no shapes",
         RESTRow="that ask for rows"),
    _row("output-was-scalar", (_MAY, _OK, _MAY), "that rely on the size", _OLD_SHAPE,
         f"{_JSON} MakeRowFormatJsonFromTensors: rows could not be asked for before",
         "left to what the client reads, the server compares no shapes"),
    _row("output-rows-fixed", _ALL_MAY, "that ask for another number of rows",
         "keep the batch as its first dimension",
         f"{_JSON} MakeRowFormatJsonFromTensors: one row for each of dimension 0",
         "as many rows come back as the output now has"),
    _row("output-encoding-changed", _ALL_NO, "that use it", "export it as a dense tensor",
         f"{_PREDICT} PreProcessPrediction fetches TensorInfo.name only (derived)"),
    _row("output-was-not-served", _ALL_OK, "", "",
         f"{_PREDICT} PreProcessPrediction: nobody could read it before (derived)"),
)  # fmt: skip

TABLE: Mapping[str, Row] = {row.id: row for row in (*_SIGNATURES, *_INPUTS, *_OUTPUTS)}
