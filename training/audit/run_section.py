"""The parts of the page about the training and the explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from radikal_datasets.view.pages import table
from training.audit.data_section import UNKNOWN
from training.audit.facts import RunFacts
from training.explaining.verdicts import TITLES, MethodSummary, passing, verdict_table
from training.run.settings import without_folders

_MOST_CLASSES = 40


def training_section(facts: RunFacts) -> dict[str, Any]:
    """Return what the template shows of the training: rows by name, and the settings that differ from the recipe."""
    settings = facts.settings
    first = facts.starts[0] if facts.starts else {}
    recipe = next((one for one in facts.starts if one.get("recipe")), {})
    proposed = recipe.get("proposed") or {}
    canvas = settings.get("image_size")
    rows = {
        "model": _with_parameters(facts),
        "started from": _weights(settings),
        "input": _input(canvas, settings),
        "classes": ", ".join(facts.class_names[:_MOST_CLASSES]),
        "recipe": (recipe.get("recipe") or UNKNOWN) + (", with settings proposed for the dataset" if proposed else ""),
        "steps": _steps(facts),
        "seed": str(settings.get("seed", UNKNOWN)),
        "code": _code(facts.starts),
        "packages": ", ".join(f"{name} {version}" for name, version in (first.get("packages") or {}).items() if version)
        or UNKNOWN,
        "hardware": _hardware(facts),
        "time": _time(facts),
        "checksum of the weights": f"{facts.weights_sha256} (SHA-256 of best/model.safetensors)"
        if facts.weights_sha256
        else UNKNOWN,
    }
    return {
        "rows": {name: text for name, text in rows.items() if text},
        "recipe": recipe.get("recipe"),
        "differences": _differences(recipe.get("differs_from_recipe"), proposed),
    }


def _with_parameters(facts: RunFacts) -> str:
    model = facts.training.get("model") or facts.settings.get("model_type") or UNKNOWN
    parameters = facts.training.get("parameters")
    return f"{model}, {parameters / 1e6:.1f} million parameters" if parameters else str(model)


def _weights(settings: Mapping[str, Any]) -> str:
    if given := settings.get("model_name_or_path"):
        return f"the model {without_folders(str(given))}"
    given = settings.get("backbone_weights")
    return f"backbone weights {without_folders(str(given))}" if given else "random weights"


def _input(canvas: Any, settings: Mapping[str, Any]) -> str:
    if canvas is None:
        return ""
    height, width = (canvas, canvas) if isinstance(canvas, int) else canvas
    tiles = settings.get("tile_size")
    return f"{width} x {height} pixels" + (f", tiles of {tiles} pixels of the file" if tiles else ", entire images")


def _steps(facts: RunFacts) -> str:
    training, settings = facts.training, facts.settings
    if "steps" not in training:
        return UNKNOWN
    batch, gradients = settings.get("per_device_train_batch_size"), settings.get("gradient_accumulation_steps", 1)
    text = f"{training['steps']:,}"
    if batch:
        text += f" of {batch * gradients * training.get('processes', 1):,} images"
    if training.get("best_step"):
        text += f"; the weights are those of step {training['best_step']:,}"
        text += ", the best on validation" if "validation" in facts.scored else ", the last"
    return text


def _code(starts: list[dict[str, Any]]) -> str:
    """Return version and commit; of a resumed run, those of every start, where they differ."""
    texts = []
    for one in starts:
        text = f"radikal-datasets {one['version']}"
        if one.get("commit"):
            text += f", commit {one['commit']}"
            text += " with uncommitted changes" if one.get("changed") else ""
        texts.append(text)
    return "; then ".join(dict.fromkeys(texts)) or UNKNOWN


def _hardware(facts: RunFacts) -> str:
    config, training = facts.metrics.get("config") or {}, facts.training
    found = facts.starts[0].get("hardware") if facts.starts else None
    parts = []
    if found:
        gpus = list(dict.fromkeys(found["gpus"])) if config.get("device") == "cuda" else []
        parts.append(", ".join(gpus) if gpus else f"{found['processor']}, {found['cores']} cores")
    processes = training.get("processes", 1)
    parts.append(f"{processes} process{'es' * (processes > 1)} on {config.get('device', 'an unknown device')}")
    if config.get("precision"):
        parts.append("float32" if config["precision"] == "no" else str(config["precision"]))
    return ", ".join(parts)


def _time(facts: RunFacts) -> str:
    text = f"{facts.training['seconds'] / 60:.1f} minutes of training" if "seconds" in facts.training else ""
    if facts.starts:
        text += f"; started {facts.starts[0]['started']}"
        text += f", resumed {len(facts.starts) - 1} times" if len(facts.starts) > 1 else ""
    if finished := facts.training.get("finished"):
        text += f", finished {finished}"
    return text.removeprefix("; ") or UNKNOWN


def _differences(found: Mapping[str, Any] | None, proposed: Mapping[str, str]) -> Any:
    """Return a table of the settings that differ, and why; None if there are none, or if that is unknown."""
    if not found:
        return None
    rows = [
        [name, _value(before), _value(now), f"proposed: {proposed[name]}" if name in proposed else "given"]
        for name, (before, now) in found.items()
    ]
    return table(["setting", "recipe", "this run", "why"], rows)


def _value(value: Any) -> str:
    return without_folders(value) if isinstance(value, str) else "none" if value is None else str(value)


def given_settings(overrides: Sequence[str]) -> str:
    """Return the settings that replaced those of the run, without this machine's folders."""
    return " ".join(without_folders(text) for text in overrides)


def explanations_section(facts: RunFacts) -> dict[str, Any]:
    """Return how far the explanations can be trusted, or why there are none."""
    found = facts.explanations
    if facts.task != "detection":
        return {"missing": "Only detectors can be explained so far.", "command": ""}
    command = f"radikal-datasets explain {facts.run.name}"
    if not found:
        return {"missing": "The run was not explained.", "command": command}
    if found.get("weights_sha256") != facts.weights_sha256:
        return {
            "missing": "There are explanations, but not of these weights, or by an older version that did not record "
            "of which.",
            "command": command,
        }
    summary = found["summary"]
    methods = [MethodSummary(**one) for one in summary["methods"]]
    trusted = passing(methods)
    calibrations = [
        f"Of {name}: {one['count']:,} detections, expected calibration error {one['error']:.3f}; scores are on average "
        f"{abs(one['bias']):.3f} {'above' if one['bias'] > 0 else 'below'} the fraction that is correct"
        for name, one in found["calibration"].items()
        if one["error"] is not None
    ]
    return {
        "missing": "",
        "images": len(found["images"]),
        "given": given_settings(found.get("overrides") or []),
        "split": found["options"]["split"],
        "detections": summary["right"] + summary["false_calls"],
        "verdicts": verdict_table(methods),
        "trusted": ", ".join(TITLES[one] for one in trusted),
        "calibrations": calibrations,
    }
