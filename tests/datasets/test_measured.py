"""Expressions measured in puppets' frames: they are those of the frames, and done once."""

from pathlib import Path

import numpy as np
import pytest

from svp.datasets.corpus import load_puppet
from svp.datasets.manifest import ClipRow
from svp.datasets.measured import MeasuredExpressions, SeenDataset, measure_expressions
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.datasets.visemes import expand
from svp.errors import InputError
from svp.face.head_kps import head_kps
from svp.face.model import FaceModel
from svp.training.options import recipe
from svp.training.samples import GroupBatches

ADA = Path(__file__).resolve().parents[2] / "samples" / "portraits" / "ada.png"
SIZE, FRAMES = 128, 10


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """A puppet that opens its mouth, twice, and a wall."""
    root, model = tmp_path_factory.mktemp("measured") / "dataset", FaceModel.load()
    writer = DatasetWriter(root, {"maker": "puppet"}, model.encoder_id, "log-mel", SIZE)
    puppet = load_puppet(ADA, SIZE)
    opening = np.sin(np.linspace(0, np.pi, FRAMES))
    expression = np.stack([expand({"jawOpen": 0.7 * float(k)}, model.unit_names) for k in opening])
    spoken = [puppet.render(e) for e in expression]
    wall = [np.full((SIZE, SIZE, 3), 128, np.uint8)] * FRAMES
    for clip_id, emotion, frames in (("ada", "neutral", spoken), ("ada2", "happy", spoken), ("wall", "sad", wall)):
        row = ClipRow(
            clip_id=clip_id, source="made", sha256="0", identity="ada", emotion=emotion, intensity=0,
            split="train", frames=FRAMES, fps_in=25.0,
        )  # fmt: skip
        landmarks = np.stack([puppet.landmarks(e) for e in expression])
        features = {"expression": expression, "audio": np.zeros((FRAMES, 1920)), "landmarks": landmarks}
        writer.add_clip(row, iter(frames), None, features | {"head_kps": head_kps(landmarks)})
    writer.finish()
    return PreparedDataset(root)


@pytest.fixture(scope="module")
def measured(dataset: PreparedDataset) -> MeasuredExpressions:
    return measure_expressions(dataset)


def test_what_is_measured_is_seen_in_the_frames(dataset: PreparedDataset, measured: MeasuredExpressions) -> None:
    jaw = FaceModel.load().unit("jawOpen")
    seen, true = measured.expression("ada", 0, FRAMES), dataset.clip("ada").features("expression")
    assert np.corrcoef(seen[:, jaw], true[:, jaw])[0, 1] > 0.95
    assert np.array_equal(measured.expression("ada", 3, 7), seen[3:7])
    assert measured.expression("wall", 0, FRAMES) is None


def test_it_is_done_once_and_again_for_another_video(dataset: PreparedDataset, measured: MeasuredExpressions) -> None:
    path = measured.folder / "ada.safetensors"
    before, seen = path.stat().st_mtime_ns, []
    measure_expressions(dataset, progress=lambda done, total: seen.append((done, total)))
    assert path.stat().st_mtime_ns == before and seen == [(1, 3), (2, 3), (3, 3)]
    clip = dataset.clip("ada")
    video = clip.video_path.read_bytes()
    try:
        clip.video_path.write_bytes(dataset.clip("wall").video_path.read_bytes())
        assert measure_expressions(dataset).expression("ada", 0, 1) is None
    finally:
        clip.video_path.write_bytes(video)
    measure_expressions(dataset)
    path.write_bytes(b"no safetensors")
    with pytest.raises(InputError, match=r"ada\.safetensors"):
        measured.expression("ada", 0, 1)
    assert measure_expressions(dataset).expression("ada", 0, 1) is not None


def test_the_prior_is_shown_as_many_of_them_as_asked(dataset: PreparedDataset, measured: MeasuredExpressions) -> None:
    true = {0.0}
    for share in (0.0, 1.0):
        options = recipe("mini", "prior", dataset.root, None, measured=share, groups=2, per_group=2)
        units = [n for n, name in enumerate(FaceModel.load().unit_names) if name != "jawOpen"]
        batches = GroupBatches(dataset, options, "train", 6, 16, measured)
        moved = {float(e[:, units].abs().max() > 0) for n in range(6) for e in batches[n]["expression"]}
        assert (moved == true) is (share == 0.0)  # true expressions are jawOpen alone, measured ones never


def test_a_dataset_as_it_is_seen_has_the_measured_expressions(
    dataset: PreparedDataset, measured: MeasuredExpressions
) -> None:
    seen = SeenDataset(dataset.root, measured)
    assert [row.clip_id for row in seen.accepted()] == ["ada", "ada2"]  # no face on the wall
    assert np.array_equal(seen.clip("ada").features("expression", 2, 5), measured.expression("ada", 2, 5))
    assert np.array_equal(seen.clip("ada").features("landmarks"), dataset.clip("ada").features("landmarks"))
    with pytest.raises(KeyError, match="wall"):
        seen.clip("wall")
