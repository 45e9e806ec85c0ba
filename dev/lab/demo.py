"""`dev/demo`: the product's main job, shown from nothing on a fresh machine.

    cluster → images → S3 server → operator → models → v1 serves → v2 promoted step by step under
    REST and gRPC clients → v3 refused → a new serving flag rolled out the same way → summary

Neighbours: every room of the laboratory; `demo_view` shows, `demo_report` judges. Ends with 0 only if
all of it happened and no request failed. Must not help the operator along.
"""

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from lab import able, diagnose, install, objects, provider, samples, uploads
from lab.clients import Transport
from lab.demo_report import Outcome, Phase, client_table, split_table, splits, summary_table
from lab.demo_view import View
from lab.errors import LabError
from lab.follow import Follower, condition
from lab.instance import Instance, current
from lab.kube import SMD, Kube, Object
from lab.load import Load, Stream
from lab.objects import BUCKET, Step
from lab.progress import console, step
from lab.questions import FlowersQuestion
from lab.record import Record

NAMESPACE, NAME, PREFIX = "demo", "flowers", "demo/flowers"
STEPS = (Step(10, hold=12), Step(50, hold=8))
#: One flag of tensorflow_model_server more: the same version, another revision.
FLAG = "--tensorflow_intra_op_parallelism=1"
#: Requests per second and client: steady, and little beside two cores.
RATE = 15.0
#: Seconds. Starting two pods of the stand-in takes 15 on an idle machine of two cores.
PATIENCE = 240.0


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

    def wait(self, done: Callable[[Object], bool], what: str) -> Object:
        return self.follower.wait(done, PATIENCE, what)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--keep", is_flag=True, help="Leave everything running, clients too, until Ctrl-C.")
def main(keep: bool) -> None:
    """Show the operator's main job from nothing, with real clients; exit code 0 if all of it held."""
    try:
        sys.exit(0 if run(keep) else 1)
    except LabError as error:
        console.print(f"dev/demo: {error}", markup=False, style="red")
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("dev/demo: interrupted")
        sys.exit(130)


def run(keep: bool) -> bool:
    """The whole demo; whether every promise was kept."""
    began = time.monotonic()
    if obstacle := able.find_obstacle():
        raise LabError(obstacle)
    instance, outcome = current(), Outcome()
    was_up = provider.recorded(instance) is not None
    try:
        with _timed(outcome, "cluster"):
            provider.up(instance)
        kube = Kube(instance)
        with _timed(outcome, "images, S3 server, operator by Helm"):
            installed = install.ensure(kube, instance)
        with tempfile.TemporaryDirectory() as folder:
            models = Path(folder)
            with _timed(outcome, "sample models"):
                with step("making sample models with TensorFlow and Keras", "10 s"):
                    uploads.build(models, samples.FLOWERS)
                _prepare(kube, installed)
            _show(kube, installed, models, outcome, keep)
    finally:
        if not keep:
            _clean(instance, was_up)
    total = time.monotonic() - began
    return _conclude(outcome, total)


def _clean(instance: Instance, was_up: bool) -> None:
    """As it was before: no cluster, or one without the demo's namespace and operator."""
    if not was_up:
        provider.down(instance)
        return
    with suppress(LabError, OSError):
        Kube(instance).delete("Namespace", None, NAMESPACE)
        install.uninstall(instance)


