"""`dev/demo`: the product's main job, shown from nothing on a fresh machine.

    cluster → images → S3 server → operator → models → v1 serves → v2 promoted step by step under
    REST and gRPC clients → v3 refused → a new serving flag rolled out the same way → v4 fails a
    share of its requests, v5 turns slow, both taken back → summary

Neighbours: every room of the laboratory; `demo_acts` is what happens under traffic, `demo_view`
shows, `demo_report` has the tables. Ends with 0 only if all of it happened and no request failed
but some of v4's. Must not help the operator along.
"""

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from rich.console import Console

from lab import able, demo_acts, diagnose, install, objects, provider, samples, uploads
from lab.clients import Transport
from lab.demo_acts import NAME, NAMESPACE, PATIENCE, PREFIX, Demo
from lab.demo_report import (
    Outcome,
    client_table,
    rollback_table,
    split_table,
    splits,
    summary_table,
)
from lab.demo_view import View
from lab.errors import LabError
from lab.follow import Follower
from lab.instance import Instance, current
from lab.kube import Kube
from lab.load import Load, Stream
from lab.objects import BUCKET
from lab.progress import console, step
from lab.questions import FlowersQuestion

#: Requests per second and client: steady, and little beside two cores.
RATE = 15.0


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
            demo_acts.serve_first(demo)
            question = FlowersQuestion()
            streams = [Stream(t.value, t, question, RATE) for t in (Transport.REST, Transport.GRPC)]
            with Load(_address(kube), streams) as load:
                view.show(follower.story, load.record)
                demo_acts.play(demo, load)
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
    for sentence in outcome.said:
        out.print(f"\nIn full: {sentence}", markup=False)
    out.print()
    out.print(split_table(splits(follower.story, record, first, outcome.good_until)))
    out.print()
    out.print(rollback_table(outcome.rollbacks))
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
