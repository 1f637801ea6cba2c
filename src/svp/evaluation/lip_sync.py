"""Whether the lips open when they should: against the true clip, and against the sound.

Shapes: n frames that both videos have.
"""

from typing import Final

import numpy as np

from svp.evaluation.facts import Unmeasurable
from svp.evaluation.metric import About, Metric, Pair
from svp.media.video import FPS

MAX_LAG: Final = 10  # frames
LEAST_FRAMES: Final = 10


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation over the frames that both know (n,).

    Raises:
        Unmeasurable: there are fewer than ten of them, or one of the two never changes.
    """
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < LEAST_FRAMES:
        raise Unmeasurable(f"fewer than {LEAST_FRAMES} frames show a mouth")
    a, b = a[known], b[known]
    if min(a.std(), b.std()) < 1e-9:
        raise Unmeasurable("the mouth, or the sound, never changes")
    return float(np.corrcoef(a, b)[0, 1])


def gaps(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Lip gap of video and truth, (n,) each."""
    given, true = (video.seen_face.lip_gap[: pair.shared_frames] for video in (pair.video, pair.true))
    return given, true


def against_truth(pair: Pair) -> float:
    return correlation(*gaps(pair))


def lag(pair: Pair) -> float:
    """Frames by which the mouth is late against the true one (early: negative), where their correlation is highest.

    Raises:
        Unmeasurable: the clip is too short, or the mouth does not follow the true one at any lag.
    """
    given, true = gaps(pair)
    if len(given) < 4 * MAX_LAG:
        raise Unmeasurable(f"shorter than {4 * MAX_LAG} frames")
    inner = slice(MAX_LAG, len(given) - MAX_LAG)
    lags = range(-MAX_LAG, MAX_LAG + 1)
    scores = [correlation(given[MAX_LAG + k : len(given) - MAX_LAG + k], true[inner]) for k in lags]
    best = int(np.argmax(scores))
    if scores[best] <= 0:
        raise Unmeasurable("the mouth follows the true one at no lag")
    return float(lags[best])


def against_sound(pair: Pair) -> float:
    video = pair.video
    return correlation(video.seen_face.lip_gap, video.heard)


def sound_lead(pair: Pair) -> float:
    """Frames by which the video's own sound comes before its mouth (after: negative).

    Raises:
        Unmeasurable: the clip has no sound, is shorter than two seconds, or mouth and sound agree at no offset.
    """
    pair.video.heard  # noqa: B018 - tells a video without sound from an unclear one
    if pair.video.sound_offset is None:
        raise Unmeasurable("too short or not clear enough to tell where the sound belongs")
    return pair.video.sound_offset * FPS


LIP_CORRELATION = Metric(
    About(
        "lip_correlation", "lip gap, correlation with the truth", "", "higher", "face",
        "Pearson correlation of the gap between the inner lips (face/mouth.py) over the frames",
        "Says nothing of amplitude or of the shape of the lips. A sentence can be spoken in many ways: "
        "1 is not to be had by a system that is given only the sound.",
    ),
    against_truth,
    framewise=True,
)  # fmt: skip
LIP_LAG = Metric(
    About(
        "lip_lag", "lag of the mouth", "frames at 25 fps", "near zero", "face",
        "lag within ±10 frames at which the lip gaps of video and truth correlate most; positive: the video is late",
        "A mouth that hardly follows the true one has a lag by chance: read it beside the correlation.",
    ),
    lag,
    framewise=True,
)  # fmt: skip
LIP_SOUND = Metric(
    About(
        "lip_sound", "lip gap, correlation with the loudness", "", "near the truth's", "face",
        "Pearson correlation of the lip gap with the loudness of the video's own sound (speech/loudness.py)",
        "Needs no truth and proves little: real mouths follow the loudness loosely, a mouth that only follows the "
        "loudness scores higher than a real one.",
    ),
    against_sound,
)  # fmt: skip
SOUND_LEAD = Metric(
    About(
        "sound_lead", "lead of the sound", "frames at 25 fps", "near zero", "face",
        "where a fixed linear prediction of the lip gap from the energy of the sound in bands fits best "
        "(datasets/audio_offset.py); positive: the sound comes before the mouth",
        "No SyncNet: it hears loudness and timbre, not phones. Says nothing where it is not certain: read the number "
        "of clips.",
    ),
    sound_lead,
)  # fmt: skip