@contextmanager
def _timed(outcome: Outcome, title: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    outcome.setup.append((title, time.monotonic() - began))


def _prepare(kube: Kube, installed: install.Installed) -> None:
    """An empty namespace and an empty prefix, whatever an earlier demo left."""
    if kube.get("Namespace", None, NAMESPACE) is not None:
        with step("removing what an earlier demo left"):
            kube.delete("Namespace", None, NAMESPACE)
            kube.wait("Namespace", None, NAMESPACE, lambda o: o is None, PATIENCE, "its end")
    client = installed.store.client()
    uploads.ensure_bucket(client, BUCKET)
    uploads.empty(client, BUCKET, PREFIX)
    kube.apply(objects.namespace(NAMESPACE), objects.secret(NAMESPACE, installed.store))


def _show(
    kube: Kube, installed: install.Installed, models: Path, outcome: Outcome, keep: bool
) -> None:
    out = _console()
    with View(out) as view, Follower(kube, NAMESPACE, NAME) as follower:
        demo = Demo(kube, installed, models, view, follower, outcome)
        try:
            _serve_first(demo)
            question = FlowersQuestion()
            streams = [Stream(t.value, t, question, RATE) for t in (Transport.REST, Transport.GRPC)]
            with Load(_address(kube), streams) as load:
                view.show(follower.story, load.record)
                _under_traffic(demo, load)
                if keep:
                    _tell(out, outcome, follower, load)
                    _until_interrupted(view)
        except LabError as error:
            view.say(diagnose.explain(kube, NAMESPACE, NAME))
            raise LabError(
                f"{error}\n(the texts above are the object, its pods and logs)"
            ) from None
    _tell(out, outcome, follower, load)


def _address(kube: Kube) -> str:
    service = kube.get("Service", NAMESPACE, NAME)
    if service is None:
        raise LabError(f"there is no Service {NAMESPACE}/{NAME}")
    return str(service["spec"]["clusterIP"])


def _serve_first(demo: Demo) -> None:
    with demo.phase("version 1 is served") as words:
        demo.view.show(demo.follower.story, Record())
        demo.upload(samples.FLOWERS[0])
        store, image = demo.installed.store, demo.installed.serving_image
        demo.kube.apply(
            objects.deployment(
                NAME, NAMESPACE, store, image, prefix=PREFIX, replicas=2, steps=STEPS
            )
        )
        demo.wait(lambda s: condition(s, "Ready") == "True", "version 1 being ready")
        words.append("serves, directory 00000001")


def _under_traffic(demo: Demo, load: Load) -> None:
    with demo.phase("clients call version 1") as words:
        time.sleep(5.0)  # not a wait for anything: five seconds of it are to be seen
        words.append("REST and gRPC")
    with demo.phase("version 2: 10 %, 50 %, 100 %") as words:
        demo.upload(samples.FLOWERS[1])
        demo.wait(lambda s: _stable(s).get("number") == 2 and _quiet(s), "version 2's promotion")
        words.append("promoted")
    with demo.phase("version 3 drops an output") as words:
        demo.upload(samples.FLOWERS[2])
        status = demo.wait(lambda s: _refusal(s, 3) is not None, "version 3's refusal")
        words.append("refused, no pod started")
        demo.outcome.refusal = str(_refusal(status, 3))
        demo.view.say(f"  {demo.outcome.refusal}")
        pods = demo.kube.list("Pod", NAMESPACE, "savedmodel.dev/version=3")
        demo.outcome.check(not pods, f"version 3 was refused and yet got {len(pods)} pods")
    with demo.phase(f"new flag {FLAG}") as words:
        former = _stable(demo.follower.story.status)["revision"]
        demo.kube.patch(SMD, NAMESPACE, NAME, {"spec": {"serving": {"args": [FLAG]}}})
        status = demo.wait(
            lambda s: _stable(s).get("revision") != former and _quiet(s), "the new revision"
        )
        words.append(f"{former} → {_stable(status)['revision']}")
    with demo.phase("clients call the new revision"):
        time.sleep(3.0)
    _judge(demo, load)


def _judge(demo: Demo, load: Load) -> None:
    outcome, record = demo.outcome, load.record
    seen = record.summary()
    outcome.check(seen.failed == 0, seen.explain())
    outcome.check(3 not in seen.versions, "version 3 was refused and yet answered clients")
    outcome.check({1, 2} <= set(seen.versions), "not every good version answered clients")
    found = splits(demo.follower.story, record, outcome.phases[1].started, time.time())
    shares = [split.share for split in found]
    outcome.check(shares == [10, 50, 100] * 2, f"steps of 10, 50, 100 % twice, seen: {shares}")
    for split in found:
        low, high = split.bounds
        text = f"{split.hits} of {split.requests} requests at {split.share} %: not {low} to {high}"
        outcome.check(split.kept, text)


def _stable(status: Object) -> Object:
    return status.get("stable") or {}


def _quiet(status: Object) -> bool:
    """No rollout runs and the former revision is gone from the routers."""
    return condition(status, "RollingOut") == "False" and not status.get("candidate")


def _refusal(status: Object, number: int) -> str | None:
    for entry in status.get("rejected") or ():
        if entry["number"] == number:
            return str(entry["message"])
    return None


def _until_interrupted(view: View) -> None:
    view.phase("kept running: Ctrl-C ends the clients, dev/cluster down everything else")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        while not stop.wait(0.5):
            pass
    except KeyboardInterrupt:
        return


def _tell(out: Console, outcome: Outcome, follower: Follower, load: Load) -> None:
    record = load.record
    first = outcome.phases[1].started if len(outcome.phases) > 1 else 0.0
    out.print()
    out.print(summary_table(outcome, record))
    out.print(f"\nThe refusal in full: {outcome.refusal}", markup=False)
    out.print()
    out.print(split_table(splits(follower.story, record, first, outcome.phases[-1].ended)))
    out.print()
    out.print(client_table(record, [stream.name for stream in load.streams]))


def _console() -> Console:
    """Standard output; wide enough for the tables where no terminal says how wide it is."""
    wide = None if sys.stdout.isatty() else 140
    return Console(highlight=False, soft_wrap=wide is not None, width=wide)


def _conclude(outcome: Outcome, seconds: float) -> bool:
    out = _console()
    for promise in outcome.broken:
        out.print(f"not kept: {promise}", style="red", markup=False)
    word = "[red]not everything held[/]" if outcome.broken else "[green]all of it happened[/]"
    out.print(f"\n{word} · {seconds:.0f} s")
    return not outcome.broken


if __name__ == "__main__":
    main()
