"""Envoy's route table (RDS): which call goes to which revision. Pure; called by `envoy`.

One table for both ports, because two cannot be switched together. First match wins:

    /_revision                                     the table's own hash, for verification
    gRPC  header x-savedmodel-version: N           that version, else refused
          Predict Classify Regress MultiInference  by weight
          GetModelMetadata GetModelStatus          stable
          anything else                            UNIMPLEMENTED
    REST  /v1/models/M/versions/N…                 that version
          /v1/models/M/labels/stable|canary…       rewritten to that version
          header x-savedmodel-version: N           that version, else refused
          /v1/models/M:verb                        by weight
          /v1/models/M, …/metadata                 stable
          anything else                            404, the metrics paths 403

Matches are exact paths and prefixes, never regular expressions: Envoy bounds their size, and a
model name may have 128 characters. Refusals are plain sentences here; the listener makes them
JSON for REST and a gRPC status for gRPC.

Sticky clients: the share is found by the hash of a header's value instead of by chance. The canary
is first in the list and takes the lowest hashes, so that whom a small weight reaches a greater one
reaches too. A request without the header is dealt out by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from savedmodel_operator.workload.envoy_clusters import GRPC, REST, cluster_name
from savedmodel_operator.workload.envoy_mirror import build_policy
from savedmodel_operator.workload.route import Backend, RoutePlan

NAME = "routes"
REVISION_PATH = "/_revision"
PICKS = 64
"""Tries to pick another host for a retry. A dead one has the least requests under way, so of two
hosts it is picked three times in four: five tries failed a quarter of the retries, these 1e-8."""
VERSION_HEADER = "x-savedmodel-version"
REVISION_HEADER = "x-savedmodel-revision"

_PREDICTION = "/tensorflow.serving.PredictionService/"
WEIGHTED_METHODS = tuple(
    _PREDICTION + method for method in ("Predict", "Classify", "Regress", "MultiInference")
)
PRIMARY_METHODS = (
    _PREDICTION + "GetModelMetadata",
    "/tensorflow.serving.ModelService/GetModelStatus",
)

RETRY_BUFFER = 64 * 1024 * 1024
"""Bytes of a body that the router may keep for a retry. With retries on and less than a body's
size Envoy answers 507 (facts/delivery.md §6); TF Serving's usual batches stay below 20 MiB."""

STREAM_IDLE = "300s"
"""No byte either way for this long ends a call; TF Serving itself gives up after 30 s."""

Json = dict[str, Any]


def build_routes(route: RoutePlan, revision: str) -> Json:
    """The RouteConfiguration; `revision` is what /_revision answers."""
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": NAME,
        "virtual_hosts": [
            {
                "name": "model",
                "domains": ["*"],
                "retry_policy": _retry_policy(),
                "request_body_buffer_limit": RETRY_BUFFER,
                "routes": [
                    _answer({"path": REVISION_PATH}, 200, revision),
                    *_grpc_routes(route),
                    *_rest_routes(route),
                ],
            }
        ],
    }


def _retry_policy() -> Json:
    """Only where no byte reached a server, and never twice at the same host."""
    return {
        "retry_on": "connect-failure,refused-stream",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host."
                    "previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": PICKS,
    }


def _grpc_routes(route: RoutePlan) -> Iterator[Json]:
    numbers = route.numbers
    for path in (*WEIGHTED_METHODS, *PRIMARY_METHODS):
        match = {"path": path, "grpc": {}}
        for number, backend in sorted(numbers.items()):
            yield _to_one(_pinned(match, number), backend, GRPC)
        yield _unknown_version(_pinned(match), numbers, grpc_status=True)
        if path in WEIGHTED_METHODS:
            yield _by_weight(match, route, GRPC)
        else:
            yield _to_primary(match, route, GRPC)
    text = "this method is not offered here: of PredictionService and ModelService only the "
    yield _answer({"prefix": "/", "grpc": {}}, 404, text + "calls that read are")


def _rest_routes(route: RoutePlan) -> Iterator[Json]:
    base = f"/v1/models/{route.model_name}"
    numbers = route.numbers
    for number, backend in sorted(numbers.items()):
        for match in _below(f"{base}/versions/{number}"):
            yield _to_one(match, backend, REST)
    yield _unknown_version({"prefix": f"{base}/versions/"}, numbers)
    yield from _label_routes(route, base)
    for match, weighted in _unversioned(base):
        for number, backend in sorted(numbers.items()):
            yield _to_one(_pinned(match, number), backend, REST)
        yield _unknown_version(_pinned(match), numbers)
        yield _by_weight(match, route, REST) if weighted else _to_primary(match, route, REST)
    yield _answer({"prefix": "/monitoring"}, 403, "metrics are not served through the router")
    yield _answer(
        {"prefix": "/"}, 404, f"not found: only {base} and what is below it is served here"
    )


