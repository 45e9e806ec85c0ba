"""How many pods under an autoscaler: the base of a rollout, the floor, and who writes the number."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from savedmodel_operator.api import names
from savedmodel_operator.api.types import Autoscaling
from savedmodel_operator.plan.children import RevisionView
from savedmodel_operator.plan.memory import Candidate, Memory, Stable, write_candidate
from savedmodel_operator.plan.memory import read as read_memory
from savedmodel_operator.plan.scale import find_floor, take_base, wanted_replicas, written_replicas
from savedmodel_operator.plan.snapshot import Observed

LIMITS = Autoscaling(max_replicas=10, min_replicas=2)
STABLE = Stable(1, "sha256:1", "m-v1-aaaaaaaa", 10.0)


def view(scale, minimum=None, manager=names.MANAGER, desired=None):
    """Stable's objects; `minimum`: its autoscaler's minReplicas."""
    body = {"spec": {"minReplicas": minimum}, "status": {"desiredReplicas": desired}}
    managers = {} if manager is None else {"spec.replicas": manager}
    return RevisionView(
        STABLE.revision,
        deployment=None
        if scale is None
        else Observed(
            "Deployment", STABLE.revision, "d", "1", {"spec": {"replicas": scale}}, managers
        ),
        autoscaler=None
        if minimum is None
        else Observed("HorizontalPodAutoscaler", STABLE.revision, "h", "1", body),
    )


def world(stable, limits=LIMITS, replicas=3):
    serving = SimpleNamespace(autoscaling=limits)
    spec = SimpleNamespace(serving=serving, replicas=limits.min_replicas if limits else replicas)
    return SimpleNamespace(snapshot=SimpleNamespace(spec=spec), revision=lambda _: stable)


def memory(base=None, weight=0, tried=True):
    candidate = Candidate(2, "sha256:2", "m-v2-aaaaaaaa", 20.0, weight=weight, base=base)
    return Memory(stable=STABLE, candidate=candidate if tried else None)


@pytest.mark.parametrize(
    ("scale", "base", "weight", "taken"),
    [
        (4, None, 0, 4),  # a rollout begins
        (4, 4, 25, 4),
        (2, 4, 25, 4),  # scaled in while the floor was on its way
        (5, 4, 0, 5),
        (5, 4, 25, 7),  # 5 pods for three quarters of the load
        (5, 4, 50, 10),
        (5, 4, 90, 50),  # bounded by maxReplicas where it is used
        (5, 4, 100, 5),
    ],
)
def test_the_base_is_the_count_at_the_start_and_grows_with_stables_share(
    scale, base, weight, taken
):
    held = memory(base, weight)
    assert take_base(world(view(scale, 2)), held, held.candidate).base == taken


def test_there_is_no_base_without_an_autoscaler_or_a_stable_revision():
    held = memory(4)
    assert take_base(world(view(4), limits=None), held, held.candidate).base is None
    first = Memory(candidate=held.candidate)
    assert take_base(world(view(4)), first, held.candidate).base is None


@pytest.mark.parametrize(
    ("limits", "scale", "base", "wanted"),
    [
        (None, 7, 5, 3),  # spec.serving.replicas
        (LIMITS, 7, 5, 5),  # a rollout's base
        (LIMITS, 7, 50, 10),
        (LIMITS, 7, 1, 2),
        (LIMITS, 7, None, 7),  # as it is
        (LIMITS, 20, None, 10),
        (LIMITS, 0, None, 2),
    ],
)
def test_what_the_object_wants(limits, scale, base, wanted):
    assert (
        wanted_replicas(world(view(scale), limits), memory(base, tried=base is not None)) == wanted
    )


def test_the_first_revision_begins_with_the_least():
    assert wanted_replicas(world(view(None)), Memory()) == 2


def test_a_lost_deployment_comes_back_as_its_autoscaler_last_wanted_it():
    assert wanted_replicas(world(view(None, 2, desired=6)), memory(tried=False)) == 6


@pytest.mark.parametrize(
    ("stable", "base", "settling", "floor"),
    [
        (view(6, 2), 6, True, 6),  # a rollout runs
        (view(6, 2), 50, True, 10),  # never above maxReplicas
        (view(6), None, True, 6),  # promoted with 6
        (view(8, 6), None, True, 6),  # grown since
        (view(8, 6), None, False, 2),  # over
        (view(6), None, False, 2),
    ],
)
def test_the_floor_holds_until_the_rollout_is_over(stable, base, settling, floor):
    held = memory(base, tried=base is not None)
    assert find_floor(world(stable), held, LIMITS, settling) == floor


@pytest.mark.parametrize(
    ("stable", "written"),
    [
        (view(4), 3),  # no autoscaler: what is wanted
        (view(4, 2), 4),  # nobody else owns the field yet: as it is, but not left out
        (view(4, 2, manager=None), 4),
        (view(4, 2, manager="kube-controller-manager"), None),
        (view(0, 2, manager="kubectl"), 3),  # an autoscaler is switched off by 0
        (view(None, 2), 3),
    ],
)
def test_who_writes_the_number(stable, written):
    assert written_replicas(stable, 3) == written


@pytest.mark.parametrize("base", [None, 0, 7])
def test_the_base_survives_a_restart(base):
    stored = {"candidate": write_candidate(memory(base).candidate)}
    assert read_memory(stored).candidate.base == base
