"""Whether it is the same person: distance of face embeddings."""

import numpy as np

from svp.evaluation.embedding import SAME_PERSON
from svp.evaluation.metric import About, Metric, Pair


def measure(pair: Pair) -> float:
    """Distance of the mean embeddings of video and truth."""
    return float(np.linalg.norm(pair.video.known_embedding - pair.true.known_embedding))


IDENTITY_EMBEDDING = Metric(
    About(
        "identity_embedding", "distance of the face embedding", "", "lower", "embedding",
        "Euclidean distance of dlib's face descriptors (ResNet v1), mean over one frame in four seconds; "
        f"dlib takes two pictures closer than {SAME_PERSON} for one person",
        "Expression moves it too: a puppet of one person with another emotion came as far as another person of "
        "the same age and sex (0.5). Soft pictures lie nearer to each other, whoever is shown: compare systems.",
    ),
    measure,
)  # fmt: skip
