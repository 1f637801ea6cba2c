"""`svp motions`: the clips of a prepared dataset become a motion library."""

from pathlib import Path

from svp.datasets.clip import Clip
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.face.fit import fit_clip
from svp.face.model import FaceModel
from svp.face.motion import HeadMotion
from svp.face.motion_library import MIN_FRAMES, MotionLibrary, MotionTrack
from svp.media.video import FPS
from svp.speech.loudness import loudness


def measure_motions(dataset: PreparedDataset, licence: str) -> MotionLibrary:
    """The motion of all clips that have sound and are long enough.

    Args:
        dataset: clips of people speaking, whose sound and lips agree in time.
        licence: under which the clips may be used; written down for each.

    Raises:
        InputError: no clip can be used, or the expressions are not the face model's.
    """
    own = FaceModel.load().encoder_id
    if dataset.expression_encoder != own:
        raise InputError(
            f"{dataset.root}: expressions are {dataset.expression_encoder}, a motion library needs {own}; "
            "prepare the clips again"
        )
    rows = [row for row in dataset.accepted() if row.has_sound and row.frames >= MIN_FRAMES]
    if not rows:
        raise InputError(
            f"{dataset.root}: no clip with sound of at least {MIN_FRAMES / FPS:g} s; prepare clips of people speaking"
        )
    return MotionLibrary(tuple(_measure(dataset.clip(row.clip_id), licence) for row in rows), own)


def _measure(clip: Clip, licence: str) -> MotionTrack:
    return MotionTrack.measured(
        HeadMotion.from_fit(fit_clip(clip.features("landmarks"))),
        clip.features("expression"),
        loudness(clip.audio(), len(clip)),
        name=clip.row.clip_id,
        source=Path(clip.row.source).name,
        licence=licence,
    )
