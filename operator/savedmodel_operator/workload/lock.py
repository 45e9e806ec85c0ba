"""A revision's lock as an immutable ConfigMap, and back. Pure.

Beside the lock it carries the one small file that the serving container needs, so that both are
frozen together and a revision needs no further object.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from savedmodel_operator.api import lock as form
from savedmodel_operator.api import names
from savedmodel_operator.api.source import Lock
from savedmodel_operator.workload.owner import Owner

MONITORING_FILE = "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"
MONITORING = f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'
"""MonitoringConfig of TF Serving in protobuf text form; the path is Serving's own default."""


def build_lock(owner: Owner, revision: str, lock: Lock) -> dict[str, Any]:
    """The ConfigMap `REVISION-lock`. Raises api.lock.LockError where it does not fit into one."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owner.metadata(names.lock_name(revision), names.COMPONENT_MODEL, revision),
        "immutable": True,
        "binaryData": {form.FILE: base64.b64encode(form.encode(lock)).decode("ascii")},
        "data": {MONITORING_FILE: MONITORING},
    }


def read_lock(body: Mapping[str, Any]) -> Lock | None:
    """The lock in a ConfigMap as seen in the cluster; None where there is none or it is damaged."""
    text = (body.get("binaryData") or {}).get(form.FILE)
    if not isinstance(text, str):
        return None
    try:
        return form.decode(base64.b64decode(text, validate=True))
    except (binascii.Error, form.LockError):
        return None
