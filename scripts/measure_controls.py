"""Whether each control of a model moves what it should, and nothing else.

usage: measure_controls.py MODEL PORTRAITS_DIR OUT_DIR [--audio A.wav B.wav] [--seconds 2] [--steps N] [--portraits 2]
                           [--guidance G] [--seed 0]

Every portrait (the first of the folder that show a face) speaks sound A with a still head and a straight gaze, in the
gallery's style `neutral`: the base. Then
  strength   the styles of INTENDED at nine strengths from 0 to 2, all else as in the base: the mean weight of the units
             that a style means to raise, its Spearman correlation with the strength (asked: 0.9), and the correlation
             of the lip gap with the loudness of the sound, which may fall by 0.1 at most from strength 0 and from 1;
  matrix     one control at a time is changed: sound B for A; the styles of INTENDED for neutral; strength 2 for 1 of
             these styles; the poses of the head motion `natural` for a still head, without its gaze and blinks; pupils
             moved to one side. Measured is how far each quantity of QUANTITIES is from the video with all else equal,
             and how far it is, as a unit of noise, between two seeds of the base. Figures are means over the portraits
             and styles. A control holds if of all quantities it moves its own most, in units of noise, and if no
             control that has another own quantity moves that one further.
All videos of a portrait are fitted as one clip: they show one person. Videos without a face are told and left out.

OUT_DIR gets controls.json, matrix.png, strength.png (curves), strength_PORTRAIT.png (frames), and the videos.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.stats import spearmanr

from control_shots import (
    CHANGES,
    INTENDED,
    NOISE,
    STRENGTHS,
    Change,
    Seen,
    Shot,
    at_strengths,
    fit_takes,
    make_takes,
)
from svp import SVPPipeline
from svp.datasets.visemes import expand
from svp.diffusion.portrait import Portrait
from svp.errors import InputError
from svp.evaluation.embedding import weights_file
from svp.evaluation.face_facts import FaceFacts
from svp.evaluation.facts import Unmeasurable
from svp.evaluation.head_error import mean_angle
from svp.evaluation.identity import shape_distance
from svp.evaluation.instruments import embedding_weights, face_weights, versions
from svp.evaluation.lip_sync import correlation
from svp.face.model import FaceModel
from svp.media.audio import SAMPLE_RATE, read_audio
from svp.media.image import contact_sheet, write_png
from svp.media.video import count_frames
from svp.speech.loudness import loudness
from svp.style.gallery import find_style

SPEECH: Final = Path(__file__).parents[1] / "samples" / "speech"
MIMIC: Final = (  # units that speech hardly moves
    *("mouthSmile", "mouthFrown", "cheekSquint", "noseSneer"),
    *("browDown", "browInnerUp", "browOuterUp", "eyeWide", "eyeSquint"),
)
MONOTONIC, MOST_DROP = 0.9, 0.1
EMBEDDED: Final = weights_file() is not None
QUANTITIES: Final = {  # what is measured, and the unit of its change
    "mouth": "1 - correlation of the lip gap",
    "expression": "mean change of a unit",
    "head": "degrees",
    "gaze": "degrees",
    "identity": "distance of the embedding" if EMBEDDED else "shape, % of the pupil distance",
}
OWN: Final = {
    "audio": "mouth",
    "style": "expression",
    "strength": "expression",
    "head motion": "head",
    "gaze": "gaze",
}


def known_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """`lip_sync.correlation`, NaN where that cannot be told."""
    try:
        return correlation(a, b)
    except Unmeasurable:
        return float("nan")


def mean_weight(face: FaceFacts, units: tuple[str, ...]) -> np.ndarray:
    """Mean weight over the frames of each of some units, both sides of a unit one by one."""
    chosen = expand(dict.fromkeys(units, 1.0), FaceModel.load().unit_names) > 0
    return np.asarray(face.fit.expression[:, chosen].mean(axis=0))


def identity_change(before: Seen, after: Seen) -> float:
    """Distance of the embeddings, NaN where one is missing; of the faces at rest where no network is installed."""
    if not EMBEDDED:
        return shape_distance(before.face.shape, after.face.shape)
    if before.embedding is None or after.embedding is None:
        return float("nan")
    return float(np.linalg.norm(before.embedding - after.embedding))


def change(before: Seen, after: Seen) -> dict[str, float]:
    """How far two videos are from each other in every quantity of QUANTITIES, over the whole track."""
    a, b = before.face, after.face
    return {
        "mouth": 1 - known_correlation(a.lip_gap, b.lip_gap),
        "expression": float(np.abs(mean_weight(a, MIMIC) - mean_weight(b, MIMIC)).mean()),
        "head": mean_angle(a.fit.rotation, b.fit.rotation),
        "gaze": float(np.linalg.norm(a.gaze - b.gaze, axis=1).mean()),
        "identity": identity_change(before, after),
    }


def known_mean(values: Iterable[float]) -> float:
    """Mean of the numbers that are known; NaN without any."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def mean_change(videos: list[dict[Shot, Seen]], changes: list[Change]) -> dict[str, float]:
    """Mean of each quantity over the portraits and changes of which both videos show a face."""
    found = [change(seen[a], seen[b]) for seen in videos for a, b in changes if a in seen and b in seen]
    return {quantity: known_mean(each[quantity] for each in found) for quantity in QUANTITIES}


