"""Levels of the SD1.5 U-Net, shared by the denoising UNet and ReferenceNet; names and order are SD1.5's.

A level is resnet -> spatial transformer (where the level has attention) -> motion module (where it has one), repeated.
What the spatial transformer does inside is given by the network that builds the level.

Shapes: N = batch x frames pictures, C channels, h x w latent grid, T = h * w tokens, E channels of the time embedding.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from svp.diffusion.convolution import Conv2d, share_convolutions
from svp.diffusion.group_norm import GroupNorm
from svp.diffusion.motion_module import MotionModule

RESNET_EPS = 1e-5
TRANSFORMER_NORM_EPS = 1e-6
TIME_CHANNELS_FACTOR = 4  # channels of the time embedding, in channels of the first level


class BlockState(Protocol):
    """What travels through all levels beside the hidden states."""

    frames: int  # consecutive pictures that form one video
    motion: bool  # whether motion modules run


class TransformerBlock(nn.Module):
    """A block of attentions on tokens: (N, T, C) and the grid (height, width) to (N, T, C).

    `path` is the block's place in the network, the name under which reference tokens and projected conditions are kept;
    it is the same in ReferenceNet and the denoising UNet.
    """

    path: str

    def forward(self, hidden_NTC: Tensor, size: tuple[int, int], state: BlockState) -> Tensor:
        raise NotImplementedError


BlockFactory = Callable[[int, int], TransformerBlock]  # (channels, heads)
MotionFactory = Callable[[int], MotionModule]  # (channels)


def name_blocks(network: nn.Module) -> dict[str, TransformerBlock]:
    """Give every transformer block its path and return the blocks by path, in order of computation."""
    blocks: dict[str, TransformerBlock] = {}
    for stage in ("down_blocks", "mid_block", "up_blocks"):
        for path, module in network.get_submodule(stage).named_modules(prefix=stage):
            if isinstance(module, TransformerBlock):
                module.path = path
                blocks[path] = module
    return blocks


class SpatialTransformer(nn.Module):
    """Group norm, 1x1 convolution, transformer block on the tokens of each picture, 1x1 convolution, residual.

    Args:
        channels: C.
        norm_groups: groups of the group norm.
        block: the transformer block.
    """

    def __init__(self, *, channels: int, norm_groups: int, block: TransformerBlock) -> None:
        super().__init__()
        self.norm = GroupNorm(norm_groups, channels, eps=TRANSFORMER_NORM_EPS)
        self.proj_in = Conv2d(channels, channels, kernel_size=1)
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = Conv2d(channels, channels, kernel_size=1)

    def forward(self, hidden: Tensor, state: BlockState) -> Tensor:
        """(N, C, h, w) to (N, C, h, w)."""
        height, width = hidden.shape[2:]
        tokens_NTC = self.proj_in(self.norm(hidden)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens_NTC = block(tokens_NTC, (height, width), state)
        return hidden + self.proj_out(tokens_NTC.transpose(1, 2).unflatten(2, (height, width)))


class Level(nn.Module):
    """The layers of one level; down, mid and up differ in the order and in what they do between layers.

    Args:
        in_channels: channels entering each resnet, one number per resnet.
        channels: channels leaving each resnet.
        time_channels: E.
        norm_groups: groups of all group norms.
        heads: heads of the spatial attention.
        attentions: number of spatial transformers.
        make_block: builds the transformer block, None where the level has no attention.
        make_motion: builds a motion module, None where the level has none.
    """

    # diffusers sets both through `enable_gradient_checkpointing`
    gradient_checkpointing = False
    _gradient_checkpointing_func: Callable[..., Tensor]

    def __init__(
        self,
        *,
        in_channels: tuple[int, ...],
        channels: int,
        time_channels: int,
        norm_groups: int,
        heads: int,
        attentions: int,
        make_block: BlockFactory | None,
        make_motion: MotionFactory | None,
    ) -> None:
        super().__init__()
        if make_block is not None:
            self.attentions = nn.ModuleList(
                SpatialTransformer(channels=channels, norm_groups=norm_groups, block=make_block(channels, heads))
                for _ in range(attentions)
            )
        self.resnets = nn.ModuleList(
            ResnetBlock2D(
                in_channels=entering,
                out_channels=channels,
                temb_channels=time_channels,
                groups=norm_groups,
                eps=RESNET_EPS,
            )
            for entering in in_channels
        )
        for resnet, entering in zip(self.resnets, in_channels, strict=True):
            resnet.norm1 = GroupNorm(norm_groups, entering, eps=RESNET_EPS)
            resnet.norm2 = GroupNorm(norm_groups, channels, eps=RESNET_EPS)
            share_convolutions(resnet)
        if make_motion is not None:
            self.motion_modules = nn.ModuleList(make_motion(channels) for _ in range(attentions))
        self.has_attention = make_block is not None
        self.has_motion = make_motion is not None

    def resnet(self, index: int, hidden: Tensor, time_NE: Tensor) -> Tensor:
        """Resnet `index`."""
        return self._run(self.resnets[index], hidden, time_NE)

    def attend(self, index: int, hidden: Tensor, state: BlockState) -> Tensor:
        """Spatial transformer and motion module `index`, as far as they exist."""
        if self.has_attention:
            hidden = self._run(self.attentions[index], hidden, state)
        if self.has_motion and state.motion:
            hidden = self._run(self.motion_modules[index], hidden, state.frames)
        return hidden

    def _run(self, module: nn.Module, *inputs: object) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(module, *inputs)
        return module(*inputs)


class DownLevel(Level):
    """`layers` layers, then a convolution of stride 2 unless it is the deepest level.

    Args:
        in_channels: channels entering the level.
        layers: number of layers.
        downsample: whether a deeper level follows.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        layers: int,
        downsample: bool,
        time_channels: int,
        norm_groups: int,
        heads: int,
        make_block: BlockFactory | None,
        make_motion: MotionFactory | None,
    ) -> None:
        super().__init__(
            in_channels=(in_channels,) + (channels,) * (layers - 1),
            channels=channels,
            time_channels=time_channels,
            norm_groups=norm_groups,
            heads=heads,
            attentions=layers,
            make_block=make_block,
            make_motion=make_motion,
        )
        if downsample:
            self.downsamplers = nn.ModuleList([Downsample2D(channels, use_conv=True, name="op")])
            share_convolutions(self.downsamplers[0])
        self.has_downsampler = downsample

    def forward(self, hidden: Tensor, time_NE: Tensor, state: BlockState) -> tuple[Tensor, list[Tensor]]:
        """(N, C, h, w) to (N, C', h / 2, w / 2) and the skip connections, first layer first."""
        skips = []
        for index in range(len(self.resnets)):
            hidden = self.attend(index, self.resnet(index, hidden, time_NE), state)
            skips.append(hidden)
        if self.has_downsampler:
            hidden = self._run(self.downsamplers[0], hidden)
            skips.append(hidden)
        return hidden, skips


