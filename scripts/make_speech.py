"""Emotional speech for the puppet corpus: sentences spoken by Debian's `flite`, with the phones and times it reports.

usage: make_speech.py OUT [--sentences 120] [--seed 0]        (needs the program `flite`: apt-get install flite)

Writes X.wav (16 kHz mono), X.txt, X.phones.json ([[phone, start, end], ...], seconds) and X.json (emotion, intensity,
voice, speaker) per utterance. Every sentence is spoken by one of eight voices, four times: plainly, and in one of seven
emotions at three levels. Pitch and its range, rate, loudness, brightness and pauses go with emotion and level, so that
the sound carries both. A speaker of flite becomes two or three voices by another pitch and length of the vocal tract;
`svp puppet` lets no speaker be heard in two splits. flite's `rms` ignores the pitch it is asked for and is given it
afterwards. Files that are there already are made again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.signal import lfilter, resample_poly

from svp.datasets.phones import PAUSE, Phone, write_phones

RATE = 16000
HOP = RATE // 100  # of the pitch track
LOWEST, HIGHEST = 60, 400  # Hz that a voice may have
VOICED = 0.6  # correlation of a sound with itself one period later, from which on it has a pitch
DEAF = ("rms",)  # flite's voices that ignore the pitch they are asked for
LEVELS = (0.0, 0.45, 0.75, 1.0)  # share of the full emotion at intensity 0, 1, 2, 3
USUAL_LEVEL = 2300.0  # root mean square of a plain sentence, of 32768


@dataclass(frozen=True)
class Voice:
    """A voice: flite's speaker, mean pitch in Hz, formants (1: its own; more is a shorter vocal tract), rate."""

    flite: str
    pitch: float
    formants: float = 1.0
    rate: float = 1.0


VOICES = {
    "rob": Voice("rms", 100.0),
    "ron": Voice("rms", 128.0, 1.12, 1.05),
    "sue": Voice("slt", 170.0),
    "sal": Voice("slt", 225.0, 1.13, 1.04),
    "sam": Voice("slt", 140.0, 0.88, 0.95),
    "alan": Voice("awb", 125.0),
    "abel": Voice("awb", 96.0, 0.9, 0.94),
    "kal": Voice("kal16", 105.0),
}


@dataclass(frozen=True)
class Prosody:
    """How an emotion at full strength sounds.

    Attributes:
        duration, pitch, loudness: factors.
        spread: standard deviation of the pitch in Hz, for a voice of 110 Hz.
        brightness: above 0 high frequencies gain, below they lose.
        pauses: share of the gaps between words that become pauses.
        pause: factor of the length of pauses.
    """

    duration: float = 1.0
    pitch: float = 1.0
    spread: float = 12.0
    loudness: float = 1.0
    brightness: float = 0.0
    pauses: float = 0.0
    pause: float = 1.0

    def at(self, level: int) -> "Prosody":
        """The emotion at an intensity of 0 to 3."""
        plain, share = Prosody(), LEVELS[level]
        return Prosody(**{name: value + share * (getattr(self, name) - value) for name, value in vars(plain).items()})


