"""How good are the detectors? Train on a frozen split through the real command line, score, and average over runs.

    python benchmarks/accuracy.py neu_det --data-dir NEU-DET --seeds 0 1 2
    python benchmarks/accuracy.py all --data neu_det=NEU-DET deeppcb=DeepPCB gdxray_castings=GDXray
    python benchmarks/accuracy.py --table            means, deviations and seeds of all runs so far

Each run is one file in benchmarks/results/accuracy/: dataset, seed, commit (and whether there were uncommitted
changes), settings, hardware, minutes, images/s, scores on validation and, evaluated once, on test. Results from other
machines and days accumulate; `--table` writes benchmarks/results/accuracy.md. A run that is recorded is not made again
(`--again` makes it), and one that was interrupted goes on from its last checkpoint: repeat the same command until
nothing is left. `all` takes seed 0 of every set first.

Without a GPU the reduced benchmark setting runs: a smaller model, smaller images and fewer epochs, as in `FORMS`.
Settings after the options are passed to training/train.py and recorded (`--max_train_steps 300`). The data must be the
frozen splits (frozen_splits.py --check); with `--any-data` a run on other data is listed, but enters no mean.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.path[:1] = [str(ROOT / "benchmarks"), str(ROOT)]

# Only now, since the path has to be set first (E402).
import importlib.metadata  # noqa: E402

import frozen_splits  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from accuracy_forms import FORMS, FULL, LEAKY, REDUCED, Form  # noqa: E402
from accuracy_measures import deeppcb_scores, scores_by_series, write_leaky_folder  # noqa: E402
from accuracy_table import Run, read_runs, reductions, series_table, table  # noqa: E402

from training.run.run_record import hardware  # noqa: E402
from training.run.settings import LOCAL_SETTINGS  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "accuracy"
#: Settings that say where and how a run went, not what was trained.
NOT_COUNTED = (*LOCAL_SETTINGS, "seed", "checkpoints_total_limit", "checkpointing_steps")


#: Further scores of a set.
MEASURES = {"deeppcb": deeppcb_scores, "gdxray_castings": scores_by_series}


class BenchmarkError(Exception):
    """A run cannot be made or counted; the message says why."""


def arguments_of(
    name: str, form: Form, config: str, data_dir: str, seed: int, output: Path, overrides: list[str]
) -> list[str]:
    """Return the arguments of training/train.py for a run."""
    source, source_config = frozen_splits.SETS[name]
    data = {"dataset_name": source, "dataset_config_name": source_config or "null", "data_dir": data_dir}
    if form is FORMS[name].get(LEAKY):
        folder = write_leaky_folder(data_dir, output.parent / f"{name}-leaky")
        data = {"dataset_name": str(folder), "dataset_config_name": "null", "data_dir": "null"}
    settings = {
        **form.settings,
        **data,
        "output_dir": str(output),
        "overwrite_output_dir": "true",
        "seed": seed,
        "checkpoints_total_limit": 1,
    }
    pairs = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
    return [config, *pairs, *overrides]


def train(form: Form, arguments: list[str], seed: int, output: Path) -> float:
    """Run training/train.py once, or go on with a run that was interrupted, and return the minutes it took.

    Raises:
        BenchmarkError: the run failed, or took longer than the setting allows.
    """
    command = [sys.executable, str(ROOT / "training" / "train.py"), *arguments]
    interrupted = any(output.glob("checkpoint-*/state")) and not (output / "metrics.json").exists()
    if interrupted and settings_that_count(output) == planned(arguments):
        command += ["--resume_from_checkpoint", "latest"]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        code = process.wait(form.limit_minutes and 60 * form.limit_minutes)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # it saves a checkpoint
        process.wait()
        raise BenchmarkError(
            f"seed {seed} did not finish within {form.limit_minutes} minutes; nothing was recorded. Give the "
            "setting a max_train_steps that fits, or try one: --max_train_steps N"
        ) from None
    if code:
        raise BenchmarkError(f"training/train.py ended with {code}; its output is above")
    return (time.monotonic() - began) / 60


# --- what is recorded with a run --------------------------------------------------------------------------------------


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def commit_now() -> tuple[str, bool]:
    """Return the commit, and whether there are uncommitted changes (other than results of this benchmark).

    If the repository is not on the machine, benchmarks/gpu/run.sh passes both in two variables.
    """
    if commit := os.environ.get("BENCHMARK_COMMIT"):
        return commit, bool(os.environ.get("BENCHMARK_CHANGED"))
    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", ".", ":!benchmarks/results"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True


def hardware_now() -> dict[str, Any]:
    found = hardware()
    return {"cpu": found["processor"], "cores": found["cores"], "gpu": next(iter(found["gpus"]), None)}


def settings_that_count(output: Path) -> dict[str, Any]:
    """Return all settings of a run except those that don't change what is trained."""
    return _counted(yaml.safe_load((output / "train_config.yaml").read_text(encoding="utf-8")))


