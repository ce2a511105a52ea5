"""The internals of a loader: threads, memory, broken images, streams, pairs, masks and resuming."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from loaders import Augmentation, DetectionLoader, Tiling
from radikal_datasets.errors import UnreadableImageError
from tests.loaders.conftest import drawn_row, encode, make_split, take
from tests.loaders.test_detection import corners, gray_levels, same


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader-")]


def many(count: int = 40):
    return make_split([drawn_row(i) for i in range(count)])


def with_cells(split, **columns):
    """The split with cells replaced: column -> {row: value}."""
    cells = split.cast_column("image", split.features["image"].__class__(decode=False)).to_dict()
    for column, changes in columns.items():
        for row, value in changes.items():
            cells[column][row] = value
    return split.from_dict(cells, features=split.features)


# --- threads and memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["end", "break", "exception", "raw", "never iterated", "dropped"])
def test_no_thread_is_left(how):
    loader = DetectionLoader(many(), 2, 32, threads=4)
    if how == "end":
        list(loader)
    elif how == "break":
        for _ in loader:
            break
    elif how == "exception":
        with pytest.raises(RuntimeError, match="mine"):
            for _ in loader:
                raise RuntimeError("mine")
    elif how == "raw":
        next(loader.raw())
    elif how == "dropped":
        iterator = iter(loader)
        next(iterator)
        assert loader_threads()
        del iterator
    assert not loader_threads()


def test_break_and_continue(drawn_split):
    loader = DetectionLoader(drawn_split, 3, 32, seed=2)
    whole = [i for b in DetectionLoader(drawn_split, 3, 32, seed=2) for i in b["image_id"]]
    seen = []
    for batch in loader:
        seen += batch["image_id"]
        break
    for batch in loader:
        seen += batch["image_id"]
    assert seen == whole and loader.epoch == 1


def test_batches_that_are_kept_are_not_overwritten():
    loader = DetectionLoader(many(), 2, 32, threads=2, shuffle=False)
    kept, copies = [], []
    for _ in range(3):
        for batch in loader:
            kept.append(batch["pixel_values"][:1])  # a view of the batch
            copies.append(batch["pixel_values"][:1].clone())
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_memory_of_batches_no_longer_referenced_is_reused():
    loader = DetectionLoader(many(), 2, 32, threads=2, prefetch=2)
    places = [batch["pixel_values"].data_ptr() for _ in range(3) for batch in loader]
    assert len(places) == 60 and len(set(places)) <= 6  # ring, the one in use, and the one before it


def test_raw_batches_are_the_bytes_of_the_files():
    array = np.random.default_rng(0).integers(0, 256, (24, 32), dtype=np.uint8)
    small = {"width": 32, "height": 24, "boxes": [[2, 3, 9, 9]], "labels": [0]}
    split = make_split([drawn_row(i, bytes=encode(array + i), **small) for i in range(5)])
    loader = DetectionLoader(split, 2, (24, 32), shuffle=False)
    seen = 0
    for batch in loader.raw():
        assert batch.pixels.dtype == torch.uint8 and batch.pixels.shape[1:] == (1, 24, 32)
        for plane, record in zip(batch.pixels, batch.records.rows, strict=True):
            assert record.image_id == f"made/{seen}" and np.array_equal(plane[0].numpy(), array + seen)
            seen += 1
    assert seen == 5 and loader.epoch == 1


def broken(split, *rows):
    return with_cells(split, image={row: {"bytes": b"\xff\xd8\xff nothing", "path": None} for row in rows})


def test_skipped_images_are_counted_and_replaced():
    split = broken(make_split([drawn_row(i) for i in range(8)]), 2, 5)
    loader = DetectionLoader(split, 3, 32, shuffle=False, on_error="skip")
    batches = list(loader)
    assert sorted(loader.skipped) == ["made/2", "made/5"] and "decode_jpeg" not in "".join(loader.skipped)
    assert [len(b["image_id"]) for b in batches] == [3, 3, 2]
    once = [i for b in batches for i, again in zip(b["image_id"], b["repeated"].tolist(), strict=True) if not again]
    assert once == ["made/0", "made/1", "made/3", "made/4", "made/6", "made/7"]
    first = batches[0]
    assert first["image_id"] == ["made/0", "made/1", "made/0"]
    assert torch.equal(first["pixel_values"][2], first["pixel_values"][0])
    assert torch.equal(first["labels"][2]["boxes"], first["labels"][0]["boxes"])


def test_skipping_an_entire_batch_is_an_error():
    loader = DetectionLoader(broken(many(4), 2, 3), 2, 32, shuffle=False, on_error="skip")
    with pytest.raises(UnreadableImageError, match="made/2"):
        list(loader)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_before_a_broken_image_come_first(threads):
    loader = DetectionLoader(broken(many(20), 11), 2, 32, shuffle=False, threads=threads, prefetch=8)
    seen = []
    with pytest.raises(UnreadableImageError, match="made/11"):
        for batch in loader:
            seen += batch["image_id"]
    assert seen == [f"made/{i}" for i in range(10)] and not loader_threads()


@pytest.mark.parametrize("keep_aspect", [False, True])  # made in the decoding threads, or after them
def test_batches_before_one_that_fails_come_first(keep_aspect):
    class Picky(DetectionLoader):
        def _with_labels(self, result, truth, masks):
            if unwanted in result["image_id"]:
                raise RuntimeError("not this one")
            return super()._with_labels(result, truth, masks)

    split = many(12)
    unwanted = split["image_id"][7]
    came = []
    with pytest.raises(RuntimeError, match="not this one"):
        for batch in Picky(split, 2, 32, threads=2, shuffle=False, keep_aspect=keep_aspect):
            came += batch["image_id"]
    assert came == split["image_id"][:6]
    assert not loader_threads()


# --- gray and color ---------------------------------------------------------------------------------------------------


def test_files_of_three_equal_planes_are_gray():
    rows = [drawn_row(i) for i in range(4)]
    for row in rows:
        gray = np.asarray(Image.open(io.BytesIO(row["bytes"])))
        row["bytes"] = encode(np.stack([gray] * 3, -1), "JPEG")
    loader = DetectionLoader(make_split(rows), 2, 32)
    assert loader.channels == "gray" and next(loader.raw()).pixels.shape[1] == 1


@pytest.mark.parametrize(("colored", "planes"), [(2, "gray"), (3, "rgb")])
def test_a_stray_color_image_does_not_make_a_dataset_color(colored, planes, caplog):
    rows = [drawn_row(i) for i in range(40)]
    for row in rows[:colored]:
        gray = np.asarray(Image.open(io.BytesIO(row["bytes"])))
        row["bytes"] = encode(np.stack([gray, gray, gray // 2], -1))
    loader = DetectionLoader(make_split(rows), 4, 32)
    assert loader.channels == planes
    assert ("2 of 40 examined images are colored, such as made/0" in caplog.text) == (planes == "gray")


def test_gray_is_the_same_as_three_planes(drawn_split):
    for mean, std in [((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.4,) * 3, (0.2,) * 3)]:
        options = {"shuffle": False, "mean": mean, "std": std}
        for gray, color in zip(
            DetectionLoader(drawn_split, 4, 40, channels="gray", **options),
            DetectionLoader(drawn_split, 4, 40, channels="rgb", **options),
            strict=True,
        ):
            assert gray["pixel_values"].shape == color["pixel_values"].shape
            torch.testing.assert_close(gray["pixel_values"], color["pixel_values"], rtol=0, atol=0)


def test_equal_planes_are_one_in_memory(drawn_split):
    (batch, *_) = DetectionLoader(drawn_split, 4, 40, mean=(0.4,) * 3, std=(0.2,) * 3)
    assert batch["pixel_values"].shape[1] == 3 and batch["pixel_values"].stride(1) == 0


@pytest.mark.parametrize("augment", [None, Augmentation(0, 0, scale=0, brightness=0, contrast=0, noise=0)])
def test_planes_come_in_the_order_red_green_blue(augment):
    color = np.zeros((40, 40, 3), np.uint8)
    color[..., 0], color[..., 1] = 200, 100
    split = make_split([drawn_row(0, bytes=encode(color), width=40, height=40)])
    (batch,) = DetectionLoader(split, 1, 20, mean=(0.0,) * 3, std=(1 / 255,) * 3, augment=augment)
    assert batch["pixel_values"].mean((0, 2, 3)).round().tolist() == [200, 100, 0]


# --- pairs ------------------------------------------------------------------------------------------------------------


def pair_split(size=(40, 30), template=(40, 30), missing=()):
    rng = np.random.default_rng(3)
    rows, references = [], {}
    for i in range(4):
        board = rng.integers(0, 256, (template[1], template[0]), dtype=np.uint8) // 2
        tested = np.asarray(Image.fromarray(board).resize(size, Image.Resampling.NEAREST)).copy()
        tested[5:15, 10:20] = 255
        rows.append(
            drawn_row(i, bytes=encode(tested), width=size[0], height=size[1], boxes=[[10, 5, 20, 15]], labels=[0])
        )
        references[i] = None if i in missing else {"bytes": encode(board), "path": None}
    return with_cells(make_split(rows), reference=references)


def test_pair_is_image_template_and_difference():
    loader = DetectionLoader(pair_split(), 2, (30, 40), channels="pair", shuffle=False)
    for batch in loader.raw():
        image, template, difference = batch.pixels.int().unbind(1)
        assert torch.equal(difference, (image - template).abs())
        assert difference[:, 5:15, 10:20].min() > 100 and difference.sum() == difference[:, 5:15, 10:20].sum()
    (one, two) = DetectionLoader(
        pair_split(), 2, (30, 40), channels="pair", shuffle=False, mean=(0,) * 3, std=(1 / 255,) * 3
    )
    planes = torch.cat([one["pixel_values"], two["pixel_values"]])
    torch.testing.assert_close(planes[:, 2], (planes[:, 0] - planes[:, 1]).abs(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("tiles", [None, Tiling((20, 20), overlap=0.3)])
def test_template_of_another_size_is_resized_to_the_image(tiles):
    loader = DetectionLoader(pair_split(template=(80, 60)), 2, (20, 20), channels="pair", tiles=tiles)
    for batch in loader.raw():
        assert batch.pixels.shape[1:] == (3, 20, 20)


def test_difference_is_recomputed_after_augmentation():
    loader = DetectionLoader(
        pair_split(),
        4,
        (30, 40),
        channels="pair",
        mean=(0.0,) * 3,
        std=(1 / 255,) * 3,
        augment=Augmentation(scale=0.5, brightness=0.3, noise=0.05),
    )
    (batch,) = loader
    image, template, difference = batch["pixel_values"].unbind(1)
    torch.testing.assert_close(difference, (image - template).abs(), atol=1e-3, rtol=0)


def test_pair_without_template_names_the_image():
    with pytest.raises(ValueError, match=r"'made/2' has no reference.*channels='auto'"):
        list(DetectionLoader(pair_split(missing=[2]), 2, (30, 40), channels="pair", shuffle=False))


# --- masks ------------------------------------------------------------------------------------------------------------


def masked_split():
    split = many(9)
    masks = {}
    for row, (boxes, width, height) in enumerate(zip(split["boxes"], split["width"], split["height"], strict=True)):
        masks[row] = []
        for x0, y0, x1, y1 in boxes:
            mask = np.zeros((height, width), np.uint8)
            mask[int(y0) : int(y1), int(x0) : int(x1)] = 255
            masks[row].append({"bytes": encode(mask), "path": None})
    return with_cells(split, masks=masks)


@pytest.mark.parametrize("augment", [None, Augmentation(scale=0.4)])
@pytest.mark.parametrize("keep_aspect", [False, True])
def test_masks_lie_in_their_boxes(augment, keep_aspect):
    found = 0
    loader = DetectionLoader(masked_split(), 4, 64, masks=True, augment=augment, keep_aspect=keep_aspect)
    for batch in loader:
        for label, pixels in zip(batch["labels"], batch["pixel_values"], strict=True):
            assert label["masks"].shape == (len(label["boxes"]), 64, 64) and label["masks"].dtype == torch.bool
            for mask, box in zip(label["masks"], corners(label["boxes"], 64), strict=True):
                ys, xs = mask.nonzero(as_tuple=True)
                tight = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                assert (tight - box).abs().max() <= 1.5
                assert gray_levels(pixels)[mask].mean() > 0.5
                found += 1
    assert found == 6


def test_requesting_missing_masks_is_an_error(drawn_split):
    with pytest.raises(ValueError, match=r"1 boxes, but 0 masks\. masks=True needs a source with masks"):
        list(DetectionLoader(drawn_split, 4, 32, masks=True))


def test_a_tiny_mask_does_not_vanish():
    mask = np.zeros((400, 400), np.uint8)
    mask[201, 203] = 255
    row = drawn_row(
        1, bytes=encode(np.zeros((400, 400), np.uint8)), width=400, height=400, boxes=[[203, 201, 204, 202]]
    )
    split = with_cells(make_split([{**row, "labels": [0]}]), masks={0: [{"bytes": encode(mask), "path": None}]})
    (batch,) = DetectionLoader(split, 1, 50, masks=True)
    assert batch["labels"][0]["masks"].sum() >= 1 and batch["labels"][0]["masks"][0, 25, 25]


# --- streams ----------------------------------------------------------------------------------------------------------


def stream_of(split, shards=3, shuffled=False):
    stream = split.to_iterable_dataset(num_shards=shards)
    return stream.shuffle(seed=7, buffer_size=8) if shuffled else stream


def test_a_stream_gives_the_same_batches(drawn_split):
    table = list(DetectionLoader(drawn_split, 4, 48, shuffle=False, augment=Augmentation()))
    loader = DetectionLoader(stream_of(drawn_split), 4, 48, augment=Augmentation())
    assert all(same(a, b) for a, b in zip(table, list(loader), strict=True))
    assert loader.channels == "gray" and loader.epoch == 1 and not loader_threads()


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_share_a_stream_as_they_share_a_table(drawn_split, world, drop_last):
    for rank in range(world):
        options = {"rank": rank, "world_size": world, "drop_last": drop_last}
        table = list(DetectionLoader(drawn_split, 2, 32, shuffle=False, **options))
        stream = list(DetectionLoader(stream_of(drawn_split), 2, 32, **options))
        assert all(same(a, b) for a, b in zip(table, stream, strict=True))
        assert [b["repeated"].tolist() for b in table] == [b["repeated"].tolist() for b in stream]


@pytest.mark.parametrize("stop", range(7))
def test_a_shuffled_stream_resumes_without_losing_an_image(drawn_split, stop):
    def fresh():
        return DetectionLoader(stream_of(drawn_split, shuffled=True), 3, 32, seed=1)

    whole, first, second = take(fresh(), 8), fresh(), fresh()
    head = take(first, stop)
    second.load_state_dict(first.state_dict())
    assert all(same(a, b) for a, b in zip(whole, head + take(second, 8 - stop), strict=True))
    assert sorted(i for b in whole[:4] for i in b["image_id"]) == sorted(drawn_split["image_id"])
    assert [b["image_id"] for b in whole[:4]] != [b["image_id"] for b in whole[4:]]


def test_a_stream_that_is_left_early_leaves_no_thread(drawn_split):
    loader = DetectionLoader(stream_of(drawn_split), 2, 32)
    for _ in loader:
        break
    assert not loader_threads()


def test_a_stream_that_breaks_says_so(drawn_split):
    def rows():
        yield from drawn_split.select(range(5))
        raise OSError("the cable came out")

    from datasets import IterableDataset

    stream = IterableDataset.from_generator(rows, features=drawn_split.features)
    seen = []
    with pytest.raises(OSError, match="cable"):
        for batch in DetectionLoader(stream, 2, 32, channels="gray"):
            seen += batch["image_id"]
    assert seen == [f"made/{i}" for i in range(4)] and not loader_threads()


def test_what_a_stream_cannot_provide(drawn_split):
    loader = DetectionLoader(stream_of(drawn_split), 2, 32)
    with pytest.raises(TypeError, match="unknown number of batches"):
        len(loader)
    with pytest.raises(TypeError, match="unknown number of images"):
        loader.num_images  # noqa: B018
    with pytest.raises(ValueError, match="no row numbers for a sampler"):
        DetectionLoader(stream_of(drawn_split), 2, 32, sampler=object())  # type: ignore[arg-type]


def test_empty_split():
    split = make_split([drawn_row(0)]).select([])
    assert list(DetectionLoader(split, 2, 32)) == [] and len(DetectionLoader(split, 2, 32)) == 0
