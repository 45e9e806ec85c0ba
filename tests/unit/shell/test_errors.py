"""HTTP answers → typed errors, through the real client."""

import aiohttp
import pytest

from fake_server import FakeServer, Refusal
from savedmodel_operator import errors
from savedmodel_operator.cluster.kinds import CONFIG_MAP, DEPLOYMENT

PATH = "/apis/apps/v1/namespaces/shop/deployments"

CASES = {
    "not found": (Refusal(404, "NotFound"), errors.NotFound, True),
    "somebody was quicker": (Refusal(409, "Conflict"), errors.Conflict, True),
    "the name is taken": (Refusal(409, "AlreadyExists"), errors.AlreadyExists, True),
    "expired": (Refusal(410, "Expired"), errors.Gone, True),
    "no token": (Refusal(401, "Unauthorized"), errors.Unauthorized, True),
    "no right": (Refusal(403, "Forbidden"), errors.Forbidden, False),
    "bad field": (Refusal(422, "Invalid"), errors.Invalid, False),
    "bad request": (Refusal(400, "BadRequest"), errors.Invalid, False),
    "slow down": (Refusal(429, "TooManyRequests"), errors.TooMany, True),
    "internal": (Refusal(500), errors.Unavailable, True),
    "unavailable": (Refusal(503), errors.Unavailable, True),
    "gateway": (Refusal(504), errors.Unavailable, True),
    "no route": (OSError("no route to host"), errors.Unavailable, True),
    "no answer": (TimeoutError(), errors.Unavailable, True),
    "cut off": (aiohttp.ServerDisconnectedError(), errors.Unavailable, True),
    "teapot": (Refusal(418), errors.ApiError, True),
}


@pytest.mark.parametrize("name", CASES)
async def test_every_answer_has_its_error(name):
    answer, wanted, transient = CASES[name]
    server = FakeServer()
    server.answers["post", PATH] = answer
    with pytest.raises(errors.ApiError) as caught:
        await server.client.create(DEPLOYMENT, "shop", {"metadata": {"name": "a"}})
    assert type(caught.value) is wanted
    assert caught.value.transient is transient
    assert caught.value.message


async def test_a_refused_right_names_verb_and_resource():
    server = FakeServer()
    server.answers["post", PATH] = Refusal(403, "Forbidden", "no")
    with pytest.raises(errors.Forbidden) as caught:
        await server.client.create(DEPLOYMENT, "shop", {})
    assert (caught.value.verb, caught.value.resource) == ("create", "deployments.apps")


async def test_a_dying_namespace_is_told_apart_from_a_missing_right():
    server = FakeServer()
    causes = {"causes": [{"reason": "NamespaceTerminating"}]}
    server.answers["post", PATH] = Refusal(403, "Forbidden", "terminating", details=causes)
    with pytest.raises(errors.NamespaceTerminating):
        await server.client.create(DEPLOYMENT, "shop", {})


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), (None, 1.0), ("soon", 1.0), ("-3", 1.0), ("86400", 300.0)]
)
async def test_retry_after_is_taken_within_reason(header, seconds):
    server = FakeServer()
    headers = {} if header is None else {"Retry-After": header}
    server.answers["get", f"{PATH}/a"] = Refusal(429, headers=headers)
    with pytest.raises(errors.TooMany) as caught:
        await server.client.get(DEPLOYMENT, "shop", "a")
    assert caught.value.retry_after == seconds


async def test_messages_are_bounded_and_carry_no_body():
    server = FakeServer()
    server.answers["get", f"{PATH}/a"] = Refusal(500, message="x" * 10_000)
    with pytest.raises(errors.Unavailable) as caught:
        await server.client.get(DEPLOYMENT, "shop", "a")
    assert len(caught.value.message) == errors.MESSAGE_LIMIT
    # The library's error repeats headers and body; it must not follow ours into a log.
    assert caught.value.__suppress_context__


async def test_every_call_is_counted_bounded_in_time_and_feeds_the_clock():
    server = FakeServer()
    server.answers["get", "/api/v1/namespaces/shop/configmaps/a"] = {"kind": "ConfigMap"}
    await server.client.get(CONFIG_MAP, "shop", "a")
    server.answers["get", "/api/v1/namespaces/shop/configmaps/b"] = Refusal(404)
    with pytest.raises(errors.NotFound):
        await server.client.get(CONFIG_MAP, "shop", "b")
    assert server.counted == [("get", "configmaps", 200), ("get", "configmaps", 404)]
    assert all(r.limits.total == 10 for r in server.requests)
    assert server.clock.now() == pytest.approx(1_800_000_000.5)


async def test_lists_are_read_page_by_page():
    server = FakeServer()

    def page(request):
        if "continue" not in request.query:
            return {"items": [{"n": 1}], "metadata": {"resourceVersion": "5", "continue": "next"}}
        return {"items": [{"n": 2}], "metadata": {"resourceVersion": "5"}}

    server.answers["get", "/api/v1/configmaps"] = page
    listing = await server.client.list(CONFIG_MAP, None, "a=b")
    assert [i["n"] for i in listing.items] == [1, 2]
    assert listing.resource_version == "5"
    assert [r.query["labelSelector"] for r in server.requests] == ["a=b", "a=b"]
