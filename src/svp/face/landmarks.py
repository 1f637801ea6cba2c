"""478 face landmarks per picture or video frame, irises included.

The detector is MediaPipe's face mesh (Apache-2.0, its models are inside the wheel). Pixel coordinates are continuous:
the centre of the first pixel is (0.5, 0.5). z grows away from the viewer, in pixels too.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np

from svp.errors import InputError
from svp.face.graph import MediaPipeGraph
from svp.face.topology import FACE_OVAL, N_LANDMARKS
from svp.media.video import FPS, read_frames

# The face finder sees faces of about a fifth of the picture or more; smaller ones are sought in overlapping tiles.
_TILE_SHARES = (0.6, 0.35)
_MAX_FACES = 5


class LandmarkDetector(MediaPipeGraph):
    """Finds the landmarks of one face.

    Args:
        static: True for single pictures: every call searches the whole picture, tiles of it when the face is small, and
            the largest face counts. False for video: the face is tracked from one call to the next (faster, steadier).
    """

    def __init__(self, static: bool = False) -> None:
        super().__init__()
        self.static = static

    def _start(self, solutions: Any) -> Any:
        return solutions.face_mesh.FaceMesh(
            static_image_mode=self.static,
            max_num_faces=_MAX_FACES if self.static else 1,
            refine_landmarks=True,
        )

    def _process(self, image: np.ndarray) -> list[np.ndarray]:
        """All faces of an RGB picture, each (478, 3) in its pixels."""
        height, width = image.shape[:2]
        found = self._found_in(image)
        return [
            np.array([(p.x * width, p.y * height, p.z * width) for p in face.landmark], np.float32)
            for face in found.multi_face_landmarks or ()
        ]

    def detect(self, image: np.ndarray) -> np.ndarray | None:
        """Landmarks of the face in one picture.

        Args:
            image: uint8 RGB, (H, W, 3). In video mode consecutive calls must be consecutive frames.

        Returns:
            (478, 3) float32 in pixels (z relative, in pixels), or None when no face is found.

        Raises:
            ValueError: if the array is not a uint8 RGB picture.
        """
        return next(iter(self.faces(image)), None)

    def faces(self, image: np.ndarray) -> list[np.ndarray]:
        """All faces of one picture as in `detect`, the largest first; some may be there twice, in video mode one is."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected a uint8 RGB picture (H, W, 3), got {image.dtype} {image.shape}")
        faces = self._process(image)
        if not faces and self.static:
            faces = self._search_tiles(image)
        return sorted(faces, key=_face_area, reverse=True)

    def _search_tiles(self, image: np.ndarray) -> list[np.ndarray]:
        height, width = image.shape[:2]
        for share in _TILE_SHARES:
            side = int(share * max(height, width))
            if side < 64:
                break
            faces = []
            for top in _tile_starts(height, side):
                for left in _tile_starts(width, side):
                    for points in self._process(image[top : top + side, left : left + side]):
                        faces.append(points + np.array([left, top, 0], np.float32))
            if faces:
                return faces
        return []


def _tile_starts(length: int, side: int) -> list[int]:
    if side >= length:
        return [0]
    n_tiles = int(np.ceil((length - side) / (0.5 * side))) + 1
    return [round(start) for start in np.linspace(0, length - side, n_tiles)]


def _face_area(landmarks: np.ndarray) -> float:
    return float(cv2.contourArea(landmarks[list(FACE_OVAL), :2]))


def require_landmarks(image: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    """Landmarks (478, 3) of the largest face of a portrait.

    Args:
        image: uint8 RGB (H, W, 3).
        path: what the picture is called in the error.

    Raises:
        InputError: if no face is found.
    """
    with LandmarkDetector(static=True) as detector:
        landmarks = detector.detect(image)
    if landmarks is None:
        raise InputError(f"{path}: no face found; use a picture with one visible face, seen from the front")
    return landmarks


def track_landmarks(
    frames: Iterable[np.ndarray], detector: LandmarkDetector | None = None, watch: Callable[[int], None] | None = None
) -> np.ndarray:
    """Landmarks of every frame of a video.

    Args:
        frames: uint8 RGB (H, W, 3), in order; consumed one at a time.
        detector: for video; goes on with the face it followed before. By default a new one.
        watch: called with the number of frames looked at, after each; what it raises ends the work.

    Returns:
        (N, 478, 3) float32 pixels; frames without a face are NaN.
    """
    missing = np.full((N_LANDMARKS, 3), np.nan, np.float32)
    track: list[np.ndarray] = []
    with contextlib.nullcontext(detector) if detector is not None else LandmarkDetector() as follower:
        for frame in frames:
            found = follower.detect(frame)
            track.append(missing if found is None else found)
            if watch is not None:
                watch(len(track))
    return np.stack(track) if track else np.zeros((0, N_LANDMARKS, 3), np.float32)


def need_face(path: str | os.PathLike[str]) -> None:
    """Raise InputError unless a frame of a clip shows a face; it is sought until the first one."""
    looked_at = 0
    with LandmarkDetector() as detector:
        for frame in read_frames(path, FPS):
            if detector.detect(frame) is not None:
                return
            looked_at += 1
    raise too_few_faces(path, 0, looked_at)


def too_few_faces(path: str | os.PathLike[str], found: int, frames: int) -> InputError:
    """The error of a clip that shows a face in too few of its frames."""
    return InputError(f"{path}: a face is found in {found} of {frames} frames; use a clip with one visible face")


def require_track(track: np.ndarray, path: str | os.PathLike[str], min_share: float = 0.5) -> np.ndarray:
    """A track without gaps: missing frames are interpolated linearly, ends are held.

    Args:
        track: (N, 478, 3), NaN where no face was found.
        path: what the clip is called in the error.
        min_share: least share of frames in which a face must have been found.

    Raises:
        InputError: if the clip has no frame, or a face in too few of them.
    """
    found = np.isfinite(track).all(axis=(1, 2))
    if len(track) == 0:
        raise InputError(f"{path}: has no video frame; use a readable video")
    if found.sum() < max(1, min_share * len(track)):
        raise too_few_faces(path, int(found.sum()), len(track))
    if found.all():
        return track
    present = np.flatnonzero(found)
    after = np.clip(np.searchsorted(present, np.arange(len(track))), 0, len(present) - 1)
    before = np.clip(after - 1, 0, None)
    left, right = present[before], present[after]
    weight = np.clip((np.arange(len(track)) - left) / np.maximum(right - left, 1), 0, 1)[:, None, None]
    filled = (1 - weight) * track[left] + weight * track[right]
    return np.where(found[:, None, None], track, filled).astype(np.float32)
