"""From options to a task for the loop, and from its result to a model folder that the next stage starts from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from rich.console import Console
from torch import Tensor
from torch.utils.data import Dataset

from svp.datasets.latents import LatentCache, UnencodedLatents, cached_latents
from svp.datasets.manifest import NEUTRAL, Split
from svp.datasets.measured import MeasuredExpressions, SeenDataset, measured_expressions
from svp.datasets.prepared import PreparedDataset
from svp.diffusion.adapters import merge_adapters, save_adapters
from svp.diffusion.denoiser import Denoiser
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.tiny_decoder import TinyDecoder
from svp.diffusion.vae import PatchAutoencoderKL, latent_stride
from svp.errors import InputError
from svp.face.key_points import KEY_POINTS
from svp.media.only_writer import only_writer
from svp.speech.layout import alpha_layout
from svp.style.codes import encode_clips
from svp.style.encoder import AUDIO_STD_FLOOR, StyleEncoder
from svp.training.device import micro_batch_size, mixed_precision, processes
from svp.training.distillation import become_turbo, outgrow_turbo
from svp.training.loop import Task, check_run, latest_checkpoint, run_stage
from svp.training.lora import require_peft, take_adapters
from svp.training.model_folder import began_at_random, load_init, save_model, stages_done
from svp.training.networks import build_objective, style_encoder_of, trainable
from svp.training.objectives import DiffusionObjective, TinyVaeObjective
from svp.training.options import ONLY_FOR, PICTURES, RECIPES, TrainOptions
from svp.training.preview import ClipPreview, PicturePreview
from svp.training.samples import DiffusionSamples, GroupBatches, PictureSamples, visited_timesteps
from svp.training.stages import STAGES, STYLED, Stage

ADAPTERS_NAME = "adapters.safetensors"
VALIDATION_TIMESTEPS = (100, 300, 500, 700, 900)
VALIDATION_GROUP_BATCHES = 8
STATISTICS_CLIPS = 400  # clips from which means and deviations of features are taken


def train(
    options: TrainOptions,
    out: Path,
    *,
    resume: bool,
    max_minutes: float | None,
    dataset: PreparedDataset | None = None,
) -> Path:
    """Run one stage and write `out/model`.

    Args:
        options: preset, stage, data, init and everything else about the run.
        out: run folder.
        resume: go on from the newest checkpoint in `out`.
        max_minutes: stop after this time, save, and leave the rest to --resume.
        dataset: that the options name, if it was opened already.

    Returns:
        The model folder.

    Raises:
        InputError: the folder cannot hold the run, the device cannot compute it as asked, a stage that this one builds
            on is missing, or data and model do not fit together.
    """
    stage = STAGES[options.stage]
    if options.lora:
        require_peft()
    if dataset is None:
        dataset = PreparedDataset(options.data)
    if stage.name != "prior":
        dataset.require_video(f"stage {stage.name}")
    init = Path(options.init) if options.init else None
    state = processes()
    mixed_precision(options.precision, state.device)
    micro_batch_size(options, state.num_processes)
    with only_writer(out, "training in it") if state.is_main_process else nullcontext():
        if state.is_main_process:
            check_run(out, options, resume)
        return _run(options, stage, dataset, init, out, max_minutes)


def _run(
    options: TrainOptions,
    stage: Stage,
    dataset: PreparedDataset,
    init: Path | None,
    out: Path,
    max_minutes: float | None,
) -> Path:
    """`train` in a folder that is this run's."""
    state = processes()
    if "vae" in stage.needs and (options.preset, "vae") not in RECIPES and began_at_random(init):
        raise InputError(
            f"--init: preset {options.preset} needs a model folder with its VAE, Stable Diffusion's; "
            "give one (`svp import sd15`) or train mini"
        )
    pipeline = load_init(options.preset, init, options.seed, dataset.expression_encoder)
    done = stages_done(init)
    missing = [name for name in stage.needs if name not in done and (options.preset, name) in RECIPES]
    if missing:
        raise InputError(f"--init: stage {stage.name} needs {', '.join(missing)} first; run `svp train {missing[0]}`")
    _check_fit(pipeline, dataset, stage)
    if stage.name in ONLY_FOR["deterministic"]:
        _set_deterministic(style_encoder_of(pipeline), options.deterministic)
    fresh = latest_checkpoint(out) is None
    measured = measured_expressions(dataset) if options.measured else None
    task = _build_task(pipeline, dataset, stage, options, fresh, first="motion" not in done, measured=measured)
    steps = run_stage(task, options, out, max_minutes=max_minutes)
    if state.is_main_process:
        if options.lora:
            _merge_lora(pipeline.denoiser, stage, options, out)
        _finish(pipeline, dataset, stage, options, measured)
        settings = options.model_dump(exclude={"stage", "preset", "data", "init"})  # paths say nothing elsewhere
        record = {"stage": stage.name, "preset": options.preset, "data": dataset.root.name, "steps": steps}
        record |= {"random_start": init is None, "options": settings}
        save_model(pipeline, out / "model", init, record)
    state.wait_for_everyone()
    state.destroy_process_group()
    return out / "model"


