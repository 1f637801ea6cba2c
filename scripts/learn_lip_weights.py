"""Learn what `svp.datasets.audio_offset` predicts the lips from: python scripts/learn_lip_weights.py CLIP...

The clips should have tens of seconds of clear speech each; by how much their sound is early or late need not be known.
Printed are that of each and LIP_WEIGHTS. The shipped ones are of `Obama_clip1.mp4` and `Obama_clip2.mp4`, see
src/svp/assets/LICENCES.md.

Shapes: N frames, M bands.
"""

import argparse
from pathlib import Path

import numpy as np

from svp.datasets.audio_offset import MAX_LAG, NATURAL_LEAD, lip_movement, standard_bands
from svp.face.landmarks import track_landmarks
from svp.face.mouth import lip_gap
from svp.media.audio import read_audio
from svp.media.video import FPS, read_frames

RIDGE = 0.1


def fit(bands_NM: np.ndarray, gap_N: np.ndarray) -> np.ndarray:
    """Weights (M,) of the bands in a linear prediction of the lips."""
    covariance_MM = bands_NM.T @ bands_NM / len(bands_NM) + RIDGE * np.eye(bands_NM.shape[1])
    return np.asarray(np.linalg.solve(covariance_MM, bands_NM.T @ gap_N / len(gap_N)))


def in_step(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Bands (N,M) and lips (N,) of a clip, moved to where the lips follow best from the bands."""
    gap_N = lip_movement(lip_gap(track_landmarks(read_frames(path))), FPS)
    bands_NM = standard_bands(read_audio(path), len(gap_N), FPS)
    gap_N /= gap_N.std()
    inner = np.arange(MAX_LAG, len(gap_N) - MAX_LAG)
    lags = range(-MAX_LAG, MAX_LAG + 1)
    errors = [np.square(bands_NM[inner + k] @ fit(bands_NM[inner + k], gap_N[inner]) - gap_N[inner]) for k in lags]
    best = lags[int(np.argmin([error.mean() for error in errors]))]
    print(f"{path.name}: sound is {best / FPS - NATURAL_LEAD:.2f} s late")
    return bands_NM[inner + best], gap_N[inner]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path)
    bands, gaps = zip(*map(in_step, parser.parse_args().clips), strict=True)
    print(
        f"LIP_WEIGHTS = ({', '.join(f'{weight:.4f}' for weight in fit(np.concatenate(bands), np.concatenate(gaps)))})"
    )


if __name__ == "__main__":
    main()
