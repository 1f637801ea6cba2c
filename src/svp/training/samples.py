"""Samples of the stages: what sample n of a run is follows from (seed, n) alone.

So a run resumes exactly by starting at the right n, and any split of a batch over processes draws the same numbers.

Shapes: F frames of a sample, C latent channels on an h x w grid, W alpha frames of a window, A numbers per alpha frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from torch import Tensor
from torch.utils.data import Dataset

from svp.datasets.clip import Clip
from svp.datasets.latents import LatentCache, UnencodedLatents
from svp.datasets.manifest import UNKNOWN, ClipRow, Split
from svp.datasets.measured import MeasuredExpressions
from svp.datasets.prepared import PreparedDataset
from svp.diffusion.audio_track import audio_windows
from svp.diffusion.noise import mixed_noise
from svp.errors import InputError
from svp.face.key_points import KeyPoints
from svp.style.encoder import StyleGaussian
from svp.training.options import TrainOptions

CONDITIONS = ("reference", "audio", "head_kps", "style")

# Landmarks around which the face changes with speech and expression: lips; eye and brow of either side of the person.
EXPRESSIVE = (
    (61, 291, 0, 17, 13, 14, 37, 267, 84, 314, 78, 308),
    (33, 133, 159, 145, 105, 107, 70),
    (263, 362, 386, 374, 334, 336, 300),
)


class DiffusionSamples(Dataset[dict[str, Tensor]]):
    """Targets, references and conditions of the diffusion stages.

    Stage `appearance` takes f = 1; `motion` f consecutive frames; `style` also takes `styles`, draws the reference
    frame from a clip of the same identity with another emotion (Sec. 4.1) and gives a sample of the target clip's
    Gaussian; in the share `measured` of the samples that of `seen_styles`, where the clip has one. With unencoded
    latents a sample has, in their stead, `pictures` and `posterior_noise` of the F targets and then the reference,
    which the objective encodes.
    """

    def __init__(
        self,
        dataset: PreparedDataset,
        latents: LatentCache | UnencodedLatents,
        options: TrainOptions,
        split: Split,
        *,
        latent_stride: int,
        audio_radius: int,
        zero_edges: bool,
        key_points: KeyPoints,
        scheduler: EulerDiscreteScheduler,
        shared_noise: float,
        styles: Mapping[str, StyleGaussian] | None,
        seen_styles: Mapping[str, StyleGaussian] | None = None,
        timesteps: tuple[int, ...] = (),
    ) -> None:
        rows = [row for row in dataset.accepted(split) if row.frames >= options.frames]
        if not rows:
            raise InputError(
                f"{dataset.root}: no clip of split {split} has {options.frames} frames; add clips or lower --frames"
            )
        self.dataset, self.latents, self.options, self.rows = dataset, latents, options, rows
        self.stride, self.num_train_timesteps = latent_stride, int(scheduler.config["num_train_timesteps"])
        self.visited = visited_timesteps(scheduler, options.few_steps) if options.few_steps else ()
        self.audio_radius, self.zero_edges = audio_radius, zero_edges
        self.key_points, self.shared_noise = key_points, shared_noise
        self.styles, self.seen_styles, self.timesteps = styles, seen_styles or {}, timesteps
        self.training = split == "train"
        self.of_identity: dict[str, list[ClipRow]] = defaultdict(list)
        for row in rows:
            self.of_identity[row.identity].append(row)

    def __len__(self) -> int:
        return self.options.steps * self.options.batch_size if self.training else len(self.rows)

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        options = self.options
        rng = np.random.default_rng((options.seed, int(self.training), n))
        row = self.rows[int(rng.integers(len(self.rows)))] if self.training else self.rows[n]
        start = int(rng.integers(row.frames - options.frames + 1))
        stop = start + options.frames
        source, frame = self._reference(row, start, stop, rng)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))

        sample = self._latents((row.clip_id, start, stop), (source.clip_id, frame, frame + 1), generator)
        clip = self.dataset.clip(row.clip_id)
        timestep = int(rng.integers(self.num_train_timesteps))
        if self.visited and rng.random() < options.few_steps_share:
            timestep = self.visited[int(rng.integers(len(self.visited)))]
        if self.timesteps:
            timestep = self.timesteps[n % len(self.timesteps)]
        landmarks_FL3 = clip.features("landmarks", start, stop)
        pictures_F3HW = torch.as_tensor(self.key_points.draw(self.key_points.seen(landmarks_FL3), self.dataset.size))
        kept = sample["reference"] if "reference" in sample else sample["posterior_noise"][0]
        channels, height, width = kept.shape
        noise = torch.randn((channels, options.frames, height, width), generator=generator)
        sample |= {
            "audio": _audio_windows(clip, start, stop, row.frames, self.audio_radius, self.zero_edges),
            "head_kps": pictures_F3HW.transpose(0, 1),
            "weight": _expression_weight(landmarks_FL3, height, width, self.stride, options.expression_weight),
            "noise": mixed_noise(
                noise, torch.randn((channels, 1, height, width), generator=generator), self.shared_noise
            ),
            "timestep": torch.tensor(timestep),
            "keep": _keep(rng, options) if self.training else torch.ones(len(CONDITIONS), dtype=torch.bool),
        }
        if self.styles is not None:
            styles = self.seen_styles if options.measured and rng.random() < options.measured else self.styles
            sample["style"] = styles.get(row.clip_id, self.styles[row.clip_id]).sample(generator)[0]  # Eq. 4
        return sample

    def _latents(
        self, target: tuple[str, int, int], reference: tuple[str, int, int], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Latents of the target (C,F,h,w) and the reference (C,h,w), or what they are encoded from."""
        if isinstance(self.latents, LatentCache):
            target_FChw = self.latents.sample(*target, generator)
            return {
                "latents": target_FChw.transpose(0, 1),
                "reference": self.latents.sample(*reference, generator)[0],
            }
        drawn = [self.latents.draw(*frames, generator) for frames in (target, reference)]
        pictures, noise = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        return {"pictures": pictures, "posterior_noise": noise}

    def _reference(self, row: ClipRow, start: int, stop: int, rng: np.random.Generator) -> tuple[ClipRow, int]:
        """Clip and number of the reference frame: at a distance in the clip, or anywhere in another one.

        Pairs take a clip with another emotion; the other stages, with `reference_elsewhere`, any other clip.
        """
        pool = []
        if self.styles is not None:
            pool = [other for other in self.of_identity[row.identity] if other.emotion != row.emotion]
        elif rng.random() < self.options.reference_elsewhere:
            pool = [other for other in self.of_identity[row.identity] if other is not row]
        if pool:
            source = pool[int(rng.integers(len(pool)))]
            return source, int(rng.integers(source.frames))
        distance = self.options.reference_distance
        far = [i for i in range(row.frames) if i < start - distance or i >= stop + distance]
        candidates = far or [i for i in range(row.frames) if i < start or i >= stop] or [start]
        return row, candidates[int(rng.integers(len(candidates)))]


