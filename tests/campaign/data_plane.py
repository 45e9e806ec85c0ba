"""Clients that never stop, and what each case cost them.

Neighbours: `cluster_shop` has the namespace, `lab.load` the clients. Every failed request has to be
claimed by a case with its reason; one that nobody claimed fails the file at its end. Must not know
what a case does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from cluster_shop import NAME, PATIENCE, Shop, is_ready, open_shop, process_of
from lab import diagnose
from lab.clients import Transport
from lab.cluster import until
from lab.kube import Object
from lab.load import Load, Stream
from lab.objects import Step
from lab.questions import Question, WideQuestion
from lab.record import Answer
from lab.samples import CALC, Sample

SERVER, ROUTER = "--model_base_path", "envoy"
"""What the command of a model server and of a router has."""

DYING = 1.0
"""Seconds after SIGKILL in which a request may still reach sockets that are about to close: the kernel
frees half a gigabyte first. Idle cores take 0.1 s."""

REFUSED = ("Connect call failed", "Connection refused")
"""A refused connect in the words of aiohttp and of gRPC."""

REDIAL = 2.0
"""Seconds for which a gRPC channel goes on failing after a refused connect, before it dials again."""

TIMEOUT = 30.0
"""Seconds until a client gives up: as long as TensorFlow Serving itself takes at most for a REST call."""

WIDE = 20_000  # numbers: 140 KB of answer, 1.5 s for a slow reader
AFTER = 40  # requests, begun after all is over, that have to be answered before a case is counted


@dataclass
class Cost:
    """The requests that ended in a case, and those of them that failed."""

    answers: list[Answer]

    @property
    def requests(self) -> int:
        return len(self.answers)

    @property
    def failed(self) -> list[Answer]:
        return [a for a in self.answers if a.failure is not None]

    @property
    def times(self) -> list[float]:
        """Seconds that the right answers took; what reads slowly on purpose left out."""
        return [a.ended - a.started for a in self.answers if not a.failure and a.client != "slow"]

    def outside(self, allowed: Callable[[Answer], bool]) -> list[Answer]:
        """The failures that nothing excuses."""
        return [answer for answer in self.failed if not allowed(answer)]

    def explain(self) -> str:
        """Every failure on a line, for an assertion's message."""
        lines = [
            f"{a.started:.1f} + {a.ended - a.started:.1f} s {a.client}: {a.failure}"
            for a in self.failed
        ]
        return "\n".join([str(self), *lines])

    def __str__(self) -> str:
        text = f"{self.requests} requests, {len(self.failed)} failed"
        if self.times:
            text += f", the slowest answer after {max(self.times):.1f} s"
        if not self.failed:
            return text
        words = Counter(f"{a.client}: {(a.failure or '')[:60]}" for a in self.failed)
        return text + " (" + "; ".join(f"{n} × {w}" for w, n in words.most_common(3)) + ")"


@dataclass
class Plane:
    """A shop under load."""

    shop: Shop
    load: Load
    claimed: set[int] = field(default_factory=set)

    def count(self, since: float, timeout: float = 0.0) -> Cost:
        """What was under way since then (Unix seconds); `timeout`: how long requests may hang."""
        over = time.time()
        record = self.load.record

        def answered() -> bool:
            later = sum(a.started > over for a in record.answers[-10 * AFTER :])
            return later >= AFTER and time.time() - over > timeout

        assert until(answered, patience=PATIENCE), "the clients stopped"
        cost = Cost([a for a in record.answers[:] if a.ended >= since])
        self.claimed |= {id(answer) for answer in cost.failed}
        return cost

    def check_claimed(self) -> None:
        """No failure is left that no case has looked at."""
        left = [a for a in self.load.record.answers if a.failure and id(a) not in self.claimed]
        assert not left, f"{len(left)} failures that no case saw; the first: {left[0]}"

    def revision(self, part: str) -> str:
        """Of "stable" or "candidate"."""
        return str(self.shop.status[part]["revision"])

    def pod(self, part: str) -> Object:
        """One of two pods of the stable, the candidate, the router."""
        if part == "router":
            self.shop.wait_pods("router", 2)
            return self.shop.pods("router")[0]
        self.shop.wait_pods("model", 2, revision=self.revision(part))
        return self.shop.pods("model", self.revision(part))[0]


Streams = tuple[Stream, ...]


def usual(question: Question) -> Streams:
    """All four kinds of client."""
    return (
        Stream("REST", Transport.REST, question, 10, timeout=TIMEOUT),
        Stream("one-shot", Transport.REST_ONE_SHOT, question, 2, timeout=TIMEOUT),
        Stream("gRPC", Transport.GRPC, question, 10, timeout=TIMEOUT),
        Stream("slow", Transport.REST_SLOW, WideQuestion(WIDE, NAME), 0.3, timeout=2 * TIMEOUT),
    )


@contextmanager
def opened(
    request: pytest.FixtureRequest,
    title: str,
    steps: tuple[Step, ...],
    sample: Sample = CALC[0],
    streams: Streams = (),
) -> Iterator[Plane]:
    """A shop for the cases of one file: a version on two pods behind two routers, under load.

    `streams`: by default all four kinds of client.
    """
    kube, installed, models = (request.getfixturevalue(n) for n in ("kube", "installed", "models"))
    before = request.session.testsfailed
    with open_shop(kube, installed, models, title) as shop:
        shop.serve(sample, replicas=2, steps=steps)
        with shop.load(*(streams or usual(shop.question))) as load:
            plane = Plane(shop, load)
            yield plane
            if request.session.testsfailed > before:
                sys.stdout.write(diagnose.explain(kube, shop.namespace, NAME))
        plane.check_claimed()


def kill(pod: Object, word: str) -> float:
    """SIGKILL to its process; when (Unix seconds)."""
    pid = process_of(pod, word)
    at = time.time()
    os.kill(pid, signal.SIGKILL)
    return at


def wait_restarted(shop: Shop, pod: Object) -> None:
    """Until its container runs again and it is ready."""
    before, name = restarts(pod), pod["metadata"]["name"]

    def done() -> bool:
        now = shop.kube.get("Pod", shop.namespace, name)
        return now is not None and restarts(now) > before and is_ready(now)

    assert until(done, patience=PATIENCE), f"{name} did not come back"


def restarts(pod: Object) -> int:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return sum(int(s.get("restartCount", 0)) for s in statuses)


def in_flight(at: float, dying: float = DYING) -> Callable[[Answer], bool]:
    """Whether a request was under way when a process was killed."""
    return lambda answer: answer.started <= at + dying and answer.ended >= at


def is_refused(answer: Answer) -> bool:
    """Whether nobody took the connection, so that no byte of the request reached anybody."""
    words = answer.failure or ""
    return answer.version is None and any(w in words for w in REFUSED)
