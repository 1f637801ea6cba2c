"""What a training run may be told: typed, saved beside the run, unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from svp.datasets.options import Options
from svp.errors import InputError

StageName = Literal["prior", "vae", "appearance", "motion", "style", "turbo", "tiny-vae"]


class TrainOptions(Options):
    """Options of one run of one stage. Probabilities in [0, 1]; steps count optimizer steps."""

    stage: StageName
    preset: str
    data: str = Field(description="folder of the prepared dataset")
    init: str = Field(description="folder the run started from, empty for random weights")
    seed: int = Field(ge=0, description="everything random follows from it")
    steps: int = Field(gt=0, description="optimizer steps of the whole run")
    batch_size: int = Field(gt=0, description="samples per optimizer step over all processes")
    accumulate: int = Field(default=1, gt=0, description="micro-batches that an optimizer step is computed in")
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0, description="linear warm-up of the learning rate")
    decay_steps: int = Field(ge=0, description="the learning rate falls linearly to zero over this many last steps")
    ema_decay: float = Field(ge=0, lt=1, description="decay of the averaged weights that are saved as the model")
    max_grad_norm: float = Field(gt=0)
    frames: int = Field(gt=0, description="consecutive frames per sample (f in Sec. 4.1)")
    drop_each: float = Field(ge=0, le=1, description="chance that one condition alone is dropped")
    drop_all: float = Field(ge=0, le=1, description="chance that all conditions are dropped together")
    reference_distance: int = Field(ge=0, description="least distance of reference and target frame, in frames")
    reference_elsewhere: float = Field(
        ge=0, le=1, description="chance that the reference comes from another clip of the person; 0 is the paper's"
    )
    expression_weight: float = Field(
        ge=1, description="loss weight of the cells around mouth, eyes and brows; 1 is Eq. 1"
    )
    min_snr_gamma: float | None = Field(
        default=None,
        gt=0,
        description="gamma of min-SNR weighting (Hang et al. 2023); without it all steps weigh alike",
    )
    change_weight: float = Field(
        default=0.0,
        ge=0,
        description="loss weight of how each frame changes to the next, against flicker and late lips; 0 is Eq. 1",
    )
    few_steps: int | None = Field(
        default=None,
        gt=0,
        description="a share of the samples is noised to one of the levels that sampling in so many steps visits",
    )
    few_steps_share: float = Field(
        default=0.5, gt=0, le=1, description="with few_steps: share of the samples that are noised to these levels"
    )
    unroll: bool = Field(
        default=False,
        description="with few_steps: samples of a later step start from what the model itself reaches from noise, "
        "as in sampling, and not from noised truth",
    )
    picture_weight: float = Field(
        default=0.0,
        ge=0,
        description="loss weight of the decoded prediction, L1 and SSIM against the decoded truth; 0 is Eq. 1",
    )
    train_spatial: bool = Field(
        description="motion: also train the UNet's other layers, the other reading of Sec. 3.3; "
        "style: the whole UNet, ReferenceNet, guider and audio projection too"
    )
    groups: int = Field(gt=0, description="stage prior: P groups of equal identity and emotion per batch")
    per_group: int = Field(gt=0, description="stage prior: K clips per group")
    group_levels: bool = Field(
        default=False,
        description="stage prior: clips of one group share the intensity too; the paper's share identity and emotion",
    )
    measured: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="prior, style, turbo: chance that expressions measured in a puppet's frames stand for true ones",
    )
    foreign_errors: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="stage prior: chance that the mean error of the fit in a clip of somebody else is added to a clip",
    )
    temperature: float = Field(gt=0, description="stage prior: tau of Eq. 6")
    modality_dropout: float = Field(ge=0, le=1, description="stage prior: chance that one of beta, alpha is dropped")
    deterministic: bool = Field(
        default=False,  # what runs from before this option did; they resume
        description="stages prior and style: the style code is mu of Eq. 2 alone, sigma = 0 (ablation of Sec. 4.4)",
    )
    lora: int = Field(default=0, ge=0, description="rank of adapters that train in place of layers; 0: none")
    latents: Literal["cached", "fly"] = Field(
        default="cached", description="VAE latents encoded once and kept beside the dataset, or anew in every step"
    )
    turbo_steps: int = Field(
        default=4, ge=1, le=4, description="stage turbo: steps, without guidance, that the model shall need"
    )
    teacher_steps: int = Field(
        default=4, gt=0, description="stage turbo: guided steps of the model as it was for each of these"
    )
    kl_weight: float = Field(ge=0, description="stage vae: weight of the KL term")
    checkpoint_every: int = Field(gt=0, description="steps between checkpoints")
    validate_every: int = Field(gt=0, description="steps between validation losses")
    sample_every: int = Field(default=0, ge=0, description="steps between samples in TensorBoard; 0 is none")
    gradient_checkpointing: bool = Field(description="compute activations twice instead of keeping them")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        description="arithmetic of the forward; auto is bf16 on a GPU that has it, else fp32"
    )

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        try:
            return cls.model_validate_json(path.read_text())
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: not the options of a training run ({reason}); start a new run folder") from error


COMMON = {
    "seed": 0, "warmup_steps": 100, "decay_steps": 0, "ema_decay": 0.999, "max_grad_norm": 1.0, "frames": 1,
    "drop_each": 0.05, "drop_all": 0.05, "reference_distance": 8, "reference_elsewhere": 0.0, "expression_weight": 1.0,
    "train_spatial": False, "groups": 8, "per_group": 4, "temperature": 0.1, "modality_dropout": 0.3,
    "kl_weight": 1e-6, "checkpoint_every": 250, "validate_every": 250, "gradient_checkpointing": False,
    "sample_every": 1000, "precision": "auto",
}  # fmt: skip

PICTURES: tuple[StageName, ...] = ("vae", "tiny-vae")  # stages whose samples are pictures
DIFFUSION: tuple[StageName, ...] = ("appearance", "motion", "style", "turbo")

# Options that only some stages read; given for another they are an error, not ignored.
ONLY_FOR: dict[str, tuple[StageName, ...]] = {
    "batch_size": (*PICTURES, *DIFFUSION),
    "accumulate": (*PICTURES, *DIFFUSION),  # contrastive batches stay whole
    "sample_every": (*PICTURES, *DIFFUSION),
    "frames": ("motion", "style", "turbo"),
    "drop_each": DIFFUSION,
    "drop_all": DIFFUSION,
    "reference_distance": DIFFUSION,
    "reference_elsewhere": ("appearance", "motion"),
    "expression_weight": (*PICTURES, *DIFFUSION),
    "min_snr_gamma": ("appearance", "motion", "style"),
    "change_weight": ("motion", "style"),
    "few_steps": ("appearance", "motion", "style"),
    "few_steps_share": ("appearance", "motion", "style"),
    "unroll": ("appearance", "motion", "style"),
    "picture_weight": ("appearance", "motion", "style"),
    "train_spatial": ("motion", "style"),
    "groups": ("prior",),
    "per_group": ("prior",),
    "group_levels": ("prior",),
    "measured": ("prior", "style", "turbo"),
    "foreign_errors": ("prior",),
    "temperature": ("prior",),
    "modality_dropout": ("prior",),
    "deterministic": ("prior", "style"),
    "lora": ("appearance", "motion", "style"),
    "latents": DIFFUSION,
    "turbo_steps": ("turbo",),
    "teacher_steps": ("turbo",),
    "kl_weight": ("vae",),
    "gradient_checkpointing": DIFFUSION,
}

RECIPES: dict[tuple[str, StageName], dict[str, object]] = {
    # Shipped `mini`: small enough for two cores; docs/mini.md gives the time each stage took.
    ("mini", "vae"): {"steps": 3000, "batch_size": 16, "learning_rate": 3e-4, "expression_weight": 3.0},
    # puppet corpora have few clips of an emotion, and windows of one clip are told by their sound: so groups of two;
    # more steps, or one modality dropped more often, made validation worse
    ("mini", "prior"): {
        "steps": 600, "decay_steps": 300, "batch_size": 32, "learning_rate": 2e-4, "groups": 16, "per_group": 2,
        "modality_dropout": 0.1,
    },
    ("mini", "appearance"): {
        "steps": 6000, "batch_size": 16, "learning_rate": 4e-4, "reference_elsewhere": 0.8, "expression_weight": 2.0,
    },
    ("mini", "motion"): {
        "steps": 2500, "batch_size": 4, "learning_rate": 4e-4, "frames": 8, "reference_elsewhere": 0.8,
        "expression_weight": 5.0, "train_spatial": True,
    },
    ("mini", "style"): {
        "steps": 5000, "batch_size": 4, "learning_rate": 3e-4, "frames": 8, "expression_weight": 5.0,
        "train_spatial": True,
    },
    ("mini", "turbo"): {"steps": 2000, "batch_size": 4, "learning_rate": 1e-4, "frames": 8, "expression_weight": 5.0},
    ("mini", "tiny-vae"): {
        "steps": 2000, "decay_steps": 1000, "batch_size": 16, "learning_rate": 2e-3, "expression_weight": 3.0,
    },
    # `base` follows V-Express's published schedule (learning rates, steps) with the paper's f = 8.
    ("base", "prior"): {"steps": 50_000, "batch_size": 256, "learning_rate": 1e-4, "groups": 64},
    ("base", "appearance"): {
        "steps": 40_000, "batch_size": 8, "learning_rate": 1e-5, "reference_distance": 30,
        "gradient_checkpointing": True,
    },
    ("base", "motion"): {
        "steps": 300_000, "batch_size": 8, "learning_rate": 1e-5, "frames": 8, "reference_distance": 30,
        "gradient_checkpointing": True,
    },
    ("base", "style"): {
        "steps": 100_000, "batch_size": 8, "learning_rate": 1e-5, "frames": 8, "reference_distance": 30,
        "gradient_checkpointing": True,
    },
    ("base", "turbo"): {
        "steps": 20_000, "batch_size": 8, "learning_rate": 1e-5, "frames": 8, "reference_distance": 30,
        "gradient_checkpointing": True,
    },
}  # fmt: skip


def recipe(preset: str, stage: StageName, data: Path, init: Path | None, **changes: object) -> TrainOptions:
    """Options of a stage for a preset, with the changes that are not None.

    Raises:
        InputError: if the preset has no such stage (`base` uses Stable Diffusion's VAE), the stage does not read an
            option, or a value is out of range.
    """
    if (preset, stage) not in RECIPES:
        raise InputError(f"--preset {preset}: has no stage {stage}; stages are {stages_of(preset)}")
    given = {key: value for key, value in changes.items() if value is not None}
    for key in given:
        if stage not in ONLY_FOR.get(key, (stage,)):
            flag = key.replace("_", "-")
            raise InputError(f"--{flag}: stage {stage} does not use it; it belongs to {', '.join(ONLY_FOR[key])}")
    values = COMMON | RECIPES[preset, stage] | given
    if stage == "prior":
        values["batch_size"] = int(str(values["groups"])) * int(str(values["per_group"]))
    if values.get("foreign_errors") and not values.get("measured"):
        raise InputError("--foreign-errors: they are measured in puppets' frames; give --measured too")
    for key in ("few_steps_share", "unroll"):
        if key in given and not values.get("few_steps"):
            raise InputError(f"--{key.replace('_', '-')}: says how --few-steps are trained; give --few-steps too")
    start = "" if init is None else str(init.resolve())
    values |= {"stage": stage, "preset": preset, "data": str(data.resolve()), "init": start}
    return TrainOptions.checked(**values)


def stages_of(preset: str) -> str:
    return ", ".join(stage for name, stage in RECIPES if name == preset)
