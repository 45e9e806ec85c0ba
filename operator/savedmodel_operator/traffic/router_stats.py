"""What a router pod has counted for some revisions: requests, errors, latencies.

Asks the read-only statistics port, in one request that names the revisions, so that the answer
stays small. Two clusters of a revision, REST and gRPC, are one in `Counts`. Must not judge counts
and must not raise for pods that do not answer.

- HTTP: 5xx are server errors, 4xx client errors. Envoy's own 503 for a pod that it cannot reach
  counts for the cluster that was to answer: to the client it is the revision's failure.
- gRPC: by the status code, mapped as google.rpc.Code maps it to HTTP (google/rpc/code.proto): 5xx
  are UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS; every other
  code but OK is a 4xx.
- Latencies are upstream_rq_time, whole milliseconds in buckets of two significant digits: from the
  client's whole request to the server's whole answer. Envoy merges them every second.
- Copies (`workload.envoy_mirror`) count for the revision like its own requests. Envoy calls them
  internal and keeps no gRPC codes of theirs, but the failed calls of each host: the same codes as
  above. One that was cut off failed; one beyond the limit of copies never reached the revision.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp

from savedmodel_operator.analysis.window import Counts, add
from savedmodel_operator.api import names
from savedmodel_operator.workload.envoy_clusters import GRPC, REST
from savedmodel_operator.workload.envoy_mirror import mirror_name

TIMEOUT = aiohttp.ClientTimeout(total=2.0)
MAX_BYTES = 1024 * 1024
"""A bucket takes some 50 bytes in the listing and a decade has 90: 50 KiB for two revisions."""

GRPC_SERVER = frozenset({2, 4, 12, 13, 14, 15})
GRPC_OK = 0

_FAULTS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
_COUNTERS = (
    r"(?:external|internal)\.upstream_rq_(completed|4xx|5xx|time)",
    r"(grpc\.[0-9]+)",
    r"upstream_rq_(max_duration_reached|(?:active|pending)_overflow)",
    r"endpoint\..+\.(rq_error)",
)
_NAME = re.compile(rf"cluster\.([^/]+)/({REST}|{GRPC})\.(?:{'|'.join(_COUNTERS)})")

Tally = dict[str, int]
"""What was read of one cluster: "completed", "4xx", "5xx", "grpc.N", and of copies "rq_error",
"max_duration_reached", "active_overflow" or with an older Envoy "pending_overflow"."""


def build_filter(revisions: Iterable[str]) -> str:
    """The regular expression by which the pod picks what is asked of it."""
    wanted = "|".join(re.escape(name) for r in sorted(revisions) for name in (r, mirror_name(r)))
    return rf"^cluster\.({wanted})/({REST}|{GRPC})\.({'|'.join(_COUNTERS)})$"


async def count(
    session: aiohttp.ClientSession, pod_ip: str, revisions: Iterable[str]
) -> Mapping[str, Counts] | None:
    """Revision → its counters since this Envoy began to know it; None without an answer."""
    wanted = sorted(revisions)
    params = {"format": "json", "histogram_buckets": "detailed", "filter": build_filter(wanted)}
    try:
        return parse(json.loads(await _get(session, pod_ip, params)), wanted)
    except (*_FAULTS, KeyError, TypeError, AttributeError, RecursionError):
        return None


async def _get(session: aiohttp.ClientSession, host: str, params: Mapping[str, str]) -> bytes:
    """The body of a 200, at most MAX_BYTES. Raises one of _FAULTS otherwise."""
    address = f"[{host}]" if ":" in host else host
    url = f"http://{address}:{names.PORT_STATS}/stats"
    options = {"params": params, "timeout": TIMEOUT, "allow_redirects": False}
    async with session.get(url, **options) as response:  # type: ignore[arg-type]
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError("too long")
        return bytes(body)


def parse(listing: Mapping[str, Any], revisions: Iterable[str]) -> dict[str, Counts]:
    """Envoy's /stats → revision → counts; zeros for what it does not list yet.

    Raises KeyError, TypeError, ValueError, AttributeError for anything else than such a listing.
    """
    tallies: dict[tuple[str, str], Tally] = {}
    latency: dict[str, dict[tuple[float, float], int]] = {}
    for entry in listing["stats"]:
        if "histograms" in entry:
            for histogram in entry["histograms"]["details"]:
                found = _NAME.fullmatch(str(histogram["name"]))
                if found is not None:
                    _add_times(latency.setdefault(found[1], {}), histogram["totals"])
            continue
        found = _NAME.fullmatch(str(entry["name"]))
        if found is not None:
            key = next(part for part in found.groups()[2:] if part)
            tally = tallies.setdefault((found[1], found[2]), {})
            tally[key] = tally.get(key, 0) + _natural(entry["value"])  # of all hosts
    return {
        r: add(_combine(tallies, name, latency.get(name, {})) for name in (r, mirror_name(r)))
        for r in revisions
    }


def _combine(
    tallies: Mapping[tuple[str, str], Tally], name: str, latency: dict[tuple[float, float], int]
) -> Counts:
    rest, grpc = (_settled(tallies.get((name, protocol), {})) for protocol in (REST, GRPC))
    return add((_rest(rest), _grpc(grpc), Counts(latency=latency)))


def _settled(tally: Tally) -> Tally:
    """What was cut off is a failure, and what was not sent none, though Envoy answers it with 503."""
    unsent = tally.get("active_overflow", 0) + tally.get("pending_overflow", 0)
    change = tally.get("max_duration_reached", 0) - unsent
    moved = {key: max(0, tally.get(key, 0) + change) for key in ("completed", "5xx", "rq_error")}
    return {**tally, **moved}


def _rest(tally: Tally) -> Counts:
    server, client = tally.get("5xx", 0), tally.get("4xx", 0)
    return _whole(tally.get("completed", 0), server, client)


def _grpc(tally: Tally) -> Counts:
    """A failure that has no gRPC status, as HTTP 503 from something in between, counts as well. Of
    copies a broken connection is in both figures, so that their sum would be too much."""
    codes = {int(k.removeprefix("grpc.")): n for k, n in tally.items() if k.startswith("grpc.")}
    failed = sum(n for c, n in codes.items() if c in GRPC_SERVER)
    server = max(failed, tally.get("5xx", 0), tally.get("rq_error", 0))
    client = sum(n for c, n in codes.items() if c not in GRPC_SERVER and c != GRPC_OK)
    return _whole(max(tally.get("completed", 0), sum(codes.values())), server, client)


def _whole(requests: int, server: int, client: int) -> Counts:
    """Counters are read one by one while requests go on: parts may be ahead of their sum."""
    return Counts(max(requests, server + client), server, client)


def _add_times(into: dict[tuple[float, float], int], totals: Iterable[Mapping[str, Any]]) -> None:
    """Milliseconds were cut to whole ones before they were counted: 3 is anything below 4."""
    for bucket in totals:
        low, width = float(bucket["lower_bound"]), float(bucket["width"])
        edges = (low / 1000, max(low + width, low + 1) / 1000)
        into[edges] = into.get(edges, 0) + _natural(bucket["count"])


def _natural(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
