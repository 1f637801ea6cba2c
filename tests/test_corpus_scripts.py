"""Scripts around the puppet corpus, on something tiny: what they write is what the corpus and its readers take."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from svp.datasets.corpus import make_corpus
from svp.datasets.corpus_plan import CorpusOptions
from svp.datasets.phones import read_phones
from svp.datasets.sounds import speech_sounds
from svp.media.audio import read_audio, write_wav


def script(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, arguments)])
    return module.main()


def test_ravdess_becomes_labelled_recordings(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pocketsphinx", reason="alignment needs the extra speech")
    collect, source, out = script("collect_ravdess"), tmp_path / "Actor_05", tmp_path / "out"
    source.mkdir()
    assert run(collect, monkeypatch, tmp_path, out) == 2
    assert "holds no recording named as RAVDESS names them" in capsys.readouterr().err
    name = "03-01-05-02-01-01-05"  # angry, strong, "Kids ...", actor 5
    (source / f"{name}.wav").symlink_to(shared / f"data/speech/ravdess/{name}.wav")
    write_wav(source / "03-01-02-01-02-01-05.wav", np.zeros(3200, np.float32))  # calm, but nothing is said
    (source / "03-01-03-01-01-01-05.wav").write_bytes(b"RIFF")
    (source / "notes.wav").write_bytes(b"not one of them")
    assert run(collect, monkeypatch, tmp_path, out) == 0
    told = capsys.readouterr().out
    assert "1 recordings" in told and "2 left out" in told and "03-01-02-01-02-01-05.wav: the words do not fit" in told
    (sound,), left_out = speech_sounds(out, 40)
    assert not left_out and sound.name == f"ravdess_{name}"
    assert (sound.emotion, sound.intensity, sound.voice) == ("angry", 3, "ravdess-05")
    assert sound.words == "kids are talking by the door"
    phones, audio = read_phones(sound.path), read_audio(sound.path)
    assert [phone.name for phone in phones if phone.name != "pau"][:4] == ["k", "ih", "d", "z"]
    assert phones[-1].end <= len(audio) / 16000 + 0.02
    talk = next(phone for phone in phones if phone.name == "ao")
    loud = np.abs(audio[int(talk.start * 16000) : int(talk.end * 16000)]).mean()
    assert loud > 3 * np.abs(audio[: int(0.2 * 16000)]).mean(), "phones are where the sound is"


def test_what_puppets_show_is_measured(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure, portraits, speech = script("measure_puppets"), tmp_path / "portraits", tmp_path / "speech"
    portraits.mkdir(), speech.mkdir()
    assert run(measure, monkeypatch, tmp_path / "corpus", portraits) == 2
    assert "no picture in it" in capsys.readouterr().err
    (portraits / "ada.png").symlink_to(shared / "data/portraits/anitalker_aiface2.png")
    write_wav(speech / "a.wav", np.random.default_rng(0).normal(0, 0.1, 19200).astype(np.float32))
    (speech / "a.phones.json").write_text('[["pau", 0, 0.1], ["m", 0.1, 0.3], ["aa", 0.3, 0.7], ["pau", 0.7, 1.2]]')
    options = CorpusOptions.checked(
        size=256, looks=1, clips_per_emotion=1, min_frames=20, max_frames=20, audio_encoder="log-mel"
    )
    make_corpus(portraits, tmp_path / "corpus", options, speech=speech, progress=False)
    monkeypatch.setattr(measure, "STRONGEST", 4)
    report = tmp_path / "report.json"
    assert run(measure, monkeypatch, tmp_path / "corpus", portraits, "--portraits", 1, "-o", report) == 0
    told = json.loads(report.read_text())
    assert told == json.loads(capsys.readouterr().out)
    assert (told["clips"]["identities"], told["clips"]["frames"]) == (1, 60)
    assert told["clips"]["faces found"] >= 0.95 and 0 < told["clips"]["landmarks"] < 0.1
    assert (told["one at a time"]["portraits"], told["one at a time"]["frames"]) == (1, 20)
    assert len(told["units"]) == 4 and "jawOpen" in told["units"]
    assert told["units"]["jawOpen"]["one at a time"] > 0.8 and told["units"]["jawOpen"]["in performances"] > 0.6
