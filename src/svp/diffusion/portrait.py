"""What the networks need of a portrait and of a head motion: the crop, its landmarks, eight points per frame.

Shapes: S x S pixels of the crop, N frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from svp.diffusion.knobs import UNCHANGED, Knobs
from svp.errors import InputError
from svp.face.canvas import Canvas, View
from svp.face.crop import SquareCrop, clip_crop, portrait_crop
from svp.face.face_box import FaceBox, find_face, warn
from svp.face.fit import FaceFit, fit_clip
from svp.face.key_points import KEY_POINTS, KeyPoints
from svp.face.landmarks import require_track, track_landmarks
from svp.face.model import FaceModel
from svp.face.motion import HeadMotion, forth_and_back
from svp.face.motion_library import SUFFIX as LIBRARY_SUFFIX
from svp.face.motion_library import MotionLibrary
from svp.media.image import check_size, read_image, to_rgb
from svp.media.video import FPS, probe, read_frames
from svp.style.style_file import is_clip

PictureSource = str | Path | np.ndarray | Image.Image
MotionSource = str | Path | HeadMotion | MotionLibrary | np.ndarray
STILL, NATURAL = "still", "natural"
RETARGETS = ("pose", "none")


@dataclass(frozen=True, eq=False)
class Portrait:
    """A portrait, cropped and measured.

    Attributes:
        image: (S, S, 3) uint8 RGB crop.
        landmarks: (478, 3) in pixels of the crop.
        fit: face model fitted to the landmarks (one frame): it lifts the eight points to 3-D.
        crop: where the crop lies in the full picture.
        picture: that, uint8 RGB (H, W, 3); None where only the crop is at hand.
        face_box: by which the face was told, in pixels of the picture; None where it was found.
    """

    image: np.ndarray
    landmarks: np.ndarray
    fit: FaceFit
    crop: SquareCrop
    picture: np.ndarray | None = None
    face_box: FaceBox | None = None

    @classmethod
    def of_crop(cls, image: np.ndarray, landmarks: np.ndarray) -> Portrait:
        """A picture (S, S, 3) uint8 RGB that is cropped already, a frame of a prepared clip say, and its landmarks."""
        side = len(image)
        fit = fit_clip(landmarks[None], FaceModel.load())
        return cls(image, landmarks, fit, SquareCrop(side / 2, side / 2, side, side), image)

    def require_size(self, size: int) -> Portrait:
        """This portrait, if its crop has the side that a model needs.

        Raises:
            InputError: if it was prepared for another one.
        """
        if self.image.shape[:2] != (size, size):
            height, width = self.image.shape[:2]
            raise InputError(
                f"portrait: prepared with {width} x {height} pixels, this model makes {size} x {size}; "
                "prepare it again with this model"
            )
        return self

    def canvas(self, view: View) -> Canvas | None:
        """What frames of the crop are pasted into to give a view; None if they are the view.

        Raises:
            InputError: if the picture would be needed and is not at hand.
        """
        if view.square:
            return None
        if self.picture is None:
            raise InputError("portrait: prepared without its picture, which frame and aspect need; give the picture")
        return Canvas.of(self.picture, self.crop, view)


def prepare_portrait(
    source: PictureSource, size: int, face_box: FaceBox | None = None, notice: Callable[[str], None] = warn
) -> Portrait:
    """Find the face, crop it as training clips are cropped, fit the face model.

    Args:
        source: picture file, PIL picture or (H, W, 3) uint8 RGB.
        size: S.
        face_box, notice: see `find_face`.

    Raises:
        InputError: if the picture cannot be read or shows no face, or the box is not in it.
    """
    image = read_picture(source)
    name = str(source) if isinstance(source, str | Path) else "portrait"
    landmarks = find_face(image, name, face_box, notice)
    crop = portrait_crop(landmarks, size, image.shape[:2])
    landmarks = crop.points(landmarks)
    return Portrait(crop.apply(image), landmarks, fit_clip(landmarks[None], FaceModel.load()), crop, image, face_box)


def read_picture(source: PictureSource) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB, upright.

    Raises:
        InputError: if it is neither a readable file nor a picture.
    """
    if isinstance(source, str | Path):
        return read_image(source)
    if isinstance(source, Image.Image):
        check_size("portrait", *source.size)
        try:
            return to_rgb(source)
        except Exception as error:  # as in `read_image`
            why = " ".join(str(error).split())
            raise InputError(f"portrait: damaged or truncated picture ({why}); open it again") from error
    if isinstance(source, np.ndarray) and source.ndim == 3 and source.shape[2] == 3 and source.dtype == np.uint8:
        check_size("portrait", source.shape[1], source.shape[0])
        return source
    described = f"{source.dtype} {source.shape}" if isinstance(source, np.ndarray) else type(source).__name__
    raise InputError(f"portrait: {described} is no picture; give a file, a PIL picture or uint8 RGB (H, W, 3)")


