"""The cluster itself: up, up again, repaired after violence, down without a trace.

On an instance of its own (`life`), so that the cluster in use stays as it is.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import images, native, node, provider
from lab.api import condition
from lab.cluster import Cluster, until
from lab.instance import REPOSITORY, Instance, current
from lab.provider import Way

pytestmark = pytest.mark.cluster

#: Seconds; a cold start of the node takes about 20 on an idle machine of two cores.
PATIENCE = 180


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    state = tmp_path_factory.mktemp("state")
    return {**os.environ, "SAVEDMODEL_CLUSTER": "life", "SAVEDMODEL_STATE": str(state)}


@pytest.fixture(scope="module")
def instance(environment: dict[str, str]) -> Iterator[Instance]:
    found = current(environment)
    if provider.decide(None, forced=False, docker=provider.kind.engine_answers()) is Way.KIND:
        pytest.skip("kind has its own tests of its life cycle; ours is of the native way")
    native.down(found)
    yield found
    native.down(found, purge=True)


def cluster_command(environment: dict[str, str], *words: str) -> str:
    argv = [str(REPOSITORY / "dev" / "cluster"), *words]
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pids(instance: Instance) -> dict[str, int]:
    return {name: record.pid for name, record in node.records(instance).items()}


def node_is_ready(instance: Instance) -> bool:
    return condition(Cluster(instance).get(f"/api/v1/nodes/{instance.node_name}"), "Ready")


def test_an_up_that_was_killed_midway_is_finished_by_the_next(
    instance: Instance, environment: dict[str, str]
) -> None:
    argv = [str(REPOSITORY / "dev" / "cluster"), "up"]
    with subprocess.Popen(argv, env=environment, start_new_session=True) as started:
        assert until(lambda: "etcd" in node.records(instance), patience=PATIENCE)
        os.killpg(started.pid, signal.SIGKILL)
    assert "kubelet" not in node.records(instance), "it was killed too late to prove anything"
    cluster_command(environment, "up")
    assert node_is_ready(instance)


def test_a_second_up_changes_nothing(instance: Instance, environment: dict[str, str]) -> None:
    before = pids(instance)
    cluster_command(environment, "up")
    assert pids(instance) == before


@pytest.mark.parametrize("name", ["kube-scheduler", "containerd", "kube-apiserver"])
def test_a_killed_component_is_started_again(
    instance: Instance, environment: dict[str, str], name: str
) -> None:
    before = pids(instance)
    assert node.kill_pids([before[name]]) == []
    cluster_command(environment, "up")
    after = pids(instance)
    assert after.pop(name) != before.pop(name)
    assert after == before
    assert node_is_ready(instance)


def test_a_pod_resolves_names_and_reaches_the_api_through_its_service(
    instance: Instance, environment: dict[str, str]
) -> None:
    image = images.ensure("base", instance).reference
    code = (
        "import socket; print(socket.gethostbyname('kubernetes.default'));"
        "socket.create_connection(('kubernetes.default', 443), 5).close();"
        "\ntry: socket.gethostbyname('no-such-host.example')"
        "\nexcept socket.gaierror: print('unknown')"
    )
    words = ["run", "probe", "--image", image, "--restart=Never", "--command", "--"]
    cluster_command(environment, "kubectl", *words, "python3", "-c", code)
    path = "/api/v1/namespaces/default/pods/probe"
    cluster = Cluster(instance)

    def ended() -> bool:
        pod = cluster.get(path)
        return bool(pod and pod["status"].get("phase") in ("Succeeded", "Failed"))

    assert until(ended, patience=PATIENCE)
    answer = cluster_command(environment, "kubectl", "logs", "probe")
    assert answer.split() == [str(instance.addresses.api_service), "unknown"]


def test_writes_are_in_the_audit_log(instance: Instance, environment: dict[str, str]) -> None:
    cluster_command(environment, "kubectl", "create", "configmap", "audited")
    log = Path(cluster_command(environment, "audit").strip()).read_text()
    written = [line for line in log.splitlines() if '"name":"audited"' in line]
    assert len(written) == 1
    assert '"verb":"create"' in written[0]
    assert '"requestObject"' not in written[0], "metadata only: bodies may hold secrets"


def processes_that_mention(places: list[Path]) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and folder.name != str(os.getpid()):
            try:
                words = (folder / "cmdline").read_text(errors="replace")
            except OSError:
                continue
            found += [words for place in places if str(place) in words]
    return found


def test_down_leaves_nothing_behind(instance: Instance, environment: dict[str, str]) -> None:
    places = [instance.run, instance.state]
    assert processes_that_mention(places), "the check itself must be able to see a process"
    cluster_command(environment, "down")
    assert processes_that_mention(places) == []
    assert instance.namespace not in Path("/proc/mounts").read_text()
    assert not any(str(place) in Path("/proc/mounts").read_text() for place in places)
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{instance.cgroup}"))
    assert instance.link not in Path("/proc/net/dev").read_text()
    assert not instance.namespace_path.exists()
    assert not any(place.exists() for place in places)
    start = time.monotonic()
    cluster_command(environment, "down")
    assert time.monotonic() - start < PATIENCE
