"""Tables 1 and 2: videos of several systems measured against the true ones (paper Sec. 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from svp.cores import CORES
from svp.errors import InputError
from svp.evaluation.clips import find_clips
from svp.evaluation.evaluate import evaluate
from svp.evaluation.registry import choose
from svp.evaluation.report import TRUTH, Part, Report
from svp.reproduce.case import Case, in_style_of_others, reconstructions, transfers, without_style
from svp.reproduce.experiment import Experiment
from svp.reproduce.paper import OURS, TABLE1, TABLE2, WITHOUT_STYLE, PaperRow
from svp.reproduce.setting import Setting

OTHERS_STYLE: Final = "Ours, another person's style"
RECONSTRUCTION, TRANSFER = "reconstruction", "transfer"  # folders of their videos


class CaseFacts(Part):
    """What a video was made of, by clip ids: the true clip, that of the portrait, that of the style."""

    target: str
    reference: str
    style: str | None


class Comparison(Part):
    """A table.

    Attributes:
        title, about: what it shows.
        columns: metrics of the paper's table.
        cases: of each of our rows.
        problems: videos that could not be made.
        paper: the paper's rows, measured on other data.
        report: of `svp evaluate`, with all metrics that can be measured here.
    """

    title: str
    about: str
    columns: list[str]
    setting: Setting
    cases: dict[str, list[CaseFacts]]
    problems: list[str]
    paper: list[PaperRow]
    report: Report


def measure_table1(experiment: Experiment, others: Mapping[str, Path]) -> Comparison:
    """Table 1: clips made again in their own style.

    Args:
        others: folders of other systems, whose videos are named after the clips.

    Raises:
        InputError: the dataset has no such clips, a folder or the model cannot be used.
    """
    cases = reconstructions(experiment.dataset, experiment.selection, experiment.limit)
    about = (
        "Clips made again from their own sound, Head-Kps and style, on a frame of another recording of the person "
        "(of the clip itself where there is no other)."
    )
    return _compare(experiment, RECONSTRUCTION, "Table 1: reconstruction", about, {OURS: cases}, others, TABLE1)


def measure_table2(experiment: Experiment, others: Mapping[str, Path]) -> Comparison:
    """Table 2: emotional clips made again on a neutral frame of the person. Arguments and errors as `measure_table1`.

    Beside the paper's rows one in the style of another person's clip of the same emotion.
    """
    dataset, selection = experiment.dataset, experiment.selection
    cases = transfers(dataset, selection, experiment.limit)
    ours = {
        WITHOUT_STYLE: without_style(cases),
        OTHERS_STYLE: in_style_of_others(dataset, selection, cases),
        OURS: cases,
    }
    about = (
        "Emotional clips made again from their own sound and Head-Kps on a frame of a neutral clip of the person: "
        "without style, in the style of another person's clip of the same emotion (not in the paper: that clip is not "
        "the answer), and in their own."
    )
    return _compare(experiment, TRANSFER, "Table 2: transfer of intrinsic style", about, ours, others, TABLE2)


def _compare(
    experiment: Experiment,
    name: str,
    title: str,
    about: str,
    ours: Mapping[str, Sequence[Case]],
    others: Mapping[str, Path],
    paper: Sequence[PaperRow],
) -> Comparison:
    shown = {system: cases for system, cases in ours.items() if cases}
    for system in others:
        if system in (*ours, TRUTH):
            raise InputError(f"--system {system}={others[system]}: is the name of a row of the table; choose another")
    experiment.check_model(experiment.model)
    metrics = choose([], experiment.weights)
    everyone = [case for cases in shown.values() for case in cases]
    names = {case.target.clip_id for case in everyone}
    find_clips(others, experiment.dataset.root, names)  # before hours of work
    setting = experiment.setting(everyone)
    experiment.write_references(everyone)
    videos = experiment.make(name, {system: experiment.lines(cases) for system, cases in shown.items()})
    report = evaluate(
        {**others, **videos.folders},
        experiment.dataset.root,
        metrics,
        style_encoder=experiment.style_encoder,
        names=names,
        weights=experiment.weights,
        workers=experiment.workers or CORES,
        seed=experiment.seed,
        cache=experiment.cache,
    )
    return Comparison(
        title=title,
        about=about,
        columns=list(dict.fromkeys(metric for row in paper for metric in row.figures)),
        setting=setting,
        cases={system: [facts_of(case) for case in cases] for system, cases in shown.items()},
        problems=list(videos.problems),
        paper=list(paper),
        report=report,
    )


def facts_of(case: Case) -> CaseFacts:
    return CaseFacts(
        target=case.target.clip_id,
        reference=case.reference.clip_id,
        style=None if case.style is None else case.style.clip_id,
    )
