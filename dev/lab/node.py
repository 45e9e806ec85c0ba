"""The processes of the native cluster: started, recognised, stopped by the pid that was recorded.

Neighbours: `components` says what to run, `native` says when. A record holds the pid together with
the process's start time, so that a pid which was used again is never taken for ours. Must not look
for processes by name.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import cache
from lab.components import Component
from lab.errors import LabError
from lab.instance import Instance

#: Seconds that a process gets to end by itself before it is killed.
GRACE = 8.0


@dataclass(frozen=True)
class Record:
    """A started process. `fingerprint` is the hash of its words and files."""

    pid: int
    started: int
    fingerprint: str


def fingerprint(component: Component) -> str:
    """What a running process must have been started with, to be left alone by `up`."""
    words = [(f"word {n}", word.encode()) for n, word in enumerate(component.argv)]
    return cache.digest([*words, *((str(path), text.encode()) for path, text in component.files)])


def start_ticks(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None if it ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name, in parentheses, may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def record_path(instance: Instance, name: str) -> Path:
    return instance.state / "processes" / f"{name}.json"


def read_record(instance: Instance, name: str) -> Record | None:
    """The last start of a component; None if it was never started or the file is half-written."""
    try:
        raw = json.loads(record_path(instance, name).read_text())
        return Record(int(raw["pid"]), int(raw["started"]), str(raw["fingerprint"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def alive(record: Record | None) -> bool:
    return record is not None and start_ticks(record.pid) == record.started


def log_path(instance: Instance, name: str) -> Path:
    return instance.logs / f"{name}.log"


def ensure(instance: Instance, component: Component, enter: Sequence[str]) -> bool:
    """Start `component` unless it runs with these very words and files. True if it was started.

    `enter` are the words that put it into the node's network namespace.
    """
    record = read_record(instance, component.name)
    wanted = fingerprint(component)
    if record and alive(record) and record.fingerprint == wanted:
        return False
    if record:
        stop([record])
    for path, text in component.files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _launch(instance, component, wanted, enter)
    return True


#: The process records itself before it becomes the component: were this done by its parent, an
#: `up` killed in between would leave a process that nobody knows of. Words: record, fingerprint,
#: command.
_RECORDING = """record=$1 fingerprint=$2; shift 2
read -r pid name state rest < /proc/$$/stat
set -- "$rest" "$@"
ticks=$(echo "$1" | cut -d ' ' -f 19); shift
printf '{"pid": %s, "started": %s, "fingerprint": "%s"}' $$ "$ticks" "$fingerprint" > "$record.tmp"
mv "$record.tmp" "$record"
exec "$@"
"""


def _launch(instance: Instance, component: Component, wanted: str, enter: Sequence[str]) -> None:
    """Start in a session of its own, so that neither Ctrl-C nor a closed terminal ends it."""
    record, log = record_path(instance, component.name), log_path(instance, component.name)
    for path in (record, log):
        path.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    words = ["setsid", "--fork", "sh", "-c", _RECORDING, "sh", str(record), wanted]
    with log.open("w") as sink:
        subprocess.run(
            [*words, *enter, *component.argv],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd="/",
            check=True,
        )
    deadline = time.monotonic() + GRACE
    while not record.exists():
        if time.monotonic() > deadline:
            raise LabError(f"{component.name} could not be started\n  log: {log}")
        time.sleep(0.01)


def records(instance: Instance) -> dict[str, Record]:
    """Every component that was ever started and not yet forgotten."""
    found = {}
    for path in sorted((instance.state / "processes").glob("*.json")):
        record = read_record(instance, path.stem)
        if record:
            found[path.stem] = record
    return found


def forget(instance: Instance) -> None:
    for path in (instance.state / "processes").glob("*.json"):
        path.unlink()


def stop(stopping: Sequence[Record], grace: float = GRACE) -> None:
    """End processes politely and together; after `grace` seconds, kill what is left."""
    _signal(stopping, signal.SIGTERM)
    if not _gone(stopping, grace):
        _signal(stopping, signal.SIGKILL)
        _gone(stopping, grace)


def kill_pids(pids: Sequence[int], grace: float = GRACE) -> list[int]:
    """Kill processes at once and wait; gives back those that did not go."""
    targets = [Record(pid, ticks, "") for pid in pids if (ticks := start_ticks(pid)) is not None]
    _signal(targets, signal.SIGKILL)
    _gone(targets, grace)
    return [target.pid for target in targets if alive(target)]


def _signal(targets: Sequence[Record], number: signal.Signals) -> None:
    for target in targets:
        if alive(target):
            try:
                os.kill(target.pid, number)
            except ProcessLookupError:
                continue


def _gone(targets: Sequence[Record], grace: float) -> bool:
    deadline = time.monotonic() + grace
    while any(alive(target) for target in targets):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


#: How Kubernetes' programs, etcd and containerd begin a line that tells of an error.
_ERROR_LINE = re.compile(r'^[EF]\d{4} |"level":"(error|fatal)"|level=(error|fatal)|^Error|^panic')


def last_words(instance: Instance, name: str) -> str:
    """The latest error in a component's log, and where the log is."""
    log = log_path(instance, name)
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "(it has no log yet)"
    telling = [line for line in lines if _ERROR_LINE.search(line)] or lines[-1:] or ["(silence)"]
    return f"{telling[-1][:400]}\n  log: {log}"
