"""D: pods that do not come, do not stand or lie. The candidate ends with its reason; stable never feels it.

One stable of two pods under load on the real cluster. Each case changes the serving inputs, which
makes a candidate of the same version's bytes, and puts them back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign_case import Seen, case
from pod_stand import LONG, SHORT, Stand, open_stand, rolling_out

from cluster_shop import Shop
from lab.install import Installed
from lab.kube import Kube, Object
from lab.objects import SERVING_REQUESTS
from savedmodel_operator.api.reasons import Reason

SERVER = "/usr/bin/tensorflow_model_server"
LIAR = "lying-server"
NOWHERE = "localhost/nowhere/serving:2.21.0"


@pytest.fixture(scope="module")
def stand(
    request: pytest.FixtureRequest, kube: Kube, installed: Installed, models: Path
) -> Iterator[Stand]:
    with open_stand(request, kube, installed, models, "pods") as found:
        yield found


def _memory(limit: str, request: str) -> Object:
    return {"resources": {"limits": {"memory": limit}, "requests": {"memory": request}}}


@case(
    "D1",
    injection="a memory limit of 64 MiB, which the server exceeds while it loads (real kubelet)",
    expected="OutOfMemory at the second kill, naming the limit to raise; no traffic",
    where="cluster",
)
def test_d1_out_of_memory_on_load(stand: Stand, seen: Seen) -> None:
    since = time.time()
    entry = stand.end(_memory("64Mi", "32Mi"), _memory("1Gi", SERVING_REQUESTS["memory"]))
    assert (entry["kind"], entry["reason"]) == (Reason.RolledBack, Reason.OutOfMemory)
    assert "raise serving.resources.limits.memory" in entry["message"]
    seen.say(f"“{entry['message'].partition(' ')[2]}”; {stand.stood(since)}")


@case(
    "D2",
    injection="a flag that the server does not know: it ends at once, again and again",
    expected="CrashLoop at the third restart, with exit code and last words; no traffic",
    where="cluster",
)
def test_d2_a_crash_loop(stand: Stand, seen: Seen) -> None:
    since = time.time()
    entry = stand.end({"args": ["--no_such_flag=1"]}, {"args": None})
    assert (entry["kind"], entry["reason"]) == (Reason.RolledBack, Reason.CrashLoop)
    assert "restarted 3 times, exit code 255: " in entry["message"]
    seen.say(f"rolled back after {time.time() - since:.0f} s; {stand.stood(since)}")


def _lie(shop: Shop, lie: str) -> Object:
    """Serving inputs of a pod whose server is `lying_server`."""
    text = Path(__file__).with_name("lying_server.py").read_text()
    shop.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": LIAR, "namespace": shop.namespace},
            "data": {"server": text},
        }
    )
    volume = {"name": LIAR, "configMap": {"name": LIAR, "defaultMode": 0o555}}
    mount = {"name": LIAR, "mountPath": SERVER, "subPath": "server", "readOnly": True}
    return {
        "env": [{"name": "LIE", "value": lie}],
        "pod": {"volumes": [volume], "volumeMounts": [mount]},
    }


HONEST: Object = {"env": None, "pod": None}


@case(
    "D3",
    injection="a server that listens and answers 503 for ever",
    expected="no weight; at the deadline DeadlineExceeded",
    where="cluster",
)
def test_d3_never_ready(stand: Stand, seen: Seen) -> None:
    since = time.time()
    entry = stand.end(_lie(stand.shop, "deaf"), HONEST, SHORT)
    assert (entry["kind"], entry["reason"]) == (Reason.RolledBack, Reason.DeadlineExceeded)
    seen.say(f"“{entry['message']}”; {stand.stood(since)}")


@case(
    "D4",
    injection="a server whose port is open and whose probes pass while its model is LOADING",
    expected="CheckErrored with what it says, no weight; waits, for nothing is known against it",
    where="cluster",
)
def test_d4_open_but_not_available(stand: Stand, seen: Seen) -> None:
    shop, since = stand.shop, time.time()
    shop.patch(serving=_lie(shop, "loading"), rollout={"deadline": SHORT})
    try:
        status = shop.wait(lambda s: "LOADING" in s.get("message", ""), "the live check's words")
        assert rolling_out(status)["reason"] == Reason.CheckErrored
        words = stand.stood(since)
        assert "LOADING" in shop.status["message"]
    finally:
        stand.put_back(HONEST)
    seen.say(f"“{status['message']}”; {words}")


@case(
    "D5",
    injection="a server that is ready and AVAILABLE and answers for another version",
    expected="Rejected, MetadataMismatch; no weight",
    where="cluster",
)
def test_d5_the_wrong_version_answered(stand: Stand, seen: Seen) -> None:
    since = time.time()
    entry = stand.end(_lie(stand.shop, "other"), HONEST)
    assert (entry["kind"], entry["reason"]) == (Reason.Rejected, Reason.MetadataMismatch)
    seen.say(f"“{entry['message']}”; {stand.stood(since)}")


@case(
    "D6",
    injection="a request for nvidia.com/gpu where no node has one (real scheduler)",
    expected="CandidateUnschedulable with the scheduler's words, Progressing; stable untouched; "
    "heals with the spec",
    where="cluster",
)
def test_d6_no_gpu(stand: Stand, seen: Seen) -> None:
    shop, since = stand.shop, time.time()
    shop.patch(serving={"resources": {"limits": {"nvidia.com/gpu": "1"}}})
    status = shop.wait(lambda s: "nvidia.com/gpu" in s.get("message", ""), "the scheduler's words")
    assert (status["phase"], rolling_out(status)["reason"]) == (
        "Progressing",
        Reason.CandidateUnschedulable,
    )
    words = rolling_out(status)["message"].partition(": ")[2]
    stand.put_back({"resources": {"limits": {"nvidia.com/gpu": None}}})
    seen.say(f"“{words}”; {stand.stood(since)}")


@case(
    "D9",
    injection="an image that nobody has",
    expected="ImagePullFailed at the deadline, naming the image; no traffic",
    where="cluster",
)
def test_d9_an_image_that_cannot_be_pulled(stand: Stand, seen: Seen) -> None:
    shop, since = stand.shop, time.time()
    known = len(shop.status.get("rejected") or ())
    shop.patch(serving={"image": NOWHERE}, rollout={"deadline": LONG})
    try:
        shop.wait(
            lambda s: rolling_out(s)["reason"] == Reason.ImagePullFailed, "the kubelet's words"
        )
        shop.patch(rollout={"deadline": SHORT})  # its pod may take longer than that to the pull
        status = shop.wait(lambda s: len(s.get("rejected") or ()) > known, "the deadline")
    finally:
        stand.put_back({"image": shop.installed.serving_image})
    entry = status["rejected"][0]
    assert (entry["kind"], entry["reason"]) == (Reason.RolledBack, Reason.ImagePullFailed)
    assert NOWHERE in entry["message"]
    seen.say(f"ImagePullFailed; {stand.stood(since)}")
