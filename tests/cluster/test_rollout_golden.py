"""Golden requests, agreement and budgets decide before a client's request reaches a candidate.

The samples compute y = 2·x + VERSION, so every version gives its own wrong answer to a file that
was made for another one. What reached a candidate is counted twice: by the version header of every
client's answer, and by the candidate's own server.
"""

from __future__ import annotations

import base64
import io
import json
import re
import urllib.request
from collections.abc import Sequence

import numpy as np
import pytest

from cluster_shop import NAME, Shop, refusal
from lab.kube import Object
from lab.load import Load
from lab.objects import Step
from lab.samples import CALC, calc

pytestmark = pytest.mark.cluster

V1, V2, *_ = CALC
FILE, KEY, NPZ = "golden", "known.json", "rows.npz"
XS = (1.0, 2.5, -4.0)
LATENCY = re.compile(
    r'^:tensorflow:serving:request_latency_count\{.*API="predict".*\} ([0-9.e+]+)$', re.M
)


def known(version: int | None) -> str:
    """The file of the right answers of a version; None: a request without them."""
    file: Object = {"request": {"instances": list(XS)}}
    if version is not None:
        file["response"] = {"predictions": [calc(x, version) for x in XS]}
    return json.dumps(file)


def rows(version: int) -> bytes:
    """The same as arrays."""
    buffer = io.BytesIO()
    ys = np.array([calc(x, version) for x in XS], np.float32)
    np.savez(buffer, **{"in:x": np.array(XS, np.float32), "out:y": ys})
    return buffer.getvalue()


def write(shop: Shop, text: str, binary: bytes = b"") -> None:
    shop.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": FILE, "namespace": shop.namespace},
            "data": {KEY: text},
            "binaryData": {NPZ: base64.b64encode(binary).decode()},
        }
    )


def asked(*keys: str) -> list[Object]:
    return [
        {"name": key.partition(".")[0], "configMap": {"name": FILE, "key": key}} for key in keys
    ]


def predictions(shop: Shop, number: int) -> list[float]:
    """How many predict requests each pod of a version has answered, by its own server."""
    pods = shop.kube.list("Pod", shop.namespace, f"savedmodel.dev/version={number}")
    found = []
    for pod in pods:
        url = f"http://{pod['status']['podIP']}:8501/monitoring/prometheus/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        found.append(sum(float(count) for count in LATENCY.findall(text)))
    return found


def spared(shop: Shop, load: Load, versions: Sequence[int]) -> None:
    """No request failed, and only these versions answered any."""
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert set(seen.versions) == set(versions)


def weights(shop: Shop, number: int) -> set[int]:
    """Every weight that a version had in a route that was written."""
    return {
        weight
        for route in shop.follower.story.routes
        for revision, weight in route.weights.items()
        if revision.startswith(f"{NAME}-v{number}-")
    }


def test_a_wrong_answer_is_refused_with_its_figures_and_a_corrected_file_is_tried(
    shop: Shop,
) -> None:
    shop.serve(V1, steps=(Step(50, 1),))
    write(shop, known(1))
    shop.patch(gate={"requests": asked(KEY)})
    with shop.load() as load:
        shop.upload(V2)
        status = shop.wait(lambda s: refusal(s, 2) is not None, "version 2's refusal")
        counted = predictions(shop, 2)
    entry = refusal(status, 2)
    assert entry is not None
    assert (entry["kind"], entry["reason"]) == ("Rejected", "GoldenMismatch")
    for words in (
        "golden request known",
        "y[0]: expected 3, got 4, off by 1, allowed 0.00001 + 0.0001 × 3",
        "(3 of 3 values differ too much)",
        "ConfigMap golden, key known.json",
    ):
        assert words in entry["message"]
    assert counted == [1.0], "the golden request and no other one"
    spared(shop, load, [1])
    assert weights(shop, 2) <= {0}
    assert status["stable"]["number"] == 1
    write(shop, known(2))
    shop.wait_stable(2)
    assert not refusal(shop.status, 2)


