"""The way of the commands to a cluster: kubeconfig, one kind, its annotation, its Events, watches.

Speaks with the rights of whoever calls, by the plain `kubernetes` client; that package costs 0.4 s,
so it is imported in the functions, after usage errors are told. Every failure becomes `NoAnswer`
with a sentence. Must not write anything but the action annotation, and know nothing of its meaning.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from savedmodel_operator.api import names
from savedmodel_operator.api.types import API_VERSION, PLURAL

Body = dict[str, Any]
_Command = TypeVar("_Command", bound=Callable[..., Any])

GROUP, _, VERSION = API_VERSION.partition("/")
MODELS = (GROUP, VERSION, PLURAL)
EVENTS = ("events.k8s.io", "v1", "events")
FIELD_MANAGER = "savedmodel-cli"
CALL = (5.0, 20.0)
"""Seconds to connect and to wait for bytes. Kubernetes' own objective for a call is 1 s."""

WATCH = 50.0
"""Seconds of one watch request; a proxy that drops silent connections does so after 60."""

FAILURES = 5
"""Watch requests in a row that may fail (an API server restarts) before the command gives up; the
pauses between them make 0.5 + 1 + 2 + 4 = 7.5 seconds."""

QUICK = 0.5
"""Seconds within which a watch that ends without a word has failed: one is asked for 1 and more."""

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoAnswer(Exception):
    """The cluster cannot be asked, or does not have the object; the text is a sentence."""


class TimedOut(Exception):
    """The time that the caller gave is over."""


class _Expired(Exception):
    """The API server no longer has the changes since that resourceVersion."""


@dataclass(frozen=True)
class Place:
    """Where to look: a context of the kubeconfig and a namespace; None is what is current."""

    context: str | None
    namespace: str | None


