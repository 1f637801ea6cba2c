"""The stages of Sec. 3.3 as data: what trains, what is frozen, which samples, which loss.

A pattern is a regular expression matched from the start of a parameter's name in `Denoiser` ("unet.…",
"reference_net.…", "guider.…", "audio_projection.…", "style_projection.…"). A parameter trains if one pattern of
`trains` matches and none of `frozen` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from torch import nn

from svp.training.options import StageName

AUDIO_LAYERS = r"unet\..*\.transformer_blocks\.\d+\.(attn2|norm2)\."  # resnets have a norm2 of their own
MOTION_MODULES = r"unet\..*motion_modules\."
STYLE_LAYERS = r"unet\..*\.(attn_style|norm_style)\."


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        trains: patterns of parameters that may move.
        frozen: patterns of parameters that must not, even if `trains` names them.
        spatial: what `--train-spatial` adds to `trains`.
        samples: which samples the stage draws (`training/samples.py`).
        motion: whether the motion modules take part in the forward.
        needs: stages whose result this one builds on.
    """

    name: StageName
    trains: tuple[str, ...]
    frozen: tuple[str, ...]
    spatial: tuple[str, ...]
    samples: Literal["pictures", "groups", "frames", "clips", "pairs"]
    motion: bool
    needs: tuple[StageName, ...]


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("vae", trains=("",), frozen=(), spatial=(), samples="pictures", motion=False, needs=()),
        Stage("prior", trains=("",), frozen=(), spatial=(), samples="groups", motion=False, needs=()),
        Stage(
            "appearance",
            trains=(r"unet\.", r"reference_net\.", r"guider\."),
            frozen=(AUDIO_LAYERS, MOTION_MODULES, STYLE_LAYERS),
            spatial=(),
            samples="frames",
            motion=False,
            needs=("vae",),
        ),
        Stage(
            "motion",
            trains=(r"audio_projection\.", AUDIO_LAYERS, MOTION_MODULES),
            frozen=(STYLE_LAYERS,),
            spatial=(r"unet\.",),
            samples="clips",
            motion=True,
            needs=("vae", "appearance"),
        ),
        Stage(
            "style",
            trains=(r"style_projection\.", STYLE_LAYERS),
            frozen=(),
            spatial=(r"unet\.",),
            samples="pairs",
            motion=True,
            needs=("vae", "appearance", "motion", "prior"),
        ),
    )
}


def select(stage: Stage, model: nn.Module, train_spatial: bool = False) -> list[str]:
    """Set `requires_grad` of every parameter as the stage says; the sorted names of those that train."""
    trains = stage.trains + (stage.spatial if train_spatial else ())
    chosen = []
    for name, parameter in model.named_parameters():
        moves = any(re.match(p, name) for p in trains) and not any(re.match(p, name) for p in stage.frozen)
        parameter.requires_grad_(moves)
        if moves:
            chosen.append(name)
    return sorted(chosen)
