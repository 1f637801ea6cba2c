"""The preset `base` with its layout and tiny widths."""

from pathlib import Path

from svp.presets import BASE, AudioProjectionSizes, GuiderSizes, Preset
from svp.training.options import StageName, TrainOptions, recipe


def tiny_base() -> Preset:
    """Four levels, no attention in the deepest, motion modules everywhere; 64 pixels."""
    unet = BASE.unet.model_copy(
        update={
            "block_out_channels": (8, 16, 16, 16), "attention_heads": (2, 2, 2, 2), "norm_num_groups": 4,
            "audio_token_dim": 8, "style_token_dim": 8, "motion_heads": 2,
        }
    )  # fmt: skip
    return BASE.model_copy(
        update={
            "unet": unet,
            "image_size": 64,
            "guider": GuiderSizes(image_channels=3, block_out_channels=(4, 4, 4, 8)),
            "audio_projection": AudioProjectionSizes(
                alpha_dim=1920, window=5, dim=8, depth=1, heads=2, head_dim=4, tokens=5, ff_mult=1, standardize=False
            ),
        }
    )


def tiny_options(stage: StageName, **changes: object) -> TrainOptions:
    """`base`'s recipe with two samples of two frames."""
    small: dict[str, object] = {} if stage == "prior" else {"batch_size": 2}
    if stage in ("motion", "style"):
        small["frames"] = 2
    return recipe("base", stage, Path("none"), None, **(small | changes))
