"""One gray scale per dataset: found, stated, stored, and the same in every decoder."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders import DetectionLoader
from loaders.decoding import Decoder
from radikal_datasets import build_hub_folder, combine, load_dataset, verify
from radikal_datasets.errors import CombiningError, GrayScaleError, UnreadableImageError
from radikal_datasets.gray_scale import GrayScale, PixelSettings, has_deep_pixels, levels_of, scale_of
from radikal_datasets.leaks.identical import look_at_all
from radikal_datasets.leaks.image_set import of_rows
from radikal_datasets.prepared.manifest import Manifest
from radikal_datasets.preview.chosen_images import choose
from radikal_datasets.sources.folder import Folder
from radikal_datasets.stats.statistics import statistics

RAMP = np.tile(np.arange(256), (16, 1))


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def of_depth(pixels: np.ndarray, bits: int) -> bytes:
    """8-bit gray levels as the upper bits of deeper ones, with some noise below."""
    lower = np.random.default_rng(0).integers(0, 1 << (bits - 8), pixels.shape)
    return encoded(((pixels << (bits - 8)) + lower).astype(np.uint16))


def own_set(root: Path, files: dict[str, bytes], settings: str = "") -> Path:
    """A folder of own images with one box each."""
    root.mkdir(parents=True)
    lines = ["image,x_min,y_min,x_max,y_max,class"]
    for name, data in files.items():
        (root / name).write_bytes(data)
        lines.append(f"{name},1,1,9,9,dent")
    (root / "boxes.csv").write_text("\n".join(lines))
    (root / "radikal.yaml").write_text(f"name: parts\n{settings}")
    return root


def some_files(bits: int = 12, count: int = 20, ending: str = "png") -> dict[str, bytes]:
    return {f"{i}.{ending}": of_depth(np.roll(RAMP, 7 * i, axis=1), bits) for i in range(count)}


# --- the scale itself -------------------------------------------------------------------------------------------------


@given(st.sampled_from([8, 9, 10, 11, 12, 13, 14, 15, 16]), st.integers(0, 10_000))
def test_bits_are_found_and_the_upper_eight_kept(bits: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 60))
    pixels[0, 0] = 255
    data = of_depth(pixels, bits)
    levels = levels_of([data])
    assert levels is not None and levels.bits == min(b for b in (8, 10, 12, 14, 16) if b >= bits)
    exact = levels.scale(PixelSettings(bits=bits))
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert (exact.to_bytes(np.asarray(image)) == pixels).all()
    assert (Decoder(exact)(memoryview(data), color=False)[0] == pixels).all()
    assert (Decoder(exact)(memoryview(data), color=True)[0] == pixels[..., None]).all()


@given(st.sampled_from(["uint16", "int32", "float32"]), st.integers(0, 60_000), st.integers(64, 5_000))
def test_a_window_covers_all_of_its_levels_in_every_depth(kind: str, low: int, width: int) -> None:
    high = min(65_535, low + width)
    values = np.linspace(low, high, 4_000).round().astype(kind).reshape(40, 100)
    data = encoded(values, "TIFF")
    levels = levels_of([data])
    assert levels is not None and (levels.low, levels.high) == (low, high)
    scale = levels.scale(PixelSettings(window=(float(low), float(high))))
    pixels, _ = Decoder(scale)(memoryview(data), color=False)
    expected = np.linspace(0, 256, 4_000, endpoint=False).reshape(40, 100)
    assert (pixels.min(), pixels.max()) == (0, 255 if kind == "float32" else (high - low) * 256 // (high - low + 1))
    assert np.abs(pixels - expected).max() <= 1 + 2 * 256 / (high - low)  # levels are rounded
    assert (np.diff(pixels.ravel().astype(int)) >= 0).all()
    assert scale.to_bytes(np.array([low - 5.0, high + 5.0, np.nan, np.inf])).tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize(
    ("pixels", "settings", "expected"),
    [
        (RAMP.astype(np.uint16), None, [0, 255]),
        ((RAMP * 257).astype(np.int32), None, [0, 65535]),
        ((RAMP * 1000).astype(np.int32), None, [0, 255_000]),
        ((RAMP - 100).astype(np.int32), None, [-100, 155]),
        ((RAMP / 255).astype(np.float32), None, [0, 1]),
        ((RAMP / 2).astype(np.float32), None, [0, 127.5]),
        ((RAMP - 128).astype(np.float32), None, [-128, 127]),
        (np.full((4, 4), 3.5, np.float32), None, [3.5, 4.5]),
        ((RAMP * 16).astype(np.uint16), PixelSettings("float", "full"), [0, 4080]),
        ((RAMP * 16).astype(np.uint16), PixelSettings("auto", ("percentile", 0.0, 50.0)), [0, 2040]),
        ((RAMP * 16).astype(np.uint16), PixelSettings(16, (10.0, 20.0)), [10, 20]),
    ],
)
def test_the_scale_of_each_kind(pixels: np.ndarray, settings: PixelSettings | None, expected: list[float]) -> None:
    levels = levels_of([encoded(pixels, "TIFF")])
    assert levels is not None and levels.scale(settings).to_list() == pytest.approx(expected)


def test_eight_bits_are_no_matter_of_scale() -> None:
    files = [encoded(RAMP.astype(np.uint8), form) for form in ("PNG", "TIFF", "BMP", "JPEG")]
    assert not any(map(has_deep_pixels, [*files, None, b"", b"no image"]))
    assert levels_of([*files, b"no image"]) is None
    for data in files[:3]:
        for scale in (None, GrayScale(3, 50)):
            assert (Decoder(scale)(memoryview(data), color=False)[0] == RAMP).all()


def test_damaged_and_empty_images_do_not_decide() -> None:
    good = of_depth(RAMP, 12)
    levels = levels_of([good[: len(good) // 2], encoded(np.full((3, 3), np.nan, np.float32), "TIFF"), good])
    assert levels is not None and levels.bits == 12 and len(levels.images) == 1


def test_a_scale_is_written_and_read() -> None:
    for scale in (GrayScale(0, 4095), GrayScale(-0.5, 1.25)):
        assert GrayScale.parse(scale.feature_id) == GrayScale.parse(scale.to_list()) == scale
    for other in (None, "", "gray scale x", "gray scale [1]", "gray scale [2, 1]", [1, 1], ["a", 2], 5, "other id"):
        assert GrayScale.parse(other) is None
    with pytest.raises(GrayScaleError, match="low must be below high"):
        GrayScale(5, 5)


def test_a_decoder_without_a_scale_refuses_deep_images() -> None:
    with pytest.raises(GrayScaleError, match=r"from 0 to 4095.*GrayScale\(0, 4095\)"):
        Decoder()(memoryview(of_depth(RAMP, 12)), color=False)


# --- too few levels ---------------------------------------------------------------------------------------------------


def test_too_few_levels_propose_a_window() -> None:
    data = encoded((30_000 + RAMP).astype(np.uint16))
    levels = levels_of([data])
    assert levels is not None
    problem = levels.problem(levels.scale())
    assert "pixels: {window: [30000, 30255]}" in problem and "used from 30,000 to 30,255" in problem
    assert levels.problem(GrayScale(30_000, 30_255)) == ""


def test_hot_pixels_do_not_hide_that_the_rest_is_black() -> None:
    pixels = (np.tile(RAMP, (300, 2)) * 16).astype(np.uint16)
    pixels[0, 0] = 65_535
    levels = levels_of([encoded(pixels)])
    assert levels is not None and levels.bits == 16
    assert re.search(r"window: \[\d+, 40\d\d\]", levels.problem(levels.scale()))


def test_images_without_levels_are_no_error() -> None:
    flat = levels_of([encoded(np.full((9, 9), 40_000, np.uint16))])
    assert flat is not None and flat.problem(flat.scale()) == ""


def test_mixed_depths_are_counted() -> None:
    levels = levels_of([of_depth(RAMP, 16), of_depth(RAMP, 12), of_depth(RAMP, 12)])
    assert levels is not None and levels.problem(levels.scale()) == "" and levels.too_dark(levels.scale()) == 2


def color_png(pixels: np.ndarray) -> bytes:
    """Encode colors of 16 bits, which Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, bands = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6, 2: 4}[bands], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("bands", [2, 3, 4])
