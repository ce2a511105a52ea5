"""`provenance.json`: what started a run, and each of its continuations: command, recipe, code, versions, hardware."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from loaders import cpu_cores
from radikal_datasets import __version__
from radikal_datasets.errors import RadikalError
from radikal_datasets.files import write_atomically
from training.run.checkpoints import TIME
from training.run.proposing import Recipe
from training.run.settings import CHECKOUT, LOCAL_SETTINGS, RUN_SETTINGS, Settings, parse, save

#: File in output_dir.
PROVENANCE = "provenance.json"
_PACKAGES = ("torch", "torchvision", "transformers", "timm", "accelerate", "datasets", "numpy", "pillow")


def record_start(
    settings: Settings, output_dir: Path, started_from: str, recipe: Recipe | None = None, *, resumed: bool
) -> None:
    """Write the settings of a run and what is known at its start; a resumed run keeps its settings, and adds a start.

    Args:
        started_from: the file of the recipe; "" if unknown.
        recipe: the settings that were proposed, if any were.
    """
    if not (resumed and (output_dir / RUN_SETTINGS).is_file()):
        save(settings, output_dir / RUN_SETTINGS)
        if recipe is not None:
            recipe.save(output_dir)
    starts = recorded(output_dir) if resumed else []
    given = Path(started_from) if started_from and Path(started_from).name != RUN_SETTINGS else None
    start = {
        "started": datetime.now(UTC).strftime(TIME),
        "recipe": None if given is None else given.name,
        "differs_from_recipe": None if given is None else _differences(settings, given),
        "proposed": {} if recipe is None else {one.name: one.why for one in recipe.proposed},
        **code_version(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "hardware": hardware(),
    }
    write_atomically(output_dir / PROVENANCE, json.dumps([*starts, start], indent=2) + "\n")


def recorded(output_dir: Path) -> list[dict[str, Any]]:
    """Return the starts of a run, first to last; none if an older version made it."""
    file = output_dir / PROVENANCE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


def code_version() -> dict[str, Any]:
    """Return `version`, and in a checkout `commit` and whether its files were `changed`; None where unknown."""
    commit, changed = None, None
    if (CHECKOUT / ".git").exists():
        head, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
        commit, changed = head, None if status is None else bool(status)
    return {"version": __version__, "commit": commit, "changed": changed}


def hardware() -> dict[str, Any]:
    """Return the names of processor and GPUs, and the number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": cpu_cores(),
        "gpus": gpus,
    }


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(CHECKOUT), *arguments]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _differences(settings: Settings, recipe: Path) -> dict[str, list[Any]] | None:
    """Return setting -> [its value in the recipe, its value in this run]; None if the recipe cannot be read alone."""
    try:
        plain: Mapping[str, Any] = vars(parse([str(recipe), "--dataset_name", settings.dataset_name]))
    except RadikalError:
        return None
    used = dataclasses.asdict(settings)
    return {
        name: [plain[name], used[name]] for name in used if name not in LOCAL_SETTINGS and plain[name] != used[name]
    }
