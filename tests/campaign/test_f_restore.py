"""etcd is restored from a backup that is older than what the operator did since.

On a control plane of its own, which is stopped for it. Neighbours: `test_f_users`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from audit_log import entries
from campaign_case import Seen, case
from fleet import NAMESPACE, Fleet, open_fleet
from plane_children import SLOW, child, children, model, serve, uids, weight_of
from replica import Replica, until

from control_plane import ControlPlane
from lab.objects import Step


def back_up(plane: ControlPlane, folder: Path, backup: Path) -> None:
    """A copy of etcd's data while nothing runs."""
    plane.stop()
    shutil.copytree(folder / "etcd", backup)
    plane.start()


def restore(plane: ControlPlane, folder: Path, backup: Path) -> None:
    """The copy in its place; revisions begin again where it was made."""
    plane.stop()
    shutil.rmtree(folder / "etcd")
    shutil.copytree(backup, folder / "etcd")
    plane.start()


@case(
    "F13",
    injection="version 2 promoted, version 1 deleted; then etcd restored to the time before, with "
    "status, children and revisions of then, and the operator restarted, as Kubernetes asks",
    expected="observed anew: old status deletes nothing, version 1 keeps all requests until version 2 "
    "has gone through its steps again",
    where="control plane",
)
def test_f13_etcd_is_restored(tmp_path: Path, seen: Seen) -> None:
    steps = (Step(25, 20), Step(50, 2))
    replicas: list[Replica] = []

    def lead(name: str) -> Replica:
        replicas.append(Replica(fleet.kubeconfig, NAMESPACE, tmp_path, name))
        replicas[-1].wait_leading()
        return replicas[-1]

    (tmp_path / "fleet").mkdir()
    with open_fleet(tmp_path / "fleet") as fleet:
        try:
            folder, backup = tmp_path / "fleet" / "plane", tmp_path / "backup"
            lead("f13-first")
            with fleet.stories() as stories:
                serve(fleet, stories, "f13", steps)
            old = uids(children(fleet, "f13"))
            back_up(fleet.plane, folder, backup)
            replicas[0].wait_leading()
            fleet.upload(2, "f13")
            until(lambda: stable(fleet) == 2, "version 2", SLOW)
            until(lambda: not has_version(uids(children(fleet, "f13")), 1), "1 to go", SLOW)
            replicas[0].kill()
            restore(fleet.plane, folder, backup)
            began = time.time()
            assert uids(children(fleet, "f13")) == old
            lead("f13-second")
            until(lambda: candidate_weight(fleet) == 25, "version 2 at 25 % again", SLOW)
            assert weight_of(child(fleet, "configmaps", "f13-router"), 1) == 75
            assert old.items() <= uids(children(fleet, "f13")).items()
            deleted = deletes(fleet.plane, began)
            until(lambda: stable(fleet) == 2, "version 2", SLOW)
        finally:
            for replica in replicas:
                replica.kill()
    assert not deleted, deleted
    seen.say(
        f"{len(old)} children of then all kept, 0 deletes before version 2 had its first step again; "
        "then promoted"
    )


def stable(fleet: Fleet) -> int | None:
    """The number that serves."""
    number: int | None = (model(fleet, "f13")["status"].get("stable") or {}).get("number")
    return number


def candidate_weight(fleet: Fleet) -> int:
    """What the candidate carries, verified."""
    found = model(fleet, "f13")["status"].get("candidate") or {}
    return int(found.get("weight") or 0)


def has_version(found: dict[tuple[str, str], str], number: int) -> bool:
    return any(f"-v{number}-" in name and kind == "deployments" for kind, name in found)


def deletes(plane: ControlPlane, since: float) -> list[str]:
    """Names of what the operator deleted."""
    found = entries(plane.audit_log, since)
    return [e.name for e in found if e.verb == "delete" and e.code < 300]
