"""The command-line program: help without heavy imports, both option spellings, nearest names, existing outputs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import radikal_datasets
from radikal_datasets import cli
from radikal_datasets.training_commands import TRAINING_COMMANDS, dashed
from training.run.arguments import PARSERS
from training.run.settings import Settings, command_line

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "datasets", "transformers", "pyarrow", "numpy")
# What each training parser requires, so that only the option under test decides.
NEEDED = {
    "score": ["run"],
    "predict": ["model", "images", "--output", "out"],
    "serve-model": ["model"],
    "explain": ["run"],
    "export-model": ["model", "--output", "out"],
    "push-model": ["run", "--repo-id", "a/b"],
}


def python(code: str, *arguments: str, cwd: Path | None = None, path: str = str(ROOT)) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def program(*arguments: str, **options) -> subprocess.CompletedProcess:
    return python("from radikal_datasets.cli import main; main()", *arguments, **options)


def typer_commands(
    group: typer.core.TyperGroup, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from typer_commands(command, (*path, name))
        elif name not in TRAINING_COMMANDS:
            yield (*path, name), command


COMMANDS = dict(typer_commands(typer.main.get_command(cli.app)))
assert ("prepare",) in COMMANDS and ("hub", "token", "list") in COMMANDS


@pytest.mark.parametrize("command", [(), *COMMANDS, *((name,) for name in TRAINING_COMMANDS)], ids=" ".join)
def test_help_is_quick_and_loads_nothing_heavy(command):
    code = """
import sys, time
from radikal_datasets.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = [name for name in HEAVY if name in sys.modules]
print(f"\\nSECONDS {time.process_time()} {heavy}")
"""
    done = python(f"HEAVY = {HEAVY}{code}", *command, "--help")
    assert done.returncode == 0, done.stderr
    seconds, heavy = _timed(done.stdout)
    assert heavy == "[]"
    assert seconds < 2  # 0.25 on this machine when idle; others may be busy


def _timed(text: str) -> tuple[float, str]:
    seconds, _, heavy = text.rpartition("SECONDS ")[2].strip().partition(" ")
    return float(seconds), heavy


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_options_in_both_spellings(command):
    """Every option of every command: `--output_dir` reaches it as `--output-dir` does."""
    options = [option for p in COMMANDS[command].params for option in p.opts if option.startswith("--")]
    assert dashed([option.replace("-", "_").replace("__", "--", 1) for option in options]) == options


@pytest.mark.parametrize("command", NEEDED)
def test_options_of_training_commands_in_both_spellings(command):
    parser = PARSERS[command]()
    for action in parser._actions:
        for option in (o for o in action.option_strings if o.startswith("--") and action.nargs != 0):
            value = str(action.choices[0]) if action.choices else "2"
            spelled = [f"--{option[2:].replace('-', '_')}", f"--{option[2:].replace('_', '-')}"]
            one, other = (parser.parse_args([*NEEDED[command], name, value]) for name in spelled)
            assert one == other and value in str(vars(one)[action.dest])


def test_settings_in_both_spellings():
    for name in Settings.__dataclass_fields__:
        assert command_line([f"--{name}", "1"]) == command_line([f"--{name.replace('_', '-')}", "1"]) != {}


def test_underscores_in_values_are_kept():
    assert dashed(["--data_dir", "a_b", "--x_y=c_d", "e_f", "--"]) == ["--data-dir", "a_b", "--x-y=c_d", "e_f", "--"]


def test_version():
    for command in ((), ("train",), ("predict",)):
        assert program(*command, "--version").stdout.strip() == f"radikal-datasets {radikal_datasets.__version__}"


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["veriffy"], "verify"),
        (["stats", "--datadir", "x"], "--data-dir"),
        (["stats", "neu_dett"], "neu_det"),
        (["predict", "m", "i", "--output", "o", "--tilesize", "3"], "--tile-size"),
        (["train", "--learning-rat", "3"], "learning_rate"),
        (["train", "demo", "--dataset_name", "x", "--report-to", "tensorbord"], "tensorboard"),
    ],
)
def test_unknown_names_exit_2_and_suggest_the_nearest(arguments, nearest, tmp_path):
    done = program(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert nearest in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["training", "loaders"])
def test_a_folder_that_shadows_a_package_is_named(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    empty = tmp_path / "empty"
    empty.mkdir()
    done = program("train", "--help", cwd=empty, path=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert done.returncode == 2
    assert str(tmp_path / name) in done.stderr and "Rename it" in done.stderr


def test_a_missing_extra_is_one_pip_line():
    hide = "import importlib.util as u; real = u.find_spec\n"
    hide += "u.find_spec = lambda name, *rest: None if name == 'torch' else real(name, *rest)\n"
    done = python(hide + "from radikal_datasets.cli import main; main()", "train", "neu_det")
    assert done.returncode == 2
    assert "pip install 'radikal-datasets[train]'" in done.stderr and "Traceback" not in done.stderr


def test_import_is_cheap_and_adapts_what_is_imported_later():
    done = python(
        "import sys, radikal_datasets; print([m for m in ('datasets', 'torch') if m in sys.modules]);"
        "from datasets import load_dataset; import datasets.load;"
        "print(datasets.load.dataset_module_factory._radikal_datasets)"
    )
    assert done.stdout.splitlines() == ["[]", "True"], done.stderr


def test_every_public_name_resolves():
    for name in radikal_datasets.__all__:
        assert getattr(radikal_datasets, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = radikal_datasets.no_such_name
