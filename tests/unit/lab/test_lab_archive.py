"""Archives for the node: whole where it has nothing, without the layers that it has."""

import json
import tarfile
from pathlib import Path

import pytest

from lab import archive

NAME = "localhost/thing:1"


def blob(layout: Path, content: bytes, digest: str) -> dict[str, object]:
    path = layout / "blobs" / "sha256" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    root = tmp_path / "layout"
    manifest = {
        "config": blob(root, b"{}", "c0"),
        # The same layer twice is legal, and must be packed once.
        "layers": [blob(root, b"heavy", "aa"), blob(root, b"code", "bb")] * 2,
    }
    described = blob(root, json.dumps(manifest).encode(), "dd")
    described["annotations"] = {"org.opencontainers.image.ref.name": NAME}
    (root / "index.json").write_text(json.dumps({"manifests": [described]}))
    return root


@pytest.mark.parametrize(
    ("present", "packed"),
    [
        pytest.param(set(), ["dd", "c0", "aa", "bb"], id="an empty node gets all"),
        pytest.param({"sha256:aa"}, ["dd", "c0", "bb"], id="a layer it has stays at home"),
        pytest.param({"sha256:zz"}, ["dd", "c0", "aa", "bb"], id="other images do not matter"),
    ],
)
def test_only_what_is_missing_travels(
    layout: Path, tmp_path: Path, present: set[str], packed: list[str]
) -> None:
    archive.pack(layout, NAME, present, tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as tar:
        names = tar.getnames()
        index = tar.extractfile("index.json")
        assert index is not None
        (described,) = json.load(index)["manifests"]
    assert names == ["oci-layout", "index.json", *(f"blobs/sha256/{digest}" for digest in packed)]
    assert described["annotations"]["io.containerd.image.name"] == NAME


def test_an_unknown_image_is_refused(layout: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        archive.pack(layout, "localhost/other:1", set(), tmp_path / "out.tar")


def test_a_layout_that_does_not_exist_has_no_images(tmp_path: Path) -> None:
    assert archive.references(tmp_path / "nowhere") == {}
