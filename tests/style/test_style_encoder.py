"""The style encoder against Eq. 2-4 written as loops, and its properties."""

import json

import pytest
import torch
from torch import Tensor

from svp.style.encoder import StyleEncoder, StyleGaussian, pool_moments

SIZES = {"expression_size": 5, "audio_size": 7, "style_size": 16, "layers": 3, "heads": 8, "feed_forward": 32}


def tiny(**options: object) -> StyleEncoder:
    torch.manual_seed(3)
    encoder = StyleEncoder(**SIZES, expression_encoder="arkit/5", audio_encoder="log-mel", **options)
    return encoder.eval().double()


def clip(n_clips: int, n_frames: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n_frames)
    expression = torch.rand(n_clips, n_frames, 5, generator=generator, dtype=torch.float64)
    audio = torch.randn(n_clips, n_frames, 7, generator=generator, dtype=torch.float64)
    return expression, audio, torch.ones(n_clips, n_frames, dtype=torch.bool)


def assert_equal(a: StyleGaussian, b: StyleGaussian, atol: float = 1e-12) -> None:
    torch.testing.assert_close(a.mean, b.mean, rtol=0, atol=atol)
    torch.testing.assert_close(a.variance, b.variance, rtol=0, atol=atol)


def test_moments_are_equations_2_and_3_written_as_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    scores = torch.randn(2, 6, generator=generator, dtype=torch.float64) * 3
    present = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    mean, variance = pool_moments(frames, scores, present)
    for b, n in ((0, 6), (1, 4)):
        total = sum(float(scores[b, i].exp()) for i in range(n))
        for d in range(4):
            mu = sum(float(scores[b, i].exp()) / total * float(frames[b, i, d]) for i in range(n))
            var = sum(float(scores[b, i].exp()) / total * (float(frames[b, i, d]) - mu) ** 2 for i in range(n))
            assert float(mean[b, d]) == pytest.approx(mu, abs=1e-12)
            assert float(variance[b, d]) == pytest.approx(var, abs=1e-12)


def test_a_sample_is_mu_plus_sigma_eps() -> None:
    mean, variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[4.0, 0.25]])
    noise = torch.tensor([[0.5, -3.0]])
    assert StyleGaussian(mean, variance).at(noise).tolist() == [[2.0, -3.5]]
    first = StyleGaussian(mean, variance).sample(torch.Generator().manual_seed(5))
    assert torch.equal(first, StyleGaussian(mean, variance).sample(torch.Generator().manual_seed(5)))


def test_a_clip_of_one_frame_has_no_variance_and_finite_gradients() -> None:
    encoder = tiny()
    gaussian = encoder(*clip(1, 1))
    assert torch.count_nonzero(gaussian.variance) == 0
    gaussian.sample().sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in encoder.parameters())


def test_a_thousand_frames_run() -> None:
    gaussian = tiny()(*clip(1, 1000))
    assert torch.isfinite(gaussian.mean).all() and (gaussian.variance > 0).any()


@pytest.mark.parametrize("standardize", [False, True])
def test_padding_changes_nothing(standardize: bool) -> None:
    encoder = tiny(standardize=standardize)
    expression, audio, present = clip(1, 9)
    if standardize:
        encoder.set_standardization(torch.rand(5), torch.rand(5), torch.randn(7), torch.rand(7) + 0.5)
    plain = encoder(expression, audio, present)
    garbage = torch.full((1, 4, 5), torch.nan, dtype=torch.float64)
    padded = encoder(
        torch.cat((expression, garbage), 1),
        torch.cat((audio, 1e6 * torch.ones(1, 4, 7, dtype=torch.float64)), 1),
        torch.cat((present, torch.zeros(1, 4, dtype=torch.bool)), 1),
    )
    assert_equal(padded, plain)


def test_a_batch_is_the_loop_over_its_clips() -> None:
    encoder = tiny()
    expression, audio, present = clip(3, 10)
    present[1, 7:] = False
    audio[2] = 0.0
    together = encoder(expression, audio, present)
    for b, n in ((0, 10), (1, 7), (2, 10)):
        own_audio = None if b == 2 else audio[b : b + 1, :n]
        alone = encoder(expression[b : b + 1, :n], own_audio, present[b : b + 1, :n])
        row = StyleGaussian(together.mean[b : b + 1], together.variance[b : b + 1])
        assert_equal(row, alone)


@pytest.mark.parametrize("standardize", [False, True])
def test_an_absent_modality_is_zeros_after_standardisation(standardize: bool) -> None:
    encoder = tiny(standardize=standardize)
    if standardize:
        encoder.set_standardization(torch.rand(5), torch.rand(5) + 0.1, torch.randn(7), torch.rand(7) + 0.5)
    expression, audio, present = clip(2, 6)
    assert_equal(encoder(expression, None, present), encoder(expression, torch.zeros_like(audio), present))
    assert_equal(encoder(None, audio, present), encoder(torch.zeros_like(expression), audio, present))
    both = encoder(expression, audio, present)
    for other in (encoder(expression, None, present), encoder(None, audio, present)):
        assert not torch.allclose(both.mean, other.mean, atol=1e-3)


