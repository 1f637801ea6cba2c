"""Figure 6: interpolation between two styles: a strip of frames, and how the mouth's corners move (paper Sec. 4.4).

Shapes: B people, W weights, N frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure as Drawing
from scipy.stats import spearmanr

from svp.datasets.manifest import NEUTRAL, ClipRow
from svp.errors import InputError
from svp.evaluation.facts import VideoFacts
from svp.evaluation.report import Part
from svp.face.model import FaceModel
from svp.face.mouth import corner_lift
from svp.media.image import contact_sheet
from svp.reproduce.case import Case, clips_of, evenly
from svp.reproduce.experiment import VIDEOS, Experiment
from svp.reproduce.figure3 import CELL, MIDDLE, blank
from svp.reproduce.setting import Setting, closing_markdown
from svp.reproduce.watched import faceless, frames_at, watch
from svp.style.extract import extract_style
from svp.style.map import rendered

WEIGHTS: Final = tuple(k / 6 for k in range(7))  # of the second style
INTERPOLATION: Final = "interpolation"  # folder of the videos
SMILE, FROWN = "mouthSmile", "mouthFrown"  # units of the face model, left and right


class Curve(Part):
    """What was measured on the videos of one person, or the mean over all.

    Attributes:
        name: clip whose sound and head motion the videos have.
        lift: height of the mouth's corners above the middle of the lips by weight, mean over the frames, in % of the
            distance between the outer corners of the eyes; None where no face was found.
        smile: weight of the smile less that of the frown, in the same way.
        monotonicity: Spearman's correlation of the lift with the weight.
    """

    name: str
    lift: list[float | None]
    smile: list[float | None]
    monotonicity: float | None


class Figure6(Part):
    """The strip and its curves.

    Attributes:
        emotions, styles: of the two ends, and the clips they are learned from.
        weights: of the second style.
        mean: over the people that are measured at every weight.
    """

    setting: Setting
    emotions: tuple[str, str]
    styles: tuple[str, str]
    weights: list[float]
    problems: list[str]
    curves: list[Curve]
    mean: Curve


def measure_figure6(experiment: Experiment, emotions: tuple[str, str]) -> tuple[Figure6, dict[str, np.ndarray]]:
    """Neutral clips made again in mixtures of two styles; with the strip and the plot by file name.

    Args:
        emotions: of the two ends, such as sad and happy.

    Raises:
        InputError: the selection lacks one of the emotions, or the dataset or the model cannot be used.
    """
    experiment.check_model(experiment.model)
    rows = clips_of(experiment.dataset, experiment.selection)
    ends = _ends(experiment, rows, emotions)
    calm = [row for row in rows if row.emotion == NEUTRAL] or rows
    first_of_each = {row.identity: row for row in reversed(calm)}
    people = evenly(sorted(first_of_each.values(), key=lambda row: row.clip_id), experiment.limit)
    cases = [Case(row, row, None) for row in people]
    setting = experiment.setting(cases)
    experiment.write_references(cases)
    styles = _write_mixtures(experiment, ends)
    lines = {
        _named(weight): {clip: {**line, "style": str(style)} for clip, line in experiment.lines(cases).items()}
        for weight, style in zip(WEIGHTS, styles, strict=True)
    }
    videos = experiment.make(INTERPOLATION, lines)
    made = {name: {row.clip_id: at / f"{row.clip_id}.mp4" for row in people} for name, at in videos.folders.items()}
    paths = [[found[row.clip_id] for found in made.values()] for row in people]
    seen = watch([path for of in paths for path in of if path.is_file()], experiment.cache, experiment.workers)
    curves = [
        _curve(row.clip_id, [corners(seen.get(path, "was not made")) for path in of])
        for row, of in zip(people, paths, strict=True)
    ]
    found = Figure6(
        setting=setting,
        emotions=emotions,
        styles=(ends[0].clip_id, ends[1].clip_id),
        weights=list(WEIGHTS),
        problems=[*videos.problems, *faceless(made, seen)],
        curves=curves,
        mean=_mean(curves),
    )
    cells = [
        [experiment.reference_image(case), *(_frame(path) for path in of)]
        for case, of in zip(cases, paths, strict=True)
    ]
    first, last = emotions
    labels = ["portrait", first, *(f"{weight:.2f}" for weight in WEIGHTS[1:-1]), last]
    strip = contact_sheet(cells, column_labels=labels, cell=CELL)
    return found, {"figure6.png": strip, "figure6_curve.png": rendered(curve_plot(found))}


def _ends(experiment: Experiment, rows: Sequence[ClipRow], emotions: tuple[str, str]) -> tuple[ClipRow, ClipRow]:
    """The strongest clip of each emotion, of one person where somebody shows both."""
    strongest = sorted(rows, key=lambda row: -row.intensity)
    shows = [{row.identity for row in rows if row.emotion == emotion} for emotion in emotions]
    for emotion, people in zip(emotions, shows, strict=True):
        if not people:
            there = ", ".join(sorted({row.emotion for row in rows}))
            raise InputError(
                f"{experiment.dataset.root}: no clip of emotion {emotion} in the split ({there}); choose others by "
                "--between, or another --split"
            )
    both = sorted(shows[0] & shows[1])
    first, last = (
        next(row for row in strongest if row.emotion == emotion and row.identity in (both[:1] or people))
        for emotion, people in zip(emotions, shows, strict=True)
    )
    return first, last


def _write_mixtures(experiment: Experiment, ends: tuple[ClipRow, ClipRow]) -> list[Path]:
    """Files of the mixed styles, one per weight."""
    encoder = experiment.style_model.encoder
    first, last = (extract_style(experiment.dataset.clip(row.clip_id).video_path, encoder) for row in ends)
    folder = experiment.folder / VIDEOS / f"{INTERPOLATION}-styles"
    paths = [folder.resolve() / f"{_named(weight)}.safetensors" for weight in WEIGHTS]
    for weight, path in zip(WEIGHTS, paths, strict=True):
        first.mix(last, weight).save(path)
    return paths


def _named(weight: float) -> str:
    return f"{round(1000 * weight):04d}"


def corners(facts: VideoFacts | str) -> tuple[float, float] | None:
    """Lift of the mouth's corners and smile less frown, means over the frames; None without a face."""
    if isinstance(facts, str) or isinstance(facts.face, str):
        return None
    units = FaceModel.load().unit_names
    smile, frown = (
        facts.face.fit.expression[:, [k for k, name in enumerate(units) if name.startswith(unit)]].mean()
        for unit in (SMILE, FROWN)
    )
    return 100 * float(np.mean(corner_lift(facts.face.landmarks))), float(smile - frown)


