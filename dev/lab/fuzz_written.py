"""What people and neighbours write, for hypothesis: bytes for the targets of `fuzz_operator`.

Specs are built by the CRD's own schema, so that most fields are of their type and many objects
whole; route tables, locks, annotations and stored notes by hand. For `fuzz` alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from savedmodel_operator.api.action import Verb
from savedmodel_operator.api.schema import build_root
from savedmodel_operator.storage.versions import fingerprint

Json = dict[str, Any]

_SAMPLES: Mapping[str, st.SearchStrategy[Any]] = {
    "uri": st.sampled_from(["s3://models/flowers", "s3://m-1/a/b", "s3://models", "gs://x/y"]),
    "endpoint": st.sampled_from(["https://s3.example", "http://[::1]:9000", "http://a@b"]),
    "image": st.sampled_from(["tensorflow/serving:2.20.0", "registry.example/s@sha256:ab", "a:b"]),
    "source": st.sampled_from(["Router", "ServingMetrics", "Prometheus"]),
}
"""Fields whose rules a generated string would seldom meet."""

_DURATIONS = st.sampled_from(["0s", "1s", "30s", "5ms", "10m", "1h30m", "24h", "9999h"])
_QUANTITIES = st.sampled_from(["1", "500m", "4Gi", "1e3", 2, "0", "1.5", "-1", "1Zi"])
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 1 << 40) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


_SMALLEST: Json = {
    "source": {"uri": "s3://models/flowers", "anonymous": True},
    "serving": {"image": "tensorflow/serving:2.20.0"},
}


def specs() -> st.SearchStrategy[bytes]:
    """Specs by the CRD's schema: any, and a sound one with a few fields more."""
    schema = build_root()["properties"]["spec"]
    places = st.sampled_from(list(_places(schema, ())))
    further = st.lists(places.flatmap(lambda at: st.tuples(st.just(at[0]), at[1])), max_size=4)
    return (_by_schema("spec", schema) | further.map(_with_fields)).map(_bytes)


