"""A motion library of prepared clips, and puppets whose heads move by one."""

from pathlib import Path

import numpy as np
import pytest

from svp.datasets import performance
from svp.datasets.manifest import ClipRow
from svp.datasets.motions import measure_motions
from svp.datasets.performance import perform_speech
from svp.datasets.phones import Phone
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.errors import InputError
from svp.face.head_kps import head_kps
from svp.face.model import FaceModel
from svp.face.pose import Pose, rotation_from_angles

MODEL = FaceModel.load()


def prepared(folder: Path, lengths: dict[str, int], encoder: str = MODEL.encoder_id) -> PreparedDataset:
    """Clips of a head that turns by 0.2 about 0.1 radians; what is named `silent` has no sound."""
    writer = DatasetWriter(folder, {}, encoder, "log-mel", 32)
    for name, n in lengths.items():
        angles = np.zeros((n, 3))
        angles[:, 0] = 0.1 + 0.2 * np.sin(np.arange(n) / 8)
        expression = np.zeros((n, 52), np.float32)
        expression[:, MODEL.unit("browInnerUp")] = 0.5
        pose = Pose(rotation_from_angles(angles), np.tile([16.0, 16, 0], (n, 1)), np.full(n, 8.0))
        landmarks = pose.place(MODEL.shape(np.zeros(len(MODEL.identity)), expression)).astype(np.float32)
        features = {"expression": expression, "audio": np.zeros((n, 1920)), "landmarks": landmarks}
        features["head_kps"] = head_kps(landmarks)
        audio = np.random.default_rng(0).normal(0, 0.1, n * 640).astype(np.float32)
        audio[: n * 320] *= 0.1
        row = ClipRow(clip_id=name, source=f"folder/{name}.mp4", sha256="", identity=name, frames=n)
        writer.add_clip(row, [np.zeros((32, 32, 3), np.uint8)] * n, None if name == "silent" else audio, features)
    writer.finish()
    return PreparedDataset(folder)


def test_tracks_are_about_their_rest_with_the_loudness_of_their_sound(tmp_path: Path) -> None:
    library = measure_motions(prepared(tmp_path, {"spoken": 60, "silent": 60, "short": 20}), "CC0")
    (track,) = library.tracks
    assert (track.name, track.source, track.licence, len(track)) == ("spoken", "spoken.mp4", "CC0", 60)
    assert np.abs(np.median(track.angles, axis=0)).max() < 0.001 and 0.3 < np.ptp(track.angles[:, 0]) < 0.42
    assert track.loudness[5:25].mean() < 0.2 < 0.8 < track.loudness[35:55].mean()
    np.testing.assert_array_equal(track.expression[:, MODEL.unit("browInnerUp")], 0.5)


def test_unusable_datasets_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clip with sound of at least 2 s"):
        measure_motions(prepared(tmp_path / "a", {"silent": 60, "short": 20}), "CC0")
    with pytest.raises(InputError, match="expressions are deep3d, a motion library needs"):
        measure_motions(prepared(tmp_path / "b", {"spoken": 60}, "deep3d"), "CC0")


def test_half_of_the_spoken_puppets_move_like_real_people_within_their_range(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)

    def perform(clip: int, share: float) -> performance.Performance:
        monkeypatch.setattr(performance, "REAL_HEADS", share)
        phones = [Phone("aa", 0, 2.0)]
        return perform_speech(phones, audio, 5, 50, "happy", 2, MODEL, (0, 5), (0, 5, 3, clip), (-0.1, 0.2))

    usual = performance.REAL_HEADS
    real = 0
    for clip in range(16):
        made_up, real_one, either = perform(clip, 0.0), perform(clip, 1.0), perform(clip, usual)
        assert not np.allclose(made_up.rotation, real_one.rotation)
        np.testing.assert_array_equal(made_up.expression[:, MODEL.unit("jawOpen")],
                                      real_one.expression[:, MODEL.unit("jawOpen")])  # fmt: skip
        assert np.array_equal(either.rotation, real_one.rotation) or np.array_equal(either.rotation, made_up.rotation)
        real += np.array_equal(either.rotation, real_one.rotation)
        yaw = np.arctan2(real_one.rotation[:, 0, 2], real_one.rotation[:, 2, 2])
        assert yaw.min() > -0.12 and yaw.max() < 0.22
        assert len(real_one) == 45 and real_one.expression.min() >= 0
        assert np.abs(real_one.rotation - real_one.rotation[0]).max() > 0.01
    assert 3 <= real <= 13
