"""The commands on a cluster, as processes, against the real API server."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from api.shell.played_operator import PlayedOperator
from api.shell.test_shell_process import MODEL, Operator
from unit.cli.cluster_stories import holding, paused, refused, served

pytestmark = pytest.mark.api

PATIENCE = 60.0


class Command:
    """`savedmodel` with a kubeconfig whose context has the test's namespace."""

    def __init__(self, kubeconfig):
        self.environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "NO_PROXY": "127.0.0.1"}

    def start(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "savedmodel_operator.cli", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words):
        """(exit code, stdout, stderr)."""
        return ended(self.start(*words))


class Completion:
    """`kubectl_complete-savedmodel`."""

    def __init__(self, environment):
        self.environment = environment

    def __call__(self, *words):
        """The lines that kubectl reads."""
        done = subprocess.run(
            [sys.executable, "-m", "savedmodel_operator.cli.complete", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()


def ended(process):
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def until(question):
    """Waits for what another process brings about."""
    end = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < end
        time.sleep(0.02)


def with_context(kubeconfig, folder, namespace, token=None):
    """A kubeconfig of the namespace's own, with a second context that leads nowhere."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    config["clusters"].append({"name": "gone", "cluster": {"server": "https://127.0.0.1:9"}})
    config["contexts"].append({"name": "gone", "context": {"cluster": "gone", "user": "admin"}})
    if token is not None:
        config["users"][0]["user"] = {"token": token}
    file = folder / "config"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def savedmodel(kubeconfig, namespace, tmp_path, api, models):
    # A new CRD's schema is published a moment before its objects are served.
    until(lambda: api.call("GET", models).code == 200)
    return Command(with_context(kubeconfig, tmp_path, namespace))


@pytest.fixture
def play(api, models):
    """play(world) → the object of that world in the namespace, and who handles it."""
    made = []

    def one(world):
        made.append(PlayedOperator(api, models, world))
        made[-1].create()
        return made[-1]

    yield one
    for operator in made:
        operator.stop()


def test_status_of_a_paused_rollout(savedmodel, play, namespace):
    play(paused())
    code, out, err = savedmodel("status", "flowers")
    assert (code, err) == (3, "")
    assert f"flowers in {namespace}: Paused\n" in out
    assert "trying   v2  20 %" in out
    assert f"→ savedmodel promote flowers -n {namespace}" in out
    code, out, _ = savedmodel("status", "flowers", "-o", "json")
    found = json.loads(out)
    assert (code, found["verdict"], found["candidate"]["weight"]) == (3, "waiting", 20)
    assert yaml.safe_load(savedmodel("status", "flowers", "-o", "yaml")[1]) == found


def test_status_of_all(savedmodel, play, namespace):
    assert savedmodel("status") == (0, "no SavedModelDeployments here\n", "")
    play(refused())
    code, out, _ = savedmodel("status", "-A")
    assert code == 1
    (row,) = [line.split() for line in out.splitlines() if line.startswith(namespace)]
    assert row[1:5] == ["flowers", "no", "Serving", "v1"]
    name = "savedmodeldeployment.savedmodel.dev/flowers\n"
    assert savedmodel("status", "-o", "name") == (1, name, "")
    assert savedmodel("status", "-n", "default")[0] == 0


def test_history(savedmodel, play):
    play(refused())
    code, out, _ = savedmodel("history", "flowers")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["v1", "Serving"],
        ["v2", "Rejected"],
    ]


def test_names_and_refused_versions_are_completed(savedmodel, play):
    play(refused())
    plugin = Completion(savedmodel.environment)
    assert plugin("status", "fl") == ["flowers\tServing", ":4"]
    assert plugin("retry", "flowers", "") == ["2\tIncompatibleSignature", ":4"]
    assert plugin("status", "-n", "default", "") == [":4"]


def test_what_cannot_be_told_is_4(savedmodel, crd, namespace):
    code, out, err = savedmodel("status", "nothing")
    assert (code, out) == (4, "")
    assert err == ('savedmodel status: savedmodeldeployments.savedmodel.dev "nothing" not found\n')
    code, _, err = savedmodel("status", "--context", "gone")
    assert (code, "the API server does not answer" in err, "Traceback" in err) == (4, True, False)
    assert savedmodel("status", "--context", "unknown")[0] == 4
    assert savedmodel("promote", "nothing", "--wait")[0] == 4


def test_usage_is_2(savedmodel):
    assert savedmodel("status", "--wait")[0] == 2
    assert savedmodel("status", "flowers", "-A")[0] == 2
    assert savedmodel("promote", "flowers", "--wait", "--dry-run")[0] == 2
    assert savedmodel("retry", "flowers", "latest")[0] == 2
    assert savedmodel("status", "flowers", "--wait", "--timeout", "soon")[0] == 2


def test_promote_waits_to_the_next_pause_and_to_the_end(savedmodel, play):
    operator = play(paused(20, 50))
    operator.start()
    before = operator.body()
    code, out, err = savedmodel("promote", "flowers", "--wait", "--timeout", "1m")
    assert (code, err) == (3, "")
    assert out.startswith("waiting: flowers-v2-")
    assert savedmodel("promote", "flowers", "--wait") == (0, "yes: version 2 serves\n", "")
    assert savedmodel("status", "flowers", "--wait")[0] == 0
    after = operator.body()
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    (ours,) = [f for f in after["metadata"]["managedFields"] if f["manager"] == "savedmodel-cli"]
    assert ours["fieldsV1"] == {
        "f:metadata": {"f:annotations": {".": {}, "f:savedmodel.dev/action": {}}}
    }


def test_abort_and_retry(savedmodel, play):
    operator = play(paused(20))
    operator.start()
    code, out, _ = savedmodel("abort", "flowers", "--wait", "-o", "json")
    assert (code, json.loads(out)["verdict"]) == (0, "yes")
    assert "candidate" not in operator.body()["status"]
    assert savedmodel("status", "flowers")[0] == 1
    code, out, _ = savedmodel("abort", "flowers", "--wait")
    assert (code, out) == (1, "no: nothing to abort: no rollout is running\n")
    code, out, _ = savedmodel("retry", "flowers", "v2", "--wait")
    assert (code, out.startswith("waiting: ")) == (3, True)
    assert savedmodel("promote", "flowers", "--full", "--wait")[0] == 0


def test_pause_sync_and_resume(savedmodel, play):
    operator = play(holding())
    process = savedmodel.start("pause", "flowers", "--wait")
    until(operator.action)
    operator.start()
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert out.endswith("stays where it is until resume or promote\n")
    assert savedmodel("status", "flowers", "--wait")[0] == 3
    assert savedmodel("sync", "flowers", "--wait")[0] == 0
    assert operator.body()["status"]["candidate"]["weight"] == 10
    assert savedmodel("resume", "flowers", "--wait") == (0, "yes: version 2 serves\n", "")


def test_the_operator_refuses_what_was_aimed_at_a_step_that_is_over(savedmodel, play):
    operator = play(paused(20, 50))
    process = savedmodel.start("promote", "flowers", "--wait")
    until(lambda: operator.action().startswith("promote flowers-v2-"))
    operator.world.act("promote")
    operator.world.run(lambda: operator.world.status["candidate"]["step"] == 1)
    operator.world.run(lambda: operator.world.status["phase"] == "Paused")
    operator.report()
    operator.start()
    sentence = "no: promote names step 0, the rollout is at step 1\n"
    assert ended(process) == (1, sentence, "")


def test_without_wait_it_is_asked_for(savedmodel, play):
    operator = play(paused())
    code, out, _ = savedmodel("promote", "flowers", "--dry-run")
    assert (code, out.startswith("yes: would be asked for: promote flowers-v2-")) == (0, True)
    assert operator.action() == ""
    code, out, _ = savedmodel("promote", "flowers")
    assert (code, out) == (0, f"yes: asked for: {operator.action()}\n")


def test_time_that_is_over_is_124_and_an_interrupt_130(savedmodel, play):
    operator = play(paused())
    code, out, err = savedmodel("promote", "flowers", "--wait", "--timeout", "1s")
    assert (code, out) == (124, "")
    assert err == "savedmodel promote: the time is over before there is an outcome\n"
    first = operator.action()
    process = savedmodel.start("abort", "flowers", "--wait")
    until(lambda: operator.action() != first)
    process.send_signal(signal.SIGINT)
    assert (ended(process)[0], process.returncode) == (130, 130)


def test_another_action_takes_its_place(savedmodel, play, api):
    operator = play(paused())
    process = savedmodel.start("promote", "flowers", "--wait")
    until(operator.action)
    other = {"metadata": {"annotations": {"savedmodel.dev/action": "abort"}}}
    merge = "application/merge-patch+json"
    api.call("PATCH", operator.path, other, content_type=merge).accepted()
    code, out, _ = ended(process)
    assert (code, out.startswith("no: another action took its place")) == (1, True)


def test_watch_tells_each_change_until_it_is_settled(savedmodel, play):
    operator = play(holding())
    process = savedmodel.start("watch", "flowers", "--until-settled", "-o", "json")
    lines = [json.loads(process.stdout.readline())]
    operator.start()
    code, out, _ = ended(process)
    lines += map(json.loads, out.splitlines())
    assert code == 0
    weights = [found["candidate"]["weight"] for found in lines if found["candidate"]]
    assert (weights[0], sorted(weights), 50 in weights) == (10, weights, True)
    assert lines[-1]["stable"]["number"] == 2
    text = savedmodel("watch", "flowers", "--until-settled")[1]
    assert text.splitlines()[-1].endswith("version 2 serves on 2 of 2 pods")


def test_an_object_that_is_deleted_ends_the_watch(savedmodel, play, api):
    operator = play(served())
    process = savedmodel.start("watch", "flowers", "-o", "json")
    process.stdout.readline()
    api.call("DELETE", operator.path).accepted()
    code, _, err = ended(process)
    assert (code, err) == (4, "savedmodel watch: flowers was deleted\n")


@pytest.fixture
def as_role(api, kubeconfig, namespace, tmp_path):
    """as_role(verbs) → the command with a ServiceAccount that has these on the one kind."""

    def one(*verbs):
        core, rbac = f"/api/v1/namespaces/{namespace}", "/apis/rbac.authorization.k8s.io/v1"
        meta = {"metadata": {"name": "person"}}
        api.call("POST", f"{core}/serviceaccounts", meta).accepted()
        resource = {"apiGroups": ["savedmodel.dev"], "resources": ["savedmodeldeployments"]}
        role = {**meta, "rules": [{**resource, "verbs": list(verbs)}]}
        api.call("POST", f"{rbac}/namespaces/{namespace}/roles", role).accepted()
        subject = {"kind": "ServiceAccount", "name": "person", "namespace": namespace}
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "person"}
        binding = {**meta, "roleRef": ref, "subjects": [subject]}
        api.call("POST", f"{rbac}/namespaces/{namespace}/rolebindings", binding).accepted()
        path = f"{core}/serviceaccounts/person/token"
        token = api.call("POST", path, {"spec": {}}).accepted()["status"]["token"]
        return Command(with_context(kubeconfig, tmp_path, namespace, token))

    return one


def test_a_viewer_sees_and_may_not_steer(as_role, play):
    play(paused())
    viewer = as_role("get", "list", "watch")
    assert viewer("status", "flowers")[0] == 3
    code, out, err = viewer("promote", "flowers")
    assert (code, out) == (4, "")
    assert 'cannot patch resource "savedmodeldeployments"' in err
    assert viewer("status", "-A")[0] == 4


def test_who_may_not_read_events_learns_the_outcome(as_role, play):
    operator = play(paused())
    operator.start()
    person = as_role("get", "list", "watch", "patch")
    assert person("promote", "flowers", "--wait") == (0, "yes: version 2 serves\n", "")


@pytest.fixture
def operator(kubeconfig, namespace, crd, tmp_path):
    """The real operator, as a process of its own."""
    replica = Operator(kubeconfig, namespace, tmp_path)
    yield replica
    if replica.process.poll() is None:
        replica.end(signal.SIGKILL)


def test_with_the_real_operator(savedmodel, operator, api, models):
    """Nothing can be tried without a node and a bucket; what it says and handles is real."""
    api.call("POST", models, MODEL).accepted()
    operator.ready()
    code, out, err = savedmodel("sync", "flowers", "--wait", "--timeout", "30s")
    assert (code, err) == (0, "")
    found = api.call("GET", f"{models}/flowers").accepted()
    asked = found["metadata"]["annotations"]["savedmodel.dev/action"]
    assert found["status"]["lastHandledAction"] == asked
    code, out, _ = savedmodel("status", "flowers")
    assert code == 1
    assert "source  " in out
    assert savedmodel("abort", "flowers", "--wait")[0] == 1
