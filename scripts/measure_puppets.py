"""Measured truth of puppets: does the landmark detector see what they were told to show?

usage: measure_puppets.py DATASET PORTRAITS_DIR [--clips 60] [--portraits 12] [-o REPORT.json]

DATASET is made by `svp puppet`, best with --size 256, PORTRAITS_DIR holds portraits. Reported are
  faces found       share of the frames of clips, spread evenly over DATASET, in which the detector finds a face
  landmarks         median distance of its landmarks from the true ones there, per distance between the pupils
  units             for the 15 units, left and right counted as one, that move the landmarks of DATASET most in the
                    picture (spread of true beta x size of the unit, without depth), mean over both sides:
    one at a time     correlation of true and fitted beta while a puppet shows that unit alone at five strengths, with
                      the head turned a little: what the pictures show; mean over the portraits
    in performances   the same over all frames of an identity in DATASET, whose clips are fitted together; mean over
                      the identities: also what the fit can tell apart when many units act at once
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from svp.datasets.corpus import load_puppet
from svp.datasets.corpus_plan import PICTURES
from svp.datasets.prepared import PreparedDataset
from svp.datasets.visemes import expand
from svp.errors import InputError
from svp.face.fit import fit_clip
from svp.face.landmarks import LandmarkDetector, track_landmarks
from svp.face.model import FaceModel
from svp.face.pose import rotation_from_angles
from svp.face.topology import N_SURFACE

STRONGEST = 15
SIZE = 256
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
TURN = np.radians(4.0)  # spread of yaw, pitch and roll while one unit is shown
STILL = 0.03  # a unit that varies less than this in an identity says nothing about the fit


def measure_clips(dataset: PreparedDataset, clips: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """What is seen in clips of a dataset: a report, the spread of each true unit (E,) and its correlation (E,).

    Raises:
        InputError: the dataset has no clips, its expressions are not the face model's, or no face is seen.
    """
    model, rows = FaceModel.load(), dataset.accepted()
    if not rows or dataset.expression_encoder != model.encoder_id or dataset.options.get("maker") != "puppet":
        raise InputError(f"{dataset.root}: no clips of puppets in it; make some with `svp puppet`")
    names = sorted({row.identity for row in rows})
    of_each = max(1, len(rows) // len(names))
    spread = np.unique(np.linspace(0, len(names) - 1, max(1, min(clips // of_each, len(names)))).round().astype(int))
    chosen = [names[k] for k in spread]
    found = n_frames = 0
    errors, true, fitted = [], [], []
    for name in chosen:
        of_person = [dataset.clip(row.clip_id) for row in rows if row.identity == name]
        track = np.concatenate([track_landmarks(clip.iter_frames()) for clip in of_person])
        landmarks = np.concatenate([clip.features("landmarks") for clip in of_person])
        expression = np.concatenate([clip.features("expression") for clip in of_person])
        seen = np.isfinite(track).all(axis=(1, 2))
        found, n_frames = found + int(seen.sum()), n_frames + len(track)
        if not seen.any():
            continue
        pupils = np.linalg.norm(landmarks[:, 468, :2] - landmarks[:, 473, :2], axis=1)
        errors.append((np.linalg.norm(track[..., :2] - landmarks[..., :2], axis=2).mean(axis=1) / pupils)[seen])
        true.append(expression[seen])
        fitted.append(fit_clip(track[seen], model).expression)
    if not true:
        raise InputError(f"{dataset.root}: no face found in any clip; look at it with `svp sheet`")
    units = range(len(model.unit_names))
    report = {
        "dataset": dataset.root.name,
        "size": dataset.size,
        "identities": len(chosen),
        "frames": n_frames,
        "faces found": round(found / n_frames, 4),
        "landmarks": round(float(np.median(np.concatenate(errors))), 4),
    }
    agreement = [
        np.mean(
            [correlation(a[:, k], b[:, k]) for a, b in zip(true, fitted, strict=True) if a[:, k].std() > STILL]
            or [np.nan]
        )
        for k in units
    ]
    return report, np.concatenate(true).std(axis=0), np.array(agreement)


def measure_units(portraits: list[Path], units: list[str]) -> tuple[dict[str, Any], dict[str, float]]:
    """Puppets show one unit at a time, on both sides: a report, and the mean correlation of each unit."""
    model, rng = FaceModel.load(), np.random.default_rng(0)
    agreement: dict[str, list[float]] = defaultdict(list)
    asked = found = used = 0
    with LandmarkDetector(static=True) as detector:
        for portrait in portraits:
            try:
                puppet = load_puppet(portrait, SIZE)
            except InputError as error:
                print(error, file=sys.stderr)
                continue
            shown, landmarks, used = [], [], used + 1
            for unit in units:
                turn = rotation_from_angles(rng.normal(0, TURN, 3))
                for strength in STRENGTHS:
                    seen = detector.detect(puppet.render(expand({unit: strength}, model.unit_names), turn))
                    asked += 1
                    if seen is not None:
                        shown.append((unit, strength))
                        landmarks.append(seen)
            found += len(shown)
            if not shown:
                continue
            fitted = fit_clip(np.stack(landmarks), model).expression
            for unit in units:
                frames = [k for k, (which, _) in enumerate(shown) if which == unit]
                strengths = np.array([shown[k][1] for k in frames])
                for side in sides(unit, model):
                    agreement[unit].append(correlation(strengths, fitted[frames, side]) if len(frames) > 2 else 0.0)
    if not used:
        raise InputError("none of the portraits can be used; give a folder of portraits")
    report = {"portraits": used, "frames": asked, "faces found": round(found / asked, 4)}
    return report, {unit: float(np.mean(agreement[unit])) for unit in units}


def sides(unit: str, model: FaceModel) -> list[int]:
    """Numbers of a unit that is named without its side."""
    return np.flatnonzero(expand({unit: 1.0}, model.unit_names)).tolist()


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two tracks (N,); 0 where one of them stands still."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--portraits", type=int, default=12)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    model = FaceModel.load()
    try:
        pictures = sorted(path for path in options.faces.glob("*") if path.suffix.lower() in PICTURES)
        if not pictures:
            raise InputError(f"{options.faces}: no picture in it; give a folder of portraits")
        spread = np.linspace(0, len(pictures) - 1, min(options.portraits, len(pictures))).round().astype(int)
        clips, moved, performed = measure_clips(PreparedDataset(options.dataset), options.clips)
        size = np.sqrt((model.expression[:, :N_SURFACE, :2] ** 2).sum(axis=(1, 2)))
        names = {name.removesuffix("Left").removesuffix("Right") for name in model.unit_names} - {"jaw", "mouth"}
        names |= {"jawLeft", "jawRight", "mouthLeft", "mouthRight"}  # directions, not sides
        strongest = sorted(names, key=lambda name: -(moved * size)[sides(name, model)].mean())[:STRONGEST]
        alone, shown = measure_units([pictures[k] for k in np.unique(spread)], strongest)
    except InputError as error:
        print(f"measure_puppets.py: {error}", file=sys.stderr)
        return 2
    units = {
        unit: {
            "one at a time": round(shown[unit], 2),
            "in performances": round(float(np.mean(performed[sides(unit, model)])), 2),
        }
        for unit in strongest
    }
    text = json.dumps({"clips": clips, "one at a time": alone, "units": units}, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
