"""What is known about a dataset that was loaded: from a raw tree, a prepared folder, a Hub, and other rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from radikal_datasets import build_hub_folder, load_dataset
from radikal_datasets.loading.provenance import OTHER, PREPARED, RAW, provenance_of
from radikal_datasets.sources import source_info
from tests.hub.embedded import run_at, running_hub

NEU = "radikal_datasets/neu_det"


@pytest.fixture(scope="module")
def steel(sample_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "steel"
    return build_hub_folder("neu_det", data_dir=sample_tree("neu_det"), output_dir=folder)


def test_a_raw_tree_and_a_prepared_folder(sample_tree: Callable[..., Path], steel: Path) -> None:
    tree = str(sample_tree("neu_det"))
    raw = provenance_of(NEU, None, tree, None, load_dataset(NEU, data_dir=tree))
    assert (raw.kind, raw.source, raw.protocol, raw.version) == (RAW, source_info("neu_det"), "recommended", None)
    assert raw.counters and all(one.meaning and one.effect for one in raw.counters)
    for path, data_dir in ((str(steel), None), (NEU, str(steel))):
        prepared = provenance_of(path, None, data_dir, None, load_dataset(path, data_dir=data_dir))
        assert prepared.kind == PREPARED and prepared.source == raw.source and prepared.protocol == "recommended"
        assert {one.kind: one.count for one in prepared.counters or []} == {one.kind: one.count for one in raw.counters}
        assert len(prepared.version or "") == 16


def test_a_hub(steel: Path, tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub") as hub:
        hub.add_user("ann", ["plant"])
        code = """import sys
from radikal_datasets import load_dataset, push_to_hub
from radikal_datasets.loading.provenance import HUB, provenance_of
push_to_hub(sys.argv[1], "plant/line-3")
found = provenance_of("plant/line-3", None, None, None, load_dataset("plant/line-3"))
print(found.kind == HUB, found.source.name, found.protocol, len(found.version), len(found.counters) > 0)"""
        done = run_at(hub, "ann", tmp_path / "home", code, steel)
    assert done.stdout.splitlines()[-1] == "True neu_det recommended 40 True", done.stderr


def test_what_is_unknown_is_none(steel: Path, tmp_path: Path) -> None:
    loaded = load_dataset(str(steel))
    assert provenance_of("team/other", None, None, None, loaded).kind == OTHER
    copy = Path(shutil.copytree(steel, tmp_path / "copy"))
    (copy / "manifest.json").write_text("{", encoding="utf-8")
    found = provenance_of(str(copy), None, None, None, loaded)
    assert found.kind == OTHER and found.source is None and found.counters is None
