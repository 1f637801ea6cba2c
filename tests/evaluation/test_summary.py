"""Figures of videos become rows and warnings: what cancels, what is counted, what is drawn, what compares."""

from pathlib import Path

import numpy as np
import pytest

from svp.evaluation.beta_error import BETA_ERROR
from svp.evaluation.drift import DRIFT_SHARPNESS
from svp.evaluation.flicker import FLICKER
from svp.evaluation.frechet import FRECHET_EXPRESSION
from svp.evaluation.judge import VideoResult
from svp.evaluation.lip_sync import LIP_LAG, SOUND_LEAD
from svp.evaluation.markdown import markdown_report
from svp.evaluation.metric import AnyMetric
from svp.evaluation.page import write_html
from svp.evaluation.report import TRUTH, MetricReport, Report, best_systems
from svp.evaluation.summary import comparison_warnings, metric_report, size_counts

WEIGHTS = {"pixels": "none", "face": "a face mesh"}


def summary(metric: AnyMetric, results: list[VideoResult]) -> MetricReport:
    systems = sorted({result.system for result in results} - {TRUTH})
    return metric_report(metric, systems, results, WEIGHTS, seed=0)  # type: ignore[arg-type]


def videos(system: str, metric: AnyMetric, values: list[float], samples: int = 1) -> list[VideoResult]:
    name = metric.about.name
    return [
        VideoResult(system, f"{k}.sample{sample}", str(k), 50, values={name: value})
        for k, value in enumerate(values)
        for sample in range(samples)
    ]


def a_report(metrics: list[MetricReport], results: list[VideoResult]) -> Report:
    systems = sorted({result.system for result in results} - {TRUTH})
    return Report(
        systems={name: f"outputs/{name}" for name in systems},
        reference="data/true",
        seed=3,
        resamples=2000,
        confidence=0.95,
        fps=25,
        crop="none",
        resize="bicubic",
        versions={"svp-portrait": "1"},
        sizes=size_counts(systems, results),
        warnings=comparison_warnings(systems, results),
        metrics=metrics,
        absent={"FID": "needs weights"},
        problems=[],
        clips=[],
    )


@pytest.mark.parametrize("metric", [LIP_LAG, SOUND_LEAD, DRIFT_SHARPNESS])
def test_errors_of_both_signs_do_not_cancel(metric: AnyMetric, tmp_path: Path) -> None:
    results = videos("swaying", metric, [8.0, -8.0]) + videos("steady", metric, [1.0, 1.0])
    found = summary(metric, results)
    swaying = next(row for row in found.rows if row.system == "swaying")
    assert (swaying.mean, swaying.absolute) == (0, 8)
    assert best_systems(found) == {"steady"}
    report = a_report([found], results)
    report.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == report
    write_html(report, tmp_path / "report.html")
    for text in (markdown_report(report), (tmp_path / "report.html").read_text()):
        assert "0, absolute 8" in text


def test_frames_are_those_that_were_compared_and_other_lengths_are_told() -> None:
    lengths = {"a": (100, 100), "b": (130, 100), "c": (100, 101), "d": (70, None)}
    results = [
        VideoResult("ours", name, name, own, true, values={"beta_error": 0.1, "flicker": 0.1})
        for name, (own, true) in lengths.items()
    ]
    compared, whole = (summary(metric, results).rows[1].frames for metric in (BETA_ERROR, FLICKER))
    assert (compared, whole) == (100 + 100 + 100 + 70, 100 + 130 + 100 + 70)
    [warning] = comparison_warnings(["ours"], results)
    assert "1 video is longer or shorter" in warning and "b 130 against 100" in warning and "c 100" not in warning


def test_systems_of_other_resolutions_or_inputs_are_told_apart() -> None:
    small, large = (
        VideoResult(name, "a", "a", 50, size=(side, side)) for name, side in (("small", 128), ("large", 512))
    )
    [warning] = comparison_warnings(["large", "small"], [small, large])
    assert "large 512 x 512, small 128 x 128" in warning
    assert size_counts(["large"], [large]) == {TRUTH: {}, "large": {"512 x 512": 1}}
    assert "1 of 512 x 512" in markdown_report(a_report([], [small, large]))
    more = VideoResult("small", "b", "b", 50, size=(512, 512))
    small.size = (512, 512)
    [warning] = comparison_warnings(["large", "small"], [small, more, large])
    assert "not measured on the same inputs (large 1, small 2)" in warning


def test_samples_of_one_input_are_drawn_together() -> None:
    values = [0.1, 0.2, 0.4, 0.8]
    alone, sampled = (summary(BETA_ERROR, videos("ours", BETA_ERROR, values, samples=n)).rows[1] for n in (1, 25))
    assert (sampled.clips, sampled.inputs) == (100, 4)
    assert (sampled.low, sampled.high) == pytest.approx((alone.low, alone.high))
    one = summary(BETA_ERROR, videos("ours", BETA_ERROR, [0.1], samples=20))
    assert one.rows[1].low is None and "20 clips of 1 input" in one.warnings[0]


def _faces(system: str, lengths: list[int]) -> list[VideoResult]:
    rng = np.random.default_rng(0)
    return [
        VideoResult(system, str(k), str(k), n, features={"frechet_expression": rng.normal(size=(n, 3))})
        for k, n in enumerate(lengths)
    ]


def test_the_floor_says_of_how_many_vectors_it_was_made() -> None:
    found = summary(FRECHET_EXPRESSION, _faces(TRUTH, [30] * 5) + _faces("ours", [30, 20]))
    assert found.floor is not None and found.floor > 0
    assert "5 clips (150 vectors) into 2 and 3" in found.floor_text and "all 150 vectors" in found.floor_text
    assert [(row.system, row.vectors) for row in found.rows] == [("ours", 50)]


@pytest.mark.parametrize("lengths", [[1, 1], [1, 40], [30], []])
def test_halves_of_a_single_frame_give_no_floor(lengths: list[int]) -> None:
    found = summary(FRECHET_EXPRESSION, _faces(TRUTH, lengths) + _faces("ours", [30]))
    assert found.floor is None and found.floor_text == ""


def test_markdown_says_how_it_was_measured_and_what_was_not(tmp_path: Path) -> None:
    names = [f"clip{k}" for k in range(9)]
    silent = [VideoResult("ours", name, name, 50, size=(128, 128), reasons={"lip_lag": "too short"}) for name in names]
    results = [*silent, *_faces(TRUTH, [30] * 4)]
    report = a_report([summary(LIP_LAG, results), summary(FRECHET_EXPRESSION, results)], results)
    text = markdown_report(report)
    method = (
        "crop: none",
        "resize: bicubic",
        "seed 3",
        "a face mesh",
        "needs weights",
        "120 vectors",
        "svp-portrait 1",
    )
    for said in (*method, f"lip_lag of ours: too short: {', '.join(names)}"):
        assert said in text, said
    write_html(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<details>" in page and all(name in page for name in names)


def test_markdown_names_ten_videos_of_many() -> None:
    silent = [
        VideoResult("ours", f"clip{k:02d}", "", 50, size=(128, 128), reasons={"lip_lag": "too short"})
        for k in range(12)
    ]
    text = markdown_report(a_report([summary(LIP_LAG, silent)], silent))
    assert "clip09 and 2 more, all in the .json" in text and "clip10" not in text
