"""The documents of all models of the zoo are valid, and leave nothing out in silence."""

from __future__ import annotations

import json

import pytest
from openapi_spec_validator import validate

from unit.zoo import great_zoo


def test_every_signature_is_described_or_named_with_a_reason(savedmodel):
    models = {
        path.name: great_zoo.truth().get(path.name)
        for path in sorted(great_zoo.folder().iterdir())
        if list(path.glob("saved_model.pb*"))
    }
    assert len(models) >= 40
    for name in models:
        code, out, err = savedmodel("openapi", great_zoo.folder() / name, "-o", "json")
        assert (code, err) == (0, ""), name
        made = json.loads(out, parse_constant=pytest.fail)
        validate(made)
        _, shown, _ = savedmodel("inspect", great_zoo.folder() / name, "-o", "json")
        graphs = json.loads(shown)["metaGraphs"]
        signatures = next((g["signatures"] for g in graphs if g["tags"] == ["serve"]), {})
        left_out = made.get("x-savedmodel-unsupported", {}).get("predict", {})
        schemas = made["components"]["schemas"]
        described = {
            schema["properties"]["signature_name"]["const"]
            for key, schema in schemas.items()
            if key.startswith("predict.") and key.endswith("Request")
        }
        assert described | left_out.keys() == set(signatures), name
