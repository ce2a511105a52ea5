"""The datasets of benchmarks/loading.py, in every format that a route reads: Arrow, files, tars, chunks."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
import tarfile
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

import radikal_datasets
from radikal_datasets.samples import make_sample

SHARDS = 8  # tar files; a multiple of the workers, otherwise one of them would have more to do
REAL = Path(os.environ.get("RADIKAL_REAL", Path(__file__).parents[2] / "shared" / "real"))


@dataclass(frozen=True)
class Recipe:
    source: str
    config: str | None
    sizes: tuple[int | None, ...]  # edges images are resized to; None keeps their own size
    sample: int = 48  # synthetic images to generate if there is no real dataset
    native: tuple[int, int] | None = None  # (height, width) of the tiled sample images
    batch: int = 16


# Sample images are small (castings 256x192, bottle 96x96 pixels). Different ones are tiled to the size of the
# real images, so that decoding costs the same. Identical tiles would compress too well.
RECIPES = {
    "deeppcb": Recipe("deeppcb", None, (None, 320)),
    "neu_det": Recipe("neu_det", None, (None, 128), batch=64),  # for images of 8 KB, a usual batch size
    "castings": Recipe("gdxray", "castings", (None, 640, 256), 192, (572, 768)),
    "mvtec_ad": Recipe("mvtec_ad", "bottle", (None, 640, 256), 96, (1024, 1024)),
}


class Data:
    """A prepared dataset in its own cache folder: rows in random order, and the other routes' files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = datasets.load_from_disk(str(folder / "rows"))
        facts = json.loads((folder / "facts.json").read_text())
        self.native, self.planes, self.suffix = tuple(facts["native"]), facts["planes"], facts["suffix"]

    @cached_property
    def views(self) -> list[np.ndarray]:
        """The encoded images in private memory, so that the limits never wait for a page of a mapped file."""
        chunks = self.rows.data.column("image").chunks
        return [np.frombuffer(one.as_buffer(), np.uint8) for chunk in chunks for one in chunk.field("bytes")]

    def repeated(self, passes: int) -> datasets.Dataset:
        return self.rows if passes == 1 else self.rows.select([*range(len(self.rows))] * passes)


def load_rows(name: str, cache: Path, tree: Path | None = None) -> datasets.Dataset:
    """Return all annotated images of a dataset in random order, from a raw tree, the local real one, or a sample."""
    recipe, real = RECIPES[name], REAL / RECIPES[name].source
    if tree is None and real.is_dir() and not recipe.native:
        tree = real
    elif tree is None and not (tree := cache / f"{name}-sample").exists():
        make_sample(recipe.source, tree, images=recipe.sample)
    where = f"radikal_datasets/{recipe.source}"
    splits = radikal_datasets.load_dataset(where, recipe.config, data_dir=str(tree), cache_dir=str(cache / "arrow"))
    rows = datasets.concatenate_datasets(list(splits.values())).cast_column("image", datasets.Image(decode=False))
    rows = rows.select([i for i, known in enumerate(rows["annotated"]) if known]).shuffle(seed=0)
    rows = rows.select_columns(["image_id", "image", "width", "height", "boxes", "labels", "annotated"])
    return laid_side_by_side(rows, recipe.native) if recipe.native else rows


def prepare(name: str, cache: Path, tree: Path | None = None) -> Path:
    """Create the dataset's folder, unless it exists, with everything that any route needs."""
    folder = cache / name
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(name, folder, load_rows(name, cache, tree))
        write_files(Data(folder))
        (folder / "done").touch()
    write_chunks(Data(folder))
    return folder


def write_rows(name: str, folder: Path, rows: datasets.Dataset) -> None:
    pictures = [np.asarray(Image.open(io.BytesIO(image["bytes"]))) for image in rows["image"]]
    native = pictures[0].shape[:2]
    if any(picture.shape[:2] != native for picture in pictures):
        raise SystemExit(f"{name}: images of different sizes; the limits here need a single size")
    # A dataset counts as gray even if one image in a hundred is colored, as one of DeepPCB's test images is.
    gray = np.mean([picture.ndim == 2 or (picture[..., :1] == picture).all() for picture in pictures]) > 0.99
    numbered = rows.cast_column("image", datasets.Image()).add_column("number", [*range(len(rows))])  # type: ignore
    numbered.flatten_indices().save_to_disk(str(folder / "rows"))
    facts = {"native": native, "planes": 1 if gray else 3, "suffix": Path(rows[0]["image"]["path"]).suffix}
    (folder / "facts.json").write_text(json.dumps(facts))


