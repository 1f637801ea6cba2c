"""A run that is interrupted and resumed ends with the very weights of one that was not."""

import pytest
import torch
from tiny_training import small_options

from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.media.only_writer import only_writer
from svp.training.loop import _schedule, latest_checkpoint
from svp.training.run import train

pytestmark = pytest.mark.long

STAGES = {  # stage -> (what it starts from, a network that it trains)
    "vae": (None, "vae"),
    "prior": (None, "style_encoder"),
    "appearance": ("prior", "reference_net"),
    "motion": ("appearance", "unet"),
    "style": ("motion", "style_projection"),
    "turbo": ("style", "unet"),
    "tiny-vae": ("vae", "tiny_vae"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_resumed_equals_uninterrupted(tmp_path, tiny_dataset, use_tiny, runs, stage):
    start, network = STAGES[stage]
    init = runs[start] if start else None

    def run(folder: str, steps: int, resume: bool):
        options = small_options(stage, tiny_dataset, init, steps=steps, ema_decay=0.9, warmup_steps=2)
        return train(options, tmp_path / folder, resume=resume, max_minutes=None)

    whole = run("whole", 4, False)
    run("parts", 2, False)
    assert latest_checkpoint(tmp_path / "parts").name == "step_00000002"
    parts = run("parts", 4, True)
    a, b = (getattr(SVPPipeline.from_pretrained(folder), network).state_dict() for folder in (whole, parts))
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_the_learning_rate_rises_stays_and_falls_wherever_a_run_is_resumed(tmp_path, tiny_dataset):
    options = small_options("vae", tiny_dataset, None, steps=10, warmup_steps=2, decay_steps=4, learning_rate=1.0)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rates = []
    for step in range(10):
        if step in (0, 1, 7):
            schedule = _schedule(optimizer, options, step)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == [0, 0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_the_time_limit_stops_and_saves(tmp_path, tiny_dataset, use_tiny):
    run = tmp_path / "run"
    model = train(small_options("vae", tiny_dataset, None, steps=1000), run, resume=False, max_minutes=0.0)
    assert latest_checkpoint(run).name == "step_00000001"
    assert (model / "model_index.json").is_file()


def test_two_runs_do_not_share_a_folder(tmp_path, tiny_dataset):
    with (
        only_writer(tmp_path / "run", "testing"),
        pytest.raises(InputError, match="run: another run is training in it"),
    ):
        train(small_options("vae", tiny_dataset, None), tmp_path / "run", resume=False, max_minutes=None)
