"""What 200 or 1,000 objects are asked in the cases of scale, and what comes of it, in figures.

Neighbours: `fleet` has the objects, `story_of_objects` what became of them.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fleet import MODELS, NAMESPACE, Fleet, name
from many_requests import MERGE, ManyRequests
from story_of_objects import Stories

SIZE = int(os.environ.get("CAMPAIGN_HERD", "200"))
FLAPPER = 0
"""The object that never stays as it is."""

FLAPS = 10.0  # per second
PROBES = 6.0  # per second, each of another object
DELAYS = 1_000
"""Seconds of `scaleDownDelay` from which probes count up; no probe may write what stands there."""
LATE = 60.0
"""Seconds that an answer to a probe may take before it counts as none."""


@dataclass(frozen=True)
class Times:
    """Seconds from a change of a spec to the status that knows it, one by one."""

    seconds: Sequence[float]

    def quantile(self, share: float) -> float:
        """The smallest that at least this share does not exceed."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    def __str__(self) -> str:
        p50, p99 = (self.quantile(q) * 1000 for q in (0.5, 0.99))
        return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms of {len(self.seconds)}"


@dataclass(frozen=True)
class Probed:
    """`flaps`: changes of the flapper in the same time."""

    times: Times
    flaps: int


def probe(fleet: Fleet, stories: Stories, seconds: float, *, flapping: bool) -> Probed:
    """Changes others than the flapper in turn, and sees how soon each is answered."""
    sent: list[tuple[str, int, float]] = []

    async def work(api: ManyRequests) -> int:
        end = time.monotonic() + seconds
        flapper = asyncio.create_task(_flap(api, end)) if flapping else None
        await _probe(api, end, sent, DELAYS if flapping else 2 * DELAYS)
        return await flapper if flapper is not None else 0

    flaps = fleet.run(work)
    return Probed(Times([_answered(stories, *one) for one in sent]), flaps)


async def _flap(api: ManyRequests, end: float) -> int:
    """Two specs in turn, each another revision: objects are made and deleted for each."""
    count = 0
    while (began := time.monotonic()) < end:
        count += 1
        drain = "11s" if count % 2 else "10s"
        await _patch(api, name(FLAPPER), {"serving": {"drain": drain}})
        await asyncio.sleep(max(0.0, began + 1 / FLAPS - time.monotonic()))
    await _patch(api, name(FLAPPER), {"serving": {"drain": "10s"}})
    return count


async def _probe(
    api: ManyRequests, end: float, sent: list[tuple[str, int, float]], first: int
) -> None:
    count = 0
    while (began := time.monotonic()) < end:
        one = name(1 + count % (SIZE - 1))
        generation = await _patch(api, one, {"rollout": {"scaleDownDelay": f"{first + count}s"}})
        sent.append((one, generation, began))
        count += 1
        await asyncio.sleep(max(0.0, began + 1 / PROBES - time.monotonic()))


async def _patch(api: ManyRequests, one: str, spec: dict[str, object]) -> int:
    """The generation that the change made."""
    code, body = await api.call("PATCH", f"{MODELS}/{one}", {"spec": spec}, MERGE)
    assert code == 200, body
    return int(body["metadata"]["generation"])


def _answered(stories: Stories, one: str, generation: int, began: float) -> float:
    stories.wait(one, lambda m: m.observed >= generation, f"generation {generation} known", LATE)
    seconds = next(m.at for m in stories.of(one) if m.observed >= generation) - began
    assert seconds > 0, f"{one}: generation {generation} was known before it was made"
    return seconds


async def told(api: ManyRequests) -> list[tuple[str, str, str]]:
    """(object, reason, note) of every Event of the operator."""
    path = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
    _, body = await api.call("GET", path)
    return [
        (event["regarding"]["name"], event["reason"], event.get("note", ""))
        for event in body["items"]
        if event.get("reportingController") == "savedmodel.dev/operator"
    ]


async def annotate_pods(api: ManyRequests, seconds: float) -> int:
    """A storm of events that mean nothing: every pod annotated in turn, as quickly as it goes."""
    _, listed = await api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")
    names = [pod["metadata"]["name"] for pod in listed["items"]]
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{names[count % len(names)]}"
        note = {"metadata": {"annotations": {"tests/storm": str(count)}}}
        code, _ = await api.call("PATCH", path, note, MERGE)
        count += code == 200
    return count
