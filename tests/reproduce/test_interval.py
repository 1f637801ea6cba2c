"""Figures with intervals: over models by Student's t, of one model by a bootstrap over identities."""

import numpy as np
import pytest
from scipy import stats

from svp.reproduce.interval import average, figure, of_clips, ratio


def test_several_models_give_the_t_interval_over_them() -> None:
    values = [0.5, 0.7, 0.9, 0.4]
    found = figure([ratio([value], [0], 1) for value in values], 1, seed=0)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high), rel=1e-5)
    assert found.models == pytest.approx(values)


def test_one_model_is_resampled_by_identity() -> None:
    """Twenty clips of an identity are no twenty results: their spread counts once."""
    rng = np.random.default_rng(0)
    of_identity = rng.normal(0, 1, 40)
    owners = np.repeat(np.arange(40), 20)
    found = figure([ratio(of_identity[owners], owners, 40)], 40, seed=0)
    assert found.low is not None and found.high is not None
    half = 1.96 * of_identity.std() / np.sqrt(40)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)
    assert figure([ratio(of_identity[owners], owners, 40)], 40, seed=0) == found
    assert figure([ratio(of_identity[owners], owners, 40)], 40, seed=0, resample=False).low is None


def test_what_is_unknown_does_not_count() -> None:
    everyone = np.arange(3)
    assert ratio([1.0, np.nan, 3.0], [0, 0, 2], 3)(everyone) == 2.0
    assert np.isnan(ratio([], [], 3)(everyone))
    empty = figure([ratio([], [], 3)], 3, seed=0)
    assert (empty.mean, empty.low, empty.models) == (None, None, (None,))
    assert average([ratio([1.0], [0], 3), ratio([], [], 3)])(everyone) == 1.0
    clips = of_clips(lambda places: float(len(places)), [0, 0, 1, 2], 3)
    assert clips(np.array([0, 0, 2])) == 5.0
