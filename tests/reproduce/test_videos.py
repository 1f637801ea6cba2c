"""Tables and figures of generated videos: which clips are made again from what, exactly how, once; what is measured."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from acted import FRAMES, MOODS, PORTRAITS, SIZE, make_dataset, make_model

from svp.cli import app
from svp.datasets.manifest import MANIFEST_NAME, read_manifest, write_manifest
from svp.datasets.prepared import PreparedDataset
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.portrait import Portrait
from svp.errors import InputError
from svp.face.head_kps import seen_head_kps
from svp.face.model import FaceModel
from svp.face.mouth import corner_lift
from svp.media.image import read_image
from svp.media.video import FPS, read_frames
from svp.reproduce.case import Case, crossings, in_style_of_others, reconstructions, transfers
from svp.reproduce.experiment import Experiment
from svp.reproduce.figure4 import leakage
from svp.reproduce.figure6 import corners
from svp.reproduce.watched import frames_at, watch
from svp.weights.config import TRAINING_RECORD
from workers_here import WorkersHere

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True, scope="module")
def here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("svp.jobs.run.Workers", WorkersHere)
        patch.setattr("svp.reproduce.interval.RESAMPLES", 50)
        patch.setattr("svp.evaluation.summary.RESAMPLES", 50)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("acted") / "dataset")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def deterministic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "deterministic", 1, deterministic=True)


@pytest.fixture(scope="module")
def out(data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both tables were made of two clips; a system `true` has the true clips."""
    folder, cache = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVP_CACHE", str(cache))
        run("table1", data, model, folder, "--system", f"true={data / 'clips'}")
        run("table2", data, model, folder, "--system", f"true={data / 'clips'}")
    return folder


def run(name: str, data: Path, model: Path, output: Path, *more: object) -> None:
    own = ["--limit", 2, "--steps", 1, "--workers", 1]
    arguments = ["reproduce", name, "--data", data, "--model", model, "-o", output, *own, *more]
    app(args=list(map(str, arguments)), standalone_mode=False)


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def mean(table: dict, metric: str, system: str) -> float | None:
    [found] = [m for m in table["report"]["metrics"] if m["name"] == metric]
    return next(row["mean"] for row in found["rows"] if row["system"] == system)


def ids(case: Case) -> tuple[str, str, str | None]:
    return case.target.clip_id, case.reference.clip_id, case.style and case.style.clip_id


def test_cases_are_of_the_split_and_from_elsewhere(data):
    dataset = PreparedDataset(data)
    made_again = [ids(case) for case in reconstructions(dataset, "test", None)]
    assert len(made_again) == 6 and all(target == style for target, _, style in made_again)
    assert ("ada_happy", "ada_neutral", "ada_happy") in made_again  # no other happy clip of her
    assert all(a != b and a[:3] == b[:3] for a, b, _ in made_again)
    moved = transfers(dataset, "test", None)
    assert [ids(case)[:2] for case in moved] == [
        (f"{who}_{mood}", f"{who}_neutral") for who in ("ada", "bianca") for mood in ("happy", "sad")
    ]
    lent = [ids(case)[2] for case in in_style_of_others(dataset, "test", moved)]
    assert lent == ["bianca_happy", "bianca_sad", "ada_happy", "ada_sad"]
    crossed = crossings(dataset, "unseen", None)
    assert len(crossed) == 3 and all(case.target.emotion == "neutral" for case in crossed)
    assert all(case.style.identity != case.target.identity and case.style.emotion != "neutral" for case in crossed)
    assert [ids(case)[0] for case in reconstructions(dataset, "test", 2)] == ["ada_happy", "bianca_sad"]


def test_table1_has_our_row_the_truth_other_systems_and_the_paper(out, data):
    table, text = read(out, "table1"), (out / "table1.md").read_text()
    assert [row["target"] for row in table["cases"]["Ours"]] == ["ada_happy", "bianca_sad"]
    assert {clip["name"] for clip in table["report"]["clips"]} == {"ada_happy", "bianca_sad"}
    assert mean(table, "psnr", "true") == 100 and mean(table, "psnr", "Ours") < 40
    assert not table["report"]["problems"] and not table["problems"]
    assert "| true | – | – | **100.00** | **1.0000** | **0.00** | **0.00** | – |" in text
    assert "| *paper, other data (HDTF): Ours* | 102.40 | 10.39 | 26.38 | 0.8800 | 22.95 | 26.01 | 0.20/5.40 |" in text
    assert "FVD: needs I3D of Kinetics-400; `svp import i3d" in text and "--steps 1" in text
    assert "1 Euler step (the paper's figures: 25), guidance 3.5 to the sound, 3.5 to the style" in text
    assert read_image(out / "table1.png").std() > 5


