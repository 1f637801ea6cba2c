"""One pass over videos of one name, the true one among them: every frame is decoded once for all metrics.

Shapes: N frames at 25 fps, H x W pixels, G x G cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from svp.datasets.audio_offset import estimate_audio_offset
from svp.errors import InputError
from svp.evaluation.cache import MeasurementCache
from svp.evaluation.embedding import EVERY, installed_embedder
from svp.evaluation.face_facts import FaceFacts
from svp.evaluation.facts import GRID, NO_TRUTH, PixelFacts, VideoFacts
from svp.evaluation.instruments import embedding_weights
from svp.evaluation.pixels import PixelComparison, same_aspect
from svp.face.fit import FaceFit
from svp.face.landmarks import LandmarkDetector
from svp.face.topology import N_LANDMARKS
from svp.media.audio import read_audio_or_none
from svp.media.hashing import sha256_file
from svp.media.video import FPS, read_frames
from svp.speech.alpha import is_silent
from svp.speech.loudness import loudness

LEAST_SIDE: Final = 256  # the face finder is shown smaller pictures enlarged to about this
NO_FACE_ASKED: Final = "no metric of this report looks at the face"
FIT: Final = ("identity", "expression", "rotation", "translation", "scale")


@dataclass(frozen=True, eq=False)
class Observation:
    """What one pass found, by the key of the video; a text says why something could not be measured.

    Attributes:
        videos: of every video.
        pixels: of every video but the truth.
    """

    videos: Mapping[str, VideoFacts | str]
    pixels: Mapping[str, PixelFacts | str]


def observe(
    videos: Mapping[str, Path], truth: str | None, cache: MeasurementCache, with_face: bool = True
) -> Observation:
    """Measure videos of one name.

    Args:
        videos: paths by any keys, that of the truth among them.
        truth: key of the true one; None if there is none.
        cache: what it knows is not measured again.
        with_face: False leaves landmarks, fit and embedding out, which take most of the time.
    """
    watched: dict[str, _Watched] = {}
    facts: dict[str, VideoFacts | str] = {}
    for key, path in videos.items():
        try:
            watched[key] = _Watched(path, cache, with_face)
        except OSError as error:
            facts[key] = f"cannot be read ({error.strerror})"
    true = watched.get(truth) if truth is not None else None
    others = [video for key, video in watched.items() if key != truth]
    if true is not None:
        for video in others:
            video.compare_with(true)
    running = [video for video in watched.values() if video.needs_reading]
    if true is not None and true not in running and any(video.comparison for video in others):
        running.append(true)
    while running:
        running = [video for video in running if video.advance()]
        for video in others:
            video.compare()
    facts |= {key: video.result() for key, video in watched.items()}
    pixels = {key: video.pixels() for key, video in watched.items() if key != truth}
    return Observation(facts, pixels)


class _Watched:
    """A video while it is read: the frame that is shown and what has been measured so far.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, cache: MeasurementCache, with_face: bool) -> None:
        self.path, self.cache, self.digest = path, cache, sha256_file(path)
        self.known = _known_facts(cache, self.digest, path.name, with_face)
        self.observer = VideoObserver(with_face) if self.known is None else None
        self.true: _Watched | None = None
        self.comparison: PixelComparison | None = None
        self.compared: PixelFacts | str = NO_TRUTH
        self.frames = read_frames(path, FPS)
        self.frame: np.ndarray | None = None
        self.failure = ""

    def compare_with(self, true: _Watched) -> None:
        """Compare the frames with those of another video, unless that is known."""
        self.true = true
        found = self.cache.get("pixels", self.digest, true.digest)
        if found is None:
            self.comparison = PixelComparison()
        else:
            self.compared = PixelFacts(found[0]["psnr"], found[0]["ssim"])

    @property
    def needs_reading(self) -> bool:
        return self.observer is not None or self.comparison is not None

    def advance(self) -> bool:
        """Go on to the next frame; False, and no frame, where the video ends or breaks."""
        try:
            self.frame = next(self.frames, None)
        except InputError as error:
            self.frame, self.failure = None, str(error).removeprefix(f"{self.path}: ")
        if self.frame is not None and self.observer is not None:
            self.observer.add(self.frame)
        return self.frame is not None

    def compare(self) -> None:
        """Lay the shown frame over that of the truth, where both have one."""
        if self.comparison is None or self.true is None or self.frame is None or self.true.frame is None:
            return
        height, width, _ = self.frame.shape
        true_height, true_width, _ = self.true.frame.shape
        if same_aspect((height, width), (true_height, true_width)):
            self.comparison.add(self.frame, self.true.frame)
        else:
            self.comparison = None
            self.compared = f"{width} x {height} pixels against {true_width} x {true_height}: crop both alike"

    def result(self) -> VideoFacts | str:
        if self.known is not None:
            return self.known
        assert self.observer is not None
        if self.failure:
            return self.failure
        facts = self.observer.facts(self.path, self.digest)
        _keep_facts(self.cache, facts, self.observer.detector is not None)
        return facts

    def pixels(self) -> PixelFacts | str:
        """What the comparison gave."""
        if self.comparison is not None and self.true is not None:
            broken = self.failure or self.true.failure
            if broken:
                return broken
            self.compared = found = self.comparison.result()
            self.cache.put({"psnr": found.psnr, "ssim": found.ssim}, {}, "pixels", self.digest, self.true.digest)
        return self.compared


