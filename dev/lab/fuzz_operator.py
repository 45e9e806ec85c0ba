"""What is fuzzed of the operator itself: what users and neighbours write, and Envoy's files.

Beside `fuzz_targets`, under its rules: a function may refuse in the way it says, and whatever else
it raises is a finding. The bytes are JSON (or what a gzip of it is made of), so that atheris and
hypothesis feed the same functions. Whether Envoy takes what was built is asked of Envoy itself,
`fuzz_envoy`, for one input in `ASK_ENVOY`.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import msgspec

from lab import fuzz_envoy
from lab.fuzz_finding import FindingError
from savedmodel_operator.api import action as actions
from savedmodel_operator.api import lock as form
from savedmodel_operator.api import names
from savedmodel_operator.api.parse import InvalidSpec, parse
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.schema import build_root
from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.api.sticky import HEADER_PATTERN
from savedmodel_operator.api.types import Spec
from savedmodel_operator.cli.lint_schema import fill, inspect_object
from savedmodel_operator.plan import memory
from savedmodel_operator.plan.routing import read_route
from savedmodel_operator.plan.snapshot import Settings
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts
from savedmodel_operator.storage.base import StorageError
from savedmodel_operator.storage.lock import decode_lock, encode_lock
from savedmodel_operator.workload import lock as lock_object
from savedmodel_operator.workload import router
from savedmodel_operator.workload.envoy import build_files, config_hash
from savedmodel_operator.workload.owner import Owner
from savedmodel_operator.workload.revision import build_record, read_record
from savedmodel_operator.workload.route import TOTAL, Backend, Mirror, RoutePlan

ASK_ENVOY = 100
"""Envoy takes a quarter of a second for an answer, the rest of an input a millisecond."""

MAX_SENTENCE = 512
MAX_FILES = 768 * 1024
"""Bytes of Envoy's files for one object: a ConfigMap holds 1 MiB."""

OWNER = Owner("shop", "shop", "5a3c9d0e-0000-4000-8000-000000000001")
PLATFORM = Settings("registry.example/operator:1", "registry.example/envoy:1")
FACTS = ModelFacts(1, (GraphFacts(("serve",), {}, {"MatMul": 1}),))
LOCKED = Lock("models", "shop/7/", 7, "7", "sha256:" + "ab" * 32, (LockedObject("a", 1, "e"),))

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,31}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_INT64 = (1 << 63) - 1


def lock(data: bytes, oracle: object = None) -> bool:  # noqa: ARG001  (one shape for all)
    """A lock as a ConfigMap has it; after a first byte of 1, the text inside its gzip."""
    if data[:1] == b"\1":
        data = gzip.compress(data[1:], compresslevel=1, mtime=0)
    body = {"binaryData": {form.FILE: base64.b64encode(data).decode()}}
    seen = lock_object.read_lock(body)
    try:
        trusted = decode_lock(data)
    except StorageError as error:
        if error.reason is not Reason.MalformedLock:
            raise FindingError(f"refused as {error.reason}: {error.message}") from error
        return False
    root = PurePosixPath("/models/7")
    for item in trusted.objects:
        place = PurePosixPath(root, item.key)
        if root not in place.parents or ".." in place.parts or "\0" in item.key:
            raise FindingError(f"{item.key!r} leaves the directory")
    if seen != trusted or decode_lock(encode_lock(trusted)).fingerprint != trusted.fingerprint:
        raise FindingError("the lock changes when it is written again")
    return True


def spec(data: bytes, oracle: object = None) -> bool:  # noqa: ARG001  (as above)
    """The spec of an object: judged by our schema, parsed, and built into manifests."""
    body = _json(data)
    if body is None:
        return False
    refused = _refusal(body)
    if not isinstance(body, Mapping):
        return False
    schema = _spec_schema()
    stored = fill(body, schema)
    if inspect_object(stored, schema).problems:
        return False
    if refused is not None and (again := _refusal(stored)) is not None:
        raise FindingError(f"the schema takes what the operator refuses: {again}")
    _build(parse(_object(stored))[1])
    return True


def action(data: bytes, oracle: object = None) -> bool:  # noqa: ARG001  (as above)
    """The annotation savedmodel.dev/action."""
    text = data.decode("utf-8", "replace")
    parsed = actions.parse(text)
    if isinstance(parsed, str):
        if len(parsed) > MAX_SENTENCE or not parsed.isprintable():
            raise FindingError(f"said to people: {parsed[:80]!r}")
        return False
    if parsed.identity is not None:
        actions.names(parsed.identity, "shop-v42-1a2b3c4d")
    words = [parsed.verb.value, parsed.identity or ""]
    words += [] if parsed.step is None or parsed.step < 0 else [str(parsed.step)]
    again = actions.parse(" ".join(words))
    if isinstance(again, str) or (again.verb, again.identity) != (parsed.verb, parsed.identity):
        raise FindingError(f"{parsed} is read from its own words as {again}")
    return True


