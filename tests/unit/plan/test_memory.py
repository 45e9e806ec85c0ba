"""Memory survives the round trip through status, and what is lost is rebuilt from the records."""

from __future__ import annotations

import json

import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan import memory
from savedmodel_operator.plan.memory import Candidate, Memory, Past, Rejection, Stable


def rejection(number: int, kind: Reason = Reason.RolledBack, gate: str = "") -> Rejection:
    return Rejection(
        number,
        f"sha256:{number}",
        f"m-v{number}-00000000",
        kind,
        Reason.CrashLoop,
        "it crashed",
        7.25,
        gate,
    )


FULL = Memory(
    stable=Stable(1, "sha256:1", "m-v1-00000000", 1000.5),
    candidate=Candidate(
        2,
        "sha256:2",
        "m-v2-00000000",
        1001.0,
        1,
        1002.125,
        1002.5,
        full=True,
        paused=True,
        suspended=True,
        returning=True,
        live_checked=True,
        weight=10,
    ),
    rejected=(rejection(3, Reason.Rejected, "abc"),),
    history=(Past(0, "sha256:0", "m-v0-00000000", Reason.Promoted, "replaced", 999.0),),
    high_water_mark=4,
    last_action="abort #1",
)


def written(full: Memory) -> dict[str, object]:
    assert full.stable is not None
    assert full.candidate is not None
    return {
        "observedGeneration": 3,
        "stable": memory.write_stable(full.stable),
        "candidate": memory.write_candidate(full.candidate),
        "rejected": [memory.write_rejection(r) for r in full.rejected],
        "history": [memory.write_past(p) for p in full.history],
        "highWaterMark": full.high_water_mark,
        "lastHandledAction": full.last_action,
    }


def test_round_trip_through_json() -> None:
    assert memory.read(json.loads(json.dumps(written(FULL)))) == FULL


@pytest.mark.parametrize(
    "broken",
    [
        {"stable": "v1"},
        {"stable": {"number": "one"}},
        {"candidate": {"number": 2}},
        {"rejected": [{"number": 3, "kind": "Odd", "reason": "?"}, 5, None]},
        {"history": {"number": 1}},
        {"stable": {"number": float("inf"), "fingerprint": "f", "revision": "r"}},
        {"stable": {"number": 1, "fingerprint": [], "revision": "r"}},
        {"candidate": {"number": 2, "fingerprint": "f", "revision": {}}},
        {"rejected": [memory.write_rejection(rejection(3)) | {"message": 5}]},
    ],
)
def test_damaged_entries_are_dropped(broken: dict[str, object]) -> None:
    assert memory.read(broken) == Memory()


def test_evicted_rejections_raise_the_high_water_mark() -> None:
    full = Memory()
    for number in range(1, 13):
        full = full.reject(rejection(number))
    assert [r.number for r in full.rejected] == list(range(12, 2, -1))
    assert full.high_water_mark == 2


def test_retry_lowers_the_mark_only_for_numbers_below_it() -> None:
    full = Memory(rejected=(rejection(7),), high_water_mark=5)
    assert full.forget_rejections(7) == Memory(high_water_mark=5)
    assert full.forget_rejections(4).high_water_mark is None


def test_a_lost_status_is_rebuilt_from_the_records() -> None:
    refused = json.dumps(memory.write_rejection(rejection(3)))
    rebuilt = memory.recover(
        [
            ("m-v1-00000000", 1, "sha256:1", 10.0, None),
            ("m-v2-00000000", 2, "sha256:2", 20.0, ""),
            ("m-v3-00000000", 3, "sha256:3", None, refused),
            ("m-v4-00000000", 4, "sha256:4", None, None),
        ]
    )
    assert rebuilt.stable == Stable(2, "sha256:2", "m-v2-00000000", 20.0)
    assert rebuilt.rejected == (rejection(3),)
    assert rebuilt.candidate is None
    assert rebuilt.last_action is None


@pytest.mark.parametrize(
    "damaged", ["{", "[" * 100_000, '{"number": 1e999, "fingerprint": "f", "revision": "r"}']
)
def test_a_damaged_rejection_hides_no_other_record(damaged: str) -> None:
    records = [("m-v2-0", 2, "sha256:2", 20.0, ""), ("m-v3-0", 3, "sha256:3", None, damaged)]
    assert memory.recover(records) == Memory(stable=Stable(2, "sha256:2", "m-v2-0", 20.0))


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "soon", ""]
)
def test_a_time_that_could_not_be_written_again_is_none(text: str) -> None:
    assert memory.unix(text) is None


@pytest.mark.parametrize(
    ("status", "lost"),
    [
        ({}, True),
        ({"observedGeneration": -1}, True),
        ({"observedGeneration": 2, "lastHandledAction": ""}, False),
    ],
)
def test_when_a_status_counts_as_lost(status: dict[str, object], lost: bool) -> None:
    assert memory.is_lost(status) is lost
