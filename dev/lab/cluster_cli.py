"""The commands of dev/cluster.

Neighbours: `native` and `kind` are the two ways to a cluster; `images` and `s3` fill it. Data goes
to stdout, everything for a person to stderr. Must not hold logic that a test would want to call.
"""

import sys

import click

from lab import native
from lab.errors import LabError
from lab.instance import current
from lab.progress import console


@click.group()
def cluster() -> None:
    """A real Kubernetes on this machine."""


@cluster.command()
def up() -> None:
    """Start the cluster, or repair it, or see that it is there."""
    native.up(current())


@cluster.command()
@click.option("--purge", is_flag=True)
def down(purge: bool) -> None:
    """Stop."""
    native.down(current(), purge=purge)


def main() -> None:
    """Entry point of dev/cluster."""
    try:
        cluster()
    except LabError as error:
        console.print(f"dev/cluster: {error}", markup=False, style="red")
        sys.exit(1)


if __name__ == "__main__":
    main()
