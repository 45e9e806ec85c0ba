"""One cluster's names, paths and addresses: the nouns that every other room shares.

Neighbours: everybody reads an `Instance`; only `current` looks at the environment. Must not touch
the disk or the network.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from zlib import crc32

from lab.errors import LabError

REPOSITORY = Path(__file__).resolve().parents[2]

#: The instance meant when none is named.
DEFAULT = "dev"

#: Seven characters, because a network link's name has at most 15 and ours is `sm-NAME-host`.
_NAME = re.compile(r"^[a-z][a-z0-9]{0,6}$")


@dataclass(frozen=True)
class Addresses:
    """Where things are: the host's and the node's end of the link, pods, services."""

    link: IPv4Network
    pods: IPv4Network
    services: IPv4Network

    @property
    def host(self) -> IPv4Address:
        return self.link[1]

    @property
    def node(self) -> IPv4Address:
        return self.link[2]

    @property
    def node_pods(self) -> IPv4Network:
        """The only node's share of the pod addresses, as the controller manager hands it out."""
        return next(self.pods.subnets(new_prefix=24))

    @property
    def api_service(self) -> IPv4Address:
        return self.services[1]

    @property
    def dns_service(self) -> IPv4Address:
        return self.services[10]


def addresses(name: str) -> Addresses:
    """An instance's own addresses, so that several can be up at once.

    `dev` has those that Kubernetes people know. Any other name has a number of 1 to 99 from its
    hash; two names that share one cannot be up together.
    """
    number = 0 if name == DEFAULT else 1 + crc32(name.encode()) % 99
    return Addresses(
        link=IPv4Network(f"10.99.{number}.0/30"),
        pods=IPv4Network(f"10.{100 + number}.0.0/16" if number else "10.244.0.0/16"),
        services=IPv4Network(f"10.98.{number}.0/24" if number else "10.96.0.0/16"),
    )


@dataclass(frozen=True)
class Instance:
    """One cluster on this machine. `state` lives as long as the cluster, `cache` outlives it."""

    name: str
    state: Path
    cache: Path

    @property
    def addresses(self) -> Addresses:
        return addresses(self.name)

    @property
    def run(self) -> Path:
        """Sockets and mounts; short, because a socket's path has at most 107 bytes."""
        return Path("/run") / f"savedmodel-{self.name}"

    @property
    def node_name(self) -> str:
        return f"{self.name}-node"

    @property
    def namespace(self) -> str:
        return f"savedmodel-{self.name}"

    @property
    def namespace_path(self) -> Path:
        return Path("/var/run/netns") / self.namespace

    @property
    def link(self) -> str:
        return f"sm-{self.name}-host"

    @property
    def cgroup(self) -> str:
        """The control group, in every hierarchy, under which the kubelet keeps all pods."""
        return f"savedmodel-{self.name}"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.state / "audit" / "audit.jsonl"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def server(self) -> str:
        return f"https://{self.addresses.node}:6443"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def containerd_root(self) -> Path:
        """Kept by `down`: importing gigabytes of images again is the slowest part of `up`."""
        return self.cache / "containerd" / self.name


def cache_root(environment: Mapping[str, str] = os.environ) -> Path:
    """The cache that outlives checkouts; the same rule as in dev/python."""
    if own := environment.get("SAVEDMODEL_CACHE"):
        return Path(own)
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "savedmodel-operator"


def current(environment: Mapping[str, str] = os.environ) -> Instance:
    """The cluster meant by SAVEDMODEL_CLUSTER (default `dev`). Raises LabError for a bad name."""
    name = environment.get("SAVEDMODEL_CLUSTER") or DEFAULT
    if not _NAME.match(name):
        raise LabError(
            f"SAVEDMODEL_CLUSTER={name}: use 1 to 7 of a-z and 0-9, beginning with a letter"
        )
    if own := environment.get("SAVEDMODEL_STATE"):
        states = Path(own)
    else:
        base = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        states = Path(base) / "savedmodel-operator"
    return Instance(name, states / name, cache_root(environment))
