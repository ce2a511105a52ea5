"""The same batches from a raw tree, prepared folder, private Hub or object store, in memory or streamed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import fsspec
import numpy as np
import pytest

from loaders import DetectionLoader
from radikal_datasets import build_hub_folder, load_dataset
from tests.hub.embedded import running_hub

ROOT = Path(__file__).parents[2]
HUB = """
import sys
from radikal_datasets import load_dataset
from radikal_datasets.hub.push import push_to_hub
from tests.loaders.test_places import digest
push_to_hub(sys.argv[1], "radikal_datasets/severstal")
for streaming in (False, True):
    print("FOUND", digest(load_dataset("radikal_datasets/severstal", split="train", streaming=streaming)))
"""


def digest(split) -> str:
    """Return the names, pixels, boxes and masks of every batch."""
    found = hashlib.sha256()
    for batch in DetectionLoader(split, 3, (64, 400), shuffle=False, masks=True):
        found.update(repr(batch["image_id"]).encode() + np.ascontiguousarray(batch["pixel_values"].numpy()).tobytes())
        for label in batch["labels"]:
            found.update(label["boxes"].numpy().tobytes() + label["masks"].numpy().tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def folder(sample_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "severstal"
    return build_hub_folder("severstal", data_dir=sample_tree("severstal"), output_dir=out)


def test_tree_and_folder_held_and_streamed(sample_tree, folder):
    tree = sample_tree("severstal")
    found = {
        digest(load_dataset(path, data_dir=data_dir, split="train", streaming=streaming))
        for path, data_dir in [("radikal_datasets/severstal", tree), (str(folder), None)]
        for streaming in (False, True)
    }
    assert len(found) == 1


def test_object_store(folder):
    """Any URL that fsspec supports; memory:// stands in for s3:// and the like."""
    (file,) = folder.rglob("train-*.parquet")
    store = fsspec.filesystem("memory")
    with store.open("/loaders/train.parquet", "wb") as copy:
        copy.write(file.read_bytes())
    try:
        stream = datasets.load_dataset(
            "parquet", data_files={"train": "memory://loaders/train.parquet"}, split="train", streaming=True
        )
        assert digest(stream) == digest(load_dataset(str(folder), split="train"))
    finally:
        store.rm("/loaders", recursive=True)


@pytest.mark.slow
def test_private_hub(folder, tmp_path):
    with running_hub(tmp_path / "hub") as hub:
        hub.add_user("ann", ["radikal_datasets"])
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "RADIKAL"))} | {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": hub.token("ann"),
            "HF_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            [sys.executable, "-c", HUB, str(folder)], env=environment, capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert found == [digest(load_dataset(str(folder), split="train"))] * 2
