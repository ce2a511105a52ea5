"""Every kind of file is decoded as Pillow reads it; broken files are reported."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from loaders.canvas import Canvas
from loaders.decoding import Decoder, is_gray, resize_into
from loaders.records import Record
from radikal_datasets.errors import UnreadableImageError
from radikal_datasets.gray_scale import GrayScale

HEIGHT, WIDTH = 37, 53


def picture(mode: str, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), (0, 0), 2)
    stretched = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    if mode == "I;16":
        return Image.fromarray(stretched[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(stretched).convert(mode)


def encoded(image: Image.Image, form: str, **options) -> memoryview:
    out = io.BytesIO()
    image.save(out, form, **options)
    return memoryview(out.getvalue())


TURNED = Image.Exif()
TURNED[274] = 6  # orientation: a quarter turn
FILES = {
    "jpeg gray": encoded(picture("L"), "JPEG"),
    "jpeg color": encoded(picture("RGB"), "JPEG", quality=90),
    "jpeg progressive": encoded(picture("RGB"), "JPEG", progressive=True),
    "jpeg turned by EXIF": encoded(picture("RGB"), "JPEG", exif=TURNED),
    "jpeg CMYK": encoded(picture("CMYK"), "JPEG"),
    "png gray": encoded(picture("L"), "PNG"),
    "png color": encoded(picture("RGB"), "PNG"),
    "png palette": encoded(picture("P"), "PNG"),
    "png alpha": encoded(picture("RGBA"), "PNG"),
    "png gray alpha": encoded(picture("LA"), "PNG"),
    "png 1 bit": encoded(picture("1"), "PNG"),
    "bmp": encoded(picture("RGB"), "BMP"),
    "tiff": encoded(picture("CMYK"), "TIFF"),
}


@pytest.mark.parametrize("name", FILES)
def test_color_is_what_pillow_displays(name):
    pixels, size = Decoder()(FILES[name], color=True)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(FILES[name])))
    assert size == shown.size[::-1] == ((WIDTH, HEIGHT) if "EXIF" in name else (HEIGHT, WIDTH))
    assert np.array_equal(pixels, np.asarray(shown.convert("RGB")))


@pytest.mark.parametrize("name", FILES)
def test_gray_is_the_luminance(name):
    pixels, size = Decoder()(FILES[name], color=False)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(FILES[name])))
    assert pixels.shape == size == shown.size[::-1]
    theirs = np.asarray(shown.convert("RGB").convert("L")).astype(int)
    exact = not name.startswith("jpeg")  # a JPEG's own luminance is read without rounding to RGB first
    assert np.abs(pixels.astype(int) - theirs).max() <= (1 if exact else 3)


def test_sixteen_bits_on_their_full_scale_keep_their_upper_byte():
    pixels, _ = Decoder(GrayScale.of_bits(16))(encoded(picture("I;16"), "PNG"), color=False)
    assert np.array_equal(pixels, np.asarray(picture("I;16")).astype(np.uint16) >> 8)
    assert pixels.max() > 200 and pixels.min() < 50


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (8, 8), (200, 200)])
def test_decoding_into_memory_of_the_right_size_or_another_changes_nothing(color, size):
    plain, _ = Decoder()(FILES["jpeg color"], color=color)
    out = np.zeros((*size, 3) if color else size, np.uint8)
    pixels, found = Decoder()(FILES["jpeg color"], color=color, out=out)
    assert found == (HEIGHT, WIDTH) and np.array_equal(pixels, plain)
    assert (pixels is out) == (size == (HEIGHT, WIDTH))


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(list(FILES)),
    goal=st.tuples(st.integers(4, 90), st.integers(4, 90)),
    color=st.booleans(),
    how=st.sampled_from(["fast", "exact"]),
    said=st.sampled_from([(HEIGHT, WIDTH), (HEIGHT + 1, WIDTH), (2, 2), (300, 300)]),
)
def test_the_fast_path_equals_the_general_one(name, goal, color, how, said):
    shape = (*goal, 3) if color else goal
    short, long = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    taken = Decoder().decode_onto(FILES[name], said, short, how)
    plain = name.startswith("jpeg") and "CMYK" not in name and "EXIF" not in name
    assert taken == (plain and said == (HEIGHT, WIDTH))
    if taken:
        pixels, _ = Decoder()(FILES[name], color=color, at_least=goal if how == "fast" else (0, 0), out=long)
        if pixels is not long:
            resize_into(long, pixels, how)
        assert np.array_equal(short, long)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda some: tuple(4 * edge for edge in some))
    | st.tuples(st.integers(1, 80), st.integers(1, 80)),
    at_least=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_a_jpeg_shrinks_as_far_as_its_sides_can_be_divided(size, at_least):
    data = memoryview(simplejpeg.encode_jpeg(np.zeros((*size, 1), np.uint8), colorspace="GRAY"))
    pixels, found = Decoder()(data, color=False, at_least=at_least)
    wholes = [f for f in (1, 2, 4, 8) if all(edge % f == 0 for edge in size)]
    factor = max(f for f in wholes if f == 1 or all(a >= f * b for a, b in zip(size, at_least, strict=True)))
    assert found == size and pixels.shape == tuple(edge // factor for edge in size)


def test_memory_is_reused_from_small_to_large_and_back():
    decoder = Decoder()
    large = simplejpeg.encode_jpeg(np.zeros((300, 200, 1), np.uint8), colorspace="GRAY")
    for data, shape in [(FILES["jpeg gray"], (HEIGHT, WIDTH)), (memoryview(large), (300, 200))] * 2:
        assert decoder(data, color=False)[0].shape == shape


def test_gray_files_are_distinguished_from_color_ones():
    assert is_gray(FILES["png gray"]) and is_gray(FILES["jpeg gray"])
    assert is_gray(encoded(picture("L").convert("RGB"), "JPEG"))  # as NEU-DET's
    assert not is_gray(FILES["jpeg color"]) and not is_gray(FILES["png color"])


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(8, 90), st.integers(8, 90)),
    target=st.tuples(st.integers(4, 120), st.integers(4, 120)),
    how=st.sampled_from(["fast", "exact"]),
    form=st.sampled_from(["JPEG", "PNG"]),
)
@example(size=(8, 17), target=(9, 4), how="fast", form="PNG")
@example(size=(9, 9), target=(4, 4), how="fast", form="JPEG")  # libjpeg's half of 9 is 5
@example(size=(64, 82), target=(5, 7), how="fast", form="JPEG")  # and its eighth of 82 is 11
def test_resizing_preserves_positions(size, target, how, form):
    """A ramp stays a ramp from edge to edge, however much is downscaled during decoding and however much after it."""
    ramp = np.linspace(0, 255, size[1])[None].repeat(size[0], 0).round().astype(np.uint8)
    data = encoded(Image.fromarray(ramp), form, **({"quality": 98} if form == "JPEG" else {}))
    canvas, out = Canvas(target, "gray", False, how), np.zeros(target, np.uint8)
    canvas.paint(Decoder(), Record("made", data, size), out)
    middles = (np.arange(target[1]) + 0.5) / target[1] * size[1] - 0.5
    expected = np.interp(middles, np.arange(size[1]), ramp[0].astype(float))
    step = 255 / (size[1] - 1)  # a kernel may reach half a pixel of the file beyond the edge
    assert np.abs(out.astype(float) - expected).max() <= 4 + step


@pytest.mark.parametrize("how", ["fast", "exact"])
def test_same_size_is_not_touched(how):
    pixels = np.asarray(picture("RGB"))
    target = np.zeros_like(pixels)
    resize_into(target, pixels, how)
    assert np.array_equal(target, pixels)


def bomb() -> bytes:
    """A PNG whose header claims 60,000 x 60,000 pixels."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"\xff\xd8\xff", bytes(FILES["jpeg gray"][:200]), bytes(FILES["png gray"][:300]), bomb(), None],
)
def test_broken_files_are_named(data):
    record = Record("made/7", None if data is None else memoryview(data), (4, 4))
    with pytest.raises(UnreadableImageError, match="made/7"):
        Canvas((8, 8), "gray", False, "fast").paint(Decoder(), record, np.zeros((8, 8), np.uint8))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["jpeg gray", "jpeg color", "png gray", "png color"]), cut=st.floats(0, 0.98))
def test_a_truncated_file_is_never_accepted(name, cut):
    data = FILES[name][: int(len(FILES[name]) * cut)]
    record = Record("made/7", data, (HEIGHT, WIDTH))
    with pytest.raises(UnreadableImageError, match="made/7"):
        Canvas((HEIGHT, WIDTH), "gray", False, "fast").paint(Decoder(), record, np.zeros((HEIGHT, WIDTH), np.uint8))
