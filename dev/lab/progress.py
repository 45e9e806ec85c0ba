"""Tells a waiting person what is being done and for how long.

Neighbours: every slow room wraps its work in `step`. Everything goes to stderr, because stdout
belongs to data (`dev/cluster kubeconfig`). Must not decide anything.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False, soft_wrap=True)

#: Without a terminal nothing can spin, so a line is printed this often, in seconds: rarely enough
#: for a CI log, often enough that nobody thinks it hangs.
HEARTBEAT = 30.0
#: A step shorter than this, in seconds, is not worth a line.
QUIET = 0.7


def duration(seconds: float) -> str:
    """`7.4 s`, `52 s`, `6 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def note(text: str) -> None:
    """One line for the person, not for a program."""
    console.print(text, markup=False)


@contextmanager
def step(title: str, usual: str | None = None) -> Iterator[None]:
    """Show `title` and the running time until the block ends; `usual` says how long it takes."""
    start = time.monotonic()
    label = f"{title} (usually {usual})" if usual else title
    stop = threading.Event()
    ticker = threading.Thread(target=_tick, args=(label, start, stop), daemon=True)
    ticker.start()
    ended = False
    try:
        yield
        ended = True
    finally:
        stop.set()
        ticker.join()
        spent = time.monotonic() - start
        if not ended:
            console.print(f"[red]✗[/] {title} · {duration(spent)}")
        elif spent >= QUIET:
            console.print(f"[green]✓[/] {title} · {duration(spent)}")


def _tick(label: str, start: float, stop: threading.Event) -> None:
    if stop.wait(QUIET):
        return
    if console.is_terminal:
        with console.status(label) as status:
            while not stop.wait(0.5):
                status.update(f"{label} · {duration(time.monotonic() - start)}")
        return
    console.print(f"… {label}", markup=False)
    while not stop.wait(HEARTBEAT):
        console.print(f"… {label} · {duration(time.monotonic() - start)}", markup=False)
