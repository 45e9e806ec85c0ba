"""Whether the CRD in the cluster is there, and knows all that this operator writes.

Asked once at the start, before anything is watched. An older CRD prunes status fields that it does
not know without a word, and what status forgets (a rejected version, a hold's beginning) the operator
forgets with its next start. So it waits, unready, until the CRD is upgraded: a rolling upgrade stops
there, and the former operator goes on. Neighbours: `process` waits here; `report` sees a CRD that was
downgraded later. It reads what every authenticated client may read, and needs no right on CRDs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from savedmodel_operator import errors
from savedmodel_operator.api import schema, types
from savedmodel_operator.cluster.client import Client
from savedmodel_operator.cluster.kinds import MODEL

log = logging.getLogger(__name__)

AGAIN = 5.0
"""Seconds between two looks at a cluster without the right CRD."""

NAME = f"{types.PLURAL}.{types.GROUP}"
NAMED = 5
"""Unknown fields that a message names; the rest is counted."""

Schema = Mapping[str, Any]


async def wait_for_crd(client: Client, namespaces: tuple[str, ...]) -> None:
    """Returns once objects can be listed in each namespace (none: in all) and status is kept."""
    for namespace in namespaces or (None,):
        while True:
            if await _is_listed(client, namespace):
                break
            await asyncio.sleep(AGAIN)
    while missing := await _missing(client):
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        log.error(
            "the CRD %s is older than this operator: it does not know %s%s, which would be lost; "
            "nothing is done until it is upgraded: upgrade the chart with crds.enabled=true; "
            "asking again in %d s",
            NAME,
            ", ".join(missing[:NAMED]),
            more,
            AGAIN,
        )
        await asyncio.sleep(AGAIN)


async def _is_listed(client: Client, namespace: str | None) -> bool:
    """kopf would start without the CRD and then never see it."""
    try:
        await client.list(MODEL, namespace)
    except errors.NotFound:
        log.warning(
            "the CRD %s is not installed: install the chart with crds.enabled=true; asking again "
            "in %d s",
            NAME,
            AGAIN,
        )
    except errors.ApiError as error:
        log.warning("cannot list SavedModelDeployments: %s", error.message)
    else:
        return True
    return False


async def _missing(client: Client) -> list[str]:
    """Status fields that would be pruned; none where the server does not tell."""
    try:
        document = await client.schemas(MODEL)
    except errors.ApiError as error:
        log.warning("cannot compare the CRD with what is written: %s", error.message)
        return []
    return unknown_fields(document)


def unknown_fields(document: Schema) -> list[str]:
    """Of the status, as "status.stable.since", that a server's OpenAPI document does not have.

    A document without our kind tells nothing: the server publishes a CRD some seconds after it.
    """
    kinds = (document.get("components") or {}).get("schemas") or {}
    wanted = {"group": types.GROUP, "kind": types.KIND, "version": types.VERSION}
    found = [k for k in kinds.values() if wanted in k.get("x-kubernetes-group-version-kind", ())]
    if not found:
        return []
    status = (found[0].get("properties") or {}).get("status") or {}
    return list(_unknown(schema.build_status(), status, "status"))


def _unknown(ours: Schema, theirs: Schema, path: str) -> Iterator[str]:
    if theirs.get("x-kubernetes-preserve-unknown-fields"):
        return
    known = theirs.get("properties") or {}
    for name, below in (ours.get("properties") or {}).items():
        if name in known:
            yield from _unknown(below, known[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}"
    if "items" in ours:
        yield from _unknown(ours["items"], theirs.get("items") or {}, f"{path}[]")