def _places(schema: Json, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, below in schema.get("properties", {}).items():
        yield (*path, key), _by_schema(key, below)
        yield from _places(below, (*path, key))


def _with_fields(fields: list[tuple[tuple[str, ...], Any]]) -> Json:
    body: Json = json.loads(json.dumps(_SMALLEST))
    for path, value in fields:
        parent = body
        for key in path[:-1]:
            if not isinstance(parent.get(key), dict):
                parent[key] = {}
            parent = parent[key]
        parent[path[-1]] = value
    return body


def statuses() -> st.SearchStrategy[bytes]:
    """Stored statuses by the CRD's schema, and routes and records as annotations have them."""
    whole = _by_schema("status", build_root()["properties"]["status"])
    shares = st.dictionaries(st.sampled_from(["m-v1-a", "m-v2-b"]), _ANY | st.integers(0, 100))
    routes = st.fixed_dictionaries({"weights": shares | _ANY, "mirror": shares | _ANY})
    return (whole | routes | _records()).map(_bytes)


def _records() -> st.SearchStrategy[Json]:
    manifests: st.SearchStrategy[Json] = st.fixed_dictionaries(
        {kind: st.just({"spec": {}}) | _ANY for kind in ("deployment", "service", "pdb")}
    )
    return st.fixed_dictionaries(
        {
            "number": st.integers(0, 99) | _ANY,
            "directory": st.just("7") | _ANY,
            "fingerprint": st.just("sha256:00") | _ANY,
            "servingHash": st.just("00") | _ANY,
            "facts": st.just({"schema": 1, "graphs": []}) | _ANY,
            "manifests": manifests | _ANY,
        }
    )


def actions() -> st.SearchStrategy[bytes]:
    """Annotations that people could write."""
    verbs = st.sampled_from([verb.value for verb in Verb])
    words = st.sampled_from(["v42", "v7-1a2b3c4d", "shop-v7-1a2b3c4d", "3", "mirror", "#x", "now"])
    lines = st.tuples(
        verbs | st.text(max_size=9), st.lists(words | st.text(max_size=9), max_size=4)
    )
    return lines.map(lambda line: " ".join([line[0], *line[1]]).encode("utf-8", "replace"))


def locks() -> st.SearchStrategy[bytes]:
    """The text inside a lock's gzip, some of them with the right fingerprint."""
    part = st.sampled_from(["a", "b", "variables", "..", "", ".", "x\0", "é", "a" * 300])
    keys = st.lists(part, min_size=1, max_size=3).map("/".join)
    entry = st.tuples(
        keys,
        st.integers(-1, 1 << 62),
        st.sampled_from(["e1", "", 'q"', "d41d8cd98f00b204e9800998ecf8427e"]),
        st.none() | st.just("v1"),
        st.none() | st.sampled_from(["crc32c:AAAAAA==", "sha256:x", "md5:0"]),
    )
    return st.builds(_lock, st.lists(entry, max_size=4), st.integers(0, 200), st.booleans())


def _lock(rows: list[tuple[Any, ...]], number: int, honest: bool) -> bytes:
    try:
        mark = fingerprint((key, size, etag) for key, size, etag, _, _ in rows)
    except (ValueError, OverflowError):
        mark = hashlib.sha256().hexdigest()
    body = {
        "format": 1,
        "bucket": "models",
        "prefix": f"shop/{number}/",
        "number": number,
        "directory": str(number),
        "fingerprint": mark if honest else "sha256:0",
        "objects": [list(row) for row in sorted(rows, key=lambda row: row[0])],
    }
    return b"\1" + _bytes(body)


def routes() -> st.SearchStrategy[bytes]:
    """Route tables as `fuzz_operator.envoy` reads them; most have weights that sum to 100."""
    name = st.from_regex(r"[a-z]([-a-z0-9]{0,31}[a-z0-9])?", fullmatch=True)
    model = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
    header = st.none() | st.from_regex(r"[a-z0-9!#$%&*+.^_|~-]{1,64}", fullmatch=True)
    number = st.integers(0, 9) | st.integers(0, (1 << 63) - 1)
    rows = st.lists(st.tuples(number, st.integers(0, 3), st.integers(0, 1 << 32)), max_size=5)
    picks = st.none() | st.integers(0, 4)
    mirror = st.none() | st.tuples(st.integers(0, 4), st.integers(0, 101))
    whole = st.tuples(name, name, model, rows.map(_shared_out), picks, picks, mirror, header)
    return whole.map(list).map(_bytes)


def _shared_out(rows: list[tuple[int, int, int]]) -> list[list[int]]:
    """Parts become percents; the last one with a part takes what is left."""
    total = sum(part for _, part, _ in rows)
    shares = [100 * part // total if total else 0 for _, part, _ in rows]
    if total:
        last = max(at for at, (_, part, _) in enumerate(rows) if part)
        shares[last] += 100 - sum(shares)
    return [[n, share, mark] for (n, _, mark), share in zip(rows, shares, strict=True)]


def _by_schema(name: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if name in _SAMPLES and schema.get("type") == "string" and "enum" not in schema:
        return _SAMPLES[name]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return _QUANTITIES
    kinds = {"object": _objects, "array": _arrays, "string": _strings}
    if schema.get("type") in kinds:
        return kinds[schema["type"]](name, schema)
    if schema.get("type") == "integer":
        return st.integers(schema.get("minimum", -1), min(schema.get("maximum", 1 << 40), 1 << 63))
    return st.booleans() if schema.get("type") == "boolean" else _ANY


def _objects(name: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    fields = {key: _by_schema(key, below) for key, below in schema.get("properties", {}).items()}
    inner = schema.get("additionalProperties")
    if not fields:
        below = _by_schema(name, inner) if isinstance(inner, Mapping) else _ANY
        return st.dictionaries(st.sampled_from(["a", "b-c", "x.y/z", "cpu"]), below, max_size=3)
    needed = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {key: fields[key] for key in sorted(needed)},
        optional={key: fields[key] for key in fields if key not in needed},
    )


def _arrays(name: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    most = min(schema.get("maxItems", 3), 3)
    return st.lists(_by_schema(name, schema.get("items", {})), max_size=most)


def _strings(name: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if schema.get("format") == "date-time" or name.endswith(("At", "ince")):
        return st.sampled_from(["2026-11-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "soon", ""])
    if any("duration(self)" in rule["rule"] for rule in schema.get("x-kubernetes-validations", ())):
        return _DURATIONS
    for rule in schema.get("x-kubernetes-validations", ()):
        before, found, pattern = rule["rule"].partition("self.matches('")
        if found and not before and "'" not in pattern[:-2]:
            return st.from_regex(pattern[:-2].replace("\\\\", "\\"), fullmatch=True)
    return st.sampled_from(["a", "serve", "x-user-id", "Router", ""]) | st.text(max_size=8)


def _bytes(body: Any) -> bytes:
    return json.dumps(body).encode("utf-8", "replace")
