"""Decode every image of a dataset once: find identical ones, and make a thumbnail of each for near-duplicates."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import islice

import numpy as np
import PIL.Image
from datasets.utils import tqdm

from ..gray_scale import GrayScale
from .image_set import ImageSet
from .near_duplicates import thumbnail
from .registration import SIDE

_AT_ONCE = 64  # images in memory


@dataclass(frozen=True)
class Seen:
    """Digests of one image's file and of its pixels; or why there are none."""

    file: bytes = b""
    pixels: bytes = b""
    error: str = ""


def look_at_all(images: ImageSet) -> tuple[list[Seen], np.ndarray]:
    """Return the digests of every image, and the thumbnails, uint8 (n, SIDE, SIDE)."""
    found: list[Seen] = []
    thumbnails = np.zeros((len(images.items), SIDE, SIDE), np.uint8)
    files = images.stream()
    with (
        ThreadPoolExecutor(os.cpu_count()) as threads,
        tqdm(total=len(images.items), unit=" images", desc="decoding") as bar,
    ):
        while chunk := list(islice(files, _AT_ONCE)):
            places = thumbnails[len(found) : len(found) + len(chunk)]
            found += threads.map(partial(_look, gray_scale=images.gray_scale), chunk, places)
            bar.update(len(chunk))
    return found, thumbnails


def _look(data: bytes | None, place: np.ndarray, gray_scale: GrayScale | None) -> Seen:
    """Decode one image; its thumbnail is written to `place`."""
    if data is None:
        return Seen(error="its bytes cannot be read")
    try:
        with PIL.Image.open(BytesIO(data)) as image:
            image.load()
            place[:] = thumbnail(image, gray_scale)
            plain = _plain(image)
            pixels = hashlib.blake2b(f"{plain.mode} {plain.size}".encode(), digest_size=16)
            pixels.update(plain.tobytes())
            return Seen(hashlib.sha256(data).digest(), pixels.digest())
    except Exception as error:  # a decoder may raise anything
        return Seen(error=f"cannot be decoded: {error}")


def _plain(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return the same pixels in a canonical mode: without a palette, and in one plane if all are equal."""
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "RGB":
        red, green, blue = image.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            return red
    return image


def duplicates(seen: Sequence[Seen]) -> list[tuple[str, list[int]]]:
    """Return sets of identical images: first with the same file bytes, then with the same pixels in different files."""
    by_file: dict[bytes, list[int]] = defaultdict(list)
    by_pixels: dict[bytes, list[int]] = defaultdict(list)
    for number, one in enumerate(seen):
        if not one.error:
            by_file[one.file].append(number)
            if by_file[one.file][0] == number:
                by_pixels[one.pixels].append(number)
    return [
        (kind, members)
        for kind, sets in (("identical_file", by_file), ("identical_pixels", by_pixels))
        for members in sets.values()
        if len(members) > 1
    ]


def joined(sets: list[tuple[str, list[int]]]) -> list[list[int]]:
    """Merge the result of `duplicates`: sets of the same pixels include all copies of their files; no image repeats."""
    files = {members[0]: members for kind, members in sets if kind == "identical_file"}
    merged = {}
    for kind, members in sets:
        if kind == "identical_pixels":
            every = sorted({copy for member in members for copy in files.pop(member, [member])})
            merged[every[0]] = every
    return [*files.values(), *merged.values()]
