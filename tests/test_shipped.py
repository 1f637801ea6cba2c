"""The shipped model and gallery, through the command a user types."""

import json
from pathlib import Path

import numpy as np
import pytest

from command import svp
from svp import SVPPipeline
from svp.diffusion.model_folder import ASSETS
from svp.face.fit import fit_clip
from svp.face.landmarks import require_track, track_landmarks
from svp.face.model import FaceModel
from svp.media.audio import read_audio, write_wav
from svp.media.video import probe, read_frames
from svp.style.cues import read_cues
from svp.style.gallery import LEVELS, gallery_names
from svp.style.timeline import style_over_time
from svp.training.model_folder import began_at_random, stages_done
from svp.training.stages import STAGES

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT = ROOT / "samples" / "portraits" / "felix.png"
SPEECH = ROOT / "samples" / "speech" / "face.wav"


@pytest.fixture(scope="module")
def pipeline():
    return SVPPipeline.from_pretrained("mini")


def test_the_gallery_has_meads_emotions_and_fits_the_model(pipeline):
    emotions = ["angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised"]
    assert gallery_names() == emotions
    for name in emotions:
        for level in LEVELS:
            assert pipeline.style(f"{name}:{level}").name == f"{name}:{level}"


def test_training_goes_on_from_the_shipped_model_by_its_name():
    assert "style" in stages_done(Path("mini")) and not began_at_random(Path("mini"))


def test_the_package_stays_small_and_says_how_it_was_trained():
    assert sum(path.stat().st_size for path in (ASSETS / "mini").rglob("*") if path.is_file()) <= 40e6
    record = json.loads((ASSETS / "mini" / "training.json").read_text())
    stages = [entry["stage"] for entry in record]
    assert set(stages) == {"vae", "prior", "appearance", "motion", "style", "tiny-vae"}
    last = {stage: place for place, stage in enumerate(stages)}
    for stage, place in last.items():  # none was trained after one that builds on it
        assert all(last[needed] < place for needed in STAGES[stage].needs), stage


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    write_wav(folder / "short.wav", read_audio(SPEECH)[:7_000])  # 0.44 s: less than two windows
    result = svp("generate", "--portrait", PORTRAIT, "--audio", folder / "short.wav", "--style", "happy:2",
                 "--style-strength", "1.2", "--steps", "2", "--seed", "3", "-o", folder / "out.mp4")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "11 frames" in result.stdout
    return folder / "out.mp4"


def test_the_command_writes_a_video_with_sound_of_the_recordings_length(generated):
    info = probe(generated)
    assert (info.width, info.height, info.fps, info.has_audio) == (128, 128, 25.0, True)
    assert abs(info.seconds - 11 / 25) < 0.5 / 25
    assert len(list(read_frames(generated))) == 11
    assert not list(generated.parent.glob("*.partial*"))


def test_the_command_equals_the_pipeline(generated, pipeline):
    style = pipeline.style("happy:2").scale(1.2)
    audio = read_audio(generated.parent / "short.wav")
    video = pipeline(PORTRAIT, audio, style, seed=3, num_inference_steps=2)
    video.save(generated.with_name("own.mp4"))
    own, written = (np.stack(list(read_frames(path))) for path in (generated.with_name("own.mp4"), generated))
    assert np.abs(own.astype(int) - written).max() <= 1


def test_styles_and_seeds_change_the_video(pipeline):
    audio = read_audio(SPEECH)[:3_200]
    portrait = pipeline.portrait(PORTRAIT)
    plain, happy, angry, again, other = (
        pipeline(portrait, audio, style and f"{style}:3", "still", num_inference_steps=2, seed=seed).frames
        for style, seed in ((None, 1), ("happy", 1), ("angry", 1), ("angry", 1), ("angry", 2))
    )
    assert np.array_equal(angry, again)
    assert not np.array_equal(angry, other)
    assert not np.array_equal(happy, angry)
    assert not np.array_equal(plain, happy)


def test_mouth_corners_follow_the_styles_of_a_timeline_at_their_time(pipeline):
    """Paper, contributions: multiple changes within one video. Sad, then happy from one second on."""
    portrait = pipeline.portrait(ROOT / "samples" / "portraits" / "ada.png")
    styles = style_over_time(read_cues(["sad", "happy@1"]), pipeline.style)
    frames = pipeline(portrait, read_audio(SPEECH)[:32_000], styles, "still").frames
    large = np.repeat(np.repeat(frames, 2, axis=1), 2, axis=2)
    fit = fit_clip(require_track(track_landmarks(large), "mini"), FaceModel.load())
    names = list(FaceModel.load().unit_names)
    corners = sum(
        fit.expression[:, names.index(f"mouthSmile{side}")] - fit.expression[:, names.index(f"mouthFrown{side}")]
        for side in ("Left", "Right")
    )
    sad, blend, happy = corners[:25].mean(), corners[25:38].mean(), corners[38:].mean()
    assert sad < blend < happy and happy - sad > 0.3
