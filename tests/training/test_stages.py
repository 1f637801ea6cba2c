"""After each stage exactly the parameters that should have moved have moved, and nothing else."""

import re
from pathlib import Path

import pytest
import torch

from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.presets import PRESETS
from svp.training.options import recipe
from svp.training.run import train

NETWORKS = ("vae", "unet", "reference_net", "guider", "audio_projection", "style_projection", "style_encoder")


def options(stage: str, **changes):
    small = {"steps": 3, "frames": None if stage in ("vae", "prior", "appearance") else 4, "warmup_steps": 0}
    small |= {"ema_decay": 0.0, "groups": 2 if stage == "prior" else None, "per_group": 2, "learning_rate": 1e-2}
    small |= {"batch_size": None if stage == "prior" else 2, "drop_each": 0.0, "drop_all": 0.0}
    small |= {"reference_distance": 2, "checkpoint_every": 2, "validate_every": 3}
    return recipe("mini", stage, **(small | changes))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    pipeline = SVPPipeline.from_pretrained(folder)
    return {
        f"{network}.{name}": tensor.clone()
        for network in NETWORKS
        for name, tensor in getattr(pipeline, network).state_dict().items()
    }


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_preset, tiny_dataset):
    """Model folders after each stage of one small training from start to end."""
    patch = pytest.MonkeyPatch()
    patch.setitem(PRESETS, "mini", tiny_preset)
    root, folders, init = tmp_path_factory.mktemp("runs"), {}, None
    for stage in ("vae", "prior", "appearance", "motion", "style"):
        init = train("mini", tiny_dataset, root / stage, options(stage), init=init, resume=False, max_minutes=None)
        folders[stage] = init
    patch.undo()
    return folders


EXPECTED = {  # stage -> (stage before, what moves, what of it may stay because nothing reaches it)
    "prior": ("vae", r"style_encoder\.", r"^$"),
    "appearance": ("prior", r"unet\.(?!.*(attn2|blocks\.\d+\.norm2|attn_style|norm_style|motion_modules))|reference_net\.|guider\.",  # noqa: E501
                   r"reference_net\.|unet\..*attn1_5\.to_"),
    "motion": ("appearance", r"unet\.|audio_projection\.", r"unet\.(?!.*(attn2|motion_modules))|audio_projection\."),
    "style": ("motion", r"unet\..*(attn_style|norm_style)|style_projection\.", r"^$"),
}  # fmt: skip


@pytest.mark.parametrize("stage", EXPECTED)
def test_only_the_parameters_of_the_stage_move(runs, stage):
    before, allowed, may_stay = EXPECTED[stage]
    old, new = weights(runs[before]), weights(runs[stage])
    changed = moved(old, new)
    wrong = {name for name in changed if not re.match(allowed, name)}
    assert not wrong, f"moved although frozen: {sorted(wrong)[:5]}"
    still = {name for name in old if re.match(allowed, name)} - changed
    stuck = {name for name in still if not re.match(may_stay, name) and "pos_encoder" not in name}
    assert not stuck, f"did not move: {sorted(stuck)[:5]}"
    assert changed


def test_style_layers_stay_zero_until_their_stage(runs):
    for name, tensor in weights(runs["motion"]).items():
        if "attn_style.to_out" in name:
            assert not tensor.any(), name
    assert any(t.any() for name, t in weights(runs["style"]).items() if "attn_style.to_out" in name)


def test_reference_net_learns_in_appearance_and_rests_afterwards(runs):
    appearance = moved(weights(runs["prior"]), weights(runs["appearance"]))
    assert any(name.startswith("reference_net.down_blocks") for name in appearance)
    motion = moved(weights(runs["appearance"]), weights(runs["motion"]))
    assert not any(name.startswith(("reference_net.", "guider.")) for name in motion)


def test_latents_have_unit_scale_and_a_neutral_code_is_set(runs):
    pipeline = SVPPipeline.from_pretrained(runs["style"])
    assert pipeline.vae.config.scaling_factor != 1.0
    assert pipeline.style_encoder.neutral_code.any()


def test_a_stage_asks_for_the_stages_it_builds_on(tiny_dataset, tmp_path, use_tiny):
    with pytest.raises(InputError, match="needs vae"):
        train("mini", tiny_dataset, tmp_path / "run", options("motion"), init=None, resume=False, max_minutes=None)


def test_an_existing_run_is_not_overwritten(runs, tiny_dataset, use_tiny):
    run = runs["vae"].parent
    with pytest.raises(InputError, match="--resume"):
        train("mini", tiny_dataset, run, options("vae"), init=None, resume=False, max_minutes=None)
    with pytest.raises(InputError, match="learning_rate"):
        train("mini", tiny_dataset, run, options("vae", learning_rate=1.0), init=None, resume=True, max_minutes=None)
