"""A Kubernetes of one node without a container engine: brought up, repaired, taken down.

Neighbours: `packages`, `build`, `network`, `pki`, `cgroups`, `node` and `runtime` each do one part;
this room knows their order. Every part of `up` looks first and then does only what is missing, so
that the same path starts, repairs and confirms. Must not print data: that is `cluster_cli`'s.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

from lab import (
    archive,
    build,
    builder,
    cache,
    cgroups,
    components,
    mounts,
    network,
    node,
    packages,
    pki,
    recipes,
    runtime,
)
from lab.api import Api, condition, rolled_out
from lab.cluster import MANIFESTS, PATIENCE, Cluster, until
from lab.components import Component
from lab.errors import LabError
from lab.instance import Instance
from lab.pki import Pki
from lab.progress import step
from lab.recipes import Image

#: Seconds that a process gets to end when its state is about to be thrown away anyway.
DOWN_GRACE = 2.0


@dataclass(frozen=True)
class Site:
    """What all steps of `up` need: where, with which certificates, with which programs."""

    instance: Instance
    pki: Pki
    api: Api
    parts: dict[str, Component]


def up(instance: Instance) -> None:
    """From whatever state to a Ready node with cluster DNS. Raises LabError with log and line."""
    if os.geteuid() != 0:
        raise LabError("a cluster without Docker needs root: use sudo, or start a Docker engine")
    packages.ensure()
    with cache.locked(instance.state.parent / f"{instance.name}.lock"):
        site = _site(instance)
        if _complete(site):
            return
        with step("starting Kubernetes"):
            _prepare(site)
            _start(site)
        with step("waiting for the node and its DNS"):
            _apply_manifests(site)
            _wait_ready(site)


def down(instance: Instance, *, purge: bool = False) -> None:
    """No process, mount, namespace, link, control group or state is left. `purge`: nor an image."""
    with cache.locked(instance.state.parent / f"{instance.name}.lock"):
        with step("stopping Kubernetes"):
            _stop_everything(instance)
        mounts.release([instance.run, instance.state, instance.containerd_root])
        cgroups.remove(instance)
        network.remove(instance)
        _forget_files(instance, purge=purge)
        if left := leftovers(instance):
            raise LabError("could not remove: " + "; ".join(left))


def leftovers(instance: Instance) -> list[str]:
    """What of a cluster is on this machine, in words; empty after `down`."""
    found = [f"process {n}" for n, r in node.records(instance).items() if node.alive(r)]
    found += [f"runtime helper {pid}" for pid in runtime.shims(instance)]
    found += [f"process {pid} of a pod" for pid in cgroups.pids(instance)]
    places = [instance.run, instance.state, instance.containerd_root]
    found += [f"mount {point}" for point in mounts.below(places)]
    found += [f"control group {tree}" for tree in cgroups.leftovers(instance)]
    if network.present(instance):
        found.append(f"network namespace {instance.namespace}")
    return found


def _site(instance: Instance) -> Site:
    build.binary("kube")
    instance.state.mkdir(parents=True, exist_ok=True)
    return _known_site(instance, pki.ensure(instance))


def _known_site(instance: Instance, made: Pki) -> Site:
    """The site as the tree wants it, without making anything."""
    kube = build.path("kube")
    parts = components.all_components(instance, made, kube, recipes.image("pause").reference)
    admin = made.certificate("admin"), made.key("admin")
    return Site(instance, made, Api(instance.server, made.authority, *admin), parts)


def _complete(site: Site) -> bool:
    """Whether every process is the wanted one and healthy, and node and DNS are ready."""
    instance = site.instance
    for part in site.parts.values():
        record = node.read_record(instance, part.name)
        if not (node.alive(record) and record and record.fingerprint == node.fingerprint(part)):
            return False
        if part.health and not site.api.healthy(part.health):
            return False
    applied = _manifest_stamp(instance)
    return applied.exists() and applied.read_text() == _manifest_key(site) and ready(site)


def ready(site: Site) -> bool:
    """Whether the node is Ready and the cluster's DNS has an available pod."""
    api, name = site.api, site.instance.node_name
    dns = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
    return condition(api.get(f"/api/v1/nodes/{name}"), "Ready") and rolled_out(api.get(dns))


def _prepare(site: Site) -> None:
    instance = site.instance
    instance.run.mkdir(mode=0o711, exist_ok=True)
    instance.audit_log.parent.mkdir(parents=True, exist_ok=True)
    network.ensure(instance)
    cgroups.ensure(instance)
    shutil.copy2(site.pki.kubeconfig("admin"), instance.kubeconfig)


