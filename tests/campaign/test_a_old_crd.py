"""The operator starts beside a CRD that is older than it, as in an upgrade whose order is wrong.

In a file of its own, because watches of SavedModelDeployments end when their CRD changes.
"""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import yaml
from campaign_case import Seen, case
from fleet import CRD, Fleet
from fleet_fixtures import Start
from replica import Replica, until

from api_server import ApiServer, install_crd
from lab.injection import ApiProxy


@case(
    "A12",
    injection="the operator starts beside an older CRD that lacks status.highWaterMark and "
    "status.stable.since",
    expected="unready, nothing written, the log names fields and remedy; goes on once the CRD is "
    "upgraded",
    where="control plane",
)
def test_a12_an_old_crd_at_the_start(
    fleet: Fleet, start: Start, tmp_path: Path, seen: Seen
) -> None:
    admin = ApiServer(fleet.kubeconfig)
    whole = yaml.safe_load(CRD.read_text())
    old = yaml.safe_load(CRD.read_text())
    root = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    del root["status"]["properties"]["highWaterMark"]
    del root["status"]["properties"]["stable"]["properties"]["since"]
    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy:
        try:
            install_crd(admin, old)
            replica = start("a12", proxy.kubeconfig())
            until(lambda: "is older than this operator" in replica.log.read_text(), "the log")
            told = replica.log.read_text()
            assert "status.highWaterMark" in told
            assert "status.stable.since" in told
            assert not _is_ready(replica)
        finally:
            install_crd(admin, whole)
        restored = time.monotonic()
        replica.wait_leading()
        took = time.monotonic() - restored
        assert not [c for c in proxy.log if c.writes and c.resource != "leases"]
    admin.close()
    seen.say(f"unready, both fields named; led {took:.1f} s after the CRD was upgraded")


def _is_ready(replica: Replica) -> bool:
    return httpx.get(f"{replica.url}/readyz", timeout=10).status_code == 200
