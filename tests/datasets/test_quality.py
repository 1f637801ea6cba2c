"""Every fault of a recording: what is set aside, with which reason, and what is no fault."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from portrait_clips import PORTRAITS, encode_video, portrait, swaying, turn, write_clip, write_portrait_clip

from svp.datasets.manifest import ClipRow
from svp.datasets.prepare import prepare_folder
from svp.datasets.prepared import PreparedDataset
from svp.datasets.quality import sharpness
from svp.datasets.survey import cuts_of
from svp.face.landmarks import require_landmarks

SIZE = 64
OPTIONS: dict[str, Any] = {"size": SIZE, "audio_encoder": "log-mel", "progress": False}
GREY = np.full((160, 160, 3), 128, np.uint8)


def wide(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture in the middle of a grey one."""
    canvas = np.full((height, width, 3), 90, np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a file of every kind, and what became of it."""
    root, ada = tmp_path_factory.mktemp("faults"), portrait()
    good = write_portrait_clip(root / "good.mp4")
    write_portrait_clip(root / "silent.mp4", "dorian", sound=False)
    write_clip(root / "two_faces.mp4", swaying(np.hstack([ada, portrait("bianca")]), 12))
    write_clip(root / "faceless.mp4", [GREY] * 12)
    write_clip(root / "lost.mp4", [*swaying(ada, 8), *[GREY] * 14])
    write_clip(root / "one_frame.mp4", [ada])
    write_clip(root / "blurred.mp4", swaying(cv2.GaussianBlur(ada, (0, 0), 4), 12))
    write_clip(root / "far.mp4", swaying(wide(portrait(side=24), 60, 60), 12))
    encode_video(root / "shots.mp4", [*swaying(ada, 12), *swaying(portrait("edgar"), 14)])
    encode_video(root / "four_k.mp4", swaying(wide(portrait(side=1200), 3840, 2160), 10))
    turned = [np.rot90(frame, 1) for frame in swaying(wide(ada, 160, 200), 12)]  # lies on its left side
    turn(encode_video(root / "rotated.mp4", map(np.ascontiguousarray, turned)), 0, 1, -1, 0)
    whole = good.read_bytes()
    (root / "truncated.mp4").write_bytes(whole[: 2 * len(whole) // 3])
    (root / "broken.mp4").write_bytes(whole[:200] + bytes(len(whole) - 200))
    (root / "empty.mp4").write_bytes(b"")
    (root / "text.mp4").write_text("not a video\n" * 100)
    dataset = tmp_path_factory.mktemp("prepared") / "set"
    prepare_folder(root, dataset, require_sound=False, min_face=20, **OPTIONS)
    return root, dataset


def rows_of(dataset: Path) -> dict[str, ClipRow]:
    return {row.clip_id: row for row in PreparedDataset(dataset).rows}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("two_faces", "several faces are seen in 100% of its frames"),
        ("faceless", "a face is found in 0 of 12 frames"),
        ("one_frame", "has only 1 frame; clips of at least 0.4 s"),
        ("blurred", "its face is blurred (sharpness 0.0"),
        ("far", "its face is 15 pixels large, less than 20; use a larger picture"),
        ("truncated", "truncated"),
        ("broken", "has no picture"),
        ("empty", "the file is empty"),
        ("text", "not a"),
    ],
)
def test_faults_are_set_aside_with_their_reason(prepared: tuple[Path, Path], name: str, reason: str) -> None:
    row = rows_of(prepared[1])[name]
    assert row.status == "rejected" and reason in row.reason and "internal" not in row.reason
    assert not list(prepared[1].glob(f"*/{name}.*"))


def test_a_face_that_is_lost_is_another_matter_than_none(prepared: tuple[Path, Path]) -> None:
    rows = [row for name, row in rows_of(prepared[1]).items() if name.startswith("lost")]
    assert all(row.status == "rejected" for row in rows) and sum(row.frames for row in rows) == 22


def test_what_is_no_fault_is_taken(prepared: tuple[Path, Path]) -> None:
    rows, dataset = rows_of(prepared[1]), PreparedDataset(prepared[1])
    taken = {name: row.frames for name, row in rows.items() if row.status == "ok"}
    assert taken == {"good": 12, "silent": 12, "four_k": 10, "rotated": 12, "shots-p000": 12, "shots-p001": 14}
    assert rows["good"].has_sound and not rows["silent"].has_sound
    assert rows["four_k"].face_size > 500 and rows["good"].face_size < 110
    assert all(rows[name].sharpness > 0.02 and rows[name].others == rows[name].missing == 0 for name in taken)
    for name in ("four_k", "rotated"):  # upright, and the same face as in the plain clip
        landmarks, plain = (dataset.clip(clip).features("landmarks")[0] for clip in (name, "good"))
        assert np.linalg.norm(landmarks - plain, axis=1).mean() < 0.06 * SIZE


def test_no_clip_goes_across_a_cut(prepared: tuple[Path, Path]) -> None:
    rows, dataset = rows_of(prepared[1]), PreparedDataset(prepared[1])
    first, second = rows["shots-p000"], rows["shots-p001"]
    assert (first.shot, second.shot, second.start) == (0, 1, 12 / 25)
    end, begin = dataset.clip("shots-p000").frames(11, 12)[0], dataset.clip("shots-p001").frames(0, 1)[0]
    same = dataset.clip("shots-p000").frames(0, 1)[0]
    assert np.abs(end - same.astype(int)).mean() < 12 < np.abs(end - begin.astype(int)).mean()


def test_a_fast_turn_or_a_flash_is_no_cut() -> None:
    changes = np.array([0, 2, 3, 40, 2, 1, 16, 9, 4, 90, 88, 1, 13])
    bars = np.full(len(changes), 12.0)
    assert np.flatnonzero(cuts_of(changes, bars)).tolist() == [3, 12]
    assert not cuts_of(changes, bars + 40).any()


def test_sharpness_tells_blur_and_not_size_or_light() -> None:
    picture = portrait(side=256)
    points = require_landmarks(picture, PORTRAITS)
    plain = sharpness(picture, points)
    assert abs(sharpness(picture // 2 + 20, points) / plain - 1) < 0.1
    twice = cv2.resize(picture, (512, 512), interpolation=cv2.INTER_CUBIC)
    assert abs(sharpness(twice, points * 2) / plain - 1) < 0.4
    blurred = [sharpness(cv2.GaussianBlur(picture, (0, 0), sigma), points) / plain for sigma in (1, 2, 4)]
    assert 0.6 > blurred[0] > 2 * blurred[1] > 4 * blurred[2]


def test_a_moved_bar_moves_verdicts_and_reads_only_what_it_lets_in(
    prepared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from svp.datasets import prepare

    root, dataset = tmp_path / "source", tmp_path / "set"
    root.mkdir()
    names = ("good", "silent", "blurred", "empty")

    def of_these(rows: Sequence[ClipRow]) -> list[str]:
        return [row.clip_id for row in rows if row.clip_id in names]

    for name in names:
        (root / f"{name}.mp4").write_bytes((prepared[0] / f"{name}.mp4").read_bytes())
    shutil.copytree(prepared[1], dataset)
    read: list[str] = []
    extract = prepare.extract_clips
    monkeypatch.setattr(
        prepare, "extract_clips", lambda source, *rest: read.append(source.name) or extract(source, *rest)
    )
    strict = prepare_folder(root, dataset, require_sound=True, min_face=60, **OPTIONS)
    assert not read and strict.changed == ("min_face 20.0 -> 60.0", "require_sound False -> True")
    assert of_these(strict.accepted) == ["good"] and strict.kept == 4
    assert not (dataset / "clips" / "silent.mp4").exists()
    assert "has no sound" in rows_of(dataset)["silent"].reason
    loose = prepare_folder(root, dataset, require_sound=False, min_sharpness=0, **OPTIONS)
    assert sorted(read) == ["blurred.mp4", "silent.mp4"]
    assert of_these(loose.accepted) == ["blurred", "good", "silent"]