def _start(site: Site) -> None:
    instance, enter = site.instance, network.inside(site.instance)
    fresh = not (instance.state / "etcd").exists()
    if fresh and not node.alive(node.read_record(instance, "containerd")):
        runtime.forget_sandboxes(instance)
    for name in ("containerd", "etcd", "kube-apiserver"):
        node.ensure(instance, site.parts[name], enter)
        _wait_healthy(site, name, until_asked=name == "kube-apiserver")
    if fresh:
        runtime.forget_containers(instance)
    for image in ("pause", "coredns"):
        load(instance, recipes.image(image))
    _wait_healthy(site, "kube-apiserver")
    others = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    for name in others:
        node.ensure(instance, site.parts[name], enter)
    for name in others:
        _wait_healthy(site, name)


def _wait_healthy(site: Site, name: str, *, until_asked: bool = False) -> None:
    """Wait for one component. `until_asked`: not yet, there is other work to do meanwhile."""
    if until_asked:
        return
    part, instance = site.parts[name], site.instance

    def healthy() -> bool:
        return site.api.healthy(part.health) if part.health else runtime.answers(instance)

    def check() -> None:
        if not node.alive(node.read_record(instance, name)):
            raise LabError(f"{name} ended: {node.last_words(instance, name)}")

    if not until(healthy, check):
        words = node.last_words(instance, name)
        raise LabError(f"{name} is not healthy after {PATIENCE:.0f} s: {words}")


def _wait_ready(site: Site) -> None:
    if not until(lambda: ready(site), lambda: None):
        words = node.last_words(site.instance, "kubelet")
        raise LabError(
            f"node or DNS not ready after {PATIENCE:.0f} s; see `dev/cluster kubectl get pods -A`, "
            f"and the kubelet's last words: {words}"
        )


def _manifests(site: Site) -> str:
    values = {
        "DNS_SERVICE": str(site.instance.addresses.dns_service),
        "COREDNS_IMAGE": recipes.image("coredns").reference,
    }
    return Template((MANIFESTS / "coredns.yaml").read_text()).substitute(values)


def _manifest_key(site: Site) -> str:
    return cache.digest([("coredns", _manifests(site).encode())])


def _manifest_stamp(instance: Instance) -> Path:
    return instance.state / "applied"


def _apply_manifests(site: Site) -> None:
    Cluster(site.instance).apply(_manifests(site))
    _manifest_stamp(site.instance).write_text(_manifest_key(site))


def load(instance: Instance, image: Image) -> None:
    """Have `image` on the node under both its names."""
    if image.reference not in runtime.images(instance):
        builder.built(image)
        packed = instance.run / f"import-{image.recipe.name}.tar"
        with step(f"importing {image.reference}"):
            try:
                archive.pack(builder.layout(), image.reference, runtime.blobs(instance), packed)
                runtime.import_archive(instance, packed)
            finally:
                packed.unlink(missing_ok=True)
    runtime.tag(instance, image.reference, image.stable)


def _stop_everything(instance: Instance) -> None:
    """First those who would start something anew, then the pods, then the runtime."""
    started = node.records(instance)
    last = ("containerd", "etcd")
    others = [record for name, record in started.items() if name not in last]
    node.stop(others, grace=DOWN_GRACE)
    node.kill_pids(cgroups.pids(instance))
    node.stop([started[name] for name in last if name in started], grace=DOWN_GRACE)
    node.kill_pids([*runtime.shims(instance), *cgroups.pids(instance)])
    node.forget(instance)


def _forget_files(instance: Instance, *, purge: bool) -> None:
    shutil.rmtree(instance.run, ignore_errors=True)
    shutil.rmtree(instance.state, ignore_errors=True)
    if purge:
        shutil.rmtree(instance.containerd_root, ignore_errors=True)
    # Two places that the kubelet and the CNI library do not let one choose.
    for link in Path("/var/log/containers").glob("*"):
        if link.is_symlink() and link.readlink().is_relative_to(instance.state):
            link.unlink()
    for result in Path("/var/lib/cni/results").glob(f"{instance.namespace}-*"):
        result.unlink()


def status(instance: Instance) -> list[tuple[str, bool, str]]:
    """One row per part: name, whether it is well, a word about it."""
    made = Pki(instance.state / "pki")
    if not made.folder.is_dir():
        return [("certificates", False, "not made yet; dev/cluster up")]
    site, rows = _known_site(instance, made), []
    for name, part in site.parts.items():
        record = node.read_record(instance, name)
        if not (record and node.alive(record)):
            rows.append((name, False, "not running"))
            continue
        well = site.api.healthy(part.health) if part.health else runtime.answers(instance)
        rows.append((name, well, f"pid {record.pid}" if well else "running, not healthy"))
    rows.append(("node and DNS", ready(site), instance.node_name))
    return rows


def log_command(instance: Instance, component: str, words: list[str]) -> list[str]:
    """The command that shows a component's log."""
    log = node.log_path(instance, component)
    if not log.exists():
        known = ", ".join(sorted(path.stem for path in instance.logs.glob("*.log")))
        raise LabError(f"no log of {component}; there are: {known or 'none, is the cluster up?'}")
    return ["tail", *words, str(log)]
