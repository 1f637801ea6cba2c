"""alpha: which position belongs to which frame, alignment in time, windows, silence."""

import json

import numpy as np
import pytest
import torch
from tiny_whisper import convolutions_only, rule_whisper, tiny_config
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from golden_rule import DATA
from svp.errors import InputError
from svp.media.audio import read_audio
from svp.speech.alpha import (
    LogMelAudioEncoder,
    WhisperAudioEncoder,
    frame_positions,
    is_silent,
    load_audio_encoder,
)
from svp.speech.whisper import hidden_states

MINUTES_10 = 600


@pytest.fixture(scope="module")
def whisper():
    return WhisperAudioEncoder(rule_whisper())


@pytest.fixture(scope="module")
def convolutions():
    return WhisperAudioEncoder(convolutions_only(rule_whisper()), "raw")


def noise(seconds, seed=0):
    return np.random.default_rng(seed).normal(scale=0.05, size=round(seconds * 16000)).astype(np.float32)


@pytest.mark.parametrize("fps", [24, 25, 29.97, 30])
def test_frames_take_the_positions_others_take(fps):
    windows = json.loads((DATA / "whisper/windows.json").read_text())[str(fps)]
    positions = frame_positions(len(windows), float(fps))
    assert [window[4] for window in windows] == positions.tolist()
    around = np.clip(positions[:, None] + np.arange(-4, 6), 0, 164)  # what they take besides, of 165 positions
    assert around.tolist() == windows


def test_positions_do_not_drift():
    for fps in (23.976, 25.0, 29.97, 30000 / 1001, 59.94):
        frames = round(3600 * fps)
        assert np.abs(frame_positions(frames, fps) / 50 - np.arange(frames) / fps).max() <= 1 / 50 + 1e-9


def test_alpha_is_the_states_side_by_side(whisper):
    audio = noise(33.0)
    alpha = whisper.encode(audio, 800, 25.0)
    states = hidden_states(audio, whisper.model, "normed")
    assert alpha.shape == (800, 1920) and alpha.dtype == torch.float32
    assert torch.equal(alpha, states[: 2 * 800 : 2].reshape(800, 1920))
    raw = WhisperAudioEncoder(whisper.model, "raw").encode(audio, 800, 25.0)
    assert torch.equal(raw[:, :1536], alpha[:, :1536]) and not torch.allclose(raw[:, 1536:], alpha[:, 1536:], atol=0.1)


def impulse_frames(encoder, fps, seed):
    """Times of impulses over ten minutes, and the frame that changes most around each of them."""
    rng = np.random.default_rng(seed)
    base = noise(MINUTES_10, seed=seed)
    times = np.arange(5.0, MINUTES_10 - 5, 6.5)
    times = np.concatenate([[0.2], times + rng.uniform(-1.5, 1.5, len(times)), [MINUTES_10 - 0.5]])
    struck = base.copy()
    struck[np.round(times * 16000).astype(int)] += 0.9
    frames = int(MINUTES_10 * fps)
    change = torch.zeros(frames)
    at = 0
    for before, after in zip(encoder.stream(base, frames, fps), encoder.stream(struck, frames, fps), strict=True):
        change[at : at + len(before)] = (after - before)[:, :384].norm(dim=1)  # 384: the convolutional state
        at += len(before)
    assert at == frames
    found = []
    for time in times:
        low, high = max(0, int((time - 1) * fps)), int((time + 1) * fps)
        found.append(low + int(change[low:high].argmax()))
    return times, np.array(found)


@pytest.mark.parametrize("fps", [25.0, 29.97])
def test_an_impulse_changes_its_own_frame_over_ten_minutes(convolutions, fps):
    times, frames = impulse_frames(convolutions, fps, seed=1)
    error = frames - times * fps
    assert np.abs(error).max() <= 1
    slope = np.polyfit(times, error, 1)[0]
    assert abs(slope) * MINUTES_10 < 0.5  # frames of drift


def test_an_impulse_changes_the_middle_of_log_mel_over_ten_minutes():
    encoder = LogMelAudioEncoder()
    audio = np.zeros(MINUTES_10 * 16000, np.float32)
    times = np.arange(1.0, MINUTES_10, 7.3)
    audio[np.round(times * 16000).astype(int)] = 0.9
    alpha = encoder.encode(audio, MINUTES_10 * 25, 25.0).reshape(-1, 24, 80).mean(2)
    centre = (alpha[:, 11] + alpha[:, 12]) / 2
    for time in times:
        low = int((time - 1) * 25)
        assert abs(low + int(centre[max(0, low) : low + 50].argmax()) - time * 25) <= 1


@pytest.mark.parametrize("seconds", [0.0, 0.05, 2.0, 31.0])
@pytest.mark.parametrize("kind", ["whisper", "log-mel"])
def test_any_length_of_sound_gives_the_frames_asked_for(convolutions, kind, seconds):
    encoder = convolutions if kind == "whisper" else LogMelAudioEncoder()
    audio = noise(seconds)
    for frames in (0, 1, 60):
        alpha = encoder.encode(audio, frames)
        assert alpha.shape == (frames, 1920) and alpha.isfinite().all()
    padded = np.concatenate([audio, np.zeros(16000, np.float32)])
    assert torch.allclose(encoder.encode(audio, 40), encoder.encode(padded, 40), atol=1e-5)


def test_log_mel_blocks_do_not_show():
    audio = noise(60.0)
    encoder = LogMelAudioEncoder()
    whole = encoder.encode(audio, 1499, 25.0)
    later = encoder.encode(audio[16000 * 16 :], 150, 25.0)  # 16 s later: frame 400 on, across a block's edge
    assert torch.allclose(whole[404:550], later[4:], atol=1e-4)  # earlier ones hear what was cut away
    blocks = list(encoder.stream(audio, 1499, 25.0))
    assert len(blocks) > 1 and torch.equal(torch.cat(blocks), whole)


def test_ids_name_the_weights_and_the_last_state(whisper, tmp_path):
    assert whisper.id == "whisper-tiny/normed"
    assert load_audio_encoder("log-mel").id == "log-mel"
    english = rule_whisper()
    english.config.vocab_size = 51864
    english.save_pretrained(tmp_path / "mine")
    assert load_audio_encoder(str(tmp_path / "mine")).id == "whisper-tiny.en/normed"
    assert load_audio_encoder(f"{tmp_path / 'mine'}/raw").id == "whisper-tiny.en/raw"
    with pytest.raises(InputError, match="no such folder"):
        load_audio_encoder("log-mell/raw")


def test_other_sizes_of_whisper_are_refused():
    with pytest.raises(InputError, match="5 of 384"):
        WhisperAudioEncoder(WhisperEncoder(tiny_config()))


def test_silence():
    assert is_silent(None) and is_silent(np.zeros(0, np.float32)) and is_silent(np.zeros(32000, np.float32))
    assert is_silent(np.random.default_rng(0).choice([-1, 0, 1], 32000).astype(np.float32) / 32768)  # dither
    assert not is_silent(noise(1.0) * 0.1)  # a quiet room
    word = np.zeros(160000, np.float32)
    word[80000:84000] = noise(0.25)
    assert not is_silent(word)


def test_silent_and_spoken_real_clips(shared):
    clips = shared / "data/clips"
    assert is_silent(read_audio(clips / "mead_eamm/surprised.mp4"))
    assert not is_silent(read_audio(clips / "ravdess_actor01/av-01-08-02-01-01-01.mp4"))
