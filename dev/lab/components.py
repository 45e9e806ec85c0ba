"""What each program of the native cluster is told: arguments, files, and how health is asked.

Neighbours: `native` starts these in order through `node`; `pki` and `instance` give the names.
Pure: builds values, starts and writes nothing.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from lab.instance import Instance
from lab.pki import Pki


@dataclass(frozen=True)
class Component:
    """One process of the node. `health` is a URL answered with 200, or None for a socket."""

    name: str
    argv: tuple[str, ...]
    health: str | None
    files: tuple[tuple[Path, str], ...] = ()


def all_components(
    instance: Instance, pki: Pki, kube: Path, pause_image: str
) -> dict[str, Component]:
    """Every process of the cluster, in the order in which they are started."""
    kubectl_free = (
        _containerd(instance, pause_image),
        _etcd(instance, pki, kube),
        _apiserver(instance, pki, kube),
        _controller_manager(instance, pki, kube),
        _scheduler(instance, pki, kube),
        _kubelet(instance, pki, kube),
        _proxy(instance, pki, kube),
    )
    return {component.name: component for component in kubectl_free}


def _flags(kube: Path, program: str, values: dict[str, object]) -> tuple[str, ...]:
    return (str(kube), program, *(f"--{name}={value}" for name, value in values.items()))


def _etcd(instance: Instance, pki: Pki, kube: Path) -> Component:
    node = instance.addresses.node
    values: dict[str, object] = {
        "name": "node",
        "data-dir": instance.state / "etcd",
        "listen-client-urls": "https://127.0.0.1:2379",
        "advertise-client-urls": "https://127.0.0.1:2379",
        "listen-peer-urls": "http://127.0.0.1:2380",
        "listen-metrics-urls": f"http://{node}:2381",
        "client-cert-auth": "true",
        "trusted-ca-file": pki.authority,
        "cert-file": pki.certificate("etcd"),
        "key-file": pki.key("etcd"),
        # A development cluster may lose its last second in a crash, not its speed.
        "unsafe-no-fsync": "true",
        "quota-backend-bytes": 2 * 1024**3,
        "log-level": "warn",
    }
    return Component("etcd", _flags(kube, "etcd", values), f"http://{node}:2381/health")


def _apiserver(instance: Instance, pki: Pki, kube: Path) -> Component:
    policy = instance.state / "audit" / "policy.json"
    values: dict[str, object] = {
        "advertise-address": instance.addresses.node,
        "secure-port": 6443,
        "service-cluster-ip-range": instance.addresses.services,
        "etcd-servers": "https://127.0.0.1:2379",
        "etcd-cafile": pki.authority,
        "etcd-certfile": pki.certificate("etcd"),
        "etcd-keyfile": pki.key("etcd"),
        "client-ca-file": pki.authority,
        "tls-cert-file": pki.certificate("apiserver"),
        "tls-private-key-file": pki.key("apiserver"),
        "kubelet-certificate-authority": pki.authority,
        "kubelet-client-certificate": pki.certificate("apiserver-kubelet"),
        "kubelet-client-key": pki.key("apiserver-kubelet"),
        # The node's name is in no DNS, so exec and logs go by address.
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki.folder / "service-account.pub",
        "service-account-signing-key-file": pki.key("service-account"),
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "audit-policy-file": policy,
        "audit-log-path": instance.audit_log,
        "audit-log-maxsize": 200,
        "audit-log-maxbackup": 2,
    }
    argv = _flags(kube, "kube-apiserver", values)
    files = ((policy, json.dumps(audit_policy(), indent=1)),)
    return Component("kube-apiserver", argv, f"{instance.server}/readyz", files)


def audit_policy() -> dict[str, object]:
    """Metadata of every request that a test may want to count.

    Left out: the heartbeat of the cluster's own parts (leases, reads, events), which would bury it.
    """
    reads = ["get", "list", "watch"]
    internal = ["system:nodes", "system:serviceaccounts:kube-system"]
    planes = ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"]
    planes.append("system:kube-proxy")
    leases = [{"group": "coordination.k8s.io", "resources": ["leases"]}]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version"]},
            {"level": "None", "verbs": reads, "userGroups": internal},
            {"level": "None", "verbs": reads, "users": planes},
            {"level": "None", "resources": leases, "userGroups": internal},
            {"level": "None", "resources": leases, "users": planes},
            {"level": "Metadata"},
        ],
    }


def _controller_manager(instance: Instance, pki: Pki, kube: Path) -> Component:
    config = pki.kubeconfig("kube-controller-manager")
    values: dict[str, object] = {
        "kubeconfig": config,
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        "tls-cert-file": pki.certificate("node"),
        "tls-private-key-file": pki.key("node"),
        "root-ca-file": pki.authority,
        "cluster-signing-cert-file": pki.authority,
        "cluster-signing-key-file": pki.key("ca"),
        "service-account-private-key-file": pki.key("service-account"),
        "use-service-account-credentials": "true",
        "allocate-node-cidrs": "true",
        "cluster-cidr": instance.addresses.pods,
        "service-cluster-ip-range": instance.addresses.services,
        # There is only one: an election would only make `up` slower.
        "leader-elect": "false",
        # Tests wait for autoscalers; every 15 s, the default, is long.
        "horizontal-pod-autoscaler-sync-period": "5s",
    }
    argv = _flags(kube, "kube-controller-manager", values)
    url = f"https://{instance.addresses.node}:10257/healthz"
    return Component("kube-controller-manager", argv, url)


def _scheduler(instance: Instance, pki: Pki, kube: Path) -> Component:
    config = pki.kubeconfig("kube-scheduler")
    values: dict[str, object] = {
        "kubeconfig": config,
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        "tls-cert-file": pki.certificate("node"),
        "tls-private-key-file": pki.key("node"),
        "leader-elect": "false",
    }
    url = f"https://{instance.addresses.node}:10259/healthz"
    return Component("kube-scheduler", _flags(kube, "kube-scheduler", values), url)


def _kubelet(instance: Instance, pki: Pki, kube: Path) -> Component:
    path = instance.state / "kubelet.json"
    values: dict[str, object] = {
        "config": path,
        "kubeconfig": pki.kubeconfig("kubelet"),
        "root-dir": instance.run / "kubelet",
        "hostname-override": instance.node_name,
        "node-ip": instance.addresses.node,
    }
    url = f"http://{instance.addresses.node}:10248/healthz"
    files = ((path, json.dumps(kubelet_configuration(instance, pki), indent=1)),)
    return Component("kubelet", _flags(kube, "kubelet", values), url, files)


def kubelet_configuration(instance: Instance, pki: Pki) -> dict[str, object]:
    """The kubelet's own settings; what is unlike a production node says why."""
    endpoint = f"unix://{instance.containerd_socket}"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": endpoint,
        "imageServiceEndpoint": endpoint,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{instance.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        # Raising one's own score needs a capability that containers of CI machines lack.
        "oomScoreAdj": 0,
        "address": str(instance.addresses.node),
        "healthzBindAddress": str(instance.addresses.node),
        "tlsCertFile": str(pki.certificate("node")),
        "tlsPrivateKeyFile": str(pki.key("node")),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki.authority)},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [str(instance.addresses.dns_service)],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "podLogsDir": str(instance.state / "pods"),
        "volumePluginDir": str(instance.state / "volume-plugins"),
        "serializeImagePulls": False,
        # Images cannot be pulled again, and a developer's disk is often nearly full.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
    }


