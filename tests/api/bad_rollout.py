"""Bad rollouts: steps, mirror, capacity, who is dealt out, what is pinned; see `bad_manifests`."""

from __future__ import annotations

from api.good_manifest import GOLDEN, STEP, Case

ROLLOUT: dict[str, Case] = {
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
