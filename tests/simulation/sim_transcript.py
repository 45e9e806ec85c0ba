"""A story told as a page for people: what happened in the world, what the operator wrote and said.

Played in a calm world, so that the page shows the rule and not the trouble. Neighbours: `sim_play`
has the terser transcript of a failing run. Must not change the world that it watches.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator

from savedmodel_operator.api import names
from simulation.sim_actors import is_ready
from simulation.sim_clock import START
from simulation.sim_invariants import quiesces, watch
from simulation.sim_scenarios import make
from simulation.sim_stories import EVERY
from simulation.sim_world import World

SEED = 7
WIDTH = 112
SENTENCE, WRITE, OTHERS = re.compile(r"([A-Z]\w+): (.*)"), re.compile(r" +\d+ (.*)"), "> "


class Recorder:
    """Asked after every event, as an invariant is; keeps what is new."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str, str]] = []  # time, who, what
        self.read = self.told = 0
        self.said = self.shown = ""
        self.pods: dict[str, str] = {}
        self.carried = ""

    def __call__(self, world: World) -> None:
        """What is new in the world, then what the operator made of it."""
        for name, what in self._pods(world):
            if self.pods.get(name) != what:
                self._add(world, "world", f"{name}: {what}")
                self.pods[name] = what
        self._notes(world)
        self._routers(world)
        for reason, message in world.events[self.told :]:
            self._add(world, "event", f"{reason}: {message}")
        self.told = len(world.events)
        self._status(world)

    def _add(self, world: World, who: str, what: str) -> None:
        at = world.now - START
        if who == "writes" and self.lines and self.lines[-1][:2] == (at, who):
            before = self.lines.pop()[2]
            what = before if before.endswith(what) else f"{before}; {what}"
        self.lines.append((at, who, what))

    def _pods(self, world: World) -> Iterator[tuple[str, str]]:
        found: dict[str, list[str]] = {}
        for pod in world.api.of_kind("Pod"):
            labels = pod["metadata"]["labels"]
            whose = labels.get(names.LABEL_REVISION, "routers")
            found.setdefault(whose, []).append(_state(pod))
        for whose in sorted({*found, *self.pods}):
            states = found.get(whose, [])
            counts = [f"{states.count(s)} {s}" for s in sorted(set(states))]
            yield whose, "pods " + ", ".join(counts) if counts else "no pods"

    def _notes(self, world: World) -> None:
        for line in world.transcript[self.read :]:
            text = line[10:]
            if text.startswith(OTHERS):
                self._add(world, "world", text.removeprefix(OTHERS))
            elif write := WRITE.fullmatch(text):
                if write[1] != "status":
                    self._add(world, "writes", write[1])
            elif sentence := SENTENCE.fullmatch(text):
                if text != self.said:
                    self._add(world, "plan", f"{sentence[2]} ({sentence[1]})")
                self.said = text
            else:
                self._add(world, "world", text.removeprefix("  ! "))
        self.read = len(world.transcript)

    def _routers(self, world: World) -> None:
        routers = [p["metadata"]["name"] for p in world.routers.pods()]
        known = {n: world.routers.carried[n] for n in routers if n in world.routers.carried}
        routes = {tuple(c.weights.items()) for c in known.values()}
        if len(routes) == 1 and len(known) == len(routers):
            route = ", ".join(f"{k} {v} %" for k, v in routes.pop()) or "nothing"
            if route != self.carried:
                self._add(world, "world", f"every router carries {route}")
            self.carried = route

    def _status(self, world: World) -> None:
        if ("SavedModelDeployment", "flowers") not in world.api.objects:
            return
        status = world.status
        text = f"{status.get('phase', '')}: {status.get('message', '')}"
        if status.get("next"):
            text += f". Next: {status['next']}"
        if "phase" in status and text != self.shown:
            self._add(world, "status", text)
            self.shown = text


def _state(pod: dict[str, object]) -> str:
    meta, status = pod["metadata"], pod["status"]
    assert isinstance(meta, dict)
    assert isinstance(status, dict)
    if "deletionTimestamp" in meta:
        return "leaving"
    if is_ready(pod):
        return "ready"
    return "crashing" if "containerStatuses" in status else "starting"


def page(name: str) -> str:
    """The story as Markdown."""
    world, recorder, story = make(SEED), Recorder(), EVERY[name]
    watch(world)
    world.duties.append(recorder)
    story(world)
    quiesces(world)
    title = name.replace("_", " ").capitalize()
    about = re.sub(r"\s+", " ", inspect.getdoc(story) or "")
    body = "\n".join(_line(*line) for line in recorder.lines)
    return f"# {title}\n\n{about}\n\n```text\n{body}\n```\n"


def _line(at: float, who: str, what: str) -> str:
    head = f"{at:8.1f} s  {who:7} "
    return textwrap.fill(
        what, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )
