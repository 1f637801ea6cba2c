"""Clustering strength against loops, and what it says of codes without any clusters."""

import numpy as np
import pytest

from svp.style.clustering import clustering_strength


def test_equals_loops_over_pairs() -> None:
    rng = np.random.default_rng(0)
    labels = ["sad", "happy", "sad", "angry", "happy", "sad", "happy"]
    codes = rng.normal(size=(7, 5))
    found = clustering_strength(codes, labels)
    assert list(found) == ["sad", "happy"]  # of a single angry code there is no spread
    for name, strength in found.items():
        own = [k for k in range(7) if labels[k] == name]
        inter = [np.linalg.norm(codes[i] - codes[j]) for i in own for j in range(7) if labels[j] != name]
        intra = [np.linalg.norm(codes[i] - codes[j]) for i in own for j in own if i != j]
        assert strength == pytest.approx(np.mean(inter) / np.mean(intra))


def test_random_labels_give_one_and_clusters_more() -> None:
    rng = np.random.default_rng(0)
    codes, labels = rng.normal(size=(400, 8)), [k % 2 for k in range(400)]
    assert clustering_strength(codes, labels)[0] == pytest.approx(1, abs=0.02)
    apart = codes + 10 * np.array(labels)[:, None]
    strengths = clustering_strength(apart, labels)
    assert min(strengths.values()) > 5
    assert clustering_strength(3 * apart - 1, labels) == pytest.approx(strengths)  # no unit, no origin


def test_what_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(ValueError, match="two or more"):
        clustering_strength(np.zeros((3, 2)), ["a"] * 3)
    with pytest.raises(ValueError, match="labels"):
        clustering_strength(np.zeros((3, 2)), ["a"])
    assert clustering_strength([[0.0], [0.0], [1.0], [2.0]], ["a", "a", "b", "b"])["a"] == float("inf")
