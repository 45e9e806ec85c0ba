"""A running cluster as every provider leaves it: a kubeconfig that works from the host.

Neighbours: `native` and `kind` make one, `s3` and the tests use it. Knows nothing of how the node
came to be. Must not build images.
"""

import base64
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from lab import build
from lab.api import Api, rolled_out
from lab.command import run
from lab.errors import LabError
from lab.instance import Instance

MANIFESTS = Path(__file__).parent / "manifests"
#: Seconds that anything of the cluster gets to become ready: five times what an idle machine of two
#: cores needs, for one that builds beside.
PATIENCE = 90.0


def until(
    done: Callable[[], bool], check: Callable[[], None] = lambda: None, patience: float = PATIENCE
) -> bool:
    """Ask `done` ten times a second until it holds; `check` may raise when waiting has no sense."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if done():
            return True
        check()
        time.sleep(0.1)
    return False


def kubectl_program(instance: Instance) -> list[str]:
    """The words that start kubectl. Ours; on kind the host's, if it has one."""
    own = shutil.which("kubectl") if (instance.state / "kind.json").exists() else None
    return [own] if own else [str(build.binary("kube")), "kubectl"]


def kubectl_words(instance: Instance) -> list[str]:
    """The words before a kubectl command for this cluster."""
    return [*kubectl_program(instance), "--kubeconfig", str(instance.kubeconfig)]


class Cluster:
    """Reads and writes a cluster with the administrator's rights."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._api: Api | None = None

    @property
    def api(self) -> Api:
        if self._api is None:
            self._api = _connect(self.instance)
        return self._api

    def kubectl(self, *words: str, feed: str | None = None, timeout: float = PATIENCE) -> str:
        """The stdout of a kubectl command. Raises LabError with its message."""
        return run([*kubectl_words(self.instance), *words], feed=feed, timeout=timeout)

    def apply(self, manifests: str) -> None:
        """Server-side apply of YAML text."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", feed=manifests)

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at an API path, or None."""
        return self.api.get(path)

    def wait_rolled_out(self, namespace: str, deployment: str) -> None:
        """Until a Deployment runs its present spec. Raises LabError with what its pods say."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}"
        if not until(lambda: rolled_out(self.get(path))):
            pods = self.kubectl("-n", namespace, "get", "pods", "-o", "wide")
            raise LabError(f"{namespace}/{deployment} is not ready after {PATIENCE:.0f} s:\n{pods}")


def _connect(instance: Instance) -> Api:
    """A client with the kubeconfig's credentials, which Python's ssl reads from files only."""
    try:
        text = instance.kubeconfig.read_text()
    except FileNotFoundError:
        raise LabError("there is no cluster; start one with dev/cluster up") from None
    config = json.loads(text) if text.startswith("{") else yaml.safe_load(text)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    folder = instance.state / "client"
    folder.mkdir(mode=0o700, exist_ok=True)
    files = {
        "ca.crt": cluster["certificate-authority-data"],
        "client.crt": user["client-certificate-data"],
        "client.key": user["client-key-data"],
    }
    for name, encoded in files.items():
        (folder / name).write_bytes(base64.b64decode(encoded))
        (folder / name).chmod(0o600)
    paths = (folder / name for name in files)
    return Api(cluster["server"], *paths)