def visited_timesteps(scheduler: EulerDiscreteScheduler, steps: int) -> tuple[int, ...]:
    """The timesteps at which sampling in `steps` steps calls the network; the scheduler is left as it is."""
    own = EulerDiscreteScheduler.from_config(scheduler.config)
    own.set_timesteps(steps)
    return tuple(int(timestep) for timestep in own.timesteps)


class PictureSamples(Dataset[dict[str, Tensor]]):
    """Single frames as (3,H,W) in [-1,1] for stage `vae`, with the loss weight per pixel and noise for the latents."""

    def __init__(
        self, dataset: PreparedDataset, options: TrainOptions, split: Split, latent_shape: tuple[int, int, int]
    ) -> None:
        self.latent_shape = latent_shape
        self.dataset, self.options, self.rows = dataset, options, dataset.accepted(split)
        if not self.rows:
            raise InputError(f"{dataset.root}: no clip in split {split}; add clips")
        self.training = split == "train"

    def __len__(self) -> int:
        return self.options.steps * self.options.batch_size if self.training else len(self.rows)

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.options.seed, int(self.training), n))
        row = self.rows[int(rng.integers(len(self.rows)))] if self.training else self.rows[n]
        frame = int(rng.integers(row.frames))
        clip = self.dataset.clip(row.clip_id)
        picture_HW3 = clip.frames(frame, frame + 1)[0]
        size = picture_HW3.shape[0]
        weight = _expression_weight(
            clip.features("landmarks", frame, frame + 1), size, size, 1, self.options.expression_weight
        )
        if self.training and rng.random() < 0.5:  # a VAE knows no left and right: mirroring doubles its pictures
            picture_HW3, weight = picture_HW3[:, ::-1], weight.flip(-1)
        pixels = torch.from_numpy(np.ascontiguousarray(picture_HW3)).permute(2, 0, 1).float() / 127.5 - 1.0
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(self.latent_shape, generator=generator)
        return {"pixels": pixels, "weight": weight[0], "noise": noise}


def _audio_windows(clip: Clip, start: int, stop: int, frames: int, radius: int, zero_edges: bool) -> Tensor:
    """Audio windows of the frames [start, stop) of a clip, (F, W, A) float32."""
    low, high = max(start - radius, 0), min(stop + radius, frames)
    alpha_NA = torch.from_numpy(clip.features("audio", low, high)).float()
    return audio_windows(alpha_NA, low, start, stop, frames, radius, zero_edges)


def _expression_weight(landmarks_FL3: np.ndarray, height: int, width: int, stride: int, weight: float) -> Tensor:
    """Loss weight per cell (F, h, w): `weight` around mouth, eyes and brows, 1 elsewhere; the mean is kept 1."""
    weights = torch.ones(len(landmarks_FL3), height, width)
    if weight == 1:
        return weights
    for f, landmarks_L3 in enumerate(landmarks_FL3):
        face = max(float(np.ptp(landmarks_L3[:, 0])), 1.0)
        for part in EXPRESSIVE:
            low = (landmarks_L3[list(part), :2].min(0) - 0.06 * face) / stride
            high = (landmarks_L3[list(part), :2].max(0) + 0.06 * face) / stride
            x0, y0 = np.maximum(np.floor(low), 0).astype(int)
            x1, y1 = np.ceil(high).astype(int)
            weights[f, y0:y1, x0:x1] = weight
    return weights / weights.mean()


