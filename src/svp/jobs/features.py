"""What many videos share, computed once and kept in a folder: measured portraits, styles learned from clips, tracks of
faces in clips that move heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError, safe_open

from svp import __version__
from svp.diffusion.model_folder import find_model, saved_settings
from svp.errors import InputError
from svp.face.face_box import FaceBox
from svp.jobs.request import VideoJob, file_hash, model_key
from svp.media.audio import count_samples
from svp.media.hashing import sha256_text
from svp.media.video import count_frames
from svp.media.whole_file import whole_file

if TYPE_CHECKING:
    from svp.diffusion.portrait import Portrait

STYLE_SUFFIX = ".safetensors"
PORTRAIT_SUFFIX = ".npz"
TRACK_SUFFIX = ".npy"


@dataclass(frozen=True)
class Feature:
    """A portrait for models of a size, a style clip for a model, or the face of a clip that moves a head.

    Attributes:
        source: picture or clip.
        model: as in `VideoJob`; a portrait is the same for all of its size.
        path: where it is, or will be, kept.
        size: of the model's pictures, in pixels.
        face_box: of a portrait, in its pixels; None lets the face be found.
        frames: of a clip that moves a head, that are looked at.
    """

    kind: Literal["portrait", "style", "motion"]
    source: Path
    model: tuple[str, str | None]
    path: Path
    size: int
    face_box: FaceBox | None = None
    frames: int = 0


def clip_frames(jobs: Iterable[VideoJob]) -> dict[Path, int]:
    """How many frames the longest of the videos takes of each clip that moves its head."""
    frames: dict[Path, int] = {}
    for job in jobs:
        if (clip := job.driving_clip) is not None:
            with suppress(InputError, OSError):  # its own worker tells what is wrong with its recording
                frames[clip] = max(frames.get(clip, 0), _video_frames(job.audio, file_hash(job.audio)))
    return frames


@cache
def _video_frames(audio: Path, _hash: str) -> int:
    """Of the video of a recording that has this hash."""
    return count_frames(count_samples(audio))


def features_of(job: VideoJob, folder: Path, frames: Mapping[Path, int]) -> list[Feature]:
    """What has to be measured for a job: a picture, and the clips among its styles and for its head.

    Args:
        folder: for the features, named by what they depend on.
        frames: see `clip_frames`.
    """
    found, size, box = [], _image_size(job.model[0], model_key(*job.model)), job.request.box()
    if job.portrait.suffix != PORTRAIT_SUFFIX:
        path = folder / _name("portrait", PORTRAIT_SUFFIX, file_hash(job.portrait), str(size), str(box))
        found.append(Feature("portrait", job.portrait, job.model, path, size, box))
    for cue in job.cues:
        if cue.path.suffix != STYLE_SUFFIX:
            path = folder / _name("style", STYLE_SUFFIX, file_hash(cue.path), model_key(*job.model))
            found.append(Feature("style", cue.path, job.model, path, size))
    if (clip := job.driving_clip) is not None and clip in frames:
        path = folder / _name("motion", TRACK_SUFFIX, file_hash(clip), str(frames[clip]))
        found.append(Feature("motion", clip, job.model, path, size, frames=frames[clip]))
    return found


@cache
def _image_size(model: str, _key: str) -> int:
    """Of a model whose files have this key."""
    return saved_settings(find_model(model)).image_size


def _name(kind: str, suffix: str, *facts: str) -> str:
    """Another version may crop, fit or encode otherwise."""
    return f"{kind}-{sha256_text(' '.join((__version__, *facts)))[:32]}{suffix}"


def save_portrait(path: Path, portrait: Portrait) -> None:
    """Write a measured portrait without its picture; the file appears when complete."""
    fit = {f"fit_{name}": value for name, value in vars(portrait.fit).items()}
    crop = np.array(list(asdict(portrait.crop).values()), np.float64)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, image=portrait.image, landmarks=portrait.landmarks, crop=crop, **fit)


def save_track(path: Path, landmarks: np.ndarray) -> None:
    """Write landmarks (M, 478, 3) of a clip; the file appears when complete."""
    with whole_file(path) as partial, partial.open("wb") as file:
        np.save(file, landmarks)


def load_track(path: Path) -> np.ndarray:
    """What `save_track` wrote.

    Raises:
        InputError: it is damaged.
    """
    try:
        return np.load(path)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it") from error


def prepared_landmarks(path: Path) -> np.ndarray:
    """Landmarks (N, 478, 3) of a prepared clip, in pixels of its crop, from its file of features.

    Raises:
        InputError: it has none, or is damaged.
    """
    try:
        with safe_open(path, framework="np") as file:
            return file.get_tensor("landmarks")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: no features of a prepared clip ({error}); name one of DATASET/features") from error


def load_portrait(path: Path, picture: Path | None) -> Portrait:
    """What `save_portrait` wrote, bit for bit, with its picture if it is given, which is read again.

    Raises:
        InputError: one of the two is damaged.
    """
    from svp.diffusion.portrait import Portrait, read_picture
    from svp.face.crop import SquareCrop
    from svp.face.fit import FaceFit

    full = None if picture is None else read_picture(picture)
    try:
        with np.load(path) as arrays:
            fit = FaceFit(**{key.removeprefix("fit_"): arrays[key] for key in arrays if key.startswith("fit_")})
            x, y, side, size = arrays["crop"].tolist()
            return Portrait(arrays["image"], arrays["landmarks"], fit, SquareCrop(x, y, side, int(size)), full)
    except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it") from error
