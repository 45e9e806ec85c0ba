"""Where the figures come from, in the simulated world: variations of the stories that
`test_simulation` plays, under a few seeds."""

from __future__ import annotations

import pytest

from simulation.sim_invariants import quiesces, watch
from simulation.sim_scenarios import make
from simulation.sim_sources import MORE_SOURCES


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", MORE_SOURCES)
def test_sources_under_seed(name: str, seed: int) -> None:
    world = make(seed)
    watch(world)
    MORE_SOURCES[name](world)
    quiesces(world)
