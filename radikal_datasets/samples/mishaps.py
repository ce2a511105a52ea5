"""Faults that occur with files of any source, for sample trees; `Mishaps` plants one and says what it planted."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from . import Trap
from .drawing import save, truncate

# 3.6 billion pixels in a file of a few bytes.
_BOMB_SIDE = 60_000


@dataclass(frozen=True)
class Mishaps:
    """Plants faults below a root; each method returns the `Trap` for what it did. Paths are posix, below the root.

    Every fault except `missing_truth` and `ones` costs its image: plant it in one that is drawn in addition.
    """

    root: Path

    def truncated(self, image: str) -> Trap:
        """Cut an image off, as an interrupted copy does."""
        truncate(self.root / image)
        return Trap("unreadable_image", image, "a truncated image")

    def bomb(self, image: str) -> Trap:
        """Write an image whose header claims far more pixels than any camera has."""
        decompression_bomb(self.root / image)
        return Trap("unreadable_image", image, "a header that claims 60,000 x 60,000 pixels")

    def lost_image(self, image: str, annotation: str) -> Trap:
        """Remove an image; its annotation stays."""
        (self.root / image).unlink()
        return Trap("missing_image", annotation, "an annotation whose image is missing")

    def stray(self, image: str, to: str) -> Trap:
        """Move an image to where the layout has none."""
        path = self.root / to
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.root / image).rename(path)
        return Trap("stray_image", to, "an image outside the folders of the layout")

    def web_page(self, annotation: str) -> Trap:
        """Write the error page of a web server in place of an annotation."""
        (self.root / annotation).write_text("404: not found\n", encoding="utf-8")
        return Trap("malformed_annotation", annotation, "a web page instead of an annotation")

    def half_mask(self, mask: str) -> Trap:
        """Scale a mask to half its size."""
        save(self.root / mask, self._pixels(mask)[::2, ::2])
        return Trap("mask_size", mask, "a mask of half the size")

    def empty_mask(self, mask: str) -> Trap:
        """Empty the mask of an image whose path says that it is defective."""
        save(self.root / mask, np.zeros_like(self._pixels(mask)))
        return Trap("malformed_annotation", mask, "an empty mask of a defective image")

    def ones(self, mask: str) -> Trap:
        """Write 1 for 255, as some tools do; nothing is lost."""
        save(self.root / mask, (self._pixels(mask) > 0).astype(np.uint8))
        return Trap("mask_values", mask, "a mask of 0 and 1")

    def missing_truth(self, image: str, annotation: str) -> Trap:
        """Remove the annotation of an image, which stays, unannotated."""
        (self.root / annotation).unlink()
        return Trap("missing_truth", image, "an image without its annotation")

    def link(self, image: str) -> list[Trap]:
        """Make an image a link that leaves the tree; no trap where the system does not allow links (Windows)."""
        linked = link_out_of_tree(self.root, self.root / image)
        return [Trap("unsafe_path", image, "a link that leaves the tree")] * linked

    def _pixels(self, path: str) -> np.ndarray:
        with PIL.Image.open(self.root / path) as image:
            return np.asarray(image)


def decompression_bomb(path: Path) -> None:
    """Write a PNG whose header claims far more pixels than any camera has, and that holds none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", _BOMB_SIDE, _BOMB_SIDE, 8, 0, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def link_out_of_tree(root: Path, path: Path) -> bool:
    """Make `path` a link to a file beside `root`; return False if the system does not allow links (Windows)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    up = "../" * len(path.relative_to(root).parts)
    try:
        path.symlink_to(f"{up}outside{path.suffix}")
    except OSError:
        return False
    return True