class VideoObserver:
    """Takes the frames of a video one by one; holds landmarks and a few numbers of each, no picture but the last."""

    def __init__(self, with_face: bool) -> None:
        self.detector = LandmarkDetector() if with_face else None
        self.embedder = installed_embedder() if with_face else None
        self.embeddings: list[np.ndarray] = []
        self.landmarks: list[np.ndarray] = []
        self.sharpness: list[float] = []
        self.colour: list[np.ndarray] = []
        self.size = (0, 0)
        self.last: np.ndarray | None = None
        self.stir = np.zeros((GRID, GRID))

    def add(self, frame: np.ndarray) -> None:
        """The next frame (H, W, 3) uint8."""
        self.size = frame.shape[:2]
        if self.detector is not None:
            self._look(frame, self.detector)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        self.sharpness.append(sharpness(grey))
        self.colour.append(frame.reshape(-1, 3).mean(axis=0))
        if self.last is not None:
            self.stir += cv2.resize(
                cv2.absdiff(grey, self.last).astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA
            )
        self.last = grey

    def facts(self, path: Path, digest: str) -> VideoFacts:
        """What was found, after the last frame."""
        n_frames = len(self.sharpness)
        face, sound, offset = self._face(path.name), _sound(path), None
        if isinstance(sound, np.ndarray) and isinstance(face, FaceFacts):
            found = estimate_audio_offset(face.lip_gap, sound, FPS)
            offset = found.seconds if found.certain else None
        return VideoFacts(
            name=path.name,
            sha256=digest,
            size=self.size,
            sharpness=np.array(self.sharpness),
            colour=np.stack(self.colour),
            stir=self.stir / max(n_frames - 1, 1),
            loudness=sound if isinstance(sound, str) else loudness(sound, n_frames),
            sound_offset=offset,
            face=face,
            embedding=np.mean(self.embeddings, axis=0) if self.embeddings else None,
        )

    def _look(self, frame: np.ndarray, detector: LandmarkDetector) -> None:
        found = detect_enlarged(detector, frame)
        landmarks = np.full((N_LANDMARKS, 3), np.nan, np.float32) if found is None else found
        if self.embedder is not None and len(self.landmarks) % EVERY == 0 and found is not None:
            self.embeddings.append(self.embedder.embed(frame, landmarks))
        self.landmarks.append(landmarks)

    def _face(self, name: str) -> FaceFacts | str:
        if self.detector is None:
            return NO_FACE_ASKED
        self.detector.close()
        try:
            return FaceFacts.of_track(np.stack(self.landmarks), name)
        except InputError as error:
            return str(error).removeprefix(f"{name}: ")


def sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian of a grey picture (H, W) uint8."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def detect_enlarged(detector: LandmarkDetector, frame: np.ndarray) -> np.ndarray | None:
    """Landmarks (478, 3) of a frame in its pixels, which is shown enlarged if it is small; None without a face."""
    scale = max(1, LEAST_SIDE // min(frame.shape[:2]))
    enlarged = frame
    if scale > 1:
        enlarged = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    found = detector.detect(enlarged)
    return None if found is None else found / np.float32(scale)


def _sound(path: Path) -> np.ndarray | str:
    """The sound of a video (samples,), or in words why there is none to hear."""
    try:
        sound = read_audio_or_none(path)
    except InputError as error:
        return f"its sound cannot be read ({str(error).removeprefix(f'{path}: ')})"
    if sound is None:
        return "has no sound"
    return "its sound is silent" if is_silent(sound) else sound


def _keep_facts(cache: MeasurementCache, facts: VideoFacts, with_face: bool) -> None:
    arrays = {name: getattr(facts, name) for name in ("sharpness", "colour", "stir")}
    arrays["size"] = np.array(facts.size)
    texts = {}
    if isinstance(facts.loudness, str):
        texts["sound"] = facts.loudness
    else:
        arrays["loudness"] = facts.loudness
    if facts.sound_offset is not None:
        arrays["sound_offset"] = np.array([facts.sound_offset])
    if isinstance(facts.face, str):
        texts["face"] = facts.face
    else:
        arrays |= {"landmarks": facts.face.landmarks, "found": facts.face.found}
        arrays |= {f"fit.{name}": getattr(facts.face.fit, name) for name in FIT}
    if facts.embedding is not None:
        arrays["embedding"] = facts.embedding
    cache.put(arrays, texts, *_key(facts.sha256, with_face))


def _known_facts(cache: MeasurementCache, digest: str, name: str, with_face: bool) -> VideoFacts | None:
    found = None if with_face else cache.get(*_key(digest, with_face=False))
    found = found or cache.get(*_key(digest, with_face=True))  # which knows the pixels too
    if found is None:
        return None
    arrays, texts = found
    face: FaceFacts | str
    if "face" in texts:
        face = texts["face"]
    else:
        face = FaceFacts(arrays["landmarks"], arrays["found"], FaceFit(**{part: arrays[f"fit.{part}"] for part in FIT}))
    height, width = arrays["size"].tolist()
    return VideoFacts(
        name=name,
        sha256=digest,
        size=(height, width),
        sharpness=arrays["sharpness"],
        colour=arrays["colour"],
        stir=arrays["stir"],
        loudness=texts["sound"] if "sound" in texts else arrays["loudness"],
        sound_offset=float(arrays["sound_offset"][0]) if "sound_offset" in arrays else None,
        face=face,
        embedding=arrays.get("embedding"),
    )


def _key(digest: str, with_face: bool) -> tuple[str, ...]:
    """Under which the facts of a file are kept; faces embedded by another network, or by none, are not those of now."""
    if not with_face:
        return "pixels of video", digest
    return "video", digest, embedding_weights()
