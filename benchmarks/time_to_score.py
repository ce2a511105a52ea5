"""How much processor time does a detector of NEU-DET need for validation AP50 0.50? Ours, and two well-known trainers.

    time_to_score.py ours NEU-DET WORK                 our CPU recipe, backbone with ImageNet weights
    time_to_score.py ours NEU-DET WORK --random        the same, random weights
    time_to_score.py transformers NEU-DET WORK --python ENV/bin/python --script run_object_detection.py
    time_to_score.py ultralytics NEU-DET WORK --python ENV/bin/python
    time_to_score.py --table

Each side is started as a command on one thread, a peer in an environment of its own: nothing of it is imported here,
and no weights of it are used. All sides train on the frozen train split alone. A peer saves its model after every epoch
instead of evaluating it; it is stopped meanwhile, its predictions on the frozen validation split are scored by the same
COCO evaluation as ours, and it ends when the score is reached or 90 processor minutes are used. What counts is the
processor time of the process and its children, without evaluations. `--script` is transformers' own example
(examples/pytorch/object-detection in its repository); its model is the smallest RT-DETR that a configuration describes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "time_to_score"
TARGET, CAP_MINUTES, EDGE, BATCH = 0.50, 90.0, 192, 16
EPOCH = 78  # steps of 16 images: the frozen train split has 1,260, and a last, smaller batch is left out
ENVIRONMENT = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    **dict.fromkeys(("HF_HUB_OFFLINE", "YOLO_OFFLINE", "DO_NOT_TRACK"), "1"),
    "OMP_WAIT_POLICY": "passive",
    "PYTHONPATH": str(ROOT),
}

Point = dict[str, float]


def processor_seconds(process: psutil.Process) -> float:
    """Return the processor time of a process and its children, those that ended included."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    ended = process.cpu_times()
    return total + ended.children_user + ended.children_system


def run_peer(
    command: list[str], log: Path, saved: Callable[[], list[Path]], score: Callable[[Path], float]
) -> list[Point]:
    """Run a command until one of its models is good enough; return the score of each and the time until then.

    Args:
        command: the trainer.
        log: takes its output.
        saved: returns the models it has completely saved, oldest first.
        score: returns the AP50 of a model on validation.
    """
    points: list[Point] = []
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd=log.parent)
        process, seen = psutil.Process(child.pid), 0
        try:
            while True:
                ended = child.poll() is not None
                found = saved()
                used = points[-1]["processor_minutes"] if ended and points else processor_seconds(process) / 60
                if len(found) > seen:
                    process.suspend()
                    value = score(found[-1])
                    process.resume()
                    points.append({"epoch": len(found), "processor_minutes": round(used, 2), "ap50": round(value, 4)})
                    print(points[-1], flush=True)
                    seen = len(found)
                if ended or used > CAP_MINUTES or (points and points[-1]["ap50"] >= TARGET):
                    break
                time.sleep(0.5)
        finally:
            if child.poll() is None:
                process.resume()
                child.terminate()
            child.wait()
    if child.returncode and not points:
        raise SystemExit(f"{command[0]} ended with {child.returncode}; see {log}")
    return points


def run_ours(data: str, work: Path, *, random: bool) -> list[Point]:
    """Run our recipe with an evaluation per epoch, which the run itself leaves out of the time it notes."""
    output = work / ("ours-random" if random else "ours")
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, str(ROOT / "training" / "train.py"), "neu_det", "--data_dir", data]
    command += ["--output_dir", str(output), "--eval_steps", str(EPOCH), "--num_threads", "1", "--report_to", "none"]
    command += ["--backbone_weights", "null"] if random else []
    child = subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        print(line, end="", flush=True)
        if line.startswith("step ") and " mAP50 " in line:
            reached = float(line.split(" mAP50 ")[1].split()[0]) >= TARGET
            if reached or processor_seconds(psutil.Process(child.pid)) > 60 * CAP_MINUTES:
                child.send_signal(signal.SIGTERM)  # it saves a checkpoint, which has the history
    child.wait()
    return [
        {
            "epoch": round(entry["step"] / EPOCH, 1),
            "processor_minutes": round(seconds / 60, 2),
            "ap50": round(entry["scores"]["map_50"], 4),
        }
        for entry, seconds in scored(output)
    ]


