"""Builds the observer with the real things behind it: S3, HTTP to pods, the API server.

Separate from `observer` and its siblings, which take what they need as arguments and so can be
tested with other things behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView
from savedmodel_operator.cluster import ChildCache, Client, ObjectCache, Owner
from savedmodel_operator.observe.access import AccessReader
from savedmodel_operator.observe.candidate import CandidateCheck
from savedmodel_operator.observe.counters import Counters
from savedmodel_operator.observe.golden import GoldenReader, GoldenWatcher
from savedmodel_operator.observe.live import LiveChecks
from savedmodel_operator.observe.observer import Observer
from savedmodel_operator.observe.pods import PodClient
from savedmodel_operator.observe.prometheus import PrometheusClient
from savedmodel_operator.observe.queries import Queries
from savedmodel_operator.observe.routers import Routers
from savedmodel_operator.observe.sources import ClosableStore, Sources, Tools, Wanted
from savedmodel_operator.settings import Settings
from savedmodel_operator.storage.base import Access, Store
from savedmodel_operator.storage.guard import EndpointGuard
from savedmodel_operator.workload.lock import read_lock


def make_observer(
    *,
    settings: Settings,
    client: Client,
    objects: ObjectCache,
    children: ChildCache,
    executor: Executor,
    changed: Callable[[Owner], None],
    looked: Callable[[Owner, Reason], None],
) -> Observer:
    """The observer of a process. executor: the bounded pool that buckets are read in."""
    pods, files = PodClient(), GoldenReader(client)
    access = AccessReader(client, settings.storage_secret_names)
    prometheus = PrometheusClient(EndpointGuard(settings.allowed_prometheus))
    return Observer(
        objects=objects,
        children=children,
        clock=client.clock,
        sources=Sources(
            Tools(
                access=access,
                open_store=partial(_open_store, settings),
                discover=_discover,
                executor=executor,
                now=client.clock.now,
                changed=changed,
                looked=looked,
            )
        ),
        routers=Routers(pods.probe, changed),
        live=LiveChecks(CandidateCheck(pods, files).check, changed),
        golden=GoldenWatcher(files, changed),
        counters=Counters(pods.count, client.clock.now, changed),
        queries=Queries(access.read_prometheus, prometheus.ask, client.clock.now, changed),
        settings=settings.for_plans,
        pods=pods,
        prometheus=prometheus,
    )


def _open_store(settings: Settings, access: Access) -> ClosableStore:
    # boto3 takes 20 MiB and 0.5 s: it is loaded when the first bucket is read, in a thread.
    from savedmodel_operator.storage.s3 import open_s3

    return open_s3(access, settings.allowed_endpoints)


def _discover(
    store: Store,
    prefix: str,
    ready_marker: str | None,
    wanted: Wanted,
    previous: SourceView | None,
) -> SourceView:
    from savedmodel_operator.storage.discover import discover

    read = {revision: read_lock(seen.body) for revision, seen in wanted.locks.items()}
    return discover(
        store,
        prefix,
        ready_marker=ready_marker,
        keep=wanted.numbers,
        held=read,
        previous=previous,
    )
