"""The settings of a run: a yaml file, overridden by `--key value` on the command line."""

from __future__ import annotations

import dataclasses
import difflib
import os
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parent / "configs"


class SettingsError(ValueError):
    """A setting is unknown or has a value that can't be; the message names it."""


@dataclass
class Settings:
    """Every setting there is, named as in transformers' scripts where those have it."""

    # Data: the arguments of radikal_datasets.load_dataset.
    dataset_name: str
    dataset_config_name: str | None = None
    data_dir: str | None = None
    protocol: str | None = None
    # Model: built from a config, or (model_name_or_path) a local folder or Hub id whose head is made for the new
    # classes.
    model_type: str = "rt_detr_v2"
    model_size: str = "small"
    backbone: str | None = None
    backbone_weights: str | None = None
    model_name_or_path: str | None = None
    num_queries: int | None = None
    num_denoising: int | None = None
    decoder_layers: int | None = None
    # Images: edge, or [height, width], in pixels; they are stretched to it.
    image_size: int | list[int] = 640
    augment: bool = True
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.5
    scale_jitter: float = 0.3
    brightness: float = 0.2
    contrast: float = 0.2
    noise: float = 0.02
    dataloader_num_workers: int = 0
    num_threads: int | None = None  # on a CPU; None is all cores, shared out among the processes
    # Optimisation.
    num_train_epochs: float = 50
    max_train_steps: int | None = None
    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int | None = None
    gradient_accumulation_steps: int = 1
    learning_rate: float = 2e-4
    backbone_learning_rate: float | None = None
    weight_decay: float = 1e-4
    warmup_steps: int = 500
    max_grad_norm: float = 0.1
    ema_decay: float = 0.999
    mixed_precision: str = "auto"
    max_nonfinite_steps: int = 30  # in a row; the GradScaler may need some twenty to find its scale
    seed: int = 0
    # What is left behind, and when. Steps are optimizer steps; None is once an epoch.
    output_dir: str = "outputs/run"
    overwrite_output_dir: bool = False
    eval_steps: int | None = None
    checkpointing_steps: int | None = None
    checkpoints_total_limit: int = 2
    resume_from_checkpoint: str | None = None
    report_to: str = "tensorboard"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, _checked(field.name, getattr(self, field.name)))
        if self.mixed_precision not in ("auto", "no", "fp16", "bf16"):
            raise SettingsError(f"mixed_precision is {self.mixed_precision!r}; it can be auto, no, fp16 or bf16")
        positive = ["per_device_train_batch_size", "gradient_accumulation_steps", "max_nonfinite_steps"]
        positive += ["num_threads", "checkpoints_total_limit", "max_train_steps", "eval_steps", "checkpointing_steps"]
        for name in positive:
            if (value := getattr(self, name)) is not None and value < 1:
                raise SettingsError(f"{name} is {value}; it must be at least 1")

    @property
    def canvas(self) -> tuple[int, int]:
        """(height, width) in pixels of what the model sees."""
        size = [self.image_size] * 2 if isinstance(self.image_size, int) else self.image_size
        if len(size) != 2 or min(size) < 32 or any(edge % 32 for edge in size):
            raise SettingsError(
                f"image_size is {self.image_size}; it must be an edge or [height, width] in multiples of 32, the "
                "stride of the coarsest feature map"
            )
        return size[0], size[1]


def parse(arguments: list[str], default_config: str) -> Settings:
    """Settings out of `[FILE.yaml] [--key value | --key=value]...`; without a file, `configs/<default_config>`.

    Raises:
        SettingsError: an unknown key (the nearest one is named), a missing file, or a value of another type.
    """
    rest = list(arguments)
    file = Path(rest.pop(0)) if rest and not rest[0].startswith("--") else CONFIGS / default_config
    if not file.is_file():
        there = ", ".join(sorted(path.name for path in CONFIGS.glob("*.yaml")))
        raise SettingsError(f"there is no config file {file}; training/configs/ has {there}")
    values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    if not isinstance(values, dict):
        raise SettingsError(f"{file} must hold `key: value` lines, it holds a {type(values).__name__}")
    for key in values:
        _known(key, str(file))
    while rest:
        token = rest.pop(0)
        if not token.startswith("--"):
            raise SettingsError(f"{token!r} was not expected; settings are given as --key value")
        key, equals, text = token[2:].partition("=")
        _known(key, "the command line")
        if not equals:
            if not rest:
                raise SettingsError(f"--{key} lacks a value")
            text = rest.pop(0)
        # Text stays text where text is meant: a folder named 2024, a `no`.
        values[key] = text if _kinds(key) <= {str, type(None)} and text != "null" else yaml.safe_load(text)
    if not values.get("dataset_name"):
        raise SettingsError(f"dataset_name is not set, neither in {file} nor as --dataset_name")
    return Settings(**values)


def save(settings: Settings, file: Path) -> None:
    """Write all settings as yaml, so that `train.py FILE` starts the same run."""
    file.write_text(yaml.safe_dump(dataclasses.asdict(settings), sort_keys=False), encoding="utf-8")


def resolve_precision(asked: str, cuda: bool) -> str:
    """What accelerate is told: `no`, `fp16` or `bf16`.

    `auto` is the launcher's value (`accelerate launch --mixed_precision`, or its config file) unless that is `no`, else
    fp16 on CUDA and `no` elsewhere.

    Args:
        asked: the setting `mixed_precision`.
        cuda: whether this process trains on a CUDA device.

    Raises:
        SettingsError: fp16 on a machine without CUDA, which accelerate would accept and run in fp32.
    """
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    precision, source = asked, "mixed_precision in the settings"
    if asked == "auto":
        precision, source = (launcher, "accelerate launch's mixed_precision") if launcher != "no" else ("no", "")
        if precision == "no" and cuda:
            precision = "fp16"
    if precision == "fp16" and not cuda:
        raise SettingsError(
            f"fp16 was asked for ({source}) and there is no CUDA device to run it on. Use --mixed_precision no (or "
            "auto), or bf16 on a CPU that has it"
        )
    return precision


_TYPES = typing.get_type_hints(Settings)


def _known(key: str, where: str) -> None:
    if key not in _TYPES:
        near = difflib.get_close_matches(key, _TYPES, n=1, cutoff=0.0)[0]
        raise SettingsError(f"{where} sets {key!r}, which is not a setting; the nearest is {near!r}")


def _kinds(key: str) -> set[Any]:
    kind = _TYPES[key]
    members = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return {typing.get_origin(member) or member for member in members}


def _checked(key: str, value: Any) -> Any:
    """The value as the setting's type; numbers may come as text, since YAML 1.1 takes 1e-4 for a word."""
    kinds = _kinds(key)
    if type(value) in kinds:
        return value
    if value is False and kinds <= {str, type(None)}:
        return "no"  # YAML 1.1 reads an unquoted no as false
    try:
        if float in kinds and isinstance(value, int | str) and not isinstance(value, bool):
            return float(value)
        if int in kinds and isinstance(value, str | float) and float(value).is_integer():
            return int(float(value))
    except ValueError:
        pass
    if kinds <= {str, type(None)} and isinstance(value, int | float):
        return str(value)
    wanted = " or ".join(sorted("null" if kind is type(None) else kind.__name__ for kind in kinds))
    raise SettingsError(f"{key} is {value!r}; it must be {wanted}")
