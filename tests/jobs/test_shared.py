"""What jobs of one worker share: its model, and the face of a clip that moves their heads."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "datasets"))
from portrait_clips import write_portrait_clip
from tiny_jobs import line, write, write_inputs

from svp.diffusion import portrait
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.face import landmarks
from svp.jobs import run, work
from svp.jobs.run import generate_all
from svp.media.hashing import sha256_file
from svp.media.marking import Marking
from svp.media.verification import verify_video
from svp.media.video import read_frames
from workers_here import WorkersHere

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "Workers", WorkersHere)
    monkeypatch.setattr(work, "_loaded", {})


def test_a_worker_loads_a_model_once(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SVPPipeline.from_pretrained(inputs / "model").save_pretrained(inputs / "other")
    loads: list[str] = []
    load = SVPPipeline.from_pretrained
    monkeypatch.setattr(SVPPipeline, "from_pretrained", lambda name: loads.append(Path(name).name) or load(name))
    lines = [line(), line(model="other"), line(seed=1)]
    assert generate_all(write(inputs, lines), tmp_path, workers=1, progress=False).complete
    assert loads == ["model", "other"]


def test_a_clip_that_moves_heads_is_looked_at_once(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_portrait_clip(inputs / "clip.mp4", "bianca", frames=20)  # longer than one recording
    looked: list[int] = []
    track = landmarks.track_landmarks

    def watched(*given: object, **options: object) -> np.ndarray:
        found = track(*given, **options)
        looked.append(len(found))
        return found

    for module in (landmarks, portrait):
        monkeypatch.setattr(module, "track_landmarks", watched)
    lines = [line(audio=f"{name}.wav", head_motion="clip.mp4") for name in ("short", "long")]
    lines.append(lines[0] | {"retarget": "none"})
    jobs = write(inputs, lines)
    assert generate_all(jobs, tmp_path, workers=1, progress=False).complete
    assert looked == [20]
    (tmp_path / "000001.mp4").unlink()
    assert generate_all(jobs, tmp_path, workers=1, progress=False).complete
    assert looked == [20]

    facts = verify_video(tmp_path / "000001.mp4").facts
    assert facts["inputs"]["head_motion"] == {"sha256": sha256_file(clip), "of": "file"}
    pipeline = SVPPipeline.from_pretrained(inputs / "model")
    for number, retarget in ((1, "pose"), (3, "none")):
        options = {"head_motion": clip, "num_inference_steps": 2, "retarget": retarget}
        own = pipeline.stream(inputs / "ada.png", inputs / "short.wav", **options)
        own.save(tmp_path / "own.mp4", Marking(provenance=False))
        assert looked.pop() == 15
        frames = [np.stack(list(read_frames(tmp_path / name))) for name in (f"{number:06d}.mp4", "own.mp4")]
        assert np.array_equal(*frames)


def test_a_clip_that_breaks_off_behind_what_a_video_needs_moves_its_head(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> np.ndarray:
        raise InputError("clip.mp4: damaged")

    write_portrait_clip(inputs / "long.mp4", frames=20)
    monkeypatch.setattr(landmarks, "track_landmarks", broken)  # of what the longest video needs
    report = generate_all(write(inputs, [line(head_motion="long.mp4")]), tmp_path, workers=1, progress=False)
    assert report.complete and not list((tmp_path / ".features").glob("motion*"))
