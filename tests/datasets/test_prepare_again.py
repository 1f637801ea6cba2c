"""`svp prepare` run again: after being killed, with other options, on a cluster; and what it leaves to look at."""

import csv
import json
import os
import random
import shutil
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from portrait_clips import portrait, swaying, write_clip, write_portrait_clip

from svp.datasets import extract, prepare, source_job
from svp.datasets.audio_offset import AudioOffset
from svp.datasets.manifest import ClipRow
from svp.datasets.prepare import PrepareReport, prepare_folder
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.media.hashing import sha256_file
from svp.media.image import read_image
from svp.media.only_writer import only_writer
from warm_process import start_process

pytestmark = pytest.mark.long

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


@pytest.fixture
def begun(folder: Path, prepared: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the folder and of its dataset, to be changed."""
    return shutil.copytree(folder, tmp_path / "source"), shutil.copytree(prepared, tmp_path / "set")


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "extract_clips", None)


def finished(root: Path) -> dict[str, int]:
    """When the features of the clips whose rows a killed run has committed were written."""
    rows = [json.loads(path.read_text()) for path in (root / "rows").glob("[!.]*.json")]
    names = [row["clip_id"] for row in rows if row["status"] == "ok" and row["recipe"]]
    return {name: (root / "features" / f"{name}.safetensors").stat().st_mtime_ns for name in names}


def wait_for(path: Path, pattern: str) -> None:
    while not any(path.glob(pattern)):
        time.sleep(0.01)


def start(folder: Path, root: Path, **options: Any) -> BaseProcess:
    return start_process(prepare_folder, folder, root, **OPTIONS | options)


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(folder: Path, prepared: Path, tmp_path: Path) -> None:
    wanted, moments, kills, number = files_of(prepared), random.Random(0), 0, 0
    process = start(folder, tmp_path / "warm")  # waits for the imports
    wait_for(tmp_path / "warm", "dataset.json")
    process.kill()
    begin = time.monotonic()
    start(folder, tmp_path / "timed").join()
    length = time.monotonic() - begin
    done: dict[str, int] = {}
    while kills < KILLS:
        root = tmp_path / f"set{number}"
        process = start(folder, root)
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
    process = start(folder, tmp_path / f"set{number}")
    process.join()
    assert files_of(tmp_path / f"set{number}") == wanted
    for name, moment in written.items():
        assert (tmp_path / f"set{number}" / "features" / f"{name}.safetensors").stat().st_mtime_ns == moment


def test_killed_while_two_workers_work(folder: Path, prepared: Path, tmp_path: Path) -> None:
    process = start(folder, tmp_path / "set", workers=2)
    wait_for(tmp_path / "set", "rows/[!.]*.json")
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.join()
    psutil.wait_procs(workers)  # they see that nobody waits for them
    assert (tmp_path / "set" / "rows").is_dir()
    assert prepare_folder(folder, tmp_path / "set", **OPTIONS).kept >= 1
    assert files_of(tmp_path / "set") == files_of(prepared)


def test_killed_between_files_and_rows(
    folder: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "set"
    seen: list[str] = []
    extract_clips = prepare.extract_clips

    def dying(source: Any, *rest: Any) -> Any:
        rows = extract_clips(source, *rest)  # its files are written, its rows are not
        seen.append(source.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return rows

    monkeypatch.setattr(prepare, "extract_clips", dying)
    with pytest.raises(KeyboardInterrupt):
        prepare_folder(folder, root, **OPTIONS)
    monkeypatch.setattr(prepare, "extract_clips", extract_clips)
    done = len(list((root / "rows").glob("*.json")))
    assert prepare_folder(folder, root, **OPTIONS).kept == done and 1 <= done < 4
    assert files_of(root) == files_of(prepared)

    monkeypatch.setattr(prepare, "extract_clips", None)  # nothing is done again
    assert prepare_folder(folder, root, **OPTIONS).kept == 4
    assert files_of(root) == files_of(prepared)
    with pytest.raises(InputError, match="is already a prepared dataset; go on with it by --resume"):
        prepare_folder(folder, root, resume=False, **OPTIONS)
    with pytest.raises(InputError, match="seed=0, not seed=1"):
        prepare_folder(folder, root, seed=1, **OPTIONS)
    with only_writer(root, "testing it"), pytest.raises(InputError, match="another run is preparing it"):
        prepare_folder(folder, root, **OPTIONS)


@pytest.mark.usefixtures("nothing_is_read")
def test_clips_stay_whose_source_is_gone_or_cannot_be_read(
    begun: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, root = begun
    before = files_of(root)

    def fail(path: Path) -> str:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(source_job, "sha256_file", fail)
        report = prepare_folder(source, root, **OPTIONS)
    assert report.gone == 3 and [row.clip_id for row in report.accepted] == ["a", "b", "c"]
    (source / "b.mp4").unlink()
    (source / "clips.csv").write_text(TABLE.replace("b.mp4,ann,happy,2", "b.mp4,ann,happy,3"))
    report = prepare_folder(source, root, **OPTIONS)
    assert report.gone == 1 and "1 source files are gone or cannot be read; their clips stay" in str(report)
    after = files_of(root)
    assert all(after[name] == before[name] for name in before if name.startswith(("clips/", "features/")))
    assert PreparedDataset(root).clip("b").row.intensity == 3
    (source / "clips.csv").unlink()
    assert len(prepare_folder(source, root, **OPTIONS).accepted) == 3  # nobody names it any more


def test_a_file_is_hashed_again_where_its_size_date_or_number_changed(
    begun: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, root = begun
    read: list[str] = []
    monkeypatch.setattr(source_job, "sha256_file", lambda path: read.append(path.name) or sha256_file(path))

    def again(**options: Any) -> list[str]:
        read.clear()
        assert prepare_folder(source, root, **OPTIONS | options).kept == 4
        return sorted(read)

    everything = ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    assert again() == everything  # copies have other numbers
    assert again() == []
    (source / "b.mp4").touch()
    shutil.copy2(source / "c.mp4", tmp := source / "c.new")
    tmp.replace(source / "c.mp4")
    assert again() == ["b.mp4", "c.mp4"]
    assert again() == []
    assert again(rehash=True) == everything
    state = (source / "a.mp4").stat()
    content = bytearray((source / "a.mp4").read_bytes())
    content[-1] ^= 1
    (source / "a.mp4").write_bytes(content)
    os.utime(source / "a.mp4", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert again() == []  # nothing shows
    assert prepare_folder(source, root, rehash=True, **OPTIONS).kept == 3


@pytest.mark.usefixtures("nothing_is_read")
def test_a_file_of_another_folder_does_not_replace_one_of_its_name(begun: tuple[Path, Path], tmp_path: Path) -> None:
    _, root = begun
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.mp4").write_text("another clip")
    for _ in range(2):  # the second run does not take the folder for the clip's own
        report = prepare_folder(tmp_path / "other", root, **OPTIONS)
        assert report.namesakes == ("a.mp4",) and "(such as a.mp4); rename them" in str(report)
    assert len(PreparedDataset(root).clip("a").frames()) == 11
    assert {row.clip_id for row in report.rejected} == {"d"}


def test_names_need_not_be_utf8(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "source" / os.fsdecode(b"caf\xe9")
    try:
        place.mkdir(parents=True)
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    shutil.copy(folder / "c.mp4", place / os.fsdecode(b"\xe9t\xe9.mp4"))
    (place / os.fsdecode(b"\xe9.mp4")).write_bytes(b"")
    report = prepare_folder(tmp_path / "source", tmp_path / "set", **OPTIONS)
    (row,), (bad,) = report.accepted, report.rejected
    assert (row.source, row.identity) == ("caf\\xe9/\\xe9t\\xe9.mp4", "caf\\xe9")
    assert bad.reason.startswith("the file is empty") and "caf\\xe9" in str(report)
    assert PreparedDataset(tmp_path / "set").rows == [*report.rejected, *report.accepted]
    assert len(list((tmp_path / "set" / "sheets").iterdir())) == 1


def test_sound_that_is_early_is_measured_rejected_or_moved(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    shutil.copy(folder / "a.mp4", tmp_path / "source")
    measured = AudioOffset(0.3, correlation=0.9, prominence=0.5, certain=True)
    monkeypatch.setattr(extract, "estimate_audio_offset", lambda *what: measured)
    (row,) = prepare_folder(tmp_path / "source", tmp_path / "set", **OPTIONS).rejected
    assert row.reason == "its sound is 0.30 s early; move it by --correct-offset"
    assert (row.remaining_offset, row.offset_certain, row.audio_offset) == (0.3, True, 0.0)
    (row,) = prepare_folder(tmp_path / "source", tmp_path / "set", correct_offset=True, **OPTIONS).accepted
    assert (row.remaining_offset, row.offset_certain, row.audio_offset) == (0.0, True, 0.3)
    sound = PreparedDataset(tmp_path / "set").clip("a").audio()
    assert not sound[: round(0.29 * 16000)].any() and sound[round(0.31 * 16000) :].any()


def test_another_sound_encoder_makes_only_sound_features_anew(
    folder: Path, begun: tuple[Path, Path], prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from svp.speech.alpha import load_audio_encoder

    class Louder:
        id, size = "louder", load_audio_encoder("log-mel").size

        def encode(self, *sound: Any) -> Any:
            return 2 * load_audio_encoder("log-mel").encode(*sound)

    _, root = begun
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
    begun: tuple[Path, Path], prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, root = begun
    read: list[str] = []
    extract_clips = prepare.extract_clips
    monkeypatch.setattr(prepare, "extract_clips", lambda job, *rest: read.append(job.name) or extract_clips(job, *rest))
    (source / "a.mp4").touch()  # another time, the same content
    assert prepare_folder(source, root, **OPTIONS).kept == 4 and not read  # also in another place
    write_clip(source / "b.mp4", swaying(portrait("bianca"), 12))
    assert prepare_folder(source, root, **OPTIONS).kept == 3 and read == ["b.mp4"]
    (source / "b.mp4").unlink()
    (source / "clips.csv").write_text(TABLE.replace("b.mp4,ann,happy,2\n", ""))
    assert prepare_folder(source, root, **OPTIONS).dropped == 0
    assert len(PreparedDataset(root)) == 3  # what is gone from the folder stays, as long as it fits
    report = prepare_folder(source, root, **OPTIONS | {"size": 32})
    assert report.dropped == 1 and "1 clips left the dataset" in str(report)
    assert report.kept == 0 and "size 48 -> 32" in report.changed
    assert [row.clip_id for row in PreparedDataset(root).accepted()] == ["a", "c"]
    prepare_folder(source, root, **OPTIONS)
    after, wanted = files_of(root), files_of(prepared)
    clips = [name for name in wanted if name.startswith(("clips/", "features/")) and "/b." not in name]
    assert len(clips) == 6 and all(after[name] == wanted[name] for name in clips)


def test_report_sheets_and_speech(folder: Path, prepared: Path, tmp_path: Path) -> None:
    report = str(prepare_folder(folder, prepared, **OPTIONS))
    assert "4 source files were done before" in report and "not a readable media file" in report
    assert "test: nobody" in report and "train: the other 2 identities" in report
    table = [line.split() for line in report.splitlines()]
    assert ["identity", "neutral", "happy"] in table and ["ann", "0", "1"] in table and ["bob", "0", "0"] in table
    with (prepared / "speech.csv").open() as file:
        lines = {(line["identity"], line["emotion"]): line for line in csv.DictReader(file)}
    assert lines["ann", "happy"]["speech_seconds"] == "0.64" and lines["bob", "happy"]["speech_seconds"] == "0.00"
    assert lines["bob", "happy"]["seconds"] == "0.48" and len(lines) == 3
    sheets = {path.name: read_image(path) for path in (prepared / "sheets").iterdir()}
    assert set(sheets) == {"ann.png", "bob.png"}
    assert sheets["ann.png"].shape[0] > 1.8 * sheets["bob.png"].shape[0]  # a row per emotion


def test_rejections_of_one_kind_are_told_with_the_numbers_of_one() -> None:
    row = ClipRow(clip_id="a", source="a.mp4", sha256="", identity="ann")
    few, many = row.rejected("has only 3 frames; give more"), row.rejected("has only 7 frames; give more")
    many = many.model_copy(update={"clip_id": "b", "source": "b.mp4"})
    other = row.model_copy(update={"clip_id": "c", "source": "c.mp4"}).rejected("has no sound")
    lines = str(PrepareReport((), (other, many, few), kept=0)).splitlines()
    assert [line.split(maxsplit=1) for line in lines[2:4]] == [
        ["2", "has only 3 frames; give more (such as a.mp4)"],
        ["1", "has no sound (c.mp4)"],
    ]


@pytest.mark.usefixtures("nothing_is_read")
def test_latents_of_a_model_are_cached_as_training_wants_them(begun: tuple[Path, Path], tmp_path: Path) -> None:
    from svp.cli import app
    from svp.datasets.latents import LatentCache, vae_fingerprint
    from svp.diffusion.pipeline import SVPPipeline

    sys.path.append(str(Path(__file__).parents[1] / "diffusion"))
    from tiny_pipeline import tiny_pipeline

    tiny_pipeline().save_pretrained(tmp_path / "model")
    command = ["prepare", *begun, "--resume", "--size", 48, "--workers", 1]
    command += ["--audio-features", "log-mel", "--latents", tmp_path / "model"]
    app(args=list(map(str, command)), standalone_mode=False)
    vae = SVPPipeline.from_pretrained(tmp_path / "model").vae
    cached = LatentCache(tmp_path / "set" / "latents" / vae_fingerprint(vae), scaling_factor=1.0)
    for row in PreparedDataset(tmp_path / "set").accepted():
        mean, logvar = cached.moments(row.clip_id)
        assert len(mean) == len(logvar) == row.frames
