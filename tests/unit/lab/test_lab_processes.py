"""Programs: how their failures are worded, how ours are recorded, found again and stopped."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import mounts, node
from lab.cluster import until
from lab.command import run, telling_line
from lab.components import Component
from lab.errors import LabError
from lab.instance import Instance
from lab.progress import duration


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("go: downloading x\nmain.go:7:2: undefined: foo\nexit status 1\n", "undefined: foo"),
        ("step 1\nE: Unable to locate package runk\n", "Unable to locate"),
        ("all quiet\nthen it stopped\n", "then it stopped"),
        ("error: exit status 2\nno space left on device\n", "no space left"),
        ("", "printed nothing"),
    ],
)
def test_the_telling_line_of_an_output(output: str, line: str) -> None:
    assert line in telling_line(output)


def test_a_failure_names_program_code_line_and_log(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "x.log"
    code = "print('fatal: no such bucket'); raise SystemExit(3)"
    with pytest.raises(LabError) as caught:
        run([sys.executable, "-c", code], log=log)
    words = str(caught.value)
    assert "ended with 3" in words
    assert "fatal: no such bucket" in words
    assert str(log) in words


def test_a_program_that_is_missing_is_said_to_be() -> None:
    with pytest.raises(LabError, match="no-such-program is not installed"):
        run(["no-such-program"])


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.44, "0.4 s"), (52.3, "52 s"), (365, "6 min 05 s"), (60, "1 min 00 s")]
)
def test_durations_are_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_mounts_are_released_from_the_inside_out() -> None:
    table = """\
1 0 8:1 / / rw - ext4 /dev/vda rw
2 1 0:2 / /run/savedmodel-dev rw - tmpfs tmpfs rw
3 2 0:3 / /run/savedmodel-dev/a\\040b rw - tmpfs tmpfs rw
4 1 0:4 / /run/savedmodel-dev2 rw - tmpfs tmpfs rw
"""
    found = mounts.below([Path("/run/savedmodel-dev")], table)
    assert found == ["/run/savedmodel-dev/a b", "/run/savedmodel-dev"]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance("dev", tmp_path / "state", tmp_path / "cache")
    yield made
    node.stop(list(node.records(made).values()))


def sleeper(seconds: str, text: str = "") -> Component:
    return Component("sleeper", ("sleep", seconds), None, ((Path("/dev/null"), text),))


def test_a_component_is_started_once_and_recorded_by_itself(instance: Instance) -> None:
    assert node.ensure(instance, sleeper("600"), [])
    record = node.read_record(instance, "sleeper")
    assert record
    assert node.alive(record)
    # It records itself, then becomes the component.
    words = Path(f"/proc/{record.pid}/cmdline")
    assert until(lambda: words.read_bytes() == b"sleep\x00600\x00", patience=10)
    assert os.getsid(record.pid) != os.getsid(0)
    assert not node.ensure(instance, sleeper("600"), [])
    assert node.read_record(instance, "sleeper") == record


@pytest.mark.parametrize("changed", [sleeper("601"), sleeper("600", "another file")])
def test_other_words_or_files_replace_the_process(instance: Instance, changed: Component) -> None:
    node.ensure(instance, sleeper("600"), [])
    before = node.read_record(instance, "sleeper")
    assert node.ensure(instance, changed, [])
    assert not node.alive(before)
    assert node.alive(node.read_record(instance, "sleeper"))


def test_a_process_that_ended_is_started_again(instance: Instance) -> None:
    node.ensure(instance, sleeper("600"), [])
    record = node.read_record(instance, "sleeper")
    assert record
    assert node.kill_pids([record.pid]) == []
    assert node.ensure(instance, sleeper("600"), [])


def test_a_pid_that_was_used_again_is_not_ours(instance: Instance) -> None:
    node.ensure(instance, sleeper("600"), [])
    record = node.read_record(instance, "sleeper")
    assert record
    another = node.Record(os.getpid(), record.started - 1, record.fingerprint)
    assert not node.alive(another)
    node.stop([another])  # must not end this very test


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}', "[]"])
def test_a_half_written_record_counts_as_none(instance: Instance, text: str) -> None:
    path = node.record_path(instance, "broken")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert node.read_record(instance, "broken") is None
    assert node.records(instance) == {}
