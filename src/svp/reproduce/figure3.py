"""Figure 3: systems side by side, and portraits of other kinds (paper Sec. 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from svp.datasets.manifest import NEUTRAL
from svp.errors import InputError
from svp.evaluation.clips import find_clips
from svp.evaluation.report import Part
from svp.media.image import contact_sheet, read_image
from svp.reproduce.case import Case, clips_of, evenly, reconstructions, transfers
from svp.reproduce.comparison import RECONSTRUCTION, TRANSFER, CaseFacts, facts_of
from svp.reproduce.experiment import Experiment
from svp.reproduce.paper import OURS
from svp.reproduce.setting import Setting, closing_markdown
from svp.reproduce.watched import frames_at

MOMENTS: Final = (0.3, 0.7)  # of a video's length
MIDDLE: Final = 0.5
EMOTIONS: Final = ("happy", "sad", "angry", "surprised")  # whose styles the portraits are given
PICTURES: Final = frozenset([".png", ".jpg", ".jpeg", ".webp"])
PORTRAITS: Final = "portraits"
CELL: Final = 160  # pixels


class PortraitFacts(Part):
    """What the videos of portraits were made of.

    Attributes:
        pictures: names of the files.
        sound: clip whose sound all have.
        styles: clip of each column, by its emotion.
    """

    pictures: list[str]
    sound: str
    styles: dict[str, str]


class Figure3(Part):
    """The pictures' rows and columns.

    Attributes:
        rows: names of the grid's rows with what each was made of; a row per moment.
        columns: of the grid.
        problems: what is missing, and why.
        portraits: None without them.
    """

    setting: Setting
    rows: dict[str, CaseFacts]
    columns: list[str]
    problems: list[str]
    portraits: PortraitFacts | None


def measure_figure3(
    experiment: Experiment, others: Mapping[str, Path], portraits: Path | None
) -> tuple[Figure3, dict[str, np.ndarray]]:
    """The grid, and with a folder of pictures the portraits; with the sheets by file name.

    Args:
        others: folders of other systems, with the folders `reconstruction` and `transfer`, whose videos are named after
            the clips.
        portraits: folder of pictures of one face each.

    Raises:
        InputError: the dataset, a folder or the model cannot be used.
    """
    if OURS in others:
        raise InputError(f"--system {OURS}={others[OURS]}: is the name of our own column; choose another")
    experiment.check_model(experiment.model)
    pictures = [] if portraits is None else _pictures(portraits, experiment.limit)
    dataset, selection, limit = experiment.dataset, experiment.selection, experiment.limit
    kinds, problems = {RECONSTRUCTION: reconstructions(dataset, selection, limit)}, []
    try:
        kinds[TRANSFER] = transfers(dataset, selection, limit)
    except InputError as error:  # without emotions there is still the first half
        problems.append(f"no rows of transfer: {error}")
    columns = ["reference", *others, OURS, "ground truth"]
    cells, rows = [], {}
    for kind, cases in kinds.items():
        experiment.write_references(cases)
        videos = experiment.make(kind, {OURS: experiment.lines(cases)})
        problems += videos.problems
        found = {system: _videos(experiment, folder / kind, cases) for system, folder in others.items()}
        found[OURS] = _videos(experiment, videos.folders[OURS], cases)
        for number, case in enumerate(cases, start=1):
            truth = dataset.clip(case.target.clip_id).video_path
            seen = [frames_at(truth, MOMENTS)]
            for system in reversed([*others, OURS]):
                path = found[system].get(case.target.clip_id)
                if path is None and system != OURS:
                    problems.append(f"{system}: no video {kind}/{case.target.clip_id}")
                seen.insert(0, [blank()] * len(MOMENTS) if path is None else frames_at(path, MOMENTS))
            for moment, shown in zip(MOMENTS, zip(*seen, strict=True), strict=True):
                rows[f"{kind} {number}, {moment * case.target.seconds:.1f} s"] = facts_of(case)
                cells.append([experiment.reference_image(case), *shown])
    sheets = {"figure3.png": contact_sheet(cells, list(rows), columns, cell=CELL)}
    facts = None
    if pictures:
        facts, sheet, missing = _portraits(experiment, pictures)
        sheets["figure3_portraits.png"] = sheet
        problems += missing
    setting = experiment.setting([case for cases in kinds.values() for case in cases])
    return Figure3(setting=setting, rows=rows, columns=columns, problems=problems, portraits=facts), sheets


def blank() -> np.ndarray:
    """An empty cell."""
    return np.full((CELL, CELL, 3), 255, np.uint8)


def _videos(experiment: Experiment, folder: Path, cases: Iterable[Case]) -> dict[str, Path]:
    """Paths of a system's videos by clip id; none where there is no such folder."""
    if not folder.is_dir():
        return {}
    names = {case.target.clip_id for case in cases}
    clip_sets = find_clips({"": folder}, experiment.dataset.root, names)
    return {clips.name: clips.videos[0].path for clips in clip_sets if clips.videos}


