"""What the operator tells about itself: metrics, and /healthz, /readyz, /metrics on one port.

Everybody may call the counting methods; nobody reads them back. Series of an object end with the
object. Labels never carry keys, URLs or messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from savedmodel_operator.api.parse import Meta
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.cluster.cache import Owner

STUCK_SECONDS = 600.0
"""A cycle has at most some tens of writes of at most 10 s each; longer means a bug."""

_OBJECT = ("namespace", "name")
_ROLLOUT_ENDS = {
    Reason.Promoted: "promoted",
    Reason.RolledBack: "rolled_back",
    Reason.Superseded: "superseded",
}
_GATE_ENDS = {Reason.GatePassed: "passed", Reason.Rejected: "rejected"}


class Telemetry:
    """All metrics of one process."""

    def __init__(self, version: str = "dev") -> None:
        self.registry = CollectorRegistry()
        self._running: dict[Owner, float] = {}
        self._shown: dict[Owner, tuple[list[tuple[str, ...]], list[tuple[str, ...]]]] = {}
        self._make_object_metrics(self.registry)
        self._make_process_metrics(self.registry, version)

    def _make_object_metrics(self, own: CollectorRegistry) -> None:
        self._info = Gauge(
            "savedmodel_info",
            "1 for each object in its present state.",
            (*_OBJECT, "phase", "stable", "candidate"),
            registry=own,
        )
        self._weight = Gauge(
            "savedmodel_version_weight_ratio",
            "Share of requests, 0 to 1, that the router gives a version.",
            (*_OBJECT, "version", "role"),
            registry=own,
        )
        self._rollouts = Counter(
            "savedmodel_rollouts", "Ended rollouts.", (*_OBJECT, "result"), registry=own
        )
        self._gate = Counter(
            "savedmodel_gate_checks", "Verdicts of the gate.", (*_OBJECT, "result"), registry=own
        )
        self._storage_success = Gauge(
            "savedmodel_storage_last_success_timestamp_seconds",
            "When the bucket was read last, Unix seconds.",
            _OBJECT,
            registry=own,
        )

    def _make_process_metrics(self, own: CollectorRegistry, version: str) -> None:
        ProcessCollector(registry=own)
        info = Gauge(
            "savedmodel_operator_info", "Version of the operator.", ("version",), registry=own
        )
        info.labels(version).set(1)
        self._leader = Gauge("savedmodel_leader", "1 where this replica acts.", registry=own)
        self._durations = Histogram(
            "savedmodel_reconcile_duration_seconds",
            "Duration of a cycle.",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
            registry=own,
        )
        self._errors = Counter(
            "savedmodel_reconcile_errors", "Cycles that failed.", ("error",), registry=own
        )
        words = "Requests to the API server; code 0: no answer."
        self._requests = Counter(
            "savedmodel_api_requests", words, ("verb", "resource", "code"), registry=own
        )
        words = "Looks at buckets by result."
        self._storage = Counter(
            "savedmodel_storage_requests", words, ("operation", "code"), registry=own
        )
        words = "Status writes of which the API server dropped fields (old CRD)."
        self._pruned = Counter("savedmodel_status_pruned", words, registry=own)

    def counted(self, verb: str, resource: str, code: int) -> None:
        """One request to the API server ended."""
        self._requests.labels(verb, resource, str(code)).inc()

    def looked(self, owner: Owner, reason: Reason) -> None:
        """One look at a bucket ended."""
        self._storage.labels("discover", reason.value).inc()
        if reason in (Reason.SourceReady, Reason.SourceEmpty):
            self._storage_success.labels(*owner).set_to_current_time()

    def leads(self, leading: bool) -> None:
        """Leading began or ended."""
        self._leader.set(1 if leading else 0)

    def cycle_began(self, owner: Owner, at: float) -> None:
        """`at`: monotonic seconds."""
        self._running[owner] = at

    def cycle_ended(self, owner: Owner, seconds: float) -> None:
        """However it ended."""
        self._running.pop(owner, None)
        self._durations.observe(seconds)

    def cycle_failed(self, owner: Owner, error: str) -> None:
        """`error`: a class of `errors`, or Bug."""
        del owner  # a label per object and error would multiply without telling more
        self._errors.labels(error).inc()

    def pruned(self, owner: Owner) -> None:
        """The CRD is older than the operator."""
        del owner
        self._pruned.inc()

    def shows(self, meta: Meta, status: Mapping[str, Any], reasons: Iterable[Reason]) -> None:
        """The state of an object after a cycle, and what happened in it."""
        owner = (meta.namespace, meta.name)
        parts = {role: _part(status, role) for role in ("stable", "candidate")}
        info = (
            *owner,
            str(status.get("phase", "")),
            *(str(parts[role].get("revision", "")) for role in ("stable", "candidate")),
        )
        weights = {
            (*owner, str(part["number"]), role): float(part.get("weight") or 0) / 100.0
            for role, part in parts.items()
            if "number" in part
        }
        self._retire(owner, [info], list(weights))
        self._info.labels(*info).set(1)
        for labels, ratio in weights.items():
            self._weight.labels(*labels).set(ratio)
        for reason in reasons:
            if reason in _ROLLOUT_ENDS:
                self._rollouts.labels(*owner, _ROLLOUT_ENDS[reason]).inc()
            if reason in _GATE_ENDS:
                self._gate.labels(*owner, _GATE_ENDS[reason]).inc()

    def forget(self, owner: Owner) -> None:
        """The object is gone, and its series with it."""
        self._retire(owner, [], [])
        self._shown.pop(owner, None)
        for metric in (self._storage_success, self._rollouts, self._gate):
            metric.remove_by_labels({"namespace": owner[0], "name": owner[1]})

    def stuck(self, now: float) -> list[str]:
        """Cycles that run for too long, in words. now: monotonic seconds."""
        return [
            f"the cycle of {owner[0]}/{owner[1]} has been running for {now - began:.0f} s"
            for owner, began in self._running.items()
            if now - began > STUCK_SECONDS
        ]

    def _retire(
        self, owner: Owner, info: list[tuple[str, ...]], weights: list[tuple[str, ...]]
    ) -> None:
        old_info, old_weights = self._shown.get(owner, ([], []))
        for labels in old_info:
            if labels not in info:
                self._info.remove(*labels)
        for labels in old_weights:
            if labels not in weights:
                self._weight.remove(*labels)
        self._shown[owner] = (info, weights)


def _part(status: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    part = status.get(role)
    return part if isinstance(part, Mapping) else {}


Problems = Callable[[], list[str]]
"""What is wrong now, in words; empty: all is well."""


class HealthServer:
    """/healthz (restart me), /readyz (not yet), /metrics."""

    def __init__(self, telemetry: Telemetry, alive: Problems, ready: Problems) -> None:
        self._telemetry = telemetry
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; the port, where 0 was asked for any."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        listening = self._runner.addresses[0]
        return int(listening[1])

    async def stop(self) -> None:
        """Ends at once; probes are short."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _answer(self._alive())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(self._ready())

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._telemetry.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(problems: list[str]) -> web.Response:
    text = "\n".join(problems) or "ok"
    return web.Response(text=text + "\n", status=500 if problems else 200)
