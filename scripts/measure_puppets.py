"""Measured truth of a puppet corpus: does the landmark detector see what the puppets were told to show?

usage: measure_puppets.py DATASET [--clips 60] [--strongest 15] [-o REPORT.json]

DATASET is made by `svp puppet`, best with --size 256. In clips spread evenly over it, faces are detected as in any clip
and beta is fitted as for real clips. Printed and reported:
  faces found   share of all frames in which the detector finds a face
  landmarks     median distance of the found landmarks from the true ones, per distance between the pupils
  units         for the units whose true beta varies most: the Pearson correlation of fitted and true beta within a
                clip, averaged over the clips in which the unit varies, and that over all frames of all clips together
                (which also counts what the fit takes for expression in a face at rest)
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.face.fit import fit_clip
from svp.face.landmarks import require_track, track_landmarks
from svp.face.model import FaceModel

STILL = 0.02  # a unit that varies less than this within a clip says nothing about the fit


def measure(dataset: PreparedDataset, clips: int, strongest: int) -> dict[str, Any]:
    """The report of the module's docstring, as JSON values.

    Raises:
        InputError: the dataset has no clips, or its expressions are not the face model's.
    """
    model, rows = FaceModel.load(), dataset.accepted()
    if not rows or dataset.expression_encoder != model.encoder_id or dataset.options.get("maker") != "puppet":
        raise InputError(f"{dataset.root}: no clips of puppets in it; make some with `svp puppet`")
    spread = np.unique(np.linspace(0, len(rows) - 1, min(clips, len(rows))).round().astype(int))
    found = n_frames = 0
    errors, true, fitted = [], [], []
    for row in (rows[k] for k in spread):
        clip = dataset.clip(row.clip_id)
        track = track_landmarks(clip.iter_frames())
        seen = np.isfinite(track).all(axis=(1, 2))
        found, n_frames = found + int(seen.sum()), n_frames + len(track)
        if seen.mean() < 0.5:
            continue
        landmarks = clip.features("landmarks")
        pupils = np.linalg.norm(landmarks[:, 468, :2] - landmarks[:, 473, :2], axis=1)
        distance = np.linalg.norm(track[..., :2] - landmarks[..., :2], axis=2).mean(axis=1) / pupils
        errors.append(distance[seen])
        fit = fit_clip(require_track(track, row.clip_id), model)
        true.append(clip.features("expression")[seen])
        fitted.append(fit.expression[seen])
    if not true:
        raise InputError(f"{dataset.root}: no face found in any clip; look at it with `svp sheet`")
    every_true, every_fitted = np.concatenate(true), np.concatenate(fitted)
    order = np.argsort(-every_true.std(axis=0))[:strongest]
    units = {}
    for k in order.tolist():
        within = [correlation(a[:, k], b[:, k]) for a, b in zip(true, fitted, strict=True) if a[:, k].std() > STILL]
        units[model.unit_names[k]] = {
            "spread": round(float(every_true[:, k].std()), 3),
            "within clips": round(float(np.mean(within)), 3),
            "all frames": round(correlation(every_true[:, k], every_fitted[:, k]), 3),
        }
    return {
        "dataset": dataset.root.name,
        "size": dataset.size,
        "clips": len(spread),
        "frames": n_frames,
        "faces found": round(found / n_frames, 4),
        "landmarks": round(float(np.median(np.concatenate(errors))), 4),
        "units": units,
    }


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two tracks (N,); 0 where one of them stands still."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--strongest", type=int, default=15)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    try:
        report = measure(PreparedDataset(options.dataset), options.clips, options.strongest)
    except InputError as error:
        print(f"measure_puppets.py: {error}", file=sys.stderr)
        return 2
    text = json.dumps(report, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
