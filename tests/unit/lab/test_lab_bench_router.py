"""The load of `dev/bench router` against the real processes: what it counts, and what it counts as failed."""

from __future__ import annotations

import pytest

from lab import bench_router_load
from lab.bench_router_envoy import Process, answered, pair
from lab.bench_router_load import LINES, Timing, drive


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Process, Process]:
    with pair(tmp_path_factory.mktemp("bench")) as found:
        yield found


@pytest.mark.parametrize("protocol", LINES)
def test_every_request_is_answered_directly_and_through_the_router(
    processes: tuple[Process, Process], protocol: str
) -> None:
    backend, router = processes
    before = answered(router)
    assert drive(protocol, backend.address, 100, 0.5).failed == 0
    assert answered(router) == before, "the direct way leads through the router"
    timing = drive(protocol, router.address, 100, 0.5)
    assert (len(timing.seconds), timing.failed) == (50, 0)
    assert answered(router) == before + 50
    assert router.resident > 10 * 2**20


@pytest.mark.parametrize(("name", "value"), [("REST_ANSWER", b"x" * 28), ("_CALL", b"\x83")])
def test_what_is_not_the_answer_is_a_failure(
    processes: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch, name: str, value: bytes
) -> None:
    """Another body than the one expected; a call without a path, which is refused."""
    monkeypatch.setattr(bench_router_load, name, value)
    protocol = "REST" if name == "REST_ANSWER" else "gRPC"
    assert drive(protocol, processes[1].address, 100, 0.1).failed == 10


def test_times_run_from_when_a_request_was_due() -> None:
    timing = Timing(seconds=[0.001] * 98 + [0.5] * 2)
    assert timing.quantile(0.5) == pytest.approx(0.001)
    assert timing.quantile(0.99) > 0.4
