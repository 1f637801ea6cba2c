"""A pipeline is saved and loaded again; folders that hold no model are refused."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from tiny_pipeline import random_style, tiny_pipeline, tone

from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.portrait import Portrait
from svp.diffusion.settings import PipelineSettings
from svp.errors import InputError


def generate(pipeline: SVPPipeline, portrait: Portrait, seconds: float = 0.5, **options: object) -> np.ndarray:
    options = {"head_motion": "still", "num_inference_steps": 2, **options}
    return pipeline(portrait=portrait, audio=tone(seconds), **options).frames


def assert_same_frames(a: np.ndarray, b: np.ndarray) -> None:
    """Equal weights at other addresses may round a sum differently: no pixel by more than one, few at all."""
    difference = np.abs(a.astype(int) - b.astype(int))
    assert a.shape == b.shape and difference.max() <= 1 and difference.mean() < 1e-3


def test_saved_and_loaded_pipelines_are_equal(pipeline: SVPPipeline, portrait: Portrait, tmp_path) -> None:
    pipeline.save_pretrained(tmp_path / "model")
    loaded = SVPPipeline.from_pretrained(tmp_path / "model")
    assert loaded.settings == pipeline.settings
    assert isinstance(loaded.scheduler, EulerDiscreteScheduler)
    assert loaded.scheduler.config["prediction_type"] == pipeline.scheduler.config["prediction_type"]
    style = random_style(pipeline)
    assert_same_frames(generate(loaded, portrait, style=style), generate(pipeline, portrait, style=style))
    loaded.save_pretrained(tmp_path / "again")
    weights = sorted((tmp_path / "model").rglob("*.safetensors"))
    assert len(weights) == 7
    for path in weights:
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "model")).read_bytes()


def test_half_precision_runs_and_stays_near(pipeline: SVPPipeline, portrait: Portrait, tmp_path) -> None:
    pipeline.save_pretrained(tmp_path)
    half = SVPPipeline.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.unet.dtype == half.vae.dtype == torch.bfloat16
    style = random_style(pipeline)  # its encoder is still known
    difference = generate(half, portrait, style=style).astype(int) - generate(pipeline, portrait, style=style)
    assert 0 < np.abs(difference).mean() < 10


def test_a_model_without_a_style_encoder_is_saved_and_refuses_styles(portrait: Portrait, tmp_path) -> None:
    whole = tiny_pipeline()
    parts = {name: part for name, part in whole.components.items() if name != "style_encoder"}
    SVPPipeline(**parts, settings=whole.settings).save_pretrained(tmp_path)
    loaded = SVPPipeline.from_pretrained(tmp_path)
    assert loaded.style_encoder is None
    assert_same_frames(generate(loaded, portrait), generate(whole, portrait))
    with pytest.raises(InputError, match="no style encoder"):
        generate(loaded, portrait, style=random_style(whole))


def test_folders_that_hold_no_model_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match="no such model"):
        SVPPipeline.from_pretrained("nothing/here")
    with pytest.raises(InputError, match=r"model_index\.json"):
        SVPPipeline.from_pretrained(tmp_path)


def test_settings_that_were_changed_are_saved(pipeline: SVPPipeline, tmp_path: Path, monkeypatch) -> None:
    changed = pipeline.settings.model_copy(update={"guidance_style": 2.5})
    monkeypatch.setattr(pipeline, "settings", changed)
    pipeline.save_pretrained(tmp_path)
    assert SVPPipeline.from_pretrained(tmp_path).settings == changed


def test_settings_are_strict() -> None:
    good = {"image_size": 32, "window": 4, "overlap": 1, "chunk": 8, "audio_encoder": "a", "expression_encoder": "b"}
    assert PipelineSettings.parse(good, "x").guidance_audio == 3.5
    for wrong in ({**good, "overlap": 4}, {**good, "chunks": 8}, {**good, "window": 9}, None):
        with pytest.raises(InputError, match=r"model_index\.json"):
            PipelineSettings.parse(wrong, "model_index.json")


def test_broken_models_are_named(pipeline: SVPPipeline, tmp_path) -> None:
    pipeline.save_pretrained(tmp_path / "model")

    def broken(change: Callable[[Path], None]) -> str:
        folder = tmp_path / "broken"
        shutil.copytree(tmp_path / "model", folder)
        change(folder)
        with pytest.raises(InputError) as caught:
            SVPPipeline.from_pretrained(folder)
        shutil.rmtree(folder)
        message = str(caught.value)
        assert "\n" not in message and ";" in message and str(folder) in message
        return message

    def edit(file: str, **values: object) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            config = json.loads((folder / file).read_text())
            config = {key: value for key, value in (config | values).items() if value is not None}
            (folder / file).write_text(json.dumps(config))

        return change

    weights = "guider/diffusion_pytorch_model.safetensors"
    assert weights in broken(lambda folder: os.truncate(folder / weights, 5000))
    assert "guider" in broken(lambda folder: (folder / weights).unlink())
    assert "unet" in broken(lambda folder: shutil.rmtree(folder / "unet"))
    assert "unet/config.json" in broken(lambda folder: (folder / "unet/config.json").write_text("{"))
    assert "unknown configuration keys headz" in broken(edit("unet/config.json", headz=3))
    assert "style_dim" in broken(edit("style_projection/config.json", style_dim=None))
    broken(edit("style_projection/config.json", style_dim=8))
    with pytest.raises(InputError, match="audio_encoder"):
        SVPPipeline.from_pretrained(
            tmp_path / "model", settings={**pipeline.settings.model_dump(), "audio_encoder": "x"}
        )
