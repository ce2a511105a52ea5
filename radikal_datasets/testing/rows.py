"""Checks of the rows that a source gives, cached, streamed and prepared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np

from ..prepared.folder import build_hub_folder
from ..schema import features
from ..source import Config
from ..sources import builder_class, is_source
from .sample_trees import SampleTrees, examples_of

_PIXELS = ("image", "reference", "masks")


def masks_and_boxes(trees: SampleTrees) -> Iterator[str]:
    """Every box lies in its image, and every mask in its box, to a pixel."""
    annotations = trees.builder.SOURCE.annotations
    for config in trees.configs:
        builder = trees.open(config.name)
        for _, example in examples_of(builder).values():
            for instance in example.instances:
                if instance.mask is None:
                    if annotations == "masks":
                        what = f"{example.image_id} has a box without a mask"
                        yield f"{config.name}: {what}, although Source.annotations is 'masks'."
                    continue
                pixels = instance.mask.source.labels(builder.tree, example.width, example.height)
                ys, xs = np.nonzero(pixels == instance.mask.component)
                if pixels.shape != (example.height, example.width) or not len(xs):
                    yield f"{config.name}: a mask of {example.image_id} is empty or not of its image's size."
                elif not np.allclose((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), instance.box, atol=1.0):
                    yield f"{config.name}: a mask of {example.image_id} does not fill its box."


def equal_rows(trees: SampleTrees) -> Iterator[str]:
    """Cached, streamed and prepared rows are equal, with the schema's columns and the image's own size."""
    joined = [config for config in trees.builder.SOURCE.configs if config.parts]
    for config in (*trees.configs[:1], *joined[:1]):
        builder = trees.open(config.name)
        builder.download_and_prepare()
        cached = builder.as_dataset()
        streamed = trees.open(config.name).as_streaming_dataset()
        prepared = _prepared(trees, config)
        wanted = features(builder.facts.config(config.name).classes)
        for split, rows in cached.items():
            if rows.features != wanted:
                yield f"{config.name}: the columns of {split} are not those of radikal_datasets.schema.features."
            if [_stored(row) for row in streamed[split]] != [_stored(row) for row in rows]:
                yield f"{config.name}: streamed and cached rows of {split} differ."
            if prepared is not None and _undecoded(prepared[split]) != _undecoded(rows):
                yield f"{config.name}: prepared and cached rows of {split} differ."
            for row in rows:
                if row["image"].size != (row["width"], row["height"]):
                    yield f"{config.name}: {row['image_id']} is not {row['width']}x{row['height']} pixels."


def _prepared(trees: SampleTrees, config: Config) -> Any:
    """Return the splits of a prepared folder; None if the builder is not installed under its name."""
    name = trees.builder.SOURCE.name
    if not is_source(name) or builder_class(name) is not trees.builder:
        return None
    folder = trees.folder / f"prepared-{config.name}"
    build_hub_folder(name, config.name, data_dir=trees.intact, output_dir=folder)
    return datasets.load_dataset(str(folder), config.name, cache_dir=str(trees.folder / "cache"))


def _stored(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without what streaming decodes."""
    return {key: value for key, value in row.items() if key not in _PIXELS}


def _undecoded(rows: datasets.Dataset) -> list[dict[str, Any]]:
    image = datasets.Image(decode=False)
    for name in _PIXELS:
        rows = rows.cast_column(name, datasets.List(image) if name == "masks" else image)
    return rows.to_list()
