"""All named stories by name, as the tests, dev/soak and the transcripts play them."""

from __future__ import annotations

from simulation.sim_analysis import ANALYSIS
from simulation.sim_autoscaling import AUTOSCALING
from simulation.sim_mirror import MIRRORED
from simulation.sim_overwrite import OVERWRITTEN
from simulation.sim_policy import POLICY
from simulation.sim_recreate import CAPACITY
from simulation.sim_restorable import RESTORABLE
from simulation.sim_scenarios import SCENARIOS, Scenario
from simulation.sim_sources import SOURCES
from simulation.sim_specs import SPECS
from simulation.sim_trouble import TROUBLE

STORIES: dict[str, Scenario] = {**SCENARIOS, **TROUBLE, **POLICY}

EVERY: dict[str, Scenario] = {
    **STORIES,
    **ANALYSIS,
    **AUTOSCALING,
    **CAPACITY,
    **MIRRORED,
    **RESTORABLE,
    **OVERWRITTEN,
    **SOURCES,
    **SPECS,
}
"""With those that have a test file of their own."""
