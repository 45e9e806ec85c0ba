"""Debian packages that the native cluster stands on, installed when they are missing.

Neighbours: `native` calls it first. Must not start services: the packages' own containerd unit is
never used, because ours has its own socket, state and root.
"""

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from lab.command import run
from lab.errors import LabError
from lab.instance import cache_root
from lab.progress import step

#: A file of each package, because asking dpkg costs more than looking.
WITNESSES = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "iptables": "/usr/sbin/iptables",
    "conntrack": "/usr/sbin/conntrack",
    "socat": "/usr/bin/socat",
    "ethtool": "/usr/sbin/ethtool",
    "iproute2": "/usr/sbin/ip",
    "debootstrap": "/usr/sbin/debootstrap",
    "buildah": "/usr/bin/buildah",
}

FAKETIME = Path(f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketimeMT.so.1")
#: What single tests need beside it.
FOR_TESTS = {"libfaketime": str(FAKETIME)}


def missing(witnesses: Mapping[str, str] = WITNESSES) -> list[str]:
    """The packages whose programs are not on this machine, wherever they may come from."""
    names = []
    for package, witness in witnesses.items():
        program = Path(witness)
        if not program.exists() and shutil.which(program.name) is None:
            names.append(package)
    return names


def ensure(witnesses: Mapping[str, str] = WITNESSES) -> None:
    """Install what is missing. Raises LabError without root or apt."""
    wanted = missing(witnesses)
    if not wanted:
        return
    listed = " ".join(wanted)
    if shutil.which("apt-get") is None:
        raise LabError(f"install these first, there is no apt-get here to do it: {listed}")
    if os.geteuid() != 0:
        raise LabError(f"root is needed to install {listed}; or start a Docker engine, for kind")
    log = cache_root() / "logs" / "apt.log"
    settings = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {listed}", "1 min"):
        run(["apt-get", "update", "-q"], log=log, env=settings)
        run(
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", *wanted],
            log=log,
            env=settings,
        )
