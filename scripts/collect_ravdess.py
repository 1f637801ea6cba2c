"""Real emotional speech for experiments with the puppet corpus: the recordings of RAVDESS, aligned with their words.

usage: collect_ravdess.py RAVDESS_DIR OUT      (needs the extra `speech`: pip install '.[speech]')

RAVDESS (Livingstone and Russo 2018) is CC BY-NC-SA 4.0: what is made with it is for own experiments and is not passed
on. Takes the speech recordings below RAVDESS_DIR, whose names are seven numbers (03-01-06-02-01-01-12.wav), and writes
X.wav (16 kHz mono), X.txt, X.phones.json and X.json (emotion, intensity, voice: the actor) for each that pocketsphinx
can align. `calm` counts as neutral, normal intensity as level 2, strong as 3.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from svp.datasets.phones import align, write_phones
from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE, read_audio, write_wav

EMOTIONS = ("neutral", "neutral", "happy", "sad", "angry", "fear", "disgusted", "surprised")  # 01 to 08
WORDS = ("Kids are talking by the door.", "Dogs are sitting by the door.")
# modality (03: sound alone), speech, emotion, intensity, statement, repetition, actor
NAME = re.compile(r"0[13]-01-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<statement>0[12])-\d\d-(?P<actor>\d\d)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ravdess", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    named = [(path, NAME.fullmatch(path.stem)) for path in sorted(arguments.ravdess.rglob("*.wav"))]
    found = [(path, match) for path, match in named if match is not None]
    if not found:
        print(f"collect_ravdess.py: {arguments.ravdess}: holds no recording named as RAVDESS names them; "
              "give the folder of its wav files", file=sys.stderr)  # fmt: skip
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    kept, seconds = 0, 0.0
    for path, match in found:
        emotion, words = EMOTIONS[int(match["emotion"]) - 1], WORDS[int(match["statement"]) - 1]
        try:
            audio = read_audio(path)
            phones = align(audio, words, path.name)
        except InputError as error:
            print(error)
            continue
        level = 0 if emotion == "neutral" else 1 + int(match["intensity"])
        target = arguments.out / f"ravdess_{path.stem}.wav"
        about = {"emotion": emotion, "intensity": level, "voice": f"ravdess-{match['actor']}"}
        target.with_suffix(".txt").write_text(words + "\n", encoding="utf-8")
        target.with_suffix(".json").write_text(json.dumps(about) + "\n", encoding="utf-8")
        write_phones(target.with_suffix(".phones.json"), phones)
        write_wav(target, audio)
        kept, seconds = kept + 1, seconds + len(audio) / SAMPLE_RATE
    print(f"{kept} recordings, {seconds / 60:.1f} minutes, in {arguments.out}; {len(found) - kept} left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