@pytest.mark.parametrize(("bits", "exit_code"), [(10, 1), (12, 1), (14, 1), (16, 0)])
def test_colors_of_16_bits_are_reported_and_a_loss_if_dark(
    bits: int, exit_code: int, bands: int, tmp_path: Path
) -> None:
    pixels = np.repeat(RAMP[..., None], bands, axis=-1) << (bits - 8)
    root = own_set(tmp_path / "parts", {f"{i}.png": color_png(np.roll(pixels, i, axis=1)) for i in range(6)})
    result = verify("folder", data_dir=root)
    assert result.exit_code == exit_code
    kind = "few_color_levels" if exit_code else "deep_colors"
    counts = Folder(data_dir=root, cache_dir=tmp_path).index().report.counts()
    assert counts[kind] == 6


def test_mixed_depths_say_what_to_do(tmp_path: Path) -> None:
    files = {f"{i}.png": of_depth(np.roll(RAMP, i, axis=1), (12, 16)[i % 2]) for i in range(6)}
    report = Folder(data_dir=own_set(tmp_path / "parts", files), cache_dir=tmp_path).index().report
    (problem,) = [problem for problem in report.problems if problem.kind == "mixed_gray_levels"]
    assert problem.count == 3 and "multiply by 16" in problem.found


# --- stored with the set, and the same everywhere ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def twelve_bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_set(tmp_path_factory.mktemp("own") / "parts", some_files())