def _check_fit(pipeline: SVPPipeline, dataset: PreparedDataset, stage: Stage) -> None:
    settings = pipeline.settings
    if dataset.has_video and dataset.size != settings.image_size:
        raise InputError(
            f"{dataset.root}: clips of {dataset.size} pixels, the model makes {settings.image_size}; prepare again"
        )
    pairs = []
    if stage.name == "prior" or stage.name in STYLED:
        pairs.append(("expression", dataset.expression_encoder, settings.expression_encoder))
    if stage.name in ("prior", "motion", *STYLED):
        pairs.append(("audio", dataset.audio_encoder, settings.audio_encoder))
    for kind, has, wants in pairs:
        if has != wants:
            remedy = ", or train a prior on this data without --init" if kind == "expression" else ""
            raise InputError(
                f"{dataset.root}: {kind} features by {has}, the model was built for {wants}; prepare again{remedy}"
            )


def _set_deterministic(encoder: StyleEncoder, deterministic: bool) -> None:
    """Make the style its mean alone if the options say so; what is deterministic must be named so in every later run.

    Raises:
        InputError: if the encoder is deterministic already and the options are not.
    """
    if encoder.config["deterministic"] and not deterministic:
        raise InputError(
            "--init: its style encoder is deterministic; go on with --deterministic, or start from another prior"
        )
    encoder.register_to_config(deterministic=deterministic)


def _build_task(
    pipeline: SVPPipeline,
    dataset: PreparedDataset,
    stage: Stage,
    options: TrainOptions,
    fresh: bool,
    first: bool,
    measured: MeasuredExpressions | None = None,
) -> Task:
    if stage.name in PICTURES:
        return _picture_task(pipeline, dataset, stage, options, fresh)
    if stage.name == "prior":
        encoder = style_encoder_of(pipeline)
        if encoder.config["standardize"] and fresh:
            encoder.set_standardization(*_moments(dataset, "expression"), *_sound_moments(dataset, encoder))
        objective = build_objective(pipeline, stage, options)
        size = encoder.config["style_size"]
        return Task(
            objective,
            trainable(objective),
            GroupBatches(dataset, options, "train", options.steps, size, measured),
            _validation(lambda: GroupBatches(dataset, options, "val", VALIDATION_GROUP_BATCHES, size, measured)),
            whole_batches=True,
        )
    if stage.name == "motion" and fresh and first:
        start_motion(pipeline.denoiser, dataset)
    return _diffusion_task(pipeline, dataset, stage, options, measured)


def _picture_task(
    pipeline: SVPPipeline, dataset: PreparedDataset, stage: Stage, options: TrainOptions, fresh: bool
) -> Task:
    objective, vae = build_objective(pipeline, stage, options), pipeline.vae
    decoder: AutoencoderKL | TinyDecoder = vae
    if isinstance(objective, TinyVaeObjective):
        decoder = objective.decoder
        if fresh and isinstance(vae, PatchAutoencoderKL):
            decoder.start_from(vae.patch_out)
    else:
        pipeline.register_modules(tiny_vae=None)  # it decodes latents that are about to change
        if fresh and isinstance(vae, PatchAutoencoderKL):
            vae.start_from_pca(_pictures(dataset))
    side = dataset.size // latent_stride(vae)
    shape = (vae.config["latent_channels"], side, side)
    pictures = _validation(lambda: PictureSamples(dataset, options, "val", shape))
    return Task(
        objective,
        trainable(objective),
        PictureSamples(dataset, options, "train", shape),
        pictures,
        preview=None if pictures is None else PicturePreview(vae, decoder, pictures),
    )


def _diffusion_task(
    pipeline: SVPPipeline,
    dataset: PreparedDataset,
    stage: Stage,
    options: TrainOptions,
    measured: MeasuredExpressions | None = None,
) -> Task:
    objective = build_objective(pipeline, stage, options)
    assert isinstance(objective, DiffusionObjective)
    outgrow_turbo(pipeline)
    if stage.name == "turbo":
        become_turbo(pipeline, options)
    latents: LatentCache | UnencodedLatents
    if options.latents == "fly":
        side = dataset.size // latent_stride(pipeline.vae)
        latents = UnencodedLatents(dataset, (pipeline.vae.config["latent_channels"], side, side))
    else:
        folder = cached_latents(dataset, pipeline.vae)
        latents = LatentCache(folder, scaling_factor=pipeline.vae.config["scaling_factor"])
    styles = seen_styles = None
    if stage.name in STYLED:
        encoder = style_encoder_of(pipeline)
        styles = encode_clips(encoder, dataset, dataset.accepted()).by_clip()
        if measured is not None:
            seen = SeenDataset(dataset.root, measured)
            seen_styles = encode_clips(encoder, seen, seen.accepted()).by_clip()

    def samples(split: Split, timesteps: tuple[int, ...] = ()) -> DiffusionSamples:
        return DiffusionSamples(
            dataset,
            latents,
            options,
            split,
            latent_stride=latent_stride(pipeline.vae),
            audio_radius=pipeline.audio_radius,
            zero_edges=alpha_layout(pipeline.settings.audio_encoder).zero_edges,
            key_points=KEY_POINTS[pipeline.settings.head_kps],
            scheduler=pipeline.scheduler,
            shared_noise=pipeline.settings.shared_noise,
            styles=styles,
            seen_styles=seen_styles,
            timesteps=timesteps,
        )

    visited = visited_timesteps(pipeline.scheduler, options.few_steps) if options.few_steps else ()
    validation = _validation(lambda: samples("val", visited or VALIDATION_TIMESTEPS))
    return Task(
        objective,
        trainable(objective),
        samples("train"),
        validation,
        preview=None if validation is None else ClipPreview(pipeline, objective, validation),
    )


