"""The nearest neighbour's emotion, against a loop and on codes whose answer is known."""

import numpy as np
import pytest

from svp.style.retrieval import retrieve_emotions


def test_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    count = 30
    codes = rng.normal(size=(count, 4))
    emotions, people, sounds = ([str(rng.integers(k)) for _ in range(count)] for k in (3, 5, 12))
    found = retrieve_emotions(codes, emotions, people, sounds)
    for k in range(count):
        others = [n for n in range(count) if people[n] != people[k] and sounds[n] != sounds[k]]
        nearest = min(others, key=lambda n: np.linalg.norm(codes[n] - codes[k]))
        assert found.right[k] == (emotions[nearest] == emotions[k])
        assert found.chance[k] == pytest.approx(np.mean([emotions[n] == emotions[k] for n in others]))


def test_emotions_are_found_across_people_or_not_at_all() -> None:
    rng = np.random.default_rng(1)
    emotions = ["happy", "sad"] * 20
    people = [str(k // 4) for k in range(40)]
    sounds = [str(k) for k in range(40)]
    by_emotion = np.array([[5.0 * (e == "sad"), 0.0] for e in emotions]) + rng.normal(0, 0.1, (40, 2))
    assert retrieve_emotions(by_emotion, emotions, people, sounds).right.mean() == 1.0
    noise = retrieve_emotions(rng.normal(size=(40, 8)), emotions, people, sounds)
    assert abs(noise.right.mean() - noise.chance.mean()) < 0.2


def test_a_clip_alone_counts_neither_way() -> None:
    found = retrieve_emotions([[0.0], [1.0], [2.0]], ["a", "a", "b"], ["x", "y", "y"], ["1", "1", "2"])
    assert np.isnan(found.right[1]) and np.isnan(found.chance[1])  # the other identity speaks the same recording
    assert found.right[0] == 0.0 and found.right[2] == 0.0
    with pytest.raises(ValueError, match="labels"):
        retrieve_emotions([[0.0]], ["a", "b"], ["x"], ["1"])


def test_no_clips_have_no_neighbours() -> None:
    found = retrieve_emotions(np.zeros((0, 4)), [], [], [])
    assert len(found.right) == len(found.chance) == 0
