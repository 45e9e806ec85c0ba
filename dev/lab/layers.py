"""Takes a built image out of buildah's storage, layer by layer, into an OCI layout.

Neighbours: `builder` calls it after a build. `buildah push` writes every layer of an image again and
compresses it, 20 s for TensorFlow's although only our few kilobytes on top are new. buildah's
storage keeps, per layer, the unpacked files and a tar-split journal (all bytes of the layer's tar
except the files' contents); read together they give the layer's exact bytes, so that only layers
which the layout lacks need be written. Every layer's digest is verified. Must not write to the
storage.
"""

import base64
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Bytes read at once from a layer's file.
CHUNK = 1 << 20


class UnexpectedStorage(Exception):
    """The storage is not laid out as this reader knows it; `buildah push` still knows better."""


def export(storage: Path, reference: str, layout: Path) -> None:
    """Have image `reference` of buildah's `storage` in `layout`. Raises UnexpectedStorage."""
    try:
        image = _image(storage, reference)
        folder = storage / "overlay-images" / image["id"]
        manifest_bytes = (folder / "manifest").read_bytes()
        manifest = json.loads(manifest_bytes)
        layers = _layers(storage, image["layer"], len(manifest["layers"]))
        for described, layer in zip(manifest["layers"], layers, strict=True):
            _write_blob(layout, described["digest"], layer_bytes(storage, layer))
        config = manifest["config"]["digest"]
        encoded = base64.b64encode(config.encode()).decode()
        _write_blob(layout, config, iter([(folder / f"={encoded}").read_bytes()]))
    except (OSError, KeyError, ValueError, StopIteration) as error:
        raise UnexpectedStorage(f"{type(error).__name__}: {error}") from error
    digest = f"sha256:{hashlib.sha256(manifest_bytes).hexdigest()}"
    _write_blob(layout, digest, iter([manifest_bytes]))
    described = {"mediaType": manifest["mediaType"], "digest": digest, "size": len(manifest_bytes)}
    _name(layout, reference, described)


def layer_bytes(storage: Path, layer: str) -> Iterator[bytes]:
    """The tar of one layer, byte for byte as it was when it was stored."""
    files = storage / "overlay" / layer / "diff"
    journal = storage / "overlay-layers" / f"{layer}.tar-split.gz"
    with gzip.open(journal, "rt") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["type"] == 2:
                yield base64.b64decode(entry["payload"] or "")
            elif entry.get("size"):
                yield from _content(files, entry)


def _content(files: Path, entry: dict[str, Any]) -> Iterator[bytes]:
    raw = entry.get("name_raw")
    name: str = os.fsdecode(base64.b64decode(raw)) if raw else entry["name"]
    with (files / name.lstrip("/")).open("rb") as content:
        while chunk := content.read(CHUNK):
            yield chunk


def _image(storage: Path, reference: str) -> dict[str, Any]:
    known = json.loads((storage / "overlay-images" / "images.json").read_text())
    found: dict[str, Any] = next(i for i in known if reference in i.get("names", ()))
    return found


def _layers(storage: Path, top: str, count: int) -> list[str]:
    """The ids of an image's layers, lowest first, as its manifest has them."""
    text = (storage / "overlay-layers" / "layers.json").read_text()
    known = {layer["id"]: layer for layer in json.loads(text)}
    ids = [top]
    while parent := known[ids[-1]].get("parent"):
        ids.append(parent)
    if len(ids) != count:
        raise ValueError(f"{len(ids)} layers stored, {count} in the manifest")
    return ids[::-1]


def _write_blob(layout: Path, digest: str, content: Iterator[bytes]) -> None:
    """Write a blob unless it is there. ValueError if its bytes are not those of its digest."""
    target = layout / "blobs" / Path(*digest.split(":"))
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    total = hashlib.sha256()
    with unfinished.open("wb") as file:
        for chunk in content:
            total.update(chunk)
            file.write(chunk)
    if f"sha256:{total.hexdigest()}" != digest:
        unfinished.unlink()
        raise ValueError(f"the stored bytes of {digest} have another digest")
    unfinished.rename(target)


def _name(layout: Path, reference: str, described: dict[str, Any]) -> None:
    """Enter the image into the layout's index, whole or not at all."""
    path = layout / "index.json"
    fresh: dict[str, Any] = {"schemaVersion": 2, "manifests": []}
    index = json.loads(path.read_text()) if path.exists() else fresh
    key = "org.opencontainers.image.ref.name"
    others = [m for m in index["manifests"] if m.get("annotations", {}).get(key) != reference]
    index["manifests"] = [*others, {**described, "annotations": {key: reference}}]
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(index))
    shutil.move(unfinished, path)
