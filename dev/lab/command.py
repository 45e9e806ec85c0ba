"""Runs a foreign program and words its failure.

Neighbours: all rooms that start programs. A failure names the program, the log and the telling
line, because the last line of a log is often only "exit status 1". Must not retry.
"""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from lab.errors import LabError

_TELLING = re.compile(
    r"error|fatal|panic|cannot|failed|denied|no such|not found|undefined|unable|no space", re.I
)
_EMPTY_PHRASES = re.compile(r"^\s*(error:? )?(exit status \d+|make: \*\*\*.*)\s*$", re.I)


def telling_line(output: str) -> str:
    """The line of a program's output that most likely says what went wrong.

    The first line that speaks of an error, else the last one; never one that only repeats the exit
    status.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not _EMPTY_PHRASES.match(line)]
    for line in lines:
        if _TELLING.search(line):
            return line[:400]
    return lines[-1][:400] if lines else "(it printed nothing)"


def run(
    argv: Sequence[str | Path],
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    feed: str | None = None,
    timeout: float | None = None,
) -> str:
    """Run to the end and give back its stdout; with `log`, both streams go there instead.

    `env` is added to the environment. Raises LabError with the telling line and the log's path.
    """
    words = [str(word) for word in argv]
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
    try:
        finished = _execute(words, log=log, env=env, cwd=cwd, feed=feed, timeout=timeout)
    except FileNotFoundError as error:
        raise LabError(f"{words[0]} is not installed, or {cwd} is missing") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{Path(words[0]).name} did not end within {timeout} s") from error
    if finished.returncode == 0:
        return "" if log else finished.stdout
    output = log.read_text(errors="replace") if log else finished.stderr + finished.stdout
    where = f"\n  log: {log}" if log else ""
    named = words[3:] if words[0] == "nice" else words
    name = " ".join([Path(named[0]).name, *(word for word in named[1:2] if word[0] != "-")])
    raise LabError(f"{name} ended with {finished.returncode}: {telling_line(output)}{where}")


def _execute(
    words: list[str],
    *,
    log: Path | None,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    feed: str | None,
    timeout: float | None,
) -> subprocess.CompletedProcess[str]:
    full = {**os.environ, **(env or {})}
    with log.open("w") if log else nullcontext(subprocess.PIPE) as sink:
        return subprocess.run(
            words,
            check=False,
            env=full,
            cwd=cwd,
            input=feed,
            stdout=sink,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            text=True,
            timeout=timeout,
        )
