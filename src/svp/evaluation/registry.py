"""All metrics, in the order in which a report shows them, and those that lack what they need."""

from pathlib import Path
from typing import Final

from svp.errors import InputError
from svp.evaluation.beta_error import BETA_ERROR
from svp.evaluation.diversity import DIVERSITY
from svp.evaluation.drift import DRIFT_COLOUR, DRIFT_IDENTITY, DRIFT_SHARPNESS
from svp.evaluation.embedding import HOW_TO_GET, weights_file
from svp.evaluation.emotion import EMOTION_ACCURACY
from svp.evaluation.eyes import BLINK_ERROR, BLINK_RATE, GAZE_ERROR
from svp.evaluation.fid import FID
from svp.evaluation.flicker import FLICKER
from svp.evaluation.frechet import FRECHET_EXPRESSION
from svp.evaluation.fvd import FVD
from svp.evaluation.head_error import HEAD_KPS_ERROR, HEAD_POSE
from svp.evaluation.identity import IDENTITY_SHAPE
from svp.evaluation.identity_embedding import IDENTITY_EMBEDDING
from svp.evaluation.landmark_distance import F_LMD, F_LMD_PUPILS, M_LMD, M_LMD_PUPILS
from svp.evaluation.lip_sync import LIP_CORRELATION, LIP_LAG, LIP_SOUND, SOUND_LEAD
from svp.evaluation.metric import AnyMetric
from svp.evaluation.networks import NEEDED, ImportedNetworks
from svp.evaluation.psnr import PSNR
from svp.evaluation.ssim import SSIM
from svp.evaluation.style_sim import STYLE_SIM
from svp.evaluation.style_similarity import STYLE_SIM_PRIOR
from svp.evaluation.sync_network import SYNC_CONFIDENCE, SYNC_DISTANCE, SYNC_OFFSET

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
    FID,
    FVD,
    SYNC_OFFSET,
    SYNC_DISTANCE,
    SYNC_CONFIDENCE,
    STYLE_SIM,
)


def absent_metrics(weights: Path | None = None) -> dict[str, tuple[str, str]]:
    """Metrics that cannot be measured here: by name their title, and why and how to get what they need.

    Args:
        weights: folder of imported networks, see `networks.py`.

    Raises:
        InputError: the record of that folder is damaged.
    """
    imported = ImportedNetworks(weights)
    reasons = {uses: imported.how_to_get(uses) for uses in NEEDED}
    reasons["embedding"] = HOW_TO_GET if weights_file() is None else ""
    found = {metric.about.name: (metric.about.title, reasons.get(metric.about.uses, "")) for metric in METRICS}
    return {name: (title, reason) for name, (title, reason) in found.items() if reason}


def choose(names: list[str], weights: Path | None = None) -> list[AnyMetric]:
    """The metrics of these names, for none all that can be measured here.

    Args:
        weights: folder of imported networks.

    Raises:
        InputError: there is no such metric, or it cannot be measured here.
    """
    known, absent = {metric.about.name: metric for metric in METRICS}, absent_metrics(weights)
    for name in names:
        if name in absent:
            raise InputError(f"--metrics {name}: {absent[name][1]}")
        if name not in known:
            raise InputError(f"--metrics {name}: no such metric; there are {', '.join(known)}")
    return [metric for name, metric in known.items() if (name in names if names else name not in absent)]
