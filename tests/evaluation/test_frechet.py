"""The Frechet distance against scipy's matrix root and against stored numbers."""

import json

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance

from golden_rule import DATA
from svp.evaluation.frechet import frechet_distance

RNG = np.random.default_rng(1)
A = RNG.normal(size=(80, 12)) @ RNG.normal(size=(12, 12))
B = RNG.normal(0.3, 1, size=(60, 12)) @ RNG.normal(size=(12, 12))


def test_it_is_that_of_the_definition() -> None:
    s, t = np.cov(A, rowvar=False), np.cov(B, rowvar=False)
    expected = ((A.mean(0) - B.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert frechet_distance(A, B) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(B, A) == pytest.approx(expected, rel=1e-9)


def test_a_copy_has_none_and_a_shift_its_square() -> None:
    assert frechet_distance(A, A[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(A, A + 2) == pytest.approx(12 * 4, rel=1e-9)


def test_it_is_that_of_torchmetrics() -> None:
    class Means(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.adaptive_avg_pool2d(images.double(), 2).flatten(1)

    generator = torch.Generator().manual_seed(0)
    real = torch.randint(0, 200, (60, 3, 8, 8), dtype=torch.uint8, generator=generator)
    fake = torch.randint(60, 256, (40, 3, 8, 8), dtype=torch.uint8, generator=generator)
    theirs = FrechetInceptionDistance(feature=Means(), input_img_size=(3, 8, 8)).set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    ours = frechet_distance(*(Means()(images).numpy() for images in (fake, real)))
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-9)


def test_few_vectors_of_many_numbers_are_compared_exactly() -> None:
    few, others = RNG.normal(size=(5, 40)), RNG.normal(size=(7, 40))
    wide, padded = np.zeros((5, 40)), np.zeros((5, 40))
    wide[:, :3], padded[:, :3] = few[:, :3], others[:5, :3]
    assert frechet_distance(wide, padded) == pytest.approx(frechet_distance(few[:, :3], others[:5, :3]), rel=1e-9)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-12)


def test_many_vectors_are_taken_a_chunk_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = frechet_distance(A, B)
    monkeypatch.setattr("svp.evaluation.frechet.CHUNK", 7)
    assert frechet_distance(A, B) == pytest.approx(at_once, rel=1e-10)
    assert frechet_distance(A.astype(np.float32), B.astype(np.float32)) == pytest.approx(at_once, rel=1e-5)


def test_stored_numbers_are_met() -> None:
    folder = DATA / "i3d"
    sets, stored = np.load(folder / "frechet.npz"), json.loads((folder / "frechet.json").read_text())["values"]
    pairs = {"a_b": ("a", "b", 1e-10), "b_a": ("b", "a", 1e-10), "a_a": ("a", "a", 1e-10),
             "few_a_few_b_16_samples_of_32": ("few_a", "few_b", 1e-7)}  # fmt: skip
    assert set(pairs) <= set(stored)
    for name, (a, b, rel) in pairs.items():
        expected = stored[name]["unbiased"]["scipy_sqrtm"]
        found, count = frechet_distance(sets[a], sets[b]), len(sets[a])
        assert found == pytest.approx(expected, rel=rel, abs=1e-9), name
        means = ((sets[a].mean(0) - sets[b].mean(0)) ** 2).sum()
        divided_by_n = means + (found - means) * (count - 1) / count  # as StyleGAN-V counts
        assert divided_by_n == pytest.approx(stored[name]["biased"]["scipy_sqrtm"], rel=rel, abs=1e-9), name


@pytest.mark.parametrize("bad", [np.zeros((1, 3)), np.zeros(3), np.full((4, 3), np.nan)])
def test_what_has_no_covariance_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError):
        frechet_distance(bad, np.zeros((4, 3)))