def in_noise(raw: dict[str, float], noise: dict[str, float]) -> dict[str, float]:
    """Each change in units of that between two seeds; NaN where the seeds make none."""
    return {name: value / noise[name] if noise[name] > 0 else float("nan") for name, value in raw.items()}


def verdicts(ratios: dict[str, dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Per control (matrix in units of noise): whether it moves its own quantity most, seen along row and column."""
    found = {}
    for control, row in ratios.items():
        own = OWN[control]
        rivals = [ratios[other][own] for other in ratios if OWN[other] != own]
        most_of_row = bool(row[own] > max((v for q, v in row.items() if q != own and np.isfinite(v)), default=0.0))
        most_of_column = bool(row[own] > max((v for v in rivals if np.isfinite(v)), default=0.0))
        found[control] = {
            "own": own,
            "moves_its_own_most": most_of_row,
            "its_own_is_moved_most_by_it": most_of_column,
            "holds": most_of_row and most_of_column,
        }
    return found


def strength_figures(weight: np.ndarray, lip_sound: np.ndarray) -> dict[str, Any]:
    """What follows from the intended weight and the correlation of lips and sound at STRENGTHS, NaN where unknown."""
    known = np.isfinite(weight)
    varied = known.sum() > 2 and np.ptp(weight[known]) > 0
    spearman = float(spearmanr(np.array(STRENGTHS)[known], weight[known]).statistic) if varied else float("nan")
    drops = {f"largest_drop_from_{k}": float((lip_sound[STRENGTHS.index(k)] - lip_sound).max()) for k in (0, 1)}
    return {
        "intended_weight": weight.tolist(),
        "spearman": spearman,
        "monotonic": bool(known.all() and spearman >= MONOTONIC),
        "lip_sound": lip_sound.tolist(),
        **drops,
        "keeps_sound": all(drop <= MOST_DROP for drop in drops.values()),
    }


def measure_strength(videos: dict[str, dict[Shot, Seen]], heard: np.ndarray) -> dict[str, dict[str, Any]]:
    """Per style, the figures of the mean over the portraits and of each portrait; `heard` (N,) is the loudness of A."""
    unknown, report = float("nan"), {}
    for style, units in INTENDED.items():
        weight, lip_sound = (np.full((len(videos), len(STRENGTHS)), unknown) for _ in range(2))
        for row, seen in enumerate(videos.values()):
            for column, shot in enumerate(at_strengths(style)):
                if shot in seen:
                    weight[row, column] = mean_weight(seen[shot].face, units).mean()
                    lip_sound[row, column] = known_correlation(seen[shot].face.lip_gap, heard)
        means = (table.mean(axis=0) for table in (weight, lip_sound))  # unknown if one portrait's is: no two mixtures
        each = {name: strength_figures(*rows) for name, *rows in zip(videos, weight, lip_sound, strict=True)}
        report[style] = {"units": units, **strength_figures(*means), "portraits": each}
    return report


# ---------------------------------------------------------------------- pictures


def plot_strength(report: dict[str, dict[str, Any]]) -> Figure:
    """Two plots over the strength: intended weight, and lips with sound; portraits thin, their mean thick."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    weights, lips = figure.subplots(1, 2)
    weights.set_title("mean weight of the intended units (Spearman correlation with the strength)", fontsize=9)
    lips.set_title("correlation of lip gap and loudness (largest drop from strength 0 or 1)", fontsize=9)
    for k, (style, figures) in enumerate(report.items()):
        drop = max(figures["largest_drop_from_0"], figures["largest_drop_from_1"])
        for axes, key, told in ((weights, "intended_weight", figures["spearman"]), (lips, "lip_sound", drop)):
            for portrait in figures["portraits"].values():
                axes.plot(STRENGTHS, portrait[key], color=f"C{k}", linewidth=0.7, alpha=0.5)
            axes.plot(STRENGTHS, figures[key], color=f"C{k}", marker="o", linewidth=2, label=f"{style} ({told:.2f})")
    for axes in (weights, lips):
        axes.set_xlabel("style strength")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
    return figure


def plot_matrix(raw: dict[str, dict[str, float]], ratios: dict[str, dict[str, float]]) -> Figure:
    """Controls by quantities, in units of noise with the change itself below; what a column has largest is framed."""
    figure = Figure(figsize=(2 + 1.7 * len(QUANTITIES), 1.6 + 0.8 * len(ratios)), layout="constrained")
    axes = figure.subplots()
    table = np.array([[ratios[control][quantity] for quantity in QUANTITIES] for control in ratios])
    shown = np.clip(table, 0.5, 50)
    axes.imshow(shown, norm=LogNorm(0.5, 50), cmap="Blues", aspect="auto")
    for row, control in enumerate(ratios):
        for column, quantity in enumerate(QUANTITIES):
            value = table[row, column]
            text = f"{value:.1f}\n({raw[control][quantity]:.3g})" if np.isfinite(value) else "unknown"
            style = {"weight": "bold" if OWN[control] == quantity else "normal", "ha": "center", "va": "center"}
            axes.text(column, row, text, color="white" if shown[row, column] > 10 else "black", **style)
            if np.isfinite(value) and value == np.nanmax(table[:, column]):
                axes.add_patch(
                    Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, linewidth=2.5, color="C3")
                )
    axes.set_xticks(range(len(QUANTITIES)), [f"{name}\n({unit})" for name, unit in QUANTITIES.items()], fontsize=8)
    axes.set_yticks(range(len(ratios)), list(ratios))
    axes.set_title(
        "change in units of that between two seeds (below: the change itself)\n"
        "bold: the control's own quantity; framed: the largest of the column",
        fontsize=9,
    )
    return figure


def json_ready(value: Any) -> Any:
    """Numbers rounded, NaN as null, paths as texts."""
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


# ---------------------------------------------------------------------- command


def load_sounds(paths: Iterable[Path], seconds: float) -> list[np.ndarray]:
    """The first seconds of recordings, (samples,) each.

    Raises:
        InputError: one cannot be read, or is shorter.
    """
    n_samples, sounds = round(seconds * SAMPLE_RATE), []
    for path in paths:
        sounds.append(read_audio(path)[:n_samples])
        if len(sounds[-1]) < n_samples:
            raise InputError(f"{path}: shorter than {seconds:g} s; name a longer recording, or less by --seconds")
    return sounds


def find_portraits(pipeline: SVPPipeline, folder: Path, count: int) -> dict[str, Portrait]:
    """The first portraits of a folder by name; pictures without a face are told and left out.

    Raises:
        InputError: there is none.
    """
    portraits: dict[str, Portrait] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg") and len(portraits) < count:
            try:
                portraits[path.stem] = pipeline.portrait(path)
            except InputError as error:
                print(f"left out: {error}", file=sys.stderr)
    if not portraits:
        raise InputError(f"{folder}: no portrait (.png, .jpg) with a face in it; name another folder")
    return portraits


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Make the videos, measure them, write the pictures; the report.

    Raises:
        InputError: if an input cannot be used.
    """
    for name, value in (("seconds", options.seconds), ("portraits", options.portraits)):
        if not value > 0:
            raise InputError(f"--{name} {value:g}: nothing to measure; choose more than 0")
    sounds = load_sounds(options.audio, options.seconds)
    files = {name: find_style(name) for name in ("neutral", *INTENDED)}
    pipeline = SVPPipeline.from_pretrained(options.model)
    styles = {name: pipeline.style(file) for name, file in files.items()}
    portraits = find_portraits(pipeline, options.folder, options.portraits)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{options.out}: cannot be made ({error.strerror}); choose another folder") from error
    takes = make_takes(pipeline, portraits, styles, sounds, options)
    videos = {name: fit_takes(of_portrait) for name, of_portrait in takes.items()}
    strength = measure_strength(videos, loudness(sounds[0], count_frames(len(sounds[0]))))
    noise = mean_change(list(videos.values()), [NOISE])
    raw = {control: mean_change(list(videos.values()), changes) for control, changes in CHANGES.items()}
    ratios = {control: in_noise(row, noise) for control, row in raw.items()}
    for name, of_portrait in takes.items():
        rows = [[of_portrait[shot].picture for shot in at_strengths(style)] for style in INTENDED]
        sheet = contact_sheet(rows, list(INTENDED), [f"{k:g}" for k in STRENGTHS], cell=160)
        write_png(options.out / f"strength_{name}.png", sheet)
    plot_strength(strength).savefig(options.out / "strength.png", dpi=120)
    plot_matrix(raw, ratios).savefig(options.out / "matrix.png", dpi=120)
    return {
        "command": shlex.join(sys.argv),
        "versions": versions(),
        "instruments": [face_weights(), embedding_weights()],
        "options": vars(options),
        "portraits": list(portraits),
        "frames": count_frames(len(sounds[0])),
        "left_out": {name: [str(s) for s in takes[name] if s not in seen] for name, seen in videos.items()},
        "strength": {"strengths": STRENGTHS, "styles": strength},
        "matrix": {
            "quantities": QUANTITIES,
            "noise": noise,
            "changes": raw,
            "in_noise": ratios,
            "controls": verdicts(ratios),
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path, metavar="PORTRAITS_DIR")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--audio", type=Path, nargs=2, default=[SPEECH / "face.wav", SPEECH / "road.wav"])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--portraits", type=int, default=2)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        report = json_ready(measure(options))
    except InputError as error:
        print(f"measure_controls.py: {error}", file=sys.stderr)
        return 2
    (options.out / "controls.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    for style, figures in report["strength"]["styles"].items():
        print(style, {key: figures[key] for key in ("spearman", "largest_drop_from_0", "largest_drop_from_1")})
    for control, found in report["matrix"]["controls"].items():
        print(control, found, report["matrix"]["in_noise"][control])
    return 0


if __name__ == "__main__":
    sys.exit(main())