def stored(data: bytes, oracle: object = None) -> bool:  # noqa: ARG001  (as above)
    """What neighbours may have damaged: status, a revision's record, the route's annotation."""
    body = _json(data)
    if not isinstance(body, Mapping):
        read_route(data.decode("utf-8", "replace"))
        memory.unix(data.decode("utf-8", "replace"))
        return False
    seen = memory.read(body)
    weights = read_route(json.dumps(body))
    record = read_record({"data": body})
    for moment in (*(e.at for e in seen.rejected), *(e.at for e in seen.history)):
        memory.timestamp(moment)
    return bool(weights.weights) or record is not None or seen != memory.Memory()


def envoy(data: bytes, oracle: object = None) -> bool:
    """A route table in JSON, inside the bounds of the CRD, built into Envoy's files."""
    route = read_route_plan(data)
    if route is None:
        return False
    files = build_files(route)
    if sum(map(len, files.values())) > MAX_FILES:
        raise FindingError("the files do not fit into a ConfigMap")
    if config_hash(route) not in files["rds.json"] or files != build_files(route):
        raise FindingError("the hash is not that of the files")
    _check_table(route, files)
    router.build_configmap(OWNER, route, 0.0)
    if oracle is not None and zlib.crc32(data) % ASK_ENVOY == 0:
        fuzz_envoy.check(route)
    return True


OPERATOR_TARGETS = {
    "lock": lock,
    "spec": spec,
    "action": action,
    "stored": stored,
    "envoy": envoy,
}


def _json(data: bytes) -> Any:
    """What the API server could hand over: no NaN, no surrogates; None for what is no JSON."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return None


def _object(body: Any) -> dict[str, Any]:
    meta = {"name": OWNER.name, "namespace": OWNER.namespace, "uid": OWNER.uid}
    return {"metadata": {**meta, "resourceVersion": "1", "generation": 1}, "spec": body}


def _refusal(body: Any) -> str | None:
    try:
        parse(_object(body))
    except InvalidSpec as error:
        return error.message
    return None


@cache
def _spec_schema() -> Mapping[str, Any]:
    found: Mapping[str, Any] = build_root()["properties"]["spec"]
    return found


def _build(wanted: Spec) -> None:
    """Every manifest that depends on the spec; what is built can be read back."""
    record = build_record(OWNER, "shop-v7-aaaaaaaa", LOCKED, FACTS, wanted, PLATFORM)
    if read_record(json.loads(json.dumps(record))) is None:
        raise FindingError("a record that was written is not read")
    json.dumps(router.build_deployment(OWNER, wanted, PLATFORM))
    if names.LABEL_UID not in record["metadata"]["labels"]:
        raise FindingError("a child cannot be found again")


def read_route_plan(data: bytes) -> RoutePlan | None:
    """[name, namespace, model, [[number, weight, hash]…], stable, canary, mirror, sticky], the
    last four as places in the list or null; None outside the bounds of the CRD."""
    try:
        name, namespace, model, rows, stable, canary, mirror, sticky = _json(data)
        sound = (
            _NAME.fullmatch(name) and _NAMESPACE.fullmatch(namespace) and _MODEL.fullmatch(model)
        )
        if not sound or not (sticky is None or re.fullmatch(HEADER_PATTERN[1:-1], sticky[:64])):
            return None
        backends = tuple(_backend(name, *row) for row in rows[:8])
        known = [b.revision for b in backends]
        copied = None if mirror is None else Mirror(known[mirror[0]], mirror[1])
        picked = [None if at is None else known[at] for at in (stable, canary)]
        header = None if sticky is None else sticky[:64]
        return RoutePlan(name, namespace, model, backends, picked[0], picked[1], copied, header)
    except (TypeError, ValueError, IndexError):
        return None


def _backend(name: str, number: int, weight: int, mark: int) -> Backend:
    if type(number) is not int or type(weight) is not int or not 0 <= number <= _INT64:
        raise ValueError("outside the bounds of versions and weights")
    return Backend(f"{name}-v{number}-{mark & 0xFFFFFFFF:08x}", number, weight)


def _check_table(route: RoutePlan, files: Mapping[str, str]) -> None:
    """Every cluster that the table names is there, and weights are dealt out whole."""
    clusters = {c["name"] for c in json.loads(files["cds.json"])["resources"]}
    [table] = json.loads(files["rds.json"])["resources"]
    for row in (r for host in table["virtual_hosts"] for r in host["routes"]):
        target = row.get("route", {})
        shares = target.get("weighted_clusters", {}).get("clusters", [])
        used = {s["name"] for s in shares} | ({target["cluster"]} if "cluster" in target else set())
        used |= {m["cluster"] for m in target.get("request_mirror_policies", ())}
        if not used <= clusters:
            raise FindingError(f"no cluster: {sorted(used - clusters)}")
        if shares and sum(s["weight"] for s in shares) != TOTAL:
            raise FindingError(f"the weights of {route.name} are no {TOTAL}")
