"""Phones with times of a recording: read from `X.phones.json`, or aligned from `X.txt` by pocketsphinx.

Phone names are ARPABET in lower case without stress ("aa", "m", ...), "ax" for the unstressed vowel, "pau" for a pause.
A prepared clip holds the number in PHONES of the phone of each frame.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from svp.errors import InputError, install
from svp.media.audio import SAMPLE_RATE, read_audio
from svp.media.video import FPS

PAUSE = "pau"
PHONES = (  # the order is part of the dataset format
    *(PAUSE, "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g", "hh", "ih"),
    *("iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w", "y", "z"),
    "zh",
)
UNKNOWN = -1  # a phone that is not in PHONES, or nobody knows what is said
FRAME_SECONDS = 0.01  # pocketsphinx counts time in frames of 10 ms
NO_SPEECH = ("sil", "+spn+", "+nsn+", "+noise+", "(null)")


@dataclass(frozen=True)
class Phone:
    """One phone and when it sounds, in seconds."""

    name: str
    start: float
    end: float


def times_of(wav: Path) -> Path:
    """Where the phone times of a recording are, if it has them."""
    return wav.with_suffix(".phones.json")


def words_of(wav: Path) -> Path:
    """Where the words of a recording are, if it has them."""
    return wav.with_suffix(".txt")


def read_phones(wav: Path) -> list[Phone]:
    """Phones of a recording in order: from `X.phones.json` beside it, else by alignment with the words of `X.txt`.

    Raises:
        InputError: neither file is there, or what is there cannot be used.
    """
    times, words = times_of(wav), words_of(wav)
    if times.is_file():
        return load_phones(times)
    if not words.is_file():
        raise InputError(f"{wav}: no phone times; put {times.name} or the spoken words as {words.name} beside it")
    return align(read_audio(wav), read_words(words), str(words))


def read_words(path: Path) -> str:
    """What `X.txt` says.

    Raises:
        InputError: the file cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not a text in UTF-8 ({error}); save it again as UTF-8") from error


def frame_phones(phones: Sequence[Phone], start: int, n_frames: int) -> np.ndarray:
    """Numbers in PHONES of what sounds in the middle of frames start to start + N; (N,) int16.

    Time between phones is a pause.
    """
    numbers = np.full(n_frames, PHONES.index(PAUSE), np.int16)
    middles = (start + np.arange(n_frames) + 0.5) / FPS
    for phone in phones:
        number = PHONES.index(phone.name) if phone.name in PHONES else UNKNOWN
        numbers[(middles >= phone.start) & (middles < phone.end)] = number
    return numbers


def load_phones(path: Path) -> list[Phone]:
    """Phones in order, as `X.phones.json` lists them.

    Raises:
        InputError: the file is not such a list.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        phones = [Phone(str(name).lower(), float(start), float(end)) for name, start, end in entries]
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"{path}: not a list of [phone, start, end] ({error}); write it anew") from error
    last = 0.0
    for phone in phones:
        if not 0 <= last <= phone.start + 1e-3 <= phone.end + 2e-3:
            raise InputError(f"{path}: {phone.name} at {phone.start} s does not follow on {last} s; correct the times")
        last = phone.end
    return phones


def write_phones(path: Path, phones: Sequence[Phone]) -> None:
    """Write `X.phones.json`, as `load_phones` reads it."""
    entries = [[phone.name, round(phone.start, 3), round(phone.end, 3)] for phone in phones]
    path.write_text(json.dumps(entries) + "\n", encoding="utf-8")


def require_aligner(name: Path | str) -> None:
    """Raises an InputError, which names what is to be aligned, if pocketsphinx is missing."""
    if find_spec("pocketsphinx") is None:
        raise InputError(f"{name}: aligning needs pocketsphinx; {install('speech')}")


def align(audio: np.ndarray, words: str, name: str) -> list[Phone]:
    """Align known words with their recording in two passes: words first, then the phones inside them.

    Args:
        audio: (samples,) float at 16 kHz.
        words: what is said; punctuation and case do not matter.
        name: of the text, for errors.

    Raises:
        InputError: pocketsphinx is missing, a word is not in its dictionary, or the words do not fit the sound.
    """
    require_aligner(name)
    from pocketsphinx import Decoder

    text = " ".join(re.findall(r"[a-z']+", re.sub(r"\([^)]*\)|<[^>]*>", " ", words.lower())))
    decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", lm=None)
    unknown = [word for word in text.split() if decoder.lookup_word(word) is None]
    if unknown or not text:
        missing = ", ".join(sorted(set(unknown))) or "no words"
        raise InputError(f"{name}: cannot align {missing}; write words that an English dictionary has")
    sound = (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()
    decoder.set_align_text(text)
    for second_pass in (False, True):
        if second_pass:
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        try:
            decoder.end_utt()
        except RuntimeError as error:
            raise InputError(f"{name}: the words do not fit the recording; correct the text") from error
        if not second_pass and decoder.hyp() is None:  # the second pass has no hypothesis to ask for
            raise InputError(f"{name}: the words do not fit the recording; correct the text")
    phones = []
    alignment = decoder.get_alignment()
    for word in alignment:
        for entry in word:
            start = entry.start * FRAME_SECONDS
            label = PAUSE if entry.name.lower() in NO_SPEECH else re.sub(r"\d", "", entry.name.lower())
            phones.append(Phone(label, start, start + entry.duration * FRAME_SECONDS))
    return phones
