"""Manifests that must be refused: what is changed in a good one, and what a person must read.

Each case is (path and value pairs laid over GOOD, the texts that the answer must hold). `GONE`
takes the field away. Kept as a table so that a reviewer sees rule and sentence side by side.
"""

from __future__ import annotations

import copy
from typing import Any

GONE = object()

GOOD: dict[str, Any] = {
    "apiVersion": "savedmodel.dev/v1alpha1",
    "kind": "SavedModelDeployment",
    "metadata": {"name": "flowers"},
    "spec": {
        "source": {"uri": "s3://models/flowers", "secretRef": {"name": "savedmodel-storage"}},
        "serving": {"image": "tensorflow/serving:2.20.0"},
    },
}

STEP = {"weight": 5, "hold": "1m"}
QUERY = {"name": "errors", "query": "sum(errors)", "max": "0.01"}
PROMETHEUS = {
    "source": "Prometheus",
    "prometheus": {"address": "http://prometheus.monitoring:9090"},
    "queries": [QUERY],
}
GOLDEN = {"name": "iris", "configMap": {"name": "golden", "key": "iris.json"}}
NAME_RULE = "metadata.name must be a DNS label of at most 33 characters that starts with a letter"
DURATION = "must be a duration in ms, s, m or h, for example 30s or 1h30m"
CREDENTIALS = (
    "set exactly one of secretRef (a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) and "
    "anonymous: true (a public bucket)"
)
OWN_FLAG = "a flag that the operator sets itself"
OBJECT_NAME = "must be the name of a Kubernetes object"

Case = tuple[dict[str, Any], tuple[str, ...]]

