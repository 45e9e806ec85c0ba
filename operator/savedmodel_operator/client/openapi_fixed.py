"""The parts of an OpenAPI document that are the same for every model on TensorFlow Serving. Pure data.

Sources: model_servers/http_rest_api_handler.cc, http_server.cc (statuses), util/json_tensor.cc and
apis/get_model_status.proto, get_model_metadata.proto in tensorflow/serving. A test holds the
answers of a real server against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

DESCRIPTION = """\
REST API of one model on TensorFlow Serving, made from the model's signatures.

- A request is a row form (`instances`) or a column form (`inputs`), never both.
- All inputs of a signature are given, also those with a default.
- The server does not check shapes against the signature; a model may accept others than are \
documented here, or fail on them.
- Numbers that are NaN or infinite stand in answers as bare tokens that strict JSON does not know.
- Request bodies may be compressed with `Content-Encoding: gzip`.
- Errors are `{"error": "…"}`; paths outside `/v1/` answer 404 without JSON."""

_ERRORS = {
    "400": ("BadRequest", "The request does not fit the signature, or the model failed on it."),
    "404": ("NotFound", "The server has no such model, or no such version that is ready."),
    "429": ("Exhausted", "The batching queue is full, or memory is."),
    "500": ("Internal", "The server or the model failed."),
    "501": ("Unimplemented", "The model or the server lacks what the request needs."),
    "503": ("Unavailable", "The server cannot answer now; try again."),
    "504": ("Deadline", "The model took longer than the server allows."),
}

RESPONSES: Mapping[str, Any] = {
    name: {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for name, text in (*_ERRORS.values(), ("Error", "Any other failure."))
}

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "string", "pattern": "^-?[0-9]+$"}
_FEATURE: Schema = {
    "description": "One value or a list of one kind. A whole number makes an int64 feature, one "
    "with a fraction a float feature, text and base64 a bytes feature, a boolean 0 or 1.",
    "anyOf": [
        {"$ref": "#/components/schemas/FeatureValue"},
        {"type": "array", "items": {"$ref": "#/components/schemas/FeatureValue"}},
    ],
}
_STATES = ["UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END"]

SCHEMAS: Mapping[str, Schema] = {
    "Error": {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]},
    "FeatureValue": {
        "anyOf": [
            {"type": ["number", "string", "boolean"]},
            {
                "type": "object",
                "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
                "required": ["b64"],
                "additionalProperties": False,
            },
        ]
    },
    "Example": {
        "type": "object",
        "description": "Features by name. Which ones the model wants is not in its signature.",
        "additionalProperties": _FEATURE,
    },
    "classifyResponse": {
        "type": "object",
        "required": ["results"],
        "properties": {
            "results": {
                "type": "array",
                "description": "For each example its classes.",
                "items": {
                    "type": "array",
                    "items": {
                        "type": "array",
                        "description": "Label, empty if the model gives none, and score.",
                        "prefixItems": [_TEXT, {"type": "number"}],
                        "minItems": 2,
                        "maxItems": 2,
                    },
                },
            }
        },
    },
    "regressResponse": {
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": {"type": "number"}}},
    },
    "ModelStatus": {
        "type": "object",
        "required": ["model_version_status"],
        "properties": {
            "model_version_status": {
                "type": "array",
                "description": "Versions that the server knows, also those that ended.",
                "items": {
                    "type": "object",
                    "required": ["version", "state", "status"],
                    "properties": {
                        "version": {**_COUNT, "description": "A number, as text."},
                        "state": {"enum": _STATES},
                        "status": {
                            "type": "object",
                            "required": ["error_code", "error_message"],
                            "properties": {"error_code": _TEXT, "error_message": _TEXT},
                        },
                    },
                },
            }
        },
    },
    "TensorInfo": {
        "type": "object",
        "description": "Sparse and composite tensors have no shape of their own.",
        "required": ["dtype"],
        "properties": {
            "dtype": {"type": "string", "examples": ["DT_FLOAT"]},
            "tensor_shape": {
                "type": "object",
                "required": ["dim", "unknown_rank"],
                "properties": {
                    "dim": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["size", "name"],
                            "properties": {
                                "size": {**_COUNT, "description": "-1 for any size."},
                                "name": _TEXT,
                            },
                        },
                    },
                    "unknown_rank": {"type": "boolean"},
                },
            },
            "name": _TEXT,
        },
    },
    "SignatureDef": {
        "type": "object",
        "required": ["inputs", "outputs", "method_name"],
        "properties": {
            side: {
                "type": "object",
                "additionalProperties": {"$ref": "#/components/schemas/TensorInfo"},
            }
            for side in ("inputs", "outputs")
        }
        | {"method_name": _TEXT, "defaults": {"type": "object"}},
    },
    "ModelMetadata": {
        "type": "object",
        "required": ["model_spec", "metadata"],
        "properties": {
            "model_spec": {
                "type": "object",
                "required": ["name", "signature_name", "version"],
                "properties": {"name": _TEXT, "signature_name": _TEXT, "version": _COUNT},
            },
            "metadata": {
                "type": "object",
                "required": ["signature_def"],
                "properties": {
                    "signature_def": {
                        "type": "object",
                        "description": "Twice the same key: the message has it, and so has the field.",
                        "required": ["signature_def"],
                        "properties": {
                            "signature_def": {
                                "type": "object",
                                "additionalProperties": {
                                    "$ref": "#/components/schemas/SignatureDef"
                                },
                            }
                        },
                    }
                },
            },
        },
    },
}

_SUMMARIES = {
    "predict": "Run a signature on rows or columns.",
    "classify": "Classify examples.",
    "regress": "Give one value for each example.",
}


def _errors(*statuses: str) -> dict[str, Any]:
    return {
        **{s: {"$ref": f"#/components/responses/{_ERRORS[s][0]}"} for s in statuses},
        "default": {"$ref": "#/components/responses/Error"},
    }


def _ok(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def inference(
    verb: str, requests: list[Schema], answers: list[Schema], examples: Mapping[str, Any]
) -> dict[str, Any]:
    """A POST operation: one of these requests, one of these answers."""
    content: dict[str, Any] = {"schema": requests[0] if len(requests) == 1 else {"oneOf": requests}}
    if examples:
        content["examples"] = dict(examples)
    answer = answers[0] if len(answers) == 1 else {"anyOf": answers}
    return {
        "operationId": verb,
        "summary": _SUMMARIES[verb],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"200": _ok("The outputs.", answer), **_errors(*_ERRORS)},
    }


def examples_request(key: str, default: str) -> Schema:
    """The body of classify and regress for one signature."""
    return {
        "type": "object",
        "title": key,
        "properties": {
            "signature_name": {"const": key},
            "context": {"$ref": "#/components/schemas/Example"},
            "examples": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/components/schemas/Example"},
            },
        },
        "required": ["examples"] if key == default else ["signature_name", "examples"],
    }


def status_operation(label: str | None) -> dict[str, Any]:
    """GET of the model's status."""
    note = " The label is not looked at: all versions answer." if label is not None else ""
    return {
        "operationId": "getStatus",
        "summary": "States of the versions; 200 also while none is AVAILABLE." + note,
        "responses": {
            "200": _ok("The states.", {"$ref": "#/components/schemas/ModelStatus"}),
            **_errors("400", "404"),
        },
    }


def metadata_operation() -> dict[str, Any]:
    """GET of the model's signatures."""
    return {
        "operationId": "getMetadata",
        "summary": "Signatures of a version that is ready.",
        "responses": {
            "200": _ok("The signatures.", {"$ref": "#/components/schemas/ModelMetadata"}),
            **_errors("400", "404"),
        },
    }
