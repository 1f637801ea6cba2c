"""Which identity shows which emotion to which sound: the plan of the puppet corpus, before anything is rendered."""

import hashlib
import json
import math
import re
import wave
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from svp.datasets.emotions import EMOTIONS
from svp.datasets.manifest import MAX_ID, ClipRow, Split
from svp.datasets.options import Options
from svp.datasets.prepared import PreparedDataset
from svp.datasets.sources import assign_splits, safe_ids
from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE, read_audio
from svp.media.hashing import sha256_file
from svp.media.video import FPS

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
LOOK_SIGN = "+"  # between the portrait and the number of the look in the name of an identity
LEVEL_ODDS = (0.2, 0.35, 0.45)  # of intensity 1, 2, 3: weak expressions are hard to tell apart, there are fewer


def _drawing_size(values: dict[str, Any]) -> int:
    """Side at which frames of `size` pixels are drawn: a multiple of it, of at least 256 pixels."""
    return int(values["size"] * math.ceil(256 / values["size"]))


class CorpusOptions(Options):
    """What a puppet corpus holds. Two runs with equal options, portraits and sounds make equal features.

    Attributes:
        size: side of the clips in pixels.
        render_size: side at which frames are drawn before they are averaged down to `size`; follows from it by default.
        looks: identities made of every portrait: the first is the portrait as it is, the others differ from it in
            light, colours, background, sharpness, face shape and side (look.py).
        emotions_per_identity: how many emotions a person shows, neutral among them.
        clips_per_emotion: clips of each of them.
        motion_clips: clips in which a person repeats a real one, beside those with recorded speech.
        min_frames, max_frames: length of a clip at 25 fps; a shorter recording gives a shorter clip.
        val_fraction, test_fraction: share of the portraits, and of the voices, kept for validation and test.
        audio_encoder: id of the encoder of `audio`.
        seed: decides everything that is drawn.
    """

    size: int = Field(default=128, ge=32)
    render_size: int = Field(default_factory=_drawing_size, ge=64)
    looks: int = Field(default=2, ge=1)
    emotions_per_identity: int = Field(default=3, ge=3, le=len(EMOTIONS))
    clips_per_emotion: int = Field(default=2, ge=1)
    motion_clips: int = Field(default=3, ge=1)
    min_frames: int = Field(default=40, ge=1)
    max_frames: int = Field(default=52, ge=1)
    val_fraction: float = Field(default=0.04, ge=0, lt=0.5)
    test_fraction: float = Field(default=0.08, ge=0, lt=0.5)
    audio_encoder: str = "whisper-tiny.en/normed"
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if self.render_size % self.size:
            raise ValueError(f"render_size {self.render_size} must be a multiple of size {self.size}")
        if self.max_frames < self.min_frames:
            raise ValueError(f"max_frames {self.max_frames} is less than min_frames {self.min_frames}")
        return self


@dataclass(frozen=True)
class Sound:
    """A recording, or a real clip with its sound.

    Attributes:
        path: the wav file, or the folder of the dataset the clip lies in.
        name: stem of the file, or the clip's id.
        voice: who speaks; "" when nobody said. A real clip's is its person.
        words: what is said, in lower case; its name when nobody said.
        emotion, intensity: what it sounds like; None when nobody said.
        frames: length at 25 fps.
        digest: of everything a clip takes from it; another recording under the same name has another one.
        real: a clip whose motion is repeated.
    """

    path: Path
    name: str
    voice: str
    words: str
    emotion: str | None
    intensity: int
    frames: int
    digest: str
    real: bool = False


@dataclass(frozen=True)
class Person:
    """A portrait with a look (0: as it is) is one identity."""

    portrait: Path
    identity: str
    look: int
    seed: tuple[int, ...]


@dataclass(frozen=True)
class ClipPlan:
    """One clip: its row, what is heard from which frame on, and its seed."""

    row: ClipRow
    sound: Sound
    start: int
    clip_seed: tuple[int, ...]


