"""Phone times: from a file beside the recording, or aligned with its words."""

import json
from pathlib import Path

import numpy as np
import pytest

from svp.datasets.phones import align, read_phones
from svp.errors import InputError
from svp.media.audio import read_audio, write_wav

LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")  # Debian: pocketsphinx-testdata


def test_phone_file_is_read(tmp_path: Path) -> None:
    wav = tmp_path / "a.wav"
    (tmp_path / "a.phones.json").write_text(json.dumps([["PAU", 0, 0.1], ["aa", 0.1, 0.3]]))
    phones = read_phones(wav)
    assert [(phone.name, phone.start, phone.end) for phone in phones] == [("pau", 0.0, 0.1), ("aa", 0.1, 0.3)]


@pytest.mark.parametrize(
    "content", ["{", '["aa"]', '[["aa", 0.5, 0.2]]', '[["aa", 0, 1], ["m", 0.2, 2]]', '[["aa", 0]]']
)
def test_broken_phone_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.phones.json").write_text(content)
    with pytest.raises(InputError, match=r"a\.phones\.json: "):
        read_phones(tmp_path / "a.wav")


def test_missing_words_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"put a\.phones\.json or the spoken words as a\.txt beside it"):
        read_phones(tmp_path / "a.wav")


def test_words_are_aligned_with_a_recording(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="alignment needs the extra speech")
    if not LIBRIVOX.is_dir():
        pytest.skip("Debian's pocketsphinx-testdata is not installed")
    audio = read_audio(LIBRIVOX / "sense_and_sensibility_01_austen_64kb-0880.wav")
    write_wav(tmp_path / "a.wav", audio)
    (tmp_path / "a.txt").write_text("He was not an ill-disposed young man.\n")
    phones = read_phones(tmp_path / "a.wav")
    spoken = [phone.name for phone in phones if phone.name != "pau"]
    expected = ["hh", "iy", "w", "*", "z", "n", "aa", "t", "*", "n", "ih", "l", "d", "ih", "s", "p", "ow", "z", "d"]
    expected += ["y", "ah", "ng", "m", "ae", "n"]
    assert len(spoken) == len(expected)
    assert all(has == want for has, want in zip(spoken, expected, strict=True) if want != "*")
    starts = np.array([phone.start for phone in phones])
    assert np.all(np.diff(starts) >= 0) and phones[-1].end <= len(audio) / 16000 + 0.02
    # Vowels are louder than pauses: the times belong to the sound.
    level = {name: [] for name in ("pau", "aa")}
    for phone in phones:
        if phone.name in level:
            level[phone.name].append(np.sqrt(np.mean(audio[int(phone.start * 16000) : int(phone.end * 16000)] ** 2)))
    assert np.mean(level["aa"]) > 5 * np.mean(level["pau"])


def test_words_outside_the_dictionary_and_silence_are_errors() -> None:
    pytest.importorskip("pocketsphinx", reason="alignment needs the extra speech")
    with pytest.raises(InputError, match="x: cannot align qwxyzzy"):
        align(np.zeros(16000, np.float32), "hello qwxyzzy", "x")
    with pytest.raises(InputError, match="x: cannot align no words"):
        align(np.zeros(16000, np.float32), "...", "x")
    with pytest.raises(InputError, match="the words do not fit"):
        align(np.zeros(1600, np.float32), "extraordinary circumstances happened afterwards", "x")
