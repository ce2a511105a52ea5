from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from radikal_datasets.errors import UnreadableImageError
from radikal_datasets.raw.images import identical_files, image_size
from radikal_datasets.raw.tree import Tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40), dtype=np.uint8)
    for name in ("a.jpg", "a.png", "a.bmp"):
        PIL.Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp"])
def test_size_comes_from_the_header(folder: Path, name: str) -> None:
    assert image_size(Tree.open(folder), name) == (40, 30)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_image_is_unreadable(folder: Path, name: str, keep: float) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UnreadableImageError, match=name):
        image_size(Tree.open(folder), name)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_padding_after_the_end_is_harmless(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\0" * 512)
    assert image_size(Tree.open(folder), name) == (40, 30)


@pytest.mark.parametrize("side", [15_000, 100_000])
def test_a_decompression_bomb_is_not_decoded(folder: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    (folder / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(UnreadableImageError, match="bomb"):
        image_size(Tree.open(folder), "bomb.png")


def test_identical_files_reads_only_equal_sizes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "copy.png").write_bytes((folder / "a.png").read_bytes())
    same_size = bytearray((folder / "a.png").read_bytes())
    same_size[-20] ^= 1
    (folder / "other.png").write_bytes(same_size)
    tree = Tree.open(folder)
    read: list[str] = []
    original = tree.read
    monkeypatch.setattr(tree, "read", lambda path: (read.append(path), original(path))[1])
    assert identical_files(tree, tree.files) == [["a.png", "copy.png"]]
    assert sorted(read) == ["a.png", "copy.png", "other.png"]
