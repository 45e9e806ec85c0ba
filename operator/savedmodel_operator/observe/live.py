"""The gate's last questions, asked to the candidate's own server before any client's.

A revision that is not stable and has a ready pod is asked for its status and metadata at the
exact version; `gate.check_live` judges the answers. The verdict of a revision is kept while the
process lives; one that could not be given is asked for again, slower and slower. Beside the
cycles: a verdict wakes the object.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.gate import Outcome, Verdict
from savedmodel_operator.observe.routers import is_serving
from savedmodel_operator.plan.snapshot import Observed
from savedmodel_operator.workload.revision import RevisionRecord, read_record

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0

Check = Callable[["Target"], Awaitable[Verdict]]
"""The verdict on one revision; does not raise for what a server may do."""


@dataclass(frozen=True)
class Target:
    """A revision that can be asked: one of its ready pods, and what it should answer."""

    revision: str
    ip: str
    model_name: str
    tags: tuple[str, ...]
    record: RevisionRecord


class LiveChecks:
    """Verdicts by revision, for all objects."""

    def __init__(self, check: Check, changed: Callable[[Owner], None]) -> None:
        self._check = check
        self._changed = changed
        self._verdicts: dict[tuple[Owner, str], Verdict] = {}
        self._targets: dict[tuple[Owner, str], Target] = {}
        self._tasks: dict[tuple[Owner, str], asyncio.Task[None]] = {}

    def view(
        self,
        owner: Owner,
        model: tuple[str, tuple[str, ...]],
        stable: str | None,
        children: list[Observed],
    ) -> dict[str, Verdict]:
        """What is known now; starts to ask where a revision could be asked and was not.

        model: (name, tags of its MetaGraph) as the spec has them.
        """
        targets = {t.revision: t for t in _targets(model, stable, children)}
        for revision, target in targets.items():
            key = (owner, revision)
            self._targets[key] = target
            verdict = self._verdicts.get(key)
            if (verdict is None or _open(verdict)) and key not in self._tasks:
                self._tasks[key] = asyncio.create_task(
                    self._ask(key), name=f"live check {revision}"
                )
        there = {_revision(c) for c in children if c.kind == "Deployment"}
        for key in [k for k in self._known(owner) if k[1] not in there]:
            self._drop(key)
        return {r: v for (o, r), v in self._verdicts.items() if o == owner}

    def forget(self, owner: Owner) -> None:
        """The object is gone."""
        for key in self._known(owner):
            self._drop(key)

    def close(self) -> None:
        """Stops asking."""
        for task in self._tasks.values():
            task.cancel()

    async def _ask(self, key: tuple[Owner, str]) -> None:
        pause = FIRST_PAUSE
        try:
            while True:
                target = self._targets[key]
                verdict = await self._check(target)
                if self._verdicts.get(key) != verdict:
                    self._verdicts[key] = verdict
                    self._changed(key[0])
                if not _open(verdict):
                    return
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
        except Exception:
            log.exception("bug in the live check of %s", key[1])
            raise
        finally:
            if self._tasks.get(key) is asyncio.current_task():
                del self._tasks[key]

    def _known(self, owner: Owner) -> list[tuple[Owner, str]]:
        return [k for k in {*self._verdicts, *self._targets} if k[0] == owner]

    def _drop(self, key: tuple[Owner, str]) -> None:
        self._verdicts.pop(key, None)
        self._targets.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()


def _open(verdict: Verdict) -> bool:
    """A check that could not be done is no answer."""
    return verdict.outcome is Outcome.Errored


def _targets(
    model: tuple[str, tuple[str, ...]], stable: str | None, children: list[Observed]
) -> list[Target]:
    pods: Mapping[str, str] = {
        _revision(c): str(c.body["status"]["podIP"])
        for c in children
        if c.kind == "Pod" and _component(c) == names.COMPONENT_MODEL and is_serving(c)
    }
    found = []
    for child in children:
        if child.kind != "ControllerRevision" or child.name == stable or child.name not in pods:
            continue
        record = read_record(child.body)
        if record is not None:
            found.append(Target(child.name, pods[child.name], *model, record))
    return found


def _labels(child: Observed) -> Mapping[str, Any]:
    labels: Mapping[str, Any] = child.body["metadata"].get("labels") or {}
    return labels


def _revision(child: Observed) -> str:
    return str(_labels(child).get(names.LABEL_REVISION, ""))


def _component(child: Observed) -> str:
    return str(_labels(child).get(names.LABEL_COMPONENT, ""))
