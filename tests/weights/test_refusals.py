"""Whatever is imported: tensors that are missing, unexpected or of another shape are named with their shapes."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import WhisperModel

sys.path.append(str(Path(__file__).parents[1] / "diffusion"))
sys.path.append(str(Path(__file__).parents[1] / "speech"))
from published import diffusers_folder, first_layout, motion_modules, tiny_unet, tiny_vae, v_express_hub
from published import v_express_weights as v_express
from test_whisper_import import ctranslate2_file, hub_folder, openai_file
from test_whisper_package import ct2_file
from tiny_whisper import tiny_config

from command import svp
from golden_rule import read_keys
from published_weights import publish
from svp.cli.weights import IMPORTERS
from svp.errors import InputError
from svp.speech.package import read_ctranslate2

WEIGHTS = "diffusion_pytorch_model.safetensors"
STRANGE = {"strange": torch.zeros(2, 7)}
RESNET = "down_blocks.0.resnets.0.conv1.weight"
MOTION = "mid_block.motion_modules.0.temporal_transformer."
WRAPPER = ("state_dict", "model_state_dict", "net_recon")


@dataclass(frozen=True)
class Case:
    """A published file and three changes to it.

    Attributes:
        kind: of `svp import`.
        make: writes what is published into a folder; the source.
        file: of its tensors, in that folder.
        missing, misshapen: names of tensors in the file; the second one tells a size where a network has several.
        prefix: of names, which messages leave out.
    """

    kind: str
    make: Callable[[Path], Path]
    file: str
    missing: str
    misshapen: str
    prefix: str = ""


def of_keys(kind: str) -> Callable[[Path], Path]:
    """A network of a metric, full size, all zeros."""

    def make(folder: Path) -> Path:
        shapes = {name: tuple(shape) for name, (_, shape) in read_keys(f"{kind}/keys.json").items()}
        return publish(kind, folder, {name: torch.zeros(shape) for name, shape in shapes.items()})

    return make


def saved(tensors: Callable[[], dict[str, Tensor]], name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        torch.save(tensors(), folder / name)
        return folder / name

    return make


def sad_talker(folder: Path) -> Path:
    keys = read_keys("deep3d/keys.json")
    tensors = {f"face_3drecon.{name}": torch.zeros(tuple(shape)) for name, (_, shape) in keys.items()}
    others = ("generator", "kp_extractor", "audio2exp", "audio2pose")
    save_file(tensors | {f"{name}.first.weight": torch.zeros(1) for name in others}, folder / "sadtalker.safetensors")
    return folder / "sadtalker.safetensors"


def vae_alone(folder: Path) -> Path:
    tiny_vae().save_pretrained(folder / "sd-vae-ft-mse")
    return folder / "sd-vae-ft-mse"


def tiny_decoder(folder: Path) -> Path:
    AutoencoderTiny(
        encoder_block_out_channels=(4,) * 4, decoder_block_out_channels=(4,) * 4,
        num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4,
    ).save_pretrained(folder / "taesd")  # fmt: skip
    return folder / "taesd"


def whisper() -> WhisperModel:
    return WhisperModel(tiny_config(max_source_positions=1500))


def all_of_v_express(folder: Path) -> Path:
    return v_express_hub(folder / "hub", v_express())


LAYER = "layers.0.fc1.weight"
CASES = {
    "sd15, UNet": Case("sd15", lambda f: diffusers_folder(f / "a"), f"a/unet/{WEIGHTS}", "conv_out.bias", RESNET),
    "sd15, VAE": Case(
        "sd15", lambda f: diffusers_folder(f / "a"), f"a/vae/{WEIGHTS}", "quant_conv.bias", f"encoder.{RESNET}"
    ),
    "sd-vae-ft-mse": Case(
        "sd-vae-ft-mse", vae_alone, f"sd-vae-ft-mse/{WEIGHTS}", "encoder.conv_in.bias", "post_quant_conv.bias"
    ),
    "taesd": Case("taesd", tiny_decoder, f"taesd/{WEIGHTS}", "decoder.layers.0.bias", "encoder.layers.0.weight"),
    "animatediff": Case(
        "animatediff", saved(motion_modules, "mm.ckpt"), "mm.ckpt", f"{MOTION}proj_in.weight", f"{MOTION}norm.weight"
    ),
    "v-express, denoising UNet": Case("v-express", all_of_v_express, "hub/denoising_unet.bin", "conv_in.bias", RESNET),
    "v-express, ReferenceNet": Case("v-express", all_of_v_express, "hub/reference_net.bin", "conv_in.bias", RESNET),
    "v-express, motion modules": Case(
        "v-express", all_of_v_express, "hub/motion_module.bin", f"{MOTION}proj_in.weight", f"{MOTION}norm.weight"
    ),
    "v-express, audio projection": Case(
        "v-express", all_of_v_express, "hub/audio_projection.bin", "proj_out.bias", "layers.0.0.to_q.weight"
    ),
    "v-express, guider": Case("v-express", all_of_v_express, "hub/v_kps_guider.bin", "conv_out.bias", "conv_in.bias"),
    "v-express, wav2vec2": Case(
        "v-express",
        all_of_v_express,
        "hub/model_ckpts/wav2vec2-base-960h/model.safetensors",
        "encoder.layer_norm.bias",
        "feature_projection.layer_norm.bias",
    ),
    "whisper, hub": Case(
        "whisper",
        lambda f: hub_folder(whisper(), f / "tiny"),
        "tiny/model.safetensors",
        "model.encoder.conv1.bias",
        f"model.encoder.{LAYER}",
        "model.encoder.",
    ),
    "styletalk": Case(
        "styletalk",
        of_keys("styletalk"),
        "styletalk_checkpoint.pth",
        "style_encoder.increase_embed_dim.bias",
        "style_encoder.increase_embed_dim.weight",
        "style_encoder.",
    ),
    "syncnet": Case("syncnet", of_keys("syncnet"), "syncnet_v2.model", "netfclip.0.bias", "netfclip.0.weight"),
    "deep3d": Case("deep3d", of_keys("deep3d"), "epoch_20.pth", "final_layers.0.bias", "backbone.conv1.weight"),
    "deep3d, SadTalker": Case(
        "deep3d",
        sad_talker,
        "sadtalker.safetensors",
        "face_3drecon.final_layers.0.bias",
        "face_3drecon.backbone.conv1.weight",
        "face_3drecon.",
    ),
    "i3d": Case("i3d", of_keys("i3d"), "i3d_pretrained_400.pt", "logits.conv3d.bias", "logits.conv3d.weight"),
}


def change(path: Path, edit: Callable[[dict[str, Tensor]], None]) -> None:
    """Edit the tensors of a file in its own layout."""
    if path.suffix == ".safetensors":
        tensors = load_file(path)
        edit(tensors)
        save_file(tensors, path)
        return
    content = torch.load(path)
    edit(next((content[name] for name in WRAPPER if name in content), content))
    torch.save(content, path)


def do_import(kind: str, source: Path, output: Path) -> None:
    module, function = IMPORTERS[kind].split(":")
    getattr(import_module(module), function)(source, output)


def shown(shape: torch.Size) -> str:
    return "x".join(map(str, shape))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_difference_is_named_with_its_shapes(case: Case, tmp_path: Path) -> None:
    source, before = case.make(tmp_path), {}

    def edit(tensors: dict[str, Tensor]) -> None:
        before.update(missing=tensors.pop(case.missing).shape, misshapen=tensors[case.misshapen].shape)
        tensors[case.misshapen] = torch.zeros(5)
        tensors[f"{case.prefix}more.strange"] = torch.zeros(2, 7)

    change(tmp_path / case.file, edit)
    with pytest.raises(InputError) as caught:
        do_import(case.kind, source, tmp_path / "models" / "out")
    missing, misshapen = (name.removeprefix(case.prefix) for name in (case.missing, case.misshapen))
    for part in (
        f"1 missing: {missing} ({shown(before['missing'])})",
        "1 unexpected: more.strange (2x7)",
        f"1 of another shape: {misshapen} (5 instead of {shown(before['misshapen'])})",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value) and not (tmp_path / "models").exists()


def test_all_differences_are_written_where_the_user_wants_them(tmp_path: Path) -> None:
    module = "down_blocks.0.motion_modules.1."
    names = [name for name in motion_modules() if name.startswith(module) and not name.endswith(".pe")]
    source = tmp_path / "mm.ckpt"
    torch.save({n: t for n, t in motion_modules().items() if not n.startswith(module)} | STRANGE, source)
    command = ("import", "animatediff", source, "-o", tmp_path / "out")
    done = svp(*command)
    assert done.returncode == 2 and f"and {len(names) - 6} more; 1 unexpected: strange (2x7); give" in done.stderr
    assert "(`svp import` with --differences FILE lists all)" in done.stderr.splitlines()[-1]
    file = tmp_path / "lists" / "differences.txt"
    done = svp(*command, "--differences", file)
    assert done.returncode == 2 and done.stderr.endswith(f"give its own file ({file} lists all)\n")
    rows = [line.split("\t") for line in file.read_text().splitlines()]
    missing = {name: shown(motion_modules()[name].shape) for name in names}
    assert {name: shapes for kind, name, shapes in rows if kind == "missing"} == missing
    assert rows[len(names) :] == [["unexpected", "strange", "2x7"]] and not (tmp_path / "out").exists()
    torch.save(motion_modules() | {names[0]: torch.zeros(5)}, source)
    assert svp(*command, "--differences", file).returncode == 2
    assert file.read_text() == f"of another shape\t{names[0]}\t5 instead of {missing[names[0]]}\n"
    assert svp(*command, "--differences", source).returncode == 2 and torch.load(source)  # it would be lost


def test_every_difference_of_a_ctranslate2_file_is_named_with_its_shapes(tmp_path: Path) -> None:
    config = tiny_config(max_source_positions=1500)
    config.encoder_ffn_dim = 4 * config.d_model  # as in every published Whisper
    path = ctranslate2_file(WhisperModel(config), tmp_path / "model.bin")
    whole = read_ctranslate2(path.read_bytes())
    variables = dict(whole)
    del variables["encoder/conv1/bias"]
    variables["encoder/layer_0/ffn/linear_0/weight"] = np.zeros(5, np.float32)
    variables["encoder/strange"] = np.zeros((2, 7), np.float32)
    path.write_bytes(ct2_file(variables))
    with pytest.raises(InputError) as caught:
        do_import("whisper", path, tmp_path / "models" / "out")
    assert f"{path}: not the published network: 1 missing: conv1.bias (8); 1 unexpected: encoder/strange (2x7); " \
        "1 of another shape: layers.0.fc1.weight (5 instead of 32x8)" in str(caught.value)  # fmt: skip
    assert not (tmp_path / "models").exists()
    for key, missing in {
        "encoder/conv1/weight": "conv1.weight (8x80x3)",
        "encoder/position_encodings/encodings": "embed_positions.weight (1500x8)",
        "encoder/layer_norm/gamma": "layer_norm.weight (8)",
    }.items():
        path.write_bytes(ct2_file({name: array for name, array in whole.items() if name != key}))
        with pytest.raises(InputError, match=re.escape(f"{path}: not the published network: 1 missing: {missing};")):
            do_import("whisper", path, tmp_path / "models" / "out")
    variables["encoder/layer_1/self_attention/linear_0/weight"] = np.zeros((5, 8), np.float32)
    path.write_bytes(ct2_file(variables))
    with pytest.raises(InputError, match=r"layer_1/self_attention/linear_0/weight: \(5, 8\) are not query, key and"):
        do_import("whisper", path, tmp_path / "models" / "out")


def beside(path: Path, wrapper: str) -> Path:
    """The same file with a tensor beside the dictionary of tensors."""
    content = torch.load(path)
    torch.save((content if wrapper in content else {wrapper: content}) | STRANGE, path)
    return path


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("animatediff", lambda f: beside(saved(motion_modules, "mm.ckpt")(f), "state_dict")),
        ("styletalk", lambda f: beside(of_keys("styletalk")(f), "model_state_dict")),
        ("deep3d", lambda f: beside(of_keys("deep3d")(f), "net_recon")),
        ("whisper", lambda f: beside(openai_file(whisper(), f / "tiny.pt"), "model_state_dict")),
    ],
)
def test_a_tensor_beside_the_others_is_not_lost_in_silence(
    kind: str, make: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"not the published network: 1 unexpected: strange \(2x7\);"):
        do_import(kind, make(tmp_path), tmp_path / "out")


@pytest.mark.parametrize("name", ["strange", "more.strange"])
@pytest.mark.parametrize("kind", ["styletalk", "deep3d"])
def test_a_name_of_no_network_is_not_left_out_with_the_other_networks(kind: str, name: str, tmp_path: Path) -> None:
    source = {"styletalk": of_keys("styletalk"), "deep3d": sad_talker}[kind](tmp_path)
    change(source, lambda tensors: tensors.update({name: torch.zeros(2, 7)}))
    with pytest.raises(InputError, match=rf"1 unexpected: {name} \(2x7\);"):
        do_import(kind, source, tmp_path / "out")


FIRST, VAE = "model.diffusion_model.", "first_stage_model."


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["strange"], "1 unexpected: strange (2x7)"),
        ([f"{FIRST}label_emb.weight", f"{FIRST}x"], f"2 unexpected: {FIRST}label_emb.weight (2x7), {FIRST}x (2x7)"),
        ([f"{VAE}loss.logvar", "control_model.x"], f"2 unexpected: control_model.x (2x7), {VAE}loss.logvar (2x7)"),
        ([f"cond{n}" for n in range(9)], "9 unexpected: cond0 (2x7), "),
        ([f"{FIRST}middle_block.0.more"], "1 unexpected: mid_block.resnets.0.more (2x7)"),
        ([f"{FIRST}out.0.bias"], "1 of another shape: conv_norm_out.bias (2x7 instead of 32)"),
        ([f"{FIRST}input_blocks.1.0.in_layers.2.weight"], f"1 of another shape: {RESNET} (2x7 instead of 32x32x3x3)"),
        ([f"-{FIRST}out.0.bias"], "1 missing: conv_norm_out.bias (32)"),
        ([f"-{FIRST}input_blocks.3.0.op.bias"], "1 missing: down_blocks.0.downsamplers.0.conv.bias (32)"),
        ([f"-{VAE}quant_conv.bias"], "1 missing: quant_conv.bias (8)"),
    ],
)
def test_stable_diffusions_first_file_loses_nothing(
    names: list[str], message: str, first: Path, tmp_path: Path
) -> None:
    tensors = load_file(first)
    for name in names:
        if name.startswith("-"):
            del tensors[name[1:]]
        else:
            tensors[name] = torch.zeros(2, 7)
    save_file(tensors, tmp_path / "sd.safetensors")
    with pytest.raises(InputError, match=re.escape(f"sd.safetensors: not the published network: {message}")) as caught:
        do_import("sd15", tmp_path / "sd.safetensors", tmp_path / "out")
    assert len(names) < 7 or "cond5 (2x7) and 3 more" in str(caught.value)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    unet, vae = tiny_unet(widths=(32, 32, 64), groups=32, heads=8), tiny_vae(groups=32)
    return first_layout(tmp_path_factory.mktemp("first") / "sd.safetensors", unet, vae)


def test_heads_and_groups_that_no_tensor_tells(tmp_path: Path) -> None:
    """A file of other sizes than the published one, with what its tensors do not tell in a file of its own."""
    unet, vae = tiny_unet(), tiny_vae()
    source = first_layout(tmp_path / "sd.safetensors", unet, vae)
    torch.save(motion_modules(), tmp_path / "mm.ckpt")
    config = tmp_path / "sizes.json"
    config.write_text('{"attention_head_dim": 2, "norm_num_groups": 4, "motion_num_attention_heads": 4}')
    for name, order in {"a": ("sd15", "animatediff"), "b": ("animatediff", "sd15")}.items():
        for kind in order:
            file = source if kind == "sd15" else tmp_path / "mm.ckpt"
            done = svp("import", kind, file, "-o", tmp_path / name, "--config", config)
            assert done.returncode == 0, done.stderr
        stored = json.loads((tmp_path / name / "unet/config.json").read_text())
        assert (stored["attention_heads"], stored["norm_num_groups"], stored["motion_heads"]) == ([2, 2, 2], 4, 4)
        again = svp("import", "sd15", source, "-o", tmp_path / name, "--config", config)
        assert again.returncode == 0 and json.loads((tmp_path / name / "unet/config.json").read_text()) == stored
    given = {
        '{"heads": 2}': "heads 2; known are num_attention_heads",
        '{"norm_num_groups": "4"}': "norm_num_groups '4'; known are",
        "[]": "holds no JSON object; write a JSON object",
    }
    for text, message in given.items():
        config.write_text(text)
        done = svp("import", "sd15", source, "-o", tmp_path / "c" / "d", "--config", config)
        assert done.returncode == 2 and message in done.stderr and not (tmp_path / "c").exists()
    done = svp("import", "syncnet", source, "-o", tmp_path / "c", "--config", config)
    assert done.returncode == 2 and "syncnet has one size" in done.stderr


def test_heads_of_v_express_that_no_tensor_tells(tmp_path: Path) -> None:
    source = all_of_v_express(tmp_path)
    (source / "unet_config.json").write_text('{"norm_num_groups": 16, "motion_num_attention_heads": 2}')
    (tmp_path / "sizes.json").write_text('{"audio_head_dim": 32, "attention_head_dim": 4}')
    done = svp("import", "v-express", source, "-o", tmp_path / "out", "--config", tmp_path / "sizes.json")
    assert done.returncode == 0, done.stderr
    unet, audio = (
        json.loads((tmp_path / f"out/{part}/config.json").read_text()) for part in ("unet", "audio_projection")
    )
    assert (unet["attention_heads"], unet["motion_heads"], unet["norm_num_groups"]) == ([4] * 4, 2, 16)
    assert (audio["heads"], audio["head_dim"]) == (24, 32)
    for title in ("V-Express", "wav2vec2-base-960h", "Stable Diffusion's VAE with a finetuned decoder"):
        assert sum(line.startswith(f"{title}: ") for line in done.stderr.splitlines()) == 1
    (tmp_path / "sizes.json").write_text('{"audio_head_dim": 5}')
    done = svp("import", "v-express", source, "-o", tmp_path / "other", "--config", tmp_path / "sizes.json")
    assert done.returncode == 2 and "768 rows of to_q are no heads of 5" in done.stderr