class MidLevel(Level):
    """resnet -> spatial transformer -> motion module -> resnet, without changing the shape."""

    def __init__(
        self,
        *,
        channels: int,
        time_channels: int,
        norm_groups: int,
        heads: int,
        make_block: BlockFactory,
        make_motion: MotionFactory | None,
    ) -> None:
        super().__init__(
            in_channels=(channels, channels),
            channels=channels,
            time_channels=time_channels,
            norm_groups=norm_groups,
            heads=heads,
            attentions=1,
            make_block=make_block,
            make_motion=make_motion,
        )

    def forward(self, hidden: Tensor, time_NE: Tensor, state: BlockState) -> Tensor:
        """(N, C, h, w) to (N, C, h, w)."""
        hidden = self.attend(0, self.resnet(0, hidden, time_NE), state)
        return self.resnet(1, hidden, time_NE)


class UpLevel(Level):
    """Each layer takes one skip connection; then nearest x2 and a convolution unless it is the last level.

    Args:
        in_channels: channels entering the level.
        channels: channels leaving it.
        skip_channels: channels of the skip connections in the order in which they are used.
        upsample: whether a shallower level follows.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        skip_channels: tuple[int, ...],
        upsample: bool,
        time_channels: int,
        norm_groups: int,
        heads: int,
        make_block: BlockFactory | None,
        make_motion: MotionFactory | None,
    ) -> None:
        before = (in_channels,) + (channels,) * (len(skip_channels) - 1)
        super().__init__(
            in_channels=tuple(own + skip for own, skip in zip(before, skip_channels, strict=True)),
            channels=channels,
            time_channels=time_channels,
            norm_groups=norm_groups,
            heads=heads,
            attentions=len(skip_channels),
            make_block=make_block,
            make_motion=make_motion,
        )
        if upsample:
            self.upsamplers = nn.ModuleList([Upsample2D(channels, use_conv=True)])
            share_convolutions(self.upsamplers[0])
        self.has_upsampler = upsample

    def forward(self, hidden: Tensor, time_NE: Tensor, skips: list[Tensor], state: BlockState) -> Tensor:
        """(N, C, h, w) to (N, C', 2 h, 2 w); takes its skip connections from the end of `skips`.

        The next skip connection gives the exact output size, so that odd grids work.
        """
        for index in range(len(self.resnets)):
            hidden = self.resnet(index, torch.cat([hidden, skips.pop()], dim=1), time_NE)
            hidden = self.attend(index, hidden, state)
        if self.has_upsampler:
            hidden = self._run(self.upsamplers[0], hidden, skips[-1].shape[2:])
        return hidden


def build_levels(
    network: nn.Module,
    *,
    block_out_channels: tuple[int, ...],
    attention_levels: tuple[bool, ...],
    layers_per_block: int,
    attention_heads: tuple[int, ...],
    norm_num_groups: int,
    up_levels: int,
    make_block: BlockFactory,
    make_motion: MotionFactory | None,
    motion_levels: tuple[bool, ...],
    motion_mid: bool,
) -> None:
    """Give `network` its `down_blocks`, `mid_block` and `up_blocks`, in SD1.5's topology.

    Args:
        network: the module that gets the three attributes.
        block_out_channels: channels per level, shallow to deep.
        attention_levels: which levels have spatial transformers; the middle always has one.
        layers_per_block: layers of a down level; up levels have one more.
        attention_heads: heads per level; the middle has those of the deepest level.
        norm_num_groups: groups of all group norms.
        up_levels: how many up levels are built, deepest first; all of them unless the network ends early.
        make_block: builds the transformer block inside a spatial transformer.
        make_motion: builds a motion module, None for a network of single pictures.
        motion_levels: which levels have motion modules.
        motion_mid: whether the middle has one.

    Raises:
        ValueError: if the per-level tuples differ in length.
    """
    count = len(block_out_channels)
    for name, given in (
        ("attention_levels", attention_levels),
        ("attention_heads", attention_heads),
        ("motion_levels", motion_levels),
    ):
        if len(given) != count:
            raise ValueError(f"{name} has {len(given)} entries for {count} levels; give one per level")
    shared = {"time_channels": TIME_CHANNELS_FACTOR * block_out_channels[0], "norm_groups": norm_num_groups}
    motion = [make_motion if present else None for present in motion_levels]
    block = [make_block if present else None for present in attention_levels]

    network.down_blocks = nn.ModuleList(
        DownLevel(
            in_channels=block_out_channels[max(level - 1, 0)],
            channels=block_out_channels[level],
            layers=layers_per_block,
            downsample=level < count - 1,
            heads=attention_heads[level],
            make_block=block[level],
            make_motion=motion[level],
            **shared,
        )
        for level in range(count)
    )
    network.mid_block = MidLevel(
        channels=block_out_channels[-1],
        heads=attention_heads[-1],
        make_block=make_block,
        make_motion=make_motion if motion_mid else None,
        **shared,
    )
    network.up_blocks = nn.ModuleList(
        UpLevel(
            in_channels=block_out_channels[min(level + 1, count - 1)],
            channels=block_out_channels[level],
            # the last skip of a level comes from the level above it (its downsampler, or conv_in)
            skip_channels=(block_out_channels[level],) * layers_per_block + (block_out_channels[max(level - 1, 0)],),
            upsample=level > count - up_levels,
            heads=attention_heads[level],
            make_block=block[level],
            make_motion=motion[level],
            **shared,
        )
        for level in reversed(range(count - up_levels, count))
    )
