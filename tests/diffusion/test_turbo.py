"""Distilled weights beside a model's own, and the tiny decoder: what `--fast turbo` takes, and nothing else does."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file
from tiny_pipeline import SIZE, drawn_portrait, tiny_pipeline, tone, with_tiny_decoder

from svp.diffusion import sampling_plan
from svp.diffusion.adapters import find_adapters
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.turbo import TURBO, Turbo
from svp.errors import InputError
from svp.media.hashing import weights_sha256
from svp.weights.header import DOWN, UP

ALL = 10**9  # bytes


@pytest.fixture(scope="module")
def models() -> tuple[SVPPipeline, SVPPipeline]:
    """A model, and what distillation might have made of it."""
    own, distilled = tiny_pipeline(), tiny_pipeline()
    generator = torch.Generator().manual_seed(1)
    for parameter in distilled.unet.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    settings = {"num_inference_steps": 2, "turbo_steps": 2, "guidance_audio": 1.0, "guidance_style": 1.0}
    distilled.settings = own.settings.model_copy(update=settings)
    own.settings = own.settings.model_copy(update={"turbo_steps": 2})
    return own, distilled


def tensors(pipeline: SVPPipeline) -> dict[str, torch.Tensor]:
    return pipeline.unet.state_dict(prefix="unet.")


def generate(pipeline: SVPPipeline, **options: object) -> np.ndarray:
    return pipeline(drawn_portrait(), tone(0.16), head_motion="still", **options).frames


def test_adapters_come_as_near_as_their_bytes_allow(models, tmp_path) -> None:
    own, wanted = map(tensors, models)

    def missed(size: int) -> float:
        found = find_adapters(own, wanted, size)
        save_file(found, tmp_path / "found.safetensors")
        assert (tmp_path / "found.safetensors").stat().st_size <= size
        got = tensors_with(found)
        return sum(float((got[name] - tensor).square().sum()) for name, tensor in wanted.items())

    def tensors_with(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return Turbo(found).unet(models[0].unet).state_dict(prefix="unet.")

    assert (
        sum(float((own[n] - wanted[n]).square().sum()) for n in own) > missed(120_000) > missed(160_000) > missed(ALL)
    )
    for name, tensor in tensors_with(find_adapters(own, wanted, ALL)).items():
        torch.testing.assert_close(tensor, wanted[name], atol=2e-3, rtol=2e-3)  # half precision
    found = find_adapters(own, wanted, 120_000)
    assert {name.removesuffix(DOWN) for name in found if name.endswith(DOWN)} == {
        name.removesuffix(UP) for name in found if name.endswith(UP)
    }
    assert find_adapters(own, own, 0) == {}
    with pytest.raises(ValueError, match="biases and norms alone"):
        find_adapters(own, wanted, 100)


def test_turbo_samples_with_the_distilled_unet_and_exact_with_the_models_own(models, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sampling_plan, "has_fast_bf16", lambda device: False)
    own, distilled = models
    plain = generate(own, num_inference_steps=2)
    with_turbo = SVPPipeline(**own.components, settings=own.settings)
    with_turbo.turbo = Turbo(find_adapters(*map(tensors, models), ALL))
    with_turbo.save_pretrained(tmp_path / "model")
    loaded = SVPPipeline.from_pretrained(tmp_path / "model")
    assert np.abs(generate(loaded, num_inference_steps=2).astype(int) - plain).mean() < 0.1
    turbo, wanted, other = (
        generate(loaded, fast="turbo"),
        generate(distilled, fast="turbo"),
        generate(own, fast="turbo"),
    )
    near, far = (np.abs(turbo.astype(int) - frames).mean() for frames in (wanted, other))
    assert near < 1 < far
    assert np.abs(generate(loaded, num_inference_steps=2).astype(int) - plain).mean() < 0.1
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / TURBO).read_bytes() == (tmp_path / "model" / TURBO).read_bytes()

    with_turbo.turbo = Turbo({"unet.none.weight" + DOWN: torch.zeros(1, 2), "unet.none.weight" + UP: torch.zeros(2, 1)})
    with pytest.raises(InputError, match=rf"{TURBO}: not made for this model"):
        generate(with_turbo, fast="turbo")
    (tmp_path / "model" / TURBO).write_bytes(b"cut")
    with pytest.raises(InputError, match=rf"{TURBO}: no readable adapters .*copy or save the model again"):
        SVPPipeline.from_pretrained(tmp_path / "model")


def test_a_model_is_shipped_with_its_distilled_weights(models, tmp_path, monkeypatch, capsys) -> None:
    own, distilled = models
    own.save_pretrained(tmp_path / "own")
    distilled.save_pretrained(tmp_path / "distilled")
    script = str(Path(__file__).parents[2] / "scripts" / "ship_model.py")

    def ship(turbo: str) -> Path:
        arguments = [script, tmp_path / "own", tmp_path / "out", "--turbo", tmp_path / turbo, "--turbo-kb", 200]
        monkeypatch.setattr("sys.argv", list(map(str, arguments)))
        runpy.run_path(script, run_name="__main__")
        return tmp_path / "out"

    assert 0 < (ship("distilled") / TURBO).stat().st_size <= 200_000
    assert "turbo: " in capsys.readouterr().out
    shipped = SVPPipeline.from_pretrained(tmp_path / "out")
    assert shipped.settings.turbo_steps == 2 and shipped.turbo is not None
    index = tmp_path / "distilled" / "model_index.json"
    values = json.loads(index.read_text())
    values["settings"]["turbo_steps"] = None
    index.write_text(json.dumps(values))
    with pytest.raises(SystemExit, match="was not distilled"):
        ship("distilled")


def test_a_model_is_shipped_with_its_tiny_decoder(models, tmp_path, monkeypatch) -> None:
    own, _ = models
    own.save_pretrained(tmp_path / "own")
    with_tiny_decoder(own).save_pretrained(tmp_path / "tiny")
    with_tiny_decoder(tiny_pipeline(seed=1)).save_pretrained(tmp_path / "other")
    script = str(Path(__file__).parents[2] / "scripts" / "ship_model.py")

    def ship(source: str) -> SVPPipeline:
        arguments = [script, tmp_path / "own", tmp_path / "out", "--tiny-vae", tmp_path / source]
        monkeypatch.setattr("sys.argv", list(map(str, arguments)))
        runpy.run_path(script, run_name="__main__")
        return SVPPipeline.from_pretrained(tmp_path / "out")

    shipped, trained = ship("tiny").tiny_vae, SVPPipeline.from_pretrained(tmp_path / "tiny").tiny_vae
    for name, tensor in trained.state_dict().items():
        assert torch.equal(shipped.state_dict()[name], tensor.half()), name
    with pytest.raises(SystemExit, match="own: has no tiny decoder"):
        ship("own")
    with pytest.raises(SystemExit, match="other: its tiny decoder is for another VAE"):
        ship("other")


def taesd(pipeline: SVPPipeline) -> SVPPipeline:
    sizes = {"encoder_block_out_channels": (4,) * 4, "decoder_block_out_channels": (4,) * 4}
    torch.manual_seed(0)
    tiny = AutoencoderTiny(**sizes, num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=(1, 1, 1, 1))
    return SVPPipeline(**pipeline.components | {"tiny_vae": tiny}, settings=pipeline.settings)


@pytest.mark.parametrize("add", [taesd, with_tiny_decoder])
def test_turbo_decodes_with_the_tiny_decoder_where_there_is_one(models, tmp_path, monkeypatch, add) -> None:
    own, _ = models
    saved = add(own)
    for name, pipeline in {"own": own, "model": saved}.items():
        pipeline.save_pretrained(tmp_path / name)
    loaded = SVPPipeline.from_pretrained(tmp_path / "model")
    assert type(loaded.tiny_vae) is type(saved.tiny_vae)
    for name, tensor in saved.tiny_vae.state_dict().items():
        assert torch.equal(loaded.tiny_vae.state_dict()[name], tensor), name
    assert weights_sha256(tmp_path / "model") != weights_sha256(tmp_path / "own")  # which provenance names

    decoded, decode = [], loaded.tiny_vae.decode

    def watched(latents: torch.Tensor) -> object:
        decoded.append(latents)
        return decode(latents)

    monkeypatch.setattr(loaded.tiny_vae, "decode", watched)
    exact = generate(loaded, num_inference_steps=2)
    assert decoded == [] and np.abs(exact.astype(int) - generate(own, num_inference_steps=2)).max() <= 1
    frames = generate(loaded, fast="turbo")
    assert frames.shape == (sum(map(len, decoded)), SIZE, SIZE, 3)
    with torch.no_grad():
        pictures = saved.tiny_vae.decode(torch.cat(decoded).float()).sample.clamp(-1, 1)
    shown = (pictures.permute(0, 2, 3, 1).numpy() + 1) * 127.5
    assert np.abs(shown - frames).max() <= 4  # turbo may round to bfloat16
