"""Names, addresses and the way to a cluster, as the environment gives them."""

import itertools
from pathlib import Path

import pytest

from lab import kind, provider
from lab.errors import LabError
from lab.instance import Addresses, addresses, cache_root, current
from lab.provider import Way


def test_the_default_instance_has_the_addresses_of_the_documentation() -> None:
    found = current({"XDG_STATE_HOME": "/state", "XDG_CACHE_HOME": "/cache"})
    assert found.server == "https://10.99.0.2:6443"
    assert str(found.addresses.dns_service) == "10.96.0.10"
    assert str(found.addresses.node_pods) == "10.244.0.0/24"
    assert found.kubeconfig == Path("/state/savedmodel-operator/dev/kubeconfig")


def networks(found: Addresses) -> list[object]:
    return [found.link, found.pods, found.services]


def test_two_instances_share_no_name_and_no_address() -> None:
    one, two = (current({"SAVEDMODEL_CLUSTER": name}) for name in ("dev", "life"))
    for name in ("state", "run", "namespace", "link", "cgroup", "containerd_root", "node_name"):
        assert getattr(one, name) != getattr(two, name)
    pairs = itertools.combinations(networks(one.addresses) + networks(two.addresses), 2)
    assert not [pair for pair in pairs if pair[0].overlaps(pair[1])]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["a", "zz9", "abcdefg"])
def test_every_allowed_name_gives_private_addresses_and_a_link_name_that_fits(name: str) -> None:
    found = current({"SAVEDMODEL_CLUSTER": name})
    assert all(network.is_private for network in networks(addresses(name)))  # type: ignore[attr-defined]
    assert len(found.link) <= 15
    assert len(str(found.containerd_socket)) <= 107


@pytest.mark.parametrize("name", ["Dev", "9a", "a-b", "abcdefgh", "../x", "a b"])
def test_a_name_that_cannot_be_everything_it_must_be_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="SAVEDMODEL_CLUSTER"):
        current({"SAVEDMODEL_CLUSTER": name})


def test_the_cache_is_where_dev_python_puts_it() -> None:
    assert cache_root({"SAVEDMODEL_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_root({"XDG_CACHE_HOME": "/b"}) == Path("/b/savedmodel-operator")
    assert cache_root({}) == Path.home() / ".cache" / "savedmodel-operator"


@pytest.mark.parametrize(
    ("recorded", "forced", "docker", "way"),
    [
        pytest.param(None, False, False, Way.NATIVE, id="no engine: native"),
        pytest.param(None, False, True, Way.KIND, id="an engine: kind"),
        pytest.param(None, True, True, Way.KIND, id="forced, and possible"),
        pytest.param(Way.NATIVE, False, True, Way.NATIVE, id="a native cluster stays native"),
        pytest.param(Way.KIND, False, True, Way.KIND, id="a kind cluster stays one"),
        pytest.param(Way.KIND, False, False, Way.KIND, id="even when its engine is down"),
    ],
)
def test_the_way_to_a_cluster(recorded: Way | None, forced: bool, docker: bool, way: Way) -> None:
    assert provider.decide(recorded, forced=forced, docker=docker) is way


@pytest.mark.parametrize(
    ("recorded", "docker", "words"),
    [(None, False, "Docker engine"), (Way.NATIVE, True, "dev/cluster down")],
)
def test_kind_is_refused_where_it_cannot_be(recorded: Way | None, docker: bool, words: str) -> None:
    with pytest.raises(LabError, match=words):
        provider.decide(recorded, forced=True, docker=docker)


def test_the_kind_cluster_has_our_addresses_and_audits_to_the_host() -> None:
    instance = current({"SAVEDMODEL_STATE": "/state"})
    described = kind.configuration(instance)
    assert described["networking"] == {
        "podSubnet": "10.244.0.0/16",
        "serviceSubnet": "10.96.0.0/16",
    }
    (node,) = described["nodes"]  # type: ignore[misc]
    assert node["extraMounts"][0]["hostPath"] == "/state/dev/audit"
    assert "/etc/kubernetes/audit/audit.jsonl" in node["kubeadmConfigPatches"][0]