def test_a_video_is_that_of_the_pipeline_on_the_frame_as_it_is(out, data, model, tmp_path):
    dataset = PreparedDataset(data)
    target, reference = dataset.clip("ada_happy"), dataset.clip("ada_neutral")
    shown = read_image(out / "videos" / "references" / "ada_neutral.png")
    [at] = [n for n in range(FRAMES) if np.array_equal(reference.frames(n, n + 1)[0], shown)]
    pipeline = SVPPipeline.from_pretrained(model)
    pipeline.stream(
        Portrait.of_crop(shown, reference.features("landmarks")[at]),
        target.audio_path,
        target.video_path,
        seen_head_kps(target.features("landmarks")),
        retarget="none",
        num_inference_steps=1,
    ).save(tmp_path / "own.mp4")
    made = out / "videos" / "reconstruction" / "ours" / "ada_happy.mp4"
    for ours, theirs in zip(read_frames(made, None), read_frames(tmp_path / "own.mp4", None), strict=True):
        assert np.array_equal(ours, theirs)  # the files are signed, each at its own time


def test_table2_has_rows_without_style_and_with_that_of_others(out):
    table = read(out, "table2")
    assert list(table["report"]["systems"]) == ["true", "Ours w/o style", "Ours, another person's style", "Ours"]
    assert {case["reference"] for case in table["cases"]["Ours"]} == {"ada_neutral", "bianca_neutral"}
    assert [case["style"] for case in table["cases"]["Ours w/o style"]] == [None, None]
    assert [case["style"] for case in table["cases"]["Ours, another person's style"]] == ["bianca_happy", "ada_sad"]
    assert len({mean(table, "psnr", name) for name in table["cases"]}) == 3
    assert "392.31 | 56.69 | 22.07 | 0.8210 | 6.76 | 8.44 | 0.77/4.14 | 0.8473 |" in (out / "table2.md").read_text()


def test_figure3_shows_the_videos_of_the_tables_and_makes_none_again(out, data, model, tmp_path):
    theirs = tmp_path / "theirs" / "reconstruction"
    theirs.mkdir(parents=True)
    shutil.copy(data / "clips" / "ada_happy.mp4", theirs)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(PORTRAITS / "edgar.png", pictures)
    before = {path: path.stat().st_mtime_ns for path in out.glob("videos/*/ours/*.mp4")}
    run("figure3", data, model, out, "--system", f"theirs={theirs.parent}", "--portraits", pictures)
    assert {path: path.stat().st_mtime_ns for path in out.glob("videos/*/ours/*.mp4")} == before and len(before) == 4
    figure = read(out, "figure3")
    assert figure["columns"] == ["reference", "theirs", "Ours", "ground truth"] and len(figure["rows"]) == 8
    assert figure["portraits"]["styles"] == {"happy": "ada_happy", "sad": "ada_sad"}
    missing = [problem for problem in figure["problems"] if problem.startswith("theirs: no video")]
    assert len(missing) == 3
    assert (out / "figure3.png").is_file() and (out / "figure3_portraits.png").is_file()
    made = list(read_frames(out / "videos" / "portraits" / "happy" / "edgar.mp4", FPS))
    assert len(made) == FRAMES and made[0].shape == (SIZE, SIZE, 3)


