"""StyleSim-prior: whether the style learned from the video is that of the true one, by our own style encoder."""

from torch.nn import functional as F

from svp.evaluation.metric import About, Metric, Pair
from svp.style.prior import StylePrior


def similarity(style: StylePrior, other: StylePrior) -> float:
    """Cosine of the mean codes, seen from the neutral one."""
    return float(F.cosine_similarity(style.mean - style.neutral, other.mean - other.neutral, dim=0))


def measure(pair: Pair) -> float:
    return similarity(pair.video.learned_style, pair.true.learned_style)


STYLE_SIM_PRIOR = Metric(
    About(
        "style_sim_prior", "StyleSim-prior", "", "higher", "style",
        "cosine of the mean style codes of video and truth by the model's style encoder, relative to its neutral code",
        "Not the paper's StyleSim, which uses StyleTalk's encoder and is not relative to anything: figures do not "
        "compare. A system trained with this encoder is at an advantage. Head and sound features are in the code.",
    ),
    measure,
)  # fmt: skip
