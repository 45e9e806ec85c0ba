"""Bodies of 20 MiB, over REST and gRPC, while model pods and routers are drained."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from campaign_case import Seen, case
from data_plane import Plane, opened

from cluster_shop import NAME
from lab.clients import Transport
from lab.load import Stream
from lab.questions import BlobQuestion
from lab.samples import BLOB

pytestmark = pytest.mark.usefixtures("installed", "models")

MIB = 1024 * 1024
BODY = 20 * MIB
RATE = 0.75  # requests per second and client: each costs a second of a slow machine
TIMEOUT = 60.0


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    question = BlobQuestion(BODY, NAME)
    streams = tuple(
        Stream(t.value, t, question, RATE, under_way=2, timeout=TIMEOUT)
        for t in (Transport.REST, Transport.GRPC)
    )
    with opened(request, "large-bodies", (), BLOB[0], streams) as found:
        yield found


@pytest.mark.parametrize("part", ["stable", "router"])
@case(
    "H13",
    "bodies of 20 MiB over REST and gRPC; a stable pod, then a router drained (evicted)",
    "0 failed requests",
    "cluster",
)
def test_h13_bodies_of_20_mib_survive_a_drain(plane: Plane, part: str, seen: Seen) -> None:
    shop, pod, since = plane.shop, plane.pod(part), time.time()
    uid = pod["metadata"]["uid"]
    shop.kube.evict(shop.namespace, pod["metadata"]["name"])
    if part == "router":
        shop.wait_pods("router", 2, without=uid)
    else:
        shop.wait_pods("model", 2, without=uid, revision=plane.revision(part))
    shop.wait_left()
    cost = plane.count(since)
    seen.say(f"{part}: {cost}")
    assert cost.requests
    assert not cost.failed, cost.explain()
