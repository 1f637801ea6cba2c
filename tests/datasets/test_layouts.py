"""MEAD and HDTF as they are distributed: what is found, how it is labelled, and how the paper splits it."""

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from portrait_clips import portrait, swaying, tone, write_clip

from svp.datasets.hdtf import hdtf_sources, person_of
from svp.datasets.manifest import Split
from svp.datasets.mead import mead_sources
from svp.datasets.prepare import _splits, prepare_folder
from svp.datasets.prepared import PreparedDataset
from svp.datasets.source_job import Layout
from svp.datasets.sources import ClipSource
from svp.datasets.splits import paper_splits
from svp.errors import InputError
from svp.media.audio import read_audio, write_wav

BORED = "lies in bored/level_1, no emotion/level_N of MEAD"
OPTIONS: dict[str, Any] = {"size": 64, "audio_encoder": "log-mel", "progress": False}


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


@pytest.fixture
def mead(tmp_path: Path) -> Path:
    root = tmp_path / "MEAD"
    for person in ("M003", "W009"):
        for view, emotion, level in (("front", "angry", 2), ("front", "neutral", 1), ("left_30", "happy", 3)):
            touch(root / person / "video" / view / emotion / f"level_{level}" / "001.mp4")
        touch(root / person / "audio" / "angry" / "level_2" / "001.m4a")
        touch(root / person / "video" / "front" / "angry" / "level_2" / ".001.mp4")
    touch(root / "M003" / "video" / "front" / "bored" / "level_1" / "001.mp4")  # no emotion of MEAD's
    touch(root / "W011" / "video.tar")
    return root


def split_by_problem(sources: list[ClipSource]) -> tuple[list[ClipSource], list[ClipSource]]:
    return [source for source in sources if not source.problem], [source for source in sources if source.problem]


def test_mead_tells_identity_emotion_level_and_sound(mead: Path) -> None:
    sources, bad = split_by_problem(mead_sources(mead))
    assert [(s.identity, s.emotion, s.intensity, s.sound is not None) for s in sources] == [
        ("M003", "angry", 2, True),
        ("M003", "neutral", 0, False),
        ("W009", "angry", 2, True),
        ("W009", "neutral", 0, False),
    ]
    assert sources[0].clip_id == "M003-video-front-angry-level_2-001"
    assert sources[0].sound == mead / "M003" / "audio" / "angry" / "level_2" / "001.m4a"
    assert [(s.name, s.identity, s.emotion, s.problem.partition(";")[0]) for s in bad] == [
        (
            "M003/video/front/bored/level_1/001.mp4",
            "M003",
            "unknown",
            "lies in bored/level_1, no emotion/level_N of MEAD",
        ),
        ("W011/video.tar", "W011", "unknown", "is still packed"),
    ]
    (of_one,) = mead_sources(mead / "W009", view="left_30")
    assert (of_one.identity, of_one.emotion, of_one.intensity) == ("W009", "happy", 3)


