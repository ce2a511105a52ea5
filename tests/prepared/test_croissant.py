"""`croissant.json`: what a reader of the vocabulary relies on. Its own reader runs in benchmarks/conformance.py."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from radikal_datasets import build_hub_folder
from radikal_datasets.prepared import folder as hub_folder
from radikal_datasets.prepared.croissant import CROISSANT_FILENAME, croissant_text
from radikal_datasets.prepared.manifest import Manifest, check_folder
from radikal_datasets.sources import source_info
from tests.hub.files import checksums


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / CROISSANT_FILENAME).read_text(encoding="utf-8"))


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every node with a type, at any depth."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)
    if isinstance(value, dict) and "@type" in value and "@id" in value:
        yield value


def references(value: Any) -> Iterator[str]:
    """Yield what is referred to by `{"@id": ...}` alone."""
    if isinstance(value, dict) and value.keys() == {"@id"}:
        yield value["@id"]
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if key != "@context":
                yield from references(inner)


@pytest.fixture(scope="module")
def prepared(sample_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("croissant") / "dagm2007"
    return build_hub_folder("dagm2007", ["class1", "class2"], data_dir=sample_tree("dagm2007"), output_dir=output)


def test_files_checksums_splits_and_columns_are_the_folders_own(prepared: Path) -> None:
    data = read(prepared)
    files = [node for node in data["distribution"] if node["@type"] == "cr:FileObject"]
    assert sorted(node["contentUrl"] for node in files) == sorted(
        path.relative_to(prepared).as_posix() for path in prepared.glob("*/*.parquet")
    )
    for node in files:
        content = (prepared / node["contentUrl"]).read_bytes()
        assert node["sha256"] == hashlib.sha256(content).hexdigest()
        assert node["contentSize"] == f"{len(content)} B"
    shards = {
        node["@id"]: sorted(prepared.glob(node["includes"])) for node in data["distribution"] if "includes" in node
    }
    assert sorted(path for paths in shards.values() for path in paths) == sorted(prepared.glob("*/*.parquet"))
    for records in (node for node in data["recordSet"] if node["@id"] in ("class1", "class2")):
        split, *columns = records["field"]
        paths = shards[split["source"]["fileSet"]["@id"]]
        assert [field["source"]["extract"]["column"] for field in columns] == pq.read_schema(paths[0]).names
        assert {field["source"]["fileSet"]["@id"] for field in columns} == {f"{records['@id']}/shards"}
        expression = split["source"]["transform"]["regex"]
        for path in paths:
            (found,) = re.fullmatch(expression, str(path)).groups()  # pyright: ignore[reportOptionalMemberAccess]
            assert found == path.name.partition("-")[0]
            assert re.fullmatch(expression, found)
    rows = {
        (row["class1/splits/name"], row["class1/splits/rows"])
        for node in data["recordSet"]
        if node["@id"] == "class1/splits"
        for row in node["data"]
    }
    assert rows == {
        (path.name.partition("-")[0], pq.read_metadata(path).num_rows) for path in prepared.glob("class1/*.parquet")
    }


def test_names_are_unique_and_references_resolve(prepared: Path) -> None:
    data = read(prepared)
    names = [node["@id"] for node in nodes(data)]
    assert len(names) == len(set(names))
    assert set(references(data)) <= set(names)


def test_license_citation_and_classes_are_the_sources(prepared: Path) -> None:
    data, source = read(prepared), source_info("dagm2007")
    assert data["citeAs"] == source.citation
    assert source.license.name in data["license"]
    listed = {node["@id"]: list(node["data"]) for node in data["recordSet"] if "data" in node}
    assert listed["class1/classes"] == [{"class1/classes/number": 0, "class1/classes/name": "defect"}]


def test_a_license_of_the_spdx_list_is_an_address(prepared: Path) -> None:
    data = json.loads(croissant_text(replace(Manifest.load(prepared), source="deeppcb")))
    assert source_info("deeppcb").license.spdx and data["license"] == "https://spdx.org/licenses/MIT.html"


def test_a_configuration_that_the_facts_lack_is_still_described(prepared: Path) -> None:
    manifest = Manifest.load(prepared)
    entry = manifest.configs["class1"]
    files = {path.replace("class1/train", "class1/odd(+split"): file for path, file in entry.files.items()}
    other = replace(manifest, configs={"class1": replace(entry, files=files), "own (new)": entry})
    data = json.loads(croissant_text(other))
    assert {"class1", "own (new)"} <= {node["@id"] for node in data["recordSet"]}


@pytest.mark.parametrize("state", ["missing", "edited"])
def test_it_is_written_again_without_converting(
    prepared: Path, sample_tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    tree = sample_tree("dagm2007")
    folder = build_hub_folder("dagm2007", "class1", data_dir=tree, output_dir=tmp_path / "hub")
    before = checksums(folder)
    if state == "missing":
        (folder / CROISSANT_FILENAME).unlink()
    else:
        (folder / CROISSANT_FILENAME).write_bytes(b"\xff")
    check_folder(folder)  # a folder of an older version has none, and is whole

    def refuse(*arguments: object) -> None:
        raise AssertionError("a shard is written again")

    monkeypatch.setattr(hub_folder._Folder, "_convert", refuse)
    build_hub_folder("dagm2007", "class1", data_dir=tree, output_dir=folder)
    assert checksums(folder) == before
