"""Container images: built by buildah, brought to the node, each once per content.

Neighbours: `recipes` says what an image is made of, `archive` packs what the node lacks, `runtime`
imports it. On kind, `kind` does the same with Docker. Must not decide what runs.
"""

import os
import shutil
from pathlib import Path

from lab import archive, build, cache, recipes, runtime
from lab.command import run
from lab.errors import LabError
from lab.instance import REPOSITORY, Instance, cache_root, current
from lab.progress import step
from lab.recipes import Image, Recipe


def ensure(name: str, instance: Instance | None = None) -> Image:
    """The image `name`, built from the tree as it is now and present on the cluster's node.

    Quick when nothing changed. Raises LabError: unknown name, failed build (with its log).
    """
    instance = instance or current()
    if name not in recipes.RECIPES:
        raise LabError(f"no image {name}; there are {', '.join(sorted(recipes.RECIPES))}")
    image = recipes.image(name)
    with cache.locked(cache_root() / f"image-{name}.lock"):
        if image.reference not in runtime.images(instance):
            built(image)
            with step(f"importing {image.reference}"):
                _import(instance, image)
        runtime.tag(instance, image.reference, image.stable)
    return image


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


def _import(instance: Instance, image: Image) -> None:
    packed = instance.run / f"import-{image.recipe.name}.tar"
    try:
        archive.pack(layout(), image.reference, runtime.blobs(instance), packed)
        runtime.import_archive(instance, packed)
    finally:
        packed.unlink(missing_ok=True)


def _build(image: Image, base: Image | None) -> None:
    log = cache_root() / "logs" / f"image-{image.recipe.name}.log"
    context = cache_root() / "contexts" / image.recipe.name
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    try:
        fill_context(image.recipe, context)
        arguments = dict(image.recipe.arguments)
        if base:
            arguments["BASE"] = base.reference
        words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        words += ["--file", str(context / image.recipe.dockerfile), "--tag", image.reference]
        words += ["--layers", "--pull=never", "--network=host", *secrets(), str(context)]
        run(["nice", "-n", "5", *_buildah(), "bud", *words], log=log)
        target = f"oci:{layout()}:{image.reference}"
        run([*_buildah(), "push", "--disable-compression", image.reference, target])
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
        script = context / recipe.folder / f"make-{recipe.prepare}"
        log = cache_root() / "logs" / f"prepare-{recipe.name}.log"
        run(["nice", "-n", "5", script, context / recipe.prepare], log=log)


def secrets() -> list[str]:
    """The host's certificate authorities, for the build only: a proxy may have one of its own."""
    bundle = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    return [f"--secret=id=ca-bundle,src={bundle}"] if bundle.is_file() else []


def _buildah() -> list[str]:
    storage = cache_root() / "buildah"
    runtime_folder = Path("/run/savedmodel-buildah")
    words = ["--root", storage, "--runroot", runtime_folder, "--storage-driver", "overlay"]
    # No namespaces of its own: the machine may itself be a container.
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    return ["buildah", *map(str, words)]
