"""`svp prepare` run again: after being killed, with other options, on a cluster; and what it leaves to look at."""

import csv
import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from portrait_clips import portrait, swaying, write_clip, write_portrait_clip

from svp.datasets import prepare
from svp.datasets.prepare import prepare_folder
from svp.datasets.prepared import PreparedDataset
from svp.media.image import read_image

OPTIONS: dict[str, Any] = {"size": 48, "audio_encoder": "log-mel", "progress": False}
KILLS = 10
TABLE = "file,identity,emotion,intensity\na.mp4,ann,neutral,0\nb.mp4,ann,happy,2\nc.mp4,bob,happy,3\nd.mp4,bob,,\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    write_portrait_clip(root / "a.mp4", "ada", 11)
    write_portrait_clip(root / "b.mp4", "ada", 16)
    write_portrait_clip(root / "c.mp4", "edgar", 12, sound=False)
    (root / "d.mp4").write_text("not a video\n" * 99)
    (root / "clips.csv").write_text(TABLE)
    return root


@pytest.fixture(scope="module")
def prepared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared") / "set"
    prepare_folder(folder, root, **OPTIONS)
    return root


def files_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def finished(root: Path) -> dict[str, int]:
    """When the features of the clips whose rows a killed run has committed were written."""
    rows = [json.loads(path.read_text()) for path in (root / "rows").glob("[!.]*.json")]
    names = [row["clip_id"] for row in rows if row["status"] == "ok" and row["recipe"]]
    return {name: (root / "features" / f"{name}.safetensors").stat().st_mtime_ns for name in names}


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(folder: Path, prepared: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["svp.datasets.prepare"])
    wanted, moments, kills, number = files_of(prepared), random.Random(0), 0, 0

    def start(root: Path) -> Any:
        process = context.Process(target=prepare_folder, args=(folder, root), kwargs=OPTIONS)
        process.start()
        return process

    for name in ("warm", "timed"):  # the first one waits for the imports
        begin = time.monotonic()
        start(tmp_path / name).join()
    length = time.monotonic() - begin
    done: dict[str, int] = {}
    while kills < KILLS:
        root = tmp_path / f"set{number}"
        process = start(root)
        process.join(moments.uniform(0, length))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        assert process.exitcode in (0, -signal.SIGKILL)
        assert {name: done[name] for name in done if (root / "rows").is_dir()}.items() <= finished(root).items()
        done = finished(root)
        if process.exitcode == 0:
            assert files_of(root) == wanted
            number, done = number + 1, {}
    written = finished(tmp_path / f"set{number}")
    process = start(tmp_path / f"set{number}")
    process.join()
    assert files_of(tmp_path / f"set{number}") == wanted
    for name, moment in written.items():
        assert (tmp_path / f"set{number}" / "features" / f"{name}.safetensors").stat().st_mtime_ns == moment


