"""Status, Events, Secrets and the Lease against the real API server."""

import asyncio
import logging
import time

import pytest

from savedmodel_operator import errors
from savedmodel_operator.api.parse import parse_meta
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import ConfigMapKey, LocalObjectReference, Source
from savedmodel_operator.apply import Applier
from savedmodel_operator.cluster.cache import ChildCache
from savedmodel_operator.cluster.kinds import CONFIG_MAP, EVENT, MODEL
from savedmodel_operator.cluster.leases import ClusterLease
from savedmodel_operator.cluster.objects import ObjectCache
from savedmodel_operator.lease import Lease
from savedmodel_operator.observe.access import AccessReader
from savedmodel_operator.plan.actions import Event, Plan
from savedmodel_operator.report import Reporter
from savedmodel_operator.storage.base import StorageError
from savedmodel_operator.telemetry import Telemetry

pytestmark = pytest.mark.api

PATIENCE = 20.0


class Always:
    """The Lease of a replica that has no rival."""

    def may_write(self):
        return True

    def remaining(self):
        return 15.0


SPEC = {
    "source": {"uri": "s3://models/flowers", "anonymous": True},
    "serving": {"image": "tensorflow/serving:2.20.0"},
}


@pytest.fixture
async def model(client, namespace, crd):
    """A SavedModelDeployment nobody reconciles."""
    body = {
        "apiVersion": MODEL.api_version,
        "kind": MODEL.kind,
        "metadata": {"name": "flowers"},
        "spec": SPEC,
    }
    return await client.create(MODEL, namespace, body)


def make_reporter(client, body):
    objects = ObjectCache()
    objects.put(body)
    applier = Applier(client, ChildCache(), Always())
    return Reporter(client, objects, applier, Telemetry(), "pod-0"), objects


def plan(status, *events):
    return Plan((), status, events, None, Reason.Serving, "it serves")


STATUS = {"observedGeneration": 1, "phase": "Serving", "message": "it serves"}


async def test_status_is_written_once_and_events_tell_of_the_object(client, namespace, model):
    reporter, objects = make_reporter(client, model)
    event = Event(Reason.Promoted, "v1 serves all requests")
    await reporter.report(parse_meta(model), plan(STATUS, event))
    stored = await client.get(MODEL, namespace, "flowers")
    assert stored["status"]["phase"] == "Serving"
    assert stored["spec"] == model["spec"]
    assert stored["metadata"]["generation"] == 1
    (posted,) = (await client.list(EVENT, namespace)).items
    assert posted["regarding"]["uid"] == model["metadata"]["uid"]
    assert (posted["reason"], posted["note"]) == ("Promoted", "v1 serves all requests")
    known = objects.get((namespace, "flowers"))
    assert known["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
    await reporter.report(parse_meta(known), plan(known["status"]))
    again = await client.get(MODEL, namespace, "flowers")
    assert again["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


async def test_status_of_an_object_that_changed_is_a_conflict_and_no_event(
    client, namespace, model
):
    reporter, _ = make_reporter(client, model)
    await client.merge(MODEL, namespace, "flowers", {"metadata": {"annotations": {"a": "b"}}})
    event = Event(Reason.Promoted, "v1 serves all requests")
    with pytest.raises(errors.Conflict):
        await reporter.report(parse_meta(model), plan(STATUS, event))
    assert (await client.get(MODEL, namespace, "flowers"))["status"] == model["status"]
    assert (await client.list(EVENT, namespace)).items == []


async def test_a_field_that_the_crd_does_not_know_is_noticed(client, namespace, model, caplog):
    reporter, objects = make_reporter(client, model)
    newer = {**STATUS, "fromTheFuture": 1}
    await reporter.report(parse_meta(model), plan(newer))
    assert "did not keep status.fromTheFuture" in caplog.text
    caplog.set_level(logging.ERROR)
    caplog.clear()
    await reporter.report(parse_meta(objects.get((namespace, "flowers"))), plan(newer))
    assert caplog.text == ""


# --- secrets ----------------------------------------------------------------------------------

SECRET_SOURCE = Source(uri="s3://m", secret_ref=LocalObjectReference(name="keys"))


async def read(client, namespace, source=SECRET_SOURCE):
    return await AccessReader(client, ("savedmodel-storage",)).read(namespace, source)


def put_secret(api, namespace, **data):
    path = f"/api/v1/namespaces/{namespace}/secrets"
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": data}
    api.apply(body, path).accepted()


async def test_a_secret_is_read_by_name_and_never_shown(api, client, namespace):
    with pytest.raises(StorageError) as caught:
        await read(client, namespace)
    assert caught.value.reason is Reason.SecretMissing
    put_secret(api, namespace, AWS_ACCESS_KEY_ID="id")
    with pytest.raises(StorageError, match="lacks AWS_SECRET_ACCESS_KEY"):
        await read(client, namespace)
    put_secret(api, namespace, AWS_ACCESS_KEY_ID="id\n", AWS_SECRET_ACCESS_KEY="hush")
    access = await read(client, namespace)
    assert access.credentials.access_key_id == "id"
    assert access.credentials.secret_access_key == "hush"
    assert "hush" not in repr(access)


async def test_a_secret_that_may_not_be_read_names_the_chart_value(nobody, namespace):
    with pytest.raises(StorageError) as caught:
        await read(nobody, namespace)
    assert caught.value.reason is Reason.SecretNotPermitted
    assert "storageSecretNames={savedmodel-storage,keys}" in caught.value.message


async def test_a_ca_bundle_is_pem_or_told_to_be_missing(client, namespace):
    source = Source(
        uri="s3://m", anonymous=True, ca_bundle=ConfigMapKey(config_map="ca", key="ca.crt")
    )
    with pytest.raises(StorageError, match="ConfigMap ca is not there"):
        await read(client, namespace, source)
    made = await client.create(
        CONFIG_MAP, namespace, {"metadata": {"name": "ca"}, "data": {"ca.crt": "junk"}}
    )
    with pytest.raises(StorageError, match=r"no PEM certificates under the key ca\.crt"):
        await read(client, namespace, source)
    pem = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
    await client.merge(CONFIG_MAP, namespace, "ca", {"data": {"ca.crt": pem}})
    assert (await read(client, namespace, source)).ca_bundle == pem.encode()
    assert made


# --- the lease --------------------------------------------------------------------------------


async def test_a_successor_begins_at_once_when_the_lease_is_given_back(client, namespace):
    begun = {name: asyncio.Event() for name in ("one", "two")}

    def lease(name):
        store = ClusterLease(client, namespace, "operator")
        return Lease(store, name, lambda yes: begun[name].set() if yes else None)

    one, two = lease("one"), lease("two")
    first = asyncio.create_task(one.run())
    await asyncio.wait_for(begun["one"].wait(), PATIENCE)
    second = asyncio.create_task(two.run())
    one.stop_writing()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await one.release()
    released = time.monotonic()
    await asyncio.wait_for(begun["two"].wait(), PATIENCE)
    assert time.monotonic() - released < 5, "it did not wait for the Lease to run out"
    assert two.may_write()
    assert not one.may_write()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