def scored(output: Path) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield the validations that the last checkpoint of our run holds, with the processor seconds until then."""
    import torch

    state = max(output.glob("checkpoint-*/state"), key=lambda path: int(path.parent.name.rpartition("-")[2]))
    for file in sorted(state.glob("custom_checkpoint_*.pkl")):
        content = torch.load(file, weights_only=False)
        if isinstance(content, dict) and "scored_after" in content:
            yield from zip(content["history"], content["scored_after"], strict=True)


# --- the peers --------------------------------------------------------------------------------------------------------


class Validation:
    """The frozen validation split, and the COCO score of predictions on it."""

    def __init__(self, data: str) -> None:
        from radikal_datasets import load_dataset

        self.rows = load_dataset("radikal_datasets/neu_det", data_dir=data)["validation"]
        self.names: list[str] = self.rows.features["labels"].feature.names
        self.truth = [{"boxes": row["boxes"], "labels": row["labels"]} for row in self.rows.remove_columns("image")]

    def ap50(self, predictions: list[dict[str, Any]]) -> float:
        """Return AP50 of boxes (x_min, y_min, x_max, y_max in pixels), scores and labels, one dict per image."""
        from training.scoring.detection_map.detection_map import evaluate_coco, scores_of

        return scores_of(evaluate_coco(predictions, self.truth, self.names), self.names)["map_50"]


def run_transformers(options: argparse.Namespace, validation: Validation) -> list[Point]:
    """transformers' example on an export in its own format; scored through its Auto classes."""
    work = options.work / "transformers"
    export(options.data, work / "data", "objects")
    start = work / "start"
    subprocess.run([options.python, "-c", _SMALLEST, str(start)], check=True, env=ENVIRONMENT)
    output = work / "run"
    command = [options.python, str(options.script.resolve()), "--model_name_or_path", str(start)]
    command += [
        "--dataset_name",
        str(work / "data"),
        "--output_dir",
        str(output),
        "--do_train",
        "--eval_strategy",
        "no",
    ]
    command += ["--save_strategy", "epoch", "--image_square_size", str(EDGE), "--num_train_epochs", str(options.epochs)]
    command += ["--per_device_train_batch_size", str(BATCH), "--learning_rate", options.rate, "--use_cpu", "true"]
    command += ["--ignore_mismatched_sizes", "true", "--remove_unused_columns", "false", "--report_to", "none"]
    command += ["--eval_do_concat_batches", "false", "--save_total_limit", "2", "--weight_decay", "1e-4"]
    done: list[Path] = []

    def saved() -> list[Path]:
        done.extend(path for path in sorted(output.glob("checkpoint-*/trainer_state.json")) if path not in done)
        return done

    return run_peer(
        command, work / "log.txt", saved, lambda file: validation.ap50(_by_transformers(file.parent, validation))
    )


#: Writes the smallest RT-DETR there is a configuration for (ResNet-18's depths), random weights, and its processor.
_SMALLEST = """
import sys
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig
backbone = RTDetrResNetConfig(
    embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic",
    out_features=["stage2", "stage3", "stage4"],
)
config = RTDetrConfig(
    backbone_config=backbone, encoder_in_channels=[128, 256, 512], hidden_expansion=0.5, decoder_layers=3, num_labels=6,
)
RTDetrForObjectDetection(config).save_pretrained(sys.argv[1])
RTDetrImageProcessor().save_pretrained(sys.argv[1])
"""


def _by_transformers(folder: Path, validation: Validation) -> list[dict[str, Any]]:
    import torch
    from transformers import AutoImageProcessor, AutoModelForObjectDetection

    model, processor = (kind.from_pretrained(folder) for kind in (AutoModelForObjectDetection, AutoImageProcessor))
    model.eval()
    found = []
    for start in range(0, len(validation.rows), BATCH):
        images = [image.convert("RGB") for image in validation.rows[start : start + BATCH]["image"]]
        with torch.no_grad():
            outputs = model(**{"pixel_values": processor(images, return_tensors="pt")["pixel_values"]})
        sizes = [image.size[::-1] for image in images]
        found += processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
    return [{key: value.numpy() for key, value in one.items()} for one in found]


def run_ultralytics(options: argparse.Namespace, validation: Validation) -> list[Point]:
    """ultralytics' smallest current detector from its description, without weights; its own command predicts, too."""
    work = options.work / "ultralytics"
    export(options.data, work / "data", "yolo")
    yolo = Path(options.python).parent / "yolo"
    command = [
        str(yolo),
        "detect",
        "train",
        "model=yolo11n.yaml",
        f"data={work / 'data' / 'data.yaml'}",
        "pretrained=False",
    ]
    command += [f"imgsz={EDGE}", f"batch={BATCH}", f"epochs={options.epochs}", "device=cpu", "workers=0", "val=False"]
    command += ["save_period=1", f"project={work}", "name=run", "exist_ok=True", "plots=False", "amp=False"]
    weights = work / "run" / "weights"

    def saved() -> list[Path]:
        # The newest may still be written: it counts once it has not changed for a second.
        found = sorted(weights.glob("epoch*.pt"), key=lambda path: int(path.stem.removeprefix("epoch")))
        return [path for path in found if time.time() - path.stat().st_mtime > 1]

    def score(file: Path) -> float:
        shutil.rmtree(work / "found", ignore_errors=True)
        predict = [str(yolo), "detect", "predict", f"model={file}", f"source={work / 'data' / 'images' / 'val'}"]
        predict += ["conf=0.001", "max_det=100", "save=False", "save_txt=True", "save_conf=True", f"imgsz={EDGE}"]
        predict += [f"project={work}", "name=found", "device=cpu", "verbose=False"]
        subprocess.run(predict, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL, cwd=work)
        return validation.ap50([_yolo_lines(work / "found" / "labels", row) for row in validation.rows])

    return run_peer(command, work / "log.txt", saved, score)


