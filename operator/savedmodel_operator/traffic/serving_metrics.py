"""How long a model pod took for its requests: the histogram that TensorFlow Serving itself keeps.

One GET of the metrics page on the REST port. Only `request_latency` is read: its series with an API
label are the requests for predictions, REST and gRPC, that were answered well; GETs, and with them
the kubelet's probes and ours, have an empty one (model_servers/http_server.cc records the method
that the path named). Errors are not in it, and `request_count` mixes probes and clients, so nothing
here says how many requests failed. What the page holds beside these lines is never parsed: other
labels are the clients' own words. Must not judge and must not raise for pods that do not answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.api import names
from savedmodel_operator.workload.lock import METRICS_PATH

BUCKET = ":tensorflow:serving:request_latency_bucket"
APIS = frozenset({"predict", "classify", "regress", "multiinference"})
"""Labels of gRPC in lower case, where REST's are: `Predict` there, `predict` here."""

TIMEOUT = aiohttp.ClientTimeout(total=2.0)
MAX_BYTES = 4 * 1024 * 1024
MAX_LINES = 34 * 64
"""34 buckets for each series; a model has at most 4 APIs over 2 protocols, and the probes' GETs."""

_PREFIX = f"{BUCKET}{{".encode()
_FAULTS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
_MICROSECOND = 1e-6
_INT64_MAX = 2**63 - 1

Edges = tuple[float, float]


async def count(session: aiohttp.ClientSession, pod_ip: str, model: str) -> Counts | None:
    """What this server answered since its start, all of it timed; None without an answer."""
    address = f"[{pod_ip}]" if ":" in pod_ip else pod_ip
    url = f"http://{address}:{names.PORT_REST}{METRICS_PATH}"
    try:
        async with session.get(url, timeout=TIMEOUT, allow_redirects=False) as response:
            if response.status != 200:
                return None
            page = bytearray()
            async for chunk in response.content.iter_any():
                page += chunk
                if len(page) > MAX_BYTES:
                    return None
        return parse(bytes(page), model)
    except _FAULTS:
        return None


def parse(page: bytes, model: str) -> Counts:
    """The page → counts; zeros where it has no such series yet. Raises ValueError for damage."""
    lines = [line for line in page.split(b"\n") if line.startswith(_PREFIX)]
    if len(lines) > MAX_LINES:
        raise ValueError("too many series")
    series: dict[tuple[str, str], dict[float, float]] = {}
    for family in text_string_to_metric_families(b"\n".join([*lines, b""]).decode()):
        for sample in family.samples:
            labels = sample.labels
            if labels.get("model_name") != model or labels.get("API", "").lower() not in APIS:
                continue
            bounds = series.setdefault((labels["API"], labels.get("entrypoint", "")), {})
            bound = _bound(labels.get("le", ""))
            if bound in bounds:
                raise ValueError("a bucket appears twice")
            bounds[bound] = sample.value
    latency = _sum(_buckets(bounds) for bounds in series.values())
    return Counts(requests=sum(latency.values()), latency=latency)


def _bound(text: str) -> float:
    bound = float(text)
    if not bound > 0:  # NaN is not, either
        raise ValueError(f"{text!r} is no bound of a bucket")
    return bound * _MICROSECOND


def _buckets(bounds: Mapping[float, float]) -> dict[Edges, int]:
    """Bound → requests up to it, as edges in seconds → requests between."""
    if math.inf not in bounds:
        raise ValueError("a histogram without its last bucket")
    found: dict[Edges, int] = {}
    low, below = 0.0, 0
    for high in sorted(bounds):
        here = bounds[high]
        if not below <= here <= _INT64_MAX or here != int(here):  # NaN is in no range
            raise ValueError(f"{here!r} requests up to a bound, {below} below it")
        found[low, high] = int(here) - below
        low, below = high, int(here)
    return {edges: n for edges, n in found.items() if n}


def _sum(parts: Iterable[Mapping[Edges, int]]) -> dict[Edges, int]:
    total: dict[Edges, int] = {}
    for part in parts:
        for edges, n in part.items():
            total[edges] = total.get(edges, 0) + n
    return total
