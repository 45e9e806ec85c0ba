"""The HorizontalPodAutoscaler of the stable revision. Pure.

Not frozen with the revision's other manifests: its bounds follow the spec and the rollout.
"""

from __future__ import annotations

from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.api.types import Autoscaling
from savedmodel_operator.workload.model import MODEL
from savedmodel_operator.workload.owner import Owner

KIND = "HorizontalPodAutoscaler"


def build_autoscaler(
    owner: Owner, revision: str, autoscaling: Autoscaling, floor: int
) -> dict[str, Any]:
    """`floor`: pods below which it may not go now.

    The load is that of the serving container alone: a sidecar that somebody injects would count
    with the pod's, and would need a CPU request of its own.
    """
    target = {
        "type": "Utilization",
        "averageUtilization": autoscaling.target_cpu_utilization_percentage,
    }
    load = {"name": "cpu", "container": MODEL, "target": target}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": KIND,
        "metadata": owner.metadata(revision, names.COMPONENT_MODEL, revision),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": revision},
            "minReplicas": floor,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [{"type": "ContainerResource", "containerResource": load}],
        },
    }
