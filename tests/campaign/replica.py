"""One replica of the operator as a process of this machine, against a control plane of one's own.

Its life is the test's: kill, freeze, thaw, end. Neighbours: `fleet` has the control plane.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

PATIENCE = 240.0
_SAMPLE = re.compile(r"^([a-z_]+)(\{.*\})? (\S+)$")


class Replica:
    """Starts at once. `began`: monotonic seconds of its start.

    environment: what is other than on a control plane of one's own. before: words before its command.
    """

    def __init__(
        self,
        kubeconfig: Path,
        namespace: str,
        folder: Path,
        name: str,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"{name}.log"
        given = {
            "KUBECONFIG": str(kubeconfig),
            "SAVEDMODEL_NAMESPACES": namespace,
            "OPERATOR_IMAGE": "localhost/nowhere/operator:none",
            "ROUTER_IMAGE": "localhost/nowhere/envoy:none",
            "IMAGE_PULL_POLICY": "Never",
            "ALLOWED_ENDPOINTS": "127.0.0.1",
            "POD_NAMESPACE": namespace,
            "POD_NAME": name,
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }
        self.began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*before, sys.executable, "-m", "savedmodel_operator"],
                env={**os.environ, **given, **(environment or {})},
                stderr=log,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def metrics(self) -> dict[str, float]:
        """Every sample by its name with labels; empty while nothing answers."""
        assert self._process.poll() is None, self.log.read_text()[-4000:]
        try:
            text = httpx.get(f"{self.url}/metrics", timeout=10).text
        except httpx.TransportError:
            return {}
        found = (_SAMPLE.match(line) for line in text.splitlines())
        return {m[1] + (m[2] or ""): float(m[3]) for m in found if m}

    def leads(self) -> bool:
        return self.metrics().get("savedmodel_leader") == 1.0

    def wait_leading(self, patience: float = PATIENCE) -> None:
        until(self.leads, f"{self.log.name} to lead", patience)

    def wait_ready(self) -> None:
        """Until it watches everything, leading or not."""
        until(self._is_ready, f"{self.log.name} to be ready", PATIENCE)

    def resident(self) -> int:
        """Bytes of memory that it holds."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Of processor that it has used, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        """Open files, sockets and pipes."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, also of one that is frozen or has ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def end(self) -> int:
        """SIGTERM; its exit code."""
        self._process.terminate()
        return self._process.wait(PATIENCE)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()[-4000:]
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False


def until(
    question: Callable[[], object], what: str, patience: float = PATIENCE, pause: float = 0.05
) -> float:
    """Waits for a true answer, asking every `pause` seconds; the seconds that it took."""
    began = time.monotonic()
    while not question():
        assert time.monotonic() - began < patience, f"waited {patience:.0f} s for {what}"
        time.sleep(pause)
    return time.monotonic() - began
