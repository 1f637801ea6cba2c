"""Stage `turbo`: what the student is taught is where the teacher's own sampling ends."""

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from tiny_training import small_options

from svp.diffusion.build import build_pipeline, build_scheduler
from svp.diffusion.guidance import guided
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling import sample_chunk, trailing
from svp.diffusion.sampling_plan import plan_sampling
from svp.errors import InputError
from svp.training.distillation import TurboObjective
from svp.training.options import recipe

F = 3


@pytest.fixture()
def pipeline(tiny_preset) -> SVPPipeline:
    pipeline = build_pipeline(tiny_preset, seed=0)
    generator = torch.Generator().manual_seed(0)
    for parameter in pipeline.denoiser.parameters():
        if not parameter.any():
            parameter.data.normal_(0.0, 0.1, generator=generator)
    return pipeline


def batch(timestep: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "latents": torch.randn(1, 4, F, 8, 8, generator=generator),
        "reference": torch.randn(1, 4, 8, 8, generator=generator),
        "noise": torch.randn(1, 4, F, 8, 8, generator=generator),
        "timestep": torch.tensor([timestep]),
        "weight": torch.ones(1, F, 8, 8),
        "keep": torch.ones(1, 4, dtype=torch.bool),
        "audio": torch.randn(1, F, 5, 1920, generator=generator),
        "head_kps": torch.rand(1, 3, F, 32, 32, generator=generator),
        "style": torch.randn(1, 16, generator=generator),
    }


def turbo(pipeline: SVPPipeline, scheduler: EulerDiscreteScheduler, steps: int, teacher_steps: int) -> TurboObjective:
    return TurboObjective(
        pipeline.denoiser, scheduler, guidance_audio=2.0, guidance_style=1.5, steps=steps, teacher_steps=teacher_steps
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("teacher_steps", [1, 4, 7])
def test_the_students_steps_are_among_the_teachers(steps: int, teacher_steps: int) -> None:
    scheduler = trailing(build_scheduler("v_prediction", False))
    scheduler.set_timesteps(steps * teacher_steps)
    fine = scheduler.timesteps[::teacher_steps].clone()
    scheduler.set_timesteps(steps)
    assert torch.equal(scheduler.timesteps, fine) and fine[0] == 999


@pytest.mark.parametrize(
    ("prediction", "zero_snr"), [("v_prediction", True), ("v_prediction", False), ("epsilon", False)]
)
@torch.no_grad()
def test_one_step_is_taught_the_end_of_the_teachers_guided_sampling(pipeline, prediction: str, zero_snr: bool) -> None:
    scheduler = build_scheduler(prediction, zero_snr)
    objective, given = turbo(pipeline, scheduler, steps=1, teacher_steps=5), batch(700)
    conditions = objective.encode(given, given["reference"])
    wanted = sample_chunk(
        lambda latents, t, window: guided(lambda part: pipeline.unet(latents, t, part), conditions, 2.0, 1.5),
        trailing(scheduler), given["noise"], given["noise"][:, :, :0],
        num_inference_steps=5, window=F, overlap=0,
    )  # fmt: skip
    first = torch.zeros(1, dtype=torch.int64)
    state = objective.state(given["latents"], given["noise"], first)
    target = objective.target(state, first, given, given["reference"])
    torch.testing.assert_close(target, wanted, atol=2e-3, rtol=1e-3)  # states are up to 4096 times as large


@pytest.mark.parametrize("timestep", [100, 600, 900])
@torch.no_grad()
def test_a_teacher_without_guidance_and_between_steps_teaches_what_it_says(pipeline, timestep: int) -> None:
    objective = TurboObjective(
        pipeline.denoiser, build_scheduler("v_prediction", True), guidance_audio=1.0, guidance_style=1.0,
        steps=3, teacher_steps=1,
    )  # fmt: skip
    assert float(objective(batch(timestep))[0]) == pytest.approx(0.0, abs=1e-5)


def test_only_the_student_learns_and_the_teacher_stays(pipeline) -> None:
    objective = turbo(pipeline, build_scheduler("v_prediction", True), steps=2, teacher_steps=2)
    objective(batch(300))[0].backward()
    assert not any(parameter.requires_grad for parameter in objective.teacher.parameters())
    assert all(p.grad is not None for n, p in pipeline.unet.named_parameters())


def test_the_distilled_model_samples_as_it_learned(runs) -> None:
    teacher, student = (SVPPipeline.from_pretrained(runs[name]) for name in ("style", "turbo"))
    settings = student.settings
    assert (settings.num_inference_steps, settings.turbo_steps) == (4, 4)
    assert (settings.guidance_audio, settings.guidance_style) == (1.0, 1.0)
    assert student.scheduler.config["timestep_spacing"] == "trailing"
    assert plan_sampling("turbo", settings, torch.device("cpu")).num_inference_steps == 4
    with pytest.raises(InputError, match="not distilled"):
        plan_sampling("turbo", teacher.settings, torch.device("cpu"))


def test_options_of_other_stages_are_refused(tiny_dataset) -> None:
    with pytest.raises(InputError, match="--turbo-steps: stage style does not use it"):
        recipe("mini", "style", tiny_dataset, None, turbo_steps=2)
    with pytest.raises(InputError):
        small_options("turbo", tiny_dataset, None, turbo_steps=5)
