"""Faults that occur with files of any source, for `broken` sample trees. For a cut-off file see `drawing.truncate`."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

# 3.6 billion pixels in a file of a few bytes.
_BOMB_SIDE = 60_000


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
