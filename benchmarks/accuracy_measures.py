"""Scores of a run that its metrics.json does not have: DeepPCB's own protocol, and castings by series."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

#: Of a split: ids, predictions and ground truth of its images.
Found = tuple[list[str], list[dict[str, Any]], list[dict[str, Any]]]


def predictions_of(output: Path) -> tuple[dict[str, Found], list[str], dict[str, str]]:
    """Return what the best model of a run predicts on validation and test, the class names, and image id -> group."""
    from accelerate import Accelerator

    from training import models
    from training.run.data import class_names, eval_loader, load_splits
    from training.scoring.detections import predictions_and_ground_truth
    from training.using.saved_run import open_run

    settings, model, processor = open_run(output, [])
    accelerator = Accelerator(mixed_precision="no")
    model.to(accelerator.device)  # pyright: ignore[reportArgumentType]  # transformers wraps `to` in a decorator
    splits = load_splits(settings)
    found, groups = dict[str, Found](), dict[str, str]()
    for split in ("validation", "test"):
        options = models.loader_options(model, processor)
        loader = eval_loader(splits, split, settings, accelerator, **options)
        if loader is not None:
            found[split] = predictions_and_ground_truth(model, processor, loader, accelerator)
            groups |= dict(zip(splits[split]["image_id"], splits[split]["group"], strict=True))
    return found, class_names(splits["train"]), groups


def deeppcb_scores(output: Path) -> dict[str, Any]:
    """Return a run's test scores by DeepPCB's protocol, at the threshold with the best F-score on validation."""
    from training.scoring.deeppcb_protocol.deeppcb_protocol import best_threshold, protocol_scores

    found, _, _ = predictions_of(output)
    (_, *validation), (_, *test) = found["validation"], found["test"]
    return {"deeppcb_protocol": protocol_scores(*test, best_threshold(*validation))}


def scores_by_series(output: Path) -> dict[str, Any]:
    """Return AP50 and AP of every series of validation and test that has boxes, with its counts of images and boxes."""
    from training.scoring.detections import coco_scores

    found, names, groups = predictions_of(output)
    by_series: dict[str, dict[str, Any]] = {}
    for split, (ids, predictions, targets) in found.items():
        members = defaultdict[str, list[int]](list)
        for number, image_id in enumerate(ids):
            members[groups[image_id]].append(number)
        by_series[split] = {}
        for series, numbers in sorted(members.items()):
            truth = [targets[number] for number in numbers]
            boxes = sum(len(one["labels"]) for one in truth)
            if boxes:
                scores = coco_scores([predictions[number] for number in numbers], truth, names)
                by_series[split][series] = {
                    "images": len(numbers),
                    "boxes": boxes,
                    **{key: scores[key] for key in ("map_50", "map")},
                }
    return {"by_series": by_series}


def write_leaky_folder(data_dir: str, folder: Path) -> Path:
    """Write the castings in Parquet, cut 70/15/15 by image: parts are on both sides, as in many published figures."""
    import datasets

    from radikal_datasets import load_dataset

    if not (folder / "data").is_dir():
        splits = load_dataset("radikal_datasets/gdxray", "castings", data_dir=data_dir)
        images = datasets.concatenate_datasets([splits[name] for name in ("train", "validation", "test")]).shuffle(
            seed=0
        )
        first, second = round(0.7 * len(images)), round(0.85 * len(images))
        cuts = {"train": (0, first), "validation": (first, second), "test": (second, len(images))}
        staged = folder / "unfinished"
        staged.mkdir(parents=True, exist_ok=True)
        for name, (start, stop) in cuts.items():
            part = images.select(range(start, stop)).cast_column("image", datasets.Image(decode=False))
            part = part.map(_with_bytes).cast_column("image", datasets.Image())
            part.to_parquet(staged / f"{name}-00000-of-00001.parquet")
        staged.rename(folder / "data")
    return folder


def _with_bytes(row: dict[str, Any]) -> dict[str, Any]:
    image = row["image"]
    return {"image": {"bytes": image["bytes"] or Path(image["path"]).read_bytes(), "path": image["path"]}}
