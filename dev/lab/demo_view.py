"""The demo's live view: weights, versions, requests, failures; plain lines without a terminal.

Neighbours: `demo` tells it which phase runs, `follow` and `record` what is going on. Must not wait for
anything or decide anything.
"""

import threading
import time
from textwrap import shorten
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from lab.demo_report import blame
from lab.follow import Story
from lab.progress import duration
from lab.record import Record

#: Seconds of the present rates.
RECENT = 5.0
#: Seconds between two lines of counts without a terminal.
COUNTS = 10.0
BAR = 24
#: Characters of a sentence in one line; the whole of it is in the summary.
WIDTH = 160


class View:
    """Shows a story and a record until it is left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._title = ""
        self._story = Story()
        self._record = Record()
        self._said: tuple[object, ...] = ()
        self._counted = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="view", daemon=True)

    def show(self, story: Story, record: Record) -> None:
        """Whom to show from now on."""
        self._story, self._record = story, record

    def phase(self, title: str) -> None:
        """A new part of the demo begins."""
        self._title = title
        self._console.print(f"\n[bold]{title}[/] [dim]· {self._age()}[/]")

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, markup=False)

    def __enter__(self) -> "View":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _age(self) -> str:
        return duration(time.monotonic() - self._began)

    def _run(self) -> None:
        if not self._console.is_terminal:
            while not self._stopping.wait(0.2):
                self._line()
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while not self._stopping.wait(0.25):
                live.update(self._panel(), refresh=True)

    def _line(self) -> None:
        """What changed, and the counts now and then."""
        status = self._story.status
        weights = tuple(sorted(self._weights().items()))
        said = (status.get("message"), weights)
        if status and said != self._said:
            self._said = said
            shares = ", ".join(f"{revision} {weight} %" for revision, weight in weights)
            message = shorten(str(status.get("message", "")), WIDTH, placeholder=" …")
            self.say(f"  {self._age():>12}  {shares or 'no route yet'}: {message}")
        now = time.monotonic()
        if self._record.answers and now - self._counted >= COUNTS:
            self._counted = now
            self.say(f"  {self._age():>12}  {self._counts()}")

    def _weights(self) -> dict[str, int]:
        return self._story.routes[-1].weights if self._story.routes else {}

    def _counts(self) -> str:
        seen = self._record.summary()
        versions = ", ".join(f"version {n}: {count}" for n, count in seen.versions.items())
        return f"{seen.requests} requests, {blame(seen)} failed; {versions}"

    def _panel(self) -> Panel:
        status = self._story.status
        recent = self._record.summary(start=time.time() - RECENT)
        table = Table("revision", "weight", "", "pods", "requests/s", box=None, pad_edge=False)
        ready = {
            part["revision"]: str(part.get("readyReplicas", 0))
            for part in (status.get("stable"), status.get("candidate"))
            if part
        }
        for revision, weight in self._weights().items():
            filled = round(weight * BAR / 100)
            rate = recent.revisions.get(revision, 0) / RECENT
            bar = f"[green]{'█' * filled}[/][dim]{'·' * (BAR - filled)}[/]"
            table.add_row(revision, f"{weight} %", bar, ready.get(revision, ""), f"{rate:.0f}")
        color = "red" if self._record.summary().failed else "green"
        counts = (
            f"[{color}]{self._counts()}[/]" if self._record.answers else "[dim]no clients yet[/]"
        )
        words = f"{status.get('message', '')}\n[dim]next: {status.get('next', '')}[/]"
        title = f"{self._title} · {self._age()}"
        return Panel(Group(table, counts, words), title=title, title_align="left")