def stated(splits: Any) -> set[GrayScale | None]:
    return {GrayScale.stated_by(split) for split in splits.values()}


def test_the_scale_survives_cache_parquet_card_and_stream(twelve_bits: Path, tmp_path: Path) -> None:
    full = {GrayScale(0, 4095)}
    for _ in range(2):  # the second time from the cache
        loaded = load_dataset(str(twelve_bits), cache_dir=tmp_path / "cache")
        assert stated(loaded) == full
    assert stated(load_dataset(str(twelve_bits), streaming=True)) == full
    assert stated(loaded.filter(lambda row: True)) == full
    hub = build_hub_folder("folder", data_dir=twelve_bits, output_dir=tmp_path / "hub")
    assert Manifest.load(hub).gray_scale == {"table": [0, 4095]}
    assert "shown from 0 (black) to 4,095 (white)" in (hub / "README.md").read_text()
    assert stated(load_dataset(str(hub), cache_dir=tmp_path / "cache")) == full
    assert stated(datasets.load_dataset(str(hub), cache_dir=str(tmp_path / "plain"))) == full
    split = loaded["train"]
    assert split[0]["image"].size == (256, 16)


def test_a_window_in_the_settings_reaches_the_set_and_moves_the_cache(tmp_path: Path) -> None:
    root = own_set(tmp_path / "parts", some_files(), "pixels: {window: [1000, 3000]}\n")
    assert stated(load_dataset(str(root), cache_dir=tmp_path / "cache")) == {GrayScale(1000, 3000)}
    (root / "radikal.yaml").write_text("name: parts\npixels: {bits: 14}\n")
    assert stated(load_dataset(str(root), cache_dir=tmp_path / "cache")) == {GrayScale(0, 16383)}


def test_eight_bit_sets_are_untouched(tmp_path: Path) -> None:
    root = own_set(tmp_path / "parts", {f"{i}.png": encoded(RAMP.astype(np.uint8)) for i in range(20)})
    hub = build_hub_folder("folder", data_dir=root, output_dir=tmp_path / "hub")
    assert "gray_scale" not in json.loads((hub / "manifest.json").read_text())
    assert stated(load_dataset(str(hub), cache_dir=tmp_path / "cache")) == {None}
    assert not verify("folder", data_dir=root).reports["table"].counts().keys() & {"deep_gray_levels"}


def test_verify_reports_depth_and_range_and_fails_on_too_few_levels(twelve_bits: Path, tmp_path: Path) -> None:
    found = verify("folder", data_dir=twelve_bits)
    (problem,) = [one for one in found.reports["table"].problems if one.kind == "deep_gray_levels"]
    assert found.exit_code == 0
    assert problem.found == "20 of 20 images: 12 bits, used from 0 to 4,095; shown from 0 to 4,095"
    root = own_set(tmp_path / "parts", some_files(), "pixels: {bits: 16}\n")
    found = verify("folder", data_dir=root)
    assert found.exit_code == 1
    assert re.search(r"window: \[\d, 409\d\]", found.reports["table"].problems[-1].found)
    with pytest.raises(GrayScaleError, match=r"window: \[\d+, 4\d+\]"):
        DetectionLoader(load_dataset(str(root), cache_dir=tmp_path / "cache")["train"], 2, 32)