def _keep(rng: np.random.Generator, options: TrainOptions) -> Tensor:
    """Which conditions stay: each is dropped alone with `drop_each`, all together with `drop_all`."""
    if rng.random() < options.drop_all:
        return torch.zeros(len(CONDITIONS), dtype=torch.bool)
    return torch.from_numpy(rng.random(len(CONDITIONS)) >= options.drop_each)


class GroupBatches(Dataset[dict[str, Tensor]]):
    """Batches of P groups x K windows for stage `prior`; item n is the whole batch of step n.

    A group is one identity with one emotion (MEAD), or one video where no emotion is known (HDTF): Sec. 4.1. With
    `group_levels` its clips have one intensity too.
    """

    def __init__(
        self,
        dataset: PreparedDataset,
        options: TrainOptions,
        split: Split,
        batches: int,
        style_size: int,
        measured: MeasuredExpressions | None = None,
    ) -> None:
        groups: dict[tuple[str, str, str, int], list[ClipRow]] = defaultdict(list)
        for row in dataset.accepted(split):
            video = row.source if row.emotion == UNKNOWN else ""
            level = row.intensity if options.group_levels else 0
            groups[row.identity, row.emotion, video, level].append(row)
        self.groups = [groups[key] for key in sorted(groups)]
        if len(self.groups) < 2:
            raise InputError(f"{dataset.root}: split {split} needs clips of 2 or more groups of identity and emotion")
        self.dataset, self.options, self.batches, self.style_size = dataset, options, batches, style_size
        self.measured = measured
        self.training = split == "train"
        self._errors: dict[str, np.ndarray] = {}  # of the fit, by clip

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        options = self.options
        rng = np.random.default_rng((options.seed, int(self.training), n))
        chosen = rng.choice(len(self.groups), size=min(options.groups, len(self.groups)), replace=False)
        expressions, sounds, labels = [], [], []
        for label in chosen:
            for row in _spread_choice(self.groups[label], options.per_group, rng):
                length = int(rng.integers(max(row.frames // 2, 1), row.frames + 1))
                start = int(rng.integers(row.frames - length + 1))
                clip = self.dataset.clip(row.clip_id)
                seen = None
                if self.measured is not None and rng.random() < options.measured:
                    seen = self.measured.expression(row.clip_id, start, start + length)
                expression = clip.features("expression", start, start + length) if seen is None else seen
                if self.training and rng.random() < options.foreign_errors:
                    expression = np.maximum(expression + self._foreign_error(rng), 0.0)
                expressions.append(torch.from_numpy(expression))
                sounds.append(torch.from_numpy(clip.features("audio", start, start + length).astype(np.float32)))
                labels.append(int(label))
        batch = len(labels)
        drop = rng.random(batch) < options.modality_dropout
        which = rng.random(batch) < 0.5
        # never both: what is already absent (a silent clip) protects the other modality
        keep_expression = ~(drop & which) | np.array([not sound.any() for sound in sounds])
        keep_audio = ~(drop & ~which) | np.array([not expression.any() for expression in expressions])
        present = torch.nn.utils.rnn.pad_sequence([torch.ones(len(e), dtype=torch.bool) for e in expressions], True)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return {
            "expression": torch.nn.utils.rnn.pad_sequence(expressions, True),
            "audio": torch.nn.utils.rnn.pad_sequence(sounds, True),
            "present": present,
            "labels": torch.tensor(labels),
            "keep_expression": torch.from_numpy(keep_expression),
            "keep_audio": torch.from_numpy(keep_audio),
            "noise": torch.randn((batch, self.style_size), generator=generator),
        }

    def _foreign_error(self, rng: np.random.Generator) -> np.ndarray:
        """What the fit mistakes of a face of the split, (E,) float32: mean of measured minus true beta in a clip.

        It tells people apart and says nothing of their style: added to clips of others it is of no use to know them by.
        """
        group = self.groups[int(rng.integers(len(self.groups)))]
        row = group[int(rng.integers(len(group)))]
        if row.clip_id not in self._errors:
            assert self.measured is not None  # `recipe` refuses one without the other
            seen = self.measured.expression(row.clip_id, 0, row.frames)
            true = self.dataset.clip(row.clip_id).features("expression")
            self._errors[row.clip_id] = np.zeros_like(true[0]) if seen is None else (seen - true).mean(axis=0)
        return self._errors[row.clip_id]


def _spread_choice(rows: list[ClipRow], size: int, rng: np.random.Generator) -> list[ClipRow]:
    """`size` clips of a group, each as often as the others or once more.

    Two windows of one clip have much of their sound in common. If they were paired more than need be, the encoder would
    learn to know recordings by their sound.
    """
    order = np.concatenate([rng.permutation(len(rows)) for _ in range(-(-size // len(rows)))])
    return [rows[k] for k in order[:size]]
