"""The contact sheet of a prepared dataset."""

import sys
from pathlib import Path

import numpy as np
import pytest

from svp.cli import main
from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.datasets.sheet import CELL, dataset_sheet
from svp.errors import InputError
from svp.face.model import FaceModel
from svp.media.image import read_image

COLOURS = {("ann", "neutral"): (200, 0, 0), ("ann", "sad"): (0, 200, 0), ("bob", "neutral"): (0, 0, 200)}


def add(writer: DatasetWriter, identity: str, emotion: str, number: int, colour: tuple[int, int, int]) -> None:
    """A black clip in which only the frame of the strongest expression has the colour."""
    model, n = FaceModel.load(), 6
    expression = np.zeros((n, 52), np.float32)
    expression[3, model.unit("jawOpen")] = 1
    expression[4, [model.unit("eyeBlinkLeft"), model.unit("eyeBlinkRight")]] = 1
    frames = [np.full((64, 64, 3), colour if k == 3 else 0, np.uint8) for k in range(n)]
    features = {"expression": expression, "audio": np.zeros((n, 8)), "landmarks": np.zeros((n, 478, 3))}
    row = ClipRow(
        clip_id=f"{identity}_{emotion}_{number}",
        source="s",
        sha256="0",
        identity=identity,
        emotion=emotion,
        intensity=2 * (emotion != "neutral"),
        frames=n,
    )
    writer.add_clip(row, frames, None, features | {"head_kps": np.zeros((n, 8, 2))})


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    writer = DatasetWriter(tmp_path / "data", {}, "arkit-52/1", "log-mel", 64)
    for (identity, emotion), colour in COLOURS.items():
        for number in range(2):
            add(writer, identity, emotion, number, colour)
    writer.finish()
    return PreparedDataset(tmp_path / "data")


def coloured(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(sheet.astype(int) - colour).max(2) < 40).sum())


def test_every_person_and_emotion_is_shown_at_its_strongest(dataset: PreparedDataset) -> None:
    sheet = dataset_sheet(dataset)
    for colour in COLOURS.values():
        assert coloured(sheet, colour) > 0.9 * CELL**2
    both = dataset_sheet(dataset, clips=2)
    assert coloured(both, COLOURS["bob", "neutral"]) > 1.8 * CELL**2
    first = dataset_sheet(dataset, rows=1)
    assert coloured(first, COLOURS["bob", "neutral"]) == 0 < coloured(first, COLOURS["ann", "sad"])


def test_command_writes_the_sheet(
    dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    monkeypatch.setattr(sys, "argv", ["svp", "sheet", str(dataset.root), "-o", str(out)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    assert np.array_equal(read_image(out), dataset_sheet(dataset))
    monkeypatch.setattr(sys, "argv", ["svp", "sheet", str(tmp_path / "none"), "-o", str(out)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2 and "no prepared dataset" in capsys.readouterr().err


def test_a_dataset_without_clips_says_so(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "data", {}, "arkit-52/1", "log-mel", 64)
    writer.reject(ClipRow(clip_id="a", source="s", sha256="0", identity="a").rejected("dark"))
    writer.finish()
    with pytest.raises(InputError, match="no accepted clip to show"):
        dataset_sheet(PreparedDataset(tmp_path / "data"))
