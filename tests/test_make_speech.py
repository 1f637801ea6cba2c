"""Made speech: emotions grow with their level, and the phones stay where the sound is."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from svp.datasets.phones import Phone, read_phones
from svp.media.audio import read_audio


@pytest.fixture(scope="module")
def speech() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts/make_speech.py"
    spec = importlib.util.spec_from_file_location("make_speech", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_speech"] = module
    spec.loader.exec_module(module)
    return module


def test_levels_lie_between_plain_and_full(speech: ModuleType) -> None:
    plain = vars(speech.Prosody())
    for emotion, full in speech.PROSODY.items():
        steps = [vars(full.at(level)) for level in range(4)]
        assert steps[0] == plain and steps[3] == vars(full)
        for name in plain:
            values = [step[name] for step in steps]
            assert values in (sorted(values), sorted(values, reverse=True)), (emotion, name)


def test_stretched_pauses_move_what_follows(speech: ModuleType) -> None:
    phones = [Phone("pau", 0, 0.1), Phone("aa", 0.1, 0.3), Phone("pau", 0.3, 0.5), Phone("m", 0.5, 0.7)]
    phones += [Phone("pau", 0.7, 0.8)]
    samples = np.zeros(12800)
    samples[1600:4800], samples[8000:11200] = 1, 2
    for factor, length in ((2.0, 0.4), (0.5, 0.1), (1.0, 0.2)):
        sound, moved = speech.stretched_pauses(samples, phones, factor)
        assert [phone.name for phone in moved] == [phone.name for phone in phones]
        assert abs(moved[2].end - moved[2].start - length) < 1e-3 and moved[1] == phones[1]
        m = sound[round(moved[3].start * 16000) : round(moved[3].end * 16000)]
        assert len(m) == 3200 and (m == 2).all()
        assert len(sound) == round((0.6 + length) * 16000)


def test_pauses_come_between_words_and_leave_them(speech: ModuleType) -> None:
    text = "Every morning, the young baker laughs."
    paused = speech.with_pauses(text, 1.0, np.random.default_rng(0))
    assert paused == "Every, morning, the, young, baker, laughs."
    assert speech.with_pauses(text, 0.0, np.random.default_rng(0)) == text


def buzz(pitch: np.ndarray) -> np.ndarray:
    """A vowel-like sound: harmonics of a pitch (samples,) in Hz under one formant at 700 Hz."""
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    return sum(3000 * np.exp(-(((k * pitch - 700) / 400) ** 2)) * np.cos(k * phase) for k in range(1, 30))


def test_pitch_is_measured_and_moved_while_formants_stay(speech: ModuleType) -> None:
    time = np.arange(16000) / 16000
    sound = buzz(110 + 10 * np.sin(2 * np.pi * 2 * time))
    sound[:3200] = np.random.default_rng(0).normal(0, 300, 3200)  # a consonant
    track = speech.pitch_of(sound)
    assert (track[:18] > 0).mean() < 0.2
    np.testing.assert_allclose(track[25:95], 110 + 10 * np.sin(2 * np.pi * 2 * np.arange(25, 95) / 100), atol=2.5)
    for mean, spread in ((150.0, 20.0), (90.0, 3.0)):
        moved = speech.repitched(sound, mean, spread)
        found = speech.pitch_of(moved)[25:95]
        assert len(moved) == len(sound) and abs(np.median(found) - mean) < 4 and abs(found.std() - spread) < 4
        power = np.abs(np.fft.rfft(moved[4000:])) ** 2
        assert abs((power * np.fft.rfftfreq(12000, 1 / 16000)).sum() / power.sum() - 700) < 60
    silence = np.zeros(8000)
    assert np.array_equal(speech.repitched(silence, 100.0, 10.0), silence)


@pytest.mark.skipif(shutil.which("flite") is None, reason="Debian's flite is not installed")
def test_every_voice_has_its_pitch_and_the_emotions(speech: ModuleType, tmp_path: Path) -> None:
    for voice, about in speech.VOICES.items():
        found = {}
        for emotion in ("neutral", "sad", "surprised"):
            path = tmp_path / f"{voice}_{emotion}.wav"
            level = 3 * (emotion != "neutral")
            speech.speak("My mother made a map of the village.", path, voice, emotion, level, np.random.default_rng(1))
            track = speech.pitch_of(32768.0 * read_audio(path))
            found[emotion] = track[track > 0]
            wanted = about.pitch * speech.PROSODY[emotion].pitch
            assert abs(np.median(found[emotion]) / wanted - 1) < 0.16, (voice, emotion)
        assert np.median(found["sad"]) < 0.92 * np.median(found["neutral"]), voice
        assert np.median(found["surprised"]) > 1.15 * np.median(found["neutral"]), voice
        narrow, wide = (np.subtract(*np.percentile(found[emotion], (90, 10))) for emotion in ("sad", "surprised"))
        assert narrow < wide, voice
        assert json.loads(path.with_suffix(".json").read_text())["speaker"] == f"flite {about.flite}"


@pytest.mark.skipif(shutil.which("flite") is None, reason="Debian's flite is not installed")
def test_anger_is_loud_and_quick_and_sadness_the_opposite(speech: ModuleType, tmp_path: Path) -> None:
    level, length = {}, {}
    for emotion in ("angry", "neutral", "sad"):
        path = tmp_path / f"{emotion}.wav"
        seconds = speech.speak("My mother made a map.", path, "ron", emotion, 3 * (emotion != "neutral"),
                               np.random.default_rng(1))  # fmt: skip
        audio, phones = read_audio(path), read_phones(path)
        assert len(audio) == round(seconds * 16000) and phones[-1].end <= seconds + 0.02
        vowels = [p for p in phones if p.name in ("ay", "ah", "ey", "ae")]
        loud = [np.abs(audio[int(p.start * 16000) : int(p.end * 16000)]).mean() for p in vowels]
        assert min(loud) > 3 * np.abs(audio[: int(0.6 * phones[0].end * 16000)]).mean(), "phones are where the sound is"
        level[emotion], length[emotion] = np.sqrt(np.mean(audio**2)), seconds
        about = json.loads(path.with_suffix(".json").read_text())
        assert about["voice"] == "ron" and about["emotion"] == emotion
    assert level["angry"] > level["neutral"] > level["sad"]
    assert length["angry"] < length["neutral"] < length["sad"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
