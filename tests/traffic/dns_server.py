"""A DNS server on loopback that answers A questions from a table, or keeps silent.

Just enough of RFC 1035 to be asked by Envoy's resolver: one question per packet, A records with
TTL 30 as CoreDNS of kubeadm gives them, NXDOMAIN for names it does not know.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from traffic.envoy_lab import take_address

A_RECORD, ANSWER, NXDOMAIN = 1, 0x8180, 0x8183
TTL = 30


class NameServer(asyncio.DatagramProtocol):
    """`hosts`: name → addresses. `silent`: questions are counted and not answered."""

    def __init__(self) -> None:
        self.hosts: dict[str, tuple[str, ...]] = {}
        self.silent = False
        self.asked: Counter[tuple[str, int]] = Counter()
        self.address: tuple[str, int] = (take_address(), 5353)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        name, end = _read_name(data)
        kind = struct.unpack(">H", data[end : end + 2])[0]
        self.asked[name, kind] += 1
        if self.silent or self._transport is None:
            return
        addresses = self.hosts.get(name)
        found = (addresses or ()) if kind == A_RECORD else ()
        flags = NXDOMAIN if addresses is None else ANSWER
        header = data[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0)
        records = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", A_RECORD, 1, TTL, 4) + socket.inet_aton(a)
            for a in found
        )
        self._transport.sendto(header + data[12 : end + 4] + records, addr)


def _read_name(data: bytes) -> tuple[str, int]:
    """The question's name and where its type begins."""
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode().lower())
        at += data[at] + 1
    return ".".join(labels), at + 1


@asynccontextmanager
async def running_name_server() -> AsyncIterator[NameServer]:
    """A DNS server for the time of a test."""
    server = NameServer()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=server.address)
    try:
        yield server
    finally:
        transport.close()