PROSODY = {
    "neutral": Prosody(),
    "angry": Prosody(0.88, 1.18, 26.0, 1.6, 0.6, 0.05, 0.7),
    "contempt": Prosody(1.14, 0.90, 8.0, 0.9, 0.1, 0.08, 1.3),
    "disgusted": Prosody(1.16, 0.86, 15.0, 1.05, -0.2, 0.06, 1.2),
    "fear": Prosody(0.82, 1.32, 17.0, 0.8, 0.2, 0.14, 0.6),
    "happy": Prosody(0.93, 1.24, 30.0, 1.25, 0.3, 0.0, 0.8),
    "sad": Prosody(1.32, 0.82, 5.0, 0.5, -0.55, 0.16, 1.9),
    "surprised": Prosody(0.96, 1.38, 36.0, 1.3, 0.25, 0.04, 1.0),
}
OPENINGS = ["Please", "Tomorrow", "Every morning", "Before noon", "In the winter", "After the storm", "At the market"]
OPENINGS += ["On Sunday", "For a while", "By the window", "Without a map", "Far below us"]
PEOPLE = ["my father", "the young baker", "a woman from Boston", "our old teacher", "the mayor", "her brother"]
PEOPLE += ["the boy in the boat", "a famous painter", "your neighbour", "the pilot", "everybody", "the whole family"]
PEOPLE += ["my best friend", "the purple puppet", "the manager", "a small brown dog"]
ACTIONS = ["bought a bag of apples", "opened the heavy wooden door", "wrote a letter about music", "moved the piano"]
ACTIONS += [
    "made a map of the valley",
    "lost both blue umbrellas",
    "walked over the frozen river",
    "fed the white horses",
]
ACTIONS += ["heard a voice on the roof", "poured more coffee", "began to laugh aloud", "painted the wall yellow"]
ACTIONS += [
    "saw five boats in the harbour",
    "found the photograph",
    "gave away the last ticket",
    "broke the tall mirror",
]
ACTIONS += [
    "talked about the law all evening",
    "put the baby to bed",
    "forgot the name of the street",
    "rang the church bell",
]
ENDINGS = ["and nobody believed it.", "before the music stopped.", "while we were away.", "for the very first time."]
ENDINGS += [
    "without asking me.",
    "because of the rain.",
    "and everybody clapped.",
    "with a broken arm.",
    "in front of the shop.",
]
ENDINGS += [
    "but only for a moment.",
    "just above the bay.",
    "and then went home.",
    "as fast as possible.",
    "from morning to night.",
]
PLAIN = """Would you mind waiting for me over there?
I never thought it would be so far away.
The path of the moon is much brighter in autumn.
How many people have walked along this wall?
Put your papers on the table by the map.
My mother makes the most wonderful marmalade.
Five wet fish were found above the waterfall.
What would happen if we opened all of the windows?
That is the third thing you have forgotten today.
Bob and Pam brought a basket of plums.
We are far from home and the fog is thick.
Who told you about the birthday party?
Show me the shortest way through the orchard.
I am almost sure that the bus has already left.
You should have heard the way they argued.
It is warm enough to swim before breakfast.
She wore a very long velvet robe.
Both of them were bothered by the noise.
Maybe we may borrow the blue wheelbarrow.
Look at the size of that awful hole!
Father, the water is coming over the bank.
They promised to phone me before the weekend.
All my bags were packed and the boat was ready.
The old clock above the fireplace shows the wrong hour.
Few of us remember how the village used to be.
Give the poor animal a bowl of warm milk.
Whatever you do, do not move the vase.
Half of the audience was asleep by the end.
The judge asked for a chair and a cup of tea.
A bumblebee flew by and bumped into the lamp.
Why would anybody want to pay for that?
Above all, remember to breathe and to smile.
The weather will improve by the middle of the week.
I saw the shadow of a large bird on the snow.
Our house has a green roof and a narrow porch.
Pour the flour into a bowl and add some butter.
He offered me a job and I took it at once.
We laughed so much that our stomachs hurt.
Are you aware of how beautiful this place is?
Please keep your voice down while the baby sleeps.
The map was upside down, so we went the wrong way.
Mary mailed me a marvellous photo of her farm.
Move over, please, I want to watch the show.
A hot bath and a warm meal make everything better.
No one knows how the fire began.
The teacher taught us how to fold a paper boat.
Where on earth have you been all afternoon?
Perhaps the problem is simply a loose bolt.
I want you to know that I was wrong.
Open your mouth and say a long, low ah.
""".splitlines()


def sentences(count: int, rng: np.random.Generator) -> list[str]:
    """Distinct sentences: the plain ones first, then combinations of the lists."""
    found = list(PLAIN)
    while len(found) < count:
        opening, person, action, ending = (
            part[rng.integers(len(part))] for part in (OPENINGS, PEOPLE, ACTIONS, ENDINGS)
        )
        if rng.random() < 0.5:
            text = f"{person} {action} {ending}"
            text = text[0].upper() + text[1:]
        else:
            text = f"{opening}, {person} {action}." if opening != "Please" else f"Please tell me why {person} {action}."
        if text not in found:
            found.append(text)
    return found[:count]


