"""The mirror step in what is stored, asked for and written: before the first step, and seldom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from savedmodel_operator.api import action
from savedmodel_operator.api.mirror import MIRROR_STEP
from savedmodel_operator.plan import memory
from savedmodel_operator.plan.memory import Candidate
from savedmodel_operator.plan.routing import encode_weights
from savedmodel_operator.workload.route import Backend, Mirror, RoutePlan

CANDIDATE = Candidate(2, "sha256:2", "flowers-v2-aaaaaaaa", since=100.0, progress_since=100.0)


def stored(candidate: Candidate) -> dict[str, Any]:
    return memory.write_candidate(candidate)


def again(body: dict[str, Any]) -> Candidate:
    found = memory.read({"candidate": body, "lastHandledAction": ""}).candidate
    assert found is not None
    return found


@pytest.mark.parametrize(("step", "mirror"), [(MIRROR_STEP, 0), (MIRROR_STEP, 10), (0, 0), (3, 0)])
def test_the_step_is_remembered(step: int, mirror: int) -> None:
    candidate = replace(CANDIDATE, step=step, mirror=mirror)
    assert again(stored(candidate)) == candidate


def test_a_status_of_before_is_beyond_the_mirror_and_stays_as_it_is() -> None:
    body = stored(replace(CANDIDATE, step=1, weight=25))
    assert "mirror" not in body
    assert (again(body).step, again(body).mirror) == (1, 0)
    del body["step"]
    assert again(body).step == 0


@pytest.mark.parametrize("step", [-2, -100])
def test_no_step_is_before_the_mirror(step: int) -> None:
    assert again({**stored(CANDIDATE), "step": step}).step == MIRROR_STEP


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("promote mirror", action.Action(action.Verb.Promote, None, MIRROR_STEP)),
        ("promote v2 mirror #1", action.Action(action.Verb.Promote, "v2", MIRROR_STEP)),
        ("pause v2 0", action.Action(action.Verb.Pause, "v2", 0)),
    ],
)
def test_an_action_names_the_step(text: str, wanted: action.Action) -> None:
    assert action.parse(text) == wanted


@pytest.mark.parametrize("text", ["promote -1", "promote mirror mirror", "promote 0 mirror"])
def test_it_has_one_name_and_is_named_once(text: str) -> None:
    assert "is neither an identity" in str(action.parse(text))


def test_the_written_route_names_copies_where_there_are_some() -> None:
    backends = (Backend("a", 1, 100), Backend("b", 2, 0))
    plain = RoutePlan("flowers", "shop", "flowers", backends, "a", "b")
    assert encode_weights(plain) == '{"weights": {"a": 100, "b": 0}}'
    copied = replace(plain, mirror=Mirror("b", 10))
    assert encode_weights(copied) == '{"mirror": {"b": 10}, "weights": {"a": 100, "b": 0}}'