def planned(arguments: list[str]) -> dict[str, Any]:
    """Return what `settings_that_count` will be for a run with these arguments."""
    from training.run.settings import parse

    return _counted(yaml.safe_load(yaml.safe_dump(vars(parse(arguments)))))


def _counted(settings: dict[str, Any]) -> dict[str, Any]:
    counted = {key: value for key, value in sorted(settings.items()) if key not in NOT_COUNTED}
    if str(counted.get("dataset_name")).endswith("-leaky"):  # a folder that this benchmark wrote, wherever that is
        counted["dataset_name"] = Path(counted["dataset_name"]).name
    return counted


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def write(run: Run, folder: Path) -> Path:
    """Write one file per (dataset, setting, settings, seed, commit, hardware); only the same key replaces it."""
    folder.mkdir(parents=True, exist_ok=True)
    commit = run["commit"][:8] + ("-changed" if run["dirty"] else "")
    parts = (run["set"], run["form"], run["config_hash"], f"seed{run['seed']}", commit, digest(run["hardware"]))
    file = folder / ("-".join(parts) + ("" if run["differences"] is None else "-other-data") + ".json")
    file.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return file


def one_run(
    options: argparse.Namespace,
    name: str,
    data_dir: str,
    form_name: str,
    seed: int,
    overrides: list[str],
    differs: str | None,
) -> Run | None:
    """Make one run; None if it is recorded already."""
    form = FORMS[name][form_name]
    config = options.config or str(ROOT / "training" / "configs" / form.config)
    form = form if options.config is None else Form(config, f"{options.config} as it is", {}, form.limit_minutes)
    output = options.work_dir / f"{name}-{form_name}-seed{seed}"
    arguments = arguments_of(name, form, config, data_dir, seed, output, overrides)
    wanted = (name, digest(planned(arguments)), seed, hardware_now(), differs)
    for run in [] if options.again else read_runs(options.results):
        if (run["set"], run["config_hash"], run["seed"], run["hardware"], run["differences"]) == wanted:
            print(f"{name}, seed {seed}: recorded on {run['finished'][:10]} at {run['commit'][:8]}", flush=True)
            return None
    commit, dirty = commit_now()
    minutes = train(form, arguments, seed, output)
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    settings, training = settings_that_count(output), metrics["training"]
    changes = f", then {' '.join(overrides)}" if overrides else ""
    began = time.process_time()
    more = MEASURES[name](output) if name in MEASURES else {}
    processor_seconds = training["processor_seconds"] + time.process_time() - began
    packages = ("torch", "torchvision", "transformers", "timm", "accelerate", "datasets", "numpy")
    return {
        "set": name,
        "form": form_name + ("+" if overrides or options.config else ""),
        "form_is": form.what + changes,
        "seed": seed,
        "commit": commit,
        "dirty": dirty or commit_now() != (commit, dirty),
        "config_hash": digest(settings),
        "config": settings,
        "hardware": hardware_now(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "differences": differs,
        "splits": {k: v for k, v in frozen_splits.read_sums().items() if k.startswith(f"{name}/")},
        "precision": metrics["config"]["precision"],
        "minutes": round(minutes, 2),
        "processor_minutes": round(processor_seconds / 60, 2),
        "training_minutes": round(training["seconds"] / 60, 2),
        "images_per_second": training["images_per_second"],
        "steps": training["steps"],
        "best_step": training["best_step"],
        "skipped_steps": training["skipped_steps"],
        "parameters": training["parameters"],
        "validation": metrics["validation"],
        "test": metrics["test"],
        **more,
        "versions": {package: importlib.metadata.version(package) for package in packages},
        "note": options.note,
    }


def check_data(name: str, data_dir: str | None, any_data: bool) -> str | None:
    """Return None if the data are the frozen splits, else a summary of the differences.

    Raises:
        BenchmarkError: the data differ, and `any_data` is not set.
    """
    differences = frozen_splits.compare(frozen_splits.read(name), frozen_splits.load(name, data_dir))
    if not differences:
        return None
    if any_data:
        return differences.summary()
    raise BenchmarkError(
        f"{data_dir} is not the frozen dataset: {differences.summary()}. benchmarks/frozen_splits.py --check {name} "
        "lists every image; --any-data trains on it anyway, for a run that enters no mean"
    )


def data_dirs(options: argparse.Namespace) -> dict[str, str]:
    """Return set -> raw tree.

    Raises:
        BenchmarkError: an unknown set, or no tree for one that is wanted.
    """
    if options.set != "all":
        return {options.set: options.data_dir}
    folders = dict(pair.split("=", 1) for pair in options.data if "=" in pair)
    if len(folders) != len(options.data) or not folders or set(folders) - set(FORMS):
        raise BenchmarkError(f"all needs --data SET=DIR ..., with sets of {', '.join(FORMS)}; it has {options.data}")
    return {name: folders[name] for name in FORMS if name in folders}


def write_table(results: Path) -> str:
    runs = read_runs(results)
    lines = [
        "# How good the detectors are",
        "",
        "`python benchmarks/accuracy.py SET --data-dir DIR`, on the frozen splits (docs/benchmark.md). Mean ± sample "
        "standard deviation over seeds. The weights were chosen on validation; test was evaluated once. own AP, own F: "
        "DeepPCB's protocol on test. form: the benchmark setting; form+: with some of its settings changed. +changes: "
        "with uncommitted changes.",
        "",
        *table(runs),
        "",
        *series_table(runs),
        "The benchmark settings:",
        "",
        *reductions(runs),
    ]
    text = "\n".join(lines) + "\n"
    results.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("set", nargs="?", choices=[*FORMS, "all"], help=", ".join([*FORMS, "all"]))
    parser.add_argument("--data", nargs="+", default=[], metavar="SET=DIR", help="with all: the raw tree of each set")
    parser.add_argument("--again", action="store_true", help="make runs that are recorded already")
    parser.add_argument("--data-dir", help="the raw tree")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--config", help="another configuration file, unchanged")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--reduced", action="store_true", help="the reduced setting (always without a GPU)")
    size.add_argument("--leaky", action="store_true", help="gdxray_castings: on a split by image, for comparison")
    size.add_argument("--full", action="store_true", help="the full setting, even without a GPU")
    parser.add_argument("--any-data", action="store_true", help="train even if the data are not the frozen splits")
    parser.add_argument("--work-dir", type=Path, default=ROOT / "outputs" / "accuracy", help="where the runs go")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where their results go")
    parser.add_argument("--note", help="a remark on these runs, such as what else the machine was doing")
    parser.add_argument("--table", action="store_true", help="only write the table of existing runs; train nothing")
    options, overrides = parser.parse_known_args(arguments)
    try:
        if not options.table:
            if options.set is None:
                parser.error(f"name a dataset, one of {', '.join(FORMS)}, or pass --table")
            form = FULL if options.full or (torch.cuda.is_available() and not options.reduced) else REDUCED
            form = LEAKY if options.leaky else form
            folders = data_dirs(options)
            if options.leaky and set(folders) != {"gdxray_castings"}:
                raise BenchmarkError("--leaky is for gdxray_castings")
            differences = {name: check_data(name, folder, options.any_data) for name, folder in folders.items()}
            for seed in options.seeds:
                for name, folder in folders.items():
                    run = one_run(options, name, folder, form, seed, overrides, differences[name])
                    if run is not None:
                        print(f"wrote {write(run, options.results)}", flush=True)
        print(write_table(options.results))
    except (BenchmarkError, frozen_splits.FrozenSplitsError, frozen_splits.RadikalError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
