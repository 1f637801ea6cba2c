"""The studio of the page: a video that nobody waits for any more ends at once, whatever is being done for it."""

import base64
import io
import os
import re
import sys
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path += [str(Path(__file__).parents[1] / room) for room in ("diffusion", "datasets")]
pytest.importorskip("gradio", reason="the page needs the extra `app`")
from portrait_clips import PORTRAITS, write_portrait_clip  # after what would skip
from tiny_pipeline import tiny_pipeline, tone

from svp.app import clean_up
from svp.app.clean_up import remove_old
from svp.app.order import place_order
from svp.app.progress import Progress
from svp.app.studio import Studio
from svp.errors import InputError
from svp.face.landmarks import LandmarkDetector
from svp.media.audio import write_wav
from svp.media.video import probe

FRAMES, LOOKED_AT = 20, 3


def test_a_clip_that_does_not_say_how_long_it_is_is_left_where_it_is_too_long(tmp_path, monkeypatch):
    clip = write_portrait_clip(tmp_path / "clip.mp4", frames=FRAMES)
    write_wav(tmp_path / "talk.wav", tone(0.1))
    studio = Studio(tiny_pipeline(), "mini", tmp_path / "videos", 0.1)  # 0.4 s of a clip are ten frames
    info = probe(clip)
    monkeypatch.setattr("svp.app.studio.probe", lambda path: replace(info, seconds=0.0))  # as of a live recording
    seen = []
    monkeypatch.setattr(LandmarkDetector, "detect", lambda _, frame: seen.append(frame))
    order = place_order(str(PORTRAITS / "ada.png"), str(tmp_path / "talk.wav"), clip=str(clip))
    with pytest.raises(InputError, match=r"longer than the 0\.4 s"), studio.work(order) as work:
        work.wait(60)
        work.result()
    assert len(seen) == 11
    studio.close()


@pytest.mark.parametrize("use", ["style", "head_motion"])
def test_a_clip_is_left_in_the_middle(use, tmp_path, monkeypatch):
    clip = write_portrait_clip(tmp_path / "clip.mp4", frames=FRAMES)
    write_wav(tmp_path / "talk.wav", tone(FRAMES / 25))
    studio = Studio(tiny_pipeline(), "mini", tmp_path / "videos", 60.0)
    seen, reached, go_on = [], threading.Event(), threading.Event()

    def detect(_: LandmarkDetector, frame: np.ndarray) -> None:
        seen.append(frame)
        if len(seen) == LOOKED_AT:
            reached.set()
            assert go_on.wait(60)

    monkeypatch.setattr(LandmarkDetector, "detect", detect)
    given = {"clip": str(clip)} if use == "style" else {"head_motion": str(clip)}
    order = place_order(str(PORTRAITS / "ada.png"), str(tmp_path / "talk.wav"), **given)
    with studio.work(order) as work:
        assert reached.wait(60)
        assert work.progress.text.endswith(": 1 s of the clip")
        work.stop()
        go_on.set()
        assert work.wait(60)
        with pytest.raises(CancelledError):
            work.result()
    assert len(seen) == LOOKED_AT and not work.folder.exists()
    studio.close()


def test_what_is_said_of_a_portrait_that_can_be_used_is_shown(tmp_path):
    with Image.open(PORTRAITS / "ada.png") as ada:
        two = Image.new("RGB", (2 * ada.width, ada.height))
        for column in range(2):
            two.paste(ada, (column * ada.width, 0))
        two.save(tmp_path / "two.png")
    write_wav(tmp_path / "talk.wav", tone(0.1))
    studio = Studio(tiny_pipeline(), "mini", tmp_path / "videos", 60.0)
    with studio.work(place_order(str(tmp_path / "two.png"), str(tmp_path / "talk.wav"))) as work:
        assert work.wait(60)
        assert probe(work.result()).seconds > 0
        assert re.fullmatch(r"two\.png: 2 faces, the largest is taken .*; for another one Face box .*", work.notice)
        assert work.progress.text.endswith(f" left\n{work.notice}")
    sent = Progress("", 0.5, np.zeros((1080, 1920, 3), np.uint8)).shown()["frame"].partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(sent))).size == (640, 360)
    studio.close()


def test_the_clean_up_goes_on_when_a_folder_vanishes_under_it(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    walk = os.scandir

    def vanishing(place):
        if Path(place) != tmp_path:
            raise FileNotFoundError(place)
        return walk(place)

    monkeypatch.setattr(os, "scandir", vanishing)
    monkeypatch.setattr(clean_up, "time", lambda: time.time() + 10)
    remove_old(tmp_path, keep=1.0, own=frozenset())
    assert not list(tmp_path.iterdir())
