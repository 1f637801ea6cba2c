"""A prior is trained on coefficients without pictures; whatever needs pictures says so in one line."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from tiny_training import small_options

from svp.cli import main
from svp.datasets.prepare import prepare_coefficients
from svp.datasets.prepared import PreparedDataset
from svp.diffusion.build import build_pipeline
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.face.deep3d import EXPRESSION
from svp.media.audio import write_wav
from svp.presets import MINI, PRESETS
from svp.style.clustering import clustering_strength
from svp.training.run import train


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with two emotions that move other coefficients; no sound."""
    folder = tmp_path_factory.mktemp("tracks")
    rng = np.random.default_rng(0)
    for identity in ("M001", "W002"):
        for k, emotion in enumerate(("neutral", "happy")):
            for number in (1, 2):
                track = rng.normal(0, 0.3, (40, 257))
                track[:, 80 + k] += 2
                savemat(folder / f"{identity}_front_{emotion}_level2_{number:03d}.mat", {"coeff": track})
    return folder


@pytest.fixture(scope="module")
def dataset(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared") / "set"
    with pytest.MonkeyPatch.context() as patch:
        command = ["svp", "prepare", source, root, "--layout", "coefficients", "--audio-features", "log-mel"]
        patch.setattr(sys, "argv", [str(word) for word in [*command, "--workers", 1]])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code in (0, None)
    return root


@pytest.fixture()
def hears_log_mel(tiny_preset, monkeypatch):
    """`--preset mini` means tiny sizes and sound features that need no weights."""
    monkeypatch.setitem(PRESETS, "mini", tiny_preset.model_copy(update={"audio_encoder": "log-mel"}))


def clustering(pipeline: SVPPipeline, dataset: PreparedDataset) -> float:
    """Least clustering strength (Eq. 8) of one person's emotions."""
    rows = [row for row in dataset.accepted() if row.identity == "M001"]
    expression_BNE = torch.stack(
        [torch.from_numpy(dataset.clip(row.clip_id).features("expression")) for row in rows]  # all of one length
    )
    encoder = pipeline.style_encoder.eval()
    with torch.no_grad():
        codes = encoder(expression_BNE, None, torch.ones(expression_BNE.shape[:2], dtype=torch.bool)).mean
    return min(clustering_strength(codes, [row.emotion for row in rows]).values())


def test_a_prior_learns_from_coefficients_and_can_be_measured(dataset, source, tmp_path, hears_log_mel, capsys):
    options = small_options("prior", dataset, None, steps=60)
    model = train(options, tmp_path / "run", resume=False, max_minutes=None)
    assert "no training clip has sound" in capsys.readouterr().err
    pipeline = SVPPipeline.from_pretrained(model)
    encoder = pipeline.style_encoder
    assert encoder.config["expression_size"] == 64
    assert encoder.config["expression_encoder"] == pipeline.settings.expression_encoder == "deep3d-64/1"
    prepared = PreparedDataset(dataset)
    tracks = [prepared.clip(row.clip_id).features("expression") for row in prepared.accepted("train")]
    assert len(tracks) == 8 and tracks[0].shape == (40, EXPRESSION.stop - EXPRESSION.start)
    torch.testing.assert_close(encoder.expression_mean, torch.from_numpy(np.concatenate(tracks).mean(0)))
    assert not encoder.audio_mean.any() and (encoder.audio_std == 1).all() and encoder.neutral_code.any()
    untrained = build_pipeline(PRESETS["mini"].measured_by("deep3d-64/1"), options.seed)
    assert clustering(pipeline, prepared) > 2 * clustering(untrained, prepared)


def test_it_can_be_stopped_and_go_on(dataset, tmp_path, hears_log_mel):
    options = small_options("prior", dataset, None, steps=4)
    whole = train(options, tmp_path / "whole", resume=False, max_minutes=None)
    train(options, tmp_path / "parts", resume=False, max_minutes=0)
    parts = train(options, tmp_path / "parts", resume=True, max_minutes=None)
    a, b = (SVPPipeline.from_pretrained(model).style_encoder.state_dict() for model in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_an_encoder_for_other_expressions_is_not_trained_on(dataset, tmp_path, hears_log_mel):
    build_pipeline(PRESETS["mini"], 0).save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match=r"by deep3d-64/1, the model was built for arkit-52/1; .* without --init"):
        train(small_options("prior", dataset, tmp_path / "model"), tmp_path / "run", resume=False, max_minutes=None)


@pytest.mark.parametrize("stage", ["vae", "appearance", "motion", "style"])
def test_other_stages_refuse_it(dataset, tmp_path, use_tiny, stage):
    with pytest.raises(InputError, match=f"without pictures, but stage {stage} needs pictures") as error:
        train(small_options(stage, dataset, None), tmp_path / "run", resume=False, max_minutes=None)
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("sheet", "DATASET", "-o", "out.png"), "a sheet needs pictures"),
        (("motions", "DATASET", "-o", "out.safetensors"), "expressions are deep3d-64/1"),
        (("prepare", ".", "new", "--layout", "coefficients", "--size", "64"), "--size: layout coefficients"),
        (("prepare", ".", "new", "--layout", "coefficients", "--correct-offset"), "--correct-offset: layout coeff"),
        (("prepare", ".", "new", "--fps", "30"), "--fps: layout folder does not use it"),
    ],
)
def test_what_needs_pictures_says_so(dataset, tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["svp", *(str(dataset) if word == "DATASET" else word for word in command)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_an_unknown_encoder_keeps_the_preset() -> None:
    assert MINI.measured_by("arkit-52/1") == MINI == MINI.measured_by("elsewhere/3")
    assert MINI.measured_by("deep3d-64/1").expression_size == 64


def test_sound_beside_the_tracks_is_learned_from(source, tmp_path, hears_log_mel):
    folder = tmp_path / "tracks"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for path in source.glob("M001*.mat"):
        (folder / path.name).write_bytes(path.read_bytes())
        write_wav(folder / f"{path.stem}.wav", rng.normal(0, 0.1, 25_600).astype(np.float32))
    prepare_coefficients(folder, tmp_path / "set", audio_encoder="log-mel", progress=False)
    options = small_options("prior", tmp_path / "set", None)
    model = train(options, tmp_path / "run", resume=False, max_minutes=None)
    assert SVPPipeline.from_pretrained(model).style_encoder.audio_mean.any()
