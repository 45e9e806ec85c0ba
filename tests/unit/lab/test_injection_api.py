"""Every fault of the proxy before an API server really happens, and only where it should."""

import json
import threading
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

from lab.errors import LabError
from lab.injection import (
    ApiProxy,
    CutWatch,
    Delay,
    DropField,
    ExpireWatch,
    Hold,
    LoseAnswer,
    Match,
    MuteWatch,
    OldList,
    Partition,
    Refuse,
    ShiftDate,
)
from unit.lab.small_api import SmallApi, client_of

PODS = "/api/v1/namespaces/shop/pods"
WATCH = f"{PODS}?watch=true&resourceVersion=1"
LONG = 20.0  # seconds that nothing here takes


@pytest.fixture
def small(tmp_path):
    with SmallApi(tmp_path) as server:
        yield server


@pytest.fixture
def proxy(small, tmp_path):
    with ApiProxy(small.kubeconfig, tmp_path) as found:
        yield found


@pytest.fixture
def client(proxy):
    with client_of(proxy.kubeconfig("tok"), timeout=LONG) as found:
        yield found


class Watcher:
    """One open watch, read in a thread; `ended` says how."""

    def __init__(self, client):
        self.lines, self.ended = [], ""
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(client,))
        self._thread.start()

    def _read(self, client):
        try:
            with client.stream("GET", WATCH) as answer:
                for line in answer.iter_lines():
                    self._say(line=json.loads(line))
            self._say(ended="in order")
        except httpx.TransportError as error:
            self._say(ended=type(error).__name__)

    def _say(self, line=None, ended=""):
        with self._news:
            if line is not None:
                self.lines.append(line)
            self.ended = ended
            self._news.notify_all()

    def until(self, done):
        with self._news:
            assert self._news.wait_for(lambda: done(self), LONG), (self.lines[-3:], self.ended)

    def join(self):
        self._thread.join(LONG)
        assert not self._thread.is_alive()


def test_what_is_not_struck_passes_as_it_is(small, proxy, client):
    made = client.post(PODS, json={"metadata": {"name": "a", "big": "x" * 3_000_000}})
    assert made.json()["metadata"]["name"] == "a"
    assert client.get(f"{PODS}/a%2Fb?x=%2C&y=1").status_code == 200
    assert [(m, p, who) for m, p, who, _, _ in small.asked] == [
        ("POST", PODS, "Bearer tok"),
        ("GET", f"{PODS}/a%2Fb?x=%2C&y=1", "Bearer tok"),
    ]
    assert not any(known for *_, known in small.asked), "a token's owner has no certificate"
    assert [(c.verb, c.resource, c.name, c.code, c.fault) for c in proxy.log] == [
        ("create", "pods", "a", 200, ""),
        ("get", "pods", "a%2Fb", 200, ""),
    ]


def test_without_token_it_is_the_administrator(small, proxy):
    with client_of(proxy.kubeconfig()) as admin:
        assert admin.get(PODS).status_code == 200
    assert [(who, known) for _, _, who, _, known in small.asked] == [("", True)]


def test_calls_are_named_as_rbac_does(proxy, client):
    apply = {"Content-Type": "application/apply-patch+yaml"}
    client.patch("/apis/apps/v1/namespaces/shop/deployments/d", content=b"{}", headers=apply)
    client.put("/apis/savedmodel.dev/v1alpha1/namespaces/shop/savedmodeldeployments/m/status")
    client.delete(f"{PODS}/p")
    client.delete(PODS)
    client.get("/api/v1/namespaces/shop")
    client.get("/api/v1/pods")
    client.get("/readyz")
    assert [(c.verb, c.resource, c.subresource, c.namespace, c.name) for c in proxy.log] == [
        ("patch", "deployments", "", "shop", "d"),
        ("update", "savedmodeldeployments", "status", "shop", "m"),
        ("delete", "pods", "", "shop", "p"),
        ("deletecollection", "pods", "", "shop", ""),
        ("get", "namespaces", "", "", "shop"),
        ("list", "pods", "", "", ""),
        ("get", "", "", "", ""),
    ]
    assert (proxy.log[0].patch, proxy.log[0].group) == ("apply", "apps")
    assert [c.writes for c in proxy.log] == [True, True, True, True, False, False, False]


def test_refuse_strikes_what_matches_as_often_as_it_should(small, proxy, client):
    where = Match(verbs={"create"}, resource="pods", name="a*")
    with proxy.inject(Refuse(429, "TooManyRequests", retry_after=3), where, times=1) as fault:
        refused = client.post(PODS, json={"metadata": {"name": "ab"}})
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
        assert refused.json()["reason"] == "TooManyRequests"
        assert client.post(PODS, json={"metadata": {"name": "b"}}).status_code == 200
        assert client.post(PODS, json={"metadata": {"name": "ab"}}).status_code == 200
        assert fault.hits == 1
    assert len(small.asked) == 2
    assert [c.fault for c in proxy.log] == ["Refuse", "", ""]
    with pytest.raises(LabError, match="struck 1 of 2 times"):
        fault.wait(2, timeout=0.01)


def test_a_lost_answer_was_done(small, proxy, client):
    with proxy.inject(LoseAnswer(), times=1), pytest.raises(httpx.TransportError):
        client.post(PODS, json={})
    assert len(small.asked) == 1
    assert (proxy.log[0].code, proxy.log[0].fault) == (200, "LoseAnswer")
    assert client.get(PODS).json()["asked"] == 2


