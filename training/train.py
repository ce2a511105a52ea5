"""Train a detector on one source.

python training/train.py training/configs/neu_det.yaml --data_dir /data/NEU-DET --output_dir outputs/neu_det

The first argument may be a YAML file; `--key value` overrides any of its keys. Ctrl-C (or SIGTERM) saves a checkpoint
first. For the details, and `accelerate launch` on several devices, see docs/training.md.
Reads from top to bottom: settings, data, model, optimizer, the loop, the final scores.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Python puts a script's own folder first on the path. Replace it by the checkout's root, so that `loaders` and
    # `training` can be imported and no file in this folder shadows a library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from training.run.arguments import exit_early

    exit_early("train")

# Waiting threads sleep instead of spinning: on a shared machine, two spinning threads were measured at a sixth of one
# thread's speed. OpenMP reads this when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import ProjectConfiguration, set_seed
from tqdm.auto import tqdm
from transformers import get_wsd_schedule
from transformers.utils import logging as transformers_logging

from loaders import cpu_cores
from radikal_datasets.errors import RadikalError, SourceNotFoundError
from radikal_datasets.files import write_atomically
from training.audit.leak_check import check_data
from training.audit.page import write_audit
from training.models.families import model_title
from training.models.inputs import model_inputs
from training.run.accumulation import accumulation_steps, scale_of_step
from training.run.arguments import exit_early
from training.run.averaging import MovingAverage
from training.run.checkpoints import Progress, keep_threshold, prepare_output, save_checkpoint, save_model
from training.run.data import augmentation, load_splits, remarks
from training.run.data_record import data_record
from training.run.head_first import check_one_process, train_head
from training.run.optimization import (
    any_rank,
    parameter_groups,
    peak_gpu_memory_mib,
    too_many_nonfinite,
    training_mode,
)
from training.run.output_dir import check_apart, held, is_first
from training.run.proposing import named_settings, recipe_for
from training.run.run_record import record_start
from training.run.settings import (
    RUN_SETTINGS,
    Settings,
    check_tracker,
    differences,
    parse,
    resolve_precision,
    with_config,
)
from training.run.signals import StoppedError, StopSignals
from training.run.synthetic import NOTICE_AFTER, NOTICE_BEFORE, falls_back, synthetic_settings
from training.tasks import TASKS
from training.tasks.final_reports import final_reports, scores_and_points
from training.tasks.validation import score


def train(
    settings: Settings,
    stop: StopSignals,
    *,
    synthetic: bool = False,
    named: dict[str, Any] | None = None,
    started_from: str = "",
) -> dict[str, Any]:
    """Run the complete training and return the content of metrics.json.

    Args:
        synthetic: written to metrics.json, so that no one takes these scores for those of real images.
        named: the settings to which the others are proposed, see `proposing`; None: nothing is proposed.
        started_from: the file of the recipe, for the record; "" if unknown.

    Raises:
        StoppedError: a signal arrived; there is a checkpoint of the last step.
    """
    # --- one accelerator: device, precision, ranks ------------------------------------------------------------------
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available():
        # Otherwise accelerate would not connect CPU processes, and each would be a separate run in the same folder.
        os.environ.setdefault("ACCELERATE_USE_CPU", "true")
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "no").lower() in ("1", "true", "yes", "on")
    precision = resolve_precision(settings.mixed_precision, cuda=torch.cuda.is_available() and not on_cpu)
    output_dir = Path(settings.output_dir)
    check_tracker(settings.report_to)
    tracking = settings.report_to != "none"
    accelerator = Accelerator(
        mixed_precision=precision,
        log_with=settings.report_to if tracking else None,
        project_config=ProjectConfiguration(str(output_dir), logging_dir=str(output_dir / "logs")),
        # A batch without a single box leaves the denoising queries unused.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if accelerator.device.type == "cpu":  # `accelerate launch` sets one thread by default
        torch.set_num_threads(settings.num_threads or max(1, cpu_cores() // accelerator.num_processes))
    if not accelerator.is_main_process:
        transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    set_seed(settings.seed)

    # --- data -------------------------------------------------------------------------------------------------------
    with accelerator.main_process_first():  # the first rank fills the cache
        splits = load_splits(settings)
    recipe = None if named is None else recipe_for(settings, splits["train"], named)
    if recipe is not None:
        settings = recipe.settings
        accelerator.print(recipe.table(), flush=True)
    for line in remarks(splits):
        accelerator.print(line, flush=True)

    # --- the task: model and batches ----------------------------------------------------------------------------------
    task = TASKS[settings.task](settings, splits, accelerator)
    model, loader = task.model, task.loader
    validation = task.eval_loader("validation")

    # --- optimizer, schedule, moving average ------------------------------------------------------------------------
    steps_an_epoch = max(1, math.ceil(len(loader) / settings.gradient_accumulation_steps))
    total_steps = settings.max_train_steps or max(1, round(steps_an_epoch * settings.num_train_epochs))
    eval_steps = settings.eval_steps or steps_an_epoch
    checkpoint_steps = settings.checkpointing_steps or steps_an_epoch
    rate, backbone_rate = settings.learning_rate, settings.backbone_learning_rate
    groups = parameter_groups(model, rate, rate if backbone_rate is None else backbone_rate, settings.weight_decay)
    # Fused costs a third on a CPU. On a GPU it would take a step that the GradScaler means to skip on itself, unseen.
    optimizer = torch.optim.AdamW(groups, fused=accelerator.device.type == "cpu")
    # Not prepared: accelerate would step it once a rank; here a step is an optimizer step whatever the number of ranks.
    warmup = min(settings.warmup_steps, total_steps // 2)
    flat = (total_steps - warmup) // 2 if settings.lr_scheduler_type == "flat_cosine" else 0
    schedule = get_wsd_schedule(optimizer, warmup, total_steps - warmup - flat, num_stable_steps=flat)
    # Convolutions are faster with channels last: by a tenth of a step's processor time on a CPU. And on a CPU, PyTorch
    # 2.14.1 has wrong gradients of batch norms without it, in batches of one image (tests/training/test_gray.py).
    model.to(accelerator.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    average = MovingAverage(model, settings.ema_decay)
    model, optimizer = accelerator.prepare(model, optimizer)
    progress = Progress()
    accelerator.register_for_checkpointing(schedule, average, loader, progress)

    # --- resume, or start in a fresh folder -------------------------------------------------------------------------
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
    if state is None and settings.head_first_epochs:
        check_one_process(accelerator.num_processes)
        train_head(accelerator.unwrap_model(model), loader, settings, folded=task.folded, shown=True)
        average.restart(accelerator.unwrap_model(model))
    if accelerator.is_main_process:
        record_start(settings, output_dir, started_from, recipe, resumed=state is not None)
    if tracking:
        accelerator.init_trackers("tracker", config={k: str(v) for k, v in vars(settings).items()})
    step_images = (
        settings.per_device_train_batch_size * settings.gradient_accumulation_steps * accelerator.num_processes
    )
    parameters = sum(p.numel() for p in accelerator.unwrap_model(model).parameters())
    title = model_title(accelerator.unwrap_model(model))
    accelerator.print(
        f"{title}, {parameters / 1e6:.1f} million parameters, "
        f"{len(task.class_names)} classes, {loader.num_images} training images, {total_steps} steps of {step_images} "
        f"images on {accelerator.num_processes} x {accelerator.device.type}, precision {precision}"
    )
    checkpoints = math.ceil((total_steps - progress.step) / checkpoint_steps)
    accelerator.print(f"checkpoint every {checkpoint_steps} steps, about {checkpoints} of them", flush=True)

    # --- the loop ---------------------------------------------------------------------------------------------------
    bar = tqdm(
        total=total_steps,
        initial=progress.step,
        unit="step",
        disable=not accelerator.is_main_process,
        mininterval=0.5 if sys.stderr.isatty() else 30,
    )
    plain_from = total_steps - round(settings.plain_epochs * steps_an_epoch)
    augments = augmentation(settings), augmentation(settings, plain=True)
    steps = accumulation_steps(
        loader, settings.gradient_accumulation_steps, accelerator, task.weight, world_boxes=task.world_boxes
    )
    shown_loss, started = math.nan, time.perf_counter()
    training_mode(model, freeze_batch_norms=settings.freeze_batch_norms)
    stop.in_loop = True
    done = progress.step >= total_steps or progress.should_stop_early(settings.early_stopping_patience)
    while not done:
        # -- one optimizer step: forward and backward of its batches, as if they were one batch ------------------------
        loader.augment = augments[progress.step >= plain_from]
        accumulated = next(steps)
        size = scale_of_step(settings.canvas, settings.multi_scale, settings.seed, progress.step)
        step_loss = torch.zeros((), device=accelerator.device)
        for number, (batch, weight) in enumerate(zip(accumulated.batches, accumulated.weights, strict=True), start=1):
            inputs = model_inputs(batch, folded=task.folded, size=size, labels=True)
            together = number == len(accumulated.batches)  # ranks exchange gradients once a step
            with contextlib.nullcontext() if together else accelerator.no_sync(model):
                with accelerator.autocast():
                    loss = model(**inputs).loss * weight
                accelerator.backward(loss)
            step_loss += loss.detach()
            del batch, inputs, loss
        # The mean over all ranks is non-finite if one rank's is: they skip a step together, or would wait forever.
        mean_loss = float(accelerator.reduce(step_loss, "mean"))  # pyright: ignore[reportArgumentType]
        finite = math.isfinite(mean_loss)
        if finite:
            norm = accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            # With fp16 the GradScaler itself skips steps with infinite gradients, while it searches for its scale.
            finite = precision == "fp16" or math.isfinite(norm)  # pyright: ignore[reportArgumentType]
        if finite:
            optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        # -- a step is done --------------------------------------------------------------------------------------------
        progress.step += 1
        progress.images += len(accumulated.image_ids) * accelerator.num_processes
        progress.wait_seconds += accumulated.wait_seconds
        if finite and not accelerator.optimizer_step_was_skipped:
            average.update(accelerator.unwrap_model(model))
            progress.skipped_in_a_row = 0
            shown_loss = mean_loss
        else:
            progress.scaler_skips += finite
            progress.skipped += not finite
            progress.skipped_in_a_row += 1
            if progress.skipped_in_a_row >= settings.max_nonfinite_steps:
                raise too_many_nonfinite(progress.skipped_in_a_row, progress.step, accumulated.image_ids)
        bar.update(1)
        waiting = progress.wait_seconds / max(1e-9, progress.seconds + time.perf_counter() - started)
        bar.set_postfix(
            loss=f"{shown_loss:.3f}", lr=f"{schedule.get_last_lr()[-1]:.1e}", wait=f"{waiting:.0%}", refresh=False
        )
        if tracking and progress.step % 10 == 0:
            accelerator.log(
                {"loss": shown_loss, "learning_rate": schedule.get_last_lr()[-1], "wait": waiting}, step=progress.step
            )

        # -- scores and checkpoints, at fixed steps and at the end -----------------------------------------------------
        done = progress.step == total_steps
        progress.seconds, started = progress.seconds + time.perf_counter() - started, math.nan
        if progress.step % eval_steps == 0 or done:
            evaluated = average.model if settings.ema_decay else accelerator.unwrap_model(model)
            score(evaluated, task, validation, accelerator, progress, output_dir, shown_loss)
            if accelerator.is_main_process:
                save_model(evaluated, task.processor, output_dir / "last")
            if tracking and progress.history[-1]["scores"]:
                numbers = {k: v for k, v in progress.history[-1]["scores"].items() if isinstance(v, float)}
                accelerator.log({f"validation/{k}": v for k, v in numbers.items()}, step=progress.step)
            training_mode(model, freeze_batch_norms=settings.freeze_batch_norms)
            if not done and progress.should_stop_early(settings.early_stopping_patience):
                accelerator.print(f"Stopped early: no better score since step {progress.best_step}.", flush=True)
                done = True
        stopping = any_rank(accelerator, stop.signum is not None)
        if progress.step % checkpoint_steps == 0 or done or stopping:
            save_checkpoint(accelerator, output_dir, progress.step, settings.checkpoints_total_limit)
        if stopping:
            bar.close()
            accelerator.end_training()
            raise StoppedError(stop.signum or signal.SIGTERM, progress.step)
        started = time.perf_counter()
    bar.close()
    stop.in_loop, stop.step = False, progress.step
    if stop.signum is not None:  # it arrived after the last check
        raise StoppedError(stop.signum, progress.step)

    # --- the test split, evaluated once, with the weights chosen on validation ----------------------------------------
    accelerator.wait_for_everyone()
    reports, threshold = final_reports(task, task.load(output_dir / "best"), validation, output_dir / "report")
    if accelerator.is_main_process and threshold is not None:
        keep_threshold(output_dir / "best", threshold)
    about = {"processes": accelerator.num_processes, "model": title, "parameters": parameters}
    metrics = {
        "synthetic": synthetic,
        **scores_and_points(reports, threshold, progress.best),
        "config": {**vars(settings), "precision": precision, "device": accelerator.device.type},
        "training": {**progress.counts_and_rates(), **about, "peak_gpu_memory_mib": peak_gpu_memory_mib()},
    }
    if accelerator.is_main_process:
        metrics["data"] = data_record(settings, splits)
        write_atomically(output_dir / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    accelerator.print(
        f"done: best step {progress.best_step}, validation {task.short(progress.best)}, test "
        f"{task.short(metrics['test'])}, {progress.seconds / 60:.1f} minutes of training; {output_dir / 'metrics.json'}"
    )
    accelerator.end_training()
    if accelerator.is_main_process:
        check_data(output_dir, splits)
        write_audit(output_dir)
    return metrics


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; every error a user can cause is one message without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    exit_early("train", arguments)
    stop = StopSignals()
    try:
        complete = with_config(arguments)
        settings = parse(complete)
        synthetic = falls_back(arguments, settings)
        if synthetic:
            settings = synthetic_settings(arguments)
            if is_first():
                print(NOTICE_BEFORE, flush=True)
        elif complete is not arguments and is_first():
            print(f"no configuration file given: took {complete[0]}", file=sys.stderr)
        check_apart(settings)
        with stop, held(Path(settings.output_dir)):
            given = {} if synthetic else {"named": named_settings(arguments, complete), "started_from": complete[0]}
            train(settings, stop, synthetic=synthetic, **given)
        if synthetic and is_first():
            print(NOTICE_AFTER, flush=True)
    except StoppedError as stopped:
        if is_first():
            print(stopped, flush=True)
        return stopped.exit_code
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, SourceNotFoundError):
            print("\nTo see a complete run on synthetic images first: radikal-datasets demo", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
