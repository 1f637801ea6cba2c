"""Recorded human speech for the puppet corpus, from two Debian packages, with the spoken words beside each recording.

usage: collect_speech.py OUT      (apt-get install pocketsphinx-testdata asterisk-core-sounds-en-g722)

LibriVox readings (public domain) of pocketsphinx-testdata, and the telephone prompts of asterisk-core-sounds-en-g722
(one voice, CC BY-SA 3.0) that last at least two seconds and whose words pocketsphinx can align. Writes X.wav (16 kHz
mono), X.txt, X.phones.json and X.json; both are read plainly, so their emotion is neutral.
"""

import argparse
import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from svp.datasets.phones import align, write_phones
from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE, read_audio, write_wav

LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PROMPT_WORDS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
MIN_SECONDS, MAX_SECONDS = 2.0, 12.0


def recordings() -> Iterator[tuple[str, Path, str]]:
    """Name, sound file and words of everything the packages offer."""
    transcription = LIBRIVOX / "transcription"
    if transcription.is_file():
        for words, stem in re.findall(r"<s>(.*)</s>\s*\((.*)\)", transcription.read_text(encoding="utf-8")):
            yield f"librivox_{stem.rsplit('-', 1)[1]}", LIBRIVOX / f"{stem}.wav", words.strip()
    if PROMPT_WORDS.is_file():
        with gzip.open(PROMPT_WORDS, "rt", encoding="utf-8") as file:
            for line in file:
                name, _, words = line.partition(":")
                path = PROMPTS / f"{name.strip()}.g722"
                # Brackets and angles describe sounds that nobody speaks.
                if path.is_file() and not re.search(r"[\[<(;]", line):
                    yield f"allison_{name.strip().replace('/', '_')}", path, words.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    kept, left, seconds = 0, 0, 0.0
    for name, path, words in recordings():
        audio = read_audio(path)
        length = len(audio) / SAMPLE_RATE
        if not MIN_SECONDS <= length <= MAX_SECONDS:
            left += 1
            continue
        try:
            phones = align(audio, words, name)
        except InputError as error:
            print(error)
            left += 1
            continue
        voice = name.partition("_")[0]
        (out / f"{name}.txt").write_text(words + "\n", encoding="utf-8")
        write_phones(out / f"{name}.phones.json", phones)
        (out / f"{name}.json").write_text(json.dumps({"emotion": "neutral", "voice": voice}) + "\n")
        write_wav(out / f"{name}.wav", audio)
        kept, seconds = kept + 1, seconds + length
    if not kept:
        print(
            "collect_speech.py: nothing found; apt-get install pocketsphinx-testdata asterisk-core-sounds-en-g722",
            file=sys.stderr,
        )
        return 2
    print(f"{kept} recordings, {seconds / 60:.1f} minutes, in {out}; {left} left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