def _yolo_lines(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    file = folder / f"{row['image_id'].replace('/', '__')}.txt"
    found: dict[str, Any] = {"boxes": [], "scores": [], "labels": []}
    for line in file.read_text().splitlines() if file.is_file() else ():
        label, x, y, width, height, score = map(float, line.split())
        left, top = (x - width / 2) * row["width"], (y - height / 2) * row["height"]
        found["boxes"].append([left, top, left + width * row["width"], top + height * row["height"]])
        found["scores"].append(score)
        found["labels"].append(int(label))
    return found


def export(data: str, folder: Path, form: str) -> None:
    """Export the frozen splits, unless that was done."""
    from radikal_datasets.export import export_sets

    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        export_sets("neu_det", format=form, output=folder, data_dir=data)


# --- the table --------------------------------------------------------------------------------------------------------


def record(side: str, points: list[Point], options: argparse.Namespace) -> Path:
    """Write the result of a side."""
    reached = next((one for one in points if one["ap50"] >= TARGET), None)
    RESULTS.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short=8", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    versions = [options.python or sys.executable, "-c", _VERSIONS]
    result = {
        "side": side,
        "reached": reached,
        "best": max(points, key=lambda one: one["ap50"], default=None),
        "points": points,
        "commit": commit.stdout.strip(),
        "versions": json.loads(subprocess.run(versions, capture_output=True, text=True, check=True).stdout),
        "settings": {"epochs": options.epochs, "rate": options.rate}
        if options.python
        else "training/configs/neu_det.yaml",
        "note": options.note,
    }
    file = RESULTS / f"{side}.json"
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return file


_VERSIONS = """
import importlib.metadata, json
there = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
print(json.dumps({name: there[name] for name in ("torch", "transformers", "ultralytics", "timm") if name in there}))
"""


def table() -> str:
    """Return all results as a Markdown table."""
    rows = [
        "| side | versions | AP50 0.50 after | best AP50 | at minute | epochs | commit |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for file in sorted(RESULTS.glob("*.json")):
        one = json.loads(file.read_text(encoding="utf-8"))
        minutes = "{:.1f} minutes".format(one["reached"]["processor_minutes"]) if one["reached"] else "not reached"
        best, versions = one["best"], ", ".join(f"{name} {number}" for name, number in one["versions"].items())
        rows.append(
            f"| {one['side']} | {versions} | {minutes} | {best['ap50']:.3f} | {best['processor_minutes']:.1f} | "
            f"{one['points'][-1]['epoch']:g} | {one['commit']} |"
        )
    return "\n".join(rows) + "\n"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", nargs="?", choices=["ours", "transformers", "ultralytics"])
    parser.add_argument("data", nargs="?", help="the raw tree of NEU-DET")
    parser.add_argument("work", nargs="?", type=Path, help="a folder for exports and runs")
    parser.add_argument("--random", action="store_true", help="ours: a backbone with random weights")
    parser.add_argument("--python", help="of a peer's environment")
    parser.add_argument("--script", type=Path, help="transformers' run_object_detection.py")
    parser.add_argument("--epochs", type=int, default=100, help="that a peer trains at most (default: %(default)s)")
    parser.add_argument("--rate", default="1e-4", help="learning rate of transformers' example (default: %(default)s)")
    parser.add_argument("--note", help="a remark, such as what else the machine was doing")
    parser.add_argument("--table", action="store_true", help="only print the table of all results")
    options = parser.parse_args()
    if not options.table:
        if options.side is None or options.work is None:
            parser.error("name a side, the raw tree and a folder, or pass --table")
        options.work = options.work.resolve()
        options.work.mkdir(parents=True, exist_ok=True)
        if options.side == "ours":
            points = run_ours(options.data, options.work, random=options.random)
        else:
            run = run_transformers if options.side == "transformers" else run_ultralytics
            points = run(options, Validation(options.data))
        print(f"wrote {record(options.side + '-random' * options.random, points, options)}")
    text = table()
    RESULTS.with_suffix(".md").write_text(
        f"# Time to a score\n\nSee benchmarks/time_to_score.py.\n\n{text}", encoding="utf-8"
    )
    print(text)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
