"""`svp generate --jobs`: what a line may say, what is made, kept, set aside, and survives."""

import inspect
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "diffusion"))
from tiny_jobs import line, rows, write, write_inputs
from tiny_pipeline import random_style, tiny_pipeline

from command import svp
from svp.cli import app
from svp.cli.generate import generate
from svp.diffusion import generation
from svp.diffusion.generation import sampling_of
from svp.diffusion.memory_plan import plan_generation
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling import sample_video
from svp.errors import InputError
from svp.jobs import run
from svp.jobs.request import BadLine, VideoJob, VideoRequest, read_jobs
from svp.jobs.run import generate_all
from svp.jobs.work import loaded
from svp.media.hashing import sha256_file
from svp.media.marking import Marking
from svp.media.only_writer import only_writer
from svp.media.verification import verify_video
from svp.media.video import probe, read_frames
from warm_process import WarmCommand, wait_until
from workers_here import WorkersHere

pytestmark = pytest.mark.long

NOT_OF_A_LINE = {"context", "jobs", "workers", "ray", "plan", "max_memory", "size", "seconds", "device"}
NOT_OF_A_LINE |= {"no_provenance", "certificate", "key"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def test_a_line_has_the_options_of_svp_generate_and_their_defaults():
    options = {name: p.default for name, p in inspect.signature(generate).parameters.items()}
    own = {name for name in options if name not in NOT_OF_A_LINE}
    assert own == set(VideoRequest.model_fields)
    request = VideoRequest(portrait="a", audio="b")
    for name in own - {"portrait", "audio", "output", "style"}:
        assert getattr(request, name) == options[name]


def test_one_run_at_a_time_makes_videos_in_a_folder(tmp_path):
    folder = tmp_path / "videos"
    with only_writer(folder, "testing"), pytest.raises(InputError, match="another run is making videos in it"):
        generate_all(write(tmp_path, ["{}"]), folder, progress=False)


def test_bad_lines_are_told_apart(inputs):
    lines = [
        line(**{"style-strength": 1.5, "style": ["happy@0", "sad@0.2"]}),
        "",
        line(nosuch=1),
        line(portrait="nobody.png"),
        "{",
        line(steps=0),
        line(style_strength=2),
        line(output="../away.mp4"),
        line(output="a/b.mp4"),
        line(output="a//b.mp4"),
        line(style="nosuch"),
        line(model="nomodel"),
        {"audio": "short.wav"},
        [1],
        line(gaze=[10, -5], face_box=[60, 60, 130, 160], frame="full", aspect="4:3", output="c.mp4"),
        line(gaze=[50, 0]),
        line(**{"mouth-amplitude": 4}),
        line(face_box="1,2"),
        line(aspect="wide"),
        line(label=True, label_text=" "),
    ]
    found = read_jobs(write(inputs, lines, "bad.jsonl"))
    good = [job for job in found if isinstance(job, VideoJob)]
    assert [(job.line, job.output) for job in good] == [(1, "000001.mp4"), (9, "a/b.mp4"), (15, "c.mp4")]
    assert [(cue.seconds, cue.path.is_file()) for cue in good[0].cues] == [(0, True), (0.2, True)]
    reasons = {job.line: job.reason for job in found if isinstance(job, BadLine)}
    expected = {3: "nosuch", 4: "nobody.png: no such file", 5: "no JSON object", 6: "steps", 7: "need a style"}
    expected |= {8: "inside the output folder", 10: "line 9 too", 11: "no style of the gallery", 12: "no such model"}
    expected |= {13: "portrait: Field required", 14: "no JSON object", 16: "gaze 50,0", 17: "mouth_amplitude 4"}
    expected |= {18: "face box 1,2", 19: "aspect wide", 20: "no line of text"}
    assert reasons.keys() == expected.keys()
    for number, text in expected.items():
        assert text in reasons[number] and "\n" not in reasons[number]
    with pytest.raises(InputError, match="holds no job"):
        read_jobs(write(inputs, [""], "empty.jsonl"))


def test_keys_change_with_what_the_video_follows_from(inputs, tmp_path):
    def key(**options: object) -> str:
        [job] = read_jobs(write(inputs, [line(**options)], "key.jsonl"))
        return job.key

    assert key() == key(output="other.mp4") == key(style_strength=1.0)
    others = [key(seed=1), key(audio="long.wav"), key(style="happy"), key(style="happy:2"), key(head_motion="still")]
    others += [key(blink_rate=0), key(gaze="5,0"), key(frame="full"), key(aspect="1:1"), key(face_box="9,9,90,90")]
    assert len({key(), *others}) == 11


def test_videos_are_made_once_and_again_when_their_line_changes(inputs, tmp_path, monkeypatch):
    wall = inputs / "wall.png"
    from PIL import Image

    Image.new("RGB", (64, 64), (90, 120, 60)).save(wall)
    lines = [line(), line(seed=1, frame="full", output="deep/er.mp4"), line(portrait="wall.png"), line(nosuch=1)]
    monkeypatch.setattr(run, "CORES", 1)  # the last bits depend on the number of threads; this process has one
    report = generate_all(write(inputs, lines), tmp_path, workers=1, progress=False)
    assert not report.complete and report.kept == 0
    assert [row.status for row in report.rows] == ["ok", "ok", "failed", "rejected"]
    assert "no face found" in report.rows[2].reason and "wall.png" in str(report)
    assert [row["status"] for row in rows(tmp_path)] == ["ok", "ok", "failed", "rejected"]
    assert (report.rows[0].frames, report.rows[0].width, report.rows[0].height) == (15, 32, 32)
    assert probe(tmp_path / "deep/er.mp4").width == report.rows[1].width == 256  # the whole picture
    assert len(list((tmp_path / ".features").iterdir())) == 1  # one portrait for two videos
    assert not list(tmp_path.glob("**/*.partial"))
    written = {name: (tmp_path / name).stat().st_mtime_ns for name in ("000001.mp4", "deep/er.mp4")}

    # the very video of the pipeline
    stream = SVPPipeline.from_pretrained(inputs / "model").stream(
        inputs / "ada.png", inputs / "short.wav", num_inference_steps=2
    )
    stream.save(tmp_path / "own.mp4", Marking(provenance=False))
    own, made = (np.stack(list(read_frames(tmp_path / name))) for name in ("own.mp4", "000001.mp4"))
    assert np.array_equal(own, made)
    found = verify_video(tmp_path / "000001.mp4")
    assert found.state == "valid" and found.facts["inputs"]["portrait"]["sha256"] == sha256_file(inputs / "ada.png")

    monkeypatch.setattr(run, "Workers", WorkersHere)
    lines[1]["seed"] = 2
    again = generate_all(write(inputs, lines[:2]), tmp_path, workers=1, progress=False)
    assert again.complete and again.kept == 1
    assert (tmp_path / "000001.mp4").stat().st_mtime_ns == written["000001.mp4"]
    assert (tmp_path / "deep/er.mp4").stat().st_mtime_ns != written["deep/er.mp4"]

    lines[0] |= {
        "label_text": "AI",
        "style": "own.safetensors",
        "face_box": [40, 30, 180, 200],
    }  # signed and unsigned videos are not the same
    random_style(tiny_pipeline()).save(inputs / "own.safetensors")
    jobs = write(inputs, lines[:1])
    for provenance, kept in ((False, 0), (False, 1), (True, 0)):
        report = generate_all(jobs, tmp_path, workers=1, marking=Marking(provenance=provenance), progress=False)
        assert report.complete and report.kept == kept
        found = verify_video(tmp_path / "000001.mp4")
        assert found.state == ("valid" if provenance else "unsigned")
    assert found.facts["settings"]["face_box"] == "40,30,180,200"
    assert found.facts["label"] == "AI"
    assert [style["sha256"] for style in found.facts["styles"]] == [sha256_file(inputs / "own.safetensors")]


def test_a_limit_of_memory_holds_in_each_worker_and_for_each_job_anew(inputs, tmp_path, monkeypatch):
    model = loaded(str(inputs.resolve() / "model"), None)
    sampling = sampling_of(model, "exact", 2)
    long, short = (plan_generation(model, frames, sampling, styled=False) for frames in (75, 15))
    limit = long.peak - 1  # the long video does not fit as it is
    assert short.peak < limit
    sampled: list[int] = []

    def watched(*given: object, **options: Any) -> Iterator[torch.Tensor]:
        sampled.append(options["chunk"])
        return sample_video(*given, **options)

    monkeypatch.setattr(generation, "sample_video", watched)
    monkeypatch.setattr(run, "Workers", WorkersHere)
    jobs = write(inputs, [line(audio="long.wav"), line()], "limited.jsonl")
    command = ["generate", "--jobs", str(jobs), "-o", str(tmp_path), "--workers", "1", "--max-memory"]
    app([*command, str(limit / 1e9)], standalone_mode=False)
    assert sampled == [4, model.settings.chunk]
    (tmp_path / "000002.mp4").unlink()
    assert app([*command, "0.1"], standalone_mode=False) == 1
    assert [row["status"] for row in rows(tmp_path)] == ["ok", "failed"]
    assert "--max-memory 0.1: this model needs" in rows(tmp_path)[1]["reason"]


def test_an_option_that_no_line_has_is_not_to_be_written_into_one(inputs, tmp_path):
    jobs = write(inputs, [line()], "plain.jsonl")
    for option, remedy in (("--steps=3", "write it into the lines"), ("--seconds=3", "leave it out")):
        with pytest.raises(InputError, match=rf"{option[:-2]}: is for one video; {remedy}"):
            app(["generate", "--jobs", str(jobs), "-o", str(tmp_path), option], standalone_mode=False)


def test_a_worker_killed_in_the_middle_and_a_run_killed_in_the_middle(inputs, tmp_path, monkeypatch):
    jobs = write(inputs, [line(audio="long.wav", seed=n, steps=3) for n in range(3)], "long.jsonl")
    command = ("generate", "--jobs", jobs, "-o", tmp_path, "--workers")
    running = WarmCommand(*command, 2)
    wait_until(lambda: len(list(tmp_path.glob("*.partial/000001.safetensors"))) == 2)
    children = psutil.Process(running.process.pid).children()
    workers = [child for child in children if "LokyProcess" in " ".join(child.cmdline())]
    assert len(workers) == 2
    workers[0].send_signal(signal.SIGKILL)
    wait_until(lambda: (tmp_path / "manifest.jsonl").exists())  # one is done
    running.process.kill()
    running.process.join()
    psutil.wait_procs(workers, timeout=10)
    assert not any(worker.is_running() for worker in workers)
    first = rows(tmp_path)
    assert first and all(row["status"] == "ok" for row in first)
    monkeypatch.setattr(run, "Workers", WorkersHere)
    resumed = svp(*command, 1)
    assert resumed.returncode == 0, resumed.stderr
    assert f"3 of 3 videos are there, {len(first)} of them from before" in resumed.stdout
    assert [row["output"] for row in rows(tmp_path)] == ["000001.mp4", "000002.mp4", "000003.mp4"]
    assert sorted(path.name for path in tmp_path.glob("[0-9]*")) == ["000001.mp4", "000002.mp4", "000003.mp4"]
