"""The commands of `radikal-datasets` that live in the top-level packages `training` and `loaders` of the same wheel.

Nothing of them is imported here: modules stand as strings and are resolved when a command runs.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from .errors import ShadowedPackageError

#: Command -> (module of `training` with a `main`, line of `--help`).
TRAINING_COMMANDS = {
    "train": ("training.train", "Train a detector or classifier on one set."),
    "score": ("training.score", "Score a trained model on one split."),
    "predict": ("training.predict", "Find defects in image files with a trained detector."),
    "serve-model": ("training.serve_model", "Answer images over HTTP with a trained detector."),
    "explain": ("training.explain", "Explain a detector's detections by heat maps, and check the maps."),
    "export-model": ("training.export", "Write a detector as one ONNX file, checked against torch."),
    "push-model": ("training.push_model", "Push a run's best model, with a card, to a private Hub."),
    "demo": ("training.demo", "Run the complete workflow on synthetic images."),
    "demo-light": ("training.demo", "The same without training: needs no extra to be installed."),
}


def dashed(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with option names in dashes: `--tile_size 64` becomes `--tile-size 64`; values stay."""
    found = []
    for argument in arguments:
        if argument.startswith("--") and len(argument) > 2:
            name, equals, value = argument.partition("=")
            argument = name.replace("_", "-") + equals + value
        found.append(argument)
    return found


def check_not_shadowed() -> None:
    """Check that `training` and `loaders` are the packages that came with this one.

    Raises:
        ShadowedPackageError: a folder or module of the same name comes first on the path.
    """
    ours = Path(__file__).resolve().parents[1]
    for name in ("training", "loaders"):
        spec = importlib.util.find_spec(name)
        origin = Path(next(iter(spec.submodule_search_locations or [spec.origin or ""]))) if spec else None
        if origin is None:
            raise ShadowedPackageError(
                f"The package {name!r} of radikal-datasets is missing beside {ours / 'radikal_datasets'}. Install "
                "radikal-datasets again."
            )
        if origin.resolve() != ours / name:
            raise ShadowedPackageError(
                f"{origin} hides the package {name!r} of radikal-datasets ({ours / name}), because it comes first on "
                "Python's path. Rename it, or run the command from another directory and without it in PYTHONPATH."
            )


def run_training_command(command: str, arguments: Sequence[str]) -> int:
    """Run a command of `training/` with its own arguments; return the exit status.

    Raises:
        ShadowedPackageError: see `check_not_shadowed`.
    """
    check_not_shadowed()
    if command == "demo-light":
        command, arguments = "demo", ["--light", *arguments]
    importlib.import_module("training.run.arguments").exit_early(command, arguments)
    return importlib.import_module(TRAINING_COMMANDS[command][0]).main(list(arguments))
