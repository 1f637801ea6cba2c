"""Peak resident memory of importing large files, against the largest of them, and whether what was made is a model.

V-Express, and Stable Diffusion 1.5 with AnimateDiff: random weights under the published names, at the published sizes
and in the published precision, float32, imported in a process of its own; models are opened and saved again in another,
and every tensor compared. 25 GB of disk; opening and saving takes 11 GB of memory.
`python -c "from benchmarks.imports import run_v_express as run; run()"` measures V-Express alone, `run_sd15` the folder
of Stable Diffusion with AnimateDiff, both with `run(torch.float16)` in half precision; `run_first_sd15` the one file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.memory import peak_memory

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel

MOTION = "motion_modules."


PUBLISHED = torch.float32


def random_weights(shapes: Mapping[str, Tensor], dtype: torch.dtype = PUBLISHED) -> dict[str, Tensor]:
    """Tensors of such shapes; tables of positions as they are."""
    from svp.diffusion.motion_module import sinusoid_table

    return {
        name: sinusoid_table(t.shape[-1], t.shape[-2]).to(dtype)
        if name.endswith(".pe")
        else torch.empty(t.shape, dtype=dtype).normal_(std=0.02)
        for name, t in shapes.items()
    }


def write_v_express(folder: Path, dtype: torch.dtype) -> None:
    """Its five files."""
    from svp.diffusion.build import build_audio_projection, build_guider, build_reference_net, build_unet
    from svp.presets import BASE

    window = BASE.audio_projection.model_copy(update={"alpha_dim": 768, "window": 10})
    preset = BASE.model_copy(update={"audio_projection": window})
    builders = {
        "denoising_unet": build_unet,
        "reference_net": build_reference_net,
        "audio_projection": build_audio_projection,
        "v_kps_guider": build_guider,
    }
    for name, build in builders.items():
        with torch.device("meta"):
            shapes = build(preset).state_dict()
        tensors = random_weights({key: tensor for key, tensor in shapes.items() if "_style." not in key}, dtype)
        torch.save(tensors, folder / f"{name}.bin")
        if name == "denoising_unet":
            motion = {key: tensor for key, tensor in tensors.items() if MOTION in key}
            torch.save(motion, folder / "motion_module.bin")


def sd15_networks() -> tuple[UNet2DConditionModel, AutoencoderKL]:
    """Stable Diffusion's UNet and VAE without memory."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    four = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)
        return unet, AutoencoderKL(down_block_types=down, up_block_types=up, sample_size=512, **four)


def write_sd15(folder: Path, dtype: torch.dtype) -> None:
    """diffusers' folder with UNet and VAE."""
    from safetensors.torch import save_file

    for name, network in zip(("unet", "vae"), sd15_networks(), strict=True):
        network.save_config(folder / name)
        save_file(random_weights(network.state_dict(), dtype), folder / name / "diffusion_pytorch_model.safetensors")


def write_first_sd15(path: Path) -> None:
    """One file in the layout of the first publication, with the text encoder and the schedule of noise."""
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel

    sys.path.append(str(Path(__file__).parents[1] / "tests" / "diffusion"))
    from first_layout import first_names

    with torch.device("meta"):
        text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
    unet, vae = sd15_networks()
    shapes = first_names(unet.state_dict(), vae.state_dict()) | {"betas": torch.empty(1000, device="meta")}
    shapes |= {f"cond_stage_model.transformer.{name}": tensor for name, tensor in text.state_dict().items()}
    save_file(random_weights(shapes), path)


def write_animatediff(path: Path, dtype: torch.dtype) -> None:
    """Motion modules in one file."""
    from svp.diffusion.build import build_unet
    from svp.presets import BASE

    with torch.device("meta"):
        shapes = build_unet(BASE).state_dict()
    torch.save(random_weights({name: tensor for name, tensor in shapes.items() if MOTION in name}, dtype), path)