def test_another_sound_encoder_makes_only_sound_features_anew(
    folder: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from svp.datasets import extract
    from svp.speech.alpha import load_audio_encoder

    class Louder:
        id, size = "louder", load_audio_encoder("log-mel").size

        def encode(self, *sound: Any) -> Any:
            return 2 * load_audio_encoder("log-mel").encode(*sound)

    root = tmp_path / "set"
    prepare_folder(folder, root, **OPTIONS)
    before = files_of(root)
    log_mel = extract.shared_audio_encoder("log-mel")
    chosen = {"log-mel": log_mel, "louder": Louder()}
    for module in (extract, prepare):
        monkeypatch.setattr(module, "shared_audio_encoder", chosen.__getitem__)
    monkeypatch.setattr(prepare, "extract_clips", None)
    report = prepare_folder(folder, root, **OPTIONS | {"audio_encoder": "louder"})
    assert report.changed == ("audio_encoder log-mel -> louder",) and report.kept == 1
    dataset, old = PreparedDataset(root), PreparedDataset(prepared)
    assert dataset.audio_encoder == "louder"
    for row in dataset.accepted():
        clip, was = dataset.clip(row.clip_id), old.clip(row.clip_id)
        np.testing.assert_array_equal(clip.features("audio"), 2 * was.features("audio"))
        np.testing.assert_array_equal(clip.features("expression"), was.features("expression"))
    after = files_of(root)
    assert {name for name in before if before[name] != after[name]} == {
        "dataset.json", "manifest.parquet", *(f"features/{name}.safetensors" for name in "abc")
    }  # fmt: skip
    prepare_folder(folder, root, **OPTIONS)
    assert files_of(root) == before


def test_another_size_or_content_makes_anew_what_depends_on_it(
    folder: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, root = tmp_path / "source", tmp_path / "set"
    source.mkdir()
    for path in folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    prepare_folder(source, root, **OPTIONS | {"size": 32})
    report = prepare_folder(source, root, **OPTIONS)
    assert report.kept == 0 and "size 32 -> 48" in report.changed and files_of(root) == files_of(prepared)
    read: list[str] = []
    extract = prepare.extract_clips
    monkeypatch.setattr(prepare, "extract_clips", lambda job, *rest: read.append(job.name) or extract(job, *rest))
    write_clip(source / "b.mp4", swaying(portrait("bianca"), 12))
    (source / "a.mp4").touch()  # another time, the same content
    assert prepare_folder(source, root, **OPTIONS).kept == 3 and read == ["b.mp4"]
    (source / "b.mp4").unlink()
    (source / "clips.csv").write_text(TABLE.replace("b.mp4,ann,happy,2\n", ""))
    assert prepare_folder(source, root, **OPTIONS).dropped == 0
    assert len(PreparedDataset(root)) == 3  # what is gone from the folder stays, as long as it fits
    report = prepare_folder(source, root, **OPTIONS | {"size": 32})
    assert report.dropped == 1 and "1 clips left the dataset" in str(report)
    assert [row.clip_id for row in PreparedDataset(root).accepted()] == ["a", "c"]


def test_report_sheets_and_speech(folder: Path, prepared: Path, tmp_path: Path) -> None:
    report = str(prepare_folder(folder, prepared, **OPTIONS))
    assert "4 source files were done before" in report and "not a readable media file" in report
    table = [line.split() for line in report.splitlines()]
    assert ["identity", "neutral", "happy"] in table and ["ann", "0", "1"] in table and ["bob", "0", "0"] in table
    with (prepared / "speech.csv").open() as file:
        lines = {(line["identity"], line["emotion"]): line for line in csv.DictReader(file)}
    assert lines["ann", "happy"]["speech_seconds"] == "0.64" and lines["bob", "happy"]["speech_seconds"] == "0.00"
    assert lines["bob", "happy"]["seconds"] == "0.48" and len(lines) == 3
    sheets = {path.name: read_image(path) for path in (prepared / "sheets").iterdir()}
    assert set(sheets) == {"ann.png", "bob.png"}
    assert sheets["ann.png"].shape[0] > 1.8 * sheets["bob.png"].shape[0]  # a row per emotion


def test_a_cluster_gives_the_dataset_of_one_machine(
    folder: Path, prepared: Path, tmp_path: Path, ray_head: tuple[subprocess.Popen, str]
) -> None:
    command = [sys.executable, "-m", "svp.cli", "prepare", folder, tmp_path / "set", "--size", 48, "--ray", ray_head[1]]
    command += ["--audio-features", "log-mel", "--workers", 2]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "3 clips of 2 identities accepted" in done.stdout and "s of video per second" in done.stderr
    assert files_of(tmp_path / "set") == files_of(prepared)


def test_latents_of_a_model_are_cached_as_training_wants_them(folder: Path, tmp_path: Path) -> None:
    from svp.cli import app
    from svp.datasets.latents import LatentCache, vae_fingerprint
    from svp.diffusion.pipeline import SVPPipeline

    sys.path.append(str(Path(__file__).parents[1] / "diffusion"))
    from tiny_pipeline import tiny_pipeline

    tiny_pipeline().save_pretrained(tmp_path / "model")
    command = ["prepare", folder, tmp_path / "set", "--size", 48, "--workers", 1]
    command += ["--audio-features", "log-mel", "--latents", tmp_path / "model"]
    app(args=list(map(str, command)), standalone_mode=False)
    vae = SVPPipeline.from_pretrained(tmp_path / "model").vae
    cached = LatentCache(tmp_path / "set" / "latents" / vae_fingerprint(vae), scaling_factor=1.0)
    for row in PreparedDataset(tmp_path / "set").accepted():
        mean, logvar = cached.moments(row.clip_id)
        assert len(mean) == len(logvar) == row.frames
