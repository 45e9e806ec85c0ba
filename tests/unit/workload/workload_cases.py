"""Builders of what the workload tests start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.api.types import Spec
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts, Signature, TensorSpec
from savedmodel_operator.workload.envoy import Backend, RoutePlan
from savedmodel_operator.workload.owner import Owner

OWNER = Owner("flowers", "shop", "5a3c9d0e-0000-4000-8000-000000000001")
STABLE, CANARY = "flowers-v7-aaaaaaaa", "flowers-v42-bbbbbbbb"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Platform:
    """What the administrator set."""

    operator_image: str = "registry.example/savedmodel-operator:0.1.0"
    router_image: str = "registry.example/envoy:1.40.0"
    operator_namespace: str = "savedmodel-system"
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()


PLATFORM = Platform()


def make_spec(**parts: dict[str, Any]) -> Spec:
    """A small spec; `parts` are merged over its top-level parts, in the wire's words."""
    body: dict[str, Any] = {
        "source": {"uri": "s3://models/flowers", "secretRef": {"name": "savedmodel-storage"}},
        "serving": {"image": "tensorflow/serving:2.20.0"},
    }
    for name, part in parts.items():
        body[name] = {**body.get(name, {}), **part} if isinstance(part, dict) else part
    return msgspec.convert(body, Spec)


def make_lock(size: int = 100 * MIB, number: int = 42) -> Lock:
    """Two objects, together a little more than `size`."""
    return Lock(
        bucket="models",
        prefix=f"flowers/{number:08d}/",
        number=number,
        directory=f"{number:08d}",
        fingerprint="sha256:" + "ab" * 32,
        objects=(
            LockedObject("saved_model.pb", 1000, "e1"),
            LockedObject(
                "variables/variables.data-00000-of-00001", size, "e2", "v2", "CRC32C:aa=="
            ),
        ),
    )


def make_facts() -> ModelFacts:
    """One MetaGraph with one signature."""
    tensor = TensorSpec("float32", (-1, 4), "serving_default_x:0")
    signature = Signature("tensorflow/serving/predict", {"x": tensor}, {"y": tensor})
    graph = GraphFacts(("serve",), {"serving_default": signature}, {"MatMul": 2})
    return ModelFacts(1, (graph,))


def make_route(weight: int = 25) -> RoutePlan:
    """`weight` percent for the candidate."""
    return RoutePlan(
        name="flowers",
        namespace="shop",
        model_name="flowers",
        backends=(Backend(STABLE, 7, 100 - weight), Backend(CANARY, 42, weight)),
        stable=STABLE,
        canary=CANARY,
    )
