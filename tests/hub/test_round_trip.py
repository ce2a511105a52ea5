"""Every source's sample through the embedded Hub: pushed by this package, read by stock clients without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from radikal_datasets import build_hub_folder
from radikal_datasets.sources import source_names
from tests.hub.embedded import RunningHub
from tests.hub.files import checksums

# datasets and huggingface_hub alone; prints what it read as JSON.
STOCK = """
import datasets, hashlib, json, sys
from huggingface_hub import HfApi, snapshot_download

def plain(rows):
    for name in rows.features:
        if name in ("image", "reference"):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows.cast_column("masks", datasets.List(datasets.Image(decode=False)))

def digest(rows):
    text = "\\n".join(repr(sorted(row.items())) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()

def pixels(row):
    images = [row["image"], *row["masks"], *([row["reference"]] if row["reference"] else [])]
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()

found = {}
for place in json.loads(sys.argv[1]):
    path, revision = place["path"], place.get("revision")
    configs = datasets.get_dataset_config_names(path, revision=revision)
    found[path] = {config: {} for config in configs}
    for config in configs:
        loaded = datasets.load_dataset(path, config, revision=revision)
        for split, rows in loaded.items():
            streamed = datasets.load_dataset(path, config, split=split, streaming=True, revision=revision)
            found[path][config][split] = [
                digest(plain(rows)), digest(plain(streamed)), pixels(rows[0]), str(rows.features)
            ]
    if revision:
        HfApi().create_tag(path, tag="v1", revision=revision, repo_type="dataset")
        tagged = datasets.load_dataset(path, configs[0], revision="v1")
        assert {k: v.num_rows for k, v in tagged.items()}
        found[path + "@files"] = snapshot_download(path, repo_type="dataset", revision="v1")
print("FOUND" + json.dumps(found))
"""


def run(code: list[str], hub: RunningHub, token: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "RADIKAL"))} | {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": token,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    }
    done = subprocess.run(code, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.slow
def test_every_source_survives_the_round_trip(
    hub: RunningHub, sample_tree: Callable[..., Path], tmp_path: Path
) -> None:
    token, folders = hub.token("ann"), {}
    some = {"mvtec_ad": ["bottle", "all"], "dagm2007": ["class1", "class10"]}
    for source in source_names():
        folders[source] = build_hub_folder(
            source, some.get(source), data_dir=sample_tree(source), output_dir=tmp_path / source
        )
    code = "import sys\nfrom radikal_datasets.hub.push import push_to_hub\n" + (
        "for folder, repo in zip(sys.argv[1::2], sys.argv[2::2]):\n    print(push_to_hub(folder, repo).commit)"
    )
    words = [word for source, folder in folders.items() for word in (str(folder), f"radikal_datasets/{source}")]
    commits = run([sys.executable, "-c", code, *words], hub, token, tmp_path / "home").stdout.split()
    places: list[dict[str, Any]] = [{"path": str(folder)} for folder in folders.values()]
    places += [
        {"path": f"radikal_datasets/{source}", "revision": commit}
        for source, commit in zip(folders, commits, strict=True)
    ]
    done = run([sys.executable, "-c", STOCK, json.dumps(places)], hub, token, tmp_path / "stock")
    found = json.loads(done.stdout.split("FOUND")[1])
    for source, folder in folders.items():
        ours, theirs = found[str(folder)], found[f"radikal_datasets/{source}"]
        assert ours == theirs and ours
        for splits in theirs.values():
            assert all(cached == streamed for cached, streamed, *_ in splits.values())
        there = checksums(Path(found[f"radikal_datasets/{source}@files"]))
        assert there == checksums(folder)
