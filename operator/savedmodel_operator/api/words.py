"""Sentences for people that the generated CRD carries beside `types`. Pure data.

`PATTERN_WORDS` says what to write where a pattern refuses: the API server would only quote the
regular expression, so `schema` turns each pattern into a CEL rule with these words. `FIELD_WORDS`
describes fields whose type alone does not say enough. Both are looked up by `schema` and
complete: a pattern or a field without words is an error there. Must not hold bounds or rules.
"""

from __future__ import annotations

from collections.abc import Mapping

from savedmodel_operator.api import scalars
from savedmodel_operator.api.analysis import PERCENT_PATTERN, RATIO_PATTERN
from savedmodel_operator.api.golden import DECIMAL_PATTERN
from savedmodel_operator.api.queries import NUMBER_PATTERN
from savedmodel_operator.api.sticky import HEADER_PATTERN

PATTERN_WORDS: Mapping[str, str] = {
    scalars.DURATION_PATTERN: "must be a duration in ms, s, m or h, for example 30s or 1h30m",
    r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$": (
        "must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends"
    ),
    r"^[-._a-zA-Z0-9]+$": "must be a key of the ConfigMap: letters, digits, '-', '_' and '.'",
    r"^[a-z0-9-]{1,64}$": "must be the name of a region, for example eu-west-1",
    r"^[A-Za-z0-9._-]{1,255}$": (
        "must be the name of one object without '/', for example _SUCCESS"
    ),
    r"^(0(\.[0-9]{1,4})?|1(\.0{1,4})?)$": (
        'must be a fraction from "0" to "1" as a string with at most four decimals, '
        'for example "0.9"'
    ),
    DECIMAL_PATTERN: ('must be a number of at least 0 as a string, for example "0.05" or "1e-5"'),
    PERCENT_PATTERN: (
        'must be a percentage from "0%" to "100%" as a string with at most four decimals, '
        'for example "1%" or "0.5%"'
    ),
    HEADER_PATTERN: "must be the name of a header in lower case, for example x-user-id",
    NUMBER_PATTERN: 'must be a number as a string, for example "0.01", "-3" or "1.5e3"',
    RATIO_PATTERN: 'must be a number of at least 1 as a string, for example "1.5"',
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": (
        "must be a name of lower-case letters, digits and '-', with a letter or digit at both ends"
    ),
    r"^sha256:[0-9a-f]{64}$": "must be sha256: and 64 hexadecimal digits, as in status.versions",
    r"^[^\s]+$": "must be an image reference without spaces, for example registry.example/team/image:1.2",
    r"^[A-Za-z_][A-Za-z0-9_.>/-]*$": (
        "must be the name of an op as the graph has it, for example Addons>GeluOp"
    ),
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": (
        "must be a name for the URL /v1/models/NAME: letters, digits, '.', '_' and '-', "
        "with a letter or digit first"
    ),
}
"""What a person should write, by the pattern of `types` that refuses."""

FIELD_WORDS: Mapping[str, str] = {
    "spec.traffic.sticky": (
        "Deals out users instead of requests: one sees one version while its weight does not fall. "
        "A change takes effect at once, in a running rollout too."
    ),
    "spec.source.region": "The region that requests are signed for; most S3-compatible stores take any.",
    "spec.source.caBundle.configMap": "Name of the ConfigMap.",
    "spec.source.caBundle.key": "Key in it that holds the PEM certificates.",
    "spec.source.secretRef.name": "Name of the Secret.",
    "spec.rollout.analysis.prometheus.caBundle.configMap": "Name of the ConfigMap.",
    "spec.rollout.analysis.prometheus.caBundle.key": "Key in it that holds the PEM certificates.",
    "spec.rollout.analysis.prometheus.secretRef.name": "Name of the Secret.",
    "spec.serving": (
        "How a version is run. A change of anything but replicas and autoscaling is a new "
        "revision, rolled out like a new version."
    ),
    "spec.serving.replicas": (
        "Pods of the stable revision; 1 if left out. It must be there for an autoscaler of your "
        "own, which reads it through the scale subresource."
    ),
    "spec.serving.resources.limits": "The most that the container may use, by resource.",
    "spec.serving.resources.requests": "What the scheduler sets aside for the container, by resource.",
    "spec.serving.pod.nodeSelector": "Labels that a node must have.",
    "spec.serving.pod.tolerations": "Taints that the pods tolerate.",
    "spec.serving.pod.affinity": "Scheduling preferences towards nodes and other pods.",
    "spec.serving.pod.topologySpreadConstraints": "How the pods spread over zones and nodes.",
    "spec.serving.pod.runtimeClassName": "RuntimeClass of the pods, for example one for GPUs.",
    "spec.serving.pod.priorityClassName": "PriorityClass of the pods.",
    "spec.serving.pod.schedulerName": "Another scheduler than the cluster's default.",
    "spec.serving.pod.imagePullSecrets": "Secrets for pulling the serving image.",
    "spec.serving.pod.imagePullSecrets[].name": "Name of the Secret.",
    "spec.serving.pod.serviceAccountName": (
        "ServiceAccount of the pods; its token is not mounted in any case."
    ),
    "spec.serving.pod.annotations": "Further annotations of the pods.",
    "spec.serving.pod.labels": "Further labels of the pods.",
    "spec.serving.pod.podSecurityContext": (
        "Overrides fields of the pods' security context, which is restricted by default."
    ),
    "spec.serving.pod.securityContext": (
        "Overrides fields of the serving container's security context, restricted by default."
    ),
    "spec.serving.pod.volumes": "Further volumes of the pods.",
    "spec.serving.pod.volumeMounts": "Mounts of these volumes in the serving container.",
    "spec.serving.pod.resourceClaims": "Claims of dynamic resource allocation.",
    "spec.serving.pod.dnsConfig": "DNS settings of the pods.",
    "spec.gate.signatures": "Signatures that every version must offer.",
    "spec.gate.signatures[].name": "Key of the signature, for example serving_default.",
    "spec.gate.signatures[].method": "The TensorFlow Serving API that the signature answers.",
    "spec.gate.signatures[].inputs": "Inputs that it must take, by name.",
    "spec.gate.signatures[].outputs": "Outputs that it must give, by name.",
    "spec.gate.requests[].name": "What messages and gate.agreement call it.",
    "spec.gate.requests[].configMap.name": "Name of the ConfigMap.",
    "spec.gate.requests[].configMap.key": "Key in its data or binaryData; an npz ends in .npz.",
    "spec.gate.requests[].signature": "Key of the signature that is called.",
    "spec.gate.requests[].tolerance.absolute": "Allowed whatever the size of the number.",
    "spec.gate.requests[].tolerance.relative": "Allowed in addition, times the expected number.",
    "spec.gate.requests[].tolerance.outputs.*.absolute": "Allowed whatever the size of the number.",
    "spec.gate.requests[].tolerance.outputs.*.relative": (
        "Allowed in addition, times the expected number."
    ),
    "spec.rollout.analysis.queries[].name": "What messages call it.",
    "spec.traffic.provider": "Router: an Envoy of the operator's own, exact on any cluster.",
    "spec.traffic.router.replicas": "Pods of the router.",
    "spec.traffic.router.image": "Envoy's image; if left out, the one that the operator was given.",
    "spec.traffic.router.resources.limits": "The most that a router may use, by resource.",
    "spec.traffic.router.resources.requests": "What the scheduler sets aside for a router, by resource.",
}
"""What a field means, by its path in the object; `[]` stands for the entries of a list."""
