"""How much the samples of one style differ: the promise of a probabilistic style prior (paper Sec. 3.1)."""

import numpy as np

from svp.evaluation.facts import Unmeasurable
from svp.evaluation.metric import About, Metric, Pair


def measure(pair: Pair) -> float:
    """Mean absolute difference of beta to the other samples of the same input.

    Raises:
        Unmeasurable: there is no other.
    """
    if not pair.siblings:
        raise Unmeasurable("no other sample: name them X.sample0.mp4, X.sample1.mp4, ...")
    own = pair.video.seen_face.fit.expression
    differences = []
    for sibling in pair.siblings:
        other = sibling.seen_face.fit.expression
        shared = min(len(own), len(other))
        differences.append(float(np.abs(own[:shared] - other[:shared]).mean()))
    return float(np.mean(differences))


DIVERSITY = Metric(
    About(
        "diversity", "difference between samples of s", "ARKit weight", "higher", "face",
        "mean absolute difference of the 52 units between videos of one input (X.sample0.mp4, X.sample1.mp4, ...)",
        "Noise is diverse too: read it beside the lip correlation. The noise of the diffusion is in it "
        "unless the videos share their seed.",
    ),
    measure,
)  # fmt: skip
