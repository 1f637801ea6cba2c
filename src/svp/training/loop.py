"""One loop for all stages, on accelerate.

RUN/options.json            the options; a resumed run must have the same
RUN/checkpoints/step_…/     accelerate's state: weights, optimizer, random numbers, EMA
RUN/logs/                   TensorBoard
RUN/model/                  the model with averaged weights, written when the run ends
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    DistributedType,
    GradientAccumulationPlugin,
    ProjectConfiguration,
    set_seed,
)
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import get_wsd_schedule

from svp.errors import InputError
from svp.media.whole_file import writing
from svp.training.device import micro_batch_size, mixed_precision, processes
from svp.training.networks import trainable
from svp.training.options import TrainOptions
from svp.training.preview import animation
from svp.training.progress import TrainProgress
from svp.training.sharding import AveragedWeights, begin_sharding, gather_parameters, whole

KEEP_CHECKPOINTS = 2
OPTIONS_NAME = "options.json"


@dataclass
class Task:
    """What a stage hands to the loop: a loss with its trainable parameters and its samples.

    Attributes:
        objective: module whose forward(batch) gives (loss, figures).
        parameters: those that train, in a fixed order.
        train, validation: samples; item n of `train` follows from (seed, n).
        whole_batches: an item already is the batch of one step.
        preview: makes pictures (F, H, W, 3) uint8 that show what the present weights can do beside the truth.
    """

    objective: nn.Module
    parameters: list[nn.Parameter]
    train: Dataset[dict[str, Tensor]]
    validation: Dataset[dict[str, Tensor]] | None
    whole_batches: bool = False
    preview: Callable[[], np.ndarray] | None = None


def run_stage(task: Task, options: TrainOptions, out: Path, *, max_minutes: float | None) -> int:
    """Train until `options.steps` or the time is up; the parameters end as their moving averages.

    Args:
        out: run folder that `check_run` has passed.

    Returns:
        Steps done in total, earlier sessions of the run included.

    Raises:
        InputError: the loss is no finite number any more.
    """
    state = processes()
    with state.main_process_first():
        if state.is_main_process:
            options.save(out / OPTIONS_NAME)
    accelerator = Accelerator(
        mixed_precision=mixed_precision(options.precision, state.device),
        # a step ends after so many batches, never at the end of a loader: that would depend on where a run resumed
        gradient_accumulation_plugin=GradientAccumulationPlugin(options.accumulate, sync_with_dataloader=False),
        # ReferenceNet's last layers lead nowhere, so some parameters never get a gradient
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(out), logging_dir=str(out / "logs")),
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    set_seed(options.seed)
    task.objective.train()
    optimizer = torch.optim.Adam(task.parameters, lr=options.learning_rate, fused=True)
    share = micro_batch_size(options, accelerator.num_processes) // accelerator.num_processes
    begin_sharding(accelerator, task.objective, share)
    objective, optimizer = accelerator.prepare(task.objective, optimizer)
    task = replace(task, parameters=trainable(objective))  # FSDP puts shards in the place of parameters
    ema = AveragedWeights(task.parameters, options.ema_decay)
    ema.to(accelerator.device)
    accelerator.register_for_checkpointing(ema)

    step = 0
    latest = latest_checkpoint(out)
    if latest is not None:
        accelerator.load_state(str(latest))
        ema.to(accelerator.device)
        step = int(latest.name.removeprefix("step_"))
    # what was logged after the checkpoint will be logged again
    accelerator.init_trackers("svp", init_kwargs={"tensorboard": {"purge_step": step + 1}})
    schedule = _schedule(optimizer, options, step)
    deadline = time.monotonic() + 60 * max_minutes if max_minutes is not None else float("inf")
    batches = _batches(task.train, options, step, task.whole_batches, accelerator)
    micro_batches: list[dict[str, Tensor]] = []  # figures of those done of this step
    with TrainProgress(f"train {options.stage}", options.steps, step, accelerator.is_main_process) as progress:
        for batch in batches:
            with accelerator.accumulate(objective):
                loss, figures = objective(batch)
                accelerator.backward(loss)
                micro_batches.append(figures)
                if not accelerator.sync_gradients:
                    continue
                figures = {name: torch.stack([m[name] for m in micro_batches]).mean() for name in figures}
                norm = accelerator.clip_grad_norm_(task.parameters, options.max_grad_norm)
                figures["gradient_norm"] = whole(norm).to(accelerator.device)
                micro_batches.clear()
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            ema.step(task.parameters)
            step += 1
            values = {name: float(accelerator.reduce(value, "mean")) for name, value in figures.items()}
            if not values["loss"] < float("inf"):
                raise InputError(
                    f"{out}: the loss is {values['loss']} at step {step}; "
                    "begin again with a lower --learning-rate in another --out"
                )
            accelerator.log({f"train/{name}": value for name, value in values.items()}, step=step)
            progress.advance(values)
            late = torch.tensor(float(time.monotonic() > deadline), device=accelerator.device)
            last = step >= options.steps or bool(accelerator.reduce(late, "sum") > 0)  # all processes stop together
            if step % options.validate_every == 0 or last:
                with _averaged(task, ema):
                    progress.validated(_validate(task, objective, accelerator, options, step), step)
            if options.sample_every and (step % options.sample_every == 0 or last):
                with _averaged(task, ema):
                    _show_samples(task, accelerator, step)
            if step % options.checkpoint_every == 0 or last:
                _save_checkpoint(accelerator, out, step)
            if last:
                break
    ema.copy_to(task.parameters)
    gather_parameters(objective)
    for tracker in accelerator.trackers:  # end_training would part the processes, which go on to save the model
        tracker.finish()
    return step


def check_run(out: Path, options: TrainOptions, resume: bool) -> None:
    """Whether a run may begin or go on in this folder, before anything heavy starts; the folder is made.

    Raises:
        InputError: it cannot be made or written, holds something else or a run that `resume` does not ask for, or was
            started with other options.
    """
    path = out / OPTIONS_NAME
    try:
        if path.exists():
            if not resume:
                raise InputError(f"{out}: holds a run already; add --resume to continue it or choose another --out")
            _require_same(out, TrainOptions.load(path), options)
        elif resume:
            raise InputError(f"{out}: holds no run that could be resumed; correct --out or begin without --resume")
        elif out.is_dir() and any(out.iterdir()):
            raise InputError(f"{out}: is no empty folder; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be a run folder ({error.strerror}); choose another --out") from error
    if not os.access(out, os.W_OK):
        raise InputError(f"{out}: no permission to write there; choose another --out")


def _require_same(out: Path, before: TrainOptions, options: TrainOptions) -> None:
    differences = [key for key in type(options).model_fields if getattr(before, key) != getattr(options, key)]
    changed = sorted(set(differences) - {"steps", "sample_every"})  # a run may be made longer, and watched otherwise
    if changed:
        raise InputError(f"{out}: was started with another {', '.join(changed)}; give the same or choose another --out")


def latest_checkpoint(out: Path) -> Path | None:
    """The newest complete checkpoint of a run."""
    found = sorted((out / "checkpoints").glob("step_" + "[0-9]" * 8))
    return found[-1] if found else None


def _schedule(optimizer: torch.optim.Optimizer, options: TrainOptions, step: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Warm-up, constant, decay: the learning rate follows from the number of the step alone, from `step` on."""
    return get_wsd_schedule(
        optimizer,
        options.warmup_steps,
        options.decay_steps,
        num_stable_steps=max(options.steps - options.warmup_steps - options.decay_steps, 0),
        decay_type="linear",
        last_epoch=step - 1,
    )


