"""Peak resident memory of importing large files, against the largest of them.

V-Express's five files at half its widths (a quarter of its numbers, 2.7 GB, and as much again is written), and its UNet
and ReferenceNet at the tensors' own sizes with `--full` (11 GB). The files hold zeros; only their sizes matter.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.memory import peak_memory


def write_files(folder: Path, halved: bool) -> int:
    """The five files; bytes of the largest."""
    from svp.diffusion.build import build_audio_projection, build_guider, build_reference_net, build_unet
    from svp.presets import BASE

    widths = tuple(width // (2 if halved else 1) for width in BASE.unet.block_out_channels)
    window = BASE.audio_projection.model_copy(update={"alpha_dim": 768, "window": 10})
    unet = BASE.unet.model_copy(update={"block_out_channels": widths})
    preset = BASE.model_copy(update={"unet": unet, "audio_projection": window})
    builders = {
        "denoising_unet": build_unet,
        "reference_net": build_reference_net,
        "audio_projection": build_audio_projection,
        "v_kps_guider": build_guider,
    }
    for name, build in builders.items():
        with torch.device("meta"):
            shapes = build(preset).state_dict()
        tensors = {key: torch.zeros(t.shape) for key, t in shapes.items() if "_style." not in key}
        torch.save(tensors, folder / f"{name}.bin")
        if name == "denoising_unet":
            motion = {key: tensor for key, tensor in tensors.items() if "motion_modules." in key}
            torch.save(motion, folder / "motion_module.bin")
    return max(path.stat().st_size for path in folder.iterdir())


def run(halved: bool = True) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        largest = write_files(folder, halved)
        command = [sys.executable, "-m", "benchmarks.imports", str(folder), str(folder / "model")]
        peak = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])
        print(f"  svp import v-express: largest file {largest / 1e9:.2f} GB, peak memory {peak / 1e9:.2f} GB, "
              f"ratio {peak / largest:.2f} (below 1.5 is wanted)")  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["--full"]:
        run(halved=False)
    else:
        from svp.diffusion.model_import import import_v_express

        import_v_express(*map(Path, sys.argv[1:]))
        print(peak_memory())
