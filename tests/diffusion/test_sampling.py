"""Sampling with denoisers that are plain functions, so that the right answer is known."""

from collections.abc import Callable

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor

from svp.diffusion.build import build_scheduler
from svp.diffusion.conditions import Conditions
from svp.diffusion.guidance import guided
from svp.diffusion.noise import frame_noise
from svp.diffusion.sampling import count_evaluations, sample_chunk, sample_video
from svp.diffusion.windows import Chunk, Window

SHAPE = (2, 3, 3)
SIZES = {"num_inference_steps": 4, "window": 8, "overlap": 2}


def scheduler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
    )


def shrinking(latents: Tensor, timestep: Tensor, part: Window) -> Tensor:
    """A denoiser of single frames: any function of the noisy frame and the step."""
    return torch.tanh(latents) * (0.5 + timestep / 2000)


def frames(
    n_frames: int, predict: Callable = shrinking, seed: int = 3, chunk: int = 20, **sizes: float
) -> list[Tensor]:
    video = sample_video(
        lambda part: predict, scheduler(), n_frames=n_frames, latent_shape=SHAPE, seed=seed, chunk=chunk,
        **{**SIZES, **sizes},
    )  # fmt: skip
    return list(video)


def test_one_window_is_the_plain_euler_loop() -> None:
    noise = frame_noise(0, 0, 6, SHAPE).transpose(0, 1)[None]
    got = sample_chunk(shrinking, scheduler(), noise, noise[:, :, :0], num_inference_steps=5, window=8, overlap=2)
    reference = scheduler()
    reference.set_timesteps(5)
    latents = noise * reference.init_noise_sigma
    for t in reference.timesteps:
        prediction = shrinking(reference.scale_model_input(latents, t), t, Window(0, 6))
        latents = reference.step(prediction, t, latents).prev_sample
    torch.testing.assert_close(got, latents, rtol=0, atol=1e-6)


def test_a_frame_wise_denoiser_gives_the_same_frames_whatever_the_windows() -> None:
    whole = torch.cat(frames(19, window=19, chunk=19), dim=2)
    torch.testing.assert_close(torch.cat(frames(19, window=5, overlap=3, chunk=19), dim=2), whole)
    torch.testing.assert_close(torch.cat(frames(19, window=5, overlap=3, chunk=7), dim=2), whole)


def test_frames_of_one_noise_are_one_picture_to_a_frame_wise_denoiser() -> None:
    alone = torch.cat(frames(19, chunk=8), dim=2)
    together = torch.cat(frames(19, chunk=8, shared_noise=1.0), dim=2)
    assert float(alone.std(dim=2).min()) > 0
    torch.testing.assert_close(together, together[:, :, :1].expand_as(together))


@pytest.mark.parametrize(
    ("prediction_type", "zero_terminal_snr", "steps"),
    [("epsilon", False, 25), ("v_prediction", False, 25), ("v_prediction", True, 25), ("v_prediction", True, 1)],
)
def test_the_true_denoiser_of_a_point_finds_the_point(
    prediction_type: str, zero_terminal_snr: bool, steps: int
) -> None:
    target = torch.randn(1, *SHAPE[:1], 1, *SHAPE[1:], generator=torch.Generator().manual_seed(0))
    euler = build_scheduler(prediction_type, zero_terminal_snr)

    def oracle(latents: Tensor, timestep: Tensor, part: Window) -> Tensor:
        a = euler.alphas_cumprod[timestep.long()]
        noise = (latents - a.sqrt() * target) / (1 - a).sqrt()
        return noise if prediction_type == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * target

    video = sample_video(
        lambda part: oracle, euler, n_frames=30, latent_shape=SHAPE, seed=1, chunk=20,
        num_inference_steps=steps, window=8, overlap=2,
    )  # fmt: skip
    got = torch.cat(list(video), dim=2)
    torch.testing.assert_close(got, target.expand_as(got), rtol=0, atol=1e-3)


def test_the_scheduler_steps_once_per_step_for_all_frames_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[int] = []
    step = EulerDiscreteScheduler.step

    def counted(self: EulerDiscreteScheduler, output: Tensor, *args: object, **kwargs: object) -> object:
        shapes.append(output.shape[2])
        return step(self, output, *args, **kwargs)

    monkeypatch.setattr(EulerDiscreteScheduler, "step", counted)
    frames(38)  # chunks 0-20 and 18-38
    assert shapes == [20] * 4 + [20] * 4


