"""Whether what should be still is still: change from frame to frame where the true video does not change."""

from typing import Final

from svp.evaluation.facts import Unmeasurable
from svp.evaluation.metric import About, Metric, Pair
from svp.evaluation.pixels import same_aspect

STILL: Final = 1.0  # grey levels per frame: what changes less in the true video counts as still
LEAST_SHARE: Final = 0.02  # of the picture


def measure(pair: Pair) -> float:
    """Mean change per frame of the generated video, in grey levels of 255, where the true one is still.

    Raises:
        Unmeasurable: nothing in the true video is still, or the two cannot be laid over each other.
    """
    if not same_aspect(pair.video.size, pair.true.size):
        raise Unmeasurable("video and reference have different aspect ratios: crop both alike")
    still = pair.true.stir < STILL
    if still.mean() < LEAST_SHARE:
        raise Unmeasurable("nothing in the reference is still")
    return float(pair.video.stir[still].mean())


FLICKER = Metric(
    About(
        "flicker", "flicker where the truth is still", "grey levels per frame", "lower", "pixels",
        "mean absolute change from frame to frame, on a grid of 64 x 64, where the true video changes by less than one "
        "of 255 grey levels",
        "Compression noise is in it, in both videos: compare with the truth's own. A frozen picture scores 0.",
    ),
    measure,
)  # fmt: skip