def test_what_is_no_mead_is_told(mead: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clip of the view top, but of front, left_30"):
        mead_sources(mead, view="top")
    with pytest.raises(InputError, match="no view of MEAD"):
        mead_sources(mead, view="back")
    touch(tmp_path / "packed" / "M003" / "video.tar")
    with pytest.raises(InputError, match=r"M003/video\.tar is still packed"):
        mead_sources(tmp_path / "packed")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no clip IDENTITY/video/front"):
        mead_sources(tmp_path / "nothing")
    with pytest.raises(InputError, match="only MEAD has views"):
        prepare_folder(mead, tmp_path / "set", layout="hdtf", view="front", **OPTIONS)


def write_lists(root: Path, urls: str, times: str, boxes: str, heights: str, part: str = "RD") -> None:
    lists = {"video_url": urls, "annotion_time": times, "crop_wh": boxes, "resolution": heights}
    root.mkdir(parents=True, exist_ok=True)
    for name, text in lists.items():
        (root / f"{part}_{name}.txt").write_text(text)


def test_hdtf_lists_tell_spans_boxes_and_persons(tmp_path: Path) -> None:
    times = "Radio11.mp4 00:30-01:00 01:30-1:02:30 \nRadio12.mp4 00:25-01:00\nRadio13.mp4 00:00-00:35 00:40-00:45\n"
    boxes = "Radio11_0.mp4 412 599 0 598\nRadio13_0.mp4 500 368 0 368\n"
    write_lists(tmp_path / "lists", "Radio11 u\nRadio12 u\nRadio24 u\n", times, boxes, "Radio11.mp4 720\n")
    write_lists(tmp_path / "lists", "", "TerriSewell.mp4 00:05-00:06\nTerriSewell1.mp4 00:05-00:06\n", "", "", "WDA")
    touch(tmp_path / "videos" / "Radio11.mkv")
    touch(tmp_path / "videos" / "RD_Radio13_000.mp4")  # cut already, by HDTF's own downloader
    sources = {source.clip_id: source for source in hdtf_sources(tmp_path)}
    first, second = sources["Radio11_0"], sources["Radio11_1"]
    assert first.path == second.path == tmp_path / "videos" / "Radio11.mkv" and first.name == "videos/Radio11.mkv"
    assert (first.start, first.seconds, first.box, first.box_height) == (30, 30, (412, 0, 599, 598), 720)
    assert (second.start, second.seconds, second.box) == (90, 3660, None)
    assert (sources["Radio13_0"].start, sources["Radio13_0"].seconds, sources["Radio13_0"].box) == (0, None, None)
    assert {name for name, source in sources.items() if "is not there" in source.problem} == {
        *("Radio12_0", "Radio13_1", "TerriSewell_0", "TerriSewell1_0")
    }
    assert "no time stamps" in sources["Radio24"].problem
    assert sources["TerriSewell_0"].identity == sources["TerriSewell1_0"].identity == "TerriSewell"
    assert person_of("2020") == "2020"
    assert person_of("Radio11") != person_of("Radio12") and person_of("WhipJimClyburn") == person_of("JamesClyburn1")


@pytest.mark.parametrize(
    ("times", "boxes", "message"),
    [
        ("A.mp4 00:30\n", "", "'00:30' in the lists"),
        ("A.mp4 00:30-00:30\n", "", "ends before it begins"),
        ("A.mp4 00:30-00:40\n", "A_0.mp4 1 2 x 4\n", "A_0: '1 2 x 4' in the lists is not 4 whole numbers"),
    ],
)
def test_mistakes_in_the_lists_are_named(tmp_path: Path, times: str, boxes: str, message: str) -> None:
    write_lists(tmp_path, "", times, boxes, "")
    touch(tmp_path / "A.mp4")
    with pytest.raises(InputError, match=message):
        hdtf_sources(tmp_path)
    for path in tmp_path.glob("*.txt"):
        path.unlink()
    with pytest.raises(InputError, match="holds no list of time stamps"):
        hdtf_sources(tmp_path)


def test_the_papers_splits() -> None:
    actors = {f"M{k:03d}": 1 for k in range(46)}
    mead = paper_splits(actors, {}, count=10, val_fraction=0, seed=0)
    assert Counter(mead.values()) == {"test": 10, "train": 36}
    assert mead != paper_splits(actors, {}, count=10, val_fraction=0, seed=1)
    speakers = {f"person{k}": 1 + k % 3 for k in range(150)}
    hdtf = paper_splits(speakers, {}, count=25, val_fraction=0.1, seed=0)
    videos: Counter[Split] = Counter()
    for name, split in hdtf.items():
        videos[split] += speakers[name]
    assert videos["test"] == 25 and videos["val"] > 0 and set(hdtf) == set(speakers)
    half = {name: hdtf[name] for name in sorted(speakers)[:70]}
    again = paper_splits(speakers, half, count=25, val_fraction=0.1, seed=0)
    assert all(again[name] == split for name, split in half.items())
    assert sum(speakers[name] for name, split in again.items() if split == "test") == 25
    few = paper_splits({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, {}, count=10, val_fraction=0, seed=0)
    assert Counter(few.values()) == {"train": 4, "test": 1}


def videos_in_test(folder: Path) -> set[str]:
    """The videos of HDTF's lists that are there and come into the test."""
    layout = Layout("hdtf", hdtf_sources, lambda *_: [], "arkit-52", 64)
    sources = hdtf_sources(folder)
    splits = _splits(layout, sources, {}, {}, {"val_fraction": None, "test_fraction": None, "seed": 0})
    assert splits.keys() == {source.identity for source in sources}
    return {source.video for source in sources if splits[source.identity] == "test" and not source.problem}


def test_videos_that_are_there_count_for_the_papers_split_and_each_once(tmp_path: Path) -> None:
    names = [f"Person{a}{b}" for a in "ABCDEF" for b in "abcdefghijklmnopqrstuvwxy"]
    times = "".join(f"{name}.mp4 00:00-00:10 00:10-00:20\n" for name in names)
    write_lists(tmp_path / "part", "", times, "", "")
    for name in names[:46]:
        touch(tmp_path / "part" / f"{name}.mp4")
    assert len(videos_in_test(tmp_path / "part")) == 10  # the paper's share
    write_lists(tmp_path / "cut", "", times, "", "")
    for name in names:
        touch(tmp_path / "cut" / f"RD_{name}_000.mp4")
        touch(tmp_path / "cut" / f"RD_{name}_001.mp4")
    assert len(videos_in_test(tmp_path / "cut")) == 25


def test_a_clip_of_hdtf_is_the_face_in_the_box_between_the_stamps(tmp_path: Path) -> None:
    """Two people side by side; the second clip's box is the right one's, counted in pixels of half the size."""
    both = swaying(np.hstack([portrait("ada"), portrait("edgar")]), 60)
    write_clip(tmp_path / "WDA" / "Pair0.mp4", both)
    times, boxes = "Pair0.mp4 00:00-00:01 00:01-00:02\n", "Pair0_1.mp4 80 80 0 80\n"
    write_lists(tmp_path, "", times, boxes, "Pair0.mp4 80\n", "WDA")
    report = prepare_folder(tmp_path, tmp_path / "set", layout="hdtf", **OPTIONS)
    (row,), (refused,) = report.accepted, report.rejected
    assert (row.clip_id, row.frames, row.start, row.identity) == ("Pair0_1", 25, 1.0, "Pair")
    assert refused.clip_id == "Pair0_0" and "several faces" in refused.reason
    assert "test: nobody" in str(report) and "train: the other 1 identities" in str(report)
    (tmp_path / "alone").mkdir()
    for name in ("ada", "edgar"):
        write_clip(tmp_path / "alone" / f"{name}.mp4", swaying(portrait(name), 60)[25:37])
    prepare_folder(tmp_path / "alone", tmp_path / "alone_set", **OPTIONS)
    alone = PreparedDataset(tmp_path / "alone_set")
    right, ada, edgar = (
        cv2.blur(clip.frames(5, 6)[0].astype(np.float32), (9, 9))[16:48, 16:48]
        for clip in (PreparedDataset(tmp_path / "set").clip("Pair0_1"), alone.clip("ada"), alone.clip("edgar"))
    )
    assert np.abs(right - edgar).mean() < 0.3 * np.abs(right - ada).mean()


def test_a_clip_of_mead_has_the_sound_of_the_audio_folder(tmp_path: Path) -> None:
    place = tmp_path / "MEAD" / "M003"
    write_clip(place / "video" / "front" / "sad" / "level_3" / "007.mp4", swaying(portrait(), 12), sound=False)
    write_clip(place / "video" / "front" / "sad" / "level_3" / "008.mp4", swaying(portrait(), 12), sound=False)
    sound = place / "audio" / "sad" / "level_3" / "007.wav"
    sound.parent.mkdir(parents=True)
    write_wav(sound, tone(0.48))
    report = prepare_folder(tmp_path / "MEAD", tmp_path / "set", layout="mead", **OPTIONS)
    (row,), (silent,) = report.accepted, report.rejected
    assert (row.identity, row.emotion, row.intensity, row.has_sound) == ("M003", "sad", 3, True)
    assert "has no sound" in silent.reason and silent.clip_id.endswith("008")
    heard = PreparedDataset(tmp_path / "set").clip(row.clip_id).audio()
    np.testing.assert_allclose(heard, read_audio(sound), atol=1e-4)