@pytest.mark.parametrize("window", ["", "pixels: {window: [500, 3500]}\n"])
@pytest.mark.parametrize("kind", ["png", "tif", "float"])
def test_people_see_what_the_model_sees(kind: str, window: str, tmp_path: Path) -> None:
    files = some_files() if kind == "png" else {}
    for i in range(20 if not files else 0):
        values = np.roll(RAMP, 7 * i, axis=1) * 16
        files[f"{i}.tif"] = encoded(values.astype(np.float32 if kind == "float" else np.int32), "TIFF")
    splits = load_dataset(str(own_set(tmp_path / "parts", files, window)), cache_dir=tmp_path / "cache")
    loader = DetectionLoader(splits["train"], 4, (16, 256), shuffle=False)
    assert loader.gray_scale == scale_of(splits) and loader.channels == "gray"
    batches = [(batch.records.rows, batch.pixels.clone()) for batch in loader.raw()]
    models = {row.image_id: image for rows, some in batches for row, image in zip(rows, some.numpy(), strict=True)}
    shown = {one.image_id: np.asarray(one.image) for one in choose([("parts", splits)], images=99).images()}
    for name, pixels in models.items():
        assert (shown[name] == pixels[0, ..., None]).all()
    levels = statistics({"train": splits["train"]}).overall.gray_histogram
    counts = np.bincount(np.concatenate([pixels.ravel() for pixels in models.values()]), minlength=256)
    assert np.allclose(levels, counts / counts.sum(), atol=1e-6)
    _, thumbnails = look_at_all(of_rows(splits))
    assert len(thumbnails) == 20 and (thumbnails.std(axis=(1, 2)) > 20).all()


def test_eval_loaders_take_the_scale_they_are_given(twelve_bits: Path, tmp_path: Path) -> None:
    splits = load_dataset(str(twelve_bits), cache_dir=tmp_path)
    loader = DetectionLoader(splits["test"], 2, 32, gray_scale=GrayScale(0, 65_535))
    assert next(loader.raw()).pixels.max() <= 16


def test_a_loader_finds_the_scale_of_a_set_that_states_none(twelve_bits: Path, tmp_path: Path) -> None:
    split = load_dataset(str(twelve_bits), cache_dir=tmp_path)["train"]
    features = split.features.copy()
    features["image"] = datasets.Image()
    plain = split.cast(features)
    assert GrayScale.stated_by(plain) is None
    for source in (plain, plain.to_iterable_dataset()):
        loader = DetectionLoader(source, 2, 32)
        batch = next(loader.raw())
        assert loader.gray_scale == GrayScale(0, 4095) and batch.pixels.max() > 200
        assert loader.state_dict()["gray_scale"] == [0, 4095]
    stream = DetectionLoader(plain.to_iterable_dataset(), 2, 32, channels="gray")
    with pytest.raises(UnreadableImageError, match="no gray scale"):
        list(stream)


def test_a_combined_set_keeps_the_scale_or_asks_for_one(twelve_bits: Path, tmp_path: Path) -> None:
    one = load_dataset(str(twelve_bits), cache_dir=tmp_path / "a")
    gray = {f"g{i}.png": encoded(np.roll(RAMP, i, axis=1).astype(np.uint8)) for i in range(20)}
    eight = load_dataset(str(own_set(tmp_path / "eight", gray)), cache_dir=tmp_path / "b")
    other = load_dataset(str(own_set(tmp_path / "other", some_files(14))), cache_dir=tmp_path / "c")
    rename: Callable = lambda row: {"image_id": "other/" + row["image_id"]}  # noqa: E731  # annotated, for pyright
    eight, other = eight.map(rename), other.map(rename)
    assert stated(combine({"one": one, "eight": eight})) == {GrayScale(0, 4095)}
    with pytest.raises(CombiningError, match="different gray scales"):
        combine({"one": one, "other": other})
