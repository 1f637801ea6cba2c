"""Which identity shows which emotion to which sound: the plan of the puppet corpus, before anything is rendered."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from svp.datasets.emotions import EMOTIONS
from svp.datasets.manifest import MAX_ID, NEUTRAL, SOUND_SIGN, UNKNOWN, ClipRow, Split
from svp.datasets.options import Options
from svp.datasets.sounds import Sound, split_motions, split_sounds
from svp.datasets.sources import safe_ids
from svp.datasets.splits import assign_splits
from svp.errors import InputError
from svp.media.hashing import sha256_file, sha256_text
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
        plain_speech: share of the clips with an emotion in which the sentence is spoken plainly, so that the sound does
            not give the emotion away and only the style can.
        min_frames, max_frames: length of a clip at 25 fps; a shorter recording gives a shorter clip.
        val_fraction, test_fraction: share of the portraits, and of the voices, kept for validation and test.
        audio_encoder: id of the encoder of `audio`.
        seed: decides everything that is drawn.
    """

    size: int = Field(default=128, ge=32, multiple_of=8)
    render_size: int = Field(default_factory=_drawing_size, ge=64)
    looks: int = Field(default=2, ge=1)
    emotions_per_identity: int = Field(default=3, ge=3, le=len(EMOTIONS))
    clips_per_emotion: int = Field(default=2, ge=1)
    motion_clips: int = Field(default=3, ge=1)
    plain_speech: float = Field(default=0.0, ge=0, le=1)
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
    recordings, clips = ([sound for sound in sounds if sound.real == real] for real in (False, True))
    heard = [split_sounds(recordings, **fractions, seed=options.seed)] if recordings else []
    heard += [split_motions(clips)] if clips else []
    plans: dict[Person, list[ClipPlan]] = {}
    for path, name in portraits.items():
        split, count = split_of[name], options.emotions_per_identity * options.clips_per_emotion
        for look in range(options.looks):
            identity = f"{name}{LOOK_SIGN}{look}" if look else name
            seed = (options.seed, int.from_bytes(hashlib.sha256(identity.encode()).digest()[:6], "big"))
            person = Person(path, identity, look, seed)
            plans[person] = _plan_person(person, split, heard[0][split], options, range(count))
            for beside in heard[1:]:  # real clips beside speech
                numbers = range(count, count + options.motion_clips)
                plans[person] += _plan_person(person, split, beside[split], options, numbers)
    return plans


def _plan_person(
    person: Person, split: Split, sounds: Sequence[Sound], options: CorpusOptions, numbers: range
) -> list[ClipPlan]:
    """Clips of a person to sounds that are all spoken or all real, one for each of the numbers."""
    rng = np.random.default_rng([*person.seed, 2])
    portrait = sha256_file(person.portrait)
    # A real clip shows what it shows; a spoken sentence can be given any emotion, best the one it is spoken with.
    real = sounds[0].real
    felt = sorted({sound.emotion or UNKNOWN for sound in sounds} if real else EMOTIONS)
    others = rng.permutation([name for name in felt if name != NEUTRAL]).tolist()
    chosen = ([name for name in felt if name == NEUTRAL] + others)[: options.emotions_per_identity]
    plans = []
    for number in numbers:
        emotion = str(chosen[((number - numbers.start) // options.clips_per_emotion) % len(chosen)])
        clip_seed = (*person.seed, 3, number)
        rng = np.random.default_rng(clip_seed)
        intensity = 0 if emotion == NEUTRAL else int(rng.choice([1, 2, 3], p=LEVEL_ODDS))
        plainly = not real and np.random.default_rng([*clip_seed, 1]).random() < options.plain_speech
        pool = [sound for sound in sounds if (sound.emotion or UNKNOWN) == emotion and not plainly]
        pool = pool or [sound for sound in sounds if sound.emotion in (None, NEUTRAL)] or list(sounds)
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
            source=f"{person.portrait.name}{SOUND_SIGN}{sound.name}",
            sha256=sha256_text(json.dumps(recipe)),
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