def test_figure4_compares_two_kinds_and_leakage_finds_the_person(data, model, deterministic, tmp_path, monkeypatch):
    monkeypatch.setenv("SVP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"--model .*: its prior is deterministic, a probabilistic one is needed"):
        run("figure4", data, deterministic, tmp_path, "--against", model)
    run("figure4", data, model, tmp_path, "--against", deterministic, "--limit", 1)
    figure = read(tmp_path, "figure4")
    assert [m["kind"] for m in figure["setting"]["models"]] == ["probabilistic", "deterministic"]
    assert {row["kind"] for row in figure["probes"]} == {"probabilistic", "deterministic"}
    assert len(figure["cases"]) == 1 and (tmp_path / "figure4.png").is_file()
    measured = {row["system"] for row in figure["leakage"]}
    told = {problem.partition(",")[0] for problem in figure["problems"]}
    assert measured | told == {"probabilistic", "deterministic", "without style"} and not measured & told
    videos = {path.parent.name: path.read_bytes() for path in tmp_path.glob("videos/crossing/*/ada_neutral.mp4")}
    assert len(set(videos.values())) == 3

    dataset = PreparedDataset(data)
    experiment = Experiment(dataset, str(model), tmp_path)
    cases = crossings(dataset, "unseen", None)
    clips = {row.clip_id: dataset.clip(row.clip_id).video_path for row in dataset.accepted()}
    seen = watch(list(clips.values()), None, 1)
    for of, nearer in ((lambda case: case.style, 1.0), (lambda case: case.target, 0.0)):
        made = {case.target.clip_id: clips[of(case).clip_id] for case in cases}
        found = leakage(experiment, "copies", "shape", cases, made, seen)
        assert found.videos == 3 and found.nearer_source.mean == nearer
        assert {found.to_source.mean, found.to_person.mean} == {0.0, found.apart.mean}


def test_figure6_mixes_two_styles_and_measures_the_corners(data, model, tmp_path, monkeypatch):
    monkeypatch.setenv("SVP_CACHE", str(tmp_path / "cache"))
    run("figure6", data, model, tmp_path, "--limit", 1)
    figure = read(tmp_path, "figure6")
    assert figure["styles"] == ["ada_sad", "ada_happy"] and len(figure["curves"]) == 1
    made = sorted(tmp_path.glob("videos/interpolation/*/ada_neutral.mp4"))
    assert [path.parent.name for path in made] == ["0000", "0167", "0333", "0500", "0667", "0833", "1000"]
    assert len({path.read_bytes() for path in made}) == 7
    width = read_image(tmp_path / "figure6.png").shape[1]
    assert width > 8 * 160 and "| mean |" in (tmp_path / "figure6.md").read_text()
    dataset = PreparedDataset(data)
    clips = {mood: dataset.clip(f"ada_{mood}").video_path for mood in MOODS}
    seen = watch(list(clips.values()), None, 1)
    lift = {mood: corners(seen[path]) for mood, path in clips.items()}
    for k in range(2):
        assert lift["sad"][k] < lift["neutral"][k] < lift["happy"][k]
    assert corners("no face") is None


def test_frames_at_moments_are_those_of_the_whole_video(data):
    path = data / "clips" / "ada_happy.mp4"
    whole = list(read_frames(path, FPS))
    for moments in ([0.0, 1.0], [0.7, 0.3], [0.5]):
        shown = [whole[round(moment * (FRAMES - 1))] for moment in moments]
        np.testing.assert_array_equal(frames_at(path, moments), shown)


def test_corner_lift_does_not_depend_on_size_place_and_roll():
    model = FaceModel.load()
    units = np.array([1.0 if name.startswith("mouthSmile") else 0.0 for name in model.unit_names])
    identity = np.zeros(model.identity.shape[0], np.float32)
    smile, rest = (model.shape(identity, units * k)[None] for k in (1.0, 0.0))
    lift = corner_lift(smile)
    assert lift > corner_lift(rest) + 0.02
    turn = np.array([[np.cos(0.5), -np.sin(0.5), 0], [np.sin(0.5), np.cos(0.5), 0], [0, 0, 1]])
    np.testing.assert_allclose(corner_lift(7 * smile @ turn.T + 30), lift, rtol=1e-4)


def test_what_cannot_be_made_is_said_in_one_line(data, model, deterministic, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"no clip with picture and sound in split train \(test: 6, val: 3\)"):
        run("table1", data, model, out, "--split", "train")
    with pytest.raises(InputError, match=r"no clip of emotion angry .*--between"):
        run("figure6", data, model, out, "--between", "angry", "happy")
    with pytest.raises(InputError, match="shows one person"):
        run("figure4", data, model, out, "--split", "val", "--against", deterministic)
    with pytest.raises(InputError, match="name of a row of the table"):
        run("table1", data, model, out, "--system", f"Ours={data / 'clips'}")
    with pytest.raises(InputError, match="holds no picture"):
        run("figure3", data, model, out, "--portraits", data)
    with pytest.raises(InputError, match=r"prior: its style layers were not trained with its prior.*svp train style"):
        prior = shutil.copytree(model, tmp_path / "prior")
        stages = [{"stage": name} for name in ("appearance", "motion", "prior", "style", "prior")]
        (prior / TRAINING_RECORD).write_text(json.dumps(stages))
        run("table2", data, prior, out)
    with pytest.raises(InputError, match=r"not distilled for few steps"):
        run("table1", data, model, out, "--fast", "turbo")
    with pytest.raises(InputError, match=r"clips of 128 pixels, but .* makes 256; prepare the dataset with --size 256"):
        index = json.loads((model / "model_index.json").read_text())
        index["settings"]["image_size"] = 256
        large = shutil.copytree(model, tmp_path / "large")
        (large / "model_index.json").write_text(json.dumps(index))
        run("table1", data, large, out)
    unnamed = shutil.copytree(data, tmp_path / "unnamed")
    rows = [row.model_copy(update={"emotion": "unknown"}) for row in read_manifest(unnamed / MANIFEST_NAME)]
    write_manifest(unnamed / MANIFEST_NAME, rows)
    with pytest.raises(InputError, match=r"neutral clip and one with another emotion.*clips\.csv"):
        run("table2", unnamed, model, out)
    assert not list(out.glob("*.json")) and not list(out.glob("videos/*/*"))
