"""Figure 4: the probabilistic prior against the deterministic one, and how much of the style's person leaks (Sec. 4.4).

Shapes: B videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from svp.errors import InputError
from svp.evaluation.facts import VideoFacts
from svp.evaluation.identity import shape_distance
from svp.evaluation.report import Part
from svp.media.image import contact_sheet
from svp.reproduce.case import Case, clips_of, crossings, without_style
from svp.reproduce.comparison import CaseFacts, facts_of
from svp.reproduce.experiment import Experiment
from svp.reproduce.figure3 import CELL, MIDDLE, blank
from svp.reproduce.interval import Figure, figure, ratio
from svp.reproduce.models import load_models
from svp.reproduce.setting import Setting, closing_markdown
from svp.reproduce.table3 import ProbeRow, probe_rows
from svp.reproduce.watched import faceless, frames_at, watch
from svp.style.codes import encode_clips

PROBABILISTIC, DETERMINISTIC, WITHOUT = "probabilistic", "deterministic", "without style"
CROSSING: Final = "crossing"  # folder of the videos
MEASURES: Final = {"embedding": "face embedding", "shape": "face shape, % of the pupil distance"}


class Leakage(Part):
    """How near the faces of a row's videos are to the portrait's person and to the style's.

    Attributes:
        measure: one of MEASURES; the embedding where dlib is installed.
        to_person, to_source: distances to the true clips of the two, means over the videos.
        nearer_source: share of videos whose face is nearer to the style's person.
        apart: distance of the two people.
    """

    system: str
    measure: str
    videos: int
    to_person: Figure
    to_source: Figure
    nearer_source: Figure
    apart: Figure


class Figure4(Part):
    """The figure.

    Attributes:
        cases: its rows.
        leakage: in the videos.
        probes: in the codes, see `table3.ProbeRow`.
    """

    setting: Setting
    cases: list[CaseFacts]
    problems: list[str]
    leakage: list[Leakage]
    probes: list[ProbeRow]


def measure_figure4(experiment: Experiment, against: str) -> tuple[Figure4, dict[str, np.ndarray]]:
    """Neutral clips made again in the styles of other people by two models, and without style; with the sheet.

    Args:
        against: model or run folder of a deterministic prior.

    Raises:
        InputError: a model is not of its kind, or the dataset or a model cannot be used.
    """
    names = {PROBABILISTIC: experiment.model, DETERMINISTIC: against}
    models = load_models(list(names.values()))
    for option, model, kind in zip(("--model", "--against"), models, names, strict=True):
        if model.kind != kind:
            raise InputError(
                f"{option} {model.name}: its prior is {model.kind}, a {kind} one is needed; the deterministic one is "
                "made by `svp train style --deterministic`"
            )
        experiment.check_model(model.name)
    dataset, selection = experiment.dataset, experiment.selection
    cases = crossings(dataset, selection, experiment.limit)
    rows = clips_of(dataset, selection)
    codes = {model.kind: encode_clips(model.encoder, dataset, rows, progress=model.name) for model in models}
    probes = [row for model in models for row in probe_rows(model.kind, [codes[model.kind]], experiment.seed)]
    experiment.write_references(cases)
    styled = experiment.lines(cases)
    lines = {PROBABILISTIC: styled, DETERMINISTIC: styled, WITHOUT: experiment.lines(without_style(cases))}
    videos = experiment.make(CROSSING, lines, {DETERMINISTIC: against})
    made = {
        system: {case.target.clip_id: folder / f"{case.target.clip_id}.mp4" for case in cases}
        for system, folder in videos.folders.items()
    }
    clips = [dataset.clip(row.clip_id).video_path for case in cases for row in (case.target, case.style) if row]
    paths = [path for found in made.values() for path in found.values() if path.is_file()]
    seen = watch([*clips, *paths], experiment.cache, experiment.workers)
    figures = Figure4(
        setting=experiment.setting(cases, models),
        cases=[facts_of(case) for case in cases],
        problems=[*videos.problems, *faceless(made, seen)],
        leakage=[
            row
            for system, found in made.items()
            for measure in MEASURES
            if (row := leakage(experiment, system, measure, cases, found, seen)) is not None
        ],
        probes=probes,
    )
    return figures, {"figure4.png": _sheet(experiment, cases, made)}


def leakage(
    experiment: Experiment,
    system: str,
    measure: str,
    cases: Sequence[Case],
    made: Mapping[str, Path],
    seen: Mapping[Path, VideoFacts | str],
) -> Leakage | None:
    """None where no video can be measured."""
    dataset = experiment.dataset
    people: list[str] = []
    found: list[tuple[float, float, float]] = []
    for case in cases:
        assert case.style is not None
        files = made[case.target.clip_id], *(dataset.clip(row.clip_id).video_path for row in (case.target, case.style))
        video, person, source = (_face(seen.get(path, "was not made"), measure) for path in files)
        if video is not None and person is not None and source is not None:
            people.append(case.target.identity)
            pairs = ((video, person), (video, source), (person, source))
            found.append(tuple(_distance(measure, *pair) for pair in pairs))  # type: ignore[arg-type]
    if not found:
        return None
    to_person_B, to_source_B, apart_B = np.array(found).T
    identities = sorted(set(people))
    owners = [identities.index(name) for name in people]

    def mean(values: np.ndarray) -> Figure:
        return figure([ratio(values, owners, len(identities))], len(identities), experiment.seed)

    return Leakage(
        system=system,
        measure=measure,
        videos=len(found),
        to_person=mean(to_person_B),
        to_source=mean(to_source_B),
        nearer_source=mean(to_source_B < to_person_B),
        apart=mean(apart_B),
    )


def _face(facts: VideoFacts | str, measure: str) -> np.ndarray | None:
    """What tells the person of a video apart, None where it is not known."""
    if isinstance(facts, str) or isinstance(facts.face, str):
        return None
    return facts.embedding if measure == "embedding" else facts.face.shape


def _distance(measure: str, face: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(face - other)) if measure == "embedding" else shape_distance(face, other)


def _sheet(experiment: Experiment, cases: Sequence[Case], made: Mapping[str, Mapping[str, Path]]) -> np.ndarray:
    cells = []
    for case in cases:
        assert case.style is not None
        shown = [frames_at(experiment.dataset.clip(case.style.clip_id).video_path, [MIDDLE])[0]]
        shown.append(experiment.reference_image(case))
        for found in made.values():
            path = found[case.target.clip_id]
            shown.append(frames_at(path, [MIDDLE])[0] if path.is_file() else blank())
        cells.append(shown)
    labels = [case.style.emotion if case.style else "" for case in cases]
    return contact_sheet(cells, labels, ["style", "portrait", *made], cell=CELL)


def figure4_markdown(found: Figure4) -> str:
    """The picture and what was measured on it."""
    rows = ["| videos | measured by | to the portrait's person | to the style's person | nearer to the latter | n |"]
    rows.append(f"|{'---|' * 6}")
    for leak in found.leakage:
        figures = " | ".join(_text(one) for one in (leak.to_person, leak.to_source, leak.nearer_source))
        rows.append(f"| {leak.system} | {MEASURES[leak.measure]} | {figures} | {leak.videos} |")
    apart = [f"{MEASURES[leak.measure]} {_text(leak.apart)}" for leak in found.leakage if leak.system == PROBABILISTIC]
    probes = ["| reads | prior | from | accuracy | chance | labels | clips |", f"|{'---|' * 7}"]
    probes += [
        f"| {row.reads} | {row.kind} | {row.code} | {_text(row.accuracy)} | {row.chance:.2f} | {row.labels} "
        f"| {row.clips} |"
        for row in found.probes
    ]
    blocks = [
        "# Figure 4: probabilistic prior against deterministic",
        "A person's neutral clip made again in the style of another person's emotional one. What of the style's person "
        "is in the face has leaked.",
        "![style, portrait, and what each prior makes of them](figure4.png)",
        "## Whose face the videos show",
        "\n".join(rows),
        "Distances to the true clips of both people, in brackets 95 % intervals by a bootstrap over the people. "
        "Leakage is a smaller distance to the style's person than the videos without style have (by the model of the "
        f"probabilistic prior). The two people are apart by: {'; '.join(apart) or 'not measured'}.",
        "## Whose code it is",
        "What a linear probe reads off the codes of both inputs, see Table 3; of the deterministic prior both are the "
        "mean. Low for the identity means that little of the person leaks.",
        "\n".join(probes) if found.probes else "The dataset has too few recordings of its people to tell.",
    ]
    blocks += closing_markdown(found.problems, found.setting, "How it was measured")
    return "\n\n".join(blocks) + "\n"


def _text(value: Figure) -> str:
    if value.mean is None:
        return "–"
    interval = "" if value.low is None or value.high is None else f" ({value.low:.3g} … {value.high:.3g})"
    return f"{value.mean:.3g}{interval}"
