"""Which identity shows which emotion to which sound: the plan of the puppet corpus, before anything is rendered."""

import hashlib
import json
import math
import re
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from svp.datasets.emotions import EMOTIONS
from svp.datasets.manifest import ClipRow, Split
from svp.datasets.options import Options
from svp.datasets.prepared import PreparedDataset
from svp.datasets.sources import assign_splits
from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE, read_audio
from svp.media.hashing import sha256_file
from svp.media.video import FPS

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
LEVEL_ODDS = (0.2, 0.35, 0.45)  # of intensity 1, 2, 3: weak expressions are hard to tell apart, there are fewer


def _drawing_size(values: dict[str, Any]) -> int:
    """Side at which frames of `size` pixels are drawn: a multiple of it, of at least 256 pixels."""
    return int(values["size"] * math.ceil(256 / values["size"]))


class CorpusOptions(Options):
    """What a puppet corpus holds. Two runs with equal options, portraits and sounds make equal features.

    Attributes:
        size: side of the clips in pixels.
        render_size: side at which frames are drawn before they are averaged down to `size`; follows from it by default.
        emotions_per_identity: how many emotions a person shows, neutral among them.
        clips_per_emotion: clips of each of them.
        motion_clips: clips in which a person repeats a real one, beside those with recorded speech.
        min_frames, max_frames: length of a clip at 25 fps; a shorter recording gives a shorter clip.
        val_fraction, test_fraction: share of the identities, and of the sentences, kept for validation and test.
        audio_encoder: id of the encoder of `audio`.
        seed: decides everything that is drawn.
    """

    size: int = Field(default=128, ge=32)
    render_size: int = Field(default_factory=_drawing_size, ge=64)
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
        group: recordings of one sentence, or clips of one person, share a split.
        emotion, intensity: what it sounds like; None when nobody said.
        frames: length at 25 fps.
        digest: of everything a clip takes from it; another recording under the same name has another one.
        real: a clip whose motion is repeated.
    """

    path: Path
    name: str
    group: str
    emotion: str | None
    intensity: int
    frames: int
    digest: str
    real: bool = False


@dataclass(frozen=True)
class ClipPlan:
    """One clip: its row, what is heard from which frame on, and the seeds of person and clip."""

    row: ClipRow
    sound: Sound
    start: int
    identity_seed: tuple[int, ...]
    clip_seed: tuple[int, ...]


def speech_sounds(folder: Path, options: CorpusOptions) -> list[Sound]:
    """Recordings of a folder that have phone times or words beside them, with the labels of `X.json`.

    Recordings with the same words are one group.

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
        emotion = _label(path.with_suffix(".json"))
        frames = _wav_frames(path)
        if frames >= min(options.min_frames, 10):
            group = " ".join(re.findall(r"[a-z']+", text.lower()))
            digest = "".join(sha256_file(file) for file in (path, words, times) if file.is_file())
            sounds.append(Sound(path.resolve(), path.stem, group, emotion, 0, frames, _sha256(digest)))
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
        Sound(dataset.root, row.clip_id, row.identity, row.emotion, row.intensity, row.frames, digest(row), real=True)
        for row in dataset.accepted()
        if row.frames >= options.min_frames
    ]
    if not sounds:
        raise InputError(f"{dataset.root}: no clip of at least {options.min_frames} frames; prepare longer clips")
    return sounds


def plan_corpus(portraits: Path, sounds: Sequence[Sound], options: CorpusOptions) -> dict[Path, list[ClipPlan]]:
    """The clips of every portrait, the same for the same inputs and options.

    Raises:
        InputError: no such folder or no picture in it.
    """
    if not portraits.is_dir():
        raise InputError(f"{portraits}: no such folder of portraits; name a folder of pictures")
    pictures = sorted(path for path in portraits.iterdir() if path.suffix.lower() in PICTURES)
    if not pictures:
        raise InputError(f"{portraits}: no picture in it; put portraits ({', '.join(PICTURES)}) there")
    identities = {path: re.sub(r"[^A-Za-z0-9-]+", "_", path.stem).strip("_-") or "portrait" for path in pictures}
    if len(set(identities.values())) < len(pictures):
        identities = {path: f"{name}_{path.suffix[1:].lower()}" for path, name in identities.items()}
    fractions = {"val_fraction": options.val_fraction, "test_fraction": options.test_fraction}
    split_of = assign_splits(identities.values(), {}, **fractions, seed=options.seed)
    kinds = [
        _by_split(kind, fractions, options.seed)
        for kind in ([sound for sound in sounds if not sound.real], [sound for sound in sounds if sound.real])
        if kind
    ]
    plans: dict[Path, list[ClipPlan]] = {}
    for path, identity in identities.items():
        split, count = split_of[identity], options.emotions_per_identity * options.clips_per_emotion
        plans[path] = _plan_identity(path, identity, split, kinds[0][split], options, range(count))
        for heard in kinds[1:]:  # real clips beside speech
            numbers = range(count, count + options.motion_clips)
            plans[path] += _plan_identity(path, identity, split, heard[split], options, numbers)
    return plans


