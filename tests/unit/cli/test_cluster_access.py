"""What goes wrong between the commands and an API server, over real connections on loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from savedmodel_operator.cli.cluster_access import (
    Cluster,
    Deadline,
    NoAnswer,
    Place,
    TimedOut,
    connect,
)

Answer = tuple[int, list[dict[str, Any]]]
HANG_UP: Answer = (0, [])


def model(version: int) -> dict[str, Any]:
    return {"metadata": {"name": "flowers", "namespace": "shop", "resourceVersion": str(version)}}


def changed(version: int) -> dict[str, Any]:
    return {"type": "MODIFIED", "object": model(version)}


EXPIRED = {
    "type": "ERROR",
    "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"},
}


class Server:
    """Answers GETs in the order given; the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = list(answers), []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                code, lines = server.answers.pop(0) if server.answers[1:] else server.answers[0]
                if not code:
                    self.connection.close()
                    return
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                for line in lines:
                    self.wfile.write(json.dumps(line).encode() + b"\n")

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def one(*answers: Answer) -> Server:
        made.append(Server(*answers))
        port = made[-1].http.server_address[1]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "a", "user": {"token": "x"}}],
            "contexts": [
                {"name": "a", "context": {"cluster": "a", "user": "a", "namespace": "shop"}},
                {"name": "b", "context": {"cluster": "a", "user": "a"}},
            ],
            "current-context": "a",
        }
        (tmp_path / "config").write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        return made[-1]

    yield one
    for server in made:
        server.stop()


def followed(cluster: Cluster, count: int, seconds: float = 30) -> list[str]:
    """The resourceVersions of the first `count` states."""
    states = cluster.follow(model(1), Deadline(seconds))
    return [next(states)["metadata"]["resourceVersion"] for _ in range(count)]


def test_a_watch_that_ends_goes_on_from_where_it_was(serve):
    server = serve((200, [changed(2), changed(3)]), (200, [changed(4)]))
    with connect(Place(None, None)) as cluster:
        assert followed(cluster, 4) == ["1", "2", "3", "4"]
    asked = [re.search(r"resourceVersion=(\d+)", path)[1] for path in server.asked]
    assert asked == ["1", "3"]
    assert all("fieldSelector=metadata.name%3Dflowers" in path for path in server.asked)


def test_a_past_that_is_gone_is_read_anew(serve):
    server = serve(
        (200, [EXPIRED]), (200, [model(7)]), (410, [{}]), (200, [model(8)]), (200, [changed(9)])
    )
    with connect(Place(None, None)) as cluster:
        assert followed(cluster, 4) == ["1", "7", "8", "9"]
    assert server.asked[1].endswith("/savedmodeldeployments/flowers")


def test_an_api_server_that_restarts_is_asked_again(serve):
    serve(HANG_UP, (200, [changed(2)]))
    with connect(Place(None, None)) as cluster:
        assert followed(cluster, 2) == ["1", "2"]


def test_watches_that_end_at_once_are_no_busy_loop(serve):
    server = serve((200, []))
    with connect(Place(None, None)) as cluster, pytest.raises(TimedOut):
        followed(cluster, 2, 2)
    assert 2 <= len(server.asked) <= 4


def test_an_api_server_that_stays_away_ends_it(serve):
    serve(HANG_UP)
    with connect(Place(None, None)) as cluster, pytest.raises(NoAnswer, match="does not answer"):
        followed(cluster, 2)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            (404, [{}]),
            "this cluster does not know SavedModelDeployments: install the operator's chart",
        ),
        ((404, [{"message": 'x "flowers" not found'}]), 'x "flowers" not found'),
        ((401, [{"message": "Unauthorized"}]), "does not know this credential"),
        ((403, [{"message": "you may not"}]), "you may not"),
        ((500, []), "the API server answers 500"),
        (HANG_UP, "the API server does not answer"),
    ],
)
def test_refusals_are_sentences(serve, answer, sentence):
    serve(answer)
    with connect(Place(None, None)) as cluster, pytest.raises(NoAnswer) as told:
        cluster.get("flowers")
    assert sentence in str(told.value)


def test_whose_events_may_not_be_read_has_no_mark(serve):
    serve((403, [{"message": "you may not"}]))
    with connect(Place(None, None)) as cluster:
        assert cluster.event_mark("flowers") is None
        assert list(cluster.events("flowers", "1", Deadline(5))) == []


def test_the_namespace_is_the_contexts_unless_it_is_named(serve):
    serve((200, [model(1)]))
    for place, namespace in (
        (Place(None, None), "shop"),
        (Place("b", None), "default"),
        (Place("a", "garden"), "garden"),
    ):
        with connect(place) as cluster:
            assert cluster.namespace == namespace


@pytest.mark.parametrize("text", ["", "clusters: [", "a: b"])
def test_a_kubeconfig_that_is_none(tmp_path, monkeypatch, text):
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(NoAnswer, match="no cluster to ask"), connect(Place(None, None)):
        pass


def test_no_limit_and_one_that_is_over():
    assert Deadline(0).left(50.0) == 50.0
    assert Deadline(100).left(50.0) == 50.0
    with pytest.raises(TimedOut):
        Deadline(1e-9).left(50.0)
