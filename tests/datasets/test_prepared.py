"""The prepared-dataset format: what was written is read back, in any part, and nothing half-written counts."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from svp.datasets.description import DATASET_NAME
from svp.datasets.manifest import SCHEMA, ClipRow, read_manifest, write_manifest
from svp.datasets.prepared import KEY_EVERY, DatasetWriter, PreparedDataset
from svp.errors import InputError
from svp.media.audio import read_audio
from svp.media.video import probe, read_frames

SIZE = 48


def make_row(clip_id: str, frames: int, **values: object) -> ClipRow:
    return ClipRow.model_validate(
        {"clip_id": clip_id, "source": f"{clip_id}.mov", "sha256": "ab" * 32, "identity": clip_id, "frames": frames}
        | values
    )


def make_frames(n: int) -> Iterator[np.ndarray]:
    """Frame k is a smooth ramp whose mean brightness tells k."""
    ramp = np.linspace(-20, 20, SIZE)[None, :, None] * np.ones((SIZE, 1, 3))
    for k in range(n):
        yield np.clip(30 + 190 * k / max(n - 1, 1) + ramp, 0, 255).astype(np.uint8)


def make_features(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "expression": rng.random((n, 52), np.float32),
        "audio": rng.standard_normal((n, 1920), np.float32),
        "landmarks": SIZE * rng.random((n, 478, 3), np.float32),
        "head_kps": SIZE * rng.random((n, 8, 2), np.float32),
    }


def make_writer(root: Path, **options: object) -> DatasetWriter:
    return DatasetWriter(root, {"max_seconds": 10.0, **options}, "arkit-52", "log-mel", SIZE)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared") / "set"
    writer = make_writer(root)
    tone = 0.5 * np.sin(np.arange(60 * 640 + 77) / 10)
    writer.add_clip(make_row("ann_1", 60, emotion="happy", intensity=3), make_frames(60), tone, make_features(60))
    writer.add_clip(make_row("bob", 1, split="val"), make_frames(1), None, make_features(1, seed=1))
    writer.reject(make_row("broken", 0).rejected("cannot be read"))
    writer.finish()
    return root


def test_layout_and_manifest(dataset: Path) -> None:
    assert sorted(path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file()) == [
        "clips/ann_1.mp4",
        "clips/ann_1.wav",
        "clips/bob.mp4",
        "clips/bob.wav",
        "dataset.json",
        "features/ann_1.safetensors",
        "features/bob.safetensors",
        "manifest.parquet",
    ]
    table = pq.read_table(dataset / "manifest.parquet")
    assert table.column_names == SCHEMA.names
    assert table["clip_id"].to_pylist() == ["ann_1", "bob", "broken"]
    assert table["status"].to_pylist() == ["ok", "ok", "rejected"]
    assert table["reason"].to_pylist() == ["", "", "cannot be read"]
    assert table["seconds"].to_pylist() == [60 / 25, 1 / 25, 0.0]
    assert table["has_sound"].to_pylist() == [True, False, False]
    description = json.loads((dataset / "dataset.json").read_text())
    assert (description["size"], description["fps"], description["options"]) == (SIZE, 25.0, {"max_seconds": 10.0})
    assert description["versions"]["numpy"] == np.__version__


def test_what_was_written_is_read_back(dataset: Path) -> None:
    prepared = PreparedDataset(dataset)
    assert [row.clip_id for row in prepared.rows] == ["ann_1", "bob", "broken"]
    assert [row.clip_id for row in prepared.accepted()] == ["ann_1", "bob"]
    assert [row.clip_id for row in prepared.accepted("val")] == ["bob"]
    clip = prepared.clip("ann_1")
    with safe_open(clip.features_path, framework="np") as file:
        header = file.metadata()
    assert header == {
        "clip_id": "ann_1",
        "format_version": "1",
        "fps": "25.0",
        "expression_encoder": "arkit-52",
        "audio_encoder": "log-mel",
    }
    for name, values in make_features(60).items():
        stored = clip.features(name)
        assert stored.dtype == (np.float16 if name == "audio" else np.float32)
        np.testing.assert_array_equal(stored, values.astype(stored.dtype))
    means = clip.frames().mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [frame.mean() for frame in make_frames(60)], atol=1.5)
    assert prepared.clip("bob").frames().shape == (1, SIZE, SIZE, 3)
    with pytest.raises(KeyError, match="broken"):
        prepared.clip("broken")


def test_slices_equal_the_whole(dataset: Path) -> None:
    clip = PreparedDataset(dataset).clip("ann_1")
    frames, sound = clip.frames(), clip.audio()
    assert sound.shape == (60 * 640,)
    for start, stop in ((0, 1), (0, 60), (7, 15), (31, 32), (48, 60), (59, 60)):
        np.testing.assert_array_equal(clip.frames(start, stop), frames[start:stop])
        np.testing.assert_array_equal(clip.audio(start, stop), sound[start * 640 : stop * 640])
        for name in ("expression", "audio", "landmarks", "head_kps"):
            np.testing.assert_array_equal(clip.features(name, start, stop), clip.features(name)[start:stop])
    for start, stop in ((-1, 3), (3, 3), (50, 61)):
        with pytest.raises(ValueError, match="not within 0:60"):
            clip.frames(start, stop)


def test_a_frame_is_read_without_decoding_the_clip(dataset: Path) -> None:
    with av.open(str(dataset / "clips" / "ann_1.mp4")) as container:
        stream = container.streams.video[0]
        keys = [round(packet.pts * stream.time_base * 25) for packet in container.demux(stream) if packet.is_keyframe]
    assert keys[0] == 0 and max(np.diff([*keys, 60])) <= KEY_EVERY


class CountingContainer:
    """A container that counts the frames it decodes, into `decoded`."""

    def __init__(self, container: Any, decoded: list[int]) -> None:
        self._container, self._decoded = container, decoded
        self.streams, self.seek = container.streams, container.seek

    def decode(self, stream: Any) -> Iterator[Any]:
        for frame in self._container.decode(stream):
            self._decoded[-1] += 1
            yield frame

    def __enter__(self) -> "CountingContainer":
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()


def test_a_window_costs_no_more_frames_in_a_long_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    window, lengths = 8, (50, 1500)
    writer = make_writer(tmp_path / "set")
    decoded: list[int] = []  # frames, by reading
    for frames in lengths:
        writer.add_clip(make_row(f"s{frames}", frames), make_frames(frames), None, make_features(frames))
    writer.finish()
    dataset, open_container = PreparedDataset(tmp_path / "set"), av.open
    monkeypatch.setattr(av, "open", lambda *names: CountingContainer(open_container(*names), decoded))
    for frames in lengths:
        clip = dataset.clip(f"s{frames}")
        for start in range(frames - 3 * KEY_EVERY, frames - window + 1):  # at its end
            decoded.append(0)
            assert len(clip.frames(start, start + window)) == window
    assert window <= min(decoded) and max(decoded) <= window + KEY_EVERY, decoded


def test_clips_are_ordinary_media_files(dataset: Path) -> None:
    info = probe(dataset / "clips" / "ann_1.mp4")
    assert (info.width, info.height, info.fps, info.has_audio) == (SIZE, SIZE, 25.0, True)
    whole = PreparedDataset(dataset).clip("ann_1").frames()
    np.testing.assert_array_equal(np.stack(list(read_frames(dataset / "clips" / "ann_1.mp4"))), whole)
    tone = 0.5 * np.sin(np.arange(60 * 640) / 10)
    np.testing.assert_allclose(read_audio(dataset / "clips" / "ann_1.wav"), tone, atol=2e-4)
    assert not np.any(read_audio(dataset / "clips" / "bob.wav"))


def test_an_interrupted_run_continues(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    writer = make_writer(root)
    writer.add_clip(
        make_row("ann_1", 60, emotion="happy", intensity=3),
        make_frames(60),
        0.5 * np.sin(np.arange(60 * 640 + 77) / 10),
        make_features(60),
    )

    def dying() -> Iterator[np.ndarray]:
        yield from make_frames(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.add_clip(make_row("bob", 2, split="val"), dying(), None, make_features(2, seed=1))
    assert set(writer.done()) == {"ann_1"}  # nothing half-written counts

    writer = make_writer(root)
    done = writer.done()
    assert set(done) == {"ann_1"}
    (root / "clips" / "bob.wav").write_bytes(b"left by a killed run")
    before = (root / "clips" / "ann_1.mp4").stat().st_mtime_ns
    writer.add_clip(make_row("bob", 1, split="val"), make_frames(1), None, make_features(1, seed=1))
    writer.reject(make_row("broken", 0).rejected("cannot be read"))
    writer.finish()
    assert (root / "clips" / "ann_1.mp4").stat().st_mtime_ns == before
    same_files(root, dataset)


@pytest.mark.parametrize("step", range(6))
def test_killed_while_it_is_made_it_is_no_foreign_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    root, steps = tmp_path / "set", iter(range(100))
    mkdir, replace = Path.mkdir, os.replace

    def killed_after(call: Callable[..., None]) -> Callable[..., None]:
        def called(*args: Any, **kwargs: Any) -> None:
            if next(steps) == step:
                (root / f".{DATASET_NAME}.12345678.partial").touch()  # what was being written
                raise KeyboardInterrupt
            call(*args, **kwargs)

        return called

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        root.mkdir()
        patch.setattr(Path, "mkdir", killed_after(mkdir))
        patch.setattr(os, "replace", killed_after(replace))
        make_writer(root)
    writer = make_writer(root)
    writer.reject(make_row("broken", 0).rejected("cannot be read"))
    writer.finish()
    assert {path.name for path in root.iterdir()} == {"clips", "features", DATASET_NAME, "manifest.parquet"}


def test_a_finished_dataset_can_grow(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    (root / "clips" / "bob.wav").unlink()
    writer = make_writer(root)
    assert set(writer.done()) == {"ann_1", "broken"}  # bob lost a file and is due again
    writer.add_clip(make_row("bob", 1, split="val"), make_frames(1), None, make_features(1, seed=1))
    writer.add_clip(make_row("eve", 3), make_frames(3), None, make_features(3))
    writer.remove("broken")
    assert [row.clip_id for row in writer.finish()] == ["ann_1", "bob", "eve"]
    assert len(PreparedDataset(root)) == 3


def test_a_dataset_that_is_being_changed_is_not_read(dataset: Path, tmp_path: Path) -> None:
    """The manifest of the finished dataset does not know what a run that continues it has replaced so far."""
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    make_writer(root).add_clip(make_row("bob", 2, split="val"), make_frames(2), None, make_features(2))
    with pytest.raises(InputError, match=r"set: is being written or was interrupted; finish it with the command"):
        PreparedDataset(root)
    make_writer(root).finish()
    assert len(PreparedDataset(root).clip("bob").frames()) == 2


def same_files(root: Path, other: Path) -> None:
    files = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    assert files == {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    for path in files:
        assert (root / path).read_bytes() == (other / path).read_bytes(), path


@pytest.mark.parametrize(
    ("frames", "change", "message"),
    [
        (3, {}, "3 frames came, the row says 4"),
        (5, {}, "5 frames came|expected"),
        (4, {"expression": np.zeros((3, 52))}, r"expression is \(3, 52\)"),
        (4, {"head_kps": np.zeros((4, 8, 3))}, "head_kps"),
        (4, {"audio": np.full((4, 1920), 1e6)}, "not finite in float16"),
        (4, {"landmarks": np.full((4, 478, 3), np.nan)}, "not finite"),
    ],
)
def test_a_wrong_clip_is_refused_and_leaves_nothing(
    tmp_path: Path, frames: int, change: dict[str, np.ndarray], message: str
) -> None:
    writer = make_writer(tmp_path / "set")
    with pytest.raises(ValueError, match=message):
        writer.add_clip(make_row("a", 4), make_frames(frames), None, make_features(4) | change)
    assert writer.done() == {}
    assert not list((tmp_path / "set").rglob("a.*"))


@pytest.mark.parametrize("name", ["file", "file/dataset", "n" * 300])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("something else")
    with pytest.raises(InputError, match=rf"{name}: .*; name an"):
        DatasetWriter(tmp_path / name, {}, "e", "a", 64)


def test_other_options_are_refused(dataset: Path) -> None:
    with pytest.raises(InputError, match=r"max_seconds=10\.0, not max_seconds=5\.0"):
        make_writer(dataset, max_seconds=5.0)
    with pytest.raises(InputError, match="size 48, not 64"):
        DatasetWriter(dataset, {"max_seconds": 10.0}, "arkit-52", "log-mel", 64)
    with pytest.raises(InputError, match="is no prepared dataset"):
        make_writer(dataset / "clips")
    shutil.rmtree(dataset / "rows", ignore_errors=True)


def test_reader_errors_name_the_file_and_the_remedy(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no prepared dataset .*svp prepare"):
        PreparedDataset(tmp_path / "nowhere")
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    (root / "features" / "bob.safetensors").unlink()
    with pytest.raises(InputError, match=r"1 files .* first features/bob.safetensors"):
        PreparedDataset(root)
    (root / "manifest.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"manifest\.parquet: not a readable parquet file"):
        PreparedDataset(root)
    (root / "manifest.parquet").unlink()
    with pytest.raises(InputError, match="no such manifest"):
        PreparedDataset(root)
    description = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(description | {"format_version": 99}))
    with pytest.raises(InputError, match="format version 99, this SVP reads 1"):
        PreparedDataset(root)
    (root / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        PreparedDataset(root)


def test_a_manifest_from_before_a_column_is_read(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    path = root / "manifest.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["voice", "has_video"]), path)
    prepared = PreparedDataset(root)
    assert prepared.has_video and prepared.rows == PreparedDataset(dataset).rows
    prepared.require_video("this test")


def test_damaged_clip_files_are_input_errors(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    clip = PreparedDataset(root).clip("ann_1")
    for path, read in (
        (clip.video_path, lambda: clip.frames(50, 60)),
        (clip.audio_path, lambda: clip.audio(50, 60)),
        (clip.features_path, lambda: clip.features("audio", 50, 60)),
    ):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError, match=rf"{path.name}: .*prepare this clip again"):
            read()


def test_manifest_keeps_the_rules(tmp_path: Path) -> None:
    rows = [make_row("b", 4, identity="eve", split="val"), make_row("a", 2, emotion="sad", intensity=2)]
    path = tmp_path / "manifest.parquet"
    write_manifest(path, rows)
    assert read_manifest(path) == rows[::-1]
    with pytest.raises(ValueError, match="identity eve is in the splits"):
        write_manifest(path, [*rows, make_row("c", 4, identity="eve")])
    with pytest.raises(ValueError, match="clip id a occurs twice"):
        write_manifest(path, [*rows, rows[1]])
    assert read_manifest(path) == rows[::-1]  # a failed write leaves the old file
    for bad in ({"clip_id": "../a"}, {"intensity": 4}, {"status": "rejected"}, {"frames": -1}, {"colour": "red"}):
        with pytest.raises(ValueError):
            ClipRow.model_validate(make_row("a", 2).model_dump() | bad)
    pq.write_table(pq.read_table(path).drop_columns(["emotion"]), path)
    with pytest.raises(InputError, match="lacks the columns emotion"):
        read_manifest(path)
