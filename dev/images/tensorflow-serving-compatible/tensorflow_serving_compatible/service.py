"""What both APIs answer: requests resolved to a model, status, metadata, reload.

One place, so that REST and gRPC cannot differ; the edges only translate. Follows
model_servers/get_model_status_impl.cc, servables/tensorflow/get_model_metadata_impl.cc and the
*_impl.cc files of the three inference methods.
"""

from __future__ import annotations

from typing import Any

from tensorflow_serving_compatible.core import ServerCore
from tensorflow_serving_compatible.errors import StatusError, invalid_argument, not_found
from tensorflow_serving_compatible.inference import Inference, Method, Target
from tensorflow_serving_compatible.predict import DEFAULT_SIGNATURE, Inputs
from tensorflow_serving_compatible.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_pb2,
)
from tensorflow_serving_compatible.tensors import Tensor

SIGNATURE_DEF = "signature_def"


def _require_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")


class Service:
    def __init__(self, core: ServerCore, inference: Inference) -> None:
        self._core, self._inference = core, inference

    def predict(self, request: Any, response: Any, timeout_ms: int) -> None:
        _require_spec(request)
        with self._core.model(request.model_spec) as (version, model):
            self._inference.fill_predict(Target(model, version, timeout_ms), request, response)

    def predict_tensors(self, spec: Any, inputs: Inputs, timeout_ms: int) -> dict[str, Tensor]:
        """Predict with inputs that are tensors already."""
        with self._core.model(spec) as (version, model):
            return self._inference.predict(Target(model, version, timeout_ms), spec, inputs, ())

    def input_dtypes(self, spec: Any, signature_name: str) -> dict[str, int]:
        """The inputs of a signature, for reading JSON; the words differ from Predict's own."""
        name = signature_name or DEFAULT_SIGNATURE
        with self._core.model(spec) as (_, model):
            signature = model.signatures.get(name)
            if signature is None:
                raise invalid_argument(
                    f'Serving signature name: "{name}" not found in signature def'
                )
            return {key: info.dtype for key, info in signature.inputs.items()}

    def classify_or_regress(
        self, method: Method, request: Any, response: Any, timeout_ms: int
    ) -> None:
        _require_spec(request)
        with self._core.model(request.model_spec) as (version, model):
            self._inference.fill_examples(
                Target(model, version, timeout_ms), method, request, response
            )

    def multi_inference(self, request: Any, timeout_ms: int) -> Any:
        response = inference_pb2.MultiInferenceResponse()
        # All tasks name one model; the first one finds it.
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._core.model(spec) as (version, model):
            self._inference.fill_multi(Target(model, version, timeout_ms), request, response)
        return response

    def status(self, request: Any) -> Any:
        """GetModelStatus: all known versions, or the one that is named; labels are not read."""
        _require_spec(request)
        spec = request.model_spec
        states = self._core.monitor.versions(spec.name)
        if spec.HasField("version"):
            number = spec.version.value
            if number not in states:
                raise not_found(f"Could not find version {number} of model {spec.name}")
            states = {number: states[number]}
        elif not states:
            raise not_found(f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, found in states.items():
            entry = response.model_version_status.add(version=version, state=int(found.state))
            entry.status.SetInParent()
            if found.error:
                entry.status.error_code = int(found.error.code)
                entry.status.error_message = found.error.message
        return response

    def metadata(self, request: Any) -> Any:
        """GetModelMetadata: the signatures of a ready version."""
        _require_spec(request)
        if not request.metadata_field:
            raise invalid_argument(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._core.model(request.model_spec) as (version, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    def reload(self, request: Any, response: Any) -> StatusError | None:
        """HandleReloadConfigRequest; the status goes into the response as well."""
        error: StatusError | None = None
        try:
            if request.config.WhichOneof("config") != "model_config_list":
                raise invalid_argument(
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                    "Only ModelConfigList is currently supported"
                )
            self._core.reload(request.config)
        except StatusError as failure:
            error = failure
            response.status.error_code = int(failure.code)
            response.status.error_message = failure.message
        response.status.SetInParent()
        return error
