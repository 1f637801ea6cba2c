"""`svp import v-express`: the imported model computes what V-Express computes, whatever its files look like."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from published import diffusers_folder, record, same_files, tiny_vae, v_express_folder, v_express_hub, v_express_weights
from safetensors.torch import load_file
from tiny_pipeline import SIZE, drawn_portrait, tone

from golden_rule import DATA
from published_weights import licences
from svp.diffusion import model_import
from svp.diffusion.build import build_unet
from svp.diffusion.model_import import import_sd15, import_v_express
from svp.diffusion.motion_module import sinusoid_table
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.face.key_points import KEY_POINTS
from svp.face.v_express_kps import draw_three_points
from svp.presets import BASE
from svp.training.model_folder import began_at_random, stages_done
from svp.weights import animatediff, provenance, staging, v_express
from svp.weights.checkpoint import shapes
from svp.weights.differences import DifferentTensorsError
from svp.weights.provenance import owners
from svp.weights.sizes import audio_projection_sizes, guider_sizes, unet_sizes
from svp.weights.v_express import find_v_express
from tiny_wav2vec2 import tiny_wav2vec2

BLOCK = "mid_block.attentions.0.transformer_blocks.0"
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def weights():
    return v_express_weights()


@pytest.fixture(scope="module")
def folder(weights, tmp_path_factory):
    return v_express_folder(tmp_path_factory.mktemp("v_express"), weights)


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "v_express"
    parts = import_v_express(folder, output)
    assert parts == ("audio_projection", "guider", "reference_net", "unet.motion", "unet.spatial")
    return output


@pytest.fixture(scope="module")
def pipeline(model):
    return SVPPipeline.from_pretrained(model)


def close(got, wanted, atol=1e-4):
    torch.testing.assert_close(got, wanted, atol=atol, rtol=0)


def test_predictions_are_v_express(pipeline):
    golden = load_file(DATA / "v_express/golden_forward_16.safetensors")
    given = golden["reference_latents"], golden["audio_windows"], golden["kps_images"]
    latents, step = golden["latents"], golden["timestep"]
    conditions = pipeline.encode_conditions(*given)
    close(conditions.head_kps, golden["kps_features"], 1e-5)
    close(pipeline.predict_noise(latents, step, conditions), golden["pred_cond_w1_w1"])
    weighted = pipeline.encode_conditions(*given, reference_scale=0.95, audio_scale=3.0)
    absent, full = golden["pred_uncond_cond_w0.95_w3"].chunk(2)
    close(pipeline.predict_noise(latents, step, weighted), full)
    close(pipeline.predict_noise(latents, step, weighted.unconditional()), absent)
    guided = pipeline.predict_noise(latents, step, weighted, guidance_scale=3.5)
    close(guided, absent + 3.5 * (full - absent))
    styled = pipeline.encode_conditions(*given, style=torch.randn(256), reference_scale=0.95, audio_scale=3.0)
    assert torch.equal(
        pipeline.predict_noise(latents, step, styled), pipeline.predict_noise(latents, step, weighted)
    )  # its layers are at zero


def test_it_says_what_v_express_is(pipeline, model, folder):
    assert pipeline.scheduler.config["prediction_type"] == "v_prediction"
    pipeline.scheduler.set_timesteps(25)
    assert pipeline.scheduler.timesteps[[0, 1, -1]].tolist() == [999, 959, 39]
    settings = pipeline.settings
    assert (settings.head_kps, settings.audio_encoder) == ("v-express", "wav2vec2-base-960h")
    assert (settings.reference_scale, settings.audio_scale) == (0.95, 3.0)
    assert pipeline.audio_radius == 2 and pipeline.style_encoder.config["audio_size"] == 2 * 48
    files = {entry["file"]: entry for entry in record(model)}
    assert len(files) == 5
    for path in folder.iterdir():
        assert files[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(licences(model)) == 1 and "non-commercial research only" in licences(model)[0]


def test_the_missing_vae_is_named_by_what_needs_it(pipeline):
    with pytest.raises(InputError, match=r"vae: .*svp import sd15"):
        pipeline.stream("portrait.png", "sound.wav")
    with pytest.raises(InputError, match=r"vae: .*svp import sd15"):
        next(pipeline.decode_latents(torch.zeros(1, 4, 8, 8)))


def test_saving_changes_nothing(pipeline, model, tmp_path):
    pipeline.save_pretrained(tmp_path / "again")
    assert licences(tmp_path / "again") == licences(model)
    same_files(model, tmp_path / "again")


@pytest.mark.parametrize("layout", ["safetensors, half", "pth without motion keys", "stale motion keys"])
def test_every_layout_gives_the_same_model(weights, model, tmp_path, layout):
    given = {name: dict(tensors) for name, tensors in weights.items()}
    unet = given["denoising_unet"]
    if layout == "pth without motion keys":
        given["denoising_unet"] = {name: t for name, t in unet.items() if "motion_modules." not in name}
        v_express_folder(tmp_path / "in", given, ".pth")
    elif layout == "stale motion keys":  # the motion file wins
        given["denoising_unet"] = {
            name: t + 1 if "motion_modules." in name and not name.endswith(".pe") else t for name, t in unet.items()
        }
        v_express_folder(tmp_path / "in", given)
    else:
        v_express_folder(tmp_path / "in", given, ".safetensors", torch.float16)
    import_v_express(tmp_path / "in", tmp_path / "out")
    wanted, got = load_file(model / UNET), load_file(tmp_path / "out" / UNET)
    half = layout == "safetensors, half"
    assert got.keys() == wanted.keys() and not any(name.endswith(".pe") for name in got)
    for name, tensor in wanted.items():
        rounded = tensor.half().float() if half and "_style." not in name else tensor
        assert got[name].dtype == torch.float32 and torch.equal(got[name], rounded), name


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "denoising_unet",
            lambda t: t.pop("mid_block.attentions.0.transformer_blocks.0.attn1_5.to_q.weight"),
            "1 missing",
        ),
        ("denoising_unet", lambda t: t.update(strange=torch.ones(1)), "1 unexpected: strange"),
        ("reference_net", lambda t: t.update({"conv_in.bias": torch.ones(3)}), r"conv_in.bias \(3 instead of 32\)"),
        ("reference_net", lambda t: t.update({"conv_norm_out.weight": torch.ones(32)}), "unexpected: conv_norm_out"),
        ("motion_module", lambda t: t.pop(next(n for n in t if "proj_in.weight" in n)), "1 missing"),
        (
            "motion_module",
            lambda t: t.update({next(n for n in t if n.endswith(".pe")): torch.zeros(1, 32, 32)}),
            "table",
        ),
        ("audio_projection", lambda t: t.pop("layers.3.1.3.weight"), "1 missing: layers.3.1.3.weight"),
        ("audio_projection", lambda t: t.update({"norm_out.bias": torch.ones(3)}), r"norm_out.bias \(3 instead of"),
        ("v_kps_guider", lambda t: t.pop("conv_out.bias"), "1 missing: conv_out.bias"),
        ("v_kps_guider", lambda t: t.update({"conv_out.more": torch.ones(1)}), "1 unexpected: conv_out.more"),
    ],
)
def test_what_is_not_v_express_is_refused(weights, tmp_path, file, change, message):
    given = {name: dict(tensors) for name, tensors in weights.items()}
    change(given[file])
    v_express_folder(tmp_path / "in", given)
    with pytest.raises(InputError, match=message) as caught:
        import_v_express(tmp_path / "in", tmp_path / "out")
    assert str(tmp_path / "in") in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()  # nothing is written before all is checked


@pytest.mark.parametrize("shown", [True, False])  # by the denoising UNet
@pytest.mark.parametrize(
    "lost",
    [
        ("mid_block.",),
        ("down_blocks.0.", "up_blocks.3."),
        ("down_blocks.3.", "up_blocks.0."),
        ("down_blocks.3.", "up_blocks.0.", "mid_block."),
        ("down_blocks.2.motion_modules.1.",),
    ],
)
def test_motion_modules_that_are_missing_are_named(weights, tmp_path, lost, shown):
    motion = weights["motion_module"]
    names = {name for name in motion if name.startswith(lost)}
    unet = {n: t for n, t in weights["denoising_unet"].items() if shown or "motion_modules." not in n}
    given = weights | {"motion_module": {n: t for n, t in motion.items() if n not in names}, "denoising_unet": unet}
    source = v_express_folder(tmp_path / "in", given)
    with pytest.raises(DifferentTensorsError) as caught:
        import_v_express(source, tmp_path / "out")
    assert caught.value.source == source / "motion_module.bin" and caught.value.differences.keys() == {"missing"}
    assert {name for name, _ in caught.value.differences["missing"]} == {n for n in names if not n.endswith(".pe")}


def test_the_denoising_unets_own_motion_modules_are_whole_too_where_they_count(weights, tmp_path):
    alone = {name: tensors for name, tensors in weights.items() if name != "motion_module"}
    unet = alone["denoising_unet"]
    cut = {name: t for name, t in unet.items() if not name.startswith("mid_block.motion_modules.")}
    source = v_express_folder(tmp_path / "in", alone | {"denoising_unet": cut})
    with pytest.raises(InputError, match=r"denoising_unet.bin: .* missing: mid_block.motion_modules.0."):
        import_v_express(source, tmp_path / "out")
    strange = unet | {"mid_block.motion_modules.1.norm": torch.ones(2, 7)}  # which the motion file lacks
    source = v_express_folder(tmp_path / "in2", weights | {"denoising_unet": strange})
    with pytest.raises(InputError, match=r"denoising_unet.bin: .* 1 unexpected: mid_block.motion_modules.1.norm \(2x7"):
        import_v_express(source, tmp_path / "out")


def test_the_repository_of_the_hub_is_all_that_is_needed(weights, tmp_path, monkeypatch):
    source, output = v_express_hub(tmp_path / "V-Express", weights), tmp_path / "out"
    moved = tmp_path / "V-Express/model_ckpts"
    found = find_v_express(source)
    assert found.files["reference_net"].parent == source and found.unet_config["attention_head_dim"] == 4
    for path in found.files.values():  # as its README says: mv V-Express/*.bin model_ckpts/v-express
        path.rename(moved / "v-express" / path.name)
    monkeypatch.chdir(moved / "v-express")
    for start in (source, moved, moved / "v-express", Path()):
        again = find_v_express(start)
        assert again.files["reference_net"].parent == moved / "v-express" and again.config_file == found.config_file
        assert (again.vae, again.wav2vec2) == (found.vae, found.wav2vec2) == (
            moved / "sd-vae-ft-mse", moved / "wav2vec2-base-960h",
        )  # fmt: skip
    import_sd15(diffusers_folder(tmp_path / "sd15", parts=("vae",)), output)
    assert set(import_v_express(source, output)) > {"vae", "audio_encoder"}
    assert owners(output)["vae"] == "sd-vae-ft-mse" and any(": MIT" in line for line in licences(output))
    pipeline = SVPPipeline.from_pretrained(output)
    assert pipeline.unet.config["attention_heads"][0] == 4 and pipeline.unet.config["norm_num_groups"] == 16
    assert torch.equal(pipeline.vae.decoder.conv_in.bias, tiny_vae(9).decoder.conv_in.bias)
    with pytest.raises(InputError, match=r"has nothing that .*out lacks"):
        import_sd15(diffusers_folder(tmp_path / "whole"), output)


class Killed(BaseException):
    """What no handler of errors sees, as Ctrl-C."""


def test_an_interrupted_import_changes_nothing_or_has_told_its_terms(folder, tmp_path, monkeypatch):
    output = tmp_path / "out"
    import_sd15(diffusers_folder(tmp_path / "sd15"), output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    (output / ".import.0123abcd.partial").mkdir()  # of an import that was killed

    def interrupt(*given, **more):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(provenance, "sha256_file", interrupt)
        with pytest.raises(Killed):
            import_v_express(folder, output)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert not list(output.glob(".import*"))
    moves = iter([staging.os.replace] * 3 + [interrupt] * 99)
    with monkeypatch.context() as patch:
        patch.setattr(staging, "os", SimpleNamespace(replace=lambda *given: next(moves)(*given)))
        with pytest.raises(Killed):
            import_v_express(folder, output)
    assert any("V-Express" in line for line in licences(output)) and len(licences(output)) == 2
    assert owners(output)["unet.spatial"] == "v-express"
    import_v_express(folder, output)  # again
    assert owners(output)["reference_net"] == "v-express" and owners(output)["vae"] == "sd15"
    assert SVPPipeline.from_pretrained(output).scheduler.config["prediction_type"] == "v_prediction"


def test_a_broken_wav2vec2_is_told_before_anything_is_written(weights, tmp_path):
    source, output = v_express_hub(tmp_path / "hub", weights), tmp_path / "out"
    (source / "model_ckpts/wav2vec2-base-960h/config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="wav2vec2-base-960h: a"):
        import_v_express(source, output)
    tiny_wav2vec2(hidden_size=12, layers=1).save_pretrained(source / "model_ckpts/wav2vec2-base-960h")
    with pytest.raises(InputError, match="states of 12 numbers, the model hears 48"):
        import_v_express(source, output)
    assert not output.exists()


def test_missing_files_are_named(folder, tmp_path):
    (tmp_path / "denoising_unet.bin").write_bytes((folder / "denoising_unet.bin").read_bytes())
    with pytest.raises(InputError, match="no reference_net, audio_projection, v_kps_guider"):
        import_v_express(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="no folder"):
        import_v_express(tmp_path / "denoising_unet.bin", tmp_path / "out")


def test_the_vae_is_added_in_any_order(folder, model, tmp_path):
    source = diffusers_folder(tmp_path / "sd15")
    vae_first = tmp_path / "vae_first"
    assert import_sd15(diffusers_folder(tmp_path / "only_vae", parts=("vae",)), vae_first) == ("vae",)
    import_v_express(folder, vae_first)
    vae_last = tmp_path / "vae_last"
    import_v_express(folder, vae_last)
    assert import_sd15(source, vae_last) == ("vae",)  # V-Express's UNet stays
    for output in (vae_first, vae_last):
        assert owners(output)["unet.spatial"] == "v-express" and owners(output)["vae"] == "sd15"
        assert len(licences(output)) == 2
        pipeline = SVPPipeline.from_pretrained(output)
        assert pipeline.vae.config["block_out_channels"] == [4, 4, 8, 8]
        wanted, got = load_file(model / UNET), load_file(output / UNET)
        assert all(torch.equal(got[name], wanted[name]) for name in wanted)


def test_a_video_with_everything_imported(weights, tmp_path):
    source = v_express_folder(tmp_path / "model_ckpts/v-express", weights)
    tiny_wav2vec2(hidden_size=48, layers=1).save_pretrained(tmp_path / "model_ckpts/wav2vec2-base-960h")
    output = tmp_path / "model"
    assert "audio_encoder" in import_v_express(source, output)
    import_sd15(diffusers_folder(tmp_path / "sd15", parts=("vae",)), output)
    SVPPipeline.from_pretrained(output).save_pretrained(tmp_path / "again")
    pipeline = SVPPipeline.from_pretrained(tmp_path / "again")  # with all that it needs
    pipeline.settings = pipeline.settings.model_copy(update={"image_size": SIZE, "window": 4, "overlap": 1, "chunk": 6})
    seen, used = [], []
    encode, predict = pipeline.encode_conditions, pipeline.predict_noise
    pipeline.encode_conditions = lambda *given: (seen.append(given), encode(*given))[1]
    pipeline.predict_noise = lambda *given, **more: (used.append(given[2]), predict(*given, **more))[1]
    video = pipeline(drawn_portrait(), tone(0.4), head_motion="still", num_inference_steps=2)
    assert np.shape(video.frames) == (10, SIZE, SIZE, 3) and np.std(video.frames) > 0
    _, audio, drawn, _ = seen[1]
    assert {(given.reference_scale, given.audio_scale) for given in used} == {(0.95, 3.0)}
    assert audio.shape == (6, 5, 96) and not audio[0, :2].any() and audio[0, 2:].any()
    points = KEY_POINTS["v-express"].seen(drawn_portrait().landmarks[None])
    assert np.array_equal(drawn[0, :, 0].numpy(), draw_three_points(points, SIZE)[0])
    assert {kind.split(":")[0] for kind in licences(output)} == {
        "V-Express", "Stable Diffusion 1.5", "wav2vec2-base-960h",
    }  # fmt: skip


def test_a_trained_model_is_not_overwritten(folder, model, tmp_path):
    output = tmp_path / "trained"
    import_v_express(folder, output)
    assert stages_done(output) == ["appearance", "motion"] and not began_at_random(output)
    import_v_express(folder, output)  # again: nothing was trained yet
    records = json.loads((output / "training.json").read_text())
    (output / "training.json").write_text(json.dumps([*records, {"stage": "prior"}]))
    with pytest.raises(InputError, match="would be lost; import into a new folder"):
        import_v_express(folder, output)
    assert import_sd15(diffusers_folder(tmp_path / "sd15"), output) == ("vae",)


def test_full_size_is_base(tmp_path, monkeypatch):
    """All lists, imported on the meta device: nothing is allocated but the tables."""
    names = ("denoising_unet", "audio_projection", "v_kps_guider", "reference_net", "motion_module")
    listed = {name: json.loads((DATA / f"v_express_tensors/{name}.json").read_text()) for name in names}
    listed = {name: {key: tuple(shape) for key, shape in shapes.items()} for name, shapes in listed.items()}
    motion = {name: shape for name, shape in listed["denoising_unet"].items() if "motion_modules." in name}
    assert listed["motion_module"] == motion and len(motion) == 588

    def published(path):
        return {
            name: sinusoid_table(shape[-1], shape[-2]) if name.endswith(".pe") else torch.empty(shape, device="meta")
            for name, shape in listed[path.stem].items()
        }

    written = {}
    for module in (v_express, animatediff):
        monkeypatch.setattr(module, "read_checkpoint", published)
    monkeypatch.setattr(
        model_import, "write_weights", lambda path, tensors, fresh: written.update({path.parent.name: shapes(tensors)})
    )
    for name in listed:
        (tmp_path / f"{name}.bin").touch()
    import_v_express(tmp_path, tmp_path / "out")
    unet = written.pop("unet")
    assert {name: shape for name, shape in unet.items() if "_style." not in name} == {
        name: shape for name, shape in listed["denoising_unet"].items() if not name.endswith(".pe")
    }
    with torch.device("meta"):
        assert unet == shapes(build_unet(BASE).state_dict())
    assert written == {
        "reference_net": listed["reference_net"],
        "audio_projection": listed["audio_projection"],
        "guider": listed["v_kps_guider"],
    }
    assert unet_sizes(tmp_path, listed["denoising_unet"], motion, {}) == BASE.unet
    assert guider_sizes(tmp_path, listed["v_kps_guider"]) == BASE.guider
    projection = audio_projection_sizes(tmp_path, listed["audio_projection"], {})
    assert projection == BASE.audio_projection.model_copy(update={"alpha_dim": 768, "window": 10})
    sd15 = {
        name: shape for name, shape in unet.items() if not any(new in name for new in ("1_5.", "motion_", "_style"))
    }
    assert unet_sizes(tmp_path, sd15, {}, {}) == BASE.unet  # what SD1.5 becomes