def speak(text: str, path: Path, voice: str, emotion: str, level: int, rng: np.random.Generator) -> float:
    """Write one utterance and its companions; the wav comes last and means the utterance is complete.

    Returns:
        Its seconds.
    """
    speaker, prosody = VOICES[voice], PROSODY[emotion].at(level)
    duration, pitch, loudness = (
        value * rng.uniform(0.97, 1.03) for value in (prosody.duration, prosody.pitch, prosody.loudness)
    )
    # Played faster by `formants`, a voice is that much higher and quicker: flite is asked for the opposite.
    settings = {
        "duration_stretch": duration / speaker.rate * speaker.formants,
        "int_f0_target_mean": speaker.pitch * pitch / speaker.formants,
        "int_f0_target_stddev": prosody.spread * speaker.pitch / 110.0 / speaker.formants,
    }
    samples, phones = synthesise(with_pauses(text, prosody.pauses, rng), speaker.flite, settings, path)
    if speaker.flite in DEAF:
        samples = repitched(samples, settings["int_f0_target_mean"], settings["int_f0_target_stddev"])
    played = Fraction(speaker.formants).limit_denominator(50)
    samples = resample_poly(samples, played.denominator, played.numerator)
    phones = [Phone(phone.name, phone.start / float(played), phone.end / float(played)) for phone in phones]
    samples, phones = stretched_pauses(samples, phones, prosody.pause)
    samples = brightened(samples, prosody.brightness)
    samples *= USUAL_LEVEL * loudness / (np.sqrt(np.mean(samples**2)) + 1e-9)
    path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    write_phones(path.with_suffix(".phones.json"), phones)
    about = {"emotion": emotion, "intensity": level, "voice": voice, "speaker": f"flite {speaker.flite}"}
    path.with_suffix(".json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    partial = path.with_name(f".{path.stem}.partial.wav")
    with wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(samples, -32000, 32000).astype("<i2").tobytes())
    os.replace(partial, path)
    return len(samples) / RATE


def synthesise(text: str, voice: str, settings: dict[str, float], path: Path) -> tuple[np.ndarray, list[Phone]]:
    """What flite says: samples at 16 kHz, and the phones with their times."""
    raw = path.with_name(f".{path.stem}.raw.wav")
    command = ["flite", "-voice", voice, "-t", text, "-o", str(raw), "-psdur"]
    for name, value in settings.items():
        command += ["--setf", f"{name}={value:.4f}"]
    reported = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    phones, start = [], 0.0
    for item in reported:
        name, end = item.rsplit(":", 1)
        phones.append(Phone(name, start, float(end)))
        start = float(end)
    with wave.open(str(raw)) as file:
        if (file.getframerate(), file.getnchannels()) != (RATE, 1):
            raise SystemExit(f"flite's voice {voice} speaks at {file.getframerate()} Hz; {RATE} Hz mono is needed")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
    raw.unlink()
    return samples, phones


