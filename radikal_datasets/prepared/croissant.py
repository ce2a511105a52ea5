"""`croissant.json`: the manifest's facts in the Croissant 1.0 vocabulary, for data catalogs and the tools that read it.

Vocabulary: http://mlcommons.org/croissant/1.0. The file is a function of the manifest alone, so it is never merged: it
is written again wherever a manifest is. It states license, citation, version, checksums, splits, columns and classes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Image, List, Value

from .. import splits
from ..schema import features
from ..source import Config
from .manifest import Manifest
from .manifest_entries import ConfigEntry

CROISSANT_FILENAME = "croissant.json"

#: The context that the standard prescribes; its readers warn of any other.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_PARQUET = "application/x-parquet"
_TYPES = {"string": "sc:Text", "int32": "sc:Integer", "float32": "sc:Float", "bool": "sc:Boolean"}
_COLUMNS = {
    "image_id": "Identifies the image within the dataset.",
    "image": "The image file as it was published.",
    "width": "Width in pixels.",
    "height": "Height in pixels.",
    "boxes": "One box per defect: x_min, y_min, x_max, y_max in pixels, 0-based and half-open.",
    "labels": "The class of each box, as its number among the classes.",
    "masks": "The pixels of each defect, 255 on 0, in the order of the boxes; empty where there are only boxes.",
    "reference": "A picture of the same object without defects; null where there is none.",
    "annotated": "False if the image has no annotation; it is then not known to be free of defects.",
    "group": "Images of the same group show the same object and are in the same split.",
}


def croissant_text(manifest: Manifest) -> str:
    """Return the text of `croissant.json` for a manifest; the same manifest gives the same text.

    Args:
        manifest: of the folder or repository; paths in it are relative to that.

    Raises:
        HubFolderError: see `Manifest.facts`.
    """
    source = manifest.facts
    license = source.license
    # Only own data may have configurations that the facts don't list.
    classes = {config.name: config for config in source.configs}
    entries = [(manifest.configs[name], classes.get(name) or Config(name, ())) for name in sorted(manifest.configs)]
    data: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": source.name,
        "alternateName": source.title,
        "description": f"{source.title}: {source.modality}. Ground truth: {source.annotations}. Converted by "
        "radikal-datasets; the bytes of the images are unchanged.",
        "license": (
            f"https://spdx.org/licenses/{license.name}.html" if license.spdx else f"{license.name}. {license.summary}"
        ),
        "version": manifest.version,
        "keywords": ["industrial inspection", "defect detection", source.name],
    }
    if source.homepage:
        data["url"] = source.homepage
    if source.citation:
        data["citeAs"] = source.citation
    data["distribution"] = [file for entry, config in entries for file in _files(config.name, entry)]
    data["recordSet"] = [
        records
        for entry, config in entries
        for records in _record_sets(config, entry, manifest.gray_scale.get(config.name))
    ]
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _files(name: str, entry: ConfigEntry) -> Iterator[dict[str, Any]]:
    """Yield each shard with its checksum, and the set of them from which the rows are read."""
    for path, file in sorted(entry.files.items()):
        if file.rows is not None:
            yield {
                "@type": "cr:FileObject",
                "@id": path,
                "name": path,
                "contentUrl": path,
                "contentSize": f"{file.bytes} B",
                "encodingFormat": _PARQUET,
                "sha256": file.sha256,
            }
    yield {
        "@type": "cr:FileSet",
        "@id": f"{name}/shards",
        "name": f"{name}/shards",
        "description": f"The shards of {name}: {sum(file.rows or 0 for file in entry.files.values())} rows.",
        "encodingFormat": _PARQUET,
        "includes": f"{name}/*.parquet",
    }


def _record_sets(config: Config, entry: ConfigEntry, scale: list[float] | None) -> Iterator[dict[str, Any]]:
    """Yield the splits, the classes and the rows of a configuration."""
    name, rows = config.name, _rows_by_split(entry)
    split_field = f"{name}/splits/name"
    yield {
        "@type": "cr:RecordSet",
        "@id": f"{name}/splits",
        "name": f"{name}/splits",
        "description": f"The splits of {name}, by the protocol {entry.protocol}.",
        "dataType": "cr:Split",
        "key": {"@id": split_field},
        "field": [_field(split_field, "sc:Text", "Name of the split."), _field(f"{name}/splits/rows", "sc:Integer")],
        "data": [{split_field: split, f"{name}/splits/rows": count} for split, count in rows.items()],
    }
    number, label = f"{name}/classes/number", f"{name}/classes/name"
    if config.classes:
        yield {
            "@type": "cr:RecordSet",
            "@id": f"{name}/classes",
            "name": f"{name}/classes",
            "description": f"The classes of {name}; a label is the number of its class.",
            "dataType": "sc:Enumeration",
            "key": {"@id": number},
            "field": [_field(number, "sc:Integer"), _field(label, "sc:Text")],
            "data": [{number: index, label: text} for index, text in enumerate(config.classes)],
        }
    yield {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"{sum(rows.values())} images with their annotations.",
        "field": [
            {
                # The expression finds a split in its own name, too: mlcroissant 1.1 applies it twice.
                **_field(f"{name}/split", "sc:Text", "The split of the image."),
                "source": {
                    "fileSet": {"@id": f"{name}/shards"},
                    "extract": {"fileProperty": "fullpath"},
                    "transform": {
                        "regex": rf"^(?:(?:.*/)?{re.escape(name)}/)?({'|'.join(map(re.escape, rows))})(?:-[^/]*)?$"
                    },
                },
                "references": {"field": {"@id": split_field}},
            },
            *(_column(name, column, feature, scale) for column, feature in features(config.classes).items()),
        ],
    }


def _rows_by_split(entry: ConfigEntry) -> dict[str, int]:
    rows: dict[str, int] = {}
    for path, file in sorted(entry.files.items()):
        if file.rows is not None:
            split = path.rpartition("/")[2].partition("-")[0]
            rows[split] = rows.get(split, 0) + file.rows
    return {split: rows[split] for split in sorted(rows, key=[*splits.SPLITS, *sorted(rows)].index)}


def _column(config: str, column: str, feature: Any, scale: list[float] | None) -> dict[str, Any]:
    text = _COLUMNS[column]
    if column == "image" and scale is not None:
        text += f" Its gray values are shown from {scale[0]:,g} (black) to {scale[1]:,g} (white)."
    inner = feature
    while isinstance(inner, List):
        inner = inner.feature
    extract: dict[str, Any] = {"fileSet": {"@id": f"{config}/shards"}, "extract": {"column": column}}
    kind = _TYPES[inner.dtype] if isinstance(inner, Value) else "sc:Integer"  # of a class
    if isinstance(inner, Image):
        extract["transform"], kind = {"jsonPath": "bytes"}, "sc:ImageObject"
    repeated = {"repeated": True} if isinstance(feature, List) else {}
    return {**_field(f"{config}/{column}", kind, text), **repeated, "source": extract}


def _field(identity: str, kind: str, description: str = "") -> dict[str, Any]:
    about: Mapping[str, str] = {"description": description} if description else {}
    return {"@type": "cr:Field", "@id": identity, "name": identity, **about, "dataType": kind}
