"""`svp style`: what its commands write is what StylePrior says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from svp.cli import app
from svp.errors import InputError
from svp.style.gallery import gallery_path
from svp.style.prior import StylePrior


def run(*arguments: object) -> None:
    app(args=["style", *map(str, arguments)], standalone_mode=False)


def test_mix_and_scale(tmp_path: Path) -> None:
    sad, happy = (StylePrior.load(gallery_path(name, 3)) for name in ("sad", "happy"))
    run("mix", "sad", "happy:3", "--weight", 0.25, "-o", tmp_path / "mixed.safetensors")
    mixed = StylePrior.load(tmp_path / "mixed.safetensors")
    torch.testing.assert_close(mixed.mean, 0.75 * sad.mean + 0.25 * happy.mean)
    run("scale", tmp_path / "mixed.safetensors", "--strength", 2, "-o", tmp_path / "more.safetensors")
    more = StylePrior.load(tmp_path / "more.safetensors")
    torch.testing.assert_close(more.mean - mixed.neutral, 2 * (mixed.mean - mixed.neutral))
    assert more.encoder == happy.encoder


def test_samples_are_codes_of_the_style_from_the_seed(tmp_path: Path) -> None:
    for folder in ("first", "again"):
        run("sample", "happy", "-n", 3, "--seed", 5, "-o", tmp_path / folder)
    style, generator = StylePrior.load(gallery_path("happy", 3)), torch.Generator().manual_seed(5)
    for k in range(3):
        first, again = (
            StylePrior.load(tmp_path / folder / f"happy_3_{k}.safetensors") for folder in ("first", "again")
        )
        torch.testing.assert_close(first.mean, style.sample(generator))
        assert torch.equal(first.mean, again.mean) and not first.variance.any()


def test_what_cannot_be_done_is_said_and_loses_nothing(tmp_path: Path) -> None:
    only = tmp_path / "only.safetensors"
    run("scale", "happy", "--strength", 1, "-o", only)
    before = only.read_bytes()
    with pytest.raises(InputError, match="is an input"):
        run("mix", only, "sad", "-o", only)
    with pytest.raises(InputError, match="nosuch"):
        run("scale", "nosuch", "--strength", 1, "-o", tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="safetensors"):
        run("scale", "happy", "--strength", 1, "-o", tmp_path / "x.mp4")
    replace(StylePrior.load(only), encoder="another").save(tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match=r"foreign\.safetensors: made by another style encoder than happy"):
        run("mix", "happy", tmp_path / "foreign.safetensors", "-o", tmp_path / "x.safetensors")
    assert only.read_bytes() == before
