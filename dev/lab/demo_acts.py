"""The demo's acts: what is done to a served model while clients call it, and what has to come of it.

Neighbours: `demo` sets the stage and calls `serve_first` and `play`; `rollback` and `demo_report`
measure. Judges by the clients' record and by exact bounds. Must not help the operator along.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import install, objects, samples, uploads
from lab.cluster import until
from lab.demo_report import Outcome, Phase, splits
from lab.demo_view import View
from lab.follow import Follower, condition
from lab.kube import SMD, Kube, Object
from lab.load import Load
from lab.objects import BUCKET, Step
from lab.record import Record
from lab.rollback import Limit, failed, find_rollback, slower_than

NAMESPACE, NAME, PREFIX = "demo", "flowers", "demo/flowers"
STEPS = (Step(10, hold=12), Step(50, hold=8))
#: One flag of tensorflow_model_server more: the same version, another revision.
FLAG = "--tensorflow_intra_op_parallelism=1"
#: What a version must keep while it has a part of the requests; few of them, for a short demo.
LEAST = 20
ANALYSIS: Object = {
    "interval": "2s",
    "minRequests": LEAST,
    "maxServerErrorRate": "1%",
    "maxClientErrorIncrease": "2%",
    "maxLatency": {"p50": "250ms"},
}
#: Seconds. Starting two pods of the stand-in takes 15 on an idle machine of two cores.
PATIENCE = 240.0
#: Seconds from a broken limit to weight 0 on every router. The budget is 10; a machine that is busy
#: with something else is no broken promise.
AT_MOST = 30.0


@dataclass
class Demo:
    """What the parts of the demo share."""

    kube: Kube
    installed: install.Installed
    models: Path
    view: View
    follower: Follower
    outcome: Outcome

    def upload(self, sample: samples.Sample) -> None:
        """One version more in the bucket."""
        uploads.upload(self.installed.store.client(), self.models, sample, BUCKET, PREFIX)
        self.view.say(f"  uploaded s3://{BUCKET}/{PREFIX}/{sample.directory}")

    @contextmanager
    def phase(self, title: str) -> Iterator[list[str]]:
        """A part with its time; what the block appends is its outcome in the summary."""
        self.view.phase(title)
        began, words = time.time(), [""]
        yield words
        self.outcome.phases.append(Phase(title, began, time.time(), words[-1]))

    def tell(self, entry: Object | None) -> None:
        """What the operator says of a version that it did not let through."""
        sentence = str((entry or {}).get("message", ""))
        self.outcome.said.append(sentence)
        self.view.say(f"  {sentence}")

    def wait(self, done: Callable[[Object], bool], what: str) -> Object:
        return self.follower.wait(done, PATIENCE, what)


def serve_first(demo: Demo) -> None:
    with demo.phase("version 1 is served") as words:
        demo.view.show(demo.follower.story, Record())
        demo.upload(samples.FLOWERS[0])
        store, image = demo.installed.store, demo.installed.serving_image
        demo.kube.apply(
            objects.deployment(
                NAME,
                NAMESPACE,
                store,
                image,
                prefix=PREFIX,
                replicas=2,
                steps=STEPS,
                analysis=ANALYSIS,
            )
        )
        demo.wait(lambda s: condition(s, "Ready") == "True", "version 1 being ready")
        words.append("serves, directory 00000001")


def play(demo: Demo, load: Load) -> None:
    """Every act, in order."""
    with demo.phase("clients call version 1") as words:
        time.sleep(5.0)  # not a wait for anything: five seconds of it are to be seen
        words.append("REST and gRPC")
    _promote(demo)
    _refuse(demo)
    _reconfigure(demo)
    with demo.phase("clients call the new revision"):
        time.sleep(3.0)
    demo.outcome.good_until = time.time()
    _judge(demo, load)
    refuses, tires = samples.FLOWERS[3:]
    _take_back(demo, load, refuses, "refuses requests with 400", Limit(failed, 0.02, LEAST))
    slow = Limit(slower_than(0.25), 0.5, LEAST)
    _take_back(demo, load, tires, "turns slow under load", slow)
    _judge_all(demo, load)


def _promote(demo: Demo) -> None:
    with demo.phase("version 2: 10 %, 50 %, 100 %") as words:
        demo.upload(samples.FLOWERS[1])
        demo.wait(lambda s: _stable(s).get("number") == 2 and _quiet(s), "version 2's promotion")
        words.append("promoted")


def _refuse(demo: Demo) -> None:
    with demo.phase("version 3 drops an output") as words:
        demo.upload(samples.FLOWERS[2])
        status = demo.wait(lambda s: _refusal(s, 3) is not None, "version 3's refusal")
        words.append("refused, no pod started")
        demo.tell(_refusal(status, 3))
        pods = demo.kube.list("Pod", NAMESPACE, "savedmodel.dev/version=3")
        demo.outcome.check(not pods, f"version 3 was refused and yet got {len(pods)} pods")


def _reconfigure(demo: Demo) -> None:
    with demo.phase(f"new flag {FLAG}") as words:
        former = _stable(demo.follower.story.status)["revision"]
        demo.kube.patch(SMD, NAMESPACE, NAME, {"spec": {"serving": {"args": [FLAG]}}})
        status = demo.wait(
            lambda s: _stable(s).get("revision") != former and _quiet(s), "the new revision"
        )
        words.append(f"{former} → {_stable(status)['revision']}")


def _take_back(demo: Demo, load: Load, sample: samples.Sample, fault: str, limit: Limit) -> None:
    """A version that looks well from outside; only its clients' requests show what it is."""
    number, outcome = sample.number, demo.outcome
    title = f"version {number} {fault}"
    with demo.phase(title) as words:
        demo.upload(sample)
        status = demo.wait(lambda s: _refusal(s, number) is not None, f"the end of {title}")
        entry = _refusal(status, number)
        assert entry is not None
        demo.tell(entry)
        story = demo.follower.story
        done = until(lambda: find_rollback(story, load.record, entry, limit) is not None)
        outcome.check(done, f"version {number} was taken back and yet the routers know it")
        if found := find_rollback(story, load.record, entry, limit):
            outcome.rollbacks[title] = found
            quick = found.since_broken is not None and found.since_broken <= AT_MOST
            outcome.check(
                quick, f"version {number} broke its limit and was not taken back for long"
            )
            words.append(f"taken back {found.since_broken or 0:.1f} s after it broke its limit")
        outcome.check(entry["reason"] == "AnalysisFailed", str(entry["message"]))
        demo.wait(_quiet, "stable serving alone")


