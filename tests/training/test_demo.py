from __future__ import annotations

import json
import sys

import pytest

from training import demo


@pytest.mark.slow
def test_demo_end_to_end_over_an_older_one(tmp_path, monkeypatch, capfd):
    """Few images and steps: the road is tested, not the score. What an earlier demo left is replaced."""
    monkeypatch.setattr(demo, "IMAGES", 40)
    folder = tmp_path / "demo"
    for name in ("raw", "hub", "run"):
        (folder / name).mkdir(parents=True)
        (folder / name / "old").write_text("old")
    assert demo.main(["--folder", str(folder), "--max_train_steps", "3", "--report_to", "none"]) == 0
    assert "validation mAP50" in capfd.readouterr().out.strip().splitlines()[-1]
    assert json.loads((folder / "run" / "metrics.json").read_text())["training"]["steps"] == 3
    assert "made up" in (folder / "index.html").read_text() and not list(folder.rglob("old"))


def test_a_step_that_fails_is_named(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(
        demo,
        "_tool",
        lambda *arguments: demo._command([sys.executable, "-c", "raise SystemExit(3)"], " ".join(arguments)),
    )
    assert demo.main(["--folder", str(tmp_path / "demo")]) == 1
    assert "`sample gdxray" in capfd.readouterr().err