def test_disagreement_with_stable_is_refused_with_its_figures_until_it_is_allowed(
    shop: Shop,
) -> None:
    shop.serve(V1)
    write(shop, known(None))
    shop.patch(gate={"requests": asked(KEY), "agreement": {"maxDifference": "0.5"}})
    with shop.load() as load:
        shop.upload(V2)
        status = shop.wait(lambda s: refusal(s, 2) is not None, "version 2's refusal")
        counted = predictions(shop, 2)
    entry = refusal(status, 2)
    assert entry is not None
    assert (entry["kind"], entry["reason"]) == ("Rejected", "AgreementMismatch")
    assert "y[0]: stable answers 3, the candidate 4, 1 apart, allowed 0.5" in entry["message"]
    assert counted == [1.0], "the golden request and no other one"
    spared(shop, load, [1])
    assert weights(shop, 2) <= {0}
    shop.patch(gate={"agreement": {"maxDifference": "1.5"}})
    shop.wait_stable(2)


def test_a_missing_file_is_no_refusal_and_heals_by_being_made(shop: Shop) -> None:
    shop.serve(V1)
    shop.patch(gate={"requests": asked(NPZ)})
    with shop.load() as load:
        shop.upload(V2)
        text = f"there is no ConfigMap {FILE} in the namespace {shop.namespace}"
        status = shop.wait(lambda s: text in s.get("message", ""), "the sentence on the ConfigMap")
        assert "gate.requests[rows].configMap" in status["message"]
        assert status["phase"] == "Verifying"
        rolling = next(c for c in status["conditions"] if c["type"] == "RollingOut")
        assert rolling["reason"] == "CheckErrored"
        assert predictions(shop, 2) == [0.0]
        assert min(predictions(shop, 1)) > 0
        # Short from here on only, because to start takes as long as the machine needs.
        shop.patch(rollout={"deadline": "15s"})
        for _ in range(3):  # more than the deadline: a missing file does not condemn the version
            since = shop.status["candidate"]["progressSince"]
            shop.wait(lambda s, t=since: s["candidate"]["progressSince"] != t, "the clock set back")
        write(shop, "{", b"no npz")
        text = "it is no JSON"
        shop.wait(lambda s: text in s.get("message", ""), "the sentence on the malformed file")
        assert not shop.status.get("rejected")
        spared(shop, load, [1])
        shop.patch(rollout={"deadline": "10m"})
        write(shop, known(2), rows(2))
        shop.wait_stable(2)
    assert not shop.status.get("rejected")
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()


def test_budgets_refuse_before_a_pod_and_before_a_client(shop: Shop) -> None:
    shop.serve(V1)
    write(shop, known(None))
    shop.patch(gate={"requests": asked(KEY), "budgets": {"bytes": "1Ki"}})
    with shop.load() as load:
        shop.upload(V2)
        status = shop.wait(lambda s: refusal(s, 2) is not None, "version 2's refusal for size")
        entry = refusal(status, 2)
        assert entry is not None
        assert entry["reason"] == "SizeOverBudget"
        assert "gate.budgets.bytes allows 1Ki (1,024)" in entry["message"]
        made = shop.kube.list("Deployment", shop.namespace, "savedmodel.dev/component=model")
        assert [d["metadata"]["name"] for d in made] == [status["stable"]["revision"]]
        shop.patch(gate={"budgets": {"bytes": "1Gi", "objects": 100, "firstRequest": "1ms"}})
        status = shop.wait(
            lambda s: (refusal(s, 2) or {}).get("reason") == "TimeOverBudget",
            "version 2's refusal for its first request",
        )
        entry = refusal(status, 2)
        assert entry is not None
        assert re.search(
            r"took \d+\.\d{3} s, gate.budgets.firstRequest allows 1ms", entry["message"]
        )
        spared(shop, load, [1])
        shop.patch(gate={"budgets": {"firstRequest": "30s", "loadTime": "10m"}})
        shop.wait_stable(2)
    assert NAME in shop.status["stable"]["revision"]
