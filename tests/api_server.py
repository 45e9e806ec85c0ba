"""The real API server, spoken to in plain HTTP so that answers and warnings are seen as they are.

For the API level of the tests. Nothing of the product is used here: what is tested must not check
itself.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

PATIENCE = 30.0
"""Seconds for the API server to take up a changed CustomResourceDefinition."""

STRICT = {"fieldValidation": "Strict"}
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Answer:
    """Code, decoded body and the texts of the Warning headers."""

    code: int
    body: dict[str, Any]
    warnings: tuple[str, ...]

    @property
    def message(self) -> str:
        """What the server says when it refuses."""
        return str(self.body.get("message", ""))

    def accepted(self) -> dict[str, Any]:
        """The body of a success."""
        assert self.code < 300, f"{self.code}: {self.message}"
        return self.body


class ApiServer:
    """One API server with the rights of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile(suffix=".pem") as pair:  # ssl reads it from a file only
            pair.write(base64.b64decode(user["client-certificate-data"]))
            pair.write(base64.b64decode(user["client-key-data"]))
            pair.flush()
            context.load_cert_chain(pair.name)
        self._client = httpx.Client(
            base_url=cluster["server"], verify=context, timeout=20, trust_env=False
        )

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
        user: str | None = None,
    ) -> Answer:
        """One request, as `user` where given; refusals are answers too."""
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        if user is not None:
            headers["Impersonate-User"] = user
        content = None if body is None else json.dumps(body)
        answer = self._client.request(
            method, path, content=content, params=query or {}, headers=headers
        )
        warnings = tuple(answer.headers.get_list("Warning"))
        return Answer(answer.status_code, _decoded(answer), warnings)

    def table(self, path: str) -> list[tuple[dict[str, Any], Any]]:
        """What kubectl prints for the only object at `path`: (column, cell) in order."""
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        table = self._client.get(path, headers={"Accept": accept}).json()
        (row,) = table["rows"]
        return list(zip(table["columnDefinitions"], row["cells"], strict=True))

    def apply(self, manifest: dict[str, Any], path: str) -> Answer:
        """Server-side apply of a whole object to its collection's path."""
        query = {"fieldManager": "tests", "force": "true"}
        return self.call("PATCH", f"{path}/{manifest['metadata']['name']}", manifest, query, APPLY)


def _decoded(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; some refusals are plain text or nothing."""
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        return {"message": answer.text}
    return body


def install_crd(server: ApiServer, crd: dict[str, Any]) -> None:
    """Apply a CustomResourceDefinition and wait until the server speaks by it."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    server.apply(crd, path).accepted()
    version = crd["spec"]["versions"][0]
    wanted = version["schema"]["openAPIV3Schema"]["properties"]
    group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
    name = ".".join((*reversed(group.split(".")), version["name"], kind))
    deadline = time.monotonic() + PATIENCE
    while True:
        document = server.call("GET", f"/openapi/v3/apis/{group}/{version['name']}").body
        published = document.get("components", {}).get("schemas", {}).get(name, {})
        seen = published.get("properties", {})
        if all(seen.get(part) == wanted[part] for part in ("spec", "status")):
            return
        assert time.monotonic() < deadline, "the API server does not publish the CRD's schema"
        time.sleep(0.1)
