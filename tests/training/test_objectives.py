"""The losses against plain loops in float64, with networks that record what they are given."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.training_utils import compute_snr
from torch import Tensor, nn

from contrastive_loop import contrastive_loop
from svp.style.encoder import StyleGaussian
from svp.training.objectives import DiffusionObjective, PriorObjective, TinyVaeObjective, VaeObjective, min_snr_weight
from svp.training.samples import CONDITIONS
from svp.training.stages import STAGES

START, END, STEPS = 0.00085, 0.012, 1000


def cells(*sizes: int) -> itertools.product:
    return itertools.product(*map(range, sizes))


class RecordingDenoiser(nn.Module):
    """Answers with a fixed prediction and keeps what it was asked."""

    def __init__(self, prediction: Tensor) -> None:
        super().__init__()
        self.prediction = prediction

    def encode(self, reference, audio, head_kps, style=None, *, keep):
        self.conditions = {"reference": reference, "audio": audio, "head_kps": head_kps, "style": style}
        self.keep = keep
        return self.conditions

    def forward(self, latents, timestep, conditions, motion=True):
        assert conditions is self.conditions
        self.latents, self.timestep, self.motion = latents, timestep, motion
        return self.prediction


def diffusion(
    audio: bool,
    prediction_type: str = "epsilon",
    frames: int = 3,
    style: bool = True,
    gamma: float | None = None,
    change_weight: float = 0.0,
):
    """Objective, its stub and a batch of two videos."""
    generator = torch.Generator().manual_seed(frames)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    scheduler = EulerDiscreteScheduler(
        beta_start=START, beta_end=END, beta_schedule="scaled_linear", prediction_type=prediction_type
    )
    shape = (2, 4, frames, 2, 3)
    batch = {
        "latents": draw(*shape),
        "noise": draw(*shape),
        "timestep": torch.tensor([37, 801]),
        "reference": draw(2, 4, 2, 3),
        "audio": draw(2, frames, 5, 8),
        "head_kps": draw(2, 3, frames, 16, 24),
        "weight": draw(2, frames, 2, 3).abs(),
        "keep": torch.rand(2, len(CONDITIONS), generator=generator) < 0.5,
    }
    if style:
        batch["style"] = draw(2, 6)
    denoiser = RecordingDenoiser(draw(*shape))
    return DiffusionObjective(denoiser, scheduler, audio, gamma, change_weight=change_weight).double(), denoiser, batch


def alpha_bar(t: int) -> float:
    """Product of 1 - beta up to step t of the scaled linear schedule."""
    low, high = math.sqrt(START), math.sqrt(END)
    return math.prod(1 - (low + (high - low) * step / (STEPS - 1)) ** 2 for step in range(t + 1))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_diffusion_loss_is_equation_1_written_as_a_loop(prediction_type):
    objective, denoiser, batch = diffusion(True, prediction_type)
    loss, figures = objective(batch)
    total, unweighted = 0.0, 0.0
    noisy = torch.empty_like(batch["latents"])
    for b, c, f, y, x in cells(*batch["latents"].shape):
        alpha = alpha_bar(int(batch["timestep"][b]))
        clean, noise = float(batch["latents"][b, c, f, y, x]), float(batch["noise"][b, c, f, y, x])
        noisy[b, c, f, y, x] = math.sqrt(alpha) * clean + math.sqrt(1 - alpha) * noise
        velocity = math.sqrt(alpha) * noise - math.sqrt(1 - alpha) * clean
        target = noise if prediction_type == "epsilon" else velocity
        square = (float(denoiser.prediction[b, c, f, y, x]) - target) ** 2
        unweighted += square
        total += square * float(batch["weight"][b, f, y, x])
    # the scheduler holds its table in float32
    torch.testing.assert_close(denoiser.latents, noisy, atol=1e-5, rtol=0)
    assert torch.equal(denoiser.timestep, batch["timestep"])
    assert float(loss) == pytest.approx(total / noisy.numel(), rel=1e-5)
    assert float(figures["loss"]) == float(loss)
    assert float(figures["mse"]) == pytest.approx(unweighted / noisy.numel(), rel=1e-5)


def test_the_change_between_frames_counts_beside_equation_1():
    plain, _, batch = diffusion(True)
    objective, denoiser, _ = diffusion(True, change_weight=0.7)
    off = denoiser.prediction - batch["noise"]
    change = sum(
        float(batch["weight"][b, f, y, x]) * float((off[b, :, f, y, x] - off[b, :, f - 1, y, x]).square().mean())
        for b, f, y, x in cells(2, 3, 2, 3)
        if f > 0
    ) / (2 * 2 * 2 * 3)
    assert float(objective(batch)[0]) == pytest.approx(float(plain(batch)[0]) + 0.7 * change, rel=1e-12)


def test_a_single_frame_has_no_change():
    plain, _, batch = diffusion(True, frames=1)
    objective, _, _ = diffusion(True, frames=1, change_weight=0.7)
    assert torch.equal(objective(batch)[0], plain(batch)[0])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_min_snr_weighs_each_video_by_the_formula_of_its_paper(prediction_type):
    gamma, losses = 5.0, {}
    for weighted in (None, gamma):
        objective, _, batch = diffusion(True, prediction_type, gamma=weighted)
        single = {name: value[:1] for name, value in batch.items()}
        objective.denoiser.prediction = objective.denoiser.prediction[:1]
        losses[weighted] = objective(single)
    scheduler = EulerDiscreteScheduler(beta_start=START, beta_end=END, beta_schedule="scaled_linear")
    snr = compute_snr(scheduler, batch["timestep"])
    assert snr[0] > gamma > snr[1]  # both sides of the cap
    expected = snr.clamp(max=gamma) / (snr if prediction_type == "epsilon" else snr + 1)
    ratio = float(losses[gamma][0]) / float(losses[None][0])
    assert ratio == pytest.approx(float(expected[0]), rel=1e-5)
    assert float(losses[gamma][1]["mse"]) == float(losses[None][1]["mse"])
    weight = min_snr_weight(scheduler.alphas_cumprod, gamma, prediction_type)
    snr = compute_snr(scheduler, torch.arange(STEPS))
    torch.testing.assert_close(weight, snr.clamp(max=gamma) / (snr if prediction_type == "epsilon" else snr + 1))
    zero_terminal = min_snr_weight(torch.zeros(1), gamma, prediction_type)
    assert float(zero_terminal) == (1.0 if prediction_type == "epsilon" else 0.0)


def test_min_snr_weighs_the_videos_of_a_batch_each_by_its_own_step():
    objective, denoiser, batch = diffusion(True, gamma=5.0)
    denoiser.prediction = batch["noise"].clone()
    denoiser.prediction[1] += 1.0  # only the second video, whose step has weight 1, is wrong
    assert float(objective(batch)[0]) == pytest.approx(float(batch["weight"][1].sum() / batch["weight"].numel()))


def test_a_cell_of_weight_zero_does_not_count():
    objective, denoiser, batch = diffusion(True)
    batch["weight"][1, 2, 0, 1] = 0.0
    before = objective(batch)[0]
    denoiser.prediction[1, :, 2, 0, 1] += 100.0
    assert float(objective(batch)[0]) == float(before)
    denoiser.prediction[1, :, 2, 1, 1] += 1.0
    assert float(objective(batch)[0]) != float(before)


def test_conditions_are_handed_on_with_their_dropout():
    objective, denoiser, batch = diffusion(True)
    objective(batch)
    for number, name in enumerate(CONDITIONS):
        assert denoiser.conditions[name] is batch[name]
        assert torch.equal(getattr(denoiser.keep, name), batch["keep"][:, number])
    objective, denoiser, batch = diffusion(True, style=False)
    objective(batch)
    assert denoiser.conditions["style"] is None


@pytest.mark.parametrize(
    ("stage", "frames", "sound", "motion"),
    [
        ("appearance", 1, False, False),
        ("appearance", 3, False, False),
        ("motion", 3, True, True),
        ("motion", 1, True, False),  # single frames go past the motion modules
        ("style", 3, True, True),
        ("style", 1, True, False),
    ],
)
def test_stage_appearance_gets_no_audio_and_no_motion(stage, frames, sound, motion):
    objective, denoiser, batch = diffusion(STAGES[stage].audio, frames=frames)
    objective(batch)
    assert (denoiser.conditions["audio"] is not None) is sound
    assert denoiser.motion is motion


class RecordingEncoder(nn.Module):
    """Answers with a fixed Gaussian per clip and keeps what it was asked."""

    def __init__(self, gaussian: StyleGaussian) -> None:
        super().__init__()
        self.gaussian = gaussian

    def forward(self, expression, audio, present):
        self.expression, self.audio, self.present = expression, audio, present
        return self.gaussian


def test_the_prior_loss_is_equations_6_and_7_on_sampled_styles():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    mean, variance, noise = draw(5, 6), draw(5, 6).square(), draw(5, 6)
    mean[2] = mean[0] + 0.01  # nearest: 0 and 2 are of one group, 1, 3 and 4 are far from all
    mean[[1, 3, 4]] += torch.tensor([[20.0], [45.0], [50.0]], dtype=torch.float64)
    batch = {
        "expression": draw(5, 7, 3),
        "audio": draw(5, 7, 4),
        "present": torch.ones(5, 7, dtype=torch.bool),
        "labels": torch.tensor([0, 1, 0, 1, 2]),
        "keep_expression": torch.tensor([True, True, False, True, True]),
        "keep_audio": torch.tensor([False, True, True, True, False]),
        "noise": noise,
    }
    encoder = RecordingEncoder(StyleGaussian(mean, variance))
    loss, figures = PriorObjective(encoder, 0.1)(batch)
    styles = torch.empty_like(mean)
    for b, d in cells(*mean.shape):
        styles[b, d] = float(mean[b, d]) + math.sqrt(float(variance[b, d])) * float(noise[b, d])  # Eq. 4
    assert float(loss) == pytest.approx(contrastive_loop(styles, batch["labels"], 0.1), abs=1e-12)
    assert float(figures["sigma"]) == pytest.approx(float(variance.sqrt().mean()))
    assert float(figures["nearest_is_positive"]) == pytest.approx(2 / 5)
    for name in ("expression", "audio"):
        given = getattr(encoder, name)
        for clip, keep in enumerate(batch[f"keep_{name}"]):
            assert torch.equal(given[clip], batch[name][clip] if keep else torch.zeros_like(given[clip]))
    assert encoder.present is batch["present"]


class RecordingVae(nn.Module):
    """Answers with a fixed posterior and picture and keeps the latents it decodes."""

    def __init__(self, moments: Tensor, restored: Tensor) -> None:
        super().__init__()
        self.moments, self.restored = moments, restored

    def encode(self, pixels):
        self.pixels = pixels
        return SimpleNamespace(latent_dist=DiagonalGaussianDistribution(self.moments))

    def decode(self, latents):
        self.latents = latents
        return SimpleNamespace(sample=self.restored)


def test_the_vae_loss_is_weighted_l1_of_pixels_and_edges_and_a_kl_term():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    pixels, restored, weight = draw(2, 3, 4, 5).clamp(-1, 1), draw(2, 3, 4, 5), draw(2, 4, 5).abs()
    mean, logvar, noise = draw(2, 4, 2, 2), draw(2, 4, 2, 2), draw(2, 4, 2, 2)
    vae = RecordingVae(torch.cat([mean, logvar], dim=1), restored)
    loss, figures = VaeObjective(vae, 0.7)({"pixels": pixels, "weight": weight, "noise": noise})

    assert vae.pixels is pixels
    torch.testing.assert_close(vae.latents, mean + (0.5 * logvar).exp() * noise)
    l1, down, right, squares = 0.0, 0.0, 0.0, 0.0
    for b, c, y, x in cells(2, 3, 4, 5):
        w, error = float(weight[b, y, x]), (restored - pixels)[b, c]
        l1 += w * abs(float(error[y, x])) / (2 * 3 * 4 * 5)
        squares += (float(restored[b, c, y, x].clamp(-1, 1)) - float(pixels[b, c, y, x])) ** 2 / (2 * 3 * 4 * 5)
        if y < 3:
            down += w * abs(float(error[y + 1, x] - error[y, x])) / (2 * 3 * 3 * 5)
        if x < 4:
            right += w * abs(float(error[y, x + 1] - error[y, x])) / (2 * 3 * 4 * 4)
    kl = 0.0  # per pixel value, of the standard normal
    for m, v in zip(mean.flatten().tolist(), logvar.flatten().tolist(), strict=True):
        kl += 0.5 * (m**2 + math.exp(v) - 1 - v) / 2 / (3 * 4 * 5)
    assert float(loss) == pytest.approx(l1 + down + right + 0.7 * kl, rel=1e-12)
    assert float(figures["kl"]) == pytest.approx(kl, rel=1e-12)
    assert float(figures["psnr"]) == pytest.approx(10 * math.log10(4 / squares))


def test_the_tiny_decoder_is_taught_the_vaes_own_pictures_of_the_same_latents():
    generator = torch.Generator().manual_seed(0)
    pixels, picture, restored = torch.rand((3, 2, 3, 4, 5), generator=generator) * 2 - 1
    moments, noise = torch.randn((2, 8, 2, 2), generator=generator), torch.randn((2, 4, 2, 2), generator=generator)
    vae, tiny = RecordingVae(moments, picture), RecordingVae(moments, restored)
    given = {"weight": torch.rand((2, 4, 5), generator=generator), "noise": noise}
    loss, figures = TinyVaeObjective(tiny, vae)(given | {"pixels": pixels})
    wanted, same = VaeObjective(RecordingVae(moments, restored), 0.0)(given | {"pixels": picture})
    assert float(loss) == float(wanted) > 0 and float(figures["psnr"]) == float(same["psnr"])
    assert vae.pixels is pixels and tiny.latents is vae.latents
