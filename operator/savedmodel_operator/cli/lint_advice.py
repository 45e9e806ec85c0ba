"""What a valid manifest could still do better: advice, never an error. Pure.

Each piece has a place, a fact and what to do. A new piece is one more function in `ADVISERS`.
Neighbour: `lint` shows it after the problems. Must not repeat what the schema already refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from savedmodel_operator.api.types import Spec, seconds
from savedmodel_operator.cli.manifest import Path
from savedmodel_operator.gate.inventory import VERSIONS
from savedmodel_operator.gate.ops import with_serving_version
from savedmodel_operator.plan.capacity import share_of

Advice = tuple[Path, str]


def advise(spec: Spec) -> tuple[Advice, ...]:
    """All advice for a spec that the API server would take."""
    return tuple(advice for adviser in ADVISERS for advice in adviser(spec))


def _image(spec: Spec) -> Iterator[Advice]:
    image, path = spec.serving.image, ("spec", "serving", "image")
    if "@sha256:" in image:
        return
    tag = image.rpartition("/")[2].partition(":")[2]
    if not tag or tag.startswith("latest"):
        yield (
            path,
            (
                f"{image} names no version: another image may be pulled under the same name, without "
                f"gate and steps; name a version, for example tensorflow/serving:2.20.0"
            ),
        )


def _gate(spec: Spec) -> Iterator[Advice]:
    gate = spec.gate
    if not gate.signatures:
        yield (
            ("spec", "gate", "signatures"),
            (
                "no contract: a first version is taken whatever it offers, and a change that "
                "compatibility allows is not noticed; list what clients call"
            ),
        )
    if gate.compatibility.mode == "None":
        yield (
            ("spec", "gate", "compatibility", "mode"),
            ("None: a version that breaks every client is served; write Backward"),
        )
    if gate.ops.python == "Allow":
        yield (
            ("spec", "gate", "ops", "python"),
            ("Allow: TensorFlow Serving fails every request that meets such an op"),
        )


def _ops(spec: Spec) -> Iterator[Advice]:
    if with_serving_version(spec.gate, spec.serving.image).ops.serving_version is None:
        yield (
            ("spec", "gate", "ops"),
            (
                f"the tag of {spec.serving.image} says none of TensorFlow Serving {VERSIONS[0]} to "
                f"{VERSIONS[-1]}, so a model with ops that the server lacks is only noticed when it "
                f"does not load; set servingVersion"
            ),
        )


def _rollout(spec: Spec) -> Iterator[Advice]:
    if spec.rollout.capacity == "Recreate":
        yield (
            ("spec", "rollout", "capacity"),
            (
                "Recreate: with every new version requests are answered 503 until it has loaded; "
                "Surge needs one pod more meanwhile, Replace none with two replicas or more"
            ),
        )
    elif not spec.rollout.steps:
        yield (
            ("spec", "rollout", "steps"),
            (
                "no steps: a new version gets all requests at once; for example "
                "[{weight: 5, hold: 5m}, {weight: 50, hold: 10m}]"
            ),
        )
    elif not any(step.pause or seconds(step.hold) for step in spec.rollout.steps):
        yield (
            ("spec", "rollout", "steps"),
            ("no step holds or pauses: the weights pass within seconds; give them a hold"),
        )
    yield from _shares(spec)
    deadline, load = spec.rollout.deadline, spec.serving.load_deadline
    if seconds(deadline) <= seconds(load):
        yield (
            ("spec", "rollout", "deadline"),
            (
                f"{deadline} is no longer than serving.loadDeadline ({load}): a candidate that loads "
                f"slowly would be given up while it may still load"
            ),
        )


def _shares(spec: Spec) -> Iterator[Advice]:
    """Steps that whole pods do not come close to."""
    total = spec.replicas
    if spec.rollout.capacity != "Replace" or total < 2:
        return
    small = [s.weight for s in spec.rollout.steps if s.weight * total < 100]
    if small:
        yield (
            ("spec", "rollout", "steps"),
            (
                f"{small[0]} % of {total} pods is less than one pod: with capacity: Replace the step "
                f"has one pod and {share_of(1, total)} % of the requests"
            ),
        )


def _capacity(spec: Spec) -> Iterator[Advice]:
    if spec.replicas == 1:
        yield (
            ("spec", "serving", "replicas"),
            ("one pod: a drained or lost node stops the model until another pod has loaded it"),
        )
    if spec.traffic.router.replicas == 1:
        yield (
            ("spec", "traffic", "router", "replicas"),
            ("one router: a drained or lost node stops all requests until it runs elsewhere"),
        )
    resources = spec.serving.resources
    if spec.serving.autoscaling and "cpu" not in {**resources.limits, **resources.requests}:
        yield (
            ("spec", "serving", "resources"),
            (
                "no CPU is asked for: the autoscaler aims at a share of the request and does "
                "nothing without one, unless the namespace sets a default"
            ),
        )
    if "memory" not in {**resources.limits, **resources.requests}:
        yield (
            ("spec", "serving", "resources"),
            ("no memory is asked for: the pod is the first to be evicted where memory runs short"),
        )


def _source(spec: Spec) -> Iterator[Advice]:
    endpoint = spec.source.endpoint
    if endpoint and endpoint.startswith("http://") and not spec.source.anonymous:
        yield (
            ("spec", "source", "endpoint"),
            ("http: whoever is on the way can read the models and replace them; use https"),
        )


ADVISERS: tuple[Callable[[Spec], Iterator[Advice]], ...] = (
    _source,
    _image,
    _capacity,
    _gate,
    _ops,
    _rollout,
)