def pitch_of(samples: np.ndarray) -> np.ndarray:
    """Pitch in Hz every HOP samples; 0 where a sound has none or is faint."""
    window = np.hanning(4 * RATE // LOWEST)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, len(window) // 2), len(window))[::HOP] * window

    def correlation(signals: np.ndarray) -> np.ndarray:
        return np.fft.irfft(np.abs(np.fft.rfft(signals, 2 * len(window))) ** 2)[..., : RATE // LOWEST]

    found = correlation(frames)
    loud = found[:, 0] > 0.01 * np.median(found[:, 0])
    likeness = found / np.maximum(found[:, :1], 1e-9) / (correlation(window) / (window @ window))
    likeness = likeness[:, RATE // HIGHEST :]
    peak = (likeness[:, 1:-1] > likeness[:, :-2]) & (likeness[:, 1:-1] > likeness[:, 2:])
    # Two periods are as alike as one: of the lags that are nearly as good as the best, the first is taken.
    good = peak & (likeness[:, 1:-1] > np.maximum(0.9 * likeness.max(axis=1, keepdims=True), VOICED))
    return np.where(loud & good.any(axis=1), RATE / (RATE // HIGHEST + 1 + good.argmax(axis=1)), 0.0)


def repitched(samples: np.ndarray, mean: float, spread: float) -> np.ndarray:
    """Sound whose pitch has another mean and standard deviation, in Hz; its length and its formants stay.

    Periods are cut out around the peaks of the sound and set closer together or further apart (TD-PSOLA, Moulines and
    Charpentier 1990).
    """
    track = pitch_of(samples)
    voiced = np.flatnonzero(track)
    if len(voiced) < 2:
        return samples
    own = track[voiced]
    wanted = mean + (own - np.median(own)) * spread / max(own.std(), 1e-9)
    at, count = np.arange(len(samples)), len(samples)
    period = RATE / np.interp(at, voiced * HOP, own)
    new_period = RATE / np.interp(at, voiced * HOP, np.clip(wanted, LOWEST, HIGHEST))
    marks, place = [], period[0]
    while place < count - 1:
        reach = int(0.2 * period[int(place)])
        first = max(int(place) - reach, 0)
        marks.append(first + int(np.argmax(samples[first : int(place) + reach + 1])))
        place = max(marks[-1], place - reach) + period[int(place)]
    marks = np.array(marks)
    padding = int(period.max()) + 1
    padded, result = np.pad(samples, padding), np.zeros(count + 2 * padding)
    weight, place = np.zeros_like(result), 0.0
    while place < count:
        mark = marks[np.abs(marks - place).argmin()]
        half = int(period[mark])
        grain = np.hanning(2 * half + 1)
        to = slice(int(place) + padding - half, int(place) + padding + half + 1)
        result[to] += grain * padded[mark + padding - half : mark + padding + half + 1]
        weight[to] += grain
        place += new_period[int(place)]
    return (result / np.maximum(weight, 0.3))[padding : padding + count]


def with_pauses(text: str, share: float, rng: np.random.Generator) -> str:
    """Commas, which flite speaks as pauses, after some of the words."""
    words = text.split()
    return " ".join(
        f"{word}," if word[-1].isalpha() and k + 1 < len(words) and rng.random() < share else word
        for k, word in enumerate(words)
    )


def stretched_pauses(samples: np.ndarray, phones: list[Phone], factor: float) -> tuple[np.ndarray, list[Phone]]:
    """Pauses inside the sentence that are longer or shorter by a factor; the other phones move along."""
    pieces, moved, at = [], [], 0
    for k, phone in enumerate(phones):
        piece = samples[round(phone.start * RATE) : round(phone.end * RATE)]
        if phone.name == PAUSE and 0 < k < len(phones) - 1:
            length, half = round(factor * len(piece)), len(piece) // 2
            kept = min(half, length // 2)
            piece = np.concatenate([piece[:kept], np.zeros(length - 2 * kept), piece[len(piece) - kept :]])
        pieces.append(piece)
        moved.append(Phone(phone.name, at / RATE, (at + len(piece)) / RATE))
        at += len(piece)
    return np.concatenate([*pieces, samples[round(phones[-1].end * RATE) :]]), moved


def brightened(samples: np.ndarray, amount: float) -> np.ndarray:
    """Sound whose high frequencies gain (above 0) or lose."""
    return lfilter([1, -amount], [1], samples) if amount > 0 else lfilter([1], [1, amount], samples)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sentences", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if shutil.which("flite") is None:
        print("make_speech.py: the program flite is missing; apt-get install flite", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    emotional = [name for name in PROSODY if name != "neutral"]
    voices = list(VOICES)
    count, total = 0, 0.0
    for number, text in enumerate(sentences(arguments.sentences, np.random.default_rng(arguments.seed))):
        emotion = emotional[number % len(emotional)]
        voice = voices[number // len(emotional) % len(voices)]  # one voice says it in all ways
        for feeling, level in (("neutral", 0), *((emotion, level) for level in (1, 2, 3))):
            path = arguments.out / f"s{number:03d}_{feeling}_{level}_{voice}.wav"
            total += speak(text, path, voice, feeling, level, np.random.default_rng([arguments.seed, number, level]))
            count += 1
    print(f"{count} utterances, {total / 60:.1f} minutes of speech in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
