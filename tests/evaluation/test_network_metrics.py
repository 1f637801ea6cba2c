"""FID, FVD, SyncNet and StyleSim by networks of the true architecture with random weights: they move as they should."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from talking_clips import SMILE, noisy, performed, write

from published_weights import FakeI3D, FakeInception, publish, publish_scripted
from svp.errors import InputError
from svp.evaluation import networks as network_measures
from svp.evaluation.evaluate import evaluate
from svp.evaluation.facts import Unmeasurable
from svp.evaluation.fid import frame_features
from svp.evaluation.frechet import frechet_distance
from svp.evaluation.fvd import clip_tensor, window_features
from svp.evaluation.judge import _network_measures
from svp.evaluation.mfcc import mfcc
from svp.evaluation.reference_values import FID, FVD, ReferenceCheck, check_fvd, read_cifar, reference_checks
from svp.evaluation.registry import absent_metrics, choose
from svp.evaluation.report import Report
from svp.evaluation.sync import offset_score, sync_score
from svp.evaluation.sync_crop import OUTSIDE, face_boxes, syncnet_crop
from svp.media.video import VideoWriter
from svp.weights import load_i3d, load_inception, load_syncnet
from svp.weights.metric_import import import_deep3d, import_i3d, import_inception, import_styletalk, import_syncnet
from svp.weights.provenance import imported_files

pytestmark = pytest.mark.long

NO_ENCODER = Path("none of these metrics needs one")
NAMES = ["fid", "fvd", "sync_offset", "sync_distance", "sync_confidence", "style_sim"]
FRAMES = 34  # two windows of FVD; shorter than any clip of MEAD


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All networks, imported from files as published."""
    source, output = tmp_path_factory.mktemp("published"), tmp_path_factory.mktemp("weights")
    import_inception(publish_scripted(FakeInception(), source / "inception-2015-12-05.pt"), output, trust_script=True)
    import_i3d(publish("i3d", source), output)
    import_syncnet(publish("syncnet", source), output)
    import_styletalk(publish("styletalk", source).parent, output)
    import_deep3d(publish("deep3d", source), output)
    return output