def _batches(
    samples: Dataset[dict[str, Tensor]], options: TrainOptions, step: int, whole: bool, accelerator: Accelerator
) -> Iterator[dict[str, Tensor]]:
    """Batches from `step` on; the order is that of the sample numbers."""
    first = step if whole else step * options.batch_size
    order = range(first, len(samples))  # type: ignore[arg-type]
    if not order:
        return iter(())
    loader: DataLoader[dict[str, Tensor]] = DataLoader(
        samples,
        batch_size=None if whole else micro_batch_size(options, accelerator.num_processes),
        sampler=order,
        num_workers=1,  # reading runs beside the step
        drop_last=not whole,
    )
    if whole:  # the contrastive batch belongs together: every process takes all of it
        return ({name: value.to(accelerator.device) for name, value in batch.items()} for batch in loader)
    return iter(accelerator.prepare(loader))


@contextmanager
def _averaged(task: Task, ema: EMAModel) -> Iterator[None]:
    """The averaged weights take the place of those in training; no dropout, no gradients."""
    ema.store(task.parameters)
    ema.copy_to(task.parameters)
    task.objective.eval()
    with torch.no_grad():
        yield
    task.objective.train()
    ema.restore(task.parameters)


def _validate(
    task: Task, objective: nn.Module, accelerator: Accelerator, options: TrainOptions, step: int
) -> dict[str, float]:
    """Mean figures over the validation samples, with fixed noise and timesteps."""
    if task.validation is None:
        return {}
    sums: dict[str, float] = {}
    size = micro_batch_size(options, accelerator.num_processes)
    loader = DataLoader(task.validation, batch_size=None if task.whole_batches else size)
    for batch in loader:
        on_device = {key: value.to(accelerator.device) for key, value in batch.items()}
        share = 1 / len(loader)
        if not task.whole_batches:  # the last batch may be smaller
            share = len(next(iter(batch.values()))) / len(loader.dataset)  # type: ignore[arg-type]
        for name, value in objective(on_device)[1].items():
            sums[name] = sums.get(name, 0.0) + share * float(value)
    accelerator.log({f"validation/{name}": value for name, value in sums.items()}, step=step)
    return sums


def _show_samples(task: Task, accelerator: Accelerator, step: int) -> None:
    """Put the stage's preview among the images of TensorBoard; not under FSDP, where no process has whole networks."""
    sharded = accelerator.distributed_type == DistributedType.FSDP
    if task.preview is None or sharded or not accelerator.is_main_process:
        return
    with accelerator.autocast():
        frames = task.preview()
    writer = accelerator.get_tracker("tensorboard", unwrap=True)
    writer.file_writer.add_summary(animation("samples", frames), step)
    writer.flush()


def _save_checkpoint(accelerator: Accelerator, out: Path, step: int) -> None:
    """Write under a partial name, rename when complete, keep the newest two."""
    final = out / "checkpoints" / f"step_{step:08d}"
    partial = final.with_name(final.name + ".partial")
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(final, ignore_errors=True)
    accelerator.wait_for_everyone()
    with writing(partial):
        accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        partial.rename(final)
        kept = sorted((out / "checkpoints").glob("step_" + "[0-9]" * 8))
        for old in kept[:-KEEP_CHECKPOINTS]:
            shutil.rmtree(old)
