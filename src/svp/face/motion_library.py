"""A library of real head motion: tracks of speaking people, and the choice of those that fit a recording.

A recording is given a motion stretch by stretch: among some stretches of the library, drawn by the seed, the one whose
own speaker was loud and quiet at the same moments is taken, so that nods go with the voice. Every track is relative to
its own rest, which becomes the portrait's own pose. Where a stretch begins the head goes on from where it is.

Shapes: N frames at 25 fps, E expression units, T tracks.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from svp.errors import InputError
from svp.face.model import FaceModel
from svp.face.motion import BLINK_COURSE, CLOSED, HeadMotion
from svp.face.pose import rotation_from_angles, yaw_pitch_roll
from svp.media.video import FPS
from svp.media.whole_file import output_file

FORMAT: Final = "svp-motions"
VERSION: Final = 1
SHIPPED: Final = Path(__file__).parents[1] / "assets" / "motions.safetensors"
SUFFIX: Final = ".safetensors"

MIN_FRAMES: Final = 50  # a shorter track shows no course of the voice
STRETCH_FRAMES: Final = 100  # long enough to hold a phrase, short enough that some stretch fits
CANDIDATES: Final = 32
REACH: Final = np.radians([20.0, 14.0, 14.0])  # yaw, pitch, roll: a picture does not show the sides of a head
# How fast a difference fades where stretches meet, per second: heads within a second, eyes as fast as they jump.
HEAD_RATE: Final = 4.0
EYE_RATE: Final = 20.0
FACE_RATE: Final = 8.0
UNBLINKING_SECONDS: Final = (3.5, 8.5)  # after so long without a blink, drawn anew each time, one is added


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """What a real clip shows. All arrays are float16, as they are stored.

    Attributes:
        name: of the clip.
        source: file it comes from.
        licence: under which the clip may be used.
        angles: (N, 3) yaw, pitch and roll in radians about the track's rest.
        translation: (N, 3) of the point between the eyes about its rest, in pupil distances.
        gaze: (N, 2) offset of the pupils in eye widths about their rest, right and down along the head.
        blink: (N,) how far the lids are closed beyond their usual opening, 0 to 1.
        expression: (N, E) beta.
        loudness: (N,) of the voice, 0 silent to 1.2.
    """

    name: str
    source: str
    licence: str
    angles: np.ndarray
    translation: np.ndarray
    gaze: np.ndarray
    blink: np.ndarray
    expression: np.ndarray
    loudness: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.loudness)
        shapes = [getattr(self, key).shape for key in ARRAYS]
        if n < MIN_FRAMES or shapes != [(n, 3), (n, 3), (n, 2), (n,), (n, self.expression.shape[-1]), (n,)]:
            raise ValueError(f"{self.name}: arrays {shapes} are not those of {MIN_FRAMES} frames or more")
        if not all(getattr(self, key).dtype == np.float16 and np.isfinite(getattr(self, key)).all() for key in ARRAYS):
            raise ValueError(f"{self.name}: the arrays must be finite float16")

    @classmethod
    def measured(
        cls, motion: HeadMotion, expression: np.ndarray, loudness: np.ndarray, *, name: str, source: str, licence: str
    ) -> Self:
        """The track of a clip's motion, expression (N, E) and loudness (N,), about its usual pose and gaze."""
        courses = (yaw_pitch_roll(motion.rotation.astype(np.float64)), motion.translation, motion.gaze)
        about_rest = [course - np.median(course, axis=0) for course in courses]
        arrays = [np.asarray(a, np.float16) for a in (*about_rest, motion.blink, expression, loudness)]
        return cls(name, source, licence, *arrays)

    def __len__(self) -> int:
        return len(self.loudness)


ARRAYS: Final = tuple(field.name for field in fields(MotionTrack) if field.type is np.ndarray)


