"""A style from real clips: with sound, with a silent track, from something that is no clip."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from svp.errors import InputError
from svp.face.fit import fit_clip
from svp.face.landmarks import require_track, track_landmarks
from svp.face.model import FaceModel
from svp.media.audio import read_audio
from svp.media.video import VideoWriter, read_frames
from svp.speech.alpha import load_audio_encoder
from svp.style.encoder import StyleEncoder
from svp.style.extract import extract_style
from svp.style.prior import StylePrior

SECONDS = 0.8


@pytest.fixture(scope="module")
def encoder() -> StyleEncoder:
    torch.manual_seed(0)
    model = FaceModel.load()
    encoder = StyleEncoder(
        expression_size=len(model.expression),
        audio_size=1920,
        style_size=16,
        layers=1,
        heads=2,
        feed_forward=16,
        expression_encoder=model.encoder_id,
        audio_encoder="log-mel",
    ).eval()
    encoder.neutral_code.copy_(torch.randn(16))
    return encoder


def cut(source: Path, path: Path, sound: np.ndarray | None) -> Path:
    """The first moments of a clip, with another sound."""
    frames = list(read_frames(source, seconds=SECONDS))
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width, height, audio=sound) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def clip(shared: Path) -> Path:
    return next(iter(sorted((shared / "data/clips/lrs3_spectre").glob("*.mp4"))))


def test_a_clip_gives_what_the_encoder_says_of_its_features(encoder: StyleEncoder, clip: Path, tmp_path) -> None:
    path = cut(clip, tmp_path / "secret_client.mp4", read_audio(clip))
    prior = StylePrior.from_clip(path, encoder)
    track = require_track(track_landmarks(read_frames(path)), path)
    expression = torch.from_numpy(fit_clip(track).expression)
    audio = load_audio_encoder("log-mel").encode(read_audio(path), len(track))
    with torch.no_grad():
        expected = encoder(expression[None], audio[None], torch.ones(1, len(track), dtype=torch.bool))
    torch.testing.assert_close(prior.mean, expected.mean[0])
    torch.testing.assert_close(prior.variance, expected.variance[0])
    assert torch.equal(prior.neutral, encoder.neutral_code)
    assert prior.encoder == encoder.fingerprint() and prior.name == "clip"
    assert prior.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert prior.extra["sound"] == "yes" and prior.extra["frames"] == str(len(track))


def test_silence_and_missing_sound_are_the_same_absence(encoder: StyleEncoder, clip: Path, tmp_path) -> None:
    missing = extract_style(cut(clip, tmp_path / "missing.mp4", None), encoder)
    silent = extract_style(cut(clip, tmp_path / "silent.mp4", np.zeros(16000, np.float32)), encoder)
    assert missing.extra["sound"] == silent.extra["sound"] == "no"
    torch.testing.assert_close(silent.mean, missing.mean)


def test_frames_without_a_face_take_no_part(encoder: StyleEncoder, clip: Path, tmp_path) -> None:
    frames = list(read_frames(clip, seconds=SECONDS))
    with VideoWriter(tmp_path / "some.mp4", frames[0].shape[1], frames[0].shape[0]) as writer:
        for frame in frames + [np.zeros_like(frames[0])] * 6:
            writer.write(frame)
    some = extract_style(tmp_path / "some.mp4", encoder)
    plain = extract_style(cut(clip, tmp_path / "plain.mp4", None), encoder)
    assert int(some.extra["frames"]) == int(plain.extra["frames"]) + 6
    torch.testing.assert_close(some.mean, plain.mean, atol=0.02, rtol=0)  # coded twice, nearly the same pictures
    with VideoWriter(tmp_path / "empty.mp4", 64, 64) as writer:
        for _ in range(3):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="a face is found in 0 of 3 frames"):
        extract_style(tmp_path / "empty.mp4", encoder)


def test_clips_and_features_that_do_not_fit_are_named(encoder: StyleEncoder, tmp_path) -> None:
    with pytest.raises(InputError, match="no such clip"):
        extract_style(tmp_path / "none.mp4", encoder)
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(InputError, match=r"text\.mp4"):
        extract_style(tmp_path / "text.mp4", encoder)
    foreign = StyleEncoder.from_config({**encoder.config, "expression_encoder": "deep3d"})
    with pytest.raises(InputError, match="trained on expressions deep3d"):
        extract_style(tmp_path / "text.mp4", foreign)
