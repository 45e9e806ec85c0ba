"""The manifests of demo and cluster tests fit what they are used with."""

from pathlib import Path

from lab import objects, recipes
from savedmodel_operator.gate.ops import serving_version

ROOT = Path(__file__).resolve().parents[3]


def test_the_gate_is_told_the_stand_ins_tensorflow():
    pins = (ROOT / "dev/requirements/serving.in").read_text().splitlines()
    [pinned] = [line for line in pins if line.startswith("tensorflow-cpu==")]
    assert pinned.startswith(f"tensorflow-cpu=={objects.RUNTIME}.")
    image = recipes.image("tensorflow-serving-compatible").reference
    assert serving_version(image) is None, "then the tag would say it"
