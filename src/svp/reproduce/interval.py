"""A figure with its interval: over models trained with different seeds, or, of one model, over identities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t

from svp.evaluation.report import Part

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1000

Statistic = Callable[[np.ndarray], float]  # places of identities, some perhaps several times -> a figure, or NaN


class Figure(Part):
    """A figure; what is not known is None.

    Attributes:
        mean: over the models.
        low, high: 95 % interval.
        models: the figure of each model.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    models: tuple[float | None, ...] = ()


def method(models: int) -> str:
    """How the intervals of so many models come about, in words."""
    if models > 1:
        return f"mean of {models} models, 95 % interval by Student's t over them"
    return f"one model, 95 % interval by a bootstrap over the identities ({RESAMPLES} draws)"


def figure(statistics: Sequence[Statistic], identities: int, seed: int, *, resample: bool = True) -> Figure:
    """The figure of one or more models on the same identities.

    Args:
        statistics: one per model.
        identities: how many there are to draw from.
        seed: of the bootstrap.
        resample: False where a figure does not follow from identities drawn more than once; one model then has no
            interval.
    """
    everyone = np.arange(identities)
    values = np.array([statistic(everyone) for statistic in statistics])
    known = values[np.isfinite(values)]
    interval: tuple[float, float] | None = None
    if len(known) > 1:
        half = student_t.ppf((1 + CONFIDENCE) / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known))
        interval = known.mean() - half, known.mean() + half
    elif len(known) == len(values) == 1 and resample and identities > 1:
        interval = _bootstrap(statistics[0], identities, seed)
    return Figure(
        mean=_rounded(known.mean()) if len(known) else None,
        low=None if interval is None else _rounded(interval[0]),
        high=None if interval is None else _rounded(interval[1]),
        models=tuple(_rounded(value) for value in values),
    )


def ratio(values: ArrayLike, owners: ArrayLike, identities: int) -> Statistic:
    """The mean of values that belong to identities; those that are not finite do not count.

    Args:
        values: any number of them.
        owners: the place of each value's identity.
    """
    value, owner = np.asarray(values, np.float64), np.asarray(owners, int)
    known = np.isfinite(value)
    total = np.bincount(owner[known], value[known], minlength=identities)
    count = np.bincount(owner[known], minlength=identities)

    def statistic(drawn: np.ndarray) -> float:
        number = count[drawn].sum()
        return float(total[drawn].sum() / number) if number else math.nan

    return statistic


def of_clips(function: Callable[[np.ndarray], float], owners: ArrayLike, identities: int) -> Statistic:
    """A figure of the clips of the identities drawn; `function` is given the places of the clips."""
    owner = np.asarray(owners, int)
    clips = [np.flatnonzero(owner == place) for place in range(identities)]
    return lambda drawn: function(np.concatenate([clips[place] for place in drawn]))


def average(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of several figures, of those that are known."""

    def statistic(drawn: np.ndarray) -> float:
        values = np.array([each(drawn) for each in statistics])
        known = values[np.isfinite(values)]
        return float(known.mean()) if len(known) else math.nan

    return statistic


def _bootstrap(statistic: Statistic, identities: int, seed: int) -> tuple[float, float] | None:
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(identities, size=identities)) for _ in range(RESAMPLES)])
    known = values[np.isfinite(values)]
    if len(known) < 2 or np.ptp(known) == 0:  # nothing varies, or it hangs on a single identity
        return None
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _rounded(value: float) -> float | None:
    """Six digits, for a file that reads well; JSON has no NaN."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
