"""The studio of the page: a video that nobody waits for any more ends at once, whatever is being done for it."""

import sys
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

sys.path += [str(Path(__file__).parents[1] / room) for room in ("diffusion", "datasets")]
pytest.importorskip("gradio", reason="the page needs the extra `app`")
from portrait_clips import PORTRAITS, write_portrait_clip  # after what would skip
from tiny_pipeline import tiny_pipeline, tone

from svp.app.order import place_order
from svp.app.studio import Studio
from svp.face.landmarks import LandmarkDetector
from svp.media.audio import write_wav

FRAMES, LOOKED_AT = 20, 3


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
