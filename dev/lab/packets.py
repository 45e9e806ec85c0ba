"""Packets that vanish: nobody refuses and nobody says goodbye, as when a machine loses its power.

    with packets.dropped(instance, (pod, ANY)):
        …                                   # the pod hears nobody and nobody hears it

Neighbours: `network` made the namespace in whose routing this works: pods have point-to-point links, so
every packet of one is forwarded there. What the node itself sends, the kubelet's probes among it, is
not forwarded and passes: the cluster goes on calling such a pod ready. Must not touch any rule but
those of its own chain.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator

from lab import network
from lab.command import run
from lab.instance import Instance

CHAIN = "LAB-DROPPED"
ANY = "0.0.0.0/0"


@contextlib.contextmanager
def dropped(
    instance: Instance, *pairs: tuple[str, str], port: int | None = None
) -> Iterator[float]:
    """While inside, nothing passes between the two addresses of a pair, either way; with `port`
    nothing from the first to that TCP port of the second. Gives Unix seconds of its beginning."""
    clear(instance)  # of who was killed in the middle
    try:
        _tables(instance, "-N", CHAIN)
        for one, other in pairs:
            only = () if port is None else ("-p", "tcp", "--dport", str(port))
            _tables(instance, "-A", CHAIN, "-s", one, "-d", other, *only, "-j", "DROP")
            if port is None:
                _tables(instance, "-A", CHAIN, "-s", other, "-d", one, "-j", "DROP")
        began = time.time()
        _tables(instance, "-I", "FORWARD", "1", "-j", CHAIN)
        yield began
    finally:
        clear(instance)


def clear(instance: Instance) -> None:
    """Remove the chain, if it is there."""
    for words in (("-D", "FORWARD", "-j", CHAIN), ("-F", CHAIN), ("-X", CHAIN)):
        argv = [*network.inside(instance), "iptables", "-w", *words]
        subprocess.run(argv, capture_output=True, check=False, timeout=20)


def _tables(instance: Instance, *words: str) -> None:
    run([*network.inside(instance), "iptables", "-w", *words])
