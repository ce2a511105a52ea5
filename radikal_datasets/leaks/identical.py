"""Every image of a set decoded once: which are identical, and a thumbnail of each for those that are nearly so."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

import numpy as np
import PIL.Image
from datasets.utils import tqdm

from .image_set import ImageSet
from .near_duplicates import thumbnail
from .registration import SIDE

_AT_ONCE = 64  # images in memory


@dataclass(frozen=True)
class Seen:
    """Of one image: digests of its file and of its pixels; or why there are none."""

    file: bytes = b""
    pixels: bytes = b""
    error: str = ""


def look_at_all(images: ImageSet) -> tuple[list[Seen], np.ndarray]:
    """What was seen of every image, and the thumbnails, uint8 (n, SIDE, SIDE)."""
    found: list[Seen] = []
    thumbnails = np.zeros((len(images.items), SIDE, SIDE), np.uint8)
    files = images.stream()
    with (
        ThreadPoolExecutor(os.cpu_count()) as threads,
        tqdm(total=len(images.items), unit=" images", desc="decoding") as bar,
    ):
        while chunk := list(islice(files, _AT_ONCE)):
            places = thumbnails[len(found) : len(found) + len(chunk)]
            found += threads.map(_look, chunk, places)
            bar.update(len(chunk))
    return found, thumbnails


def _look(data: bytes | None, place: np.ndarray) -> Seen:
    """Decodes one image; its thumbnail goes to `place`."""
    if data is None:
        return Seen(error="no bytes can be read")
    try:
        with PIL.Image.open(BytesIO(data)) as image:
            image.load()
            place[:] = thumbnail(image)
            plain = _plain(image)
            pixels = hashlib.blake2b(f"{plain.mode} {plain.size}".encode(), digest_size=16)
            pixels.update(plain.tobytes())
            return Seen(hashlib.sha256(data).digest(), pixels.digest())
    except Exception as error:  # a decoder raises what it likes
        return Seen(error=f"does not decode: {error}")


def _plain(image: PIL.Image.Image) -> PIL.Image.Image:
    """The same pixels in the same mode, whatever the file's: without a palette, and one plane where all are equal."""
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "RGB":
        red, green, blue = image.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            return red
    return image


def twins(seen: Sequence[Seen]) -> list[tuple[str, list[int]]]:
    """Sets of identical images: of one file's bytes, then of the same pixels in different files."""
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
    """What `twins` gave, each set of the same pixels with all copies of its files; no image is in two."""
    files = {members[0]: members for kind, members in sets if kind == "identical_file"}
    whole = {}
    for kind, members in sets:
        if kind == "identical_pixels":
            every = sorted({copy for member in members for copy in files.pop(member, [member])})
            whole[every[0]] = every
    return [*files.values(), *whole.values()]
