"""Simulated rollouts: the same seed gives the same figures, and a run that is broken off goes on."""

from __future__ import annotations

import json

from lab.curves import HEALTHY, Case, Figures, bad, draw, measure
from lab.rollout_sim import LIMITS, Plan, Version, run


def test_a_version_far_beyond_a_limit_is_caught_and_a_good_one_is_not():
    for kind in ("server errors", "client errors", "latency"):
        ending = run(100, *bad(kind, 10), 7, Plan(), LIMITS)
        assert ending.seconds is not None, kind
        assert ending.seconds <= 120, kind
    for seed in range(5):
        assert run(30, Version(), Version(), seed, Plan(), LIMITS).seconds is None


def test_the_same_seeds_end_alike():
    case = Case(10, HEALTHY["at every limit"], seed=3, runs=4)
    assert case.endings() == case.endings()


def test_what_is_known_is_not_measured_again(tmp_path, capsys):
    file = tmp_path / "figures.json"
    measure(Figures.read(file, 1), [300], runs=2, bad_runs=2)
    found = json.loads(file.read_text())
    assert [row["rate"] for row in found["healthy"]["at every limit"]] == [300]
    assert {row["missed"] for row in found["bad"]["latency x10"]} == {0}
    capsys.readouterr()
    again = Figures.read(file, 1)
    measure(again, [300], runs=2, bad_runs=2)
    assert capsys.readouterr().out == ""
    assert again.found == found
    assert Figures.read(file, 2).found["bad"] == {}
    measure(again, [300], runs=3, bad_runs=2)
    assert [line.split(": ", 1)[0] for line in capsys.readouterr().out.splitlines()] == list(
        HEALTHY
    )
    for name, pair in HEALTHY.items():
        ends = Case(300, pair, 1, 3).endings()
        gone = sum(e.seconds is not None for e in ends)
        assert again.known("healthy", name, 300) == {"rate": 300, "runs": 3, "rolledBack": gone}
    draw(found, tmp_path)
    assert "server errors" in (tmp_path / "detection.svg").read_text()