def start_motion(denoiser: Denoiser, dataset: PreparedDataset) -> None:
    """What happens once when stage `motion` starts: audio attention adds nothing yet, features get their scale."""
    with torch.no_grad():
        for name, parameter in denoiser.unet.named_parameters():
            if name.endswith("attn2.to_out.0.weight"):
                parameter.zero_()
    if denoiser.audio_projection.config["standardize"]:
        mean, std = _moments(dataset, "audio")
        denoiser.audio_projection.feature_mean.copy_(mean)
        denoiser.audio_projection.feature_std.copy_(std.clamp_min(AUDIO_STD_FLOOR * float(std.max())))


def _merge_lora(denoiser: Denoiser, stage: Stage, options: TrainOptions, out: Path) -> None:
    """Keep the adapters as a file of their own, and make them part of the weights."""
    tensors = take_adapters(denoiser, stage)
    save_adapters(out / ADAPTERS_NAME, tensors, {"stage": stage.name, "preset": options.preset})
    merge_adapters(denoiser, tensors)


def _finish(
    pipeline: SVPPipeline,
    dataset: PreparedDataset,
    stage: Stage,
    options: TrainOptions,
    measured: MeasuredExpressions | None,
) -> None:
    """Set what follows from the trained weights: the latents' scale, the neutral code."""
    if stage.name == "vae":
        pipeline.vae.register_to_config(scaling_factor=1.0)
        cache = LatentCache(cached_latents(dataset, pipeline.vae), scaling_factor=1.0)
        rows = dataset.accepted("train")[:STATISTICS_CLIPS]
        generator = torch.Generator().manual_seed(0)
        values = torch.cat([cache.sample(row.clip_id, 0, 1, generator) for row in rows])
        pipeline.vae.register_to_config(scaling_factor=round(1.0 / float(values.std()), 5))
    if stage.name == "prior":
        encoder = style_encoder_of(pipeline)
        neutral = neutral_mean(encoder, dataset)
        if measured is not None:
            seen = neutral_mean(encoder, SeenDataset(dataset.root, measured))
            neutral = torch.lerp(neutral, seen, options.measured)  # in the share in which it was trained on them
        encoder.neutral_code.copy_(neutral)


def neutral_mean(encoder: StyleEncoder, dataset: PreparedDataset) -> Tensor:
    """Mean of mu (D,) over the neutral clips of the training split, over all of it where none is labelled so."""
    rows = dataset.accepted("train")
    neutral = [row for row in rows if row.emotion == NEUTRAL] or rows
    return encode_clips(encoder, dataset, neutral).gaussian.mean.mean(dim=0)


def _moments(dataset: PreparedDataset, feature: str) -> tuple[Tensor, Tensor]:
    """Mean and deviation per channel over training clips with that modality, evenly spread over the dataset."""
    rows = [row for row in dataset.accepted("train") if feature != "audio" or row.has_sound]
    if not rows:
        raise InputError(f"{dataset.root}: no training clip has {feature} features; add clips with sound")
    rows = rows[:: max(len(rows) // STATISTICS_CLIPS, 1)]
    values = np.concatenate([dataset.clip(row.clip_id).features(feature).astype(np.float64) for row in rows])
    return torch.from_numpy(values.mean(0)).float(), torch.from_numpy(values.std(0)).float()


def _sound_moments(dataset: PreparedDataset, encoder: StyleEncoder) -> tuple[Tensor, Tensor]:
    """Moments of alpha; the encoder's own, with a word on stderr, where no training clip has sound."""
    if any(row.has_sound for row in dataset.accepted("train")):
        return _moments(dataset, "audio")
    Console(stderr=True).print("no training clip has sound: styles are learned from expressions alone")
    return encoder.audio_mean, encoder.audio_std


def _pictures(dataset: PreparedDataset) -> Tensor:
    """One frame of each of STATISTICS_CLIPS training clips, (B, 3, H, W) in [-1, 1]."""
    rows = dataset.accepted("train")
    rows = rows[:: max(len(rows) // STATISTICS_CLIPS, 1)]
    frames = np.stack([dataset.clip(row.clip_id).frames(row.frames // 2, row.frames // 2 + 1)[0] for row in rows])
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def _validation(make: Callable[[], Dataset[dict[str, Tensor]]]) -> Dataset[dict[str, Tensor]] | None:
    """Validation samples, or None with a word on stderr: a small dataset trains without them."""
    try:
        return make()
    except InputError as error:
        Console(stderr=True).print(f"no validation: {error}", highlight=False)
        return None
