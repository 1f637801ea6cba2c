"""The videos on which `measure_controls.py` measures the controls of a model, and the faces in them.

Shapes: N frames.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from rich.progress import Progress

from svp import StylePrior, SVPPipeline
from svp.diffusion.portrait import Portrait
from svp.errors import InputError
from svp.evaluation.face_facts import FaceFacts
from svp.evaluation.observe import VideoObserver
from svp.face.fit import FaceFit, fit_clip, part_identity
from svp.face.landmarks import require_track
from svp.face.model import FaceModel
from svp.face.motion import HeadMotion
from svp.face.motion_library import MotionLibrary
from svp.media.video import count_frames
from svp.speech.loudness import loudness

STRENGTHS: Final = tuple(k / 4 for k in range(9))
# Units without a side mean both; see the table of datasets/emotions.py.
INTENDED: Final = {
    "happy": ("mouthSmile",),
    "sad": ("mouthFrown", "browInnerUp"),
    "angry": ("browDown",),
    "surprised": ("eyeWide", "browInnerUp"),
}
ASIDE: Final = 0.2  # of the pupils, in eye widths to the right of the picture: 20 degrees, the iris stays in sight


@dataclass(frozen=True)
class Shot:
    """What a video of a portrait is made with.

    Attributes:
        style, strength: of the gallery.
        sound: 0 for A, 1 for B.
        moving: whether the head moves.
        aside: place of the pupils, in eye widths to the right of the picture.
        seed: added to that of the command line.
    """

    style: str = "neutral"
    strength: float = 1.0
    sound: int = 0
    moving: bool = False
    aside: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        marks = {"sound-B": self.sound, "moving": self.moving, "aside": self.aside, "other-seed": self.seed}
        return "_".join([self.style, f"x{self.strength:g}", *(mark for mark, set_ in marks.items() if set_)])


Change = tuple[Shot, Shot]
BASE: Final = Shot()
NOISE: Final[Change] = (BASE, Shot(seed=1))
CHANGES: Final[dict[str, list[Change]]] = {
    "audio": [(BASE, Shot(sound=1))],
    "style": [(BASE, Shot(style)) for style in INTENDED],
    "strength": [(Shot(style), Shot(style, 2.0)) for style in INTENDED],
    "head motion": [(BASE, Shot(moving=True))],
    "gaze": [(BASE, Shot(aside=ASIDE))],
}


def at_strengths(style: str) -> list[Shot]:
    """A style at all strengths; at 0 every style is the neutral code itself."""
    return [Shot(style, strength) if strength else Shot(strength=0.0) for strength in STRENGTHS]


def all_shots() -> list[Shot]:
    """Each video that something is measured on, once."""
    changes = [NOISE, *(change for of_control in CHANGES.values() for change in of_control)]
    shots = [shot for change in changes for shot in change] + [s for style in INTENDED for s in at_strengths(style)]
    return list(dict.fromkeys(shots))


@dataclass(frozen=True, eq=False)
class Take:
    """What is kept of a video: `track` (N, 478, 3), NaN without a face, its middle `picture`, `embedding` or None."""

    track: np.ndarray
    picture: np.ndarray
    embedding: np.ndarray | None


def head_motion(shot: Shot, sound: np.ndarray, seed: int) -> HeadMotion:
    """The poses of a shot's head and its gaze; there are no blinks, and no gaze but the one asked for."""
    n_frames = count_frames(len(sound))
    motion = HeadMotion.still(n_frames)
    if shot.moving:
        natural = MotionLibrary.shipped().motion(loudness(sound, n_frames), seed)
        motion = replace(motion, rotation=natural.rotation, translation=natural.translation)
    return replace(motion, gaze=motion.gaze + np.float32([shot.aside, 0.0]))


def look(frames: np.ndarray) -> Take:
    """Find the face in the frames (N, S, S, 3) of a video, as `svp evaluate` does."""
    observer = VideoObserver(with_face=True)
    for frame in frames:
        observer.add(frame)
    if observer.detector is not None:
        observer.detector.close()
    embedding = np.mean(observer.embeddings, axis=0) if observer.embeddings else None
    return Take(np.stack(observer.landmarks), frames[len(frames) // 2], embedding)


def make_takes(
    pipeline: SVPPipeline,
    portraits: dict[str, Portrait],
    styles: dict[str, StylePrior],
    sounds: list[np.ndarray],
    options: argparse.Namespace,
) -> dict[str, dict[Shot, Take]]:
    """All videos of all portraits, each written to the output folder as it is there."""
    shots = all_shots()
    takes: dict[str, dict[Shot, Take]] = {name: {} for name in portraits}
    with Progress() as bar:
        task = bar.add_task("videos", total=len(portraits) * len(shots))
        for name, portrait in portraits.items():
            for shot in shots:
                bar.update(task, description=f"{name} {shot}")
                seed = options.seed + shot.seed
                video = pipeline(
                    portrait,
                    sounds[shot.sound],
                    styles[shot.style].scale(shot.strength),
                    head_motion(shot, sounds[shot.sound], seed),
                    seed=seed,
                    num_inference_steps=options.steps,
                    guidance_scale=options.guidance,
                )
                video.save(options.out / f"{name}_{shot}.mp4")
                takes[name][shot] = look(video.frames)
                bar.advance(task)
    return takes


@dataclass(frozen=True, eq=False)
class Seen:
    """A face over a video and its embedding (128,), None where none could be made."""

    face: FaceFacts
    embedding: np.ndarray | None


def fit_takes(takes: dict[Shot, Take]) -> dict[Shot, Seen]:
    """The faces of all videos of one portrait, which are fitted as one clip: they show one person.

    Those in which fewer than half of the frames show it are told and left out.
    """
    model, tracks = FaceModel.load(), {}
    for shot, take in takes.items():
        try:
            tracks[shot] = require_track(take.track, str(shot))
        except InputError as error:
            print(f"left out: {error}", file=sys.stderr)
    if not tracks:
        return {}
    landmarks, seen, start = np.concatenate(list(tracks.values())), {}, 0
    whole = fit_clip(landmarks, model)
    for shot, track in tracks.items():
        part = slice(start, start + len(track))
        start, take = part.stop, takes[shot]
        own = part_identity(landmarks, whole, part, model)
        fit = FaceFit(own, whole.expression[part], whole.rotation[part], whole.translation[part], whole.scale[part])
        seen[shot] = Seen(FaceFacts(track, np.isfinite(take.track).all(axis=(1, 2)), fit), take.embedding)
    return seen
