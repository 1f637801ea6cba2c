"""Published weights become parts of a model folder; repeated imports add up to one model.

What nobody published (style layers, and without V-Express the guider and the audio projection) begins as training from
scratch begins with it. The parts of a folder do not depend on the order of the imports: V-Express's go before those of
Stable Diffusion, of which then only the VAE is taken, and its finetuned VAE goes before the first one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from torch import Tensor, nn

from svp.diffusion.build import BUILDERS, build_scheduler, build_settings
from svp.diffusion.fresh import fresh_tensor
from svp.diffusion.motion_module import MotionModule, sinusoid_table
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.settings import PipelineSettings
from svp.errors import InputError
from svp.presets import BASE, Preset, UNetSizes
from svp.speech.layout import AUDIO_ENCODER, WAV2VEC2, encoder_name
from svp.speech.wav2vec2_import import PARTS as WAV2VEC2_PARTS
from svp.speech.wav2vec2_import import add_wav2vec2
from svp.weights.animatediff import MOTION_LAYERS, TABLE, read_motion_modules, split_motion, whole_levels
from svp.weights.checkpoint import Shapes, check_shapes, find_checkpoint, read_checkpoint, shapes
from svp.weights.config import INDEX, TRAINING_RECORD, read_config
from svp.weights.provenance import owners
from svp.weights.sd15 import STEMS, StableDiffusion, read_sd15, read_vae
from svp.weights.sizes import (
    audio_projection_sizes,
    guider_sizes,
    motion_width,
    read_sizes_config,
    unet_sizes,
    vae_config,
)
from svp.weights.staging import Staging, refuse_trained, staged_import
from svp.weights.storage import write_weights
from svp.weights.v_express import KIND as V_EXPRESS
from svp.weights.v_express import VAE, VExpress, find_v_express

WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
SPATIAL, MOTION = "unet.spatial", "unet.motion"  # parts of the UNet by their origin
STYLE_LAYERS = "_style."
NEW = ("1_5.", MOTION_LAYERS, STYLE_LAYERS)  # in names that Stable Diffusion's UNet lacks
MOTION_CONFIG = "unet/motion_config.json"  # of motion modules that wait for their UNet
TINY = "tiny_vae"
V_EXPRESS_SETTINGS = {"head_kps": "v-express", "reference_scale": 0.95, "audio_scale": 3.0}  # as it generates

V_EXPRESS_STAGES = ("appearance", "motion")  # its own training did what these do


def import_sd15(source: Path, output: Path, config: Path | None = None) -> tuple[str, ...]:
    """Stable Diffusion's VAE and, unless V-Express is there already, its UNet as denoising UNet and ReferenceNet.

    Reference attention starts from self-attention.

    Args:
        source: a folder of diffusers, or one file in the layout of the first publication.
        output: a model folder, or a new one.
        config: a file that says what no shape tells of a network of other sizes, see `sizes.CONFIG_KEYS`.

    Returns:
        The parts that were added.

    Raises:
        InputError: if it is not Stable Diffusion 1.5, or would replace what was trained.
    """
    with staged_import(source, output) as stage:
        found, given = read_sd15(source), read_sizes_config(config)
        found.unet_config |= given
        found.vae_config = {key: given[key] for key in ("norm_num_groups",) if key in given} | found.vae_config
        there = owners(output)
        parts: dict[str, tuple[str, ...]] = {}
        if found.vae and there.get("vae") != VAE:
            parts["vae"] = ("vae",)
        if found.unet and there.get(SPATIAL) != V_EXPRESS:
            parts["unet"] = (SPATIAL, "reference_net")
        if not parts:
            raise InputError(f"{source}: has nothing that {output} lacks; use the model as it is")
        refuse_trained(output, [name for names in parts.values() for name in names])
        if "unet" in parts:
            _refuse_unheard(output, BASE.audio_encoder)
        if "vae" in parts:
            _add_vae(source, stage, found)
        if "unet" in parts:
            _add_sd15_unet(source, stage, found)
        for name, (path, of) in found.files.items():
            stage.record("sd15", path, name, tuple(own for part in of for own in parts.get(part, ())))
    return stage.parts


def import_vae(source: Path, output: Path) -> tuple[str, ...]:
    """The finetuned VAE, which V-Express uses too; arguments, result and errors as in `import_sd15`.

    Args:
        source: the folder with its configuration and weights.
        output: a model folder, or a new one; another VAE that is there is replaced.
    """
    with staged_import(source, output) as stage:
        refuse_trained(output, ["vae"])
        _add_finetuned_vae(source, stage)
    return stage.parts


def import_taesd(source: Path, output: Path) -> tuple[str, ...]:
    """The tiny decoder that `turbo` takes in place of the VAE's; arguments, result and errors as in `import_sd15`.

    Args:
        source: the folder with its configuration and weights.
        output: a model folder, or a new one.
    """
    with staged_import(source, output) as stage:
        refuse_trained(output, [TINY])
        weights = find_checkpoint(source, STEMS)
        if weights is None:
            raise InputError(f"{source}: no folder with {WEIGHTS_NAME}; give the published folder")
        config, tensors = source / "config.json", read_checkpoint(weights)
        with torch.device("meta"):
            network = AutoencoderTiny.from_config(read_config(config))
        check_shapes(weights, shapes(tensors), shapes(network.state_dict()))
        write_weights(stage.folder / TINY / WEIGHTS_NAME, tensors)
        network.save_config(stage.folder / TINY)
        _name_in_index(stage, TINY, "AutoencoderTiny")
        for path in (weights, config):
            stage.record("taesd", path, path.name, (TINY,))
    return stage.parts


def import_animatediff(source: Path, output: Path, config: Path | None = None) -> tuple[str, ...]:
    """AnimateDiff's motion modules; arguments, result and errors as in `import_sd15`.

    Args:
        source: one file.
        output: a model folder, or a new one; the UNet may be imported later.
        config: as in `import_sd15`.
    """
    with staged_import(source, output) as stage:
        given = read_sizes_config(config)
        motion = read_motion_modules(source)
        _check_motion(source, motion)
        if owners(output).get(MOTION) == V_EXPRESS:
            raise InputError(f"{output}: has V-Express's motion modules; import AnimateDiff into another folder")
        refuse_trained(output, [MOTION])
        spatial, _ = split_motion(_stored_unet(output))
        if spatial:
            stored = read_config(output / "unet/config.json")
            of_unet = {"num_attention_heads": stored["attention_heads"], "norm_num_groups": stored["norm_num_groups"]}
            known = {"motion_num_attention_heads": stored["motion_heads"]} | given | of_unet
            preset = _preset(unet_sizes(source, shapes(spatial), shapes(motion), known))
            _write_unet(source, stage, preset, spatial, motion)
            _complete(stage, preset)
        else:
            write_weights(stage.folder / "unet" / WEIGHTS_NAME, motion)
            (stage.folder / MOTION_CONFIG).write_text(json.dumps(given) + "\n")
        stage.record("animatediff", source, source.name, (MOTION,))
    return stage.parts


def import_v_express(source: Path, output: Path, config: Path | None = None) -> tuple[str, ...]:
    """V-Express with style layers at zero; arguments, result and errors as in `import_sd15`.

    Args:
        source: the folder with its files, see `find_v_express`; VAE and wav2vec2 are taken too if they are with them.
        output: a model folder, or a new one. A VAE that is there stays, unless V-Express's own is taken.
        config: as in `import_sd15`; the configuration of the UNet that lies with the files may say the same.
    """
    with staged_import(source, output) as stage:
        found = find_v_express(source)
        found.unet_config |= read_sizes_config(config)
        parts: dict[str, tuple[str, ...]] = {
            "denoising_unet": (SPATIAL, MOTION),
            "reference_net": ("reference_net",),
            "motion_module": (MOTION,),
            "audio_projection": ("audio_projection",),
            "v_kps_guider": ("guider",),
        }
        if "motion_module" in found.files:
            parts["denoising_unet"] = (SPATIAL,)
        refuse_trained(output, [name for names in parts.values() for name in names])
        if found.wav2vec2 is None:
            _refuse_unheard(output, WAV2VEC2)
        preset = _v_express_preset(found)
        others = {name: names[0] for name, names in parts.items() if names[0] in BUILDERS}
        for name, part in others.items():  # before gigabytes are written
            check_shapes(found.files[name], shapes(found.read(name)), shapes(_shapes_of(part, preset).state_dict()))
        if found.wav2vec2 is not None:
            refuse_trained(output, WAV2VEC2_PARTS)
            add_wav2vec2(found.wav2vec2, stage, preset.audio_projection.alpha_dim)
        if found.vae is not None:
            refuse_trained(output, ["vae"])
            _add_finetuned_vae(found.vae, stage)
        of_motion = found.files.get("motion_module")
        _write_unet(found.files["denoising_unet"], stage, preset, *found.denoising_unet(), of_motion)
        for name, part in others.items():
            _write(stage, part, _shapes_of(part, preset), found.read(name))
        _complete(stage, preset, settings=V_EXPRESS_SETTINGS, written=("guider", "audio_projection"))
        stage.needless.append(MOTION_CONFIG)
        stages = [{"stage": name, "imported": V_EXPRESS} for name in V_EXPRESS_STAGES]
        (stage.folder / TRAINING_RECORD).write_text(json.dumps(stages, indent=2) + "\n")
        for name, path in found.files.items():
            stage.record(V_EXPRESS, path, path.name, parts[name])
        if found.config_file is not None:
            stage.record(V_EXPRESS, found.config_file, found.config_file.name, (SPATIAL,))
    return stage.parts


# ---------------------------------------------------------------------- parts


def _refuse_unheard(output: Path, wanted: str) -> None:
    """An encoder of sound that is there already must be the one that the new model hears through."""
    if (path := output / AUDIO_ENCODER / "config.json").is_file():
        name = encoder_name(read_config(path))
        if name != wanted.split("/")[0]:
            raise InputError(f"{output}: has {name}, the model hears through {wanted}; import into a new folder")


def _add_sd15_unet(source: Path, stage: Staging, found: StableDiffusion) -> None:
    _, motion = split_motion(_stored_unet(stage.output))
    early, stored = stage.output / MOTION_CONFIG, stage.output / "unet/config.json"
    config = (read_config(early) if early.is_file() else {}) | found.unet_config
    sizes = unet_sizes(source, shapes(found.unet), shapes(motion), config)
    if stored.is_file():  # the tables that tell the longest window are not stored with the modules
        kept = read_config(stored)
        sizes = sizes.model_copy(update={name: kept[name] for name in ("motion_max_frames", "motion_heads")})
    preset = _preset(sizes)
    wanted = shapes(_shapes_of("unet", preset).state_dict())
    check_shapes(source, shapes(found.unet), {n: s for n, s in wanted.items() if not any(new in n for new in NEW)})
    spatial = dict(found.unet)
    for name, tensor in found.unet.items():
        for own, copy in (("norm1.", "norm1_5."), ("attn1.", "attn1_5.")):
            if f".{own}" in name and "transformer_blocks" in name:
                spatial[name.replace(f".{own}", f".{copy}")] = tensor
    _write_unet(source, stage, preset, spatial, motion, stage.output / "unet" / WEIGHTS_NAME)
    network = _shapes_of("reference_net", preset)  # it lacks what it does not use
    _write(stage, "reference_net", network, {name: found.unet[name] for name in network.state_dict()})
    stage.needless.append(MOTION_CONFIG)
    _complete(stage, preset)


def _add_vae(source: Path, stage: Staging, found: StableDiffusion) -> None:
    with torch.device("meta"):
        vae = AutoencoderKL(**vae_config(source, shapes(found.vae), found.vae_config))
    check_shapes(source, shapes(found.vae), shapes(vae.state_dict()))
    write_weights(stage.folder / "vae" / WEIGHTS_NAME, found.vae)
    vae.save_config(stage.folder / "vae")
    _name_in_index(stage, "vae", "AutoencoderKL")


def _name_in_index(stage: Staging, part: str, kind: str) -> None:
    """Let a model that is complete already know of a part of diffusers that is added."""
    if (index := stage.output / INDEX).is_file():
        values = read_config(index) | {part: ["diffusers", kind]}
        (stage.folder / INDEX).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def _add_finetuned_vae(source: Path, stage: Staging) -> None:
    found = read_vae(source)
    _add_vae(source, stage, found)
    for name, (path, parts) in found.files.items():
        stage.record(VAE, path, name, parts)


def _v_express_preset(found: VExpress) -> Preset:
    """Its sizes; the tables of the motion modules are checked on the way."""
    source = found.files["denoising_unet"]
    spatial, motion = found.denoising_unet()
    _check_tables(found.files.get("motion_module", source), motion)
    sizes = unet_sizes(source, shapes(spatial), shapes(motion), found.unet_config)
    guider, projection = (shapes(found.read(name)) for name in ("v_kps_guider", "audio_projection"))
    return _preset(sizes).model_copy(
        update={
            "prediction_type": "v_prediction",
            "zero_terminal_snr": True,
            "audio_encoder": WAV2VEC2,
            "guider": guider_sizes(found.files["v_kps_guider"], guider),
            "audio_projection": audio_projection_sizes(found.files["audio_projection"], projection, found.unet_config),
        }
    )


def _write_unet(
    source: Path,
    stage: Staging,
    preset: Preset,
    spatial: Mapping[str, Tensor],
    motion: Mapping[str, Tensor],
    motion_source: Path | None = None,
) -> None:
    """Spatial layers and motion modules as one network; style layers, and motion modules that are absent, are fresh."""
    network = _shapes_of("unet", preset)
    wanted = network.state_dict()
    spatial = {name: tensor for name, tensor in spatial.items() if STYLE_LAYERS not in name}
    motion = {name: tensor for name, tensor in motion.items() if not name.endswith(TABLE)}
    listed = shapes(wanted)
    own = {name: shape for name, shape in listed.items() if STYLE_LAYERS not in name}
    if motion:
        check_shapes(motion_source or source, shapes(motion), {n: s for n, s in own.items() if MOTION_LAYERS in n})
    check_shapes(source, shapes(spatial), {n: s for n, s in own.items() if MOTION_LAYERS not in n})
    _write(stage, "unet", network, {**wanted, **spatial, **motion})


def _write(stage: Staging, name: str, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    write_weights(stage.folder / name / WEIGHTS_NAME, tensors, lambda tensor: fresh_tensor(network, tensor))
    network.save_config(stage.folder / name)  # type: ignore[operator]


def _complete(
    stage: Staging, preset: Preset, settings: Mapping[str, object] | None = None, written: Iterable[str] = ()
) -> None:
    """What makes the parts a model: fresh small networks unless they were written, scheduler, index."""
    for name in ("guider", "audio_projection", "style_projection", "style_encoder"):
        if name not in written:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                BUILDERS[name](preset).save_pretrained(stage.folder / name)
    scheduler = build_scheduler(preset.prediction_type, preset.zero_terminal_snr)
    scheduler.save_pretrained(stage.folder / "scheduler")
    networks: dict[str, nn.Module | None] = {name: _shapes_of(name, preset) for name in BUILDERS if name != "vae"}
    with torch.device("meta"):
        stored = stage.place("vae/config.json")
        networks["vae"] = AutoencoderKL.from_config(read_config(stored)) if stored.is_file() else None
        tiny = stage.place(f"{TINY}/config.json")
        networks[TINY] = AutoencoderTiny.from_config(read_config(tiny)) if tiny.is_file() else None
    own = PipelineSettings.model_validate(build_settings(preset).model_dump() | dict(settings or {}))
    SVPPipeline(**networks, scheduler=scheduler, settings=own).save_config(stage.folder)  # type: ignore[arg-type]


def _preset(sizes: UNetSizes) -> Preset:
    """`base` with a UNet of such sizes; they differ from `base` only for small networks."""
    projection = BASE.audio_projection.model_copy(update={"dim": sizes.audio_token_dim})
    return BASE.model_copy(
        update={
            "unet": sizes,
            "latent_channels": sizes.in_channels,
            "audio_projection": projection,
            "window": min(BASE.window, sizes.motion_max_frames),
        }
    )


@lru_cache(maxsize=len(BUILDERS))  # building takes seconds
def _shapes_of(name: str, preset: Preset) -> nn.Module:
    with torch.device("meta"):
        return BUILDERS[name](preset)


def _stored_unet(output: Path) -> dict[str, Tensor]:
    path = output / "unet" / WEIGHTS_NAME
    return read_checkpoint(path) if path.is_file() else {}


def _check_motion(source: Path, motion: Mapping[str, Tensor]) -> None:
    """Whether all motion modules are there and complete and their tables are the sinusoids that are computed here."""
    _check_tables(source, motion)
    found = shapes(motion)
    wanted: dict[str, tuple[int, ...]] = {}
    for level, modules in enumerate(whole_levels(motion)):
        own = _motion_shapes(motion_width(found, modules, level))
        wanted |= {module + name: shape for module in modules for name, shape in own.items()}
    check_shapes(source, {n: s for n, s in found.items() if not n.endswith(TABLE)}, wanted)


@lru_cache(maxsize=8)
def _motion_shapes(channels: int) -> Shapes:
    with torch.device("meta"):
        module = MotionModule(channels=channels, heads=1, max_frames=1, norm_groups=1, norm_across_frames=False)
    return shapes(module.state_dict())


def _check_tables(source: Path, motion: Mapping[str, Tensor]) -> None:
    for name, table in motion.items():
        if not name.endswith(TABLE):
            continue
        own = sinusoid_table(table.shape[-1], table.shape[-2])
        tolerance = 1e-4 if table.dtype == torch.float32 else 1e-3  # computed in float32, stored in half
        if table.shape != own.shape or (table.float() - own).abs().max() > tolerance:
            raise InputError(f"{source}: {name} is not AnimateDiff's table of sinusoids; give mm_sd_v15_v2.ckpt")
