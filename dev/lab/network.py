"""The node's network namespace and its link to the host.

Neighbours: `native` calls `ensure` first and `remove` last; every component is started inside.
The host gets three routes (link, pods, services), so that a test on the host can call pods and
services; it gets no firewall rule, and the namespace has no way to the outside world. Must not
touch any other link.
"""

import contextlib

from lab.command import run
from lab.errors import LabError
from lab.instance import Instance


def inside(instance: Instance) -> list[str]:
    """The words before a command that run it in the node's namespace.

    nsenter, because `ip netns exec` remounts /sys and so hides the control groups.
    """
    return ["nsenter", f"--net={instance.namespace_path}", "--"]


def ensure(instance: Instance) -> None:
    """Namespace, link, addresses and routes; whatever is already right stays untouched."""
    if not _namespace_works(instance):
        _drop_namespace(instance)
        run(["ip", "netns", "add", instance.namespace])
    addresses = instance.addresses
    prefix = addresses.link.prefixlen
    if not _succeeds("ip", "link", "show", "dev", instance.link):
        pair = ["type", "veth", "peer", "name", "eth0", "netns", instance.namespace]
        run(["ip", "link", "add", instance.link, *pair])
    run(["ip", "address", "replace", f"{addresses.host}/{prefix}", "dev", instance.link])
    run(["ip", "link", "set", instance.link, "up"])
    enter = inside(instance)
    run([*enter, "ip", "link", "set", "lo", "up"])
    run([*enter, "ip", "address", "replace", f"{addresses.node}/{prefix}", "dev", "eth0"])
    run([*enter, "ip", "link", "set", "eth0", "up"])
    run([*enter, "ip", "route", "replace", "default", "via", str(addresses.host)])
    run([*enter, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    gateway = ["via", str(addresses.node), "dev", instance.link]
    for target in (addresses.node_pods, addresses.services):
        run(["ip", "route", "replace", str(target), *gateway])


def present(instance: Instance) -> bool:
    """Whether link and namespace are there, without changing anything."""
    return _namespace_works(instance) and _succeeds("ip", "link", "show", "dev", instance.link)


def remove(instance: Instance) -> None:
    """Everything that `ensure` made; the routes go with the link. Fine if nothing is there."""
    if _succeeds("ip", "link", "show", "dev", instance.link):
        run(["ip", "link", "delete", instance.link])
    _drop_namespace(instance)


def _namespace_works(instance: Instance) -> bool:
    """A namespace's file may outlive it (a reboot): only entering it tells."""
    return instance.namespace_path.exists() and _succeeds(*inside(instance), "true")


def _drop_namespace(instance: Instance) -> None:
    if instance.namespace_path.exists():
        run(["ip", "netns", "delete", instance.namespace])
        instance.namespace_path.unlink(missing_ok=True)


def _succeeds(*argv: str) -> bool:
    with contextlib.suppress(LabError):
        run(argv)
        return True
    return False
