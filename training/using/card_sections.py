"""The text of the card of a model, section by section, in Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from training.run.arguments import DEFAULT_THRESHOLD
from training.run.settings import LOCAL_SETTINGS, Settings, without_folders
from training.using.described_model import SCORES, TrainedModel, coco_scores

#: Limits of every model, for cards and audit pages.
SAME_CONDITIONS = (
    "The scores hold for images like those of the split: same camera, lighting, resolution and material. Score it "
    "again before using it on others."
)
ONLY_THESE_CLASSES = "It knows only the classes above; it misses any other defect, or assigns it a wrong class."
NOT_CERTIFIED = "It was not designed, tested or certified to decide on its own whether a part is safe."

# Paths on this machine, and settings that do not affect the model.
_LOCAL = (*LOCAL_SETTINGS, "combine_with", "eval_steps", "checkpointing_steps", "checkpoints_total_limit")


def sections(trained: TrainedModel, repo_id: str, endpoint: str) -> list[str]:
    """Return the title with a summary, then one text per section; some may be empty."""
    return [
        f"# {repo_id.partition('/')[2]}\n\n{_summary(trained)}",
        "## What it was trained on\n\n" + _training_data(trained),
        "## Scores\n\n" + _scores(trained),
        "## Operating point\n\n" + _operating_point(trained),
        "## How to use it\n\n" + _usage(trained, repo_id, endpoint),
        "## Limits\n\n" + _limits(trained),
        "## Settings\n\n" + _settings(trained.settings),
    ]


def _summary(trained: TrainedModel) -> str:
    config = trained.opened.model.config
    backbone = getattr(getattr(config, "backbone_config", None), "backbone", None)
    millions = sum(parameter.numel() for parameter in trained.opened.model.parameters()) / 1e6
    height, width = trained.opened.canvas
    inputs = {
        "gray": ", as gray images",
        "pair": ", each with its defect-free template and the difference of the two",
    }.get(trained.opened.channels, "")
    return (
        f"A detector for {', '.join(trained.opened.class_names)}: {config.model_type}"
        + (f" with the backbone {backbone}" if backbone else "")
        + f", {millions:.1f} million parameters. Its input images are resized to {width} x {height} pixels{inputs}. "
        "Trained with `training/train.py` of radikal-datasets."
    )


def _training_data(trained: TrainedModel) -> str:
    settings, lines = trained.settings, list[str]()
    for one in trained.sets:
        name = f"`{one.name}`" + (f", `{one.config}`" if one.config else "")
        if one.source is None:
            lines.append(f"- {name}. License of its images: unknown to radikal-datasets; write it here by hand")
            continue
        license = one.source.license
        lines.append(
            f"- {name}: [{one.source.title}]({one.source.homepage}). License of its images: {license.name}. "
            f"{license.summary} Its consequences for a model trained on them are for the model's owner to judge"
        )
        lines += [f"    - {note}" for note in one.source.notes]
    lines.append(f"- Split: `{settings.protocol or 'recommended'}`")
    if settings.model_name_or_path:
        lines.append(f"- Started from `{without_folders(settings.model_name_or_path)}`")
    if settings.backbone_weights:
        lines.append(f"- Backbone started from `{without_folders(settings.backbone_weights)}`")
    return "\n".join(lines)


def _scores(trained: TrainedModel) -> str:
    parts = {name: coco_scores(trained.metrics.get(name)) for name in ("validation", "test")}
    parts = {name: coco for name, coco in parts.items() if coco}
    if not parts:
        return "None: the run has not finished, or no split of its dataset is annotated."
    rows = [[name, *(_number(coco.get(key)) for key in SCORES)] for name, coco in parts.items()]
    text = _table(["split", *SCORES.values()], rows)
    name, coco = list(parts.items())[-1]
    if per_class := coco.get("map_per_class"):
        ap50 = coco.get("map_50_per_class") or {}
        header = ["class", f"AP ({name})", *(["AP50"] if ap50 else [])]
        rows = [[one, _number(v), *([_number(ap50.get(one))] if ap50 else [])] for one, v in per_class.items()]
        text += "\n\n" + _table(header, rows)
    about = "COCO metrics, from 0 to 1. The weights were chosen on validation; test was evaluated once, at the end."
    return f"{text}\n\n{about} {_hardware(trained.metrics)}"


def _hardware(metrics: Mapping[str, Any]) -> str:
    config, training = metrics.get("config") or {}, metrics.get("training") or {}
    text = f"Trained on {config.get('device') or 'an unknown device'}"
    if training.get("processes", 1) > 1:
        text += f", {training['processes']} processes"
    if config.get("precision"):
        text += f", precision `{config['precision']}`"
    if training.get("steps"):
        text += f", {training['steps']} steps in {training.get('seconds', 0) / 60:.0f} minutes"
    return text + "."


def _operating_point(trained: TrainedModel) -> str:
    threshold = trained.opened.threshold
    if threshold is None:
        return (
            f"None was chosen. `training/predict.py` then uses a threshold of {DEFAULT_THRESHOLD}, which is only a "
            "guess: choose a threshold on your own images."
        )
    text = f"Scores of at least **{threshold:.3f}**, chosen on validation."
    for name in ("test", "validation"):
        point = (trained.metrics.get("operating_point") or {}).get(name) or {}
        if "misses_per_100_parts" in point:
            misses, calls = point["misses_per_100_parts"], point["false_calls_per_100_parts"]
            parts = f"On {name} ({point['parts']} images), there are"
            return f"{text} {parts} {misses:.1f} missed defects and {calls:.1f} false positives per 100 images."
    return text


def _usage(trained: TrainedModel, repo_id: str, endpoint: str) -> str:
    threshold = f"{trained.opened.threshold or DEFAULT_THRESHOLD:.3f}"
    shell = f"export HF_ENDPOINT={endpoint}\nexport HF_TOKEN=...\n"
    command = f"python training/predict.py {repo_id} IMAGES --output found --threshold {threshold}"
    if trained.opened.channels == "pair":
        return (
            "It needs the template of each image, so use it with radikal-datasets, not with transformers' pipeline:\n\n"
            f"```console\n{shell}{command} --references TEMPLATES\n```"
        )
    code = (
        "from transformers import pipeline\n\n"
        f'detector = pipeline("object-detection", "{repo_id}")\ndetector("image.png", threshold={threshold})\n'
    )
    return f"```console\n{shell}{command}\n```\n\n```python\n{code}```"


def _limits(trained: TrainedModel) -> str:
    lines = [f"- {one}" for one in (SAME_CONDITIONS, ONLY_THESE_CLASSES, NOT_CERTIFIED)]
    if any(not source.real for source in trained.sources):
        lines.insert(1, "- Some of its training images are synthetic: scores on real ones will be lower.")
    coco = coco_scores(trained.metrics.get("test")) or coco_scores(trained.metrics.get("validation"))
    weak = [name for name, value in (coco.get("map_per_class") or {}).items() if 0 <= value < 0.1]
    if weak:
        lines.append(f"- It finds almost no {', '.join(weak)} (AP below 0.1).")
    return "\n".join(lines)


def _settings(settings: Settings) -> str:
    rows = [
        [f"`{name}`", f"`{without_folders(value) if isinstance(value, str) else value}`"]
        for name, value in dataclasses.asdict(settings).items()
        if name not in _LOCAL and value is not None
    ]
    return _table(["setting", "value"], rows)


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) and value >= 0 else ""


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
