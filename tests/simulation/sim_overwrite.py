"""Stories of other bytes under a number that serves, or that is tried."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import VersionView
from simulation.sim_invariants import written_weights
from simulation.sim_restorable import condition, gone, present, serve, told, tried
from simulation.sim_scenarios import Scenario, version
from simulation.sim_world import World

OTHER, THIRD = version(1, content="b"), version(1, content="c")


def overwritten_alert(world: World) -> None:
    """Other bytes under the serving number, and others again: never taken, told once."""
    revision = serve(world)
    for content in (OTHER, THIRD):
        world.publish(content)
        world.run(lambda: condition(world, "UpToDate") == ("False", "VersionOverwritten"))
        world.settle(60)
    assert world.status["stable"]["revision"] == revision
    assert gone(world)
    assert world.status["versions"][0]["verdict"] == "Overwritten"
    assert told(world, "VersionOverwritten") <= 1
    world.publish(version(1))
    world.run(lambda: condition(world, "UpToDate")[0] == "True")
    assert condition(world, "Restorable")[0] == "True"


def overwritten_but_versioned(world: World) -> None:
    """A versioned bucket still has the locked bytes: a new flag starts them again."""
    world.bucket.versioned = True
    revision = serve(world)
    world.publish(OTHER)
    world.run(lambda: condition(world, "UpToDate") == ("False", "VersionOverwritten"))
    assert condition(world, "Restorable")[0] == "True"
    world.edit_spec(lambda s: s["serving"].update(args=["--rest_api_num_threads=4"]))
    world.run(lambda: world.status["stable"]["revision"] != revision)
    assert present(world) == version(1).fingerprint


def overwritten_rollout(world: World) -> None:
    """Other bytes under the serving number go through the steps, and the old ones end."""
    former = serve(world, onOverwrite="Rollout")
    world.publish(OTHER)
    world.run(lambda: tried(world, 10))
    assert condition(world, "Reconciling")[0] == "False", "that began in the bucket"
    world.run(lambda: [v["verdict"] for v in world.status["versions"]] == ["Candidate"])
    world.run(lambda: present(world) == OTHER.fingerprint)
    world.run(lambda: ("Deployment", former) not in world.api.objects)
    world.settle(30)
    assert condition(world, "UpToDate")[0] == "True"
    assert condition(world, "Restorable")[0] == "True"
    assert told(world, "VersionOverwritten") <= 1


def half_overwrite(world: World) -> None:
    """An overwrite that is half there is not tried; it is once it is whole."""
    revision = serve(world, onOverwrite="Rollout")
    text = "variables/variables.index is missing"
    half = replace(OTHER, reason=Reason.Incomplete, message=text, facts=None, lock=None)
    world.publish(half)
    world.run(lambda: condition(world, "UpToDate") == ("False", "VersionOverwritten"))
    world.settle(120)
    assert "candidate" not in world.status
    assert world.status["stable"]["revision"] == revision
    assert text in world.status["versions"][0]["message"]
    world.publish(OTHER)
    world.run(lambda: present(world) == OTHER.fingerprint)


def settling(found: VersionView) -> VersionView:
    """The first look at an upload."""
    text = "its listing has to be the same in the next poll"
    return replace(found, reason=Reason.Settling, message=text, facts=None, lock=None)


def overwritten_twice(world: World) -> None:
    """Overwritten again at 10 %: what is tried stays while the third bytes settle, then gives way."""
    serve(world, onOverwrite="Rollout")
    world.publish(OTHER)
    world.run(lambda: tried(world, 10))
    second = world.status["candidate"]["revision"]
    world.publish(settling(THIRD))
    world.settle(20)
    assert world.status["candidate"]["revision"] == second
    world.publish(THIRD)
    world.run(lambda: present(world) == THIRD.fingerprint)
    ended = [h["outcome"] for h in world.status["history"] if h["revision"] == second]
    assert ended == ["Superseded"]


def overwrite_undone(world: World) -> None:
    """The old bytes come back while the other ones carry 10 %: stable is what is wanted."""
    revision = serve(world, onOverwrite="Rollout")
    world.publish(OTHER)
    world.run(lambda: tried(world, 10))
    world.publish(version(1))
    world.run(lambda: written_weights(world) == {revision: 100})
    world.settle(60)
    assert world.status["stable"]["revision"] == revision
    assert not world.status["rejected"]


def overwrite_rolled_back(world: World) -> None:
    """Other bytes are taken back: not tried again, not after the old ones were there meanwhile."""
    revision = serve(world, onOverwrite="Rollout")
    world.publish(OTHER)
    world.run(lambda: tried(world, 50))
    world.act("abort")
    world.run(lambda: written_weights(world) == {revision: 100})
    world.settle(60)
    assert world.status["versions"][0]["verdict"] == "RolledBack"
    world.publish(version(1))
    world.run(lambda: condition(world, "UpToDate")[0] == "True")
    world.publish(OTHER)
    world.run(lambda: condition(world, "UpToDate") == ("False", "RolledBack"))
    world.settle(120)
    assert "candidate" not in world.status
    assert world.status["stable"]["revision"] == revision
    world.act("retry v1")
    world.run(lambda: present(world) == OTHER.fingerprint)


def overwrite_pinned(world: World) -> None:
    """A pinned number follows its bytes where that is wanted; a pinned fingerprint never does."""
    exact = {"number": 1, "fingerprint": "sha256:" + "0" * 63 + "a"}
    first = replace(version(1), fingerprint=exact["fingerprint"])
    assert first.lock is not None
    first = replace(first, lock=replace(first.lock, fingerprint=first.fingerprint))
    rollout: dict[str, Any] = {"policy": "Pinned", "onOverwrite": "Rollout"}
    world.edit_spec(lambda s: s.update(versions={**rollout, "pinned": exact}))
    world.publish(first)
    world.run(lambda: world.stable_number() == 1)
    world.publish(OTHER)
    world.settle(120)
    assert present(world) == first.fingerprint
    assert condition(world, "UpToDate")[0] == "True"
    world.edit_spec(lambda s: s.update(versions={**rollout, "pinned": {"number": 1}}))
    world.run(lambda: present(world) == OTHER.fingerprint)
    world.settle(60)
    assert condition(world, "Stalled")[0] == "False"


OVERWRITTEN: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        overwritten_alert,
        overwritten_but_versioned,
        overwritten_rollout,
        half_overwrite,
        overwritten_twice,
        overwrite_undone,
        overwrite_rolled_back,
        overwrite_pinned,
    )
}
