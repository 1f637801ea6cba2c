"""A pickle that would run code is refused whatever it is imported as, and changes nothing."""

import json
import os
from importlib import import_module
from pathlib import Path

import pytest
import torch

from svp.cli.weights import IMPORTERS
from svp.errors import InputError
from svp.speech.wav2vec2_import import add_wav2vec2
from svp.weights.registry import WEIGHTS
from svp.weights.staging import staged_import

FOLDER = ""  # the source is the folder around the file
CASES = [
    ("sd15", "v1-5-pruned-emaonly.ckpt", "v1-5-pruned-emaonly.ckpt"),
    ("sd15", "unet/diffusion_pytorch_model.bin", FOLDER),
    ("sd-vae-ft-mse", "diffusion_pytorch_model.bin", FOLDER),
    ("taesd", "diffusion_pytorch_model.bin", FOLDER),
    ("animatediff", "mm_sd_v15_v2.ckpt", "mm_sd_v15_v2.ckpt"),
    ("v-express", "denoising_unet.bin", FOLDER),
    ("whisper", "tiny.pt", "tiny.pt"),
    ("whisper", "pytorch_model.bin", FOLDER),
    ("wav2vec2", "pytorch_model.bin", FOLDER),
    ("inception", "inception-2015-12-05.pt", "inception-2015-12-05.pt"),
    ("i3d", "i3d_pretrained_400.pt", "i3d_pretrained_400.pt"),
    ("syncnet", "syncnet_v2.model", "syncnet_v2.model"),
    ("styletalk", "styletalk_checkpoint.pth", "styletalk_checkpoint.pth"),
    ("deep3d", "epoch_20.pth", "epoch_20.pth"),
]


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.folder,)


def do_import(kind: str, source: Path, output: Path) -> None:
    if kind == "wav2vec2":  # comes with V-Express
        with staged_import(source, output) as stage:
            add_wav2vec2(source, stage, width=768)
        return
    module, function = IMPORTERS[kind].split(":")
    getattr(import_module(module), function)(source, output)


@pytest.mark.parametrize(("kind", "name", "given"), CASES)
def test_is_refused(kind: str, name: str, given: str, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    for file in ("reference_net.bin", "audio_projection.bin", "v_kps_guider.bin", name):
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).touch()
    (source / "config.json").write_text(json.dumps({"model_type": kind}))
    torch.save({"state_dict": {"a.weight": torch.ones(2)}, "x": RunsCode(tmp_path / "made")}, source / name)
    with pytest.raises(InputError, match=f"{Path(name).name}: (refused, .* could run code|is no TorchScript)"):
        do_import(kind, source / given, output)
    assert not (tmp_path / "made").exists() and not output.exists()


def test_every_kind_is_tried() -> None:
    assert {kind for kind, *_ in CASES} == WEIGHTS.keys()
