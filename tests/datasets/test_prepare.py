"""Preparing a folder: what is made of good clips, and what becomes of bad ones."""

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from svp.datasets import prepare, source_job
from svp.datasets.audio_offset import estimate_audio_offset
from svp.datasets.extract import ExtractOptions, extract_clips
from svp.datasets.prepare import PrepareReport, prepare_folder
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.datasets.sources import folder_sources
from svp.datasets.splits import assign_splits
from svp.errors import InputError
from svp.face.landmarks import LandmarkDetector, track_landmarks
from svp.face.mouth import lip_gap
from svp.media.audio import read_audio
from svp.media.video import VideoWriter, read_frames
from svp.speech.alpha import load_audio_encoder

SIZE = 96
TALKING = "data/clips/lrs3_spectre/OzA6jRYjVQs_00004.mp4"  # 27 frames
SILENT = "data/clips/styletalk_silent/furious_talk2_clip2.mp4"  # 2 s at 30 fps
OPTIONS: dict[str, Any] = {"size": SIZE, "audio_encoder": "log-mel", "progress": False}


def write_sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(
            np.sin(np.arange(16000) / 9).astype(np.float32)[None], format="fltp", layout="mono"
        )
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good clips among everything that goes wrong."""
    root = tmp_path_factory.mktemp("source")
    for name in ("ann", "bad"):
        (root / name).mkdir()
    shutil.copy(shared / TALKING, root / "ann" / "talk 1.mp4")
    shutil.copy(shared / SILENT, root / "silent.mp4")
    talking = (shared / TALKING).read_bytes()
    (root / "bad" / "truncated.mp4").write_bytes(talking[: len(talking) // 2])
    (root / "bad" / "text.mp4").write_text("not a video\n" * 200)
    (root / "bad" / "empty.mov").write_bytes(b"")
    write_sound_only(root / "bad" / "sound.mp4")
    first = next(read_frames(shared / TALKING))
    with VideoWriter(root / "bad" / "picture.mp4", first.shape[1], first.shape[0]) as video:
        video.write(first)
    grey = np.full((120, 160, 3), 128, np.uint8)
    with VideoWriter(root / "bad" / "faceless.mp4", 160, 120) as video:
        for _ in range(20):
            video.write(grey)
    (root / "notes.txt").write_text("no clip")
    return root


@pytest.fixture(scope="module")
def prepared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PrepareReport]:
    root = tmp_path_factory.mktemp("prepared") / "set"
    return root, prepare_folder(folder, root, **OPTIONS)


def test_good_clips_are_taken_and_bad_ones_set_aside(prepared: tuple[Path, PrepareReport]) -> None:
    root, report = prepared
    rows = {row.source: row for row in PreparedDataset(root).rows}
    assert {name: row.status for name, row in rows.items() if row.status == "ok"} == {
        "ann/talk 1.mp4": "ok",
        "silent.mp4": "ok",
    }
    talk, silent = rows["ann/talk 1.mp4"], rows["silent.mp4"]
    assert (talk.identity, talk.emotion, talk.has_sound, talk.frames, talk.fps_in) == ("ann", "unknown", True, 27, 25)
    assert (silent.identity, silent.has_sound, silent.fps_in) == ("silent", False, 30)
    assert abs(silent.seconds - 2.0) < 0.05
    reasons = {name.removeprefix("bad/"): row.reason for name, row in rows.items() if row.status == "rejected"}
    assert set(reasons) == {"truncated.mp4", "text.mp4", "empty.mov", "sound.mp4", "picture.mp4", "faceless.mp4"}
    assert not any("internal error" in reason or "/bad/" in reason for reason in reasons.values())
    assert "only 1 frame" in reasons["picture.mp4"]
    assert "face" in reasons["faceless.mp4"]
    assert "no picture" in reasons["sound.mp4"]
    assert len(report.accepted) == 2 and len(report.rejected) == 6 and report.kept == 0
    assert "2 clips of 2 identities accepted" in str(report) and "6 rejected" in str(report)
    assert len(list((root / "clips").iterdir())) == 4


def test_features_belong_to_the_crop(prepared: tuple[Path, PrepareReport]) -> None:
    dataset = PreparedDataset(prepared[0])
    for row in dataset.accepted():
        clip = dataset.clip(row.clip_id)
        landmarks, expression = clip.features("landmarks"), clip.features("expression")
        np.testing.assert_array_equal(
            clip.features("head_kps"), landmarks[:, (127, 234, 356, 454, 468, 473, 168, 6), :2]
        )
        center = landmarks[..., :2].mean(axis=(0, 1))
        assert (np.abs(center - SIZE / 2) < 0.15 * SIZE).all()
        assert expression.shape == (row.frames, 52) and (expression >= 0).all() and expression.max() <= 1.5
        frame = row.frames // 2
        big = cv2.resize(clip.frames(frame, frame + 1)[0], (384, 384), interpolation=cv2.INTER_CUBIC)
        with LandmarkDetector(static=True) as detector:
            again = detector.detect(big)
        assert again is not None
        error = np.linalg.norm(again[:468, :2] * (SIZE / 384) - landmarks[frame, :468, :2], axis=1)
        assert np.median(error) < 0.015 * SIZE


def test_sound_and_alpha(prepared: tuple[Path, PrepareReport], shared: Path) -> None:
    dataset = PreparedDataset(prepared[0])
    by_source = {row.source: dataset.clip(row.clip_id) for row in dataset.accepted()}
    talk, silent = by_source["ann/talk 1.mp4"], by_source["silent.mp4"]
    original = read_audio(shared / TALKING)
    n = min(len(original), 27 * 640)
    np.testing.assert_allclose(talk.audio()[:n], np.clip(original[:n], -1, 1), atol=1e-4)
    alpha = load_audio_encoder("log-mel").encode(original[:n], 27).numpy()
    np.testing.assert_allclose(talk.features("audio"), alpha, atol=2e-3)
    assert not silent.features("audio").any() and not silent.audio().any()


def test_parts_labels_and_a_moved_sound(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, root = tmp_path / "source", tmp_path / "set"
    source.mkdir()
    shutil.copy(shared / TALKING, source / "a.mp4")
    table = source / "clips.csv"
    table.write_text("file,identity,emotion,intensity,audio_offset\na.mp4,ann,Happy,2,-0.12\ngone.mp4,,,,\n")
    report = prepare_folder(source, root, max_seconds=0.5, min_seconds=0.2, **OPTIONS)
    rows = report.accepted
    assert [row.clip_id for row in rows] == ["a-p000", "a-p001", "a-p002"]
    assert [row.frames for row in rows] == [9, 9, 9]
    assert [row.start for row in rows] == [0.0, 9 / 25, 18 / 25]
    assert {(row.identity, row.emotion, row.intensity, row.audio_offset, row.parts) for row in rows} == {
        ("ann", "happy", 2, -0.12, 3)
    }
    assert [(row.source, row.identity) for row in report.rejected] == [("gone.mp4", "gone")]
    assert "no such file" in report.rejected[0].reason
    dataset = PreparedDataset(root)
    sound = np.concatenate([dataset.clip(row.clip_id).audio() for row in rows])
    original = np.pad(read_audio(shared / TALKING), (0, 27 * 640))
    np.testing.assert_allclose(sound, np.clip(original[1920 : 1920 + 27 * 640], -1, 1), atol=1e-4)

    table.write_text("file,identity,emotion,audio_offset\na.mp4,eve,sad,-0.12\n")  # labels alone cost no new pass
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "extract_clips", None)
        rows = prepare_folder(source, root, max_seconds=0.5, min_seconds=0.2, **OPTIONS).accepted
    assert {(row.identity, row.emotion, row.intensity) for row in rows} == {("eve", "sad", 0)}
    table.write_text("file\na.mp4\n")  # another sound does, and a file that has become short leaves no part behind
    with VideoWriter(source / "a.mp4", 64, 64) as video:
        for _ in range(12):
            video.write(np.zeros((64, 64, 3), np.uint8))
    report = prepare_folder(source, root, max_seconds=0.5, min_seconds=0.2, **OPTIONS)
    assert [(row.clip_id, row.status) for row in (*report.accepted, *report.rejected)] == [("a", "rejected")]
    assert not list((root / "clips").iterdir())


def test_a_job_survives_the_way_to_a_worker(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    (source,) = folder_sources(tmp_path)
    options = ExtractOptions(
        size=SIZE,
        audio_encoder="log-mel",
        max_seconds=10,
        min_seconds=0.4,
        max_missing=0.1,
        max_others=0.1,
        min_face=0,
        min_sharpness=0,
        max_offset=0.2,
        cut_change=12,
        correct_offset=False,
        require_sound=False,
    )
    writer = DatasetWriter(tmp_path / "set", {}, "arkit-52", "log-mel", SIZE)
    layout = source_job.Layout("folder", folder_sources, extract_clips, "arkit-52", SIZE)
    job = pickle.loads(pickle.dumps(source_job.SourceJob(source, "here", layout, "val", (), writer, options)))
    rows, state, size, worker = source_job.prepare_source(job)
    assert (
        state == "made"
        and size == 11
        and worker.startswith(f"{os.getpid()}@")
        and [(row.clip_id, row.split, row.status) for row in rows] == [("text", "val", "rejected")]
    )
    assert source_job.source_died(job).rows == [rows[0].rejected("internal error: the process that reads it dies")]


def test_offset_of_a_shifted_real_clip(shared: Path) -> None:
    path = shared / "data" / "clips" / "lrs2_deepavsr" / "00016.mp4"
    gap, audio = lip_gap(track_landmarks(read_frames(path))), read_audio(path)
    in_sync = estimate_audio_offset(gap, audio, 25.0)
    assert in_sync.certain and abs(in_sync.seconds) <= 1 / 25
    for frames in (-5, 4):
        moved = np.roll(np.pad(audio, 8000), frames * 640)[8000:]
        found = estimate_audio_offset(gap, moved, 25.0)
        assert found.certain
        assert abs(found.seconds - in_sync.seconds + frames / 25) < 0.5 / 25
    holes = gap.copy()
    holes[[0, 40, 41, -1]] = np.nan  # frames without a face
    assert abs(estimate_audio_offset(holes, audio, 25.0).seconds - in_sync.seconds) < 0.5 / 25
    assert not estimate_audio_offset(np.full(len(gap), np.nan), audio, 25.0).certain
    noise = np.random.default_rng(0).standard_normal(len(audio)).astype(np.float32)
    assert not estimate_audio_offset(gap, noise, 25.0).certain
    assert not estimate_audio_offset(gap[:45], audio, 25.0).certain  # too short to tell
    pieces = [estimate_audio_offset(gap[k : k + 75], audio[640 * k :], 25.0) for k in range(0, len(gap) - 74, 25)]
    certain = [piece.seconds - in_sync.seconds for piece in pieces if piece.certain]
    assert len(certain) >= 4 and np.abs(certain).max() < 1 / 25, pieces


def test_splits_never_share_an_identity_and_stay() -> None:
    people = [f"id{k}" for k in range(40)]
    splits = assign_splits(people, {}, val_fraction=0.1, test_fraction=0.2, seed=0)
    assert [list(splits.values()).count(name) for name in ("train", "val", "test")] == [28, 4, 8]
    assert splits == assign_splits(people[::-1], {}, val_fraction=0.1, test_fraction=0.2, seed=0)
    assert splits != assign_splits(people, {}, val_fraction=0.1, test_fraction=0.2, seed=1)
    known = {name: splits[name] for name in people[:17]}  # a run that was killed part-way
    assert splits == assign_splits(people, known, val_fraction=0.1, test_fraction=0.2, seed=0)
    more = assign_splits(
        [*people, *(f"new{k}" for k in range(20))], splits, val_fraction=0.1, test_fraction=0.2, seed=0
    )
    assert all(more[name] == split for name, split in splits.items())
    assert [list(more.values()).count(name) for name in ("train", "val", "test")] == [42, 6, 12]
    assert set(assign_splits(["a"], {}, val_fraction=0.1, test_fraction=0.1, seed=0).values()) == {"train"}


@pytest.mark.parametrize(
    ("n", "val", "test", "expected"),  # expected: train, val, test
    [
        (1, 0.1, 0.1, (1, 0, 0)),
        (1, 0.4, 0.5, (1, 0, 0)),
        (1, 0.0, 1.0, (0, 0, 1)),  # asked for: clips that only serve evaluation
        (2, 0.3, 0.3, (1, 0, 1)),
        (3, 0.1, 0.1, (3, 0, 0)),
        (5, 0.1, 0.1, (4, 0, 1)),
        (10, 0.1, 0.1, (8, 1, 1)),
        (30, 0.1, 0.1, (24, 3, 3)),
    ],
)
def test_few_identities_are_for_training(n: int, val: float, test: float, expected: tuple[int, ...]) -> None:
    people = [f"id{k}" for k in range(n)]
    for seed in range(5):
        splits = assign_splits(people, {}, val_fraction=val, test_fraction=test, seed=seed)
        assert tuple(list(splits.values()).count(name) for name in ("train", "val", "test")) == expected
        known = {name: splits[name] for name in people[: n // 2]}
        assert assign_splits(people, known, val_fraction=val, test_fraction=test, seed=seed) == splits


def test_names_become_safe_unique_ids(tmp_path: Path) -> None:
    names = ["a.mp4", "a.MOV", "b/c.mp4", "b/deep/d.mp4", "b-c.mp4", "x-p001.mp4", "Ünï cødé.mp4", "读.mp4"]
    names += [".hidden.mp4", "..odd.mkv"]
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    for name in [*names, "out/own.mp4", "readme.txt"]:
        (tmp_path / name).write_bytes(b"")
    sources = folder_sources(tmp_path, exclude=tmp_path / "out")
    assert {source.name for source in sources} == {name for name in names if not name.startswith(".")}
    assert len({source.clip_id.lower() for source in sources}) == len(sources)
    by_name = {source.name: source for source in sources}
    assert by_name["b/c.mp4"].identity == by_name["b/deep/d.mp4"].identity == "b"  # one person, whatever lies below
    assert by_name["b-c.mp4"].identity == "b-c"
    assert not by_name["x-p001.mp4"].clip_id.endswith("p001")
    for source in sources:
        DatasetWriter(tmp_path / "out" / "set", {}, "e", "a", 16)  # the ids pass the manifest's own check
        prepare.ClipRow(clip_id=source.clip_id, source=source.name, sha256="", identity=source.identity)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,identity\na.mp4,ann\n", "identity, name|name; the columns are"),
        ("identity\nann\n", "no column file"),
        ("file,intensity\na.mp4,9\n", "a.mp4: intensity '9'"),
        ("file,emotion\na.mp4,very happy\n", "a.mp4: emotion 'very happy'"),
        ("file,audio_offset\na.mp4,late\n", "a.mp4: audio_offset 'late'"),
        ("file\na.mp4\na.mp4\n", "line 3: a.mp4 is listed twice"),
        ("file\n../a.mp4\n", "line 2: file must be a path below"),
        ("file,identity\na.mp4\n", "line 2 has another number of cells"),
        ("file\n", "holds no video"),
    ],
)
def test_mistakes_in_the_table_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "clips.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        folder_sources(tmp_path)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        prepare_folder(tmp_path / "nowhere", tmp_path / "set", **OPTIONS)
    with pytest.raises(InputError, match="holds no video"):
        prepare_folder(tmp_path, tmp_path / "set", **OPTIONS)
    (tmp_path / "a.mp4").write_bytes(b"")
    for wrong, message in (
        ({"workers": 0}, "workers 0"),
        ({"val_fraction": 0.8, "test_fraction": 0.3}, "fractions 0.8"),
        ({"max_seconds": -1}, "max_seconds -1"),
        ({"size": 3}, "size 3"),
        ({"size": 33}, "size 33: .* multiple of 8"),
    ):
        with pytest.raises(InputError, match=message):
            prepare_folder(tmp_path, tmp_path / "set", **OPTIONS | wrong)
    with pytest.raises(InputError, match=r"a\.mp4/set: cannot be written"):
        prepare_folder(tmp_path, tmp_path / "a.mp4" / "set", **OPTIONS)
    assert not (tmp_path / "set").exists()
