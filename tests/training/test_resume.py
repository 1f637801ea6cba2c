"""A run that is interrupted and resumed ends with the very weights of one that was not."""

import pytest
import torch
from tiny_training import small_options

from svp.diffusion.pipeline import SVPPipeline
from svp.training.loop import latest_checkpoint
from svp.training.run import train

STAGES = {  # stage -> (what it starts from, a network that it trains)
    "vae": (None, "vae"),
    "prior": (None, "style_encoder"),
    "appearance": ("prior", "reference_net"),
    "motion": ("appearance", "unet"),
    "style": ("motion", "style_projection"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_resumed_equals_uninterrupted(tmp_path, tiny_dataset, use_tiny, runs, stage):
    start, network = STAGES[stage]
    init = runs[start] if start else None

    def run(folder: str, steps: int, resume: bool):
        options = small_options(stage, tiny_dataset, init, steps=steps, ema_decay=0.9, warmup_steps=3)
        return train(options, tmp_path / folder, resume=resume, max_minutes=None)

    whole = run("whole", 6, False)
    run("parts", 4, False)
    assert latest_checkpoint(tmp_path / "parts").name == "step_00000004"
    parts = run("parts", 6, True)
    a, b = (getattr(SVPPipeline.from_pretrained(folder), network).state_dict() for folder in (whole, parts))
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_the_time_limit_stops_and_saves(tmp_path, tiny_dataset, use_tiny):
    run = tmp_path / "run"
    model = train(small_options("vae", tiny_dataset, None, steps=1000), run, resume=False, max_minutes=0.0)
    assert latest_checkpoint(run).name == "step_00000001"
    assert (model / "model_index.json").is_file()