def _curve(name: str, corners: Sequence[tuple[float, float] | None]) -> Curve:
    lift, smile = ([None if one is None else round(one[k], 5) for one in corners] for k in range(2))
    known = [(weight, one) for weight, one in zip(WEIGHTS, lift, strict=True) if one is not None]
    varied = len(known) > 2 and len({one for _, one in known}) > 1
    rank = float(spearmanr(*zip(*known, strict=True)).statistic) if varied else None
    return Curve(name=name, lift=lift, smile=smile, monotonicity=None if rank is None else round(rank, 4))


def _mean(curves: Sequence[Curve]) -> Curve:
    whole = [curve for curve in curves if None not in curve.lift]
    if not whole:
        return _curve("mean", [None] * len(WEIGHTS))
    lift, smile = (np.array([getattr(curve, of) for curve in whole], float).mean(axis=0) for of in ("lift", "smile"))
    return _curve("mean", list(zip(lift.tolist(), smile.tolist(), strict=True)))


def _frame(path: Path) -> np.ndarray:
    return frames_at(path, [MIDDLE])[0] if path.is_file() else blank()


def curve_plot(found: Figure6) -> Drawing:
    """Corners of the mouth over the weight, by landmarks and by the face model; people thin, their mean thick."""
    drawing = Drawing(figsize=(8.4, 3.4), dpi=130, layout="constrained")
    panels = {"lift": "lift of the mouth's corners, %", "smile": "smile less frown, ARKit weight"}
    for axes, (of, label) in zip(drawing.subplots(1, 2), panels.items(), strict=True):
        for curve in (*found.curves, found.mean):
            values = [np.nan if value is None else value for value in getattr(curve, of)]
            thick = curve is found.mean
            axes.plot(
                found.weights, values, marker="o", markersize=4 if thick else 2, linewidth=2.5 if thick else 0.8,
                color="#c0392b" if thick else "0.6",
            )  # fmt: skip
        axes.set_xlabel(f"{found.emotions[0]} (0) to {found.emotions[1]} (1)")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return drawing


def figure6_markdown(found: Figure6) -> str:
    """The strip, the curves and their numbers."""
    first, last = found.emotions
    lines = [f"| clip | {' | '.join(f'{weight:.2f}' for weight in found.weights)} | Spearman |"]
    lines.append(f"|{'---|' * (len(found.weights) + 2)}")
    for curve in (*found.curves, found.mean):
        cells = " | ".join("–" if value is None else f"{value:.2f}" for value in curve.lift)
        rank = "–" if curve.monotonicity is None else f"{curve.monotonicity:.2f}"
        lines.append(f"| {curve.name} | {cells} | {rank} |")
    blocks = [
        f"# Figure 6: interpolation between {first} and {last}",
        f"Styles of {found.styles[0]} ({first}, 0) and {found.styles[1]} ({last}, 1), mixed linearly in mean and "
        "variance. Everything else is equal along a row: a person's neutral clip, its sound, head motion and seed.",
        "![frames by weight](figure6.png)",
        "![corners of the mouth by weight](figure6_curve.png)",
        "Height of the mouth's corners above the middle of the lips, mean over the frames, in % of the distance "
        "between the outer corners of the eyes; Spearman: its correlation with the weight, 1 where it rises all along.",
        "\n".join(lines),
    ]
    blocks += closing_markdown(found.problems, found.setting, "How it was measured")
    return "\n\n".join(blocks) + "\n"