def _proxy(instance: Instance, pki: Pki, kube: Path) -> Component:
    path = instance.state / "kube-proxy.json"
    configuration: dict[str, object] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(pki.kubeconfig("kube-proxy"))},
        "hostnameOverride": instance.node_name,
        "clusterCIDR": str(instance.addresses.pods),
        "healthzBindAddress": f"{instance.addresses.node}:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # The host's limits are not ours to change.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": {"minSyncPeriod": "100ms"},
    }
    argv = _flags(kube, "kube-proxy", {"config": path})
    url = f"http://{instance.addresses.node}:10256/livez"
    return Component("kube-proxy", argv, url, ((path, json.dumps(configuration, indent=1)),))


def _containerd(instance: Instance, pause_image: str) -> Component:
    path = instance.state / "containerd.toml"
    network = instance.state / "cni" / "10-pods.conflist"
    files = (
        (path, containerd_configuration(instance, pause_image)),
        (network, json.dumps(pod_network(instance), indent=1)),
    )
    argv = ("containerd", "--config", str(path), "--log-level", "warn")
    return Component("containerd", argv, None, files)


def containerd_configuration(instance: Instance, pause_image: str) -> str:
    """containerd's settings, in the version that both 1.6 and 2.x read."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    unused = ("aufs", "btrfs", "devmapper", "zfs", "native", "blockfile")
    disabled = [f"io.containerd.snapshotter.v1.{name}" for name in unused]
    return f"""version = 2
root = "{instance.containerd_root}"
state = "{instance.run}/containerd"
disabled_plugins = {json.dumps(disabled)}
[grpc]
  address = "{instance.containerd_socket}"
[{cri}]
  sandbox_image = "{pause_image}"
  restrict_oom_score_adj = true
  # So that `down` finds the pods' namespaces under a path that is ours alone.
  netns_mounts_under_state_dir = true
  [{cri}.cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{instance.state}/cni"
  [{cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def pod_network(instance: Instance) -> dict[str, object]:
    """Point-to-point links, not a bridge: every packet is routed.

    On a bridge, the answer of a service's pod to a pod on the same bridge passes no routing, and
    without br_netfilter (missing in many small kernels) its address is never translated back.
    """
    return {
        "cniVersion": "0.4.0",
        "name": instance.namespace,
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(instance.run / "addresses"),
                    "ranges": [[{"subnet": str(instance.addresses.node_pods)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
