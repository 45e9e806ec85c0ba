"""Builds the Go programs of the laboratory, once per content.

Neighbours: `dev/{kubernetes,pause,helm,versitygw,kind}` hold the pinned modules, `cache` keeps the
results, `images` and `components` use them. Must not fetch a binary: everything is compiled from
checksummed modules.
"""

import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import cache
from lab.command import run
from lab.errors import LabError
from lab.instance import REPOSITORY, cache_root
from lab.progress import step

KUBERNETES = "1.35.4"
HELM = "4.3.1"
#: The newest `go` line among our modules.
GO_NEEDED = (1, 26)


def _kubernetes_version_flags() -> tuple[str, ...]:
    major, minor, _ = KUBERNETES.split(".")
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return tuple(f"-X {package}.{k}={v}" for package in packages for k, v in values.items())


@dataclass(frozen=True)
class Program:
    """A Go program: the folder of its module under dev/, its package, and how long it takes."""

    name: str
    module: str
    package: str
    title: str
    usual: str
    link_flags: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        linked = " ".join(("-s", "-w", *self.link_flags))
        return ["-trimpath", "-buildvcs=false", f"-ldflags={linked}"]


PROGRAMS = {
    program.name: program
    for program in (
        Program(
            "kube",
            "kubernetes",
            ".",
            f"Kubernetes {KUBERNETES}, etcd and CoreDNS",
            "6 to 10 min",
            _kubernetes_version_flags(),
        ),
        Program("pause", "pause", ".", "the pause program", "5 s"),
        Program(
            "helm",
            "helm",
            "helm.sh/helm/v4/cmd/helm",
            "Helm",
            "2 min",
            (f"-X helm.sh/helm/v4/internal/version.version=v{HELM}",),
        ),
        Program(
            "versitygw",
            "versitygw",
            "github.com/versity/versitygw/cmd/versitygw",
            "versitygw, the S3 server",
            "2 min",
        ),
        Program("kind", "kind", "sigs.k8s.io/kind", "kind", "30 s"),
    )
}


def key(program: Program, sources: Path) -> str:
    """The hash of everything of ours that goes into `program`, whose module is in `sources`."""
    parts = cache.file_parts(sources, ("*.go", "go.mod", "go.sum"))
    words = [program.package, platform.machine(), *program.flags]
    return cache.digest([*parts, *((f"word {n}", word.encode()) for n, word in enumerate(words))])


def path(name: str) -> Path:
    """Where a program of the present content is, or will be once it is built."""
    program = PROGRAMS[name]
    return cache_root() / "bin" / f"{name}-{key(program, _sources(program))}" / name


def binary(name: str) -> Path:
    """The path of a program, built first if no earlier build is in the cache.

    Raises LabError: no Go, a Go too old, or a failed build (with its log and telling line).
    """
    program, target = PROGRAMS[name], path(name)
    cache.publish(target.parent, lambda folder: _build(program, _sources(program), folder))
    return target


def _sources(program: Program) -> Path:
    return REPOSITORY / "dev" / program.module


def _build(program: Program, sources: Path, folder: Path) -> None:
    _need_go()
    log = cache_root() / "logs" / f"build-{program.name}.log"
    argv = ["nice", "-n", "5", "go", "build", *program.flags, "-o", str(folder / program.name)]
    # Static, so that the same file runs on the host and in an image made from nothing.
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    with step(f"building {program.title}", program.usual):
        run([*argv, program.package], cwd=sources, log=log, env=settings)


def _need_go() -> None:
    wanted = ".".join(map(str, GO_NEEDED))
    if shutil.which("go") is None:
        raise LabError(f"Go {wanted} or newer is needed to build Kubernetes: https://go.dev/dl")
    text = run(["go", "env", "GOVERSION"], env={"GOTOOLCHAIN": "local"}, cwd=Path(os.sep)).strip()
    match = re.match(r"go(\d+)\.(\d+)", text)
    if match and (int(match[1]), int(match[2])) < GO_NEEDED:
        raise LabError(f"Go {wanted} or newer is needed, found {text}: https://go.dev/dl")
