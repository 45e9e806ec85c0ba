"""What the annotation beside Envoy's files says, whoever wrote it."""

from __future__ import annotations

import pytest

from savedmodel_operator.plan.routing import WrittenRoute, read_route


def test_what_the_operator_wrote() -> None:
    text = '{"weights": {"m-v1-a": 90, "m-v2-b": 10}, "mirror": {"m-v3-c": 5}}'
    assert read_route(text) == WrittenRoute({"m-v1-a": 90, "m-v2-b": 10}, {"m-v3-c": 5})
    assert read_route('{"weights": {"m-v1-a": 100}}').mirror == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 100_000,
        '{"weights": null, "mirror": []}',
        '{"weights": {"a": 1e999}, "mirror": {"b": Infinity}}',
        '{"weights": {"a": "90"}}',
        '{"weights": {"a": 90, "b": true}}',
        '{"weights": {"a": 90, "b": {}}}',
    ],
)
def test_what_is_damaged_counts_as_empty(text: str) -> None:
    assert read_route(text) == WrittenRoute({}, {})
