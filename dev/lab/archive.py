"""Image archives that carry only what the node does not have yet.

Neighbours: `images` packs with it. An OCI layout on disk shares layers among images by digest; the
node's containerd shares them too. So after a change of code only the code's layer travels, not the
gigabytes of TensorFlow below it. Must not call a program.
"""

import io
import json
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

_NAME = "org.opencontainers.image.ref.name"
#: Where containerd looks for the image's full name.
_FULL_NAME = "io.containerd.image.name"


def references(layout: Path) -> dict[str, dict[str, Any]]:
    """The images of an OCI layout by name, each with its manifest's descriptor."""
    try:
        index = json.loads((layout / "index.json").read_text())
    except FileNotFoundError:
        return {}
    return {m["annotations"][_NAME]: m for m in index["manifests"] if _NAME in m["annotations"]}


def pack(layout: Path, reference: str, present: Collection[str], target: Path) -> None:
    """Write image `reference` to the tar file `target`, leaving out the blobs in `present`.

    KeyError if the layout has no such image.
    """
    descriptor = dict(references(layout)[reference])
    descriptor["annotations"] = {_FULL_NAME: reference, _NAME: reference}
    manifest = json.loads(_blob(layout, descriptor["digest"]).read_text())
    digests = [descriptor["digest"], manifest["config"]["digest"]]
    digests += [layer["digest"] for layer in manifest["layers"]]
    index = {"schemaVersion": 2, "manifests": [descriptor]}
    with tarfile.open(target, "w") as tar:
        _add(tar, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(tar, "index.json", index)
        for digest in dict.fromkeys(digests):
            if digest not in present:
                path = _blob(layout, digest)
                tar.add(path, arcname=path.relative_to(layout).as_posix())


def _blob(layout: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    return layout / "blobs" / algorithm / value


def _add(tar: tarfile.TarFile, name: str, value: object) -> None:
    content = json.dumps(value).encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
