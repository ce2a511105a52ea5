"""Settings for a set that has no recipe: from its images, its defects and the machine, each with its reason.

The numbers for a CPU follow the recipes of training/configs whose runs benchmarks/results/accuracy.md lists: NEU-DET at
its own size, castings in tiles at full resolution. Those for a GPU are estimates, not measured. What the user named on
the command line is never changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import yaml

from training.run.set_facts import Machine, SetFacts
from training.run.settings import CONFIGS, OWN_RECIPE, Settings, command_line, read_yaml

#: Edge of a defect in the model's input, in pixels: below the first the strides of the maps are too coarse, and more
#: than the second gains little.
_LEAST_DEFECT, _GOOD_DEFECT = 8, 12
#: Longest edge of the model's input, in pixels, without and with a GPU.
_LONGEST = {False: 320, True: 640}
#: Edge of a tile in the model's input. On a CPU as in the recipe of castings.
_TILE = {False: 256, True: 640}
#: Pixels of a batch without and with a GPU, and its fewest and most images.
_BATCH_PIXELS = {False: 8 * 320 * 320, True: 16 * 640 * 640}
_BATCH = (4, 32)
#: Training images that are shown in all, as in the recipe of NEU-DET, and the fewest and most epochs.
_SHOWN = 30_000
_EPOCHS = (12, 100)
#: Evaluations on validation in the course of a training.
_EVALUATIONS = 12


@dataclass(frozen=True)
class Proposed:
    """A setting, its value, and why."""

    name: str
    value: Any
    why: str


def propose(facts: SetFacts, machine: Machine, named: Mapping[str, Any] | None = None) -> list[Proposed]:
    """Return settings for a set that has boxes; what is not among them stays as in the neutral recipe.

    Args:
        named: settings that are given, and that the others have to fit.
    """
    named, gpu = named or {}, machine.gpu_gib is not None
    found = [] if not facts.templates else [Proposed("channels", "pair", "every image has a template")]
    family, why = (
        ("rt_detr_v2", "on a GPU") if gpu else ("dense", "without a GPU: on NEU-DET, better than a DETR in less time")
    )
    found.append(Proposed("model_type", family, why))
    dense = named.get("model_type", family) == "dense"
    tile, canvas = named.get("tile_size"), named.get("image_size")
    if tile is None and canvas is None:
        sizes = list(_sizes(facts, gpu))
        found += sizes
        canvas = next(one.value for one in sizes if one.name == "image_size")
        tile = next((one.value for one in sizes if one.name == "tile_size"), None)
    canvas = _pair(canvas or _LONGEST[gpu])
    defect = facts.defect * canvas[0] / (_pair(tile)[0] if tile else facts.height)
    if dense:
        fine = defect < 2 * _LEAST_DEFECT
        strides, what = ([4, 8, 16], "small") if fine else ([8, 16, 32], "large enough for them")
        found.append(Proposed("feature_strides", strides, f"a small defect has {defect:.0f} pixels then: {what}"))
    pixels = _BATCH_PIXELS[gpu] // (canvas[0] * canvas[1])
    if machine.gpu_gib is not None:
        pixels = int(pixels * min(1.0, machine.gpu_gib / 16))
    # A small set is not used up by a few steps.
    batch = max(1, min(max(_BATCH[0], min(pixels, _BATCH[1])), max(_BATCH[0], facts.images // 6), facts.images))
    found.append(Proposed("per_device_train_batch_size", batch, f"at this size, and {facts.images:,} images"))
    epochs = max(_EPOCHS[0], min(_EPOCHS[1], round(_SHOWN / max(1, facts.images))))
    found.append(Proposed("num_train_epochs", epochs, f"shows {epochs * facts.images:,} images in all"))
    steps = max(1, facts.images // batch)
    if tile is None:
        every = steps * max(1, epochs // _EVALUATIONS)
        found.append(Proposed("eval_steps", every, f"about {_EVALUATIONS} evaluations in all"))
        found.append(Proposed("checkpointing_steps", every, "as often"))
    total = steps * epochs
    decay = 0.995 if total > 1000 else 0.99 if total > 300 else 0.98
    found.append(Proposed("ema_decay", decay, f"for {total:,} steps"))
    found.append(Proposed("warmup_steps", min(100 if gpu else 60, max(1, total // 10)), f"of {total:,} steps"))
    if dense:
        found += [Proposed(name, value, "as in the dense recipes") for name, value in _DENSE.items()]
    return [one for one in found if one.name not in named]


#: Of the dense recipes, see training/configs/neu_det.yaml.
_DENSE = {"learning_rate": 1e-3, "backbone_learning_rate": 3e-4, "weight_decay": 0.02, "max_grad_norm": 10.0}


def _sizes(facts: SetFacts, gpu: bool) -> Iterable[Proposed]:
    """Yield the input's size, [height, width], and the tiles', if there have to be some."""
    height, width, longest = facts.height, facts.width, max(facts.height, facts.width)
    wanted = _GOOD_DEFECT / max(1.0, facts.defect)  # scale at which a small defect has a good size
    most = _LONGEST[gpu] / longest
    # At the size of the file, where it fits. Enlarged, at most twice, only for defects that need it.
    scale = min(most, max(1.0, min(2.0, wanted)))
    least = 64 / min(height, width)  # below that, the coarsest map is one place
    if facts.defect * scale >= _LEAST_DEFECT or longest <= _LONGEST[gpu]:
        scale = max(scale, least)
        size = [_rounded(height * scale), _rounded(width * scale)]
        shrunk = f"{1 / scale:.1f} times smaller than the file" if scale < 0.95 else "the size of the file"
        if scale > 1.05:
            shrunk = f"{scale:.1f} times larger than the file"
        yield Proposed("image_size", size, f"{shrunk}; a small defect has {facts.defect * scale:.0f} pixels")
        return
    scale = min(1.0, wanted)
    tile = [min(round(_TILE[gpu] / scale), edge) for edge in (height, width)]
    size = [_rounded(edge * scale) for edge in tile]
    at = facts.defect * most
    yield Proposed("tile_size", tile, f"a complete image at {_LONGEST[gpu]} pixels leaves a small defect {at:.0f}")
    yield Proposed("image_size", size, f"of a tile; a small defect has {facts.defect * scale:.0f} pixels")
    yield Proposed("tile_jitter", 0.5, "defects at any place of a tile")
    yield Proposed("per_device_eval_batch_size", 32, "tiles")


def _pair(size: Any) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


def _rounded(edge: float) -> int:
    """Return the nearest multiple of 32, the stride of the coarsest map, and at least 32."""
    return max(32, round(edge / 32) * 32)


@dataclass(frozen=True)
class Recipe:
    """The proposal for a run: settings with reasons, as text to print and as a file to start from."""

    settings: Settings
    proposed: list[Proposed]
    about: str

    def table(self) -> str:
        """Return the settings with reasons, one per line."""
        width = max(len(f"{one.name}: {_yaml(one.value)}") for one in self.proposed)
        lines = [f"  {f'{one.name}: {_yaml(one.value)}':{width}}  {one.why}" for one in self.proposed]
        return "\n".join([f"Proposed for {self.about}:", *lines, "What you name on the command line has precedence."])

    def save(self, folder: Path) -> None:
        """Write `recipe.yaml` into the folder of a run."""
        values = dataclasses.asdict(self.settings)
        why = {one.name: one.why for one in self.proposed}
        names = dict.fromkeys([*read_yaml(CONFIGS / OWN_RECIPE), *why])
        lines = [f"{name}: {_yaml(values[name])}" + (f"  # {why[name]}" if name in why else "") for name in names]
        head = f"# Proposed for {self.about}. To use it again: radikal-datasets train THIS_FILE --data-dir FOLDER"
        (folder / "recipe.yaml").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


def named_settings(arguments: Sequence[str], complete: Sequence[str]) -> dict[str, Any] | None:
    """Return the settings of a command line that leaves the others to be proposed; None for any other.

    Args:
        arguments: the command line.
        complete: the same with a recipe in front, see `settings.with_config`.
    """
    if complete is arguments or complete[0] != str(CONFIGS / OWN_RECIPE):
        return None
    return command_line(list(complete[1:]))


def recipe_for(settings: Settings, train: datasets.Dataset, named: Mapping[str, Any]) -> Recipe | None:
    """Return the proposal for a run with the neutral recipe.

    None for a set without a box, for another task, and for a model that exists, whose settings decide.

    Args:
        settings: of the neutral recipe and the command line.
        train: the split to train on.
        named: see `named_settings`.
    """
    if settings.task != "detection" or settings.model_name_or_path:
        return None
    facts, machine = SetFacts.of(train), Machine.here()
    if not facts.boxes:
        return None
    found = propose(facts, machine, named)
    chosen = dataclasses.replace(settings, **{one.name: one.value for one in found})
    return Recipe(chosen, found, f"{facts}; {machine}")


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