def _by_split(sounds: Sequence[Sound], fractions: dict[str, float], seed: int) -> dict[Split, list[Sound]]:
    """Sounds by split; with very few of them a split has none of its own and hears them all."""
    split_of = assign_splits((sound.group for sound in sounds), {}, **fractions, seed=seed)
    splits: tuple[Split, ...] = ("train", "val", "test")
    return {split: [s for s in sounds if split_of[s.group] == split] or list(sounds) for split in splits}


def _plan_identity(
    path: Path, identity: str, split: Split, sounds: Sequence[Sound], options: CorpusOptions, numbers: range
) -> list[ClipPlan]:
    """Clips of a person to sounds that are all spoken or all real, one for each of the numbers."""
    identity_seed = (options.seed, int.from_bytes(hashlib.sha256(identity.encode()).digest()[:6], "big"))
    rng = np.random.default_rng([*identity_seed, 2])
    portrait = sha256_file(path)
    # A real clip shows what it shows; a spoken sentence can be given any emotion, best the one it is spoken with.
    real = sounds[0].real
    felt = sorted({sound.emotion or "unknown" for sound in sounds} if real else EMOTIONS)
    others = rng.permutation([name for name in felt if name != "neutral"]).tolist()
    chosen = ([name for name in felt if name == "neutral"] + others)[: options.emotions_per_identity]
    plans = []
    for number in numbers:
        emotion = str(chosen[((number - numbers.start) // options.clips_per_emotion) % len(chosen)])
        clip_seed = (*identity_seed, 3, number)
        rng = np.random.default_rng(clip_seed)
        intensity = 0 if emotion == "neutral" else int(rng.choice([1, 2, 3], p=LEVEL_ODDS))
        pool = [sound for sound in sounds if (sound.emotion or "unknown") == emotion] or list(sounds)
        sound = pool[int(rng.integers(len(pool)))]
        if real:
            intensity = sound.intensity
        frames = min(sound.frames, int(rng.integers(options.min_frames, options.max_frames + 1)))
        start = int(rng.integers(0, sound.frames - frames + 1))
        name = f"{identity}__{emotion}_{intensity}__{sound.name}__{number}"[:200]
        recipe = [portrait, path.name, sound.digest, sound.name, emotion, intensity, start, frames, clip_seed]
        row = ClipRow(
            clip_id=re.sub(r"[^A-Za-z0-9._+-]", "_", name),
            source=f"{path.name} + {sound.name}",
            sha256=_sha256(json.dumps(recipe)),
            identity=identity,
            emotion=emotion,
            intensity=intensity,
            split=split,
            frames=frames,
            fps_in=FPS,
        )
        plans.append(ClipPlan(row, sound, start, identity_seed, clip_seed))
    return plans


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _label(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        emotion = json.loads(path.read_text(encoding="utf-8")).get("emotion")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a JSON object ({error}); correct or remove it") from error
    if emotion is not None and emotion not in EMOTIONS:
        raise InputError(f"{path}: unknown emotion {emotion!r}; use one of {', '.join(EMOTIONS)}")
    return emotion


def _wav_frames(path: Path) -> int:
    try:
        with wave.open(str(path), "rb") as file:
            return int(file.getnframes() / file.getframerate() * FPS)
    except (wave.Error, EOFError):  # not PCM; decode it to know
        return int(len(read_audio(path)) / SAMPLE_RATE * FPS)
