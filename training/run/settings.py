"""Read and write the settings of a run: a YAML file, overridden by `--key value` on the command line."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import os
from pathlib import Path
from typing import Any

import yaml

from radikal_datasets.errors import SettingsError, UnknownSettingError
from training.run.setting_fields import TYPES, Settings, kinds_of

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
CHECKOUT = CONFIGS.parents[1]
#: File in output_dir that holds all settings of the run.
RUN_SETTINGS = "train_config.yaml"
#: Of a command line that names neither a recipe nor a set.
DEFAULT_RECIPE = "gdxray_castings.yaml"
#: Of a set that has no recipe of its own: none of another set's settings.
OWN_RECIPE = "own.yaml"
_FOLDER = "radikal_datasets/folder"
#: Settings that say where and how a run runs, not what it trains.
LOCAL_SETTINGS = (
    "data_dir",
    "output_dir",
    "overwrite_output_dir",
    "resume_from_checkpoint",
    "report_to",
    "num_threads",
    "dataloader_num_workers",
)


def parse(arguments: list[str]) -> Settings:
    """Settings out of `FILE.yaml [--key value | --key=value]...`.

    Raises:
        SettingsError: an unknown key (the nearest one is named), a missing file, or a value of another type.
    """
    file = _find(arguments[0])
    values = {**read_yaml(file), **command_line(arguments[1:])}
    if not values.get("dataset_name"):
        raise SettingsError(f"dataset_name is not set, neither in {file} nor as --dataset_name")
    return Settings(**values)


def with_config(arguments: list[str], default: str = DEFAULT_RECIPE) -> list[str]:
    """The arguments with a configuration file in front, where the user named none.

    That is the recipe of the source that `--dataset_name` names, the neutral `own.yaml` for any other set and for a
    `--data_dir` of own images or one that `prepare` wrote from them, else `configs/<default>`; but where
    `--output_dir` holds a run that `--resume_from_checkpoint` goes on with, the run's own settings. A source without a
    recipe, such as another package's, may stand in the recipe's place.
    """
    if arguments and not arguments[0].startswith("--"):
        if not _is_source_without_recipe(arguments[0]):
            return arguments
        arguments = ["--dataset_name", f"radikal_datasets/{arguments[0]}", *arguments[1:]]
    values = command_line(arguments)
    own = Path(values.get("output_dir") or "") / RUN_SETTINGS
    resumes = values.get("resume_from_checkpoint") and values.get("output_dir") and own.is_file()
    recipe = CONFIGS / f"{str(values.get('dataset_name') or '').rpartition('/')[2]}.yaml"
    if resumes or recipe.is_file():
        return [str(own if resumes else recipe), *arguments]
    name = values.get("dataset_name") or _own_set(values)
    if name is None or name == read_yaml(CONFIGS / default).get("dataset_name"):
        return [str(CONFIGS / default), *arguments]
    title = Path(values.get("data_dir") or name if str(name) == _FOLDER else name).resolve().name
    return [str(CONFIGS / OWN_RECIPE), "--dataset_name", name, "--output_dir", f"outputs/{title}", *arguments]


def _is_source_without_recipe(name: str) -> bool:
    from radikal_datasets.sources import is_source

    return is_source(name) and not Path(name).exists() and not (CONFIGS / f"{name}.yaml").is_file()


def _own_set(values: dict[str, Any]) -> str | None:
    """Return the name of own data, if that is what `data_dir` alone names."""
    if not values.get("data_dir"):
        return None
    from radikal_datasets.own_data.scanning import is_own_data
    from radikal_datasets.prepared.reading import prepared_source

    folder = str(values["data_dir"])
    return _FOLDER if is_own_data(folder) or prepared_source(folder) == "folder" else None


def _find(name: str) -> Path:
    """A recipe by its path from here or from the checkout, or by its name alone (`neu_det`)."""
    for file in (Path(name).expanduser(), CHECKOUT / name, CONFIGS / f"{name}.yaml"):
        if file.is_file():
            return file
    there = ", ".join(sorted(path.name for path in CONFIGS.glob("*.yaml")))
    raise SettingsError(
        f"there is no config file {name}: looked for {Path(name).expanduser().absolute()} (the current directory is "
        f"{Path.cwd()}) and {CHECKOUT / name}; {CONFIGS}/ has {there}"
    )


def read_yaml(file: Path) -> dict[str, Any]:
    """Keys and values of a configuration file.

    Raises:
        SettingsError: it is no YAML (with the line), does not hold `key: value` lines, or has an unknown key.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "no YAML"
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{file}{where}: {problem}; it must hold `key: value` lines") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is no text in UTF-8 ({error.reason}); it must hold `key: value` lines") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file} must hold `key: value` lines, it holds a {type(values).__name__}")
    for key in values:
        _known(key, str(file))
    return values