def laid_side_by_side(rows: datasets.Dataset, size: tuple[int, int]) -> datasets.Dataset:
    """Make each image the top left corner of a larger one, filled with the images after it. Boxes are unchanged."""
    pictures = [np.asarray(Image.open(io.BytesIO(image["bytes"]))) for image in rows["image"]]
    shape = Counter(picture.shape for picture in pictures).most_common(1)[0][0]
    keep = [i for i, picture in enumerate(pictures) if picture.shape == shape]
    down, across = -(-size[0] // shape[0]), -(-size[1] // shape[1])

    def one(row: dict[str, Any], index: int) -> dict[str, Any]:
        tiles = [pictures[keep[(index + k) % len(keep)]] for k in range(down * across)]
        lines = [np.concatenate(tiles[k : k + across], axis=1) for k in range(0, len(tiles), across)]
        file = io.BytesIO()
        Image.fromarray(np.concatenate(lines)[: size[0], : size[1]]).save(file, "PNG")
        image = {"bytes": file.getvalue(), "path": row["image"]["path"]}
        return {"image": image, "height": size[0], "width": size[1]}

    return rows.select(keep).map(one, with_indices=True, features=rows.features, keep_in_memory=True)


def write_files(data: Data) -> None:
    """Write image files with COCO annotations, and tar shards."""
    images, annotations = [], []
    (data.folder / "files").mkdir(exist_ok=True)
    rows = list(data.rows.cast_column("image", datasets.Image(decode=False)))
    for row in rows:
        name = f"{row['number']:06d}{data.suffix}"
        (data.folder / "files" / name).write_bytes(row["image"]["bytes"])
        images.append({"id": row["number"], "file_name": name, "width": row["width"], "height": row["height"]})
        annotations += coco_annotations(row["number"], row["boxes"], row["labels"])
    numbered = [{"id": number, **annotation} for number, annotation in enumerate(annotations, 1)]
    ground_truth = {
        "images": images,
        "annotations": numbered,
        "categories": [{"id": i, "name": str(i)} for i in range(99)],
    }
    (data.folder / "instances.json").write_text(json.dumps(ground_truth))
    for shard in range(SHARDS):
        with tarfile.open(data.folder / f"shard-{shard}.tar", "w") as tar:
            for row in rows[shard * len(rows) // SHARDS : (shard + 1) * len(rows) // SHARDS]:
                for suffix, content in ((data.suffix, row["image"]["bytes"]), (".json", truth_of(row).encode())):
                    member = tarfile.TarInfo(f"{row['number']:06d}{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def write_chunks(data: Data) -> None:
    """Write LitData's chunks, if it is installed and they do not exist yet."""
    target = data.folder / "litdata"
    if importlib.util.find_spec("litdata") and not (target / "index.json").exists():
        import litdata

        rows = data.rows.cast_column("image", datasets.Image(decode=False))
        inputs = [{"image": row["image"]["bytes"], "truth": truth_of(row)} for row in rows]
        with contextlib.redirect_stdout(sys.stderr):
            litdata.optimize(dict, inputs, str(target), chunk_bytes="16MB", num_workers=1)


def truth_of(row: Any) -> str:
    return json.dumps({"boxes": row["boxes"], "labels": row["labels"]})


def coco_annotations(image_id: int, boxes: list[list[float]], labels: list[int]) -> list[dict[str, Any]]:
    sizes = [(x, y, right - x, bottom - y) for x, y, right, bottom in boxes]
    fixed = {"image_id": image_id, "iscrowd": 0}
    found = zip(sizes, labels, strict=True)
    return [{**fixed, "category_id": label, "bbox": [*size], "area": size[2] * size[3]} for size, label in found]
