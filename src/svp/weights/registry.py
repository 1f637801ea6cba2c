"""Every published weight that SVP can stand on: source, licence, permitted use, names of its files."""

from __future__ import annotations

from dataclasses import dataclass

from svp.errors import InputError

ANY_USE = "any use"  # without restrictions
UNKNOWN = {"licence": "unknown, not the published file", "use": "what its maker permits"}  # terms of all others


@dataclass(frozen=True)
class Weight:
    """One kind of `svp import`.

    Attributes:
        kind: its name on the command line.
        title: what it is.
        source: where its authors publish it.
        licence: under which terms.
        use: what it may be used for, in a few words; it holds for everything made with the weight.
        files: the published names of its files.
        scripts: SHA-256 of those that are programs (TorchScript); no other is run unasked.
    """

    kind: str
    title: str
    source: str
    licence: str
    use: str
    files: tuple[str, ...]
    scripts: tuple[str, ...] = ()

    def notice(self) -> str:
        """One line that is shown before use."""
        return f"{self.title}: {self.licence}; {self.use} ({self.source})"


WEIGHTS: dict[str, Weight] = {
    weight.kind: weight
    for weight in (
        Weight(
            kind="sd15",
            title="Stable Diffusion 1.5",
            source="https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5",
            licence="CreativeML OpenRAIL-M",
            use="any use but those its attachment A forbids; the restrictions pass on to derived models",
            files=("unet/", "vae/", "v1-5-pruned-emaonly.safetensors", "v1-5-pruned.safetensors"),
        ),
        Weight(
            kind="animatediff",
            title="AnimateDiff motion modules v2",
            source="https://huggingface.co/guoyww/animatediff",
            licence="Apache-2.0",
            use=ANY_USE,
            files=("mm_sd_v15_v2.ckpt",),
        ),
        Weight(
            kind="v-express",
            title="V-Express",
            source="https://huggingface.co/tk93/V-Express",
            licence="no licence file; its README: models are for non-commercial research purposes",
            use="non-commercial research only",
            files=("denoising_unet", "reference_net", "motion_module", "audio_projection", "v_kps_guider"),
        ),
        Weight(
            kind="sd-vae-ft-mse",
            title="Stable Diffusion's VAE with a finetuned decoder",
            source="https://huggingface.co/stabilityai/sd-vae-ft-mse",
            licence="MIT",
            use=ANY_USE,
            files=("config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
        ),
        Weight(
            kind="taesd",
            title="TAESD, a tiny decoder of Stable Diffusion's latents",
            source="https://huggingface.co/madebyollin/taesd",
            licence="MIT",
            use=ANY_USE,
            files=("config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
        ),
        Weight(
            kind="wav2vec2",
            title="wav2vec2-base-960h",
            source="https://huggingface.co/facebook/wav2vec2-base-960h",
            licence="Apache-2.0",
            use=ANY_USE,
            files=("config.json", "model.safetensors", "pytorch_model.bin"),
        ),
        Weight(
            kind="whisper",
            title="Whisper tiny",
            source="https://huggingface.co/openai/whisper-tiny",
            licence="MIT (OpenAI's repository; the hub's card says Apache-2.0)",
            use=ANY_USE,
            files=("config.json", "model.safetensors", "tiny.pt", "tiny.en.pt", "model.bin"),
        ),
        Weight(
            kind="inception",
            title="Inception-v3 of 2015 in TorchScript",
            source="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
            licence="Apache-2.0 (the network, of TensorFlow Models); NVIDIA Source Code License (its TorchScript)",
            use="research and evaluation only, as NVIDIA's licence",
            files=("inception-2015-12-05.pt",),
            scripts=("f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",),
        ),
        Weight(
            kind="i3d",
            title="I3D of Kinetics-400",
            source="https://github.com/universome/fvd-comparison",
            licence="Apache-2.0 (the network, of kinetics-i3d); its TorchScript has no licence file",
            use="any use of the plain PyTorch file; nothing is stated for the TorchScript",
            files=("i3d_torchscript.pt", "i3d_pretrained_400.pt"),
            scripts=("bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",),
        ),
        Weight(
            kind="syncnet",
            title="SyncNet",
            source="https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
            licence="MIT (of syncnet_python)",
            use="any use, as far as this licence covers the weights",
            files=("syncnet_v2.model",),
        ),
        Weight(
            kind="styletalk",
            title="StyleTalk's style encoder",
            source="https://github.com/FuxiVirtualHuman/styletalk",
            licence="MIT (of the code)",
            use="any use, as far as this licence covers the weights",
            files=("styletalk_checkpoint.pth",),
        ),
        Weight(
            kind="deep3d",
            title="Deep3DFaceRecon",
            source="https://github.com/sicxu/Deep3DFaceRecon_pytorch",
            licence="MIT (of the code); made with the Basel Face Model, which is not free",
            use="research only, as the Basel Face Model",
            files=("epoch_20.pth", "SadTalker_V0.0.2_256.safetensors"),
        ),
    )
}


def find_weight(kind: str) -> Weight:
    """The weight of that kind.

    Raises:
        InputError: if there is none.
    """
    if kind not in WEIGHTS:
        raise InputError(f"{kind}: no such kind of weights; kinds are {', '.join(WEIGHTS)}")
    return WEIGHTS[kind]
