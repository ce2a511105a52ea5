"""The script in docs/training.md, run verbatim."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from loaders import DetectionLoader
from tests.loaders.conftest import drawn_row
from tests.training.conftest import ROOT
from training.run.data import class_names, load_splits, remarks
from training.run.settings import CONFIGS, parse


@pytest.fixture
def script(tmp_path: Path) -> Path:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r'```python title="make_my_data.py"\n(.*?)```', page, re.DOTALL)
    (tmp_path / "make_my_data.py").write_text(code, encoding="utf-8")
    (tmp_path / "images").mkdir()
    return tmp_path / "make_my_data.py"


def run(script: Path, table: str) -> subprocess.CompletedProcess[str]:
    script.with_name("boxes.csv").write_text("image,x_min,y_min,x_max,y_max,class\n" + table, encoding="utf-8")
    return subprocess.run([sys.executable, script], cwd=script.parent, capture_output=True, text=True, check=False)


def test_the_folder_it_makes_is_trained_on(script):
    lines, truth = [], {}
    for i in range(40):
        row, name = drawn_row(i), f"{i:03}.png"
        (script.parent / "images" / name).write_bytes(row["bytes"])
        truth[name] = (row["boxes"], [["dent", "stain"][label] for label in row["labels"]])
        for box, label in zip(*truth[name], strict=True):
            lines.append(f"{name},{','.join(map(str, box))},{label}")
        if not row["boxes"]:
            lines.append(f"{name},,,,,")
    (script.parent / "images" / "unnamed.png").write_bytes(drawn_row(99)["bytes"])
    done = run(script, "\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("images, ") == 3

    folder = str(script.parent / "my_data")
    splits = load_splits(parse([str(CONFIGS / "neu_det.yaml"), "--dataset_name", folder]))
    names = class_names(splits["train"])
    assert set(splits) == {"train", "validation", "test"} and names == ["dent", "stain"] and remarks(splits) == []
    read = {
        row["image_id"]: (row["boxes"], [names[label] for label in row["labels"]])
        for split in splits.values()
        for row in split
    }
    assert read == truth
    loader = DetectionLoader(splits["train"], 4, 64)
    assert sum(len(batch["image_id"]) for batch in loader) == len(splits["train"])


def test_a_box_outside_its_image_is_refused(script):
    row = drawn_row(1)
    (script.parent / "images" / "a.png").write_bytes(row["bytes"])
    done = run(script, f"a.png,0,0,{row['width'] + 1},5,dent\n")
    assert done.returncode == 1 and "a.png: box" in done.stderr and "Traceback" not in done.stderr
