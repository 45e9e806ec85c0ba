"""A very small client of the API server, for questions that must be quick.

Neighbours: `native` waits with it, `cluster_cli` shows what it read. kubectl costs half a second
per call and the full Kubernetes client a second of imports; this costs milliseconds. Must not
write.
"""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


class Api:
    """Reads JSON from the API server and health from the components, with the admin's rights."""

    def __init__(self, server: str, authority: Path, certificate: Path, key: Path) -> None:
        self._server = server
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(str(certificate), str(key))
        # A proxy of the host knows nothing of our namespace.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def healthy(self, url: str) -> bool:
        """Whether `url` answers 200 within two seconds."""
        try:
            with self._opener.open(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at `path`; None if it is not there or nobody answers."""
        try:
            with self._opener.open(self._server + path, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (OSError, ValueError, urllib.error.URLError):
            return None


def condition(item: dict[str, Any] | None, kind: str) -> bool:
    """Whether an object's condition `kind` is True."""
    conditions = ((item or {}).get("status") or {}).get("conditions") or []
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)


def rolled_out(deployment: dict[str, Any] | None) -> bool:
    """Whether a Deployment runs what its present spec says, and nothing else."""
    if not deployment or not condition(deployment, "Available"):
        return False
    status, wanted = deployment["status"], deployment["spec"]["replicas"]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return bool(seen and all(count == wanted for count in counts))
