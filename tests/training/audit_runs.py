"""The folder of a complete run as training leaves it, without training: what the audit page reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from training.run.settings import RUN_SETTINGS, Settings, save
from training.scoring.worst_cases import write_worst_detections

NAMES = ["hole", "scratch"]
LICENSE = {"name": "Steel-1", "redistributable": False, "summary": "For research only."}


def point(split: str = "validation", **changes: Any) -> dict[str, Any]:
    return {
        "threshold": 0.25,
        "threshold_chosen_on": split,
        "parts": 60,
        "bad_parts": 40,
        "bad_parts_with_a_miss": 9,
        "bad_parts_passed": 3,
        "good_parts_called": 2,
        **changes,
    }


def data(names: list[str] = NAMES, **changes: Any) -> dict[str, Any]:
    split = {
        "images": 60,
        "annotated": 60,
        "defect_free": 20,
        "boxes": 55,
        "groups": 60,
        "images_per_class": dict.fromkeys(names, 20),
        "boxes_per_class": dict.fromkeys(names, 27),
    }
    one = {
        "name": "radikal_datasets/steel",
        "config": None,
        "data_dir": "raw",
        "read_from": "raw files",
        "protocol": "recommended",
        "protocol_in_words": "70/15/15",
        "version": None,
        "counters": [{"kind": "clipped_box", "count": 7, "effect": "repaired", "meaning": "it was clipped"}],
        "source": {
            "name": "steel",
            "title": "STEEL: strip",
            "homepage": "",
            "modality": "gray",
            "real": True,
            "notes": ["Crops overlap."],
            "published_images": 200,
            "license": LICENSE,
        },
    }
    return {
        "sets": [one],
        "splits": {name: dict(split) for name in ("train", "validation", "test")},
        "groups_in_two_splits": 0,
        "digest": "ab" * 32,
        **changes,
    }


def write_complete_run(run: Path, *, names: list[str] = NAMES, **metrics: Any) -> Path:
    """Write a detector's run; `metrics` replace parts of its metrics.json."""
    scores = {"map": 0.5, "map_50": 0.8, "map_75": 0.4, "mar_100": 0.6, "map_per_class": dict.fromkeys(names, 0.5)}
    counts = [[8, 1, 1], [0, 9, 2], [3, 0, 0]]
    report = {
        "image_level": {"auroc": 0.9},
        "confusion_matrix": {"classes": [*names, "background"], "counts": counts},
        "map_50_per_class": dict.fromkeys(names, 0.8),
    }
    content = {
        "synthetic": False,
        "validation": scores,
        "test": {**scores, "map": 0.456},
        "operating_point": {"threshold": 0.25, "validation": point("these images"), "test": point()},
        "report": {"validation": report, "test": report},
        "config": {"device": "cpu", "precision": "no"},
        "training": {
            "steps": 60,
            "best_step": 40,
            "seconds": 120.0,
            "processes": 1,
            "model": "rt_detr_v2 with resnet18",
            "parameters": 20_000_000,
            "finished": "2026-11-27 12:00 UTC",
        },
        "data": data(names),
        **metrics,
    }
    (run / "best").mkdir(parents=True)
    (run / "best" / "model.safetensors").write_bytes(b"weights")
    labels = {str(i): name for i, name in enumerate(names)}
    (run / "best" / "config.json").write_text(json.dumps({"id2label": labels}), encoding="utf-8")
    (run / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    save(Settings(dataset_name="radikal_datasets/steel", seed=3), run / RUN_SETTINGS)
    return run


def write_cases(run: Path, split: Any, names: list[str] = NAMES) -> None:
    """Write the worst cases of images with true boxes: one detection is right, one is false."""
    ids = split["image_id"]
    targets = [{"boxes": one["boxes"], "labels": one["labels"]} for one in split]
    predictions = [{"boxes": [[16, 15, 48, 45], [0, 0, 9, 9]], "labels": [0, 1], "scores": [0.9, 0.8]} for _ in ids]
    assert write_worst_detections(run / "report" / "test", split, (ids, predictions, targets), names, 0.5)


def page_of(run: Path) -> str:
    return (run / "report" / "index.html").read_text(encoding="utf-8")


def text_of(run: Path) -> str:
    """The page as a reader sees it, without elements, in one line."""
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page_of(run), flags=re.DOTALL)
    return " ".join(body.replace("&#39;", "'").replace("&#34;", '"').replace("&gt;", ">").split())