def test_delay_and_hold(small, proxy, client):
    with proxy.inject(Delay(0.3)):
        began = time.monotonic()
        client.get(PODS)
        assert time.monotonic() - began >= 0.3
    hold = proxy.inject(Hold(), Match(verbs={"update"}))
    late = threading.Thread(target=client.put, args=(f"{PODS}/p",), kwargs={"json": {}})
    late.start()
    hold.wait()
    assert client.get(PODS).status_code == 200, "others are not held"
    assert [m for m, *_ in small.asked] == ["GET", "GET"]
    hold.remove()
    late.join(LONG)
    assert [m for m, *_ in small.asked] == ["GET", "GET", "PUT"]


def test_what_is_held_goes_on_when_its_client_is_gone(small, proxy):
    with (
        proxy.inject(Hold()) as hold,
        client_of(proxy.kubeconfig("tok"), timeout=0.5) as hasty,
    ):
        with pytest.raises(httpx.TimeoutException):
            hasty.put(f"{PODS}/p", json={})
        assert not small.asked
        hold.remove()
        _until(lambda: len(small.asked) == 1)


def test_the_date_is_shifted(proxy, client):
    with proxy.inject(ShiftDate(3600)):
        ahead = parsedate_to_datetime(client.get(PODS).headers["Date"]).timestamp()
    assert 3595 < ahead - time.time() < 3605
    now = parsedate_to_datetime(client.get(PODS).headers["Date"]).timestamp()
    assert abs(now - time.time()) < 5


def test_old_lists_are_asked_for_exactly(small, proxy, client):
    with proxy.inject(OldList()):
        client.get(f"{PODS}?limit=5&resourceVersion=0")
        client.get(f"{PODS}/a")
    assert [p for _, p, *_ in small.asked] == [
        "/api/v1/namespaces?limit=1",
        f"{PODS}?limit=5&resourceVersion=77&resourceVersionMatch=Exact",
        f"{PODS}/a",
    ]


def test_a_field_is_dropped_both_ways(small, proxy, client):
    with proxy.inject(DropField("status.next"), Match(verbs={"update"})):
        kept = client.put(f"{PODS}/p", json={"status": {"next": 1, "phase": 2}}).json()
    assert kept["status"] == {"phase": 2}
    assert json.loads(small.asked[0][3]) == {"status": {"phase": 2}}


def test_a_watch_is_cut(small, proxy, client):
    seen = Watcher(client)
    seen.until(lambda w: w.lines)
    with proxy.inject(CutWatch(), times=1):
        seen.until(lambda w: w.ended)
    seen.join()
    assert "Protocol" in seen.ended or "Read" in seen.ended, "a reset, no orderly end"
    _until(lambda: small.watches == 0)
    with proxy.inject(CutWatch(after=0.5)):
        second = Watcher(client)
        second.until(lambda w: w.ended)
        second.join()
    assert len(second.lines) >= 2, "not before its time"


def test_a_mute_watch_stays_open(small, proxy, client):
    seen = Watcher(client)
    seen.until(lambda w: w.lines)
    with proxy.inject(MuteWatch()) as mute:
        mute.wait()
        count = len(seen.lines)
        other = Watcher(client)
        mute.wait(2)
        time.sleep(0.5)  # silence can only be listened to
        assert len(seen.lines) <= count + 1
        assert (seen.ended, other.ended, other.lines) == ("", "", [])
        assert small.watches == 2
    third = Watcher(client)
    third.until(lambda w: w.lines)
    with proxy.inject(CutWatch()):
        for watcher in (seen, other, third):
            watcher.until(lambda w: w.ended)
            watcher.join()


def test_a_watch_expires(proxy, client):
    seen = Watcher(client)
    seen.until(lambda w: w.lines)
    with proxy.inject(ExpireWatch(), times=1):
        seen.until(lambda w: w.ended)
    seen.join()
    assert (seen.lines[-1]["object"]["code"], seen.ended) == (410, "in order")


@pytest.mark.parametrize("late", [False, True])
def test_nothing_passes_a_partition(small, proxy, client, late):
    watch = Watcher(client)
    watch.until(lambda w: w.lines)
    client.get(PODS)  # over a connection that is there, then
    with (
        proxy.inject(Partition(late=late)) as partition,
        client_of(proxy.kubeconfig("tok"), timeout=0.5) as stranger,
    ):
        with pytest.raises(httpx.ConnectTimeout):
            stranger.get(PODS)
        with pytest.raises(httpx.TimeoutException):
            client.put(f"{PODS}/p", json={}, timeout=0.5)
        partition.wait()
        count = len(watch.lines)
        time.sleep(0.3)  # silence can only be listened to
        assert len(watch.lines) <= count + 1
        assert not watch.ended
        assert [m for m, *_ in small.asked] == ["GET", "GET"], "those before"
    if late:
        _until(lambda: [m for m, *_ in small.asked] == ["GET", "GET", "PUT"])
        watch.until(lambda w: len(w.lines) > count + 2)
        proxy.inject(CutWatch())
    watch.until(lambda w: w.ended)
    watch.join()
    assert client.get(PODS).status_code == 200
    assert ("PUT" in [m for m, *_ in small.asked]) is late


def test_a_partition_has_no_match(proxy):
    with pytest.raises(LabError, match="no match"):
        proxy.inject(Partition(), Match(verbs={"get"}))


def test_a_dead_server_is_a_reset(proxy, client, small):
    assert client.get(PODS).status_code == 200
    small._do(small._runner.cleanup())
    with pytest.raises(httpx.TransportError):
        client.get(PODS)
    assert proxy.log[-1].code == 0
    assert proxy.log[-1].fault


def _until(done):
    deadline = time.monotonic() + LONG
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
