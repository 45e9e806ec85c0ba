"""`dev/ops`: writes which ops each TensorFlow Serving knows, or checks what is written.

Neighbours: `ops_wheels` fetches and reads wheels, `ops_module` renders, `ops_try` compares. A run
fetches about 1.7 GB, one wheel after the other, and leaves nothing of it. Must not hold pins or
forms.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path

import click

from lab.errors import LabError
from lab.instance import cache_root
from lab.ops_module import MODULE, SHORT, render
from lab.ops_try import report, try_all
from lab.ops_wheels import HOSTS, SERVERS, TENSORFLOW, Op, OpList, Registry, list_ops, read_wheels
from lab.progress import step
from savedmodel_operator.gate import inventory

ROOT = Path(__file__).resolve().parents[2]


def wanted() -> dict[str, tuple[str, ...]]:
    """TensorFlow's version → the projects whose ops are listed with it as host, itself first."""
    own = {pins[TENSORFLOW]: (TENSORFLOW,) for pins in SERVERS.values()}
    hosted = {host: tuple(project for project, _ in addons) for host, addons in HOSTS.items()}
    return {host: own.get(host, ()) + hosted.get(host, ()) for host in sorted({*own, *hosted})}


def collect(scratch: Path) -> list[OpList]:
    """Every list, ordered by project and version."""
    registry, found = Registry(scratch), []
    for host, projects in wanted().items():
        with step(f"ops of TensorFlow {host}"):
            wheel = registry.fetch(TENSORFLOW, host)
            addons = {p: registry.fetch(p, v) for p, v in HOSTS.get(host, ())}
            lists = read_wheels(wheel, addons, scratch)
        found += [listed for listed in lists if listed.project in projects]
        for path in (wheel, *addons.values()):
            shutil.rmtree(path.parent)
    order = list(SHORT)
    return sorted(found, key=lambda x: (order.index(x.project), _numbers(x.version)))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for wheels and libraries, some 2 GB at a time, gone afterwards."""
    base = cache_root()
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ops-", dir=base) as folder:
        yield Path(folder)


def write() -> None:
    """Fetch everything and write the module."""
    with scratch_folder() as scratch:
        text = render(collect(scratch))
    (ROOT / MODULE).write_text(text, encoding="utf-8")
    print(f"wrote {MODULE}, {len(text.splitlines())} lines")


def differences(expected: Mapping[str, inventory.Op], found: list[Op]) -> list[str]:
    """What a registry has otherwise than the module, in words."""
    registered = {op.name: op for op in found}
    words = [f"{name} is not registered" for name in sorted(expected.keys() - registered.keys())]
    for name, op in sorted(registered.items()):
        known = expected.get(name)
        if known is None:
            words.append(f"{name} is not in the module")
        elif (known.attributes, known.deprecated) != (op.attributes, op.deprecated):
            words.append(f"{name} has {op.attributes}, the module says {known.attributes}")
    return words


def check_installed() -> list[str]:
    """The module's list of the installed TensorFlow beside what its own libraries register.

    Raises LabError: no TensorFlow is installed, or one that the module has no list of.
    """
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        raise LabError("TensorFlow is not installed here")
    version = installed_version("tensorflow-cpu")
    name = f"{SHORT[TENSORFLOW]} {version}"
    if name not in inventory.lists():
        raise LabError(f"{MODULE} has no list of TensorFlow {version}")
    with tempfile.TemporaryDirectory(prefix="ops-") as scratch:
        found = list_ops(Path(spec.origin).parent, Path(scratch))[0]
    return differences(inventory.lists()[name].ops, found)


def compare(folder: Path) -> bool:
    """Print the gate's findings on SavedModels beside every loader; whether all agree."""
    with scratch_folder() as scratch:
        lines, agree = report(try_all(folder, scratch))
    print("\n".join(lines))
    return agree


@click.command()
@click.option("--check", is_flag=True, help="Compare one list with the installed TensorFlow only.")
@click.option(
    "--try",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Load the SavedModels below this folder in every TensorFlow, beside the gate's findings.",
)
def main(check: bool, folder: Path | None) -> None:
    """Write which ops TensorFlow Serving 2.16 to 2.21 know, from TensorFlow's wheels."""
    try:
        if folder:
            sys.exit(0 if compare(folder) else 1)
        if not check:
            write()
            return
        found = check_installed()
    except LabError as error:
        sys.exit(f"dev/ops: {error}")
    for line in found[:20]:
        print(line)
    sys.exit(f"dev/ops: {len(found)} differences; run dev/ops and commit {MODULE}" if found else 0)


if __name__ == "__main__":
    main()