def _pictures(folder: Path, limit: int | None) -> list[Path]:
    """Pictures of a folder, evenly spread over their names.

    Raises:
        InputError: there is none.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES) if folder.is_dir() else []
    if not found:
        raise InputError(f"{folder}: holds no picture ({' '.join(sorted(PICTURES))}); give --portraits another folder")
    return evenly(found, limit)


def _portraits(experiment: Experiment, pictures: list[Path]) -> tuple[PortraitFacts, np.ndarray, list[str]]:
    """Every picture with one sound in the styles of several emotions, the same head motion in all."""
    rows = clips_of(experiment.dataset, experiment.selection)
    strongest = sorted(rows, key=lambda row: -row.intensity)
    found = {emotion: next((row for row in strongest if row.emotion == emotion), None) for emotion in EMOTIONS}
    styles = {emotion: row for emotion, row in found.items() if row is not None}
    if not styles:
        raise InputError(
            f"{experiment.dataset.root}: --portraits needs clips of {', '.join(EMOTIONS)}; choose another --split, or "
            "name emotions in clips.csv and prepare the dataset again"
        )
    heard = next((row for row in rows if row.emotion == NEUTRAL), rows[0])
    sound = str(experiment.dataset.clip(heard.clip_id).audio_path.resolve())
    systems: dict[str, dict[str, dict[str, Any]]] = {}
    for emotion, row in styles.items():
        style = str(experiment.dataset.clip(row.clip_id).video_path.resolve())
        systems[emotion] = {
            picture.stem: {"portrait": str(picture.resolve()), "audio": sound, "style": style} for picture in pictures
        }
    videos = experiment.make(PORTRAITS, systems)
    cells = []
    for picture in pictures:
        paths = [folder / f"{picture.stem}.mp4" for folder in videos.folders.values()]
        seen = [frames_at(path, [MIDDLE])[0] if path.is_file() else blank() for path in paths]
        try:
            cells.append([read_image(picture), *seen])
        except InputError:
            cells.append([blank(), *seen])
    facts = PortraitFacts(
        pictures=[picture.name for picture in pictures],
        sound=heard.clip_id,
        styles={emotion: row.clip_id for emotion, row in styles.items()},
    )
    return facts, contact_sheet(cells, column_labels=["portrait", *styles], cell=CELL), list(videos.problems)


def figure3_markdown(figure: Figure3) -> str:
    """The pictures, and what their rows were made of."""
    lines = ["| row | clip made again | portrait from | style from |", "|---|---|---|---|"]
    lines += [f"| {name} | {case.target} | {case.reference} | {case.style} |" for name, case in figure.rows.items()]
    blocks = [
        "# Figure 3: systems side by side",
        "Reconstruction: on a frame of another recording of the person. Transfer: an emotional clip on a frame of a "
        "neutral one. Sound, Head-Kps and style are the clip's own. Systems have their names, ours is made here.",
        "![systems by frames](figure3.png)",
        "\n".join(lines),
    ]
    if figure.portraits is not None:
        styles = ", ".join(f"{emotion} of {clip}" for emotion, clip in figure.portraits.styles.items())
        blocks += [
            "## Portraits of other kinds",
            f"One sound ({figure.portraits.sound}) and one head motion; styles: {styles}.",
            "![portraits by styles](figure3_portraits.png)",
        ]
    blocks += closing_markdown(figure.problems, figure.setting, "How it was made")
    return "\n\n".join(blocks) + "\n"
