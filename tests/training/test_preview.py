"""What TensorBoard shows of a stage: the right pictures, and training that does not notice."""

import io

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_training import SIZE, small_options

from svp.datasets.prepared import PreparedDataset
from svp.diffusion.pipeline import SVPPipeline
from svp.training.preview import PicturePreview, animation
from svp.training.run import _diffusion_task, train
from svp.training.stages import STAGES


def shown(run) -> list[tuple[int, Image.Image]]:
    """Step and picture of what TensorBoard has among its images."""
    events = EventAccumulator(str(run / "logs" / "svp"), size_guidance={"images": 0}).Reload()
    return [(event.step, Image.open(io.BytesIO(event.encoded_image_string))) for event in events.Images("samples")]


@pytest.mark.parametrize(
    ("stage", "init", "frames"), [("vae", None, 1), ("tiny-vae", "vae", 1), ("style", "motion", 4)]
)
def test_samples_are_shown_and_change_nothing(stage, init, frames, tmp_path, tiny_dataset, use_tiny, runs):
    init = runs[init] if init else None
    models = {}
    for every in (0, 2):
        options = small_options(stage, tiny_dataset, init, sample_every=every, ema_decay=0.5)
        models[every] = train(options, tmp_path / str(every), resume=False, max_minutes=None)
    weights = sorted(path.relative_to(models[0]) for path in models[0].rglob("*.safetensors"))
    assert weights
    for path in weights:
        assert (models[0] / path).read_bytes() == (models[2] / path).read_bytes(), path
    pictures = shown(tmp_path / "2")
    assert [step for step, _ in pictures] == [2, 3]  # every second step and at the end
    columns = 3 if stage == "style" else 2
    for _, picture in pictures:
        assert picture.size == (columns * SIZE, 2 * SIZE)  # two validation clips
        assert getattr(picture, "n_frames", 1) == frames


@pytest.mark.parametrize("stage", ["appearance", "style"])
def test_a_perfect_denoiser_shows_the_truth_beside_the_truth(stage, tiny_dataset, use_tiny, runs, monkeypatch):
    pipeline = SVPPipeline.from_pretrained(runs["style"])
    options = small_options(stage, tiny_dataset, runs["style"])
    task = _diffusion_task(pipeline, PreparedDataset(tiny_dataset), STAGES[stage], options)
    objective, encode = task.objective, task.objective.encode
    truth = {}

    def record(batch, reference):
        truth["latents"] = batch["latents"]
        return encode(batch, reference)

    def perfect(noisy, timestep, conditions):
        alpha = objective.alphas_cumprod[int(timestep)]
        noise = (noisy - alpha.sqrt() * truth["latents"]) / (1 - alpha).sqrt()
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * truth["latents"]
        return noise if objective.prediction_type == "epsilon" else velocity

    monkeypatch.setattr(objective, "encode", record)
    monkeypatch.setattr(objective, "predict", perfect)
    frames = task.preview()
    assert frames.shape == (options.frames, 2 * SIZE, 3 * SIZE, 3) and frames.dtype == np.uint8
    reference, true, generated = np.split(frames.astype(int), 3, axis=2)
    assert np.abs(true - generated).max() <= 3
    assert np.abs(true - reference).mean() > 3
    assert np.array_equal(reference, np.broadcast_to(reference[:1], reference.shape))


def test_the_preview_of_a_stage_follows_its_weights_alone(tiny_dataset, use_tiny, runs):
    pipeline = SVPPipeline.from_pretrained(runs["style"])
    options = small_options("style", tiny_dataset, runs["style"])
    task = _diffusion_task(pipeline, PreparedDataset(tiny_dataset), STAGES["style"], options)
    first, state = task.preview(), torch.random.get_rng_state()
    assert np.array_equal(task.preview(), first)
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        pipeline.unet.conv_out.weight.mul_(2)
    assert not np.array_equal(task.preview(), first)


def test_pictures_stand_beside_what_the_vae_makes_of_them():
    class Vae(torch.nn.Linear):
        """Latents are pixels."""

        def encode(self, pixels):
            moments = torch.cat([pixels, torch.zeros_like(pixels)], dim=1)
            return type("Encoded", (), {"latent_dist": DiagonalGaussianDistribution(moments)})

    class Decoder:
        """Gives back the negative of what it is given."""

        def decode(self, latents):
            return type("Decoded", (), {"sample": -latents})

    levels = [-1.0, -0.5, 0.0, 1.0]
    samples = [{"pixels": torch.full((3, 8, 8), level)} for level in levels]
    pictures = PicturePreview(Vae(1, 1), Decoder(), samples)()
    assert pictures.shape == (1, 32, 16, 3)
    for row, level in enumerate(levels):
        there, back = pictures[0, 8 * row, 0, 0], pictures[0, 8 * row, 8, 0]
        assert abs(int(there) - 127.5 * (1 + level)) <= 0.5 and abs(int(back) - 127.5 * (1 - level)) <= 0.5


def test_an_animation_keeps_its_frames_and_their_rate():
    frames = np.zeros((3, 8, 16, 3), np.uint8)
    frames[1:, 2:] = 255
    frames[2, :, 4:] = 128
    image = animation("clip", frames).value[0].image
    picture = Image.open(io.BytesIO(image.encoded_image_string))
    assert (image.width, image.height, picture.format, picture.n_frames) == (16, 8, "GIF", 3)
    for number in range(3):
        picture.seek(number)
        assert picture.info["duration"] == 40
        assert np.array_equal(np.asarray(picture.convert("RGB")), frames[number])
