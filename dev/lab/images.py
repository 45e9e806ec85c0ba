"""The one question about container images that tests and the demo have: have this one, now.

Neighbours: `recipes` says what an image is made of, `provider` brings it to the cluster that runs.
Must not decide what runs.
"""

from lab import cache, provider, recipes
from lab.errors import LabError
from lab.instance import Instance, cache_root, current
from lab.recipes import Image


def ensure(name: str, instance: Instance | None = None) -> Image:
    """The image `name`, built from the tree as it is now and present on the cluster's node.

    Quick when nothing changed. `Image.reference` is what a manifest should name. Raises LabError:
    no cluster, unknown name, failed build (with its log).
    """
    instance = instance or current()
    if name not in recipes.RECIPES:
        raise LabError(f"no image {name}; there are {', '.join(sorted(recipes.RECIPES))}")
    image = recipes.image(name)
    with cache.locked(cache_root() / f"image-{name}.lock"):
        provider.running(instance).load(instance, image)
    return image
