"""The stages of Sec. 3.3 as data: what trains, what is frozen, what they build on.

A pattern is a regular expression matched from the start of a parameter's name in `Denoiser` ("unet.…",
"reference_net.…", "guider.…", "audio_projection.…", "style_projection.…"). A parameter trains if one pattern of
`trains` matches and none of `frozen` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from svp.training.options import StageName

AUDIO_LAYERS = r"unet\..*\.transformer_blocks\.\d+\.(attn2|norm2)\."  # resnets have a norm2 of their own
AUDIO_OUTPUTS = r"unet\..*\.attn2\.to_out\.0\."  # start at zero, see `start_motion`
MOTION_MODULES = r"unet\..*motion_modules\."
STYLED = ("style", "turbo")  # stages whose samples carry a style
STYLE_LAYERS = r"unet\..*\.(attn_style|norm_style)\."


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        trains: patterns of parameters that may move.
        frozen: patterns of parameters that must not, even if `trains` names them.
        spatial: what `--train-spatial` adds to `trains`.
        whole: patterns of its own small new layers: with `--lora` they train themselves, not through adapters.
        audio: whether sound takes part in the forward, and with more than one frame the motion modules.
        needs: stages whose result this one builds on.
    """

    name: StageName
    trains: tuple[str, ...]
    frozen: tuple[str, ...]
    spatial: tuple[str, ...]
    whole: tuple[str, ...]
    audio: bool
    needs: tuple[StageName, ...]


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("vae", trains=("",), frozen=(), spatial=(), whole=(), audio=False, needs=()),
        Stage("prior", trains=("",), frozen=(), spatial=(), whole=(), audio=False, needs=()),
        Stage(
            "appearance",
            trains=(r"unet\.", r"reference_net\.", r"guider\."),
            frozen=(AUDIO_LAYERS, MOTION_MODULES, STYLE_LAYERS),
            spatial=(),
            whole=(r"guider\.",),
            audio=False,
            needs=("vae",),
        ),
        Stage(
            "motion",
            trains=(r"audio_projection\.", AUDIO_LAYERS, MOTION_MODULES),
            frozen=(STYLE_LAYERS,),
            spatial=(r"unet\.",),
            whole=(r"audio_projection\.", AUDIO_OUTPUTS),
            audio=True,
            needs=("vae", "appearance"),
        ),
        Stage(
            "style",
            trains=(r"style_projection\.", STYLE_LAYERS),
            frozen=(),
            spatial=(r"unet\.", r"reference_net\.", r"guider\.", r"audio_projection\."),
            whole=(r"style_projection\.",),
            audio=True,
            needs=("vae", "appearance", "motion", "prior"),
        ),
        Stage(
            "turbo",
            trains=(r"unet\.",),
            frozen=(),
            spatial=(),
            whole=(),
            audio=True,
            needs=("vae", "appearance", "motion", "prior", "style"),
        ),
        Stage("tiny-vae", trains=("",), frozen=(), spatial=(), whole=(), audio=False, needs=("vae",)),
    )
}


def select(stage: Stage, model: nn.Module, train_spatial: bool = False, frames: int = 1) -> list[str]:
    """Set `requires_grad` of every parameter as the stage says; the sorted names of those that train.

    Single frames have no motion: they leave the motion modules as they are.
    """
    trains = stage.trains + (stage.spatial if train_spatial else ())
    frozen = stage.frozen + ((MOTION_MODULES,) if frames == 1 else ())
    chosen = []
    for name, parameter in model.named_parameters():
        moves = any(re.match(p, name) for p in trains) and not any(re.match(p, name) for p in frozen)
        parameter.requires_grad_(moves)
        if moves:
            chosen.append(name)
    return sorted(chosen)
