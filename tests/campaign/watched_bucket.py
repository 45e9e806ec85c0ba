"""A source as the operator watches it: its real watcher, threads, store and discovery; no cluster.

Neighbours: the cases of group C put a `StoreProxy` before the bucket. Must not know what a case expects.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from types import TracebackType

from bucket_server import KEY
from savedmodel_operator.api.source import SourceView, VersionView
from savedmodel_operator.api.types import LocalObjectReference, Source
from savedmodel_operator.observe.sources import SourceWatcher, Tools, Wanted
from savedmodel_operator.storage.base import Access, Store
from savedmodel_operator.storage.discover import discover
from savedmodel_operator.storage.guard import EndpointGuard
from savedmodel_operator.storage.guarded import GuardedSession
from savedmodel_operator.storage.s3 import EXCHANGE_SECONDS, S3Store, make_client

PREFIX = "flowers/"
ALLOWED = ("127.0.0.1",)
PATIENCE = 120.0


class Watched:
    """One watcher over `bucket`/flowers/, between enter and exit.

    exchange_seconds: what the operator gives one exchange with the store, 60 s if left out.
    executor: the threads that buckets are read in; else one of its own.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        *,
        poll: str = "1s",
        exchange_seconds: float = EXCHANGE_SECONDS,
        executor: Executor | None = None,
    ) -> None:
        self._source = Source(
            uri=f"s3://{bucket}/{PREFIX}",
            endpoint=endpoint,
            secret_ref=LocalObjectReference(name="savedmodel-storage"),
            poll_interval=poll,
        )
        self._access = Access(bucket, endpoint=endpoint, credentials=KEY)
        self._exchange_seconds = exchange_seconds
        self._pool = None if executor else ThreadPoolExecutor(1)
        self._executor = executor or self._pool
        self._changed, self._looked_again = asyncio.Event(), asyncio.Event()
        self.looks: list[tuple[float, str]] = []
        """When each look ended (monotonic), and the reason that it came to."""

    async def read(self, namespace: str, source: Source) -> Access:
        """As the reader of Secrets would."""
        return self._access

    async def __aenter__(self) -> Watched:
        assert self._executor is not None
        tools = Tools(
            access=self,
            open_store=self._open,
            discover=_discover,
            executor=self._executor,
            now=time.time,
            changed=lambda _: self._changed.set(),
            looked=self._looked,
        )
        self._watcher = SourceWatcher(("shop", "flowers"), self._source, Wanted(), tools)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._watcher.close()
        if self._pool is not None:
            self._pool.shutdown()

    @property
    def view(self) -> SourceView:
        """As plans see it now."""
        return self._watcher.view

    def look_now(self) -> None:
        """What the verb `sync` does."""
        self._watcher.look_now()

    async def until(self, done: Callable[[SourceView], bool], what: str) -> SourceView:
        """Until the view is so."""
        async with asyncio.timeout(PATIENCE):
            while not done(self.view):
                self._changed.clear()
                await self._changed.wait()
        assert done(self.view), what
        return self.view

    async def until_looked(self, times: int) -> None:
        """Until so many looks have ended."""
        async with asyncio.timeout(PATIENCE):
            while len(self.looks) < times:
                self._looked_again.clear()
                await self._looked_again.wait()

    async def until_version(self, number: int, reason: str) -> VersionView:
        """Until a version has this verdict."""
        view = await self.until(
            lambda v: any((x.number, x.reason) == (number, reason) for x in v.versions),
            f"version {number}: {reason}",
        )
        return next(v for v in view.versions if v.number == number)

    def _looked(self, _: object, reason: str) -> None:
        self.looks.append((time.monotonic(), reason))
        self._looked_again.set()

    def _open(self, access: Access) -> S3Store:
        guard = EndpointGuard(ALLOWED, bucket=access.bucket)
        session = GuardedSession(guard, timeout=(5, 20), connections=4)
        return S3Store(access, make_client(access, session), session, self._exchange_seconds)


def _discover(
    store: Store, prefix: str, marker: str | None, wanted: Wanted, previous: SourceView | None
) -> SourceView:
    return discover(store, prefix, ready_marker=marker, keep=wanted.numbers, previous=previous)
