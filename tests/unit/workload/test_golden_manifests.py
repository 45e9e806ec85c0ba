"""Everything that the operator writes for one object, as files to read.

    SAVEDMODEL_REGENERATE=1 dev/python -m pytest tests/unit/workload/test_golden_manifests.py

writes them again; the diff is what a reviewer judges.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from savedmodel_operator.api.types import Spec
from savedmodel_operator.workload import router
from savedmodel_operator.workload.envoy import build_files
from savedmodel_operator.workload.lock import build_lock
from savedmodel_operator.workload.model import with_replicas
from savedmodel_operator.workload.revision import build_record, read_record
from unit.workload import workload_cases as cases

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_790_000_000.25

RICH: dict[str, Any] = {
    "source": {
        "endpoint": "https://s3.example",
        "region": "eu-west-1",
        "addressing": "Path",
        "caBundle": {"configMap": "ca", "key": "ca.pem"},
    },
    "serving": {
        "replicas": 3,
        "resources": {
            "limits": {"nvidia.com/gpu": "1", "memory": "4Gi"},
            "requests": {"cpu": "1", "memory": "4Gi"},
        },
        "options": {
            "tags": ["serve", "gpu"],
            "sessionParallelism": 4,
            "gpuMemoryFraction": "0.9",
            "warmup": False,
        },
        "args": ["--grpc_max_threads=16"],
        "env": [{"name": "TF_CPP_MIN_LOG_LEVEL", "value": "1"}],
        "loadDeadline": "5m1s",
        "drain": "20s",
        "pod": {
            "nodeSelector": {"pool": "gpu"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "labels": {"team": "shop"},
            "annotations": {"note": "x"},
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"name": "cache", "emptyDir": {}}],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        },
    },
    "traffic": {"router": {"replicas": 3, "resources": {"limits": {"cpu": "4"}}}},
}


def build_objects(spec: Spec) -> list[dict[str, Any]]:
    """All of them, Envoy's files left to their own golden files."""
    owner, platform, lock = cases.OWNER, cases.PLATFORM, cases.make_lock()
    record = build_record(owner, cases.CANARY, lock, cases.make_facts(), spec, platform)
    frozen = read_record(record)
    assert frozen is not None
    record["data"]["manifests"] = "the three objects that follow"
    config = router.build_configmap(owner, cases.make_route(), NOW)
    config["data"] = dict.fromkeys(config["data"], "see the file of this name")
    return [
        build_lock(owner, cases.CANARY, lock),
        record,
        frozen.service,
        with_replicas(frozen.deployment, spec.replicas),
        frozen.pdb,
        router.build_service(owner),
        config,
        router.build_deployment(owner, spec, platform),
        router.build_pdb(owner),
        *router.build_network_policies(owner, platform),
    ]  # type: ignore[list-item]


def compare(name: str, text: str) -> None:
    """The golden file says the same."""
    path = GOLDEN / name
    if os.environ.get("SAVEDMODEL_REGENERATE"):
        path.write_text(text)
    assert text == path.read_text(), f"{name} differs; see this module's first lines"


@pytest.mark.parametrize(("name", "parts"), [("smallest", {}), ("rich", RICH)])
def test_objects(name: str, parts: dict[str, Any]) -> None:
    objects = build_objects(cases.make_spec(**parts))
    compare(f"{name}.yaml", yaml.safe_dump_all(objects, sort_keys=False, width=120))


@pytest.mark.parametrize("name", ["cds.json", "lds.json", "rds.json"])
def test_envoy_files(name: str) -> None:
    compare(name, build_files(cases.make_route())[name] + "\n")