class Deadline:
    """When to stop waiting, on the monotonic clock; 0 seconds is never."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds if seconds else None

    def left(self, most: float) -> float:
        """Seconds left, at most `most`. Raises TimedOut."""
        if self._end is None:
            return most
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimedOut
        return min(left, most)


def cluster_options(command: _Command) -> _Command:
    """The options `-n` and `--context`, given to the command as `namespace` and `context`."""
    for option in (
        click.option("--context", metavar="NAME", help="Context of the kubeconfig to use."),
        click.option(
            "-n", "--namespace", metavar="NAME", help="Namespace; default: the context's own."
        ),
    ):
        command = option(command)
    return command


@contextmanager
def connect(place: Place) -> Iterator[Cluster]:
    """A way to the API server. Raises NoAnswer."""
    configuration, namespace = _configure(place)
    from kubernetes.client import ApiClient, CustomObjectsApi

    api: Any = ApiClient(configuration)  # untyped
    api.user_agent = "savedmodel-cli"
    try:
        yield Cluster(CustomObjectsApi(api), place.namespace or namespace)
    finally:
        api.close()


def _configure(place: Place) -> tuple[Any, str]:
    """The client's configuration and the context's namespace. Raises NoAnswer."""
    import kubernetes.config
    import yaml
    from kubernetes.client import Configuration

    config: Any = kubernetes.config  # untyped
    found = Configuration()
    found.retries = False  # what to try again is decided here; urllib3 would warn on stderr
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube/config")
    here = any(Path(file).exists() for file in files.split(os.pathsep) if file)
    try:
        if not here and place.context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=found)
            return found, _IN_POD.read_text().strip() if _IN_POD.exists() else "default"
        config.load_kube_config(files, place.context, found, persist_config=False)
        contexts, active = config.list_kube_config_contexts(files)
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        raise NoAnswer(
            f"no cluster to ask: {error}; KUBECONFIG or ~/.kube/config names one"
        ) from error
    chosen = next((c for c in contexts if c["name"] == place.context), active)
    return found, chosen["context"].get("namespace") or "default"


class Cluster:
    """Calls to one API server; `namespace` is the one that is meant where none is said."""

    def __init__(self, objects: Any, namespace: str) -> None:
        self._objects = objects
        self.namespace = namespace

    def get(self, name: str) -> Body:
        """One SavedModelDeployment. Raises NoAnswer."""
        with _told():
            found: Body = self._objects.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, name, _request_timeout=CALL
            )
        return found

    def list(self, everywhere: bool) -> list[Body]:
        """All of the namespace, or of all namespaces. Raises NoAnswer."""
        with _told():
            if everywhere:
                found = self._objects.list_cluster_custom_object(*MODELS, _request_timeout=CALL)
            else:
                found = self._list(MODELS)
        items: list[Body] = found["items"]
        return items

    def act(self, name: str, text: str, dry_run: bool) -> Body:
        """Sets the action annotation and returns the object. Raises NoAnswer."""
        body = {"metadata": {"annotations": {names.ANNOTATION_ACTION: text}}}
        with _told():
            found: Body = self._objects.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                PLURAL,
                name,
                body,
                dry_run="All" if dry_run else None,
                field_manager=FIELD_MANAGER,
                _content_type="application/merge-patch+json",
                _request_timeout=CALL,
            )
        return found

    def follow(self, first: Body, deadline: Deadline) -> Iterator[Body]:
        """This object and each later state of it, until the caller stops.

        Raises TimedOut, and NoAnswer where it was deleted or the API server stays away.
        """
        yield first
        name, at, failures = first["metadata"]["name"], _version(first), 0
        while True:
            try:
                for body in self._changes(name, at, deadline):
                    at, failures = _version(body), 0
                    yield body
            except _Expired:
                again = self.get(name)
                at = _version(again)
                yield again
            except _Away as error:
                failures += 1
                if failures == FAILURES:
                    raise NoAnswer(str(error)) from error
                time.sleep(deadline.left(2.0 ** (failures - 2)))

    def _changes(self, name: str, at: str, deadline: Deadline) -> Iterator[Body]:
        """One watch request; one that ends at once is a failure, or it would be asked for in
        a busy loop."""
        began, quiet = time.monotonic(), True
        for body in self._watch(MODELS, f"metadata.name={name}", at, deadline):
            quiet = False
            yield body
        if quiet and time.monotonic() - began < QUICK:
            raise _Away("the API server ends each watch at once")

    def event_mark(self, name: str) -> str | None:
        """From where to read the object's Events; None where we may not."""
        try:
            with _told():
                found = self._list(EVENTS, field_selector=f"regarding.name={name}", limit=1)
        except NoAnswer:
            return None
        return str(found["metadata"]["resourceVersion"])

    def events(self, name: str, mark: str, deadline: Deadline) -> Iterator[Body]:
        """Events of the object after `mark`. Ends by TimedOut, or early where they are lost."""
        try:
            yield from self._watch(EVENTS, f"regarding.name={name}", mark, deadline)
        except (_Expired, _Away, NoAnswer):
            return

    def _list(self, kind: tuple[str, str, str], **query: Any) -> Body:
        group, version, plural = kind
        found: Body = self._objects.list_namespaced_custom_object(
            group, version, self.namespace, plural, _request_timeout=CALL, **query
        )
        return found

    def _watch(
        self, kind: tuple[str, str, str], selector: str, at: str, deadline: Deadline
    ) -> Iterator[Body]:
        """One watch request's objects. Raises TimedOut, _Expired, _Away, NoAnswer."""
        import kubernetes.watch
        from urllib3.exceptions import ReadTimeoutError

        group, version, plural = kind
        seconds = deadline.left(WATCH)
        module: Any = kubernetes.watch  # untyped
        with _told(), suppress(ReadTimeoutError):  # a quiet one is asked for again
            for event in module.Watch().stream(
                self._objects.list_namespaced_custom_object,
                group,
                version,
                self.namespace,
                plural,
                field_selector=selector,
                resource_version=at,
                timeout_seconds=max(1, int(seconds)),
                _request_timeout=(min(CALL[0], seconds), seconds + 1),
            ):
                deadline.left(WATCH)
                if event["type"] == "DELETED":
                    raise NoAnswer(f"{event['object']['metadata']['name']} was deleted")
                yield event["object"]


class _Away(NoAnswer):
    """No connection: worth another try while one waits."""


def _version(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["resourceVersion"])


@contextmanager
def _told() -> Iterator[None]:
    """Failures of the client library, as sentences."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status == 410:
            raise _Expired from error
        raise NoAnswer(_sentence(error)) from error
    except (HTTPError, OSError) as error:
        raise _Away(f"the API server does not answer: {error}") from error


def _sentence(error: Any) -> str:
    """What the API server says, and what to do about it."""
    try:
        message = json.loads(error.body or "{}").get("message", "")
    except (ValueError, AttributeError):
        message = ""
    if error.status == 404 and not message:
        return "this cluster does not know SavedModelDeployments: install the operator's chart"
    if error.status == 401:
        return "the API server does not know this credential (401): log in again"
    return message or f"the API server answers {error.status} {error.reason}"
