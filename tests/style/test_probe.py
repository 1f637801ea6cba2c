"""The linear probe finds what is in the codes and nothing else, and never trains on what it is tested with."""

import numpy as np
import pytest

from svp.style.probe import FOLDS, identity_folds, majority, probe, recording_folds, without_emotion

PEOPLE = [f"p{k}" for k in range(8) for _ in range(6)]
EMOTIONS = [("happy", "sad", "fear")[k % 3] for k in range(len(PEOPLE))]
SOUNDS = [str(k) for k in range(len(PEOPLE))]


def codes(labels: list[str], spread: float, samples: int = 2, seed: int = 0) -> np.ndarray:
    """A random place per label, and noise around it."""
    rng = np.random.default_rng(seed)
    centres = {label: rng.normal(0, 1, 12) for label in dict.fromkeys(labels)}
    means = np.stack([centres[label] for label in labels])
    return means[:, None] + rng.normal(0, spread, (len(labels), samples, 12))


def test_identity_is_read_where_it_is_and_only_there() -> None:
    folds = recording_folds(PEOPLE, SOUNDS, seed=0)
    assert probe(codes(PEOPLE, 0.1), PEOPLE, folds, SOUNDS).mean() == 1.0
    assert probe(codes(EMOTIONS, 0.3), PEOPLE, folds, SOUNDS).mean() < 0.3
    assert majority(PEOPLE) == 1 / 8


def test_emotion_is_read_of_people_who_were_not_trained_on() -> None:
    folds = identity_folds(PEOPLE, seed=0)
    assert probe(codes(EMOTIONS, 0.1), EMOTIONS, folds, SOUNDS).mean() == 1.0
    assert probe(codes(PEOPLE, 0.1), EMOTIONS, folds, SOUNDS).mean() < 0.6


def test_a_person_hidden_under_emotions_is_read_once_they_are_taken_out() -> None:
    """Each person shows each emotion once, and emotions lie far apart."""
    people = [f"p{k}" for k in range(6) for _ in range(4)]
    emotions = ["a", "b", "c", "d"] * 6
    sounds = [str(k) for k in range(24)]
    mixed = codes(people, 0.05) + 30 * codes(emotions, 0.0, seed=1)
    folds = recording_folds(people, sounds, seed=0)
    raw = probe(mixed, people, folds, sounds).mean()
    bare = probe(without_emotion(mixed, emotions), people, folds, sounds).mean()
    assert bare > 0.9 > raw
    np.testing.assert_allclose(without_emotion(mixed, emotions)[::4].mean((0, 1)), 0, atol=1e-9)


def test_a_recording_of_the_test_is_not_trained_on() -> None:
    """Noise alone names each recording; two people share it, so a leak would read their emotion."""
    sounds = [str(k % 24) for k in range(48)]
    rng = np.random.default_rng(0)
    means = rng.normal(size=(24, 40))
    emotions = [str(e) for e in rng.integers(0, 2, 24)] * 2
    shared = np.concatenate([means, means])[:, None]
    right = probe(shared, emotions, [k // 24 for k in range(48)], sounds)
    assert np.isnan(right).all()  # nothing is left to train with
    leaking = probe(shared, emotions, [k // 24 for k in range(48)], [str(k) for k in range(48)])
    assert leaking.mean() == 1.0


def test_folds_keep_together_what_belongs_together() -> None:
    folds = identity_folds(PEOPLE, seed=3)
    assert len({(p, f) for p, f in zip(PEOPLE, folds, strict=True)}) == 8 and set(folds) == set(range(FOLDS))
    sounds = [str(k // 2) for k in range(len(PEOPLE))]
    dealt = recording_folds(PEOPLE, sounds, seed=3)
    assert len(set(zip(PEOPLE, sounds, dealt, strict=True))) == len(set(zip(PEOPLE, sounds, strict=True)))
    assert all(len({f for p, f in zip(PEOPLE, dealt, strict=True) if p == who}) == 3 for who in set(PEOPLE))
    with pytest.raises(ValueError, match="expected codes"):
        probe(np.zeros((2, 3)), ["a", "b"], [0, 1], ["1", "2"])