def check_motion(motion: MotionSource, retarget: str, knobs: Knobs) -> None:
    """Cheap checks of `head_points`' arguments, before anything heavy starts; of a clip one frame is decoded.

    Raises:
        InputError: if there is no such clip or no picture in it, or an option is unknown or has nothing to apply to.
    """
    if retarget not in RETARGETS:
        raise InputError(f"retarget {retarget}: unknown; use one of {', '.join(RETARGETS)}")
    found = find_motion(motion)
    if isinstance(found, Path):
        probe(found)
    if retarget == "none" and not isinstance(found, Path | np.ndarray):
        raise InputError("retarget none: uses the points of a driving clip; give a clip as head motion")
    if retarget != "none" and isinstance(found, np.ndarray):
        raise InputError(f"retarget {retarget}: points are taken as they are; say none")
    if retarget == "none" and knobs.head:
        raise InputError("retarget none: takes points as they are; head_amplitude, blink_rate and gaze need pose")


def find_motion(motion: MotionSource) -> HeadMotion | MotionLibrary | Path | np.ndarray:
    """What a head motion means: a track of poses, a library to choose from, the path of a clip, or points.

    Raises:
        InputError: if there is no such file, a `.safetensors` file is no motion library, or the points are none.
    """
    counts = {points.count for points in KEY_POINTS.values()}
    if isinstance(motion, np.ndarray) and motion.shape[1:] not in {(count, 2) for count in counts}:
        shapes = " or ".join(f"(frames, {count}, 2)" for count in sorted(counts, reverse=True))
        raise InputError(f"head_motion: an array {motion.shape} holds no points; give {shapes}")
    if isinstance(motion, HeadMotion | MotionLibrary | np.ndarray):
        return motion
    if motion == STILL:
        return HeadMotion.still(1)
    if motion == NATURAL:
        return MotionLibrary.shipped()
    path = Path(motion)
    if not path.is_file():
        raise InputError(f"{path}: no such head motion; give a clip, a motion library, '{STILL}' or '{NATURAL}'")
    return MotionLibrary.load(path) if path.suffix == LIBRARY_SUFFIX else path


def driving_clip(head_motion: str) -> Path | None:
    """The clip that moves the head; None for a word or a motion library."""
    path = Path(head_motion)
    return None if head_motion in (STILL, NATURAL) or path.suffix == LIBRARY_SUFFIX else path


def clips_among(styles: Sequence[Path], head_motion: str) -> list[Path]:
    """The clips that have to be measured for a video with these styles and this head motion."""
    driving = driving_clip(head_motion)
    return [*filter(is_clip, styles), *([] if driving is None else [driving])]


def clip_motion(
    landmarks: np.ndarray, clip: Path, size: int, retarget: str, key_points: KeyPoints
) -> HeadMotion | np.ndarray:
    """What a clip tells `head_points`, of as many frames as the video has, or of all if they are fewer.

    Args:
        landmarks: (M, 478, 3) of these frames, see `track_landmarks`.
        clip: what it is called in the error.
        size: S of the model's pictures.
        retarget, key_points: as in `head_points`.

    Returns:
        A track of M head poses; with `retarget` none the points (M, K, 2) in pixels of the clip's crop.

    Raises:
        InputError: the clip shows no face.
    """
    landmarks = require_track(landmarks, clip)
    if retarget == "none":
        return key_points.seen(clip_crop(landmarks, size).points(landmarks))
    return HeadMotion.from_fit(fit_clip(landmarks, FaceModel.load()))


def head_points(
    motion: MotionSource,
    portrait: Portrait,
    loudness: np.ndarray,
    retarget: str,
    seed: int,
    key_points: KeyPoints = KEY_POINTS["upper-face"],
    knobs: Knobs = UNCHANGED,
    watch: Callable[[int], None] | None = None,
) -> np.ndarray:
    """The points per frame that guide the model, usually the eight Head-Kps.

    Args:
        motion: a clip or a track of head poses, of which shorter ones play forth and back; a motion library, of which
            what fits the recording is taken, `natural` for the shipped one; `still`; or the points themselves
            (M, K, 2) in pixels of the portrait's crop (reconstruction of a prepared clip).
        portrait: whose own points are moved.
        loudness: (N,) of the recording, see `svp.speech.loudness`.
        retarget: `pose` gives the portrait the motion; `none` takes the clip's points as they are, in the clip's crop.
        seed: of the choice from a library, and of the blinks that `knobs` ask for.
        key_points: which points the model takes.
        knobs: how the motion is changed.
        watch: called with the number of frames of a clip looked at, after each; what it raises ends the work.

    Returns:
        (N, K, 2) in pixels of the portrait's crop; pupils are NaN while a blink hides them.

    Raises:
        InputError: if the clip or library cannot be read, the clip shows no face, or the points have no pupils.
    """
    if knobs.eyes and not key_points.pupils:
        raise InputError("blink_rate and gaze: move pupils, of which this model is not told; leave them out")
    n_frames, found = len(loudness), find_motion(motion)
    if isinstance(found, Path):
        # more of the clip than the video has frames would be cut off
        landmarks = track_landmarks(read_frames(found, FPS, seconds=n_frames / FPS), watch=watch)
        found = clip_motion(landmarks, found, len(portrait.image), retarget, key_points)
    if isinstance(found, MotionLibrary):
        track = found.motion(loudness, seed)
    elif isinstance(found, HeadMotion):
        track = found.resized(n_frames)
    else:
        if found.shape[1] != key_points.count:
            raise InputError(f"head_motion: {found.shape[1]} points per frame; this model takes {key_points.count}")
        return found[forth_and_back(len(found), n_frames)]
    return key_points.moved(portrait.landmarks, portrait.fit, knobs.change(track, seed))