def test_both_modalities_absent_is_an_error() -> None:
    encoder = tiny()
    expression, audio, present = clip(2, 6)
    with pytest.raises(ValueError, match="both absent"):
        encoder(None, None, present)
    expression[1], audio[1] = 0, 0
    with pytest.raises(ValueError, match="both zero in a clip"):
        encoder(expression, audio, present)


def test_a_clip_without_frames_and_wrong_shapes_are_errors() -> None:
    encoder = tiny()
    expression, audio, present = clip(1, 4)
    with pytest.raises(ValueError, match="expected"):
        encoder(expression[..., :3], audio, present)
    with pytest.raises(ValueError):
        encoder(expression, audio, torch.zeros_like(present))


def test_standardisation_equals_standardised_inputs() -> None:
    expression, audio, present = clip(2, 8)
    encoder, plain = tiny(standardize=True), tiny(standardize=False)
    moments = (torch.rand(5), torch.rand(5) + 1, torch.randn(7), torch.rand(7) + 0.1)  # above the floors
    encoder.set_standardization(*moments)
    e_mean, e_std, a_mean, a_std = moments
    assert_equal(
        encoder(expression, audio, present), plain((expression - e_mean) / e_std, (audio - a_mean) / a_std, present)
    )
    with pytest.raises(ValueError, match="standardize"):
        plain.set_standardization(*moments)


def test_a_channel_that_never_moved_is_not_blown_up() -> None:
    encoder = tiny(standardize=True)
    encoder.set_standardization(torch.zeros(5), torch.tensor([0.0, 1, 2, 0, 1]), torch.zeros(7), torch.zeros(7))
    torch.testing.assert_close(encoder.expression_std.float(), torch.tensor([0.8, 1, 2, 0.8, 1]))
    assert encoder.audio_std.tolist() == [1.0] * 7


def test_order_of_frames_matters() -> None:
    encoder = tiny()
    expression, audio, present = clip(1, 12)
    flipped = encoder(expression.flip(1), audio.flip(1), present)
    assert not torch.allclose(flipped.mean, encoder(expression, audio, present).mean, atol=1e-4)


def test_save_and_load_keep_weights_buffers_and_fingerprint(tmp_path) -> None:
    encoder = tiny(standardize=True).float()
    encoder.set_standardization(torch.rand(5), torch.rand(5), torch.randn(7), torch.rand(7))
    encoder.neutral_code.copy_(torch.randn(16))
    encoder.save_pretrained(tmp_path)
    loaded = StyleEncoder.from_pretrained(tmp_path)
    assert loaded.config.audio_encoder == "log-mel" and loaded.config.expression_encoder == "arkit/5"
    assert torch.equal(loaded.neutral_code, encoder.neutral_code)
    expression, audio, present = clip(1, 5)
    assert_equal(loaded(expression, audio, present), encoder(expression, audio, present), atol=0)
    assert loaded.fingerprint() == encoder.fingerprint()
    half = StyleEncoder.from_pretrained(tmp_path, torch_dtype=torch.float16)
    assert half.fingerprint() == encoder.fingerprint()
    with torch.no_grad():
        loaded.score.weight.add_(1)
    assert loaded.fingerprint() != encoder.fingerprint()


def test_a_deterministic_encoder_gives_the_mean_alone() -> None:
    plain, deterministic = tiny(), tiny(deterministic=True)
    expected, gaussian = plain(*clip(2, 8)), deterministic(*clip(2, 8))
    assert (expected.variance > 0).all()
    assert torch.equal(gaussian.mean, expected.mean) and not gaussian.variance.any()
    assert torch.equal(gaussian.sample(), gaussian.mean)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_saved_encoder_made_deterministic_stays_so_and_has_a_fingerprint_of_its_own(tmp_path, dtype) -> None:
    encoder = tiny().float()
    encoder.save_pretrained(tmp_path / "plain")
    config = tmp_path / "plain" / "config.json"
    values = json.loads(config.read_text())
    assert values.pop("deterministic") is False
    config.write_text(json.dumps(values))  # as it was before the option existed
    old = StyleEncoder.from_pretrained(tmp_path / "plain", torch_dtype=dtype)
    assert old.fingerprint() == encoder.fingerprint()
    old.register_to_config(deterministic=True)
    old.save_pretrained(tmp_path / "deterministic")
    loaded = StyleEncoder.from_pretrained(tmp_path / "deterministic", torch_dtype=dtype)
    assert loaded.config["deterministic"]
    assert loaded.fingerprint() == old.fingerprint() != encoder.fingerprint()
