"""`svp import sd15` and `animatediff`: both layouts of the first, all of the second, in any order."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderTiny
from published import (
    diffusers_folder,
    first_layout,
    motion_modules,
    record,
    same_files,
    tiny_unet,
    tiny_vae,
    v_express_folder,
    v_express_weights,
)
from safetensors.torch import load_file, save_file
from tiny_denoiser import audio_conditions

from published_weights import licences
from svp.diffusion.model_import import MOTION_CONFIG, import_animatediff, import_sd15, import_taesd, import_v_express
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.weights.differences import DifferentTensorsError

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return diffusers_folder(tmp_path_factory.mktemp("published") / "sd15", old_names=True)


@pytest.fixture(scope="module")
def model(source, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "sd15"
    assert import_sd15(source, output) == ("reference_net", "unet.spatial", "vae")
    return output


@pytest.fixture(scope="module")
def motion_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "mm_sd_v15_v2.ckpt"
    torch.save(motion_modules(), path)
    return path


def same(got, wanted):
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)


@torch.no_grad()
def test_the_unet_is_stable_diffusions(model):
    pipeline = SVPPipeline.from_pretrained(model)
    theirs, states = tiny_unet(), torch.randn(1, 2, 7, 12)
    latents = torch.randn(1, 4, 2, 8, 8)
    given = audio_conditions(pipeline.unet, states)  # motion modules start without effect
    got = pipeline.unet(latents, 481, given)
    wanted = theirs(latents[0].transpose(0, 1), 481, states[0]).sample
    torch.testing.assert_close(got[0].transpose(0, 1), wanted, atol=1e-4, rtol=0)
    same(pipeline.vae.state_dict(), tiny_vae().state_dict())
    same(
        pipeline.reference_net.state_dict(),
        {name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith("conv_norm_out.")},
    )
    for block in pipeline.unet.blocks.values():
        same(block.attn1_5.state_dict(), block.attn1.state_dict())
        same(block.norm1_5.state_dict(), block.norm1.state_dict())
        assert not block.attn_style.to_out[0].weight.any() and block.attn_style.to_q.weight.any()
    assert pipeline.settings.audio_encoder == "whisper-tiny/normed"


@pytest.mark.parametrize("name", ["v1-5-pruned-emaonly.safetensors", "v1-5-pruned-emaonly.ckpt"])
def test_the_first_layout(tmp_path, name):
    unet, vae = tiny_unet(widths=(32, 32, 64), groups=32, heads=8), tiny_vae(groups=32)  # it tells neither of these two
    path = first_layout(tmp_path / name, unet, vae)
    import_sd15(path, tmp_path / "out")
    stored = load_file(tmp_path / "out" / UNET)
    assert all(torch.equal(stored[name], tensor) for name, tensor in unet.state_dict().items())
    same(load_file(tmp_path / "out/vae/diffusion_pytorch_model.safetensors"), vae.state_dict())
    assert SVPPipeline.from_pretrained(tmp_path / "out").unet.config["attention_heads"] == [8, 8, 8]
    assert [entry["file"] for entry in record(tmp_path / "out")] == [name]


def test_relatives_and_impossible_sizes_are_refused_in_one_line(tmp_path):
    folder = diffusers_folder(tmp_path / "sd15")
    path, config = folder / UNET, folder / "unet/config.json"
    tensors, text = load_file(path), config.read_text()
    nine = tensors | {"conv_in.weight": torch.ones(8, 9, 3, 3)}
    for content, options, message in (
        (nine, {}, "conv_in.weight has 9 channels, as networks for inpainting"),
        (tensors, {"norm_num_groups": 3}, "not the published network"),
        (tensors, {"norm_num_groups": "many"}, "not the published network"),
        (tensors, {"attention_head_dim": 3}, "not the published network"),
        (tensors | {"conv_out.weight": torch.tensor(1.0)}, {}, "not the published network"),
    ):
        save_file(content, path)
        config.write_text(json.dumps(json.loads(text) | options))
        with pytest.raises(InputError, match=f"sd15: {message}") as caught:
            import_sd15(folder, tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither unet/ nor vae/"):
        import_sd15(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("layout", ["raw", "state_dict", "module", "without tables", "with a note"])
def test_motion_modules_in_every_layout(model, source, motion_file, tmp_path, layout):
    motion = motion_modules()
    values = {
        "raw": motion,
        "state_dict": {"state_dict": motion, "epoch": 1},
        "module": {"state_dict": {f"module.{name}": tensor for name, tensor in motion.items()}},
        "without tables": {name: tensor for name, tensor in motion.items() if not name.endswith(".pe")},
        "with a note": {**motion, "animatediff_config": "v2"},
    }[layout]
    torch.save(values, tmp_path / "mm.ckpt")
    import_animatediff(tmp_path / "mm.ckpt", tmp_path / "out")
    stored = load_file(tmp_path / "out" / UNET)
    assert all(torch.equal(stored[name], tensor) for name, tensor in motion.items() if name in stored)
    assert len(stored) == len(values.get("state_dict", values)) - (layout == "with a note")
    with pytest.raises(InputError, match="its UNet is missing; add it with `svp import sd15"):
        SVPPipeline.from_pretrained(tmp_path / "out")


def test_the_order_does_not_matter(source, motion_file, tmp_path):
    for name, order in (("a", (import_sd15, import_animatediff)), ("b", (import_animatediff, import_sd15))):
        for step in order:
            step(source if step is import_sd15 else motion_file, tmp_path / name)
    same(load_file(tmp_path / "a" / UNET), load_file(tmp_path / "b" / UNET))
    pipeline = SVPPipeline.from_pretrained(tmp_path / "b")
    motion = motion_modules()
    got = pipeline.unet.state_dict()
    assert all(torch.equal(got[n], t) for n, t in motion.items() if not n.endswith(".pe"))
    assert pipeline.unet.config["motion_max_frames"] == 24  # their table's length
    import_sd15(source, tmp_path / "b")  # again changes nothing
    same(load_file(tmp_path / "a" / UNET), load_file(tmp_path / "b" / UNET))
    assert SVPPipeline.from_pretrained(tmp_path / "b").unet.config["motion_max_frames"] == 24
    SVPPipeline.from_pretrained(tmp_path / "b").save_pretrained(tmp_path / "again")
    same_files(tmp_path / "b", tmp_path / "again")
    kinds = {entry["kind"] for entry in record(tmp_path / "a")}
    assert kinds == {"sd15", "animatediff"} == {entry["kind"] for entry in record(tmp_path / "b")}


def test_v_express_needs_nothing_of_motion_modules_that_wait(motion_file, tmp_path):
    output = tmp_path / "out"
    import_animatediff(motion_file, output)
    assert (output / MOTION_CONFIG).is_file()
    import_v_express(v_express_folder(tmp_path / "v_express", v_express_weights()), output)
    assert not (output / MOTION_CONFIG).exists()
    SVPPipeline.from_pretrained(output).save_pretrained(tmp_path / "again")
    same_files(output, tmp_path / "again")


def test_an_encoder_of_sound_that_came_first_is_the_one_the_model_hears(source, tmp_path):
    """As the other way round, which test_whisper_import.py tests."""
    v_express = v_express_folder(tmp_path / "v_express", v_express_weights())  # without wav2vec2
    english, other = {"model_type": "whisper", "vocab_size": 51864}, {"model_type": "whisper", "vocab_size": 51865}
    for config, do_import, path, message in (
        (english, import_sd15, source, r"has whisper-tiny\.en, the model hears through whisper-tiny/normed"),
        (other, import_v_express, v_express, "has whisper-tiny, the model hears through wav2vec2-base-960h"),
        ({"model_type": "wav2vec2"}, import_sd15, source, "has wav2vec2-base-960h, the model hears through whisper"),
    ):
        output = tmp_path / "out"
        (output / "audio_encoder").mkdir(parents=True, exist_ok=True)
        (output / "audio_encoder/config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=f"out: {message}.*; import into a new folder"):
            do_import(path, output)
        assert [file.name for file in output.iterdir()] == ["audio_encoder"]
    (output / "audio_encoder/config.json").write_text(json.dumps(other))
    assert "unet.spatial" in import_sd15(source, output)


def test_the_tiny_decoder_comes_before_or_after_the_rest(source, tmp_path):
    torch.manual_seed(0)
    tiny = AutoencoderTiny(
        encoder_block_out_channels=(4,) * 4, decoder_block_out_channels=(4,) * 4,
        num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4,
    )  # fmt: skip
    tiny.save_pretrained(tmp_path / "taesd")
    for name, order in {"a": ("sd15", "taesd"), "b": ("taesd", "sd15")}.items():
        for kind in order:
            if kind == "sd15":
                import_sd15(source, tmp_path / name)
            else:
                assert import_taesd(tmp_path / "taesd", tmp_path / name) == ("tiny_vae",)
        loaded = SVPPipeline.from_pretrained(tmp_path / name)
        for key, tensor in loaded.tiny_vae.state_dict().items():
            assert torch.equal(tensor, tiny.state_dict()[key])
        assert any("TAESD" in line for line in licences(tmp_path / name))
    with pytest.raises(InputError, match="give the published folder"):
        import_taesd(source, tmp_path / "c")
    with pytest.raises(InputError, match="not the published network"):
        import_taesd(source / "vae", tmp_path / "c")


def test_motion_modules_that_do_not_fit_are_refused(source, tmp_path):
    other = motion_modules(widths=(8, 16, 24))
    torch.save(other, tmp_path / "mm.ckpt")
    import_animatediff(tmp_path / "mm.ckpt", tmp_path / "out")
    with pytest.raises(InputError, match="of another shape"):
        import_sd15(source, tmp_path / "out")
    assert not (tmp_path / "out" / "model_index.json").exists()
    more = {n.replace("modules.1", "modules.2"): t for n, t in motion_modules().items() if "down_blocks.0" in n}
    torch.save(motion_modules() | more, tmp_path / "more.ckpt")
    with pytest.raises(InputError, match=r"network: \d+ unexpected: down_blocks.0.motion_modules.2."):
        import_animatediff(tmp_path / "more.ckpt", tmp_path / "out2")
    torch.save({"a": torch.ones(1)}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="no motion modules"):
        import_animatediff(tmp_path / "other.ckpt", tmp_path / "out2")


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    "lost",
    [
        ("down_blocks.1.motion_modules.1.",),
        ("up_blocks.2.motion_modules.2.",),
        ("up_blocks.0.",),
        ("mid_block.",),
        ("down_blocks.0.", "up_blocks.2."),  # whole levels
        ("down_blocks.1.", "up_blocks.1."),
        ("down_blocks.2.", "up_blocks.0."),
        ("down_blocks.",),
        ("up_blocks.",),
        ("down_blocks.2.", "up_blocks.0.", "mid_block."),
    ],
)
def test_motion_modules_that_are_missing_are_named(model, motion_file, tmp_path, lost, there):
    """Without a UNet, when only the file itself can tell, and with one."""
    whole = motion_modules()
    names = {name for name in whole if name.startswith(lost)}
    torch.save({name: tensor for name, tensor in whole.items() if name not in names}, tmp_path / "cut.ckpt")
    output = tmp_path / "out"
    if there:
        shutil.copytree(model, output)
    with pytest.raises(DifferentTensorsError) as caught:
        import_animatediff(tmp_path / "cut.ckpt", output)
    assert caught.value.source == tmp_path / "cut.ckpt"
    assert caught.value.differences.keys() == {"missing"}
    assert {name for name, _ in caught.value.differences["missing"]} == {n for n in names if not n.endswith(".pe")}


def test_motion_modules_of_a_smaller_unet_do_not_pass_for_all(model, tmp_path):
    """What a UNet of two levels has, of three."""
    torch.save(motion_modules(widths=(8, 16)), tmp_path / "two.ckpt")
    shutil.copytree(model, tmp_path / "out")
    with pytest.raises(InputError, match=r"two.ckpt: not the published network: \d+ missing: down_blocks.2.motion"):
        import_animatediff(tmp_path / "two.ckpt", tmp_path / "out")
