"""Which source a dataset comes from is what its card says, whatever it is called."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from radikal_datasets import build_hub_folder
from radikal_datasets.loading.origin import source_of_set
from radikal_datasets.sources import source_info
from tests.hub.embedded import run_at, running_hub


@pytest.fixture(scope="module")
def boards(sample_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "line 3"
    return build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=folder)


def test_names_and_folders(boards: Path, tmp_path: Path) -> None:
    deeppcb = source_info("deeppcb")
    assert deeppcb.publisher_scores == ("deeppcb_protocol",)
    assert source_of_set("radikal_datasets/deeppcb") == source_of_set(str(boards)) == deeppcb
    (tmp_path / "deeppcb").mkdir()
    assert source_of_set(str(tmp_path / "deeppcb")) is None


@pytest.mark.parametrize("damaged", ["manifest.json", "README.md"])
def test_a_damaged_card_or_manifest_ends_no_training(damaged: str, boards: Path, tmp_path: Path) -> None:
    shutil.copytree(boards, tmp_path / "copy")
    (tmp_path / "copy" / damaged).write_bytes(b"---\n- \xff[\n---\n")
    assert source_of_set(str(tmp_path / "copy")) is None


def test_facts_of_a_package_that_is_missing(boards: Path, tmp_path: Path) -> None:
    """`tests/test_plug_ins.py` has the entire way; this is the manifest alone."""
    shutil.copytree(boards, tmp_path / "copy")
    path = tmp_path / "copy" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    texts = ("title", "homepage", "download_page", "citation", "modality", "annotations", "best_use")
    manifest["source"] = "boards"
    manifest["source_facts"] = dict.fromkeys(texts, "x") | {
        **{"notes": [], "augmentations": [], "publisher_scores": ["deeppcb_protocol"], "real": True},
        "license": {"name": "MIT", "redistributable": True, "summary": "Free.", "spdx": True},
        "classes": {"default": ["open"]},
    }
    path.write_text(json.dumps(manifest), encoding="utf-8")
    source = source_of_set(str(tmp_path / "copy"))
    assert source is not None and source.name == "boards" and source.publisher_scores == ("deeppcb_protocol",)


def test_a_repository_of_another_name(boards: Path, tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub") as hub:
        hub.add_user("ann", ["plant"])
        code = """import sys
from radikal_datasets import push_to_hub
from radikal_datasets.loading.origin import source_of_set
push_to_hub(sys.argv[1], "plant/line-3")
print(source_of_set("plant/line-3").name, source_of_set("plant/deeppcb"))"""
        done = run_at(hub, "ann", tmp_path / "home", code, boards)
    assert done.stdout.splitlines()[-1] == "deeppcb None", done.stderr