def _label_routes(route: RoutePlan, base: str) -> Iterator[Json]:
    """The server knows no labels: the path is rewritten to the version's."""
    for label, backend in route.labels.items():
        path = f"{base}/labels/{label}"
        for match in _below(path):
            if backend is None:
                yield _answer(match, 404, f"no version has the label '{label}' now")
                continue
            key = next(iter(match))
            rewritten = match[key].replace(path, f"{base}/versions/{backend.number}", 1)
            yield _to_one(match, backend, REST, prefix_rewrite=rewritten)
    yield _answer({"prefix": f"{base}/labels/"}, 404, "the labels are 'stable' and 'canary'")


def _unversioned(base: str) -> Iterable[tuple[Json, bool]]:
    """(match, by weight?) of the paths that name no version."""
    return (
        ({"prefix": f"{base}:"}, True),
        ({"path": base}, False),
        ({"path": f"{base}/metadata"}, False),
    )


def _below(path: str) -> Iterable[Json]:
    """The path itself and what the server knows below it; `1` is not `10`."""
    return ({"path": path}, {"prefix": f"{path}:"}, {"prefix": f"{path}/"})


def _pinned(match: Json, number: int | None = None) -> Json:
    header: Json = {"name": VERSION_HEADER}
    if number is None:
        header["present_match"] = True
    else:
        header["string_match"] = {"exact": str(number)}
    return {**match, "headers": [header]}


def _to_one(match: Json, backend: Backend, protocol: str, **action: Any) -> Json:
    target = {"cluster": cluster_name(backend.revision, protocol)}
    return {
        "match": match,
        "route": {**target, **_timeouts(protocol), **action},
        "response_headers_to_add": _stamp(backend),
    }


def _to_primary(match: Json, route: RoutePlan, protocol: str) -> Json:
    backend = route.primary
    return _to_one(match, backend, protocol) if backend else _nothing_serves(match, route)


def _by_weight(match: Json, route: RoutePlan, protocol: str) -> Json:
    if not route.weighted:
        return _nothing_serves(match, route)
    clusters: list[Json] = [
        {
            "name": cluster_name(backend.revision, protocol),
            "weight": backend.weight,
            "response_headers_to_add": _stamp(backend),
        }
        for backend in route.weighted
    ]
    action: Json = {"weighted_clusters": {"clusters": clusters}, **_timeouts(protocol)}
    if route.sticky is not None:
        action["weighted_clusters"]["use_hash_policy"] = True
        action["hash_policy"] = [{"header": {"header_name": route.sticky}}]
    if route.mirror is not None:
        action["request_mirror_policies"] = [build_policy(route.mirror, protocol)]
    return {"match": match, "route": action}


def _timeouts(protocol: str) -> Json:
    """No deadline of ours; a gRPC caller's own is kept (0s: without upper bound)."""
    action: Json = {"timeout": "0s", "idle_timeout": STREAM_IDLE}
    if protocol == GRPC:
        action["max_stream_duration"] = {"grpc_timeout_header_max": "0s"}
    return action


def _stamp(backend: Backend) -> list[Json]:
    """Which version answered, and which revision of it; never what a server claims."""
    values = {VERSION_HEADER: str(backend.number), REVISION_HEADER: backend.revision}
    return [
        {"header": {"key": k, "value": v}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for k, v in values.items()
    ]


def _nothing_serves(match: Json, route: RoutePlan) -> Json:
    return _answer(match, 503, f"no version of '{route.model_name}' is serving yet")


def _unknown_version(match: Json, numbers: Iterable[int], *, grpc_status: bool = False) -> Json:
    known = ", ".join(map(str, sorted(numbers))) or "none"
    answer = _answer(match, 404, f"this version is not served here; available: {known}")
    if grpc_status:  # 404 would become UNIMPLEMENTED; TF Serving says NOT_FOUND, which is 5
        answer["response_headers_to_add"] = [
            {
                "header": {"key": "grpc-status", "value": "5"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ]
    return answer


def _answer(match: Json, status: int, text: str) -> Json:
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": text}},
    }
