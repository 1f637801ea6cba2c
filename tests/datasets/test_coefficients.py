"""Tracks of 3DMM coefficients as clips without pictures: what is read, labelled, sampled, and set aside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from svp.datasets.coefficients import at_frame_times
from svp.datasets.emotions import EMOTIONS
from svp.datasets.prepare import prepare_coefficients
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.errors import InputError
from svp.face.deep3d import ENCODER_ID, EXPRESSION, read_expression
from svp.media.audio import write_wav
from svp.presets import EXPRESSION_SIZES

OPTIONS: dict[str, Any] = {"audio_encoder": "log-mel", "progress": False}


def make_track(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, 257)).astype(np.float32)


def save_track(path: Path, frames: int = 60, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    track = make_track(frames, seed)
    savemat(path, {"coeff": track, "transform_params": np.zeros((frames, 5))})
    return track


def tone(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(np.arange(int(seconds * 16000)) / 7)).astype(np.float32)


def test_clips_have_labels_expressions_and_sound_but_no_pictures(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "set"
    angry = save_track(source / "M030_front_angry_level3_001.mat")
    save_track(source / "W009_left_30_neutral_level1_012.mat", seed=1)
    save_track(source / "ann" / "monday.mat", seed=2)
    save_track(source / "M030_front_bored_level3_001.mat", seed=3)  # no emotion of MEAD's
    write_wav(source / "M030_front_angry_level3_001.wav", tone(2.4))
    report = prepare_coefficients(source, root, **OPTIONS)
    assert not report.rejected
    dataset = PreparedDataset(root)
    rows = {row.clip_id: row for row in dataset.rows}
    labels = {name: (row.identity, row.emotion, row.intensity, row.has_sound) for name, row in rows.items()}
    assert labels == {
        "M030_front_angry_level3_001": ("M030", "angry", 3, True),
        "W009_left_30_neutral_level1_012": ("W009", "neutral", 0, False),
        "ann-monday": ("ann", "unknown", 0, False),
        "M030_front_bored_level3_001": ("M030_front_bored_level3_001", "unknown", 0, False),
    }
    assert dataset.expression_encoder == ENCODER_ID and EXPRESSION_SIZES[ENCODER_ID] == 64
    assert not dataset.has_video and not any(row.has_video for row in dataset.rows)
    assert not list(root.rglob("*.mp4"))
    clip = dataset.clip("M030_front_angry_level3_001")
    np.testing.assert_array_equal(clip.features("expression"), angry[:, EXPRESSION])
    assert clip.features("audio").any() and np.abs(clip.audio()).max() > 0.2
    assert not dataset.clip("ann-monday").features("audio").any()
    with pytest.raises(KeyError, match="no feature 'landmarks'"):
        clip.features("landmarks")
    with pytest.raises(InputError, match="without pictures"):
        clip.frames(0, 1)


def test_the_table_comes_before_the_name(tmp_path: Path) -> None:
    save_track(tmp_path / "source" / "M030_front_angry_level3_001.mat")
    (tmp_path / "source" / "clips.csv").write_text("file,emotion\nM030_front_angry_level3_001.mat,sad\n")
    (row,) = prepare_coefficients(tmp_path / "source", tmp_path / "set", **OPTIONS).accepted
    assert (row.identity, row.emotion, row.intensity) == ("M030", "sad", 3)


def test_frames_are_taken_by_time() -> None:
    times = np.arange(60)[:, None] / 30
    at_25 = at_frame_times(np.hstack((times, -times)), 30)
    np.testing.assert_allclose(at_25[:, 0], np.arange(50) / 25, atol=1e-6)
    np.testing.assert_array_equal(at_25[:, 1], -at_25[:, 0])
    track = make_track(31)
    np.testing.assert_array_equal(at_frame_times(track, 25), track)
    np.testing.assert_array_equal(at_frame_times(track, 30)[::5], track[::6])
    assert [len(at_frame_times(track[:n], 30)) for n in (3, 9, 15)] == [3, 8, 13]  # halves are rounded up
    doubled = at_frame_times(track, 12.5)
    assert len(doubled) == 62
    np.testing.assert_array_equal(doubled[::2], track)
    np.testing.assert_array_equal(doubled[-1], track[-1])  # nothing comes after it
    assert len(at_frame_times(track[:1], 60)) == 1


def test_a_long_track_is_cut_with_its_sound(tmp_path: Path) -> None:
    track = save_track(tmp_path / "source" / "ann.mat", frames=150)
    write_wav(tmp_path / "source" / "ann.wav", np.concatenate((tone(2.5), np.zeros(40_000, np.float32))))
    prepare_coefficients(tmp_path / "source", tmp_path / "set", fps=30, max_seconds=3, **OPTIONS)
    dataset = PreparedDataset(tmp_path / "set")
    rows = dataset.accepted()
    assert [(row.clip_id, row.frames, row.start, row.parts) for row in rows] == [
        ("ann-p000", 62, 0.0, 2),
        ("ann-p001", 63, 62 / 25, 2),
    ]
    assert {row.fps_in for row in rows} == {30.0} and rows[0].has_sound
    both = np.concatenate([dataset.clip(row.clip_id).features("expression") for row in rows])
    np.testing.assert_array_equal(both, at_frame_times(track[:, EXPRESSION], 30))


def broken_files(folder: Path) -> dict[str, str]:
    """Files that cannot be used, with a part of the reason."""
    folder.mkdir()
    good = make_track(40)
    bad = good.copy()
    bad[7, 100] = np.nan
    still = good.copy()
    still[:, EXPRESSION] = 0
    cells = np.empty((40, 257), object)
    cells[:] = "x"
    content = {
        "narrow": ({"coeff": good[:, :256]}, "coeff is 40 x 256 single, not frames x 257"),
        "flat": ({"coeff": good[None]}, "coeff is 1 x 40 x 257 single"),
        "other": ({"coefficients": good}, "has no array 'coeff'"),
        "text": ({"coeff": "x" * 257}, "char"),
        "cells": ({"coeff": cells}, "coeff is 40 x 257 cell"),
        "struct": ({"coeff": {"a": 1}}, "struct"),
        "complex": ({"coeff": good * 1j}, "holds no real numbers"),
        "nan": ({"coeff": bad}, "the expression of frame 7 is not finite"),
        "huge": ({"coeff": good.astype(np.float64) * 1e300}, "frame 0 is not finite"),
        "none": ({"coeff": np.zeros((0, 257))}, "coeff has 0 frames"),
        "still": ({"coeff": still}, "its expression is zero throughout"),
        "short": ({"coeff": good[:5]}, "has only 5 frames"),
    }
    for name, (arrays, _) in content.items():
        savemat(folder / f"{name}.mat", arrays)
    savemat(folder / "whole.mat", {"coeff": good})
    whole = (folder / "whole.mat").read_bytes()
    (folder / "whole.mat").unlink()
    (folder / "cut.mat").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mat").write_bytes(b"")
    (folder / "noise.mat").write_bytes(np.random.default_rng(0).bytes(4000))
    damaged = dict.fromkeys(("cut", "empty", "noise"), "not a readable MATLAB file")
    savemat(folder / "sound.mat", {"coeff": good})
    (folder / "sound.wav").write_text("no sound")
    return {name: reason for name, (_, reason) in content.items()} | damaged | {"sound": "sound.wav: "}


def test_broken_files_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    reasons = broken_files(tmp_path / "source")
    save_track(tmp_path / "source" / "good.mat")
    report = prepare_coefficients(tmp_path / "source", tmp_path / "set", **OPTIONS)
    assert [row.clip_id for row in report.accepted] == ["good"]
    rejected = {row.clip_id: row.reason for row in report.rejected}
    assert rejected.keys() == reasons.keys()
    for name, part in reasons.items():
        assert part in rejected[name] and "internal error" not in rejected[name], (name, rejected[name])
    assert len(PreparedDataset(tmp_path / "set").rows) == len(reasons) + 1


def test_only_what_changed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, root = tmp_path / "source", tmp_path / "set"
    for name in ("a", "b"):
        save_track(source / f"{name}.mat")
    prepare_coefficients(source, root, **OPTIONS)
    write_wav(source / "a.wav", tone(2.0))  # a sound that was found later belongs to its track
    report = prepare_coefficients(source, root, **OPTIONS)
    assert report.kept == 1 and [row.has_sound for row in report.accepted] == [True, False]
    other = prepare_coefficients(source, root, fps=30, **OPTIONS)
    assert other.kept == 0 and other.changed == ("fps 25.0 -> 30.0",)
    assert [row.fps_in for row in other.accepted] == [30.0, 30.0]
    with pytest.raises(InputError, match="is already a prepared dataset"):
        prepare_coefficients(source, root, resume=False, **OPTIONS)


def test_identities_are_in_one_split(tmp_path: Path) -> None:
    for number in range(1, 11):
        for emotion in ("happy", "sad"):
            save_track(tmp_path / "source" / f"W{number:03d}_front_{emotion}_level2_001.mat", frames=10)
    rows = prepare_coefficients(tmp_path / "source", tmp_path / "set", **OPTIONS).accepted
    splits = {(row.identity, row.split) for row in rows}
    assert len(splits) == 10 and {split for _, split in splits} == {"train", "val", "test"}


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds no coefficients \(\.mat\)"):
        prepare_coefficients(tmp_path, tmp_path / "set", **OPTIONS)
    save_track(tmp_path / "a.mat")
    with pytest.raises(InputError, match=r"fps 0\.0"):
        prepare_coefficients(tmp_path, tmp_path / "set", fps=0.0, **OPTIONS)
    report = prepare_coefficients(tmp_path, tmp_path / "set", require_sound=True, **OPTIONS)
    assert "has no sound" in report.rejected[0].reason


def test_pictures_and_row_must_agree(tmp_path: Path) -> None:
    save_track(tmp_path / "source" / "a.mat")
    (row,) = prepare_coefficients(tmp_path / "source", tmp_path / "set", **OPTIONS).accepted
    features = {"expression": np.ones((row.frames, 64)), "audio": np.zeros((row.frames, 1920))}
    writer = DatasetWriter(tmp_path / "other", {}, ENCODER_ID, "log-mel", 0)
    with pytest.raises(ValueError, match="has_video is True, pictures are given: False"):
        writer.add_clip(row.model_copy(update={"has_video": True}), None, None, features)


def test_real_actors_load(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "bfm" / "mead_dreamtalk"
    if not folder.is_dir():
        pytest.skip("no real coefficients")
    prepare_coefficients(folder, tmp_path / "set", **OPTIONS)
    dataset = PreparedDataset(tmp_path / "set")
    rows = dataset.accepted()
    assert len(rows) == 16 and {row.identity for row in rows} == {"M030", "W009"}
    assert {row.emotion for row in rows} == set(EMOTIONS)
    assert all(row.intensity == (0 if row.emotion == "neutral" else 3) for row in rows)
    for row in rows:
        coefficients = loadmat(folder / row.source)["coeff"]
        np.testing.assert_array_equal(dataset.clip(row.clip_id).features("expression"), coefficients[:, 80:144])


def test_real_talkers_are_sampled_by_time(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "bfm" / "styletalk_style"
    if not folder.is_dir():
        pytest.skip("no real coefficients")
    prepare_coefficients(folder, tmp_path / "set", fps=30, max_seconds=60, **OPTIONS)
    dataset = PreparedDataset(tmp_path / "set")
    assert len(dataset) == len(list(folder.glob("*.mat")))
    for row in dataset.accepted():
        coefficients = read_expression(folder / row.source)
        shown = dataset.clip(row.clip_id).features("expression")
        np.testing.assert_array_equal(shown[::5], coefficients[::6])
