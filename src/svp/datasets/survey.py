"""The first pass over a source: where its face is, where one shot ends and the next begins, how good the pictures are.

Shapes: N frames, L landmarks.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from svp.datasets.manifest import ClipRow
from svp.datasets.quality import face_extent, sharpness
from svp.face.finder import FaceFinder
from svp.face.landmarks import LandmarkDetector
from svp.face.topology import N_LANDMARKS

LOOK_EVERY = 5  # frames: how often other faces are sought and sharpness is measured, and at every cut
OTHER_SIDE = 0.4  # another face counts from this share of the followed one's width on: it may be who speaks
THUMBNAIL = (32, 18)  # pixels of the pictures whose change tells a cut
OVER_USUAL = 5.0  # a cut changes the picture this many times as much as the frames before it
USUAL_FRAMES = 12
LEAP = 0.5  # of its side: a face that moves so far from one frame to the next is another one, or another shot
RESIZED = 1.5  # so does one that becomes so much larger or smaller


@dataclass(frozen=True)
class Survey:
    """What successive frames show.

    Attributes:
        track: (N,L,3) landmarks in pixels of the source, NaN where no face was found.
        cuts: frames at which a new shot begins, rising; never the first.
        others: (N,) 1 where another large face was seen at the latest look, else 0.
        sharpness: (N,) of the face at the latest look; NaN where it was not found.
        shot: number of the shot that the first frame belongs to.
    """

    track: np.ndarray
    cuts: tuple[int, ...]
    others: np.ndarray
    sharpness: np.ndarray
    shot: int

    def __len__(self) -> int:
        return len(self.track)

    def scored(self, row: ClipRow, start: int, stop: int) -> ClipRow:
        """The row of the frames start:stop with what was measured of them."""
        track = self.track[start:stop]
        found = np.isfinite(track).all(axis=(1, 2))
        sides = [face_extent(points)[1] for points in track[found]]
        sharp = self.sharpness[start:stop][np.isfinite(self.sharpness[start:stop])]
        scores = {
            "shot": self.shot + sum(cut <= start for cut in self.cuts),
            "missing": float(1 - found.mean()),
            "others": float(self.others[start:stop].mean()),
            "face_size": float(np.median(sides)) if sides else 0.0,
            "sharpness": float(np.median(sharp)) if len(sharp) else 0.0,
        }
        return row.model_copy(update={name: round(value, 6) for name, value in scores.items()})


class Surveyor:
    """Looks at the frames of one source in order, stretch by stretch.

    Args:
        cut_change: mean change of the picture, in grey levels of 255, that is a cut where it stands out too.
        box: left, top, right and bottom of the region in which the face is looked for; None for the whole picture.
    """

    def __init__(self, cut_change: float, box: tuple[int, int, int, int] | None = None) -> None:
        self.cut_change, self.box = cut_change, box
        self._detector, self._finder = LandmarkDetector(), FaceFinder()
        self._thumbnail: np.ndarray | None = None
        self._changes: deque[float] = deque(maxlen=USUAL_FRAMES)
        self._face: tuple[np.ndarray, float] | None = None
        self._shot, self._frames = 0, 0
        self._other, self._sharp = 0.0, np.nan

    def survey(self, frames: Iterable[np.ndarray]) -> Survey:
        """Look at the next frames, uint8 RGB (H, W, 3)."""
        tracks, others, sharp, cuts, shot = [], [], [], [], self._shot
        for number, frame in enumerate(frames):
            left, top, right, bottom = self.box or (0, 0, frame.shape[1], frame.shape[0])
            region = frame[top:bottom, left:right]
            found = self._detector.detect(region)
            is_cut = self._is_cut(region, found)
            if is_cut:
                self._shot += 1
                if number:
                    cuts.append(number)
                else:
                    shot = self._shot
            if is_cut or self._frames % LOOK_EVERY == 0:
                self._look(region, found)
            self._frames += 1
            missing = np.full((N_LANDMARKS, 3), np.nan, np.float32)
            tracks.append(missing if found is None else found + np.array([left, top, 0], np.float32))
            others.append(self._other)
            sharp.append(self._sharp)
        track = np.stack(tracks) if tracks else np.zeros((0, N_LANDMARKS, 3), np.float32)
        return Survey(track, tuple(cuts), np.array(others), np.array(sharp), shot)

    def _is_cut(self, region: np.ndarray, landmarks: np.ndarray | None) -> bool:
        """Whether a new shot begins: the picture changes at once, or the face is suddenly elsewhere."""
        thumbnail = cv2.resize(region, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._thumbnail = self._thumbnail, thumbnail
        face, was = None if landmarks is None else face_extent(landmarks), self._face
        self._face = face or was
        if before is None:
            return False
        change = float(np.abs(thumbnail - before).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        is_cut = change > max(self.cut_change, OVER_USUAL * usual)
        if face is not None and was is not None:
            leap = np.abs(face[0] - was[0]).max() > LEAP * was[1]
            is_cut |= bool(leap or max(face[1] / was[1], was[1] / face[1]) > RESIZED)
        if is_cut:
            self._changes.clear()
        else:
            self._changes.append(change)
        return is_cut

    def _look(self, region: np.ndarray, landmarks: np.ndarray | None) -> None:
        """Seek other faces and measure the followed one's sharpness."""
        boxes_K4 = self._finder.find(region)
        widths = boxes_K4[:, 2] - boxes_K4[:, 0]
        if landmarks is None:  # faces that cannot be followed
            self._other, self._sharp = float(len(boxes_K4) > 1), np.nan
            return
        (x, y), side = face_extent(landmarks)
        middle_K2 = (boxes_K4[:, :2] + boxes_K4[:, 2:]) / 2
        apart = (np.abs(middle_K2 - (x, y)) > side / 2).any(axis=1)
        own = float(widths[~apart].max()) if (~apart).any() else side
        self._other = float((apart & (widths >= OTHER_SIDE * own)).any())
        self._sharp = sharpness(region, landmarks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._detector.close()
        self._finder.close()
