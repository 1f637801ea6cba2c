"""A saved style: arithmetic, files, refusals."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from svp.errors import InputError
from svp.style.gallery import find_style
from svp.style.prior import StylePrior


def prior(seed: int, encoder: str = "abc") -> StylePrior:
    generator = torch.Generator().manual_seed(seed)
    mean, neutral = torch.randn(2, 256, generator=generator)
    variance = torch.rand(256, generator=generator)
    return StylePrior(
        mean, variance, neutral, encoder, source_sha256="00ff", name=f"style {seed}", extra={"emotion": "happy"}
    )


def test_samples_follow_the_gaussian_and_the_seed() -> None:
    style = prior(0)
    generator = torch.Generator().manual_seed(1)
    codes = torch.stack([style.sample(generator) for _ in range(4000)])
    torch.testing.assert_close(codes.mean(0), style.mean, atol=0.07, rtol=0)
    torch.testing.assert_close(codes.var(0), style.variance, atol=0.1, rtol=0.1)
    assert torch.equal(style.sample(torch.Generator().manual_seed(4)), style.sample(torch.Generator().manual_seed(4)))


def test_mix_is_linear_in_mean_and_variance() -> None:
    a, b = prior(0), prior(1)
    mixed = a.mix(b, 0.25)
    torch.testing.assert_close(mixed.mean, 0.75 * a.mean + 0.25 * b.mean)
    torch.testing.assert_close(mixed.variance, 0.75 * a.variance + 0.25 * b.variance)
    assert torch.equal(a.mix(b, 0.0).mean, a.mean) and torch.equal(a.mix(b, 1.0).mean, b.mean)


def test_mixing_styles_of_different_encoders_is_refused() -> None:
    with pytest.raises(InputError, match="encoder"):
        prior(0).mix(prior(1, encoder="other"), 0.5)


def test_scale_goes_from_the_neutral_code_through_the_style() -> None:
    style = prior(2)
    assert torch.equal(style.scale(0).mean, style.neutral)
    assert torch.equal(style.scale(0).sample(), style.neutral)
    assert torch.equal(style.scale(1).mean, style.mean) and torch.equal(style.scale(1).variance, style.variance)
    torch.testing.assert_close(style.scale(1.5).mean, style.neutral + 1.5 * (style.mean - style.neutral))
    noise = torch.randn(256)
    torch.testing.assert_close(style.scale(2).at(noise), style.neutral + 2 * (style.at(noise) - style.neutral))


def test_save_and_load_keep_everything_in_less_than_ten_kilobytes(tmp_path) -> None:
    style, path = prior(3), tmp_path / "new" / "happy.safetensors"
    style.save(path)
    loaded = StylePrior.load(path)
    for name in ("mean", "variance", "neutral"):
        assert torch.equal(getattr(loaded, name), getattr(style, name))
    assert (loaded.encoder, loaded.source_sha256, loaded.name) == (style.encoder, style.source_sha256, style.name)
    assert loaded.extra == {"emotion": "happy"}
    assert path.stat().st_size < 10_000
    assert [p.name for p in path.parent.iterdir()] == ["happy.safetensors"]
    with safe_open(str(path), framework="pt") as file:
        assert json.loads(file.metadata()["svp"])["format"] == "svp-style"


def test_files_that_are_no_styles_are_input_errors(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        StylePrior.load(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"mean": torch.zeros(3)}, tmp_path / "other.safetensors")
    save_file({k: torch.full((3,), -1.0) for k in ("mean", "variance", "neutral")}, tmp_path / "negative.safetensors",
              metadata={"svp": json.dumps({"format": "svp-style", "version": 1, "encoder": "", "source_sha256": "",
                                           "name": "", "extra": {}})})  # fmt: skip
    for name in ("text", "other", "negative"):
        with pytest.raises(InputError, match="not a saved style"):
            StylePrior.load(tmp_path / f"{name}.safetensors")


def test_wrong_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        StylePrior(torch.zeros(3), torch.zeros(4), torch.zeros(3), "e")
    with pytest.raises(ValueError, match="negative"):
        StylePrior(torch.zeros(3), -torch.ones(3), torch.zeros(3), "e")
    with pytest.raises(ValueError, match="finite"):
        StylePrior(torch.tensor([float("nan")]), torch.ones(1), torch.ones(1), "e")


def test_a_style_that_cannot_be_written_is_an_input_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.safetensors" / "inside").mkdir(parents=True)
    for path in (tmp_path / "file" / "a.safetensors", tmp_path / "folder.safetensors"):
        with pytest.raises(InputError, match="cannot be written") as caught:
            prior(0).save(path)
        assert str(path) in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.safetensors"]


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), float("-inf"), 1e20, -1001])
def test_a_strength_is_a_number_within_reason(strength: float) -> None:
    with pytest.raises(InputError, match="style strength"):
        prior(0).scale(strength)


def test_what_is_derived_says_no_more_than_what_it_came_from() -> None:
    happy = replace(prior(0), source_sha256="a" * 64, extra={"emotion": "happy", "level": "3"})
    milder = replace(prior(1), extra={"emotion": "happy", "level": "1"})
    for derived in (happy.scale(2), happy.drawn(), happy.mix(milder, 0.5)):
        assert derived.source_sha256 == "" and derived.extra["emotion"] == "happy"
    assert happy.scale(1).source_sha256 and "level" not in happy.mix(milder, 0.5).extra


def test_a_level_is_one_of_three(tmp_path) -> None:
    for text in ("happy:0", "happy:4", "happy:", "happy:²", "happy:x"):
        with pytest.raises(InputError, match="style levels are 1, 2, 3"):
            find_style(text, tmp_path)
