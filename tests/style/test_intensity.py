"""Distance from neutral and its correlation with intensity, on codes whose answer is known."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from svp.style.intensity import correlations_by_identity, neutral_distances, rank_correlation


def test_the_centre_is_the_persons_own_neutral_or_the_encoders() -> None:
    codes = [[1.0, 0.0], [3.0, 0.0], [2.0, 5.0], [7.0, 4.0]]
    emotions, people = ["neutral", "neutral", "sad", "sad"], ["ann", "ann", "ann", "bob"]
    np.testing.assert_allclose(neutral_distances(codes, emotions, people, [7.0, 0.0]), [1, 1, 5, 4])
    assert np.isnan(neutral_distances(codes, emotions, people)[3])


def test_correlations_are_spearmans_of_known_levels() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 4, 40)
    distances = levels + rng.normal(0, 1.0, 40)
    known = levels > 0
    expected = spearmanr(distances[known], levels[known]).statistic
    assert 0.2 < rank_correlation(distances, levels) == pytest.approx(expected)
    assert rank_correlation([3.0, 2.0, 1.0], [1, 2, 3]) == pytest.approx(-1)
    assert np.isnan(rank_correlation([1.0, 2.0], [2, 2])) and np.isnan(rank_correlation([1.0, 2.0], [0, 2]))
    assert np.isnan(rank_correlation([], []))


def test_only_people_with_two_levels_count() -> None:
    people = ["ann", "ann", "ann", "bob", "bob", "cid"]
    emotions = ["sad", "sad", "neutral", "sad", "sad", "sad"]
    found = correlations_by_identity([1.0, 2.0, 0.1, 2.0, 1.0, 1.0], [1, 3, 0, 1, 2, 3], emotions, people)
    assert found == {("ann", "sad"): pytest.approx(1), ("bob", "sad"): pytest.approx(-1)}
