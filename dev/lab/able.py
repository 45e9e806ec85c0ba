"""Says whether this machine can run the cluster levels; used by `dev/test`. Changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def find_obstacle() -> str | None:
    """What keeps a cluster from running here; None when nothing does."""
    if _docker_answers():
        return None
    if os.geteuid() != 0:
        return "no Docker engine answers, and the native cluster needs root"
    if shutil.which("apt-get") is None:
        return "no Docker engine answers, and the native cluster installs Debian packages"
    if shutil.which("go") is None:
        return (
            "no Docker engine answers, and the native cluster is built with Go, which is not here"
        )
    if not _may_make_namespaces():
        return "no Docker engine answers, and the kernel lets nobody make network namespaces here"
    return None


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    done = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    return done.returncode == 0


def _may_make_namespaces() -> bool:
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    obstacle = find_obstacle()
    if obstacle is not None:
        print(obstacle)
    sys.exit(0 if obstacle is None else 1)
