"""How fast are a complete training and its evaluation? One run compares this project's loop with transformers' example.

    python benchmarks/training_step.py [--data-dir NEU-DET] [--rounds 5] [--steps 30] [--output FILE.md]

Both train the same rt_detr_v2 from the same weights, in the same batches, on the images of NEU-DET's train split, and
score on the same validation split, each with its own augmentation (ours: the settings' defaults; theirs: the
example's). Ours is the real `training.train.train`, with a gate at its loader and clocks around its parts. Theirs is
benchmarks/baseline_loop.py, first run for one round with every number of worker processes; the fastest is compared.

Each side is a separate process that waits while another one runs. In a round each does a few steps that are not counted
(they use up what its workers prefetched while it waited), then --steps that are, then one evaluation. Ratios
are medians of ratios within a round. CPU time is that of a side and its workers alone, whatever else the machine
does. On a GPU both run in fp16, and the parts are measured in separate rounds, since every clock has to wait for the
device.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# On both sides, as in training/train.py: waiting threads sleep instead of spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:1] = [str(ROOT / "benchmarks"), str(ROOT)]

import torch  # noqa: E402
from training_rounds import (  # noqa: E402
    AVERAGE,
    BACKWARD,
    CLIP,
    FORWARD,
    LOSS,
    METRIC,
    OTHER,
    POST,
    STEP,
    WAIT,
    Rounds,
)

OURS = "ours"
TRAINING_PARTS = (WAIT, FORWARD, LOSS, BACKWARD, CLIP, STEP, AVERAGE, OTHER)
EVALUATION_PARTS = (WAIT, FORWARD, POST, METRIC, OTHER)

# --- one side in its own process --------------------------------------------------------------------------------------


def serve(task: dict[str, Any]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print
    rounds = Rounds(task["warm_up"], task["steps"], answers)
    if task["workers"] is None:
        train_ours(task, rounds)
        return
    import baseline_loop

    from training.run.data import load_splits

    splits = load_splits(settings_of(task))
    baseline_loop.run(splits, task["model_dir"], task["edge"], task["batch"], task["workers"], rounds, task["augment"])


def settings_of(task: dict[str, Any]) -> Any:
    from training.run.settings import Settings

    return Settings(
        dataset_name="radikal_datasets/neu_det",
        data_dir=task["data_dir"],
        model_name_or_path=task["model_dir"],
        image_size=task["edge"],
        per_device_train_batch_size=task["batch"],
        dataloader_num_workers=task["threads"],
        output_dir=task["output_dir"],
        max_train_steps=1_000_000,
        eval_steps=task["warm_up"] + task["steps"],
        checkpointing_steps=1_000_000,
        report_to="none",
    )


def train_ours(task: dict[str, Any], rounds: Rounds) -> None:
    """Run the real loop. The wrappers around its parts only measure and wait."""
    from accelerate import Accelerator

    from training import train
    from training.run.averaging import MovingAverage
    from training.run.signals import StopSignals
    from training.scoring import detections
    from training.tasks import TASKS
    from training.tasks.detection import DetectionTask

    clock = rounds.clock

    class Clocked(DetectionTask):
        def __init__(self, settings: Any, splits: Any, accelerator: Accelerator) -> None:
            super().__init__(settings, splits, accelerator)
            self.loader = with_iteration(self.loader, rounds.gate)
            clock.wrap(type(self.model), "forward", FORWARD)  # of the class: a different object is scored
            clock.wrap(self.model, "loss_function", LOSS)
            clock.wrap(type(self.processor), "post_process_object_detection", POST)

        def eval_loader(self, split: str) -> Any:
            return with_iteration(super().eval_loader(split), clock.waits)

        def evaluate(self, model: Any, loader: Any) -> dict[str, Any]:
            return rounds.evaluated(lambda: super(Clocked, self).evaluate(model, loader))

    TASKS["detection"] = Clocked
    clock.wrap(detections, "evaluate_coco", METRIC)
    clock.wrap(detections, "scores_of", METRIC)
    clock.wrap(Accelerator, "backward", BACKWARD)
    clock.wrap(Accelerator, "clip_grad_norm_", CLIP)
    clock.wrap(torch.optim.AdamW, "step", STEP)
    clock.wrap(MovingAverage, "update", AVERAGE)
    train.train(settings_of(task), StopSignals())


def with_iteration(loader: Any, around: Any) -> Any:
    """Return the same loader, with its epochs passed through `around`."""
    kind = type(loader)
    loader.__class__ = type(kind.__name__, (kind,), {"__iter__": lambda self: around(kind.__iter__(self))})
    return loader


# --- all sides in turn ------------------------------------------------------------------------------------------------


class Side:
    """A process that trains one round on request."""

    def __init__(self, task: dict[str, Any]) -> None:
        command = [sys.executable, __file__, "--serve", json.dumps(task)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self._read()

    def round(self, exact: bool) -> dict[str, Any]:
        assert self._process.stdin
        print("exact" if exact else "plain", file=self._process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a side ended early; its output is above")
        return json.loads(line)


def prepare_model(task: dict[str, Any]) -> None:
    """Save the model that both start from, with its image processor."""
    from training import models
    from training.run.data import class_names, load_splits

    torch.manual_seed(0)
    splits = load_splits(settings_of(task))
    model = models.build_model("rt_detr_v2", class_names(splits["train"]), size=task["size"])
    model.save_pretrained(task["model_dir"])
    edge = task["edge"]
    models.image_processor("rt_detr_v2", (edge, edge)).save_pretrained(task["model_dir"])


def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rounds of each side."""
    common: dict[str, Any] = {
        "data_dir": str(options.data_dir),
        "model_dir": str(folder / "model"),
        "output_dir": str(folder / "run"),
        "size": options.model_size,
        "edge": options.image_size,
        "batch": options.batch,
        "threads": options.threads,
        "warm_up": options.warm_up,
        "steps": options.steps,
        "augment": not options.plain_example,
    }
    prepare_model(common)
    tasks = {OURS: None, **{f"example, {count} workers": count for count in options.workers}}
    sides = {name: Side({**common, "workers": workers}) for name, workers in tasks.items()}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}

    def go_round(names: list[str], exact: bool = False) -> None:
        for name in names:
            result = {"exact": exact, **sides[name].round(exact)}
            found[name].append(result)
            speed, seconds = rate(result), result["evaluation"]
            log(f"{name}: {speed:.2f} images/s, evaluation {seconds:.2f} s")

    others = [name for name in sides if name != OURS]
    for _ in range(options.choosing if len(others) > 1 else 0):
        go_round(others)
    best = max(others, key=lambda name: statistics.median([rate(r) for r in found[name]] or [0.0]))
    for name in set(others) - {best}:
        sides[name].close()
    found[best].clear()  # discard its rounds without ours in turn
    exact_rounds = max(1, options.rounds // 2) if torch.cuda.is_available() else 0
    for number in range(options.rounds + exact_rounds):
        pair = [OURS, best] if number % 2 == 0 else [best, OURS]
        go_round(pair, exact=number >= options.rounds)
    for name in (OURS, best):
        sides[name].close()
    return {name: found[name] for name in (OURS, best, *found)}


def rate(found: dict[str, Any]) -> float:
    """Return the images per second of a round."""
    return found["images"] / found["seconds"]


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# --- the tables -------------------------------------------------------------------------------------------------------


def spread(values: list[float], digits: int = 2) -> str:
    """Return such as `12.3 (11.9 - 12.8)`: median, smallest and largest."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} - {max(values):,.{digits}f})"


def report(found: dict[str, list[dict[str, Any]]], validation_images: int) -> list[str]:
    speed = {name: [r for r in rounds if not r["exact"]] for name, rounds in found.items()}
    parts = {name: [r for r in rounds if r["exact"]] or speed[name] for name, rounds in found.items()}
    rates = {name: [rate(r) for r in rounds] for name, rounds in speed.items()}
    evaluations = {name: [r["evaluation"] for r in rounds] for name, rounds in speed.items()}
    best = next(name for name in found if name != OURS)
    memory = any("peak MiB" in r for rounds in speed.values() for r in rounds)
    work = {name: [1e3 * r["processor seconds"] / r["images"] for r in rounds] for name, rounds in speed.items()}
    lines = [
        "| side | training, images/s | CPU ms per image | evaluation, s |" + (" peak GPU MiB |" if memory else ""),
        "| --- | ---: | ---: | ---: |" + (" ---: |" if memory else ""),
    ]
    for name in found:
        line = f"| {name} | {spread(rates[name])} | {spread(work[name], 1)} | {spread(evaluations[name])} |"
        lines.append(line + (f" {max(r['peak MiB'] for r in speed[name]):,.0f} |" if memory else ""))
    faster = [ours / theirs for ours, theirs in zip(rates[OURS], rates[best], strict=True)]
    lighter = [theirs / ours for ours, theirs in zip(work[OURS], work[best], strict=True)]
    sooner = [theirs / ours for ours, theirs in zip(evaluations[OURS], evaluations[best], strict=True)]
    scoring = [
        sum(theirs["evaluation parts"].get(part, 0.0) for part in (POST, METRIC))
        / sum(ours["evaluation parts"].get(part, 0.0) for part in (POST, METRIC))
        for ours, theirs in zip(parts[OURS], parts[best], strict=True)
    ]
    lines += [
        "",
        f"Training: {spread(faster)} times as fast as {best}, which takes {spread(lighter)} times the CPU time.",
        f"Evaluation of {validation_images} images: {spread(sooner)} times as fast as {best}; post-processing and "
        f"metric alone {spread(scoring, 1)} times.",
        "",
        "Where the time goes, milliseconds per image (medians of the rounds):",
        "",
        f"| training | {OURS} | {best} |",
        "| --- | ---: | ---: |",
    ]
    lines += part_rows(TRAINING_PARTS, "parts", [(parts[OURS], None), (parts[best], None)])
    lines += ["", f"| evaluation | {OURS} | {best} |", "| --- | ---: | ---: |"]
    scored = [(parts[OURS], validation_images), (parts[best], validation_images)]
    return lines + part_rows(EVALUATION_PARTS, "evaluation parts", scored)


def part_rows(
    names: tuple[str, ...], key: str, columns: Sequence[tuple[list[dict[str, Any]], int | None]]
) -> list[str]:
    """Return one line per part; each column is (rounds, images per round, or None: as the round counted them)."""

    def median(rounds: list[dict[str, Any]], images: int | None, part: str) -> str:
        share = [1e3 * r[key].get(part, 0.0) / (images or r["images"]) for r in rounds]
        return f"{statistics.median(share):.2f}"

    return [f"| {part} | " + " | ".join(median(*column, part) for column in columns) + " |" for part in names]


def machine(options: argparse.Namespace) -> str:
    names = ("torch", "transformers", "accelerate", "torchmetrics", "faster-coco-eval", "albumentations")
    names = names[:-1] if options.plain_example else names
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{processor_name()}, {len(os.sched_getaffinity(0))} cores, {device}. {datetime.date.today()}, Python "
        f"{platform.python_version()}, {versions}. rt_detr_v2 {options.model_size}, {options.image_size} px, batches "
        f"of {options.batch}, {options.rounds} rounds of {options.steps} steps. Medians (smallest - largest)."
        + (" The example without its augmentation, ours with." if options.plain_example else "")
    )


def processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    found = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    real = Path(os.environ.get("RADIKAL_REAL", ROOT.parent / "shared" / "real"))
    parser.add_argument("--data-dir", type=Path, default=real / "neu_det", help="NEU-DET's raw tree")
    parser.add_argument("--model-size", default="nano")
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of worker processes to try for the example"
    )
    parser.add_argument("--threads", type=int, default=0, help="decoding threads on our side; 0: one per core")
    parser.add_argument("--warm-up", type=int, default=6, help="uncounted steps per round")
    parser.add_argument("--steps", type=int, default=30, help="counted steps per round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of ours and the example's best, in turn")
    parser.add_argument("--choosing", type=int, default=1, help="preceding rounds that find its best number of workers")
    parser.add_argument(
        "--plain-example",
        action="store_true",
        help="run the example without augmentation, if albumentations is missing",
    )
    parser.add_argument("--output", type=Path, help="a Markdown file; the rounds are written next to it as .json")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(json.loads(options.serve))
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, Path(folder))
    from radikal_datasets import load_dataset

    scored = load_dataset("radikal_datasets/neu_det", data_dir=str(options.data_dir))["validation"]
    text = "\n".join([machine(options), "", *report(found, len(scored))]) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
        options.output.with_suffix(".json").write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