def test_known_frames_stay_and_are_shown_to_the_denoiser_at_the_level_of_the_step() -> None:
    noise = frame_noise(0, 10, 18, SHAPE).transpose(0, 1)[None]
    known = torch.ones(1, SHAPE[0], 3, *SHAPE[1:])
    euler, seen = scheduler(), []

    def watching(latents: Tensor, timestep: Tensor, part: Window) -> Tensor:
        seen.append((int(timestep), latents[:, :, :3].clone()))
        return shrinking(latents, timestep, part)

    got = sample_chunk(watching, euler, noise, known, num_inference_steps=4, window=8, overlap=2)
    assert torch.equal(got[:, :, :3], known)
    for t, latents in seen:
        a = euler.alphas_cumprod[t]
        torch.testing.assert_close(latents, a.sqrt() * known + (1 - a).sqrt() * noise[:, :, :3], rtol=1e-4, atol=1e-4)


def test_a_chunk_starts_with_the_end_of_the_one_before() -> None:
    """A denoiser that copies its window's first frame: the video keeps what the first chunk found."""

    def copying(latents: Tensor, timestep: Tensor, part: Window) -> Tensor:
        return latents[:, :, :1].expand_as(latents)

    first, second = frames(14, copying, window=8, overlap=2, chunk=8)
    assert first.shape[2] == 8 and second.shape[2] == 6
    own = frames(14, copying, seed=4, window=8, overlap=2, chunk=8)
    assert not torch.allclose(own[1], second)


def test_the_first_frames_of_a_longer_video_are_those_of_a_shorter_one() -> None:
    def mixing(latents: Tensor, timestep: Tensor, part: Window) -> Tensor:
        return torch.tanh(latents + latents.mean(dim=2, keepdim=True))

    short = torch.cat(frames(38, mixing), dim=2)
    long = torch.cat(frames(74, mixing), dim=2)
    assert torch.equal(long[:, :, :38], short)


@pytest.mark.parametrize("n_frames", [1, 2, 7, 8, 9, 19, 20, 21, 27, 1000])
def test_any_length_runs_and_progress_is_counted(n_frames: int) -> None:
    calls = []
    video = sample_video(
        lambda part: shrinking, scheduler(), n_frames=n_frames, latent_shape=SHAPE, seed=0, chunk=20,
        progress=lambda: calls.append(1), **SIZES,
    )  # fmt: skip
    got = torch.cat(list(video), dim=2)
    assert got.shape == (1, SHAPE[0], n_frames, *SHAPE[1:]) and torch.isfinite(got).all()
    assert len(calls) == count_evaluations(n_frames, chunk=20, **SIZES)


def test_the_conditions_of_a_chunk_are_prepared_when_it_is_its_turn() -> None:
    asked: list[Chunk] = []

    def prepare(part: Chunk) -> Callable:
        asked.append(part)
        return shrinking

    video = sample_video(prepare, scheduler(), n_frames=50, latent_shape=SHAPE, seed=0, chunk=20, **SIZES)
    assert asked == []
    next(video)
    assert asked == [Chunk(0, 20, 0)]
    list(video)
    assert asked == [Chunk(0, 20, 0), Chunk(18, 38, 2), Chunk(36, 50, 2)]


class Counting:
    """Answers 1 for no condition, 10 without style, 100 with style, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, conditions: Conditions) -> Tensor:
        self.calls += 1
        value = 100.0 if conditions.style is not None else 10.0 if conditions.head_kps is not None else 1.0
        return torch.tensor(value, dtype=torch.float64)


def conditions(style: bool) -> Conditions:
    pair = (torch.zeros(1), torch.zeros(1))
    return Conditions(
        reference={"a": pair}, audio={"a": pair}, style={"a": pair} if style else None, head_kps=torch.zeros(1)
    )


@pytest.mark.parametrize(
    ("audio", "style", "evaluations"), [(3.5, 2.0, 3), (3.5, 3.5, 2), (1.0, 1.0, 1), (1.0, 3.0, 2), (2.0, 0.0, 2)]
)
def test_guidance_is_the_formula(audio: float, style: float, evaluations: int) -> None:
    predict = Counting()
    got = guided(predict, conditions(style=True), audio, style)
    assert float(got) == pytest.approx(1 + audio * (10 - 1) + style * (100 - 10))
    assert predict.calls == evaluations


def test_guidance_without_style_needs_two_evaluations() -> None:
    predict = Counting()
    assert float(guided(predict, conditions(style=False), 3.5, 2.0)) == pytest.approx(1 + 3.5 * 9)
    assert predict.calls == 2
