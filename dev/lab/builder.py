"""Builds container images from ordinary Dockerfiles, each once per content.

Neighbours: `recipes` says what an image is made of, `native` and `kind` bring it to their node.
buildah builds without a daemon; `docker` does where there is one. Must not touch a cluster.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import archive, build, cache, layers, recipes
from lab.command import run
from lab.instance import REPOSITORY, cache_root
from lab.progress import note, step
from lab.recipes import Image, Recipe


def built(image: Image) -> None:
    """Have `image` in the cache's OCI layout, building it and its base first where needed."""
    if image.reference in archive.references(layout()):
        return
    base = recipes.image(image.recipe.base) if image.recipe.base else None
    if base:
        built(base)
    with cache.locked(cache_root() / "build.lock"):
        if image.reference in archive.references(layout()):
            return
        with step(f"building image {image.recipe.name}", image.recipe.usual):
            _build(image, base)


def layout() -> Path:
    """The OCI image layout in which all built images lie, layers shared."""
    return cache_root() / "images"


def built_by_docker(image: Image) -> None:
    """Have `image` in the Docker engine. Its base is the public one named in the Dockerfile."""
    with cache.locked(cache_root() / "build.lock"):
        if run(["docker", "images", "--quiet", image.reference]).strip():
            return
        with step(f"building image {image.recipe.name}", image.recipe.usual), _context(image) as at:
            words = [*_arguments(image, None, at), "--tag", image.stable, str(at)]
            log = cache_root() / "logs" / f"image-{image.recipe.name}.log"
            run(["docker", "build", *words], log=log, env={"DOCKER_BUILDKIT": "1"})


def _build(image: Image, base: Image | None) -> None:
    log = cache_root() / "logs" / f"image-{image.recipe.name}.log"
    with _context(image) as at:
        words = [*_arguments(image, base, at), "--layers", "--pull=never", "--network=host"]
        run(["nice", "-n", "5", *_buildah(), "bud", *words, str(at)], log=log)
    try:
        layers.export(_storage(), image.reference, layout())
    except layers.UnexpectedStorage as error:
        note(f"buildah's storage is new to us ({error}); pushing, which is slower")
        run([*_buildah(), "push", image.reference, f"oci:{layout()}:{image.reference}"])


def _arguments(image: Image, base: Image | None, context: Path) -> list[str]:
    """What buildah and docker are told alike."""
    arguments = dict(image.recipe.arguments)
    if base:
        arguments["BASE"] = base.reference
    words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    words += ["--file", str(context / image.recipe.dockerfile), "--tag", image.reference]
    return [*words, *secrets()]


@contextmanager
def _context(image: Image) -> Iterator[Path]:
    """The build context, for as long as the build needs it."""
    context = cache_root() / "contexts" / image.recipe.name
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    try:
        fill_context(image.recipe, context)
        yield context
    finally:
        shutil.rmtree(context, ignore_errors=True)


def fill_context(recipe: Recipe, context: Path) -> None:
    """The build context: the recipe's files, its programs, and what its script prepares."""
    for relative, content in recipes.context_parts(recipe):
        target = context / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod((REPOSITORY / relative).stat().st_mode & 0o777)
    for program in recipe.programs:
        target = context / "bin" / program
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(build.binary(program), target)
    if recipe.prepare:
        script = context / recipe.folder / "make"
        log = cache_root() / "logs" / f"prepare-{recipe.name}.log"
        run(["nice", "-n", "5", script, context / recipe.prepare], log=log)


def secrets() -> list[str]:
    """The host's certificate authorities, for the build only: a proxy may have one of its own."""
    bundle = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    return [f"--secret=id=ca-bundle,src={bundle}"] if bundle.is_file() else []


def _storage() -> Path:
    return cache_root() / "buildah"


def _buildah() -> list[str]:
    runtime_folder = Path("/run/savedmodel-buildah")
    words = ["--root", _storage(), "--runroot", runtime_folder, "--storage-driver", "overlay"]
    # No namespaces of its own: the machine may itself be a container.
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    return ["buildah", *map(str, words)]
