"""Reading sound: rates, channels, the clock of the pictures, gaps, damaged files."""

import wave

import numpy as np
import pytest
from make_media import encode_clip, encode_sound, encode_video, number_frame
from scipy.io import wavfile

from svp.errors import InputError
from svp.media.audio import read_audio, read_audio_or_none, write_wav


def tone(rate, seconds, hertz=440.0):
    return 0.4 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000, 192000])
def test_any_rate_and_channel_count(tmp_path, rate, channels):
    samples = np.zeros((channels, round(rate * 1.5)))
    samples[:] = tone(rate, 1.5)
    sound = read_audio(encode_sound(tmp_path / "tone.wav", samples, rate))
    assert sound.dtype == np.float32 and abs(len(sound) - 24000) <= 1
    inside = slice(400, -400)
    truth = tone(16000, 1.5)[: len(sound)]
    if channels < 6:
        assert np.abs(sound - truth)[inside].max() < 2e-3
    else:  # a downmix weighs the channels
        assert np.corrcoef(sound[inside], truth[inside])[0, 1] > 0.999


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp3", "libmp3lame"), ("m4a", "aac"), ("ogg", "libopus"), ("flac", "flac")]
)
def test_compressed_sound_has_no_delay(tmp_path, suffix, codec):
    rate = 48000
    samples = tone(rate, 2.0)[None] * (np.arange(rate * 2) > rate)  # starts at 1 s
    if codec == "flac":
        path = encode_sound(tmp_path / "tone.wav", samples, rate)
    else:
        path = encode_sound(tmp_path / f"tone.{suffix}", samples.astype(np.float32), rate, codec=codec)
    sound = read_audio(path)
    onset = int(np.argmax(np.abs(sound) > 0.1))
    assert abs(onset - 16000) < 80  # 5 ms
    assert abs(len(sound) - 32000) <= 0.03 * 16000


def test_other_output_rates(tmp_path):
    path = encode_sound(tmp_path / "tone.wav", tone(44100, 1.0)[None], 44100)
    assert len(read_audio(path, 48000)) == 48000


@pytest.mark.parametrize(("video_start", "sound_start"), [(0.0, 0.0), (0.0, 0.4), (0.4, 0.0)])
def test_sound_lies_on_the_clock_of_the_pictures(tmp_path, video_start, sound_start):
    path = encode_clip(tmp_path / "clip.mkv", video_start, sound_start, tone_at=1.0, seconds=2.0)
    sound = read_audio(path)
    onset = np.argmax(np.abs(sound) > 0.25) / 16000
    assert onset == pytest.approx(1.0 - video_start, abs=2e-3)
    assert len(sound) / 16000 == pytest.approx(sound_start + 2.0 - video_start, abs=2e-3)


def test_a_gap_in_the_recording_is_silence(tmp_path):
    samples = np.full((1, 32000), 0.5, np.float32)
    path = encode_sound(tmp_path / "gap.mkv", samples, 16000, chunks=[(0, 0), (16000, 24000)])
    sound = read_audio(path)
    assert len(sound) == pytest.approx(40000, abs=16)
    assert np.abs(sound[200:15800] - 0.5).max() < 0.02
    assert np.abs(sound[16400:23600]).max() < 0.01
    assert np.abs(sound[24400:39800] - 0.5).max() < 0.02


def test_ten_minutes_do_not_drift(tmp_path):
    rate = 44100
    samples = np.zeros((1, rate * 600), np.float32)
    clicks = np.arange(5, 600, 85)
    for second in clicks:
        samples[0, second * rate : second * rate + 441] = 0.8
    sound = read_audio(encode_sound(tmp_path / "long.wav", samples, rate))
    assert len(sound) == 600 * 16000
    for second in clicks:
        window = sound[second * 16000 - 800 : second * 16000 + 800]
        assert abs(int(np.argmax(np.abs(window) > 0.4)) - 800) <= 2


def test_no_sound(tmp_path):
    path = encode_video(tmp_path / "mute.mp4", [number_frame(i) for i in range(5)])
    assert read_audio_or_none(path) is None
    with pytest.raises(InputError, match="no sound"):
        read_audio(path)


def test_damaged_sound_says_which_and_what_to_do(tmp_path):
    good = tmp_path / "good.wav"
    write_wav(good, tone(16000, 3.0))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(good.read_bytes()[:30000])
    text = tmp_path / "text.wav"
    text.write_text("not sound" * 100)
    empty = tmp_path / "empty.wav"
    empty.touch()
    for path in (cut, text, empty, tmp_path / "missing.wav", tmp_path):
        with pytest.raises(InputError) as caught:
            read_audio(path)
        assert str(path) in str(caught.value) and ";" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sound_that_is_no_number_is_refused(tmp_path, value):
    path, samples = tmp_path / "float.wav", tone(16000, 1.0).astype(np.float32)
    wavfile.write(path, 16000, samples)
    assert np.abs(read_audio(path) - samples).max() < 1e-6
    samples[8000] = value
    wavfile.write(path, 16000, samples)
    with pytest.raises(InputError, match=r"float\.wav: its sound has values that are no numbers; "):
        read_audio(path)


def test_wav_comes_back(tmp_path):
    samples = np.random.default_rng(0).uniform(-1.2, 1.2, 5000).astype(np.float32)
    write_wav(tmp_path / "new" / "a.wav", samples)
    with wave.open(str(tmp_path / "new" / "a.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, 16000, 5000)
    assert np.abs(read_audio(tmp_path / "new" / "a.wav") - np.clip(samples, -1, 1)).max() < 1e-4
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.wav"]
