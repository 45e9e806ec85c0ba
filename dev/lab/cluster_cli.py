"""The commands of dev/cluster.

Neighbours: `provider` knows the cluster, `images` and `s3` fill it. Data goes to stdout, everything
for a person to stderr; exit code 1 means that the answer is no. Must not hold logic that a test
would want to call.
"""

import os
import sys

import click
from rich.console import Console
from rich.table import Table

from lab import images, provider, s3
from lab.build import binary
from lab.cluster import kubectl_program
from lab.errors import LabError
from lab.instance import Instance, current
from lab.progress import console, note
from lab.recipes import RECIPES


class _PassingThrough(click.Command):
    """Takes every word as it stands: click would swallow `--`, which kubectl needs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["words"] = tuple(args)
        return []


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cluster() -> None:
    """A real Kubernetes of one node on this machine, for development and tests.

    It is made by kind where a Docker engine answers, else of plain processes (root needed).
    SAVEDMODEL_CLUSTER names the instance (default: dev).
    """


@cluster.command()
@click.option("--kind", "forced", is_flag=True, help="Use kind; fail if no Docker engine answers.")
def up(forced: bool) -> None:
    """Start the cluster, repair it, or see that it is there."""
    instance = current()
    way = provider.up(instance, forced=forced)
    note(f"{instance.name} is up ({way}): {instance.kubeconfig}")


@cluster.command()
@click.option("--purge", is_flag=True, help="Remove the node's images as well.")
def down(purge: bool) -> None:
    """Stop everything and remove every trace; built programs and images stay in the cache."""
    provider.down(current(), purge=purge)


@cluster.command()
def status() -> None:
    """Show what runs; exit code 1 unless all is well."""
    instance = _existing()
    rows = provider.running(instance).status(instance)
    table = Table("part", "", "", box=None, pad_edge=False)
    for name, well, word in rows:
        table.add_row(name, "[green]well[/]" if well else "[red]not well[/]", word)
    Console().print(table)
    sys.exit(0 if all(well for _, well, _ in rows) else 1)


@cluster.command(cls=_PassingThrough, add_help_option=False)
def kubectl(words: tuple[str, ...]) -> None:
    """Run kubectl on the cluster, with all further words; its plugins, too."""
    instance = _existing()
    # By the environment: kubectl takes no flag before a plugin's name, and passes none on to it.
    os.environ["KUBECONFIG"] = str(instance.kubeconfig)
    argv = [*kubectl_program(instance), *words]
    os.execvp(argv[0], argv)


@cluster.command(cls=_PassingThrough, add_help_option=False)
def helm(words: tuple[str, ...]) -> None:
    """Run Helm on the cluster, with all further words; it is built on first use."""
    os.environ["KUBECONFIG"] = str(_existing().kubeconfig)
    program = str(binary("helm"))
    os.execv(program, [program, *words])


@cluster.command()
def kubeconfig() -> None:
    """Print the path of the kubeconfig."""
    click.echo(_existing().kubeconfig)


@cluster.command()
def audit() -> None:
    """Print the path of the API server's audit log (JSON lines)."""
    click.echo(_existing().audit_log)


@cluster.command("load-image")
@click.argument("names", nargs=-1, required=True, type=click.Choice(sorted(RECIPES)))
def load_image(names: tuple[str, ...]) -> None:
    """Build images from the tree as it is, bring them to the node, print their references."""
    for name in names:
        click.echo(images.ensure(name, _existing()).reference)


@cluster.command("s3")
def store() -> None:
    """Start the S3 server and print how to reach it, as shell assignments for this host."""
    found = s3.ensure(_existing())
    click.echo(f"AWS_ENDPOINT_URL={found.host_endpoint}")
    click.echo(f"AWS_ACCESS_KEY_ID={found.access_key}")
    click.echo(f"AWS_SECRET_ACCESS_KEY={found.secret_key}")
    click.echo(f"AWS_REGION={found.region}")
    note(f"in the cluster: {found.endpoint}")


@cluster.command()
@click.argument("component")
@click.option("-f", "--follow", is_flag=True)
@click.option("-n", "--lines", default=50, show_default=True)
def logs(component: str, follow: bool, lines: int) -> None:
    """Show the log of one of the cluster's own programs, say kubelet."""
    instance = _existing()
    words = ["-n", str(lines), *(["-F"] if follow else [])]
    argv = provider.running(instance).log_command(instance, component, words)
    os.execvp(argv[0], argv)


def _existing() -> Instance:
    """The instance, with an early answer for those who forgot `up`."""
    instance = current()
    provider.running(instance)
    return instance


def main() -> None:
    """Entry point of dev/cluster."""
    try:
        cluster(prog_name="dev/cluster")
    except LabError as error:
        console.print(f"dev/cluster: {error}", markup=False, style="red")
        sys.exit(1)
    except KeyboardInterrupt:
        note("dev/cluster: interrupted; the next `up` goes on from here")
        sys.exit(130)


if __name__ == "__main__":
    main()
