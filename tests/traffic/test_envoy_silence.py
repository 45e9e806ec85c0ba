"""What the kernel is told about a router's connections to pods: how long a silent one may last."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import grpc.aio
import pytest

from savedmodel_operator.workload.envoy import Backend, RoutePlan
from savedmodel_operator.workload.envoy_clusters import SILENCE
from traffic.backends import PREDICT, running_servers
from traffic.envoy_lab import running_envoy

STABLE = "flowers-v7-aaaaaaaa"
PIDFD_GETFD = 438


async def test_bytes_sent_into_silence_have_an_end() -> None:
    """Keep-alive alone does not end them, nor does Envoy, which waits for an answer without limit."""
    async with running_servers("seven") as (server,):
        backend = Backend(STABLE, 7, 100, (server.address,))
        route = RoutePlan("flowers", "shop", "flowers", (backend,), stable=STABLE)
        async with running_envoy(route, members=2) as envoy, aiohttp.ClientSession() as session:
            url = f"{envoy.url}/v1/models/flowers:predict"
            async with session.post(url, data=b"{}") as answer:
                assert answer.status == 200
            async with grpc.aio.insecure_channel(f"{envoy.address}:8500") as channel:
                await channel.unary_unary(PREDICT)(b"x", timeout=20)
                assert envoy.process is not None
                found = dict(_limits(envoy.process.pid, server.address))
    assert found == {8501: SILENCE, 8500: SILENCE}


def _limits(pid: int, address: str) -> Iterator[tuple[int, int]]:
    """(port, TCP_USER_TIMEOUT in milliseconds) of a process's connections to an address."""
    process = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError), _copied(process, int(entry.name)) as one:
                if one.family != socket.AF_INET:
                    continue
                host, port = one.getpeername()
                if host == address:
                    yield port, one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    finally:
        os.close(process)


def _copied(process: int, number: int) -> socket.socket:
    """Another process's file, as far as it is a socket; OSError otherwise."""
    copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, number, 0)
    if copy < 0:
        if ctypes.get_errno() == 1:
            pytest.skip("this machine does not let one process look at another's sockets")
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
