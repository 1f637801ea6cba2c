"""The motion library: what it chooses fits the recording, starts at the portrait's pose and never freezes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svp.errors import InputError
from svp.face.model import FaceModel
from svp.face.motion import CLOSED, HeadMotion
from svp.face.motion_library import SHIPPED, STRETCH_FRAMES, MotionLibrary, MotionTrack, likeness
from svp.face.pose import rotation_from_angles, yaw_pitch_roll


def voice(n_frames: int, seed: int = 0) -> np.ndarray:
    """A loudness like that of speech: syllables and pauses."""
    rng = np.random.default_rng(seed)
    phrases = np.repeat(rng.uniform(size=n_frames // 20 + 1) > 0.25, 20)[:n_frames]
    return phrases * np.abs(np.sin(np.cumsum(rng.uniform(0.2, 0.7, n_frames))))


def degrees(motion: HeadMotion) -> np.ndarray:
    return np.degrees(yaw_pitch_roll(motion.rotation.astype(np.float64)))


def track(n_frames: int, name: str = "a", blinks: tuple[int, ...] = ()) -> MotionTrack:
    time = np.arange(n_frames)[:, None] / 25
    motion = HeadMotion.still(n_frames)
    motion = replace(motion, rotation=rotation_from_angles(0.1 * np.sin(time * [1.0, 2.1, 1.6] + len(name)) + 0.2))
    motion.blink[list(blinks)] = 0.6
    expression = np.full((n_frames, 52), 0.3)
    return MotionTrack.measured(motion, expression, voice(n_frames, 5), name=name, source=f"{name}.mp4", licence="CC0")


@pytest.fixture(scope="module")
def shipped() -> MotionLibrary:
    return MotionLibrary.shipped()


def test_the_shipped_library_is_small_and_says_where_it_comes_from(shipped: MotionLibrary) -> None:
    assert SHIPPED.stat().st_size < 1e6
    assert sum(map(len, shipped.tracks)) > 1000 and shipped.encoder == FaceModel.load().encoder_id
    assert all(track.source and "public domain" in track.licence for track in shipped.tracks)


def test_saved_and_loaded_libraries_are_equal(tmp_path: Path) -> None:
    library = MotionLibrary((track(60, "a"), track(140, "bcd", (70,))), FaceModel.load().encoder_id)
    for name in ("one.safetensors", "two.safetensors"):
        library.save(tmp_path / name)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    loaded = MotionLibrary.load(tmp_path / "one.safetensors")
    assert [(t.name, t.source, t.licence, len(t)) for t in loaded.tracks] == [
        ("a", "a.mp4", "CC0", 60), ("bcd", "bcd.mp4", "CC0", 140),
    ]  # fmt: skip
    loudness = voice(333)
    for own, read in zip(vars(library.motion(loudness, 4)).values(), vars(loaded.motion(loudness, 4)).values()):  # noqa: B905
        np.testing.assert_array_equal(own, read)
    np.testing.assert_array_equal(library.expression(loudness, 4), loaded.expression(loudness, 4))


def test_the_seed_decides_and_a_longer_recording_begins_with_the_shorter_ones_motion(shipped: MotionLibrary) -> None:
    loudness = voice(700)
    first, again, other = (shipped.motion(loudness, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.rotation, again.rotation)
    assert np.abs(degrees(first) - degrees(other)).max() > 5
    known = 4 * STRETCH_FRAMES
    short = shipped.motion(loudness[: known + 50], 3)
    for name in ("rotation", "translation", "gaze"):
        np.testing.assert_allclose(getattr(short, name)[:known], getattr(first, name)[:known], atol=1e-6)
    np.testing.assert_array_equal(short.blink[: known - 1], first.blink[: known - 1])


@pytest.mark.parametrize("n_frames", [1, 2, 51, 3000])
def test_any_length_begins_at_the_portraits_own_pose(shipped: MotionLibrary, n_frames: int) -> None:
    motion = shipped.motion(voice(n_frames), 0)
    assert len(motion) == n_frames and all(np.isfinite(array).all() for array in vars(motion).values())
    np.testing.assert_allclose(motion.rotation[0], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(motion.translation[0], 0, atol=1e-6)
    np.testing.assert_allclose(motion.gaze[0], 0, atol=1e-6)


@pytest.mark.parametrize("loudness", [voice(3000), np.zeros(3000)], ids=["speech", "silence"])
def test_heads_never_freeze_never_jump_and_blink(shipped: MotionLibrary, loudness: np.ndarray) -> None:
    for seed in range(4):
        motion = shipped.motion(loudness, seed)
        angles = degrees(motion)
        assert min(angles[i : i + 50, :2].std(axis=0).max() for i in range(0, 2950, 5)) > 0.5
        assert np.abs(angles).max() < 20.5
        assert np.abs(np.diff(angles, axis=0)).max() < 6  # degrees a frame: as fast as the quickest turn of the clips
        closed = motion.blink >= CLOSED
        onsets = np.flatnonzero(np.diff(closed.astype(int)) == 1)
        assert 8 <= len(onsets) / 2 <= 40  # a minute
        assert np.diff([0, *onsets, 3000]).max() <= 9 * 25
        assert all(closed[onset + 1 : onset + 4].all() for onset in onsets if onset < 2990)  # no blink is cut


def test_people_who_never_blink_are_given_blinks() -> None:
    library = MotionLibrary((track(300),), FaceModel.load().encoder_id)
    blink = library.motion(voice(1500), 0).blink
    assert 7 <= (np.diff((blink >= CLOSED).astype(int)) == 1).sum() <= 18


def test_what_is_chosen_sounds_more_like_the_recording_than_chance(shipped: MotionLibrary) -> None:
    loudness = voice(3000, seed=1)
    chosen = shipped._stretches(loudness, 0)
    starts = np.cumsum([0, *(stretch.stop - stretch.start for stretch in chosen)])

    def mean_likeness(courses: list[np.ndarray]) -> float:
        return float(np.mean([likeness(loudness[at:], course) for at, course in zip(starts, courses, strict=False)]))

    fitting = mean_likeness([stretch.course("loudness") for stretch in chosen])
    drawn = [next(shipped._candidates(np.random.default_rng(k))).course("loudness") for k in range(len(chosen))]
    assert fitting > 0.3 > 0.15 > mean_likeness(drawn)


def test_a_head_nods_as_the_speaker_did_who_was_loud_at_the_same_moments() -> None:
    """Of two people, one nods and one shakes the head; each is found again by the course of the voice."""
    time = np.arange(STRETCH_FRAMES) / 25
    tracks = []
    for axis, seed in ((0, 11), (1, 12)):
        angles = np.zeros((STRETCH_FRAMES, 3))
        angles[:, axis] = 0.2 * np.sin(2 * np.pi * time)
        motion = replace(HeadMotion.still(STRETCH_FRAMES), rotation=rotation_from_angles(angles))
        expression, loudness = np.zeros((STRETCH_FRAMES, 52)), voice(STRETCH_FRAMES, seed)
        tracks.append(MotionTrack.measured(motion, expression, loudness, name="", source="", licence=""))
    library = MotionLibrary(tuple(tracks), FaceModel.load().encoder_id)
    for axis, seed in ((0, 11), (1, 12)):
        spread = degrees(library.motion(0.4 * voice(STRETCH_FRAMES, seed), 0)).std(axis=0)
        assert spread.argmax() == axis and spread[axis] > 4


def test_what_is_no_library_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    with pytest.raises(InputError, match="no such motion library"):
        MotionLibrary.load(path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(InputError, match=r"own.safetensors: not a motion library \("):
        MotionLibrary.load(path)
    MotionLibrary((track(60),), "deep3d/1").save(path)
    with pytest.raises(InputError, match="its expressions are deep3d/1, this SVP has"):
        MotionLibrary.load(path)
    with pytest.raises(ValueError, match="50 frames or more"):
        track(49)
