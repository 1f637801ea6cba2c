"""`svp train`: the stages of training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from svp.cli.model import show_terms

Stage = Literal["prior", "vae", "appearance", "motion", "style", "turbo", "tiny-vae"]


def train(
    stage: Annotated[Stage, typer.Argument(help="What to train; each stage builds on those before.")],
    data: Annotated[Path, typer.Option(help="Prepared dataset.")],
    out: Annotated[Path, typer.Option(help="Run folder: checkpoints, TensorBoard logs, and the model at the end.")],
    preset: Annotated[Literal["mini", "base"], typer.Option(help="Sizes and recipe.")] = "mini",
    init: Annotated[
        Path | None, typer.Option(help="Run or model folder to start from, or a shipped model's name.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in OUT.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps; the recipe's by default.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Samples per optimizer step, over all processes and micro-batches.")
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(min=1, help="Micro-batches per optimizer step: N take 1/N of a batch's memory and give the same."),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam.")] = None,
    decay_steps: Annotated[
        int | None, typer.Option(min=0, help="Let the learning rate fall to zero over this many last steps.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Consecutive frames per sample (motion, style).")] = None,
    expression_weight: Annotated[
        float | None, typer.Option(help="Loss weight around mouth, eyes and brows; 1 is the paper's Eq. 1.")
    ] = None,
    min_snr_gamma: Annotated[
        float | None, typer.Option(help="Min-SNR weighting of the diffusion steps, 5 in its paper; off by default.")
    ] = None,
    change_weight: Annotated[
        float | None,
        typer.Option(help="Loss weight of how each frame changes to the next (motion, style); 0 is the paper's Eq. 1."),
    ] = None,
    few_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Half of the samples are noised to the levels that sampling in so many steps visits, which makes "
            "these few steps better.",
        ),
    ] = None,
    few_steps_share: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="With --few-steps: share of the samples at these levels, 0.5.")
    ] = None,
    unroll: Annotated[
        bool | None,
        typer.Option(
            "--unroll",
            help="With --few-steps: a later step learns from what the model itself makes of noise in the steps before, "
            "as in sampling, not from noised truth.",
        ),
    ] = None,
    picture_weight: Annotated[
        float | None,
        typer.Option(
            min=0, help="Loss weight of the decoded prediction, L1 and SSIM against the truth; 0 is the paper's Eq. 1."
        ),
    ] = None,
    reference_elsewhere: Annotated[
        float | None,
        typer.Option(help="Chance that the reference frame is of another clip of the person (appearance, motion)."),
    ] = None,
    train_spatial: Annotated[
        bool | None,
        typer.Option(
            help="Motion: also train the UNet's other layers; style: the whole UNet, ReferenceNet, guider and audio "
            "projection too."
        ),
    ] = None,
    lora: Annotated[
        int | None,
        typer.Option(min=1, help="Train low-rank adapters of this rank (8, say) instead of the layers: less memory."),
    ] = None,
    latents: Annotated[
        Literal["cached", "fly"] | None,
        typer.Option(help="Encode frames once and keep them beside the dataset, or anew in every step."),
    ] = None,
    group_levels: Annotated[
        bool | None,
        typer.Option(
            "--group-levels", help="Prior: tell the intensities of an emotion apart; the paper takes them as one."
        ),
    ] = None,
    modality_dropout: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Prior: chance that a clip is shown without its expressions or its sound."),
    ] = None,
    measured: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Prior and style, of puppets: chance that expressions measured in the frames stand for the true ones.",
        ),
    ] = None,
    foreign_errors: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Prior, with --measured: chance that what the fit mistakes of somebody else's face is added to a "
            "clip, so that the style does not depend on whose face it is.",
        ),
    ] = None,
    deterministic: Annotated[
        bool | None,
        typer.Option("--deterministic", help="Prior, style: the style is its mean alone, without variance (ablation)."),
    ] = None,
    turbo_steps: Annotated[
        int | None, typer.Option(min=1, max=4, help="Turbo: steps, without guidance, that the model shall need.")
    ] = None,
    teacher_steps: Annotated[
        int | None, typer.Option(min=1, help="Turbo: guided steps of the model as it was for each of these.")
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"] | None,
        typer.Option(
            help="auto: bf16 on a GPU that has it, else fp32. bf16 also helps a CPU with AVX512-BF16; fp16 needs a GPU."
        ),
    ] = None,
    checkpoint_every: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")] = None,
    sample_every: Annotated[
        int | None, typer.Option(min=0, help="Steps between samples shown in TensorBoard beside the truth; 0: none.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Everything random follows from it.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print parameters, memory and time; nothing runs, nothing is written.")
    ] = False,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after this time, saved; go on with --resume.")
    ] = None,
) -> None:
    """Train one stage: vae, prior, appearance, motion, style, in this order for `mini`.

    Turbo distils the result and tiny-vae its VAE's decoder, both for `--fast turbo`.

    Example: svp train appearance --data data/puppets --init runs/prior --out runs/appearance
    """
    from svp.datasets.prepared import PreparedDataset
    from svp.diffusion.model_folder import find_model, find_trained
    from svp.training.options import recipe

    if init is not None and not init.is_dir():
        init = find_model(init)
    options = recipe(
        preset,
        stage,
        data,
        init,
        steps=steps,
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=learning_rate,
        decay_steps=decay_steps,
        frames=frames,
        expression_weight=expression_weight,
        min_snr_gamma=min_snr_gamma,
        change_weight=change_weight,
        few_steps=few_steps,
        few_steps_share=few_steps_share,
        unroll=unroll,
        picture_weight=picture_weight,
        reference_elsewhere=reference_elsewhere,
        train_spatial=train_spatial,
        lora=lora,
        latents=latents,
        group_levels=group_levels,
        modality_dropout=modality_dropout,
        measured=measured,
        foreign_errors=foreign_errors,
        deterministic=deterministic,
        turbo_steps=turbo_steps,
        teacher_steps=teacher_steps,
        precision=precision,
        checkpoint_every=checkpoint_every,
        sample_every=sample_every,
        seed=seed,
    )
    if plan:
        from rich.console import Console

        from svp.training.plan import plan_run, print_plan

        print_plan(plan_run(options), Console())
        return
    if init is not None:
        show_terms(find_trained(init))
    dataset = PreparedDataset(data)  # before torch is imported
    from svp.training.run import train as run

    model = run(options, out, resume=resume, max_minutes=max_minutes, dataset=dataset)
    typer.echo(f"{model}: model after stage {stage}")
