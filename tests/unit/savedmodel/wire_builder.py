"""Writes protobuf and variables indexes by hand, so that tests can also write wrong ones."""

from __future__ import annotations

from collections.abc import Iterable

import google_crc32c


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def text(field: int, value: str) -> bytes:
    return message(field, value.encode())


def node(name: str, op: str, *extra: bytes, field: int = 1) -> bytes:
    return message(field, text(1, name), text(2, op), *extra)


def tensor(name: str = "x:0", dtype: int = 1, shape: Iterable[int] = (-1,)) -> bytes:
    """The payload of a TensorInfo."""
    dims = [message(2, number(1, size)) for size in shape]
    return text(1, name) + number(2, dtype) + message(3, *dims)


def signature(key: str, inputs: dict[str, bytes], outputs: dict[str, bytes]) -> bytes:
    """A `signature_def` entry of a MetaGraph."""
    entries = [message(1, text(1, k), message(2, v)) for k, v in inputs.items()]
    entries += [message(2, text(1, k), message(2, v)) for k, v in outputs.items()]
    return message(5, text(1, key), message(2, *entries, text(3, "tensorflow/serving/predict")))


def saved_model(*meta: bytes, nodes: bytes = b"", tags: tuple[str, ...] = ("serve",)) -> bytes:
    """One MetaGraph with these nodes and further fields."""
    info = message(1, *(text(4, tag) for tag in tags))
    return number(1, 1) + message(2, info, message(2, nodes), *meta)


def servable(nodes: bytes | None = None, assets: tuple[str, ...] = ()) -> bytes:
    """A small whole model: x → y."""
    if nodes is None:
        nodes = node("x", "Placeholder") + node("y", "Identity", text(3, "x"))
    return saved_model(
        signature("serving_default", {"x": tensor("x:0")}, {"y": tensor("y:0")}),
        *(message(6, text(2, name)) for name in assets),
        nodes=nodes,
    )


def block(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A table block without prefix compression, with its trailer."""
    body = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    body += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0"
    crc = google_crc32c.value(body)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return body + masked.to_bytes(4, "little")


def entry(size: int, offset: int = 0, shard: int = 0, dtype: int = 1) -> bytes:
    return number(1, dtype) + message(2) + number(3, shard) + number(4, offset) + number(5, size)


def index(entries: Iterable[tuple[bytes, bytes]], shards: int = 1) -> bytes:
    """A variables.index with these entries behind the header."""
    data = block([(b"", number(1, shards)), *entries])
    meta = block([])
    pointer = block([(b"~", varint(0) + varint(len(data) - 5))])
    footer = varint(len(data)) + varint(len(meta) - 5)
    footer += varint(len(data) + len(meta)) + varint(len(pointer) - 5)
    magic = (0xDB4775248B80FB57).to_bytes(8, "little")
    return data + meta + pointer + footer.ljust(40, b"\0") + magic
