"""What metrics.json records about the data of a run: sources, licenses, protocol, counts by split and class."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from radikal_datasets.hub_client.endpoint import DEFAULT_NAMESPACE
from radikal_datasets.loading.provenance import Provenance, provenance_of
from radikal_datasets.splits import UNLABELED
from training.run.settings import Settings, without_folders

#: The columns that the digest covers, where they exist: everything but pixels.
_COLUMNS = ("image_id", "width", "height", "boxes", "labels", "annotated", "group")


def data_record(settings: Settings, splits: Mapping[Any, datasets.Dataset]) -> dict[str, Any]:
    """Return plain values for metrics.json.

    `sets`: one dict for each dataset, see `_set_record`. `splits`: name -> `images`, `annotated`, `defect_free`,
    `boxes`, `groups`, `images_per_class` and `boxes_per_class`. `groups_in_two_splits`: how many groups are in more
    than one of the splits that are trained or scored on. `digest`: sha256 over ids, sizes, boxes, classes, groups and
    splits, the same on every machine.
    """
    columns = [name for name in _COLUMNS if name in splits["train"].column_names]
    tables = {str(name): split.select_columns(columns).with_format("arrow")[:] for name, split in splits.items()}
    names = splits["train"].features["labels"].feature.names
    return {
        "sets": [_set_record(*one, splits) for one in _sets(settings)],
        "splits": {name: _split_record(table, names) for name, table in tables.items()},
        "groups_in_two_splits": _groups_in_two(tables),
        "digest": _digest(tables, names),
    }


def _sets(settings: Settings) -> list[tuple[str, str | None, str | None, str | None]]:
    """Return path, configuration, data_dir and protocol of each dataset of a run."""
    own = (settings.dataset_name, settings.dataset_config_name, settings.data_dir, settings.protocol)
    others = []
    for other in settings.combine_with or []:
        known: Mapping[str, Any] = other if isinstance(other, Mapping) else {"path": other}
        others.append((str(known.get("path")), known.get("name"), known.get("data_dir"), known.get("protocol") or None))
    return [own, *others]


def _set_record(
    path: str, config: str | None, data_dir: str | None, protocol: str | None, splits: Mapping[Any, datasets.Dataset]
) -> dict[str, Any]:
    found: Provenance = provenance_of(path, config, data_dir, protocol, splits)
    record: dict[str, Any] = {
        "name": without_folders(path) if not path.startswith(f"{DEFAULT_NAMESPACE}/") else path,
        "config": config,
        "data_dir": None if data_dir is None else without_folders(str(data_dir)),
        "read_from": found.kind,
        "protocol": found.protocol,
        "protocol_in_words": found.protocol_text,
        "version": found.version,
        "counters": None if found.counters is None else [dataclasses.asdict(one) for one in found.counters],
        "sample": data_dir is not None and Path(f"{data_dir}.traps.json").is_file(),
        "source": None,
    }
    if found.source is not None:
        source = found.source
        record["source"] = {
            **{name: getattr(source, name) for name in ("name", "title", "homepage", "modality", "real")},
            "notes": list(source.notes),
            "published_images": next((one.images for one in source.configs if config in (None, one.name)), None),
            "license": {
                "name": source.license.name,
                "redistributable": source.license.redistributable,
                "summary": source.license.summary,
            },
        }
    return record


def _split_record(table: pa.Table, names: list[str]) -> dict[str, Any]:
    annotated, labels = table["annotated"].to_pylist(), table["labels"].to_pylist()
    rows = [one for one, known in zip(labels, annotated, strict=True) if known]
    images, boxes = Counter[int](), Counter[int]()
    for row in rows:
        boxes.update(row)
        images.update(set(row))
    return {
        "images": len(annotated),
        "annotated": len(rows),
        "defect_free": sum(not row for row in rows),
        "boxes": sum(map(len, rows)),
        "groups": len(set(table["group"].to_pylist())) if "group" in table.column_names else None,
        "images_per_class": {name: images[i] for i, name in enumerate(names)},
        "boxes_per_class": {name: boxes[i] for i, name in enumerate(names)},
    }


def _groups_in_two(tables: Mapping[str, pa.Table]) -> int | None:
    if any("group" not in table.column_names for table in tables.values()):
        return None
    splits = Counter[str]()
    for name, table in tables.items():
        if name != UNLABELED:
            splits.update({group for group in table["group"].to_pylist() if group is not None})
    return sum(count > 1 for count in splits.values())


def _digest(tables: Mapping[str, pa.Table], names: list[str]) -> str:
    digest = hashlib.sha256(repr(names).encode())
    for split, table in sorted(tables.items()):
        rows = sorted(table.to_pylist(), key=lambda row: row["image_id"])
        for row in rows:
            digest.update(repr([split, *row.values()]).encode())
    return digest.hexdigest()