def command_line(arguments: list[str]) -> dict[str, Any]:
    """Values of `--key value` and `--key=value`; keys in dashes or underscores.

    Raises:
        SettingsError: an unknown key, or a value that can't be read.
    """
    values, rest = dict[str, Any](), list(arguments)
    while rest:
        token = rest.pop(0)
        if not token.startswith("--"):
            hint = "; the config file comes first" if token.endswith((".yaml", ".yml")) else ""
            raise SettingsError(f"{token!r} was not expected; settings are given as --key value{hint}")
        key, equals, text = token[2:].partition("=")
        key = key.replace("-", "_")
        _known(key, "the command line")
        if not equals:
            if not rest:
                raise SettingsError(f"--{key} lacks a value")
            text = rest.pop(0)
        # Text stays text where text is meant: a folder named 2024, a `no`.
        try:
            values[key] = text if kinds_of(key) <= {str, type(None)} and text != "null" else yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SettingsError(f"--{key} {text}: this can't be read as a value") from error
    return values


def differences(settings: Settings, file: Path) -> list[str]:
    """Return one line per setting in which a resumed run differs from `file`, its train_config.yaml."""
    if not file.is_file():
        return []
    now = dataclasses.asdict(settings)
    before = {**dataclasses.asdict(Settings(dataset_name=now["dataset_name"])), **read_yaml(file)}
    return [
        f"{name} is {now[name]!r}; the run was started with {before[name]!r}."
        for name in now
        if now[name] != before[name]
        and name not in ("output_dir", "overwrite_output_dir", "resume_from_checkpoint", "report_to", "num_threads")
    ]


def save(settings: Settings, file: Path) -> None:
    """Write all settings as YAML, so that `train.py FILE` starts the same run."""
    file.write_text(yaml.safe_dump(dataclasses.asdict(settings), sort_keys=False), encoding="utf-8")


def without_folders(name: str) -> str:
    """Return the last part of a path, so that folders of this machine stay private; any other text unchanged."""
    return Path(name).name if name.startswith(("/", "~", ".")) or name.count("/") > 1 or Path(name).exists() else name


def resolve_precision(asked: str, cuda: bool) -> str:
    """Return the precision to pass to accelerate: `no`, `fp16` or `bf16`.

    `auto` takes the launcher's value (`accelerate launch --mixed_precision`, or its config file) unless that is `no`,
    else fp16 on CUDA and `no` elsewhere.

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
            f"fp16 was requested by {source}, but there is no CUDA device. Use --mixed_precision no (or auto), or bf16 "
            "if the CPU supports it."
        )
    return precision


def check_tracker(name: str) -> None:
    """Check that a run can report to this tracker.

    Raises:
        UnknownSettingError: accelerate knows no such tracker.
        SettingsError: its package is not installed.
    """
    if name == "none":
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    known = sorted(LOGGER_TYPE_TO_CLASS)
    if name not in known:
        near = difflib.get_close_matches(name, [*known, "none"], n=1, cutoff=0.0)[0]
        raise UnknownSettingError(
            f"report_to is {name!r}, which is no tracker. The nearest is {near!r}; there are none, {', '.join(known)}."
        )
    if importlib.util.find_spec(name) is None:
        raise SettingsError(
            f"report_to is {name!r}, which is not installed. Install it (pip install {name}) or pass --report-to none."
        )


def _known(key: str, where: str) -> None:
    if key not in TYPES:
        near = difflib.get_close_matches(key, TYPES, n=1, cutoff=0.0)[0]
        raise UnknownSettingError(f"{where} sets {key!r}, which is not a setting; the nearest is {near!r}")