class Stretch(NamedTuple):
    """Frames start:stop of a track."""

    track: MotionTrack
    start: int
    stop: int

    def course(self, key: str) -> np.ndarray:
        """What one of the track's arrays holds of it, float64."""
        return getattr(self.track, key)[self.start : self.stop].astype(np.float64)


@dataclass(frozen=True, eq=False)
class MotionLibrary:
    """Tracks of speaking people.

    Attributes:
        tracks: T of them, at least one.
        encoder: id of the face model that `expression` belongs to.
    """

    tracks: tuple[MotionTrack, ...]
    encoder: str

    def __post_init__(self) -> None:
        if not self.tracks or len({track.expression.shape[1] for track in self.tracks}) != 1:
            raise ValueError("a library needs at least one track, and all tracks the same units")

    @staticmethod
    @cache
    def shipped() -> "MotionLibrary":
        """The library that comes with the package; loaded once."""
        return MotionLibrary.load(SHIPPED)

    # ------------------------------------------------------------------ choosing

    def motion(self, loudness: np.ndarray, seed: int | Sequence[int]) -> HeadMotion:
        """A head motion for a recording, of its length, that begins at rest in the portrait's own pose.

        Args:
            loudness: (N,) of the recording, N >= 1.
            seed: the same seed and loudness give the same motion. A longer recording begins with the motion of a
                shorter one, but for the stretch in which that ends.
        """
        stretches = self._stretches(loudness, seed)
        angles = _joined(stretches, "angles", HEAD_RATE)
        translation = _joined(stretches, "translation", HEAD_RATE)
        gaze = _joined(stretches, "gaze", EYE_RATE)
        lids = np.concatenate([stretch.course("blink") for stretch in stretches])
        blink = _blinking(lids, np.random.default_rng([*_key(seed), 1]))
        rotation = rotation_from_angles(REACH * np.tanh(angles / REACH))
        return HeadMotion(*(array.astype(np.float32) for array in (rotation, translation, gaze, blink)))

    def expression(self, loudness: np.ndarray, seed: int | Sequence[int]) -> np.ndarray:
        """Expressions (N, E) that go with what `motion` shows for the same arguments; they begin with none."""
        return _joined(self._stretches(loudness, seed), "expression", FACE_RATE)

    def _stretches(self, loudness: np.ndarray, seed: int | Sequence[int]) -> list[Stretch]:
        """What `motion` is made of: of as many frames as the recording in all."""
        if loudness.ndim != 1 or not len(loudness):
            raise ValueError(f"expected the loudness (N,) of at least one frame, got {loudness.shape}")
        stretches: list[Stretch] = []
        rest = loudness
        while len(rest):
            rng = np.random.default_rng([*_key(seed), 0, len(stretches)])
            best = max(self._candidates(rng), key=lambda stretch: likeness(rest, stretch.course("loudness")))
            best = best._replace(stop=min(best.stop, best.start + len(rest)))
            stretches.append(best)
            rest = rest[best.stop - best.start :]
        return stretches

    def _candidates(self, rng: np.random.Generator) -> Iterator[Stretch]:
        """Stretches from anywhere in the library; long tracks give more than short ones."""
        room = np.array([max(len(track) - STRETCH_FRAMES, 0) + 1 for track in self.tracks])
        for choice in rng.integers(room.sum(), size=CANDIDATES):
            index = int(np.searchsorted(room.cumsum(), choice, side="right"))
            track, start = self.tracks[index], int(choice - room[:index].sum())
            yield Stretch(track, start, min(start + STRETCH_FRAMES, len(track)))

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write the tracks one after the other as safetensors, with a JSON header under the key `svp`.

        Equal libraries give equal bytes; the file appears when complete.

        Raises:
            InputError: if the file cannot be written.
        """
        path = Path(path)
        lengths = [len(track) for track in self.tracks]
        tensors = {key: np.concatenate([getattr(track, key) for track in self.tracks]) for key in ARRAYS}
        tensors["offsets"] = np.cumsum([0, *lengths])
        header = {
            "format": FORMAT,
            "version": VERSION,
            "encoder": self.encoder,
            "names": [track.name for track in self.tracks],
            "sources": [track.source for track in self.tracks],
            "licences": [track.licence for track in self.tracks],
        }
        with output_file(path) as partial:
            partial.write_bytes(save(tensors, metadata={"svp": json.dumps(header, sort_keys=True)}))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a library.

        Raises:
            InputError: if the file is missing, no motion library, or of another version or face model.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such motion library; make one with `svp motions DATASET -o {path.name}`")
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                header = json.loads(metadata.get("svp", "{}"))
                if header.get("format") != FORMAT:
                    raise ValueError(f"its format is {header.get('format', 'not told')}")
                if header["version"] > VERSION:
                    raise InputError(
                        f"{path}: a library of version {header['version']}; update svp, this one reads {VERSION}"
                    )
                arrays = {key: file.get_tensor(key) for key in ARRAYS}
                edges = file.get_tensor("offsets").tolist()
            facts = zip(header["names"], header["sources"], header["licences"], strict=True)
            tracks = tuple(
                MotionTrack(*about, **{key: array[start:stop] for key, array in arrays.items()})
                for about, start, stop in zip(facts, edges[:-1], edges[1:], strict=True)
            )
            library = cls(tracks, header["encoder"])
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: not a motion library ({reason}); make one with `svp motions`") from error
        own = FaceModel.load().encoder_id
        if library.encoder != own:
            raise InputError(
                f"{path}: its expressions are {library.encoder}, this SVP has {own}; make it again with `svp motions`"
            )
        return library


def likeness(heard: np.ndarray, own: np.ndarray) -> float:
    """Correlation of two courses of loudness over the frames that both have; 0 where one does not change."""
    n = min(len(heard), len(own))
    a, b = (course[:n] - course[:n].mean(dtype=np.float64) for course in (heard, own))
    size = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0


def _joined(stretches: Sequence[Stretch], key: str, rate: float) -> np.ndarray:
    """One array (N, C) of successive stretches, from zero at rest on, without a jump in place or speed.

    Each stretch goes on where the one before ended, and the difference fades like a critically damped spring's (`rate`
    per second).
    """
    joined: list[np.ndarray] = []
    place = speed = np.zeros(stretches[0].course(key).shape[1])
    for stretch in stretches:
        own = stretch.course(key)
        seconds = np.arange(len(own))[:, None] / FPS
        own_speed = (own[1] - own[0]) * FPS if len(own) > 1 else speed
        gap = place - own[0]
        joined.append(own + (gap + (speed - own_speed + rate * gap) * seconds) * np.exp(-rate * seconds))
        if len(own) > 1:
            speed = (joined[-1][-1] - joined[-1][-2]) * FPS
            place = joined[-1][-1] + speed / FPS
    return np.concatenate(joined)


def _blinking(blink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lids (N,) whose blinks all take their time, with some added where none comes for too long.

    The lids of a clip are fitted frame by frame, so that of a blink often a single frame is left.
    """
    lids = np.concatenate([blink, np.zeros(len(BLINK_COURSE))])
    shut = np.flatnonzero(np.array(BLINK_COURSE) >= CLOSED)
    frame = opened = 0
    wait = FPS * rng.uniform(*UNBLINKING_SECONDS)
    while frame < len(blink):
        if blink[frame] < CLOSED and frame - opened <= wait:
            frame += 1
            continue
        start = max(frame - shut[0], 0)
        span = slice(start, start + len(BLINK_COURSE))
        lids[span] = np.maximum(lids[span], BLINK_COURSE)
        frame = opened = start + shut[-1] + 1
        wait = FPS * rng.uniform(*UNBLINKING_SECONDS)
    return lids[: len(blink)]


def _key(seed: int | Sequence[int]) -> tuple[int, ...]:
    return (seed,) if isinstance(seed, int) else tuple(seed)
