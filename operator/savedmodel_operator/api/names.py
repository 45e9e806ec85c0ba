"""Names, labels and annotations of everything that the operator makes. Pure, deterministic.

A revision's name is `NAME-v<number>-<8 hex>`: with NAME ≤ 33 and a number of ≤ 19 digits it
stays within 63 characters (33 + 2 + 19 + 1 + 8), the bound of a DNS label.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

MANAGER = "savedmodel-operator"

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_DEPLOYMENT = "savedmodel.dev/deployment"
LABEL_UID = "savedmodel.dev/uid"
LABEL_REVISION = "savedmodel.dev/revision"
LABEL_COMPONENT = "savedmodel.dev/component"
LABEL_VERSION = "savedmodel.dev/version"
COMPONENT_MODEL = "model"
COMPONENT_ROUTER = "router"

ANNOTATION_ACTION = "savedmodel.dev/action"
ANNOTATION_APPLIED = "savedmodel.dev/applied"
ANNOTATION_NUDGE = "savedmodel.dev/nudge"
ANNOTATION_CONFIG = "savedmodel.dev/router-config"
ANNOTATION_ROUTE = "savedmodel.dev/route"
ANNOTATION_WRITTEN_AT = "savedmodel.dev/written-at"
ANNOTATION_PROMOTED_AT = "savedmodel.dev/promoted-at"
ANNOTATION_REJECTED = "savedmodel.dev/rejected"

PORT_GRPC = 8500
PORT_REST = 8501
PORT_STATS = 9902

SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER}"


@lru_cache(maxsize=1024)
def revision_name(name: str, number: int, fingerprint: str, serving_hash: str) -> str:
    """The name of the revision: identity plus the user's serving inputs."""
    digest = hashlib.sha256(f"{fingerprint}\n{serving_hash}".encode()).hexdigest()
    return f"{name}-v{number}-{digest[:8]}"


def version_of(revision: str) -> int | None:
    """The version number in the name of a revision; None for a name that is none of ours.

    >>> version_of("my-v2-model-v17-0a1b2c3d"), version_of("flowers-router")
    (17, None)
    """
    found = _REVISION.search(revision)
    return int(found[1]) if found is not None else None


_REVISION = re.compile(r"-v(\d{1,19})-[0-9a-f]{8}$", re.ASCII)


def lock_name(revision: str) -> str:
    """The ConfigMap that holds the lock of a revision."""
    return f"{revision}-lock"


def router_name(name: str) -> str:
    """The router's Deployment, ConfigMap and disruption budget; the Service is NAME itself."""
    return f"{name}-router"
