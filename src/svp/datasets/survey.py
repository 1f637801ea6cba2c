"""The first pass over a source: where its face is, where one shot ends and the next begins, how good the pictures are.

Shapes: N frames, L landmarks.
"""

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

LOOK_EVERY = 5  # frames: how often other faces are sought and sharpness is measured
OTHER_SIDE = 0.4  # another face counts from this share of the followed one's width on: it may be who speaks
THUMBNAIL = (32, 18)  # pixels of the pictures whose change tells a cut
SAMPLED = (16 * THUMBNAIL[0], 16 * THUMBNAIL[1])  # pixels of a large picture that are averaged for it
# A cut changes the picture this many times as much as the frames beside it do. Jump cuts measured 2.6 and more, the
# fastest turns of a head 2.5 and less.
ALONE = 2.5
LEAP = 0.5  # of its side: a face that moves so far from one frame to the next is in another shot, or lost and found
RESIZED = 1.5  # so is one that becomes so much larger or smaller
WITH_LEAP = 3.0  # a picture whose face leaps need change by a third only: two shots of one studio


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
        cut_change: mean change of the picture, in grey levels of 255, that is a cut where it stands alone too.
        box: left, top, right and bottom of the region in which the face is looked for; None for the whole picture.
    """

    def __init__(self, cut_change: float, box: tuple[int, int, int, int] | None = None) -> None:
        self.cut_change, self.box = cut_change, box
        self._detector, self._finder = LandmarkDetector(), FaceFinder()
        self._thumbnail: np.ndarray | None = None
        self._face: tuple[np.ndarray, float] | None = None
        self._shots = 1

    def survey(self, frames: Iterable[np.ndarray]) -> Survey:
        """Look at the next frames, uint8 RGB (H, W, 3)."""
        tracks, others, sharp, changes, leaps = [], [], [], [], []
        other, fine = 0.0, np.nan
        for number, frame in enumerate(frames):
            left, top, right, bottom = self.box or (0, 0, frame.shape[1], frame.shape[0])
            region = frame[top:bottom, left:right]
            found = self._detector.detect(region)
            if number % LOOK_EVERY == 0:
                other, fine = self._look(region, found)
            missing = np.full((N_LANDMARKS, 3), np.nan, np.float32)
            tracks.append(missing if found is None else found + np.array([left, top, 0], np.float32))
            others.append(other)
            sharp.append(fine)
            changes.append(self._change(region))
            leaps.append(self._leap(found))
        track = np.stack(tracks) if tracks else np.zeros((0, N_LANDMARKS, 3), np.float32)
        bars = np.where(np.array(leaps, bool), self.cut_change / WITH_LEAP, self.cut_change)
        cuts = np.flatnonzero(cuts_of(np.array(changes), bars)).tolist()
        self._shots += bool(cuts and cuts[0] == 0)
        first = self._shots - 1
        cuts = [cut for cut in cuts if cut]
        self._shots += len(cuts)
        return Survey(track, tuple(cuts), np.array(others), np.array(sharp), first)

    def _change(self, region: np.ndarray) -> float:
        """Mean change of the picture since the frame before, in grey levels."""
        before = self._thumbnail
        if region.shape[1] >= 2 * SAMPLED[0] and region.shape[0] >= 2 * SAMPLED[1]:
            region = cv2.resize(region, SAMPLED, interpolation=cv2.INTER_NEAREST)
        self._thumbnail = cv2.resize(region, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        return 0.0 if before is None else float(np.abs(self._thumbnail - before).mean())

    def _leap(self, landmarks: np.ndarray | None) -> bool:
        """Whether the face is suddenly elsewhere or of another size."""
        if landmarks is None:
            return False
        before, self._face = self._face, face_extent(landmarks)
        if before is None:
            return False
        (center, side), (old_center, old_side) = self._face, before
        return bool(
            np.abs(center - old_center).max() > LEAP * old_side or max(side / old_side, old_side / side) > RESIZED
        )

    def _look(self, region: np.ndarray, landmarks: np.ndarray | None) -> tuple[float, float]:
        """Whether another large face is seen (0 or 1), and how sharp the followed one is (NaN without one)."""
        boxes_K4 = self._finder.find(region)
        if landmarks is None:  # faces that cannot be followed
            return float(len(boxes_K4) > 1), np.nan
        widths_K = boxes_K4[:, 2] - boxes_K4[:, 0]
        center, side = face_extent(landmarks)
        middle_K2 = (boxes_K4[:, :2] + boxes_K4[:, 2:]) / 2
        apart_K = (np.abs(middle_K2 - center) > side / 2).any(axis=1)
        own = float(widths_K[~apart_K].max()) if (~apart_K).any() else side
        return float((apart_K & (widths_K >= OTHER_SIDE * own)).any()), sharpness(region, landmarks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._detector.close()
        self._finder.close()


def cuts_of(change_N: np.ndarray, bar_N: np.ndarray) -> np.ndarray:
    """Where the picture changes by more than a bar and far more than just before and after, (N,) bool."""
    beside_N = np.maximum(np.pad(change_N, (1, 0))[:-1], np.pad(change_N, (0, 1))[1:])
    return (change_N > bar_N) & (change_N > ALONE * beside_N)
