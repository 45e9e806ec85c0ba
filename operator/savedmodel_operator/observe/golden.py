"""The files with golden requests: ConfigMaps of the object's namespace, read by name.

Read afresh at each check of a candidate, so a missing one heals by being made. While a refusal
rests on such a file it is read again as often as the bucket, so that a corrected file is tried by
itself; otherwise nothing is read or watched. RBAC: the `get` on ConfigMaps that the operator has
for its own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from savedmodel_operator import errors
from savedmodel_operator.api.golden import GoldenRequest
from savedmodel_operator.api.types import Spec, seconds
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.cluster.client import Client
from savedmodel_operator.cluster.kinds import CONFIG_MAP
from savedmodel_operator.gate.golden_file import digest
from savedmodel_operator.gate.verdict import listed
from savedmodel_operator.observe.watches import Watches
from savedmodel_operator.plan.memory import JUDGED_BY

Files = tuple[tuple[str, bytes], ...]
"""(name of the golden request, content of its file), in the order of the spec."""


class GoldenError(Exception):
    """A file could not be had; the message names the field and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class GoldenReader:
    """Reads the files of a gate."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, namespace: str, requests: Sequence[GoldenRequest]) -> Files:
        """All files. Raises GoldenError."""
        maps: dict[str, Mapping[str, Any]] = {}
        found = []
        for request in requests:
            name = request.config_map.name
            if name not in maps:
                maps[name] = await self._get(namespace, request)
            found.append((request.name, _content(request, maps[name])))
        return tuple(found)

    async def _get(self, namespace: str, request: GoldenRequest) -> Mapping[str, Any]:
        place = request.config_map
        field = f"gate.requests[{request.name}].configMap"
        try:
            return await self._client.get(CONFIG_MAP, namespace, place.name)
        except errors.NotFound:
            raise GoldenError(
                f"{field}: there is no ConfigMap {place.name} in the namespace {namespace}; make it, "
                f"for example with kubectl create configmap {place.name} --from-file={place.key}"
            ) from None
        except errors.Forbidden:
            raise GoldenError(
                f"{field}: the operator may not read ConfigMaps in the namespace {namespace}; grant "
                f"it the verb get on them (the chart does)"
            ) from None
        except errors.ApiError as error:
            raise GoldenError(
                f"{field}: ConfigMap {place.name} could not be read: {error.message}"
            ) from error


def _content(request: GoldenRequest, body: Mapping[str, Any]) -> bytes:
    place, field = request.config_map, f"gate.requests[{request.name}].configMap"
    text, binary = body.get("data") or {}, body.get("binaryData") or {}
    if place.key in text:
        return str(text[place.key]).encode()
    if place.key not in binary:
        there = listed(sorted({*text, *binary}))
        raise GoldenError(
            f"{field}: ConfigMap {place.name} has no key {place.key}, it has {there}; add it or "
            f"correct the field"
        )
    try:
        return base64.b64decode(str(binary[place.key]), validate=True)
    except (binascii.Error, ValueError):
        raise GoldenError(f"{field}: {place.key} in ConfigMap {place.name} is no base64") from None


@dataclass
class _Watch:
    """One object's files, looked at again and again."""

    reader: GoldenReader
    namespace: str
    requests: tuple[GoldenRequest, ...]
    interval: float
    digest: str | None = None

    @property
    def subject(self) -> tuple[tuple[GoldenRequest, ...], float]:
        return self.requests, self.interval

    async def look(self) -> bool:
        try:
            seen = digest(await self.reader.read(self.namespace, self.requests))
        except GoldenError:
            return False  # a file that is gone proves nothing: the refusal stands
        was, self.digest = self.digest, seen
        return seen != was


class GoldenWatcher:
    """The present digest of files that a refusal rests on."""

    def __init__(self, reader: GoldenReader, changed: Callable[[Owner], None]) -> None:
        self._reader = reader
        self._watches: Watches[_Watch] = Watches(changed)

    def view(self, owner: Owner, spec: Spec, status: Mapping[str, Any]) -> str | None:
        """The digest, None where it is not known or does not matter."""
        requests = spec.gate.requests
        if not requests or not _refused(status):
            self.forget(owner)
            return None
        watch = _Watch(self._reader, owner[0], requests, seconds(spec.source.poll_interval))
        return self._watches.hold(owner, watch).digest

    def forget(self, owner: Owner) -> None:
        """The object, or its refusal, is gone."""
        self._watches.forget(owner)

    def close(self) -> None:
        """Ends all watches."""
        self._watches.close()


def _refused(status: Mapping[str, Any]) -> bool:
    """Whether stable's number or a higher one stays out because of what a file says."""
    stable = status.get("stable")
    above = stable.get("number", -1) if isinstance(stable, Mapping) else -1
    entries = status.get("rejected")
    return any(
        str(entry.get("gate", "")).partition(JUDGED_BY)[2] and entry.get("number", -1) >= above
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, Mapping)
    )
