"""Train a detector on one source.

python training/train.py training/configs/neu_det.yaml --data_dir /data/NEU-DET --output_dir outputs/neu_det

The first argument may be a yaml file; every key of it can be overridden as `--key value`. Ctrl-C (or SIGTERM) saves a
checkpoint first. docs/training.md tells the rest, and `accelerate launch` for more than one device.
Reads from top to bottom: settings, data, model, optimizer, the loop, the final scores.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # A script has its own folder first on the path. The checkout's root belongs there: it makes `loaders` and
    # `training` importable, and no file here can hide a library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

# Waiting threads sleep instead of spinning: on a machine that others use too, two spinning threads were measured at a
# sixth of one thread's speed. OpenMP reads this when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import ProjectConfiguration, set_seed
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup
from transformers.utils import logging as transformers_logging

from loaders import cpu_cores
from radikal_datasets.errors import RadikalError, SourceNotFoundError
from training import models
from training.checkpoints import Progress, load_model, prepare_output, save_checkpoint, save_model
from training.data import class_names, eval_loader, load_splits, remarks, train_loader
from training.engine import MovingAverage, NonFiniteError, any_rank, evaluate, float32_loss, parameter_groups
from training.folders import check_apart, held, is_first
from training.settings import (
    RUN_SETTINGS,
    Settings,
    SettingsError,
    differences,
    parse,
    resolve_precision,
    save,
    with_config,
)
from training.stopping import StoppedError, StopSignals
from training.usage import help_text

DEFAULT_CONFIG = "gdxray_castings.yaml"


def train(settings: Settings, stop: StopSignals) -> dict[str, Any]:
    """Run the whole training and return what metrics.json holds.

    Raises:
        StoppedError: `stop` got a signal; there is a checkpoint of the last step.
    """
    # --- one accelerator: device, precision, ranks ------------------------------------------------------------------
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "no").lower() in ("1", "true", "yes", "on")
    precision = resolve_precision(settings.mixed_precision, cuda=torch.cuda.is_available() and not on_cpu)
    output_dir = Path(settings.output_dir)
    tracking = settings.report_to != "none" and importlib.util.find_spec(settings.report_to) is not None
    accelerator = Accelerator(
        mixed_precision=precision,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        log_with=settings.report_to if tracking else None,
        project_config=ProjectConfiguration(str(output_dir), logging_dir=str(output_dir / "logs")),
        # A batch without a single box leaves the denoising queries unused.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if accelerator.device.type == "cpu":  # `accelerate launch` leaves one thread unless told otherwise
        torch.set_num_threads(settings.num_threads or max(1, cpu_cores() // accelerator.num_processes))
    if not accelerator.is_main_process:
        transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    set_seed(settings.seed)

    # --- data -------------------------------------------------------------------------------------------------------
    with accelerator.main_process_first():  # the first rank fills the cache
        splits = load_splits(settings)
    names = class_names(splits["train"])
    for line in remarks(splits):
        accelerator.print(line, flush=True)

    # --- model ------------------------------------------------------------------------------------------------------
    if settings.model_name_or_path:
        model = models.from_checkpoint(settings.model_name_or_path, names)
    else:
        model = models.build_model(
            settings.model_type, names, size=settings.model_size, backbone=settings.backbone,
            num_queries=settings.num_queries, num_denoising=settings.num_denoising,
            decoder_layers=settings.decoder_layers,
        )  # fmt: skip
    if settings.backbone_weights:
        models.load_backbone_weights(model, settings.backbone_weights)
    float32_loss(model)
    processor = models.image_processor(model.config.model_type, settings.canvas, settings.model_name_or_path)
    norm = models.normalization(processor)
    loader = train_loader(splits["train"], settings, accelerator, **norm)
    validation = eval_loader(splits, "validation", settings, accelerator, **norm)

    # --- optimizer, schedule, moving average ------------------------------------------------------------------------
    steps_an_epoch = max(1, math.ceil(len(loader) / settings.gradient_accumulation_steps))
    total_steps = settings.max_train_steps or max(1, round(steps_an_epoch * settings.num_train_epochs))
    eval_steps = settings.eval_steps or steps_an_epoch
    checkpoint_steps = settings.checkpointing_steps or steps_an_epoch
    backbone_rate = settings.backbone_learning_rate
    groups = parameter_groups(
        model, settings.learning_rate, settings.learning_rate if backbone_rate is None else backbone_rate,
        settings.weight_decay,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(groups)
    # Not prepared: accelerate would step it once a rank; here a step is an optimizer step whatever the number of ranks.
    schedule = get_cosine_schedule_with_warmup(optimizer, min(settings.warmup_steps, total_steps // 2), total_steps)
    model.to(accelerator.device)  # pyright: ignore[reportArgumentType]
    average = MovingAverage(model, settings.ema_decay)
    model, optimizer = accelerator.prepare(model, optimizer)
    progress = Progress()
    accelerator.register_for_checkpointing(schedule, average, loader, progress)

    # --- where to go on, or a fresh folder --------------------------------------------------------------------------
    with accelerator.main_process_first():
        if accelerator.is_main_process:
            state = prepare_output(output_dir, settings.resume_from_checkpoint, settings.overwrite_output_dir)
        else:  # the folder is ready by now
            state = prepare_output(output_dir, settings.resume_from_checkpoint, True)
    if state is not None:
        accelerator.load_state(str(state))
        accelerator.print(f"resuming from {state} at step {progress.step} of {total_steps}")
        for line in differences(settings, state.parents[1] / RUN_SETTINGS):
            accelerator.print(f"warning: {line}")
    if accelerator.is_main_process and (state is None or not (output_dir / RUN_SETTINGS).is_file()):
        save(settings, output_dir / RUN_SETTINGS)
    if tracking:
        accelerator.init_trackers("tracker", config={k: str(v) for k, v in vars(settings).items()})
    step_images = (
        settings.per_device_train_batch_size * settings.gradient_accumulation_steps * accelerator.num_processes
    )
    parameters = sum(p.numel() for p in accelerator.unwrap_model(model).parameters())
    accelerator.print(
        f"{model_title(accelerator.unwrap_model(model))}, {parameters / 1e6:.1f} million parameters, "
        f"{len(names)} classes, {loader.num_images} training images, {total_steps} steps of {step_images} images "
        f"on {accelerator.num_processes} x {accelerator.device.type}, precision {precision}"
    )
    checkpoints = math.ceil((total_steps - progress.step) / checkpoint_steps)
    accelerator.print(f"checkpoint every {checkpoint_steps} steps, about {checkpoints} of them", flush=True)

    # --- the loop ---------------------------------------------------------------------------------------------------
    bar = tqdm(
        total=total_steps, initial=progress.step, unit="step", disable=not accelerator.is_main_process,
        mininterval=0.5 if sys.stderr.isatty() else 30,
    )  # fmt: skip
    window_loss, window_parts, window_ids = 0.0, 0, list[str]()
    shown_loss, started = math.nan, time.perf_counter()
    model.train()
    stop.in_loop = True
    while progress.step < total_steps:
        for batch in loader:
            with accelerator.accumulate(model):
                window_ids += batch["image_id"]
                inputs = {name: batch[name] for name in ("pixel_values", "pixel_mask", "labels") if name in batch}
                with accelerator.autocast():
                    loss = model(**inputs).loss
                if not any_rank(accelerator, not bool(torch.isfinite(loss.detach()))):
                    accelerator.backward(loss)
                    window_loss, window_parts = window_loss + float(loss.detach()), window_parts + 1
                if not accelerator.sync_gradients:
                    continue
                gradient_norm: Any = math.inf
                if window_parts:
                    gradient_norm = accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
                # With fp16 the GradScaler itself leaves out steps with infinite gradients, while it searches its scale.
                usable = window_parts > 0 and (precision == "fp16" or math.isfinite(gradient_norm))
                if usable:
                    optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            # -- a step is done --------------------------------------------------------------------------------------
            progress.step += 1
            progress.images += len(window_ids) * accelerator.num_processes
            if usable and not accelerator.optimizer_step_was_skipped:
                average.update(accelerator.unwrap_model(model))
                progress.skipped_in_a_row = 0
                shown_loss = window_loss / window_parts
            else:
                progress.scaler_skips += usable
                progress.skipped += not usable
                progress.skipped_in_a_row += 1
                if progress.skipped_in_a_row >= settings.max_nonfinite_steps:
                    raise NonFiniteError(
                        f"{progress.skipped_in_a_row} steps in a row had a loss or gradients that are not numbers, up "
                        f"to step {progress.step} with the images {', '.join(window_ids)}. Lower --learning_rate, take "
                        "--mixed_precision no, or look at these images; what was learnt is in the last checkpoint"
                    )
            window_loss, window_parts, window_ids = 0.0, 0, []
            bar.update(1)
            bar.set_postfix(loss=f"{shown_loss:.3f}", lr=f"{schedule.get_last_lr()[-1]:.1e}", refresh=False)
            if tracking and progress.step % 10 == 0:
                accelerator.log({"loss": shown_loss, "learning_rate": schedule.get_last_lr()[-1]}, step=progress.step)

            # -- scores and checkpoints, at fixed steps and at the end -----------------------------------------------
            last = progress.step == total_steps
            if progress.step % eval_steps == 0 or last:
                progress.seconds, started = progress.seconds + time.perf_counter() - started, math.nan
                subject = average.model if settings.ema_decay else accelerator.unwrap_model(model)
                score(subject, processor, validation, names, accelerator, progress, output_dir, shown_loss)
                if accelerator.is_main_process:
                    save_model(subject, processor, output_dir / "last")
                if tracking and progress.history[-1]["scores"]:
                    numbers = {k: v for k, v in progress.history[-1]["scores"].items() if isinstance(v, float)}
                    accelerator.log({f"validation/{k}": v for k, v in numbers.items()}, step=progress.step)
                model.train()
            told = any_rank(accelerator, stop.signum is not None)
            if progress.step % checkpoint_steps == 0 or last or told:
                if not math.isnan(started):
                    progress.seconds += time.perf_counter() - started
                save_checkpoint(accelerator, output_dir, progress.step, settings.checkpoints_total_limit)
                started = time.perf_counter()
            if told:
                bar.close()
                accelerator.end_training()
                raise StoppedError(stop.signum or signal.SIGTERM, progress.step)
            if math.isnan(started):
                started = time.perf_counter()
            if last:
                break
    bar.close()
    stop.in_loop, stop.step = False, progress.step
    if stop.signum is not None:  # it came behind the last look
        raise StoppedError(stop.signum, progress.step)

    # --- the test split, looked at once, with the weights that validation chose ---------------------------------------
    accelerator.wait_for_everyone()
    test = eval_loader(splits, "test", settings, accelerator, **norm)
    best = load_model(output_dir / "best").to(accelerator.device)  # pyright: ignore[reportArgumentType]
    test_scores = evaluate(best, processor, test, names, accelerator) if test else None
    metrics = {
        "validation": progress.best,
        "test": test_scores,
        "config": {**vars(settings), "precision": precision, "device": accelerator.device.type},
        "training": {
            "steps": progress.step, "best_step": progress.best_step, "seconds": round(progress.seconds, 1),
            "images_per_second": round(progress.images / max(progress.seconds, 1e-9), 2),
            "processes": accelerator.num_processes, "skipped_steps": progress.skipped,
            "scaler_skips": progress.scaler_skips, "parameters": parameters, "history": progress.history,
        },
    }  # fmt: skip
    if accelerator.is_main_process:
        temporary = output_dir / ".metrics.json.part"
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        temporary.replace(output_dir / "metrics.json")
    accelerator.print(
        f"done: best step {progress.best_step}, validation {short(progress.best)}, test {short(test_scores)}, "
        f"{progress.seconds / 60:.1f} minutes of training; {output_dir / 'metrics.json'}"
    )
    accelerator.end_training()
    return metrics


def score(
    model: Any, processor: Any, validation: Any, names: list[str], accelerator: Accelerator, progress: Progress,
    output_dir: Path, loss: float,
) -> None:  # fmt: skip
    """Score on validation, note it, and keep the model as `best/` if it is (or if there is nothing to compare by)."""
    scores = evaluate(model, processor, validation, names, accelerator) if validation else None
    progress.history.append({"step": progress.step, "loss": None if math.isnan(loss) else loss, "scores": scores})
    better = scores is None or progress.best is None or scores["map"] > progress.best["map"]
    if better:
        progress.best, progress.best_step = scores, progress.step
        if accelerator.is_main_process:
            save_model(model, processor, output_dir / "best")
    mark = " (best so far)" if better and scores else ""
    with tqdm.external_write_mode():
        accelerator.print(f"step {progress.step}: loss {loss:.3f}, validation {short(scores)}{mark}", flush=True)


def short(scores: dict[str, Any] | None) -> str:
    """The two numbers one looks at first."""
    return "not scored" if scores is None else f"mAP {scores['map']:.3f} mAP50 {scores['map_50']:.3f}"


def model_title(model: Any) -> str:
    """Such as `rt_detr_v2 with resnet18`."""
    backbone = getattr(getattr(model.config, "backbone_config", None), "backbone", None)
    return model.config.model_type + (f" with {backbone}" if backbone else "")


def main(arguments: list[str] | None = None) -> int:
    """Command line; every error a user can cause is one message without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(help_text("usage: train.py [FILE.yaml] [--key value]...\n\nTrain a detector on one source."))
        return 0
    stop = StopSignals()
    try:
        complete = with_config(arguments, DEFAULT_CONFIG)
        if complete is not arguments and is_first():
            print(f"no configuration file given: took {complete[0]}", file=sys.stderr)
        settings = parse(complete)
        check_apart(settings)
        with stop, held(Path(settings.output_dir)):
            train(settings, stop)
    except StoppedError as stopped:
        if is_first():
            print(stopped, flush=True)
        return stopped.exit_code
    except (SettingsError, models.ModelError, NonFiniteError, RadikalError) as error:
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, SourceNotFoundError):
            print("\nTo see a whole run on made-up images first:  make demo", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
