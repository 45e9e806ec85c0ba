"""The generator of specs makes what it says it makes; `test_simulation` plays the chains."""

from __future__ import annotations

import random

import pytest

from savedmodel_operator.api.parse import InvalidSpec, parse
from simulation.sim_scenarios import SPEC
from simulation.sim_specs import change, fields, spoil

META = {"name": "flowers", "namespace": "shop", "uid": "u", "resourceVersion": "1"}


def test_what_is_drawn_is_parsed_and_what_is_spoilt_is_not() -> None:
    chance = random.Random(1)
    spec = dict(SPEC)
    for _ in range(300):
        spec = change(spec, chance)
        parse({"metadata": META, "spec": spec})
        with pytest.raises(InvalidSpec):
            parse({"metadata": META, "spec": spoil(SPEC, chance)})


def test_every_part_of_the_spec_has_its_turn() -> None:
    paths = {path for path, _ in fields()}
    assert {"rollout.steps", "serving.replicas", "gate.compatibility.mode"} <= paths
    assert not {"modelName", "source.uri"} & paths