def speech_sounds(folder: Path, options: CorpusOptions) -> list[Sound]:
    """Recordings of a folder that have phone times or words beside them, with the labels of `X.json`.

    `X.json` may name the `emotion`, its `intensity` (1 to 3) and the `voice`.

    Raises:
        InputError: no such folder, or nothing usable in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of recordings; make one with scripts/make_speech.py")
    sounds = []
    for path in sorted(folder.glob("*.wav")):
        words, times = path.with_suffix(".txt"), path.with_suffix(".phones.json")
        if not (words.is_file() or times.is_file()):
            continue
        text = words.read_text(encoding="utf-8") if words.is_file() else path.stem
        label = _label(path.with_suffix(".json"))
        frames = _wav_frames(path)
        if frames >= min(options.min_frames, 10):
            spoken = " ".join(re.findall(r"[a-z']+", text.lower()))
            digest = _sha256("".join(sha256_file(file) for file in (path, words, times) if file.is_file()))
            sounds.append(
                Sound(path.resolve(), path.stem, label.voice, spoken, label.emotion, label.intensity, frames, digest)
            )
    if not sounds:
        raise InputError(
            f"{folder}: no .wav with .phones.json or .txt beside it; add the words, or use scripts/make_speech.py"
        )
    return sounds


def motion_sounds(dataset: PreparedDataset, options: CorpusOptions) -> list[Sound]:
    """Clips of a prepared dataset whose motion can be repeated.

    Raises:
        InputError: none is long enough.
    """
    prepared = json.dumps(dataset.description, sort_keys=True)

    def digest(row: ClipRow) -> str:
        return _sha256(json.dumps([prepared, row.sha256, row.clip_id, row.start, row.audio_offset]))

    sounds = [
        Sound(
            dataset.root,
            row.clip_id,
            row.identity,
            row.clip_id,
            row.emotion,
            row.intensity,
            row.frames,
            digest(row),
            True,
        )
        for row in dataset.accepted()
        if row.frames >= options.min_frames
    ]
    if not sounds:
        raise InputError(f"{dataset.root}: no clip of at least {options.min_frames} frames; prepare longer clips")
    return sounds


def find_portraits(folder: Path) -> dict[Path, str]:
    """The pictures of a folder with the names of their identities, which hold no "+".

    Raises:
        InputError: no such folder or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of portraits; name a folder of pictures")
    names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not names:
        raise InputError(f"{folder}: no picture in it; put portraits ({', '.join(PICTURES)}) there")
    return {folder / name: identity for name, identity in safe_ids(names).items()}


def known_splits(rows: Iterable[ClipRow]) -> dict[str, Split]:
    """The splits of the portraits that clips were made of."""
    return {row.identity.partition(LOOK_SIGN)[0]: row.split for row in rows}


def plan_corpus(
    portraits: Mapping[Path, str], sounds: Sequence[Sound], options: CorpusOptions, known: Mapping[str, Split]
) -> dict[Person, list[ClipPlan]]:
    """The clips of every person, the same for the same inputs and options.

    All looks of a portrait share its split.

    Args:
        portraits: as `find_portraits` gives them.
        sounds: recordings, real clips or both.
        options: what to make.
        known: splits that portraits have already and keep; others in it do not matter.
    """
    fractions = {"val_fraction": options.val_fraction, "test_fraction": options.test_fraction}
    kept = {name: known[name] for name in portraits.values() if name in known}
    split_of = assign_splits(portraits.values(), kept, **fractions, seed=options.seed)
    kinds = [
        split_sounds(kind, **fractions, seed=options.seed)
        for kind in ([sound for sound in sounds if not sound.real], [sound for sound in sounds if sound.real])
        if kind
    ]
    plans: dict[Person, list[ClipPlan]] = {}
    for path, name in portraits.items():
        split, count = split_of[name], options.emotions_per_identity * options.clips_per_emotion
        for look in range(options.looks):
            identity = f"{name}{LOOK_SIGN}{look}" if look else name
            seed = (options.seed, int.from_bytes(hashlib.sha256(identity.encode()).digest()[:6], "big"))
            person = Person(path, identity, look, seed)
            plans[person] = _plan_person(person, split, kinds[0][split], options, range(count))
            for heard in kinds[1:]:  # real clips beside speech
                numbers = range(count, count + options.motion_clips)
                plans[person] += _plan_person(person, split, heard[split], options, numbers)
    return plans


