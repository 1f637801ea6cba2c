"""Speech for the puppet corpus: sentences spoken by Debian's `flite`, with the phones and times it reports.

usage: make_speech.py OUT [--sentences 190] [--seed 0]        (needs the program `flite`: apt-get install flite)

Writes X.wav (16 kHz mono), X.txt, X.phones.json ([[phone, start, end], ...], seconds) and X.json (emotion, voice) per
utterance. Every sentence is spoken twice: plainly, and in one of seven emotions whose pitch, rate and loudness differ,
so that the sound carries the emotion. File names begin with the sentence's number: one sentence, one prefix.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np

PITCH = {"rms": 100.0, "slt": 170.0, "awb": 125.0, "kal16": 105.0}  # Hz, each voice's own mean
# emotion: rate (duration factor), pitch factor, spread of the pitch (Hz), loudness factor
PROSODY = {
    "neutral": (1.00, 1.00, 12.0, 1.0),
    "angry": (0.92, 1.14, 24.0, 1.45),
    "contempt": (1.10, 0.92, 9.0, 0.9),
    "disgusted": (1.14, 0.88, 14.0, 1.0),
    "fear": (0.86, 1.28, 16.0, 0.85),
    "happy": (0.95, 1.20, 28.0, 1.2),
    "sad": (1.26, 0.84, 6.0, 0.6),
    "surprised": (0.97, 1.32, 32.0, 1.25),
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


def speak(text: str, path: Path, voice: str, emotion: str, rng: np.random.Generator) -> None:
    """Write one utterance and its companions; the wav comes last and means the utterance is complete."""
    rate, pitch, spread, loudness = PROSODY[emotion]
    rate, pitch, loudness = (value * rng.uniform(0.96, 1.04) for value in (rate, pitch, loudness))
    settings = {
        "duration_stretch": rate,
        "int_f0_target_mean": PITCH[voice] * pitch,
        "int_f0_target_stddev": spread * PITCH[voice] / 110.0,
    }
    partial = path.with_name(f".{path.stem}.partial.wav")
    command = ["flite", "-voice", voice, "-t", text, "-o", str(partial), "-psdur"]
    for name, value in settings.items():
        command += ["--setf", f"{name}={value:.4f}"]
    reported = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    phones, start = [], 0.0
    for item in reported:
        phone, end = item.rsplit(":", 1)
        phones.append([phone, round(start, 3), float(end)])
        start = float(end)
    with wave.open(str(partial)) as file:
        if (file.getframerate(), file.getnchannels()) != (16000, 1):
            raise SystemExit(f"flite's voice {voice} speaks at {file.getframerate()} Hz; 16000 Hz mono is needed")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
    level = np.sqrt(np.mean(samples**2)) + 1e-9
    samples = np.clip(samples * (2300.0 * loudness / level), -32000, 32000)
    with wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.astype("<i2").tobytes())
    path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    path.with_suffix(".phones.json").write_text(json.dumps(phones) + "\n", encoding="utf-8")
    about = {"emotion": emotion, "voice": voice, "synthesiser": "flite"}
    path.with_suffix(".json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    os.replace(partial, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sentences", type=int, default=190)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if shutil.which("flite") is None:
        print("make_speech.py: the program flite is missing; apt-get install flite", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    emotional = [name for name in PROSODY if name != "neutral"]
    voices = list(PITCH)
    total = 0.0
    for number, text in enumerate(sentences(arguments.sentences, np.random.default_rng(arguments.seed))):
        for emotion in ("neutral", emotional[number % len(emotional)]):
            rng = np.random.default_rng([arguments.seed, number, len(emotion)])
            voice = voices[(number // len(emotional) + (emotion != "neutral")) % len(voices)]
            path = arguments.out / f"s{number:03d}_{emotion}_{voice}.wav"
            speak(text, path, voice, emotion, rng)
            with wave.open(str(path)) as file:
                total += file.getnframes() / file.getframerate()
    print(f"{2 * arguments.sentences} utterances, {total / 60:.1f} minutes of speech in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