@pytest.fixture(scope="module")
def report(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A true clip of 1.4 s, a copy and a noisy one, with a kept measurement for what is equal."""
    folder = tmp_path_factory.mktemp("systems")
    true = performed("ada", SMILE, frames=FRAMES)
    write(folder / "true" / "talk.mp4", true)
    (folder / "copy").mkdir()
    shutil.copy(folder / "true" / "talk.mp4", folder / "copy")
    write(folder / "noise" / "talk.mp4", map(noisy, true))
    systems = {name: folder / name for name in ("copy", "noise")}
    return evaluate(systems, folder / "true", choose(NAMES, weights), style_encoder=NO_ENCODER, weights=weights,
                    cache=folder / "cache", progress=False)  # fmt: skip


def figures(report: Report, metric: str) -> dict[str, float]:
    [found] = [m for m in report.metrics if m.name == metric]
    assert all(row.mean is not None for row in found.rows), [row.unmeasured for row in found.rows]
    return {row.system: row.mean for row in found.rows if row.mean is not None}


def test_a_short_clip_is_measured_and_a_copy_is_equal(report: Report) -> None:
    for name in ("fid", "fvd"):
        distance = figures(report, name)
        assert distance["copy"] == pytest.approx(0, abs=1e-6) and distance["noise"] > 1e-4
    for name in ("sync_offset", "sync_distance", "sync_confidence"):
        assert figures(report, name)["copy"] == figures(report, name)["truth"]
    style = figures(report, "style_sim")
    assert style["copy"] == style["truth"] == pytest.approx(1) and style["noise"] < 0.99999


def test_a_report_names_the_weights_their_terms_and_what_few_vectors_mean(report: Report, weights: Path) -> None:
    by_name = {metric.name: metric for metric in report.metrics}
    digests = {record.kind: record.sha256[:16] for record in imported_files(weights)}
    assert digests["i3d"] in by_name["fvd"].weights and "Apache-2.0" in by_name["fvd"].weights
    for kind in ("styletalk", "deep3d"):
        assert digests[kind] in by_name["style_sim"].weights
    assert "research only" in by_name["style_sim"].weights and "MediaPipe" in by_name["style_sim"].weights
    assert any(f"noise: {FRAMES} vectors of 2048" in warning for warning in by_name["fid"].warnings)
    assert not set(NAMES) & {name for name, _ in absent_metrics(weights).items()}


def test_without_weights_a_metric_is_absent_and_says_how_to_get_it(weights: Path, tmp_path: Path) -> None:
    absent = absent_metrics()
    assert set(NAMES) <= set(absent)
    assert "svp import syncnet syncnet_v2.model -o DIR" in absent["sync_offset"][1]
    assert "styletalk_checkpoint.pth" in absent["style_sim"][1] and "epoch_20.pth" in absent["style_sim"][1]
    shutil.copytree(weights, tmp_path / "part")
    shutil.rmtree(tmp_path / "part" / "deep3d")
    reason = absent_metrics(tmp_path / "part")["style_sim"][1]
    assert "svp import deep3d" in reason and "svp import styletalk" not in reason
    assert "fid" not in absent_metrics(tmp_path / "part")
    with pytest.raises(InputError, match="--metrics style_sim: needs Deep3DFaceRecon"):
        choose(["style_sim"], tmp_path / "part")


@torch.inference_mode()
def test_more_noise_lies_further_away(weights: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(40, 215, (32, 6, 6, 3))
    frames = coarse.repeat(12, axis=1).repeat(12, axis=2)
    noise = rng.normal(0, 1, frames.shape)
    noised = [np.clip(frames + strength * noise, 0, 255).astype(np.uint8) for strength in (0, 25, 75)]
    for measure, network in ((frame_features, load_inception(weights / "inception")),
                             (window_features, load_i3d(weights / "i3d"))):  # fmt: skip
        none, some, much = (measure(list(clip), network) for clip in noised)
        assert frechet_distance(none, none) == pytest.approx(0, abs=1e-9)
        assert 0 < frechet_distance(some, none) < frechet_distance(much, none)


def speech(frames: int) -> np.ndarray:
    """Noise that is louder and softer from frame to frame."""
    rng = np.random.default_rng(1)
    return (rng.normal(0, 3000, frames * 640) * np.repeat(rng.uniform(0, 1, frames), 640)).astype(np.int16)


@torch.inference_mode()
@pytest.mark.parametrize("shift", [3, -2])
def test_a_shifted_sound_shifts_its_features_as_far(weights: Path, shift: int) -> None:
    network = load_syncnet(weights / "syncnet")

    def features(sound: np.ndarray) -> torch.Tensor:
        columns = torch.from_numpy(mfcc(sound).T).float()
        return network.sound(torch.stack([columns[None, :, 4 * i : 4 * i + 20] for i in range(len(sound) // 640 - 5)]))

    sound = speech(60)
    there, moved = features(sound[640 * 5 : 640 * 50]), features(sound[640 * (5 + shift) : 640 * (50 + shift)])
    assert offset_score(there, moved).offset == shift and offset_score(there, there).offset == 0


def test_a_shifted_sound_moves_the_distances_of_a_video(weights: Path) -> None:
    network, sound = load_syncnet(weights / "syncnet"), speech(26)
    frames = np.random.default_rng(0).integers(0, 256, (22, 224, 224, 3), dtype=np.uint8)
    heard, early = (sync_score(frames, part, network).distances for part in (sound[: 22 * 640], sound[3 * 640 :]))
    assert heard.shape == (31,) and np.abs(early - heard).max() > 0.1


def test_what_is_too_short_says_so() -> None:
    frames = [np.zeros((32, 32, 3), np.uint8)] * 15
    with pytest.raises(Unmeasurable, match="15 frames; FVD needs 16"):
        window_features(frames, FakeI3D())


def test_silent_videos_have_no_offset_but_are_compared_otherwise(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "true").mkdir()
    with VideoWriter(tmp_path / "true" / "a.mp4", 128, 128) as writer:
        for frame in performed("ada", SMILE, frames=20):
            writer.write(frame)
    metrics = choose(["fid", "sync_offset"], weights)
    found = evaluate({"ours": tmp_path / "true"}, tmp_path / "true", metrics, style_encoder=NO_ENCODER,
                     weights=weights, progress=False)  # fmt: skip
    fid, sync = found.metrics
    assert fid.rows[0].mean == pytest.approx(0, abs=1e-6)
    assert [row.unmeasured for row in sync.rows] == [{"has no sound": ["a"]}] * 2


def test_measurements_are_kept_per_weights(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "true" / "a.mp4", [np.full((128, 128, 3), n * 10, np.uint8) for n in range(10)])

    def fid() -> float | None:
        _network_measures.cache_clear()  # as in a new process
        found = evaluate({"ours": tmp_path / "true"}, tmp_path / "true", choose(["fid"], weights),
                         style_encoder=NO_ENCODER, weights=weights, cache=tmp_path / "k", progress=False)  # fmt: skip
        return found.metrics[0].rows[0].mean

    def forbidden(*_: object) -> np.ndarray:
        raise AssertionError("measured again")

    first = fid()
    monkeypatch.setitem(network_measures.MEASURES, "inception", forbidden)  # type: ignore[arg-type]
    assert fid() == first
    monkeypatch.setattr(network_measures.ImportedNetworks, "digests", lambda *_: ("other weights",))
    with pytest.raises(AssertionError, match="measured again"):
        fid()
    _network_measures.cache_clear()


def test_i3d_sees_the_middle_at_224_pixels_in_order() -> None:
    frames = np.zeros((16, 100, 200, 3), np.uint8)
    frames[:, :, 50:150] = 255  # the middle square
    frames[3] = (255, 0, 0)
    clip = clip_tensor(frames)
    assert clip.shape == (3, 16, 224, 224)
    assert float(clip[:, 0, 5:-5, 5:-5].min()) == pytest.approx(1)
    assert clip[:, 3].mean(dim=(1, 2)).tolist() == pytest.approx([1, -1, -1])


def test_syncnet_sees_the_face_with_its_surroundings_in_bgr() -> None:
    frame = np.zeros((300, 200, 3), np.uint8)
    frame[...] = (255, 0, 0)
    crop = syncnet_crop(frame, np.array([100.0, 60.0, 50.0]))  # rows 10 to 150, columns 30 to 170
    assert crop.shape == (224, 224, 3) and (crop == (0, 0, 255)).all()
    edge = syncnet_crop(frame, np.array([20.0, 60.0, 50.0]))  # columns -50 to 90: 50 of 140 lie outside
    outside = (edge == OUTSIDE).all(axis=(0, 2))
    assert outside[:78].all() and not outside[82:].any()
    landmarks = np.zeros((20, 478, 3), np.float32)
    landmarks[:, 1:468, :2] = (40, 60)
    landmarks[9] += 100  # one wrong frame
    np.testing.assert_allclose(face_boxes(landmarks), np.tile([20, 30, 30], (20, 1)))
    landmarks[:, :, 0] += 10 * np.arange(20)[:, None]  # walks; at the ends zeros stand beyond, as in syncnet_python
    np.testing.assert_allclose(face_boxes(landmarks)[[0, 3, 8, 19], 0], [20, 50, 100, 150])
    beside = syncnet_crop(frame, np.array([69.5, 60.0, 50.0]))  # from column -0.5, which is outside
    assert (beside[:, 0] == OUTSIDE).all()


def test_published_figures_are_checked_where_they_can_be(tmp_path: Path) -> None:
    checks = list(reference_checks(None, None, None))
    assert [check.expected for check in checks] == [3, 5.353, 10.021, FVD[0], FID[0]]
    assert not any(check.agrees for check in checks)
    for check, wanted in zip(checks, ("example.avi",) * 3 + ("svp import i3d", "CIFAR-10"), strict=True):
        assert check.measured is None and wanted in check.missing and "svp import" in check.missing
    import_i3d(publish_scripted(FakeI3D(), tmp_path / "i3d_torchscript.pt"), tmp_path / "weights", trust_script=True)
    made = check_fvd(tmp_path / "weights")
    assert made.measured == pytest.approx(400 * 2**2) and not made.agrees and made.missing == ""
    assert ReferenceCheck("x", 151.256, 1.0, 151.39).agrees


def test_cifar_is_read_in_its_order_of_planes(tmp_path: Path) -> None:
    picture = np.arange(3 * 32 * 32, dtype=np.uint16).astype(np.uint8)
    (tmp_path / "test_batch.bin").write_bytes(b"\x07" + picture.tobytes() + b"\x01" + bytes(3072))
    found = read_cifar(tmp_path / "test_batch.bin")
    assert found.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(found[0].transpose(2, 0, 1).ravel(), picture)
    (tmp_path / "test_batch.bin").write_bytes(b"short")
    for name in ("test_batch.bin", "data_batch_1.bin"):
        with pytest.raises(InputError, match=f"{name}: .*binary version"):
            read_cifar(tmp_path / name)
