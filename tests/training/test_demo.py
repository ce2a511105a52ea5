from __future__ import annotations

import json
import re
import shlex
import sys

import pytest

from training import demo


@pytest.mark.slow
def test_demo_end_to_end_over_an_older_one(tmp_path, monkeypatch, capfd):
    """Few images and steps: this tests the workflow, not the score. Output of an earlier demo is replaced."""
    for name, fewer in {"IMAGES": 40, "EXPLAINED": 1, "MASKS": 16}.items():
        monkeypatch.setattr(demo, name, fewer)
    folder = tmp_path / "demo"
    for name in ("raw", "hub", "run"):
        (folder / name).mkdir(parents=True)
        (folder / name / "old").write_text("old")
    (folder / "index.html").write_text("the old page")
    assert demo.main(["--folder", str(folder), "--max_train_steps", "3", "--report_to", "none"]) == 0
    lines = capfd.readouterr().out.strip().splitlines()
    assert lines[0] == f"{folder}/ exists and will be replaced."
    assert "validation mAP50" in lines[-1] and "minutes in total" in lines[-1]
    assert json.loads((folder / "run" / "metrics.json").read_text())["training"]["steps"] == 3
    page = (folder / "index.html").read_text()
    assert all(f'href="{address}"' in page and (folder / address).is_file() for address in demo.PAGES)
    assert "synthetic" in page and "chosen on the validation split" in page and not list(folder.rglob("old"))
    assert re.search(r"<dt>minutes in total</dt><dd>([\d.]+)", page)[1] in lines[-1]


def test_a_failing_step_is_named_and_the_old_page_stays(tmp_path, capfd, monkeypatch):
    page = tmp_path / "demo" / "index.html"
    page.parent.mkdir()
    page.write_text("the old page")
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(demo, "_tool", lambda *_: demo._command(command))
    assert demo.main(["--folder", str(page.parent)]) == 1
    out, err = capfd.readouterr()
    assert shlex.join(command) in err and f"$ {shlex.join(command)}\n" in out
    assert page.read_text() == "the old page"
