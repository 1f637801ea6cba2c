"""What the denoiser is told: reference, audio, Head-Kps and style, projected once and used in every diffusion step.

Keys and values of reference, audio and style do not depend on the diffusion step, and those of the reference not on the
frame either.

Shapes: B videos, F frames, H heads, S tokens, d channels per head, C0 channels after `conv_in`, h x w latent grid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from svp.diffusion.attention import KeyValue

BlockKeyValues = Mapping[str, KeyValue]  # by path of the transformer block


@dataclass(frozen=True)
class ConditionMask:
    """Which samples of a batch keep which condition, for condition dropout in training.

    A dropped condition is exactly the zero condition of guidance. None keeps the condition for every sample.

    Args:
        reference, audio, head_kps, style: bool (B,), True keeps.
    """

    reference: Tensor | None = None
    audio: Tensor | None = None
    head_kps: Tensor | None = None
    style: Tensor | None = None


def keep_samples(tensor: Tensor, keep_B: Tensor | None) -> Tensor:
    """Zeros for the samples (first axis) that are not kept."""
    if keep_B is None:
        return tensor
    return torch.where(keep_B.view(-1, *[1] * (tensor.dim() - 1)), tensor, torch.zeros_like(tensor))


@dataclass(frozen=True)
class Conditions:
    """Projected conditions of B videos; None stands for the zero condition of guidance.

    Args:
        reference: keys and values per block, (B, H, S, d).
        audio: keys and values per block, (B, F, H, S, d).
        style: keys and values per block, (B, H, S, d), or (B, F, H, S, d) with one style per frame.
        head_kps: features (B, C0, F, h, w), added after `conv_in`.
        reference_scale, audio_scale, style_scale: factors on the attention outputs; 0 leaves the layer out.
    """

    reference: BlockKeyValues | None
    audio: BlockKeyValues | None
    style: BlockKeyValues | None
    head_kps: Tensor | None
    reference_scale: float = 1.0
    audio_scale: float = 1.0
    style_scale: float = 1.0

    @property
    def num_frames(self) -> int | None:
        """F, or None where no condition depends on the frame."""
        if self.head_kps is not None:
            return self.head_kps.shape[2]
        for blocks in (self.audio, self.style):
            keys = _any_keys(blocks)
            if keys is not None and keys.dim() == 5:
                return keys.shape[1]
        return None

    @property
    def batch_size(self) -> int | None:
        """B, or None where every condition is absent."""
        if self.head_kps is not None:
            return self.head_kps.shape[0]
        for blocks in (self.reference, self.audio, self.style):
            keys = _any_keys(blocks)
            if keys is not None:
                return keys.shape[0]
        return None

    def frames(self, start: int, stop: int) -> "Conditions":
        """Conditions of the frames start ... stop - 1, as views.

        Raises:
            ValueError: if the conditions do not have these frames.
        """
        count = self.num_frames
        if not 0 <= start < stop or (count is not None and stop > count):
            raise ValueError(f"frames {start}:{stop} of conditions that have {count}")

        def window(tensor: Tensor) -> Tensor:
            return tensor[:, start:stop] if tensor.dim() == 5 else tensor

        return replace(
            self,
            audio=_map(self.audio, window),
            style=_map(self.style, window),
            head_kps=None if self.head_kps is None else self.head_kps[:, :, start:stop],
        )

    def samples(self, index: Tensor) -> "Conditions":
        """Conditions of the videos of an index (N,), in its order."""

        def of(tensor: Tensor) -> Tensor:
            return tensor[index]

        return replace(
            self,
            reference=_map(self.reference, of),
            audio=_map(self.audio, of),
            style=_map(self.style, of),
            head_kps=None if self.head_kps is None else self.head_kps[index],
        )

    @property
    def kinds(self) -> tuple[bool, ...]:
        """Which conditions are there: reference, audio, style, Head-Kps."""
        return tuple(given is not None for given in (self.reference, self.audio, self.style, self.head_kps))

    def unconditional(self) -> "Conditions":
        """The zero condition of guidance: no reference, audio, Head-Kps or style; the scales stay."""
        return replace(self, reference=None, audio=None, style=None, head_kps=None)

    def without_style(self) -> "Conditions":
        """The same without style: the style attention adds nothing."""
        return replace(self, style=None)


def stack_conditions(parts: list[Conditions]) -> Conditions:
    """Conditions of the same videos as one batch, part after part.

    What only some parts have is zeros in the others: zero values add exactly the output bias, as an absent condition
    does.

    Raises:
        ValueError: if the scales differ.
    """
    first = parts[0]
    for name in ("reference_scale", "audio_scale", "style_scale"):
        if len({getattr(part, name) for part in parts}) > 1:
            raise ValueError(f"{name} differs between the parts of a batch")

    def stack(tensors: list[Tensor | None]) -> Tensor | None:
        like = next((tensor for tensor in tensors if tensor is not None), None)
        if like is None:
            return None
        return torch.cat([torch.zeros_like(like) if tensor is None else tensor for tensor in tensors])

    def stack_blocks(name: str) -> BlockKeyValues | None:
        blocks: list[BlockKeyValues | None] = [getattr(part, name) for part in parts]
        paths = next((given.keys() for given in blocks if given is not None), None)
        if paths is None:
            return None
        return {
            path: cast(KeyValue, tuple(stack([None if b is None else b[path][n] for b in blocks]) for n in range(2)))
            for path in paths
        }

    return replace(
        first,
        reference=stack_blocks("reference"),
        audio=stack_blocks("audio"),
        style=stack_blocks("style"),
        head_kps=stack([part.head_kps for part in parts]),
    )


def _any_keys(blocks: BlockKeyValues | None) -> Tensor | None:
    return None if not blocks else next(iter(blocks.values()))[0]


def _map(blocks: BlockKeyValues | None, change: Callable[[Tensor], Tensor]) -> BlockKeyValues | None:
    if blocks is None:
        return None
    return {path: (change(keys), change(values)) for path, (keys, values) in blocks.items()}
