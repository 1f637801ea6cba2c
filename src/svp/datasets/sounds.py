"""What puppets say or repeat: recordings with their words and labels, real clips, and the split of both."""

import hashlib
import json
import re
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from svp.datasets.emotions import EMOTIONS
from svp.datasets.manifest import Split
from svp.datasets.phones import read_words, require_aligner, times_of, words_of
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError, first_problem
from svp.media.audio import SAMPLE_RATE, count_samples
from svp.media.hashing import sha256_file, sha256_text
from svp.media.video import FPS

SHORTEST = 10  # frames of a recording, where clips may be longer


@dataclass(frozen=True)
class Sound:
    """A recording, or a real clip with its sound.

    Attributes:
        path: the wav file, or the folder of the dataset the clip lies in.
        name: stem of the file, or the clip's id.
        voice: who is heard; "" when nobody said. A real clip's is its person.
        speaker: whose voice that is: one person, or one synthesiser, may have several.
        words: what is said, in lower case; its name when nobody said.
        emotion, intensity: what it sounds like; None when nobody said.
        frames: length at 25 fps.
        digest: of everything a clip takes from it; another recording under the same name has another one.
        split: of a real clip, whose motion is repeated, in its dataset; None for a recording.
    """

    path: Path
    name: str
    voice: str
    speaker: str
    words: str
    emotion: str | None
    intensity: int
    frames: int
    digest: str
    split: Split | None = None

    @property
    def real(self) -> bool:
        """A clip whose motion is repeated."""
        return self.split is not None


class Label(BaseModel):
    """What `X.json` says about a recording; anything else in it is ignored."""

    emotion: str | None = None
    intensity: int = Field(default=0, ge=0, le=3)
    voice: str = ""
    speaker: str | None = None


def speech_sounds(folder: Path, min_frames: int) -> tuple[list[Sound], dict[str, str]]:
    """Recordings of a folder that have phone times or words beside them, with the labels of `X.json`.

    `X.json` may name the `emotion`, its `intensity` (1 to 3), the `voice`, and the `speaker` if several voices are one
    person's.

    Args:
        folder: holds `X.wav` with `X.phones.json` or `X.txt`.
        min_frames: of a clip; recordings that are shorter, and shorter than SHORTEST, are left out.

    Returns:
        The recordings, and why others are left out, by their names.

    Raises:
        InputError: no such folder, nothing usable in it, a label that cannot be used, or no aligner where one is
            needed.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of recordings; make one with scripts/make_speech.py")
    sounds, left_out = [], {}
    for path in sorted(folder.glob("*.wav")):
        words, times = words_of(path), times_of(path)
        if not (words.is_file() or times.is_file()):
            left_out[path.stem] = "no .phones.json or .txt beside it"
            continue
        label = _label(path.with_suffix(".json"))
        if not times.is_file():
            require_aligner(words)
        try:
            text, frames = read_words(words) if words.is_file() else path.stem, _wav_frames(path)
        except InputError as error:
            left_out[path.stem] = str(error).removeprefix(f"{folder}/")
            continue
        if frames < min(min_frames, SHORTEST):
            left_out[path.stem] = f"shorter than {min(min_frames, SHORTEST)} frames"
            continue
        sounds.append(
            Sound(
                path.resolve(),
                path.stem,
                label.voice,
                label.voice if label.speaker is None else label.speaker,
                " ".join(re.findall(r"[a-z']+", text.lower())),
                label.emotion,
                label.intensity,
                frames,
                sha256_text("".join(sha256_file(file) for file in (path, words, times) if file.is_file())),
            )
        )
    if not sounds:
        why = f" (left out: {next(iter(left_out.values()))})" if left_out else ""
        raise InputError(
            f"{folder}: no usable .wav with .phones.json or .txt beside it{why}; "
            "add the words, or use scripts/make_speech.py"
        )
    return sounds, left_out


def motion_sounds(dataset: PreparedDataset, min_frames: int) -> list[Sound]:
    """Clips of a prepared dataset that are long enough for their motion to be repeated.

    Raises:
        InputError: none of its split `train` is.
    """
    prepared = json.dumps(dataset.description, sort_keys=True)
    sounds = []
    for row in dataset.accepted():
        if row.frames >= min_frames:
            digest = sha256_text(json.dumps([prepared, row.sha256, row.clip_id, row.start, row.audio_offset]))
            who = (row.identity, row.identity)
            label = (row.emotion, row.intensity)
            sounds.append(Sound(dataset.root, row.clip_id, *who, row.clip_id, *label, row.frames, digest, row.split))
    if not any(sound.split == "train" for sound in sounds):
        raise InputError(
            f"{dataset.root}: no clip of at least {min_frames} frames in its split train; prepare more or longer clips"
        )
    return sounds


def split_sounds(
    sounds: Sequence[Sound], *, val_fraction: float, test_fraction: float, seed: int
) -> dict[Split, list[Sound]]:
    """Recordings by split: no speaker is in two, and what is said for test or validation is not said in training.

    Speakers are drawn until they hold the share of the recordings that is asked for. With fewer than three speakers the
    sentences are split instead; with fewer than three sentences every split hears them all. Where all speakers say the
    same few sentences, only the speakers are kept apart.
    """
    parts: tuple[tuple[Split, float], ...] = (("test", test_fraction), ("val", val_fraction))
    by_speaker = len({sound.speaker for sound in sounds}) > sum(share > 0 for _, share in parts)

    def group(sound: Sound) -> str:
        return sound.speaker if by_speaker else sound.words

    left = sorted({group(s) for s in sounds}, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    split: dict[Split, list[Sound]] = {}
    for part, share in parts:
        taken: list[Sound] = []
        while len(taken) < share * len(sounds) and len(left) > 1:
            name = left.pop(0)
            taken += [sound for sound in sounds if group(sound) == name]
        split[part] = taken
    split["train"] = [sound for sound in sounds if group(sound) in left]
    said: set[str] = set()
    for part in ("test", "val", "train"):
        fresh = [sound for sound in split[part] if sound.words not in said]
        said |= {sound.words for sound in split[part]}
        split[part] = fresh or split[part] or list(sounds)
    return split


def split_motions(sounds: Sequence[Sound]) -> dict[Split, list[Sound]]:
    """Real clips by the split they have in their dataset; of a split it lacks, those of `train` take the place."""
    parts: tuple[Split, ...] = ("train", "val", "test")
    split = {part: [sound for sound in sounds if sound.split == part] for part in parts}
    return {part: clips or split["train"] for part, clips in split.items()}


def _label(path: Path) -> Label:
    if not path.is_file():
        return Label()
    try:
        label = Label.model_validate_json(path.read_bytes())
    except ValidationError as error:
        place, problem = first_problem(error, Label.model_fields)
        where = ".".join(map(str, place)) or "JSON"
        raise InputError(f"{path}: {where}: {problem}; correct or remove it") from error
    if label.emotion is not None and label.emotion not in EMOTIONS:
        raise InputError(f"{path}: unknown emotion {label.emotion!r}; use one of {', '.join(EMOTIONS)}")
    return label


def _wav_frames(path: Path) -> int:
    try:
        with wave.open(str(path), "rb") as file:
            return int(file.getnframes() / file.getframerate() * FPS)
    except (wave.Error, EOFError):  # not PCM; decode it to know
        return int(count_samples(path) / SAMPLE_RATE * FPS)