def split_sounds(
    sounds: Sequence[Sound], *, val_fraction: float, test_fraction: float, seed: int
) -> dict[Split, list[Sound]]:
    """Sounds by split: no voice is in two splits, and what is said for test or validation is not said in training.

    Voices are drawn until they hold the share of the recordings that is asked for. With fewer than three voices the
    sentences are split instead; with fewer than three sentences every split hears them all. Where all voices say the
    same few sentences, only the voices are kept apart.
    """
    parts: tuple[tuple[Split, float], ...] = (("test", test_fraction), ("val", val_fraction))
    by_voice = len({sound.voice for sound in sounds}) > sum(share > 0 for _, share in parts)

    def group(sound: Sound) -> str:
        return sound.voice if by_voice else sound.words

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


def _plan_person(
    person: Person, split: Split, sounds: Sequence[Sound], options: CorpusOptions, numbers: range
) -> list[ClipPlan]:
    """Clips of a person to sounds that are all spoken or all real, one for each of the numbers."""
    rng = np.random.default_rng([*person.seed, 2])
    portrait = sha256_file(person.portrait)
    # A real clip shows what it shows; a spoken sentence can be given any emotion, best the one it is spoken with.
    real = sounds[0].real
    felt = sorted({sound.emotion or "unknown" for sound in sounds} if real else EMOTIONS)
    others = rng.permutation([name for name in felt if name != "neutral"]).tolist()
    chosen = ([name for name in felt if name == "neutral"] + others)[: options.emotions_per_identity]
    plans = []
    for number in numbers:
        emotion = str(chosen[((number - numbers.start) // options.clips_per_emotion) % len(chosen)])
        clip_seed = (*person.seed, 3, number)
        rng = np.random.default_rng(clip_seed)
        intensity = 0 if emotion == "neutral" else int(rng.choice([1, 2, 3], p=LEVEL_ODDS))
        pool = [sound for sound in sounds if (sound.emotion or "unknown") == emotion] or list(sounds)
        if not real:  # a sentence spoken at the very level is best
            pool = [sound for sound in pool if sound.intensity == intensity] or pool
        sound = pool[int(rng.integers(len(pool)))]
        if real or (sound.emotion == emotion and sound.intensity):
            intensity = sound.intensity
        frames = min(sound.frames, int(rng.integers(options.min_frames, options.max_frames + 1)))
        start = int(rng.integers(0, sound.frames - frames + 1))
        name, ending = f"{person.identity}__{emotion}_{intensity}__{sound.name}", f"__{number}"
        recipe = [
            portrait,
            person.portrait.name,
            sound.digest,
            sound.name,
            emotion,
            intensity,
            start,
            frames,
            clip_seed,
        ]
        row = ClipRow(
            clip_id=re.sub(r"[^A-Za-z0-9._+-]", "_", name)[: MAX_ID - len(ending)] + ending,
            source=f"{person.portrait.name} + {sound.name}",
            sha256=_sha256(json.dumps(recipe)),
            identity=person.identity,
            emotion=emotion,
            intensity=intensity,
            split=split,
            frames=frames,
            fps_in=FPS,
            voice=sound.voice,
        )
        plans.append(ClipPlan(row, sound, start, clip_seed))
    return plans


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Label(BaseModel):
    """What `X.json` says about a recording; anything else in it is ignored."""

    emotion: str | None = None
    intensity: int = Field(default=0, ge=0, le=3)
    voice: str = ""


def _label(path: Path) -> Label:
    if not path.is_file():
        return Label()
    try:
        label = Label.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "JSON"
        raise InputError(f"{path}: {where}: {first['msg']}; correct or remove it") from error
    if label.emotion is not None and label.emotion not in EMOTIONS:
        raise InputError(f"{path}: unknown emotion {label.emotion!r}; use one of {', '.join(EMOTIONS)}")
    return label


def _wav_frames(path: Path) -> int:
    try:
        with wave.open(str(path), "rb") as file:
            return int(file.getnframes() / file.getframerate() * FPS)
    except (wave.Error, EOFError):  # not PCM; decode it to know
        return int(len(read_audio(path)) / SAMPLE_RATE * FPS)
