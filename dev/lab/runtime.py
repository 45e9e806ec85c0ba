"""The node's containerd: which images it has, importing one, forgetting dead containers.

Neighbours: `images` imports through it, `native` cleans with it. Only through our own socket. Must
not build images.
"""

import shutil
import socket
from pathlib import Path

from lab.command import run
from lab.instance import Instance


def ctr(instance: Instance, *words: str | Path) -> str:
    """One ctr command in the namespace that the kubelet looks at."""
    socket_path = str(instance.containerd_socket)
    return run(["ctr", "--address", socket_path, "--namespace", "k8s.io", *words])


def answers(instance: Instance) -> bool:
    """Whether containerd accepts connections."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(instance.containerd_socket))
        except OSError:
            return False
    return True


def images(instance: Instance) -> set[str]:
    """The names of all images on the node."""
    return set(ctr(instance, "images", "list", "--quiet").split())


def blobs(instance: Instance) -> set[str]:
    """The digests (`sha256:…`) of all content on the node."""
    return set(ctr(instance, "content", "list", "--quiet").split())


def import_archive(instance: Instance, archive: Path) -> None:
    ctr(instance, "images", "import", "--snapshotter", "overlayfs", archive)


def tag(instance: Instance, image: str, name: str) -> None:
    """Give `image` a further name, taking it from whatever had it."""
    ctr(instance, "images", "tag", "--force", image, name)


def forget_containers(instance: Instance) -> None:
    """Remove the records of containers whose processes are gone with an earlier cluster."""
    for container in ctr(instance, "containers", "list", "--quiet").split():
        ctr(instance, "containers", "delete", container)


def forget_sandboxes(instance: Instance) -> None:
    """Remove what containerd's Kubernetes plugin remembers on disk. containerd must not run."""
    shutil.rmtree(instance.containerd_root / "io.containerd.grpc.v1.cri", ignore_errors=True)


def shims(instance: Instance) -> list[int]:
    """The runtime's helper processes, which outlive containerd by design.

    They are found by our socket's path among their words, which no other process carries.
    """
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"shim" in words[0] and str(instance.containerd_socket).encode() in words:
                found.append(int(folder.name))
    return found
