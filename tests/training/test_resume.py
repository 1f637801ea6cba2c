"""A run that is interrupted and resumed ends with the very weights of one that was not."""

import pytest
import torch

from svp.diffusion.pipeline import SVPPipeline
from svp.training.loop import latest_checkpoint
from svp.training.options import recipe
from svp.training.run import train


def options(steps: int, stage: str):
    return recipe(
        "mini", stage, steps=steps, batch_size=None if stage == "prior" else 2, groups=2, per_group=2,
        checkpoint_every=2, validate_every=2, warmup_steps=3, learning_rate=1e-3,
    )  # fmt: skip


@pytest.mark.parametrize(("stage", "network"), [("vae", "vae"), ("prior", "style_encoder")])
def test_resumed_equals_uninterrupted(tmp_path, tiny_dataset, use_tiny, stage, network):
    whole = train(
        "mini", tiny_dataset, tmp_path / "whole", options(6, stage), init=None, resume=False, max_minutes=None
    )
    first = tmp_path / "parts"
    train("mini", tiny_dataset, first, options(4, stage), init=None, resume=False, max_minutes=None)
    assert latest_checkpoint(first).name == "step_00000004"
    parts = train("mini", tiny_dataset, first, options(6, stage), init=None, resume=True, max_minutes=None)
    a, b = (getattr(SVPPipeline.from_pretrained(folder), network).state_dict() for folder in (whole, parts))
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_the_time_limit_stops_and_saves(tmp_path, tiny_dataset, use_tiny):
    run = tmp_path / "run"
    model = train("mini", tiny_dataset, run, options(1000, "vae"), init=None, resume=False, max_minutes=0.0)
    assert latest_checkpoint(run).name == "step_00000001"
    assert (model / "model_index.json").is_file()
