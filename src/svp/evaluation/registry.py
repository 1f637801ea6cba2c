"""All metrics, in the order in which a report shows them, and those that lack what they need."""

from typing import Final

from svp.errors import InputError
from svp.evaluation.beta_error import BETA_ERROR
from svp.evaluation.diversity import DIVERSITY
from svp.evaluation.drift import DRIFT_COLOUR, DRIFT_IDENTITY, DRIFT_SHARPNESS
from svp.evaluation.embedding import HOW_TO_GET, weights_file
from svp.evaluation.emotion import EMOTION_ACCURACY
from svp.evaluation.eyes import BLINK_ERROR, BLINK_RATE, GAZE_ERROR
from svp.evaluation.flicker import FLICKER
from svp.evaluation.frechet import FRECHET_EXPRESSION
from svp.evaluation.head_error import HEAD_KPS_ERROR, HEAD_POSE
from svp.evaluation.identity import IDENTITY_SHAPE
from svp.evaluation.identity_embedding import IDENTITY_EMBEDDING
from svp.evaluation.landmark_distance import F_LMD, F_LMD_PUPILS, M_LMD, M_LMD_PUPILS
from svp.evaluation.lip_sync import LIP_CORRELATION, LIP_LAG, LIP_SOUND, SOUND_LEAD
from svp.evaluation.metric import AnyMetric
from svp.evaluation.psnr import PSNR
from svp.evaluation.ssim import SSIM
from svp.evaluation.style_similarity import STYLE_SIM_PRIOR

METRICS: Final[tuple[AnyMetric, ...]] = (
    PSNR,
    SSIM,
    F_LMD,
    M_LMD,
    F_LMD_PUPILS,
    M_LMD_PUPILS,
    BETA_ERROR,
    LIP_CORRELATION,
    LIP_LAG,
    LIP_SOUND,
    SOUND_LEAD,
    HEAD_POSE,
    HEAD_KPS_ERROR,
    BLINK_RATE,
    BLINK_ERROR,
    GAZE_ERROR,
    IDENTITY_SHAPE,
    IDENTITY_EMBEDDING,
    FLICKER,
    DRIFT_IDENTITY,
    DRIFT_SHARPNESS,
    DRIFT_COLOUR,
    DIVERSITY,
    STYLE_SIM_PRIOR,
    EMOTION_ACCURACY,
    FRECHET_EXPRESSION,
)
NOT_IN_THIS_VERSION = "this version cannot read them yet (docs/paper-map.md)"
NOT_YET: Final[dict[str, tuple[str, str]]] = {  # see absent_metrics
    "fid": ("FID", f"needs Inception's weights; {NOT_IN_THIS_VERSION}"),
    "fvd": ("FVD", f"needs I3D's weights; {NOT_IN_THIS_VERSION}"),
    "syncnet": ("SyncNet offset and confidence", f"needs `syncnet_v2.model`; {NOT_IN_THIS_VERSION}"),
    "style_sim": ("StyleSim", f"needs StyleTalk's style encoder and Deep3DFaceRecon; {NOT_IN_THIS_VERSION}"),
}


def absent_metrics() -> dict[str, tuple[str, str]]:
    """Metrics that cannot be measured here: by name their title, and why and how to get what they need."""
    missing = {} if weights_file() is not None else {IDENTITY_EMBEDDING: HOW_TO_GET}
    return NOT_YET | {metric.about.name: (metric.about.title, reason) for metric, reason in missing.items()}


def choose(names: list[str]) -> list[AnyMetric]:
    """The metrics of these names, for none all that can be measured here.

    Raises:
        InputError: there is no such metric, or it cannot be measured here.
    """
    known, absent = {metric.about.name: metric for metric in METRICS}, absent_metrics()
    for name in names:
        if name in absent:
            raise InputError(f"--metrics {name}: {absent[name][1]}")
        if name not in known:
            raise InputError(f"--metrics {name}: no such metric; there are {', '.join(known)}")
    return [metric for name, metric in known.items() if (name in names if names else name not in absent)]
