"""The API server's time on a monotonic clock: near enough, never back, never led astray."""

import random
from email.utils import formatdate

import pytest

from savedmodel_operator.cluster.clock import MAX_SLEW, ServerClock

START = 1_800_000_000


class Machine:
    """A server's wall clock and a client's monotonic one."""

    def __init__(self):
        self.mono = 500.0
        self.wall = START + 0.7
        self.clock = ServerClock(lambda: self.mono)

    def pass_time(self, seconds):
        self.mono += seconds
        self.wall += seconds

    def ask(self, way=0.01):
        sent = self.mono
        self.pass_time(way)
        date = formatdate(int(self.wall), usegmt=True)
        self.pass_time(way)
        self.clock.observe(date, sent, self.mono)


def test_without_an_answer_there_is_no_time():
    with pytest.raises(RuntimeError):
        ServerClock(lambda: 0.0).now()


def test_one_answer_is_good_to_half_a_second_and_time_goes_on():
    machine = Machine()
    machine.ask()
    assert machine.clock.now() == pytest.approx(machine.wall, abs=0.52)
    machine.pass_time(3600)
    assert machine.clock.now() == pytest.approx(machine.wall, abs=0.52)


@pytest.mark.parametrize("seed", range(20))
def test_many_answers_keep_it_near_and_it_never_goes_back(seed):
    machine, chance = Machine(), random.Random(seed)
    last = 0.0
    for _ in range(500):
        machine.pass_time(chance.random() * 3)
        machine.ask(way=chance.random() * 0.4)
        assert machine.clock.now() == pytest.approx(machine.wall, abs=1.3)
        assert machine.clock.now() >= last
        last = machine.clock.now()


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_jumped_server_clock_ends_no_hold_early_or_late(jump):
    machine = Machine()
    machine.ask()
    began, at = machine.clock.now(), machine.mono
    machine.wall += jump
    for _ in range(150):
        machine.pass_time(2)
        machine.ask()
    elapsed = machine.mono - at
    assert machine.clock.now() - began == pytest.approx(elapsed, abs=elapsed * MAX_SLEW + 0.01)


def test_a_jumped_clock_is_followed_in_the_end():
    machine = Machine()
    machine.ask()
    machine.wall += 60
    for _ in range(4000):
        machine.pass_time(2)
        machine.ask()
    assert machine.clock.now() == pytest.approx(machine.wall, abs=1)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_no_date_is_no_answer(date):
    clock = ServerClock(lambda: 1.0)
    clock.observe(date, 0.0, 1.0)
    assert not clock.known
