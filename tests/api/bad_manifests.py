"""Manifests that must be refused: what is changed in a good one, and what a person must read.

Each case is (path and value pairs laid over GOOD, the texts that the answer must hold). `GONE`
takes the field away. Kept as a table so that a reviewer sees rule and sentence side by side;
what concerns the rollout has tables of its own.
"""

from __future__ import annotations

from api.bad_analysis import ANALYSIS
from api.bad_rollout import ROLLOUT
from api.good_manifest import DURATION, GOLDEN, GONE, Case

NAME_RULE = "metadata.name must be a DNS label of at most 33 characters that starts with a letter"
CREDENTIALS = (
    "set exactly one of secretRef (a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) and "
    "anonymous: true (a public bucket)"
)
OWN_FLAG = "a flag that the operator sets itself"
OBJECT_NAME = "must be the name of a Kubernetes object"

SPEC: dict[str, Case] = {
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
}

CASES: dict[str, Case] = {**SPEC, **ROLLOUT, **ANALYSIS}