def _judge(demo: Demo, load: Load) -> None:
    """Of the good versions: no failure, and every step's share as it was written."""
    outcome, record = demo.outcome, load.record
    seen = record.summary()
    outcome.check(seen.failed == 0, seen.explain())
    outcome.check(3 not in seen.versions, "version 3 was refused and yet answered clients")
    outcome.check({1, 2} <= set(seen.versions), "not every good version answered clients")
    found = splits(demo.follower.story, record, outcome.phases[1].started, outcome.good_until)
    shares = [split.share for split in found]
    outcome.check(shares == [10, 50, 100] * 2, f"steps of 10, 50, 100 % twice, seen: {shares}")
    for split in found:
        low, high = split.bounds
        text = f"{split.hits} of {split.requests} requests at {split.share} %: not {low} to {high}"
        outcome.check(split.kept, text)


def _judge_all(demo: Demo, load: Load) -> None:
    """Of the bad ones: they answered clients, and no request failed but those that version 4 had."""
    seen = load.record.summary(demo.outcome.good_until)
    demo.outcome.check({4, 5} <= set(seen.versions), "not every bad version answered clients")
    demo.outcome.check(set(seen.failed_by) == {4}, f"not version 4 alone failed: {seen.explain()}")
    demo.outcome.check(
        _stable(demo.follower.story.status).get("number") == 2, "version 2 is not stable any more"
    )


def _stable(status: Object) -> Object:
    return status.get("stable") or {}


def _quiet(status: Object) -> bool:
    """No rollout runs and the former revision is gone from the routers."""
    return condition(status, "RollingOut") == "False" and not status.get("candidate")


def _refusal(status: Object, number: int) -> Object | None:
    """The entry of rejected[] for a version."""
    return next((e for e in status.get("rejected") or () if e["number"] == number), None)
