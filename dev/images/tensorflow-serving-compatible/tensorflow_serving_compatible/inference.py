"""Running requests on a loaded model: predict, classify, regress, and several at once.

Joins the pure parts with a model's session and the metrics; the edges and the warm-up call it.
Behaviour of servables/tensorflow/{predict_util,classifier,regressor,multi_inference}.cc.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tensorflow_serving_compatible import classify, examples, predict, regress
from tensorflow_serving_compatible.errors import Code, StatusError, invalid_argument
from tensorflow_serving_compatible.metrics import Metrics
from tensorflow_serving_compatible.model import Model
from tensorflow_serving_compatible.predict import (
    CLASSIFY,
    DEFAULT_SIGNATURE,
    REGRESS,
    Feeds,
    Inputs,
)
from tensorflow_serving_compatible.tensors import Tensor, to_proto

Method = Literal["Classify", "Regress"]
_METHODS = {"Classify": classify, "Regress": regress}


@dataclass(frozen=True)
class Target:
    """A loaded model for one call. `version` is None in a warm-up, which answers nobody."""

    model: Model
    version: int | None
    timeout_ms: int = 0


def fill_model_spec(spec: Any, name: str, signature_name: str, version: int | None) -> None:
    """MakeModelSpec of servables/tensorflow/util.cc."""
    spec.name = name
    spec.signature_name = signature_name or DEFAULT_SIGNATURE
    if version is not None:
        spec.version.value = version


class Inference:
    def __init__(self, metrics: Metrics, *, check_method: bool, as_content: bool) -> None:
        self._metrics = metrics
        self._check_method, self._as_content = check_method, as_content

    def predict(
        self, target: Target, spec: Any, inputs: Inputs, output_filter: Sequence[str]
    ) -> dict[str, Tensor]:
        """The wanted outputs by alias. Raises StatusError."""
        signature = predict.find_signature(target.model.signatures, spec.signature_name)
        feeds = predict.feeds(signature, inputs, check_method=self._check_method)
        aliases, names = predict.fetches(signature, output_filter)
        outputs = self._run(target, spec.name, "Predict", feeds, names)
        return dict(zip(aliases, outputs, strict=True))

    def fill_predict(self, target: Target, request: Any, response: Any) -> None:
        """PredictRequest → PredictResponse."""
        outputs = self.predict(target, request.model_spec, request.inputs, request.output_filter)
        fill_model_spec(
            response.model_spec, request.model_spec.name, request.model_spec.signature_name,
            target.version,
        )  # fmt: skip
        for alias, tensor in outputs.items():
            to_proto(tensor, response.outputs[alias], as_content=self._as_content)

    def fill_examples(self, target: Target, method: Method, request: Any, response: Any) -> None:
        """ClassificationRequest or RegressionRequest → its response."""
        rules = _METHODS[method]
        spec = request.model_spec
        signature = classify.find_signature(target.model.signatures, spec.signature_name)
        input_name, output_names = rules.tensor_names(signature, check_method=self._check_method)
        fill_model_spec(response.model_spec, spec.name, spec.signature_name, target.version)
        tensor = examples.input_tensor(request.input)
        outputs = self._run(target, spec.name, method, [(input_name, tensor)], output_names)
        by_name = dict(zip(output_names, outputs, strict=True))
        rules.fill_result(signature, tensor.size, by_name, response.result)

    def fill_multi(self, target: Target, request: Any, response: Any) -> None:
        """MultiInferenceRequest → its response: one run for all tasks."""
        name = ""
        seen: set[str] = set()
        inputs: set[str] = set()
        outputs: set[str] = set()
        for task in request.tasks:
            name = _one_name(name, task.model_spec.name)
            signature_name = task.model_spec.signature_name or DEFAULT_SIGNATURE
            if signature_name in seen:
                raise invalid_argument(f"Duplicate evaluation of signature: {signature_name}")
            seen.add(signature_name)
            signature = target.model.signatures.get(signature_name)
            if signature is None:
                raise invalid_argument(
                    f"Requested signature not found in model graph: {signature_name}"
                )
            input_name, output_names = _rules(task.method_name).tensor_names(
                signature, check_method=self._check_method
            )
            inputs.add(input_name)
            outputs.update(output_names)
        tensor = examples.input_tensor(request.input)
        ordered = sorted(outputs)
        feeds = [(input_name, tensor) for input_name in sorted(inputs)]
        found = dict(zip(ordered, target.model.session.run(feeds, ordered, target.timeout_ms),
                         strict=True))  # fmt: skip
        self._metrics.example_counts.add(tensor.size, name)
        self._metrics.example_total.add(tensor.size, name)
        for task in request.tasks:
            self._fill_task(target, task, tensor.size, found, response.results.add())

    def _fill_task(
        self, target: Target, task: Any, count: int, outputs: dict[str, Tensor], result: Any
    ) -> None:
        spec = task.model_spec
        signature = target.model.signatures[spec.signature_name or DEFAULT_SIGNATURE]
        kind = "classification_result" if task.method_name == CLASSIFY else "regression_result"
        getattr(result, kind).SetInParent()
        _rules(task.method_name).fill_result(signature, count, outputs, getattr(result, kind))
        fill_model_spec(result.model_spec, spec.name, spec.signature_name, target.version)

    def _run(
        self, target: Target, name: str, api: str, feeds: Feeds, names: list[str]
    ) -> list[Tensor]:
        start = time.monotonic_ns()
        outputs = target.model.session.run(feeds, names, target.timeout_ms)
        elapsed = (time.monotonic_ns() - start) // 1000
        self._metrics.runtime_latency.add(elapsed, name, api, "TF1")
        return outputs


def _one_name(known: str, name: str) -> str:
    if not name:
        raise invalid_argument("Found ModelSpec with an empty model name.")
    if known and known != name:
        raise invalid_argument(
            "All ModelSpecs in a MultiInferenceRequest must access the same model name."
        )
    return name


def _rules(method_name: str) -> Any:
    if method_name == CLASSIFY:
        return classify
    if method_name == REGRESS:
        return regress
    raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method_name}")
