"""Layers taken from buildah's real storage are the layers that were built, and only new ones move."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from lab import layers, packages

pytestmark = pytest.mark.cluster

NAME = "localhost/layered:1"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage of its own with an image of two layers, built by buildah."""
    packages.ensure()
    context = tmp_path / "context"
    (context / "heavy").mkdir(parents=True)
    (context / "heavy" / "zeros").write_bytes(bytes(3_000_001))
    (context / "heavy" / "Überschrift – λ").write_text("name outside of ASCII")
    (context / "heavy" / "empty").touch()
    (context / "heavy" / "link").symlink_to("zeros")
    (context / "code").write_text("one")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY heavy /heavy\nCOPY code /code\n")
    build(tmp_path)
    return tmp_path / "storage"


def build(folder: Path) -> None:
    roots = ["--root", str(folder / "storage"), "--runroot", str(folder / "run")]
    words = ["buildah", *roots, "--storage-driver", "overlay", "bud", "--isolation", "chroot"]
    argv = [*words, "--layers", "--tag", NAME, str(folder / "context")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def blobs(layout: Path) -> set[str]:
    return {path.name for path in (layout / "blobs" / "sha256").iterdir()}


def layer_tars(layout: Path) -> list[Path]:
    (described,) = json.loads((layout / "index.json").read_text())["manifests"]
    folder = layout / "blobs" / "sha256"
    manifest = json.loads((folder / described["digest"][7:]).read_text())
    return [folder / layer["digest"][7:] for layer in manifest["layers"]]


def test_the_exported_layers_hold_the_files(storage: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    layers.export(storage, NAME, layout)
    heavy, code = layer_tars(layout)
    with tarfile.open(heavy) as tar:
        zeros = tar.extractfile("heavy/zeros")
        assert zeros
        assert zeros.read() == bytes(3_000_001)
        assert tar.getmember("heavy/link").linkname == "zeros"
        assert tar.getmember("heavy/empty").size == 0
        assert "heavy/Überschrift – λ" in tar.getnames()
    with tarfile.open(code) as tar:
        one = tar.extractfile("code")
        assert one
        assert one.read() == b"one"


def test_a_change_on_top_moves_the_top_only(storage: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    layers.export(storage, NAME, layout)
    before, heavy = blobs(layout), layer_tars(layout)[0]
    (tmp_path / "context" / "code").write_text("two")
    build(tmp_path)
    layers.export(storage, NAME, layout)
    assert len(blobs(layout) - before) == 3, "one layer, one configuration, one manifest"
    assert layer_tars(layout)[0] == heavy
    assert len(json.loads((layout / "index.json").read_text())["manifests"]) == 1


def test_bytes_that_changed_in_the_storage_are_not_exported(storage: Path, tmp_path: Path) -> None:
    (changed,) = storage.glob("overlay/*/diff/code")
    changed.write_text("bad")
    with pytest.raises(layers.UnexpectedStorage, match="another digest"):
        layers.export(storage, NAME, tmp_path / "layout")
    assert not (tmp_path / "layout" / "index.json").exists()


def test_an_unknown_image_is_told(storage: Path, tmp_path: Path) -> None:
    with pytest.raises(layers.UnexpectedStorage):
        layers.export(storage, "localhost/other:1", tmp_path / "layout")