def measured(*what: object) -> list[int]:
    """Numbers that a process of its own prints last."""
    command = [sys.executable, "-m", "benchmarks.imports", *map(str, what)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [int(word) for word in done.stdout.splitlines()[-1].split()]


def compare(kind: str, source: Path, output: Path) -> None:
    """Import and print the figures; the largest file may be one of the model that is added to or made."""
    files = [path for path in (source, *source.rglob("*")) if path.is_file()]
    begin, before = time.perf_counter(), os.times()
    [peak] = measured("import", kind, source, output)
    used = os.times()
    largest = max(path.stat().st_size for path in (*files, *output.rglob("*.safetensors")))
    seconds = used.children_user + used.children_system - before.children_user - before.children_system
    print(f"  svp import {kind}: {sum(path.stat().st_size for path in files) / 1e9:.2f} GB, largest read or "
          f"written {largest / 1e9:.2f} GB, peak memory {peak / 1e9:.2f} GB, ratio {peak / largest:.2f} (below 1.5 is "
          f"wanted), {time.perf_counter() - begin:.0f} s, {seconds:.0f} s of a processor")  # fmt: skip


def reopen(model: Path, again: Path) -> None:
    """Open and save, and print the figures."""
    equal, count, peak = measured("reopen", model, again)
    print(f"  opened and saved: {equal} of {count} tensors as imported, peak memory {peak / 1e9:.2f} GB")


def saved_again(model: Path, again: Path) -> tuple[int, int]:
    """How many tensors are unchanged, and how many there are in the two models."""
    from safetensors import safe_open

    from svp.diffusion.pipeline import SVPPipeline

    SVPPipeline.from_pretrained(model).save_pretrained(again)
    equal, names = 0, set()
    for name in {path.relative_to(root) for root in (model, again) for path in root.rglob("*.safetensors")}:
        with safe_open(model / name, framework="pt") as before, safe_open(again / name, framework="pt") as after:
            names |= {(name, key) for key in (*before.keys(), *after.keys())}
            equal += sum(torch.equal(before.get_tensor(key), after.get_tensor(key)) for key in before.keys())  # noqa: SIM118
    return equal, len(names)


def run_first_sd15() -> None:
    """Stable Diffusion's one file alone."""
    with TemporaryDirectory() as place:
        source = Path(place) / "v1-5-pruned-emaonly.safetensors"
        write_first_sd15(source)
        compare("sd15", source, Path(place) / "model")


def run_v_express(dtype: torch.dtype = PUBLISHED) -> None:
    """V-Express alone."""
    with TemporaryDirectory() as place:
        source, model = Path(place) / "V-Express", Path(place) / "model"
        source.mkdir()
        write_v_express(source, dtype)
        compare("v-express", source, model)
        shutil.rmtree(source)
        reopen(model, Path(place) / "again")


def run_sd15(dtype: torch.dtype = PUBLISHED) -> None:
    """Stable Diffusion's folder and AnimateDiff, in both orders."""
    with TemporaryDirectory() as place:
        source, motion, model = Path(place) / "sd15", Path(place) / "mm_sd_v15_v2.ckpt", Path(place) / "model"
        write_sd15(source, dtype)
        write_animatediff(motion, dtype)
        compare("sd15", source, model)
        compare("animatediff", motion, model)
        reopen(model, Path(place) / "again")
        shutil.rmtree(model)
        print("  the other way round:")
        compare("animatediff", motion, model)
        compare("sd15", source, model)


def run() -> None:
    run_v_express()
    run_first_sd15()
    run_sd15()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["import", kind, source, output]:
            from svp.diffusion.model_import import import_animatediff, import_sd15, import_v_express

            imports = {"v-express": import_v_express, "sd15": import_sd15, "animatediff": import_animatediff}
            imports[kind](Path(source), Path(output))
            print(peak_memory())
        case ["reopen", model, again]:
            print(*saved_again(Path(model), Path(again)), peak_memory())
