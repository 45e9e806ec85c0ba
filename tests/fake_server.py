"""An API server as `cluster.client` sees it: requests in, answers or errors out, in memory.

Stands below the client (in place of kubernetes.aio.dynamic), so that everything above it is real.
"""

import json
from dataclasses import dataclass
from email.utils import formatdate

from kubernetes.aio.client.exceptions import ApiException

from savedmodel_operator.cluster.client import Client
from savedmodel_operator.cluster.clock import ServerClock


class Response:
    """What aiohttp gives for an answer."""

    def __init__(self, status, body):
        self.status = status
        self.headers = {"Date": formatdate(1_800_000_000, usegmt=True)}
        self._body = json.dumps(body).encode()

    async def read(self):
        return self._body


@dataclass
class Request:
    """One request as sent."""

    method: str
    path: str
    body: dict | None
    query: dict
    content_type: str
    limits: object


class Refusal(Exception):
    """An HTTP error with a Status body."""

    def __init__(self, code, reason="", message="", headers=None, details=None):
        super().__init__(message)
        self.code = code
        self.status = {"reason": reason, "message": message, "details": details or {}}
        self.headers = headers or {}


class FakeServer:
    """answers: (method, path) → body, Refusal, exception, or a function of the Request."""

    def __init__(self):
        self.requests: list[Request] = []
        self.answers: dict[tuple[str, str], object] = {}
        self.counted: list[tuple[str, str, int]] = []
        self.clock = ServerClock(lambda: 0.0)
        self.client = Client(
            self, self.clock, lambda *call: self.counted.append(call), monotonic=lambda: 0.0
        )

    @property
    def writes(self) -> list[tuple[str, str]]:
        """(method, path) of everything but reads, in order."""
        return [(r.method, r.path) for r in self.requests if r.method != "get"]

    async def request(self, method, path, body=None, **given):
        request = Request(
            method,
            path,
            json.loads(body if isinstance(body, str) else json.dumps(body)),
            dict(given["query_params"]),
            given["content_type"],
            given["_request_timeout"],
        )
        self.requests.append(request)
        answer = self.answers.get((method, path), {"kind": "Status"})
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Refusal):
            error = ApiException(status=answer.code, reason="", body=json.dumps(answer.status))
            error.headers = answer.headers
            raise error
        if isinstance(answer, Exception):
            raise answer
        return Response(200, answer)


def child(kind, name, *, owner="flowers", owner_uid="u-1", uid=None, version=1, **rest):
    """A child as the API server gives it."""
    api = {"Deployment": "apps/v1"}.get(kind, "v1")
    metadata = {
        "name": name,
        "namespace": "shop",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "labels": {
            "app.kubernetes.io/managed-by": "savedmodel-operator",
            "savedmodel.dev/deployment": owner,
            "savedmodel.dev/uid": owner_uid,
            **rest.pop("labels", {}),
        },
        **rest.pop("metadata", {}),
    }
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}
