"""The control groups under which the cluster's pods live.

Neighbours: `native` makes the group before the kubelet starts and, at the end, kills and removes
what is inside: whoever is in there is ours, whatever its name. Works with version 1 (a tree per
controller) and version 2 (one tree). Must not touch any other group.
"""

import contextlib
import time
from pathlib import Path

from lab.instance import Instance

ROOT = Path("/sys/fs/cgroup")
#: Seconds that the kernel gets to forget the processes of a group that was killed.
GRACE = 5.0


def trees(instance: Instance, root: Path = ROOT) -> list[Path]:
    """The cluster's group in every hierarchy, whether it exists or not."""
    if (root / "cgroup.controllers").exists():
        return [root / instance.cgroup]
    hierarchies = [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]
    return [path / instance.cgroup for path in sorted(hierarchies)]


def ensure(instance: Instance) -> None:
    """Make the group; under version 2 also hand it the controllers that the kubelet asks for."""
    unified = (ROOT / "cgroup.controllers").exists()
    for tree in trees(instance):
        if not unified and tree.parent.name == "unified":
            continue
        tree.mkdir(exist_ok=True)
        if unified:
            for folder in (ROOT, tree):
                available = (folder / "cgroup.controllers").read_text().split()
                wanted = " ".join(f"+{name}" for name in available)
                (folder / "cgroup.subtree_control").write_text(wanted)
        elif tree.parent.name == "cpuset":
            _inherit_cpuset(tree)


def _inherit_cpuset(tree: Path) -> None:
    """A new cpuset of version 1 is empty and takes no process until it is filled."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (tree / name).read_text().strip():
            (tree / name).write_text((tree.parent / name).read_text())


def pids(instance: Instance) -> list[int]:
    """Every process in any of the cluster's pods."""
    found: set[int] = set()
    for tree in trees(instance):
        for listing in tree.glob("**/cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update(int(line) for line in listing.read_text().split())
    return sorted(found)


def remove(instance: Instance) -> None:
    """Remove the empty groups, innermost first. Groups that are in use stay."""
    deadline = time.monotonic() + GRACE
    while leftovers(instance):
        for tree in leftovers(instance):
            folders = [path for path in tree.glob("**/") if path.is_dir()]
            for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
        if time.monotonic() > deadline:
            return
        if leftovers(instance):
            time.sleep(0.1)


def leftovers(instance: Instance) -> list[Path]:
    return [tree for tree in trees(instance) if tree.exists()]
