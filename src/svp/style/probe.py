"""How well a linear classifier reads the person or the emotion off a style code.

A style that names the person carries more than how somebody speaks; the paper's resampling (Eq. 4) is meant to prevent
that (Sec. 4.4). The probe is multinomial logistic regression on standardised codes (L2, C = 1), cross-validated.

Shapes: B clips, S codes of each (several samples of its Gaussian, or its mean alone), D channels of a code.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

FOLDS: Final = 5
MOST_ITERATIONS: Final = 1000
TOLERANCE: Final = 1e-3  # of the gradient; finer ones change no figure, but cost several times as much


def probe(codes: ArrayLike, labels: Sequence[str], folds: Sequence[int], recordings: Sequence[str]) -> np.ndarray:
    """Share of each clip's codes that are classified rightly by a probe that never saw the clip, nor its recording.

    Args:
        codes: (B, S, D).
        labels: of the B clips; what is to be read.
        folds: of the B clips; each fold is tested by a probe trained on the others.
        recordings: of the B clips; a clip whose recording is in the tested fold takes no part in the training.

    Returns:
        (B,) in [0, 1]; NaN where no clip is left to train with.

    Raises:
        ValueError: shapes do not fit.
    """
    codes_BSD = np.asarray(codes, np.float64)
    count = len(codes_BSD)
    if codes_BSD.ndim != 3 or {len(labels), len(folds), len(recordings)} != {count}:
        raise ValueError(f"expected codes (B, S, D) and B labels, folds and recordings, got {codes_BSD.shape}")
    names, fold_B, sound_B = np.asarray(labels), np.asarray(folds), np.asarray(recordings)
    right_B = np.full(count, np.nan)
    for fold in np.unique(fold_B):
        test_B = fold_B == fold
        train_B = ~test_B & ~np.isin(sound_B, sound_B[test_B])
        if train_B.any():
            predicted = _predict(codes_BSD[train_B], names[train_B], codes_BSD[test_B])
            right_B[test_B] = (predicted == names[test_B, None]).mean(axis=1)
    return right_B


def _predict(train_BSD: np.ndarray, labels_B: np.ndarray, test_BSD: np.ndarray) -> np.ndarray:
    """Labels (B, S) of the codes to be tested."""
    if len(np.unique(labels_B)) == 1:  # nothing to tell apart
        return np.full(test_BSD.shape[:2], labels_B[0])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_ITERATIONS, tol=TOLERANCE))
    with threadpool_limits(1), warnings.catch_warnings():  # small problems are no faster on more threads
        warnings.filterwarnings("ignore", "The number of unique classes")  # many people with few clips each are meant
        classifier.fit(train_BSD.reshape(-1, train_BSD.shape[-1]), labels_B.repeat(train_BSD.shape[1]))
        return classifier.predict(test_BSD.reshape(-1, test_BSD.shape[-1])).reshape(test_BSD.shape[:2])


def without_emotion(codes: ArrayLike, emotions: Sequence[str]) -> np.ndarray:
    """Codes (B, S, D) less the mean over all codes of their clip's emotion: what people do in spite of it."""
    codes_BSD, names = np.array(codes, np.float64), np.asarray(emotions)
    for emotion in np.unique(names):
        own = names == emotion
        codes_BSD[own] -= codes_BSD[own].mean(axis=(0, 1))
    return codes_BSD


def majority(labels: Sequence[str]) -> float:
    """What a probe reaches that always says the most frequent label; NaN without labels."""
    return max(Counter(labels).values()) / len(labels) if labels else float("nan")


def identity_folds(identities: Sequence[str], seed: int) -> list[int]:
    """Folds for reading emotions of unseen people: all clips of an identity are in one."""
    names = sorted(set(identities))
    order = np.random.default_rng(seed).permutation(len(names))
    place = {names[n]: int(k) % FOLDS for k, n in enumerate(order)}
    return [place[name] for name in identities]


def recording_folds(identities: Sequence[str], recordings: Sequence[str], seed: int) -> list[int]:
    """Folds for reading who it is: the recordings of every identity are dealt to them in turn.

    An identity needs two recordings to be recognised at all.
    """
    rng = np.random.default_rng(seed)
    place: dict[tuple[str, str], int] = {}
    for first, identity in enumerate(sorted(set(identities))):
        own = sorted({sound for name, sound in zip(identities, recordings, strict=True) if name == identity})
        place |= {(identity, own[n]): (first + k) % FOLDS for k, n in enumerate(rng.permutation(len(own)))}
    return [place[key] for key in zip(identities, recordings, strict=True)]
