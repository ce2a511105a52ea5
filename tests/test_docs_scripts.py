"""The scripts in the docs for people coming from other tools, run verbatim on sample data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from radikal_datasets.export import export_sets
from radikal_datasets.samples import make_sample

ROOT = Path(__file__).parents[1]


def script_of(page: str, title: str) -> str:
    """Return the code block with that title."""
    text = (ROOT / "docs" / "coming-from" / page).read_text(encoding="utf-8")
    found = re.search(rf'```python title="{re.escape(title)}"\n(.*?)```', text, re.DOTALL)
    assert found, (page, title)
    return found[1]


def run(script: str, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", script], cwd=folder, check=True, env={"PYTHONPATH": str(ROOT), "HF_HOME": str(folder)}
    )


def test_coco_export_becomes_the_layout_of_rf_detr(tmp_path: Path) -> None:
    make_sample("neu_det", tmp_path / "raw", images=24)
    output = tmp_path / "exports" / "neu_coco"
    list(export_sets("neu_det", None, format="coco", output=output, data_dir=str(tmp_path / "raw")))
    run(script_of("rf-detr.md", "to_rfdetr.py"), tmp_path)
    for name in ("train", "valid", "test"):
        folder = tmp_path / "exports" / "neu_rfdetr" / name
        images = json.loads((folder / "_annotations.coco.json").read_text())["images"]
        assert images
        assert all((folder / image["file_name"]).is_file() for image in images)


def test_castings_become_a_folder_of_anomalib(tmp_path: Path) -> None:
    make_sample("gdxray", tmp_path / "GDXray", images=150)
    run(script_of("anomalib.md", "to_anomalib.py"), tmp_path)
    for kind in ("train/good", "test/good", "test/bad"):
        assert list((tmp_path / "castings" / kind).iterdir()), kind
    assert not (tmp_path / "castings" / "train" / "bad").exists()