CASES: dict[str, Case] = {
    "name of 34 characters": ({"metadata.name": "a" * 34}, (NAME_RULE,)),
    "name with a digit first": (
        {"metadata.name": "1flowers"},
        (NAME_RULE, "NAME-v<number>-<hash>"),
    ),
    "name with a dot": ({"metadata.name": "flowers.v1"}, (NAME_RULE,)),
    "no spec": ({"spec": GONE}, ("spec: Required value",)),
    "no source": ({"spec.source": GONE}, ("spec.source: Required value",)),
    "no serving": ({"spec.serving": GONE}, ("spec.serving: Required value",)),
    "no image": ({"spec.serving": {}}, ("spec.serving.image: Required value",)),
    "no uri": ({"spec.source": {"anonymous": True}}, ("spec.source.uri: Required value",)),
    "uri of a web page": (
        {"spec.source.uri": "https://models/flowers"},
        ("spec.source.uri", "must be s3://BUCKET/PREFIX, for example s3://models/flowers"),
    ),
    "uri with an upper-case bucket": (
        {"spec.source.uri": "s3://Models/x"},
        ("s3://BUCKET/PREFIX",),
    ),
    "uri with a double slash": ({"spec.source.uri": "s3://models//x"}, ("s3://BUCKET/PREFIX",)),
    "uri that climbs": (
        {"spec.source.uri": "s3://models/../secrets"},
        ("must be a plain path: no '..', '?' or '#'",),
    ),
    "uri with a query": ({"spec.source.uri": "s3://models/x?versionId=1"}, ("a plain path",)),
    "uri without end": (
        {"spec.source.uri": "s3://models/" + "x" * 1100},
        ("may not be more than 1024",),
    ),
    "neither secret nor anonymous": ({"spec.source.secretRef": GONE}, (CREDENTIALS,)),
    "both secret and anonymous": ({"spec.source.anonymous": True}, (CREDENTIALS,)),
    "secret of another namespace": (
        {"spec.source.secretRef.name": "prod/savedmodel-storage"},
        ("spec.source.secretRef.name", OBJECT_NAME),
    ),
    "replicas and autoscaling": (
        {"spec.serving.replicas": 2, "spec.serving.autoscaling": {"maxReplicas": 3}},
        ("set serving.replicas (a fixed number of pods) or serving.autoscaling", "not both"),
    ),
    "autoscaling upside down": (
        {"spec.serving.autoscaling": {"minReplicas": 4, "maxReplicas": 3}},
        ("minReplicas must be at most maxReplicas", "minReplicas: 2, maxReplicas: 10"),
    ),
    "autoscaling to nothing": (
        {"spec.serving.autoscaling": {"minReplicas": 0, "maxReplicas": 3}},
        ("spec.serving.autoscaling.minReplicas", "greater than or equal to 1"),
    ),
    "autoscaling without a limit": (
        {"spec.serving.autoscaling": {"minReplicas": 2}},
        ("spec.serving.autoscaling.maxReplicas: Required value",),
    ),
    "endpoint without scheme": (
        {"spec.source.endpoint": "store:9000"},
        ("must be http(s)://HOST[:PORT] without path, user or query",),
    ),
    "endpoint with a password": (
        {"spec.source.endpoint": "https://user:pw@store"},
        ("without path, user or query",),
    ),
    "endpoint with a path": ({"spec.source.endpoint": "https://store/s3"}, ("without path",)),
    "region": (
        {"spec.source.region": "EU West"},
        ("must be the name of a region, for example eu-west-1",),
    ),
    "addressing": (
        {"spec.source.addressing": "path"},
        ('Unsupported value: "path": supported values: "Auto", "Path", "Virtual"',),
    ),
    "key of the CA": (
        {"spec.source.caBundle": {"configMap": "ca", "key": "a/b"}},
        ("must be a key of the ConfigMap",),
    ),
    "CA without key": (
        {"spec.source.caBundle": {"configMap": "ca"}},
        ("spec.source.caBundle.key: Required value",),
    ),
    "poll without unit": ({"spec.source.pollInterval": "30"}, (DURATION,)),
    "poll in days": ({"spec.source.pollInterval": "1d"}, (DURATION,)),
    "poll too often": ({"spec.source.pollInterval": "100ms"}, ("must be between 1s and 24h",)),
    "poll as a number": (
        {"spec.source.pollInterval": 30},
        ('spec.source.pollInterval in body must be of type string: "integer"',),
    ),
    "poll beyond all numbers": (
        {"spec.source.pollInterval": "999999999h"},
        ("spec.source.pollInterval",),
    ),
    "marker in a folder": (
        {"spec.source.readyMarker": "a/_SUCCESS"},
        ("must be the name of one object without '/', for example _SUCCESS",),
    ),
    "policy of later": (
        {"spec.versions.policy": "Newest"},
        (
            'spec.versions.policy: Unsupported value: "Newest": supported values: "Latest", "Pinned"',
        ),
    ),
    "image with a space": (
        {"spec.serving.image": "tensorflow serving"},
        ("must be an image reference without spaces",),
    ),
    "image empty": ({"spec.serving.image": ""}, ("spec.serving.image", "at least 1 chars long")),
    "replicas negative": (
        {"spec.serving.replicas": -1},
        ("spec.serving.replicas", "greater than or equal to 0"),
    ),
    "replicas as text": (
        {"spec.serving.replicas": "2"},
        ('spec.serving.replicas in body must be of type integer: "string"',),
    ),
    "memory as a list": ({"spec.serving.resources.limits": {"memory": ["1Gi"]}}, ("memory",)),
    "cpu as a fraction": ({"spec.serving.resources.limits": {"cpu": 0.5}}, ("limits.cpu",)),
    "no tags": ({"spec.serving.options.tags": []}, ("should have at least 1 items",)),
    "tag twice": (
        {"spec.serving.options.tags": ["serve", "serve"]},
        ('spec.serving.options.tags[1]: Duplicate value: "serve"',),
    ),
    "GPU share above all": (
        {"spec.serving.options.gpuMemoryFraction": "1.5"},
        ('must be a fraction from "0" to "1" as a string',),
    ),
    "GPU share as a number": (
        {"spec.serving.options.gpuMemoryFraction": 0.9},
        ("spec.serving.options.gpuMemoryFraction", "must be of type string"),
    ),
    "argument that is no flag": (
        {"spec.serving.args": ["enable_batching"]},
        ("each entry must be one flag in the form --name=value",),
    ),
    "a port of the operator's": ({"spec.serving.args": ["--rest_api_port=1"]}, (OWN_FLAG,)),
    "the same, negated": (
        {"spec.serving.args": ["--noenable_model_warmup"]},
        (OWN_FLAG, "warm-up are set under serving.options"),
    ),
    "load deadline": ({"spec.serving.loadDeadline": "5s"}, ("must be between 10s and 24h",)),
    "drain": (
        {"spec.serving.drain": "1s"},
        ("must be between 10s (routers need that long to see that a pod leaves) and 1h",),
    ),
    "pod field": (
        {"spec.serving.pod": {"serviceAccountName": "Default User"}},
        ("spec.serving.pod.serviceAccountName", OBJECT_NAME),
    ),
    "model name with a slash": (
        {"spec.modelName": "a/b"},
        ("spec.modelName", "must be a name for the URL /v1/models/NAME"),
    ),
    "dtype": (
        {"spec.gate.signatures": [{"name": "s", "inputs": {"x": {"dtype": "float"}}}]},
        ('spec.gate.signatures[0].inputs.x.dtype: Unsupported value: "float"', '"float32"'),
    ),
    "shape": (
        {
            "spec.gate.signatures": [
                {"name": "s", "inputs": {"x": {"dtype": "int8", "shape": [-2]}}}
            ]
        },
        ("shape[0]", "greater than or equal to -1"),
    ),
    "signature twice": (
        {"spec.gate.signatures": [{"name": "s"}, {"name": "s"}]},
        ('spec.gate.signatures[1]: Duplicate value: {"name":"s"}',),
    ),
    "signature without name": (
        {"spec.gate.signatures": [{"method": "Predict"}]},
        ("spec.gate.signatures[0].name: Required value",),
    ),
    "client kind": (
        {"spec.gate.compatibility.clients": ["REST"]},
        ('Unsupported value: "REST": supported values: "GRPC", "RESTColumn", "RESTRow"',),
    ),
    "no client kind": (
        {"spec.gate.compatibility.clients": []},
        ("should have at least 1 items",),
    ),
    "python ops": ({"spec.gate.ops.python": "Deny"}, ('values: "Allow", "Forbid"',)),
    "ops of a server that is not known": (
        {"spec.gate.ops.servingVersion": "2.15"},
        ('Unsupported value: "2.15"', '"2.16", "2.17", "2.18", "2.19", "2.20", "2.21"'),
    ),
    "version of the server as a number": (
        {"spec.gate.ops.servingVersion": 2.20},
        ("spec.gate.ops.servingVersion", "must be of type string"),
    ),
    "custom op with a space": (
        {"spec.gate.ops.custom": ["Zero Out"]},
        ("spec.gate.ops.custom[0]", "must be the name of an op as the graph has it"),
    ),
    "custom op twice": (
        {"spec.gate.ops.custom": ["ZeroOut", "ZeroOut"]},
        ('spec.gate.ops.custom[1]: Duplicate value: "ZeroOut"',),
    ),
    "too many custom ops": (
        {"spec.gate.ops.custom": [f"Op{i}" for i in range(65)]},
        ("spec.gate.ops.custom", "must have at most 64 items"),
    ),
    "golden request without file": (
        {"spec.gate.requests": [{"name": "iris"}]},
        ("spec.gate.requests[0].configMap: Required value",),
    ),
    "golden request twice": (
        {"spec.gate.requests": [GOLDEN, GOLDEN]},
        ('spec.gate.requests[1]: Duplicate value: {"name":"iris"}',),
    ),
    "golden file of another namespace": (
        {"spec.gate.requests": [GOLDEN | {"configMap": {"name": "prod/x", "key": "k"}}]},
        ("spec.gate.requests[0].configMap.name", OBJECT_NAME),
    ),
    "tolerance as a word": (
        {"spec.gate.requests": [GOLDEN | {"tolerance": {"absolute": "small"}}]},
        ("requests[0].tolerance.absolute", 'at least 0 as a string, for example "0.05"'),
    ),
    "tolerance below zero": (
        {"spec.gate.requests": [GOLDEN | {"tolerance": {"outputs": {"y": {"relative": "-1"}}}}]},
        ("tolerance.outputs[y].relative", 'at least 0 as a string, for example "0.05"'),
    ),
    "agreement without requests": (
        {"spec.gate.agreement": {"maxDifference": "0.05"}},
        ("agreement compares answers to the golden requests: set requests",),
    ),
    "agreement on a request that is not there": (
        {
            "spec.gate.requests": [GOLDEN],
            "spec.gate.agreement": {"maxDifference": "0.05", "requests": ["iriss"]},
        },
        ("agreement.requests must hold names of requests",),
    ),
    "agreement without a limit": (
        {"spec.gate.requests": [GOLDEN], "spec.gate.agreement": {}},
        ("spec.gate.agreement.maxDifference: Required value",),
    ),
    "bytes that are no quantity": (
        {"spec.gate.budgets": {"bytes": "20 gigabytes"}},
        ("spec.gate.budgets.bytes", "must be a number of bytes such as 500Mi or 20Gi"),
    ),
    "no bytes": ({"spec.gate.budgets": {"bytes": 0}}, ("such as 500Mi or 20Gi",)),
    "less than no bytes": ({"spec.gate.budgets": {"bytes": "-1Gi"}}, ("such as 500Mi or 20Gi",)),
    "no objects": ({"spec.gate.budgets": {"objects": 0}}, ("greater than or equal to 1",)),
    "load time of a week and more": (
        {"spec.gate.budgets": {"loadTime": "200h"}},
        ("must be between 1s and 168h",),
    ),
    "first request without requests": (
        {"spec.gate.budgets": {"firstRequest": "2s"}},
        ("budgets.firstRequest is the time of the first golden request: set requests",),
    ),
    "mirror of everything twice": (
        {"spec.rollout.mirror": {"percent": 101, "hold": "5m"}},
        ("spec.rollout.mirror.percent", "less than or equal to 100"),
    ),
    "mirror of nothing": (
        {"spec.rollout.mirror": {"percent": 0, "hold": "5m"}},
        ("spec.rollout.mirror.percent", "greater than or equal to 1"),
    ),
    "mirror without a time": (
        {"spec.rollout.mirror": {"percent": 10}},
        ("spec.rollout.mirror.hold: Required value",),
    ),
    "mirror for no time": (
        {"spec.rollout.mirror": {"percent": 10, "hold": "0s"}},
        ("spec.rollout.mirror.hold", "must be between 1s and 168h"),
    ),
    "sticky by a header in upper case": (
        {"spec.traffic": {"sticky": {"header": "X-User-Id"}}},
        ("spec.traffic.sticky.header", "must be the name of a header in lower case"),
    ),
    "sticky by two headers": (
        {"spec.traffic": {"sticky": {"header": "x-user-id, x-tenant"}}},
        ("must be the name of a header in lower case",),
    ),
    "sticky by nothing": (
        {"spec.traffic": {"sticky": {}}},
        ("spec.traffic.sticky.header: Required value",),
    ),
    "sticky by cookies": (
        {"spec.traffic": {"sticky": {"header": "cookie"}}},
        ("must be a header that clients set to name their user, such as x-user-id",),
    ),
    "sticky by a header of the router": (
        {"spec.traffic": {"sticky": {"header": "x-envoy-attempt-count"}}},
        ("not cookie, host, or one that belongs to the connection or the router",),
    ),
    "weight of 0": (
        {"spec.rollout.steps": [{"weight": 0}]},
        ("spec.rollout.steps[0].weight", "greater than or equal to 1"),
    ),
    "weight of 100": (
        {"spec.rollout.steps": [{"weight": 100}]},
        ("spec.rollout.steps[0].weight", "less than or equal to 99"),
    ),
    "weights that fall": (
        {"spec.rollout.steps": [{"weight": 50}, {"weight": 10}]},
        ("weights must rise from step to step; 100 is implied after the last one",),
    ),
    "weight twice": ({"spec.rollout.steps": [STEP, STEP]}, ("weights must rise",)),
    "step without weight": (
        {"spec.rollout.steps": [{"hold": "5m"}]},
        ("spec.rollout.steps[0].weight: Required value",),
    ),
    "hold of a month": (
        {"spec.rollout.steps": [{"weight": 5, "hold": "720h"}]},
        ("must be at most 168h; use pause: true to wait for a person",),
    ),
    "too many steps": (
        {"spec.rollout.steps": [{"weight": w} for w in range(1, 22)]},
        ("spec.rollout.steps: Too many: 21: must have at most 20 items",),
    ),
    "deadline": ({"spec.rollout.deadline": "1s"}, ("must be between 10s and 168h",)),
    "scale-down delay": ({"spec.rollout.scaleDownDelay": "169h"}, ("must be at most 168h",)),
    "analysis without a limit": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"minRequests": 50}},
        ("set at least one limit: maxServerErrorRate, maxClientErrorIncrease, maxLatency or",),
    ),
    "analysis without steps": (
        {"spec.rollout.analysis": {"maxServerErrorRate": "1%"}},
        (
            "analysis compares the candidate with stable while both carry requests: set steps or mirror",
        ),
    ),
    "error rate of a source without errors": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {"source": "ServingMetrics", "maxServerErrorRate": "1%"},
        },
        ("TensorFlow Serving counts probes among its requests: leave maxServerErrorRate",),
    ),
    "client errors of a source without errors": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                "source": "ServingMetrics",
                "maxClientErrorIncrease": "1%",
                "maxLatency": {"p99": "1s"},
            },
        },
        ("source: ServingMetrics knows latencies only", "or use source: Router"),
    ),
    "queries without their source": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {"maxServerErrorRate": "1%", "queries": [QUERY]},
        },
        ("prometheus and queries are set together with source: Prometheus",),
    ),
    "source without queries": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {**PROMETHEUS, "queries": []}},
        ("spec.rollout.analysis.queries in body should have at least 1 items",),
    ),
    "source without an address": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {"source": "Prometheus", "queries": [QUERY]},
        },
        ("prometheus and queries are set together with source: Prometheus",),
    ),
    "limits of the router for queries": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {**PROMETHEUS, "maxLatency": {"p99": "1s"}},
        },
        (
            "put maxServerErrorRate, maxClientErrorIncrease, maxLatency and maxLatencyRatio into queries",
        ),
    ),
    "query without a bound": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {**PROMETHEUS, "queries": [{"name": "a", "query": "up"}]},
        },
        ("set max, min or both",),
    ),
    "query with crossed bounds": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "queries": [{**QUERY, "min": "2", "max": "1.5e0"}],
            },
        },
        ("min must not be above max",),
    ),
    "bound of a query with a unit": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {**PROMETHEUS, "queries": [{**QUERY, "max": "1%"}]},
        },
        ("must be a number as a string",),
    ),
    "two queries of one name": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {**PROMETHEUS, "queries": [QUERY, QUERY]},
        },
        ("Duplicate value",),
    ),
    "more queries than anybody reads": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "queries": [{**QUERY, "name": f"q{n}"} for n in range(11)],
            },
        },
        ("Too many: 11: must have at most 10 items",),
    ),
    "unknown variable of a query": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "queries": [{**QUERY, "query": "up{a='{{ nmae }}'}"}],
            },
        },
        ("variables are {{ name }}, {{ namespace }}, {{ model }}",),
    ),
    "variable of Argo": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "queries": [{**QUERY, "query": "up{a='{{args.name}}'}"}],
            },
        },
        ("anything else in double braces is none",),
    ),
    "address of Prometheus with a query": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "prometheus": {"address": "http://p:9090/graph?g0=up"},
            },
        },
        ("must be http(s)://HOST[:PORT] with at most a path",),
    ),
    "address of Prometheus with a password": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "prometheus": {"address": "http://me:secret@p:9090"},
            },
        },
        ("must be http(s)://HOST[:PORT] with at most a path",),
    ),
    "address of Prometheus that climbs": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "prometheus": {"address": "http://p/a/../../b"},
            },
        },
        ("must be http(s)://HOST[:PORT] with at most a path",),
    ),
    "rate as a bare number": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"maxServerErrorRate": "1"}},
        ('must be a percentage from "0%" to "100%"',),
    ),
    "rate above all": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"maxServerErrorRate": "101%"}},
        ('must be a percentage from "0%" to "100%"',),
    ),
    "unknown quantile": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"maxLatency": {"p98": "1s"}}},
        ("must name quantiles: p50, p90, p95, p99 or p99.9",),
    ),
    "no time at all": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"maxLatency": {"p99": "0s"}}},
        ("must be between 1ms and 1h",),
    ),
    "ratio below 1": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {"maxLatencyRatio": {"p99": "0.5"}},
        },
        ("must be a number of at least 1 as a string",),
    ),
    "pinned without a version": (
        {"spec.versions.policy": "Pinned"},
        ("set versions.pinned.number with policy: Pinned",),
    ),
    "a version without pinning": (
        {"spec.versions.pinned": {"number": 3}},
        ("leave versions.pinned out with policy: Latest",),
    ),
    "overwritten versions ignored": (
        {"spec.versions.onOverwrite": "Ignore"},
        ('spec.versions.onOverwrite: Unsupported value: "Ignore"', '"Alert", "Rollout"'),
    ),
    "more kept than are needed": (
        {"spec.versions.keep": 6},
        ("spec.versions.keep", "less than or equal to 5"),
    ),
    "pinned to a negative number": (
        {"spec.versions": {"policy": "Pinned", "pinned": {"number": -1}}},
        ("spec.versions.pinned.number", "greater than or equal to 0"),
    ),
    "pinned to half a fingerprint": (
        {
            "spec.versions": {
                "policy": "Pinned",
                "pinned": {"number": 1, "fingerprint": "sha256:ab"},
            }
        },
        ("must be sha256: and 64 hexadecimal digits, as in status.versions",),
    ),
    "capacity of later": (
        {"spec.rollout.capacity": "BlueGreen"},
        ('Unsupported value: "BlueGreen"',),
    ),
    "one pod replaced by one": (
        {"spec.rollout.capacity": "Replace"},
        ("would leave no ready pod of one: set serving.replicas to 2 or more",),
    ),
    "one given pod replaced by one": (
        {"spec.rollout.capacity": "Replace", "spec.serving.replicas": 1},
        ("capacity: Surge (one pod more meanwhile) or Recreate (downtime)",),
    ),
    "steps without two revisions": (
        {"spec.rollout": {"capacity": "Recreate", "steps": [STEP]}},
        ("leave steps out, or write capacity: Surge or Replace",),
    ),
    "a mirror without a pod to spare": (
        {
            "spec.serving.replicas": 2,
            "spec.rollout": {"capacity": "Replace", "mirror": {"percent": 10, "hold": "1m"}},
        },
        ("leave mirror out, or write capacity: Surge",),
    ),
    "replacing what an autoscaler scales": (
        {
            "spec.rollout.capacity": "Replace",
            "spec.serving.autoscaling": {"minReplicas": 2, "maxReplicas": 4},
        },
        ("need a fixed number of pods: set serving.replicas",),
    ),
    "recreating what an autoscaler scales": (
        {"spec.rollout.capacity": "Recreate", "spec.serving.autoscaling": {"maxReplicas": 4}},
        ("need a fixed number of pods: set serving.replicas",),
    ),
    "keeping without room": (
        {"spec.rollout.capacity": "Recreate", "spec.versions.keep": 1},
        ("leaves no room for them: set keep: 0",),
    ),
    "agreement with a stable that is stopped": (
        {
            "spec.rollout.capacity": "Recreate",
            "spec.gate": {"requests": [GOLDEN], "agreement": {"maxDifference": "0.1"}},
        },
        ("leave agreement out, or write capacity: Surge or Replace",),
    ),
    "provider of later": (
        {"spec.traffic.provider": "Gateway"},
        ('Unsupported value: "Gateway": supported values: "Router"',),
    ),
    "no router": (
        {"spec.traffic.router.replicas": 0},
        ("spec.traffic.router.replicas", "greater than or equal to 1"),
    ),
}


def manifest(changes: dict[str, Any]) -> dict[str, Any]:
    """GOOD with `changes` laid over it."""
    whole = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = whole
        for name in parents:
            node = node.setdefault(name, {})
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    return whole
