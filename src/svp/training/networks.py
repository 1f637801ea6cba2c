"""What of a pipeline a stage trains, as the objective that the loop runs; no data is needed for it."""

from __future__ import annotations

from torch import nn

from svp.diffusion.build import build_tiny_decoder
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.style.encoder import StyleEncoder
from svp.training.distillation import TurboObjective
from svp.training.lora import add_adapters
from svp.training.model_folder import find_preset
from svp.training.objectives import DiffusionObjective, PriorObjective, TinyVaeObjective, VaeObjective
from svp.training.options import TrainOptions
from svp.training.picture_error import PictureError
from svp.training.samples import visited_timesteps
from svp.training.stages import Stage, select


def build_objective(pipeline: SVPPipeline, stage: Stage, options: TrainOptions) -> nn.Module:
    """The stage's loss over the pipeline's networks, of which exactly what trains asks for gradients."""
    if stage.name == "vae":
        select(stage, pipeline.vae)
        return VaeObjective(pipeline.vae, options.kl_weight)
    if stage.name == "tiny-vae":
        decoder = build_tiny_decoder(find_preset(options.preset), pipeline.vae, options.seed)
        select(stage, decoder)
        pipeline.register_modules(tiny_vae=decoder)
        return TinyVaeObjective(decoder, pipeline.vae.requires_grad_(False))
    if stage.name == "prior":
        encoder = style_encoder_of(pipeline)
        select(stage, encoder)
        return PriorObjective(encoder, options.temperature)
    denoiser = pipeline.denoiser
    select(stage, denoiser, options.train_spatial, options.frames)
    if options.lora:
        add_adapters(denoiser, stage, options.lora, options.seed)
    if options.gradient_checkpointing:
        for network in (pipeline.unet, pipeline.reference_net):
            if trainable(network):
                network.enable_gradient_checkpointing()
    vae = pipeline.vae.requires_grad_(False) if options.latents == "fly" else None
    if stage.name == "turbo":
        return TurboObjective(
            denoiser,
            pipeline.scheduler,
            guidance_audio=pipeline.settings.guidance_audio,
            guidance_style=pipeline.settings.guidance_style,
            steps=options.turbo_steps,
            teacher_steps=options.teacher_steps,
            vae=vae,
        )
    pictures = None
    if options.picture_weight:
        pictures = PictureError(pipeline.tiny_vae or pipeline.vae, pipeline.vae.config["scaling_factor"])
    return DiffusionObjective(
        denoiser,
        pipeline.scheduler,
        stage.audio,
        options.min_snr_gamma,
        vae,
        options.change_weight,
        visited_timesteps(pipeline.scheduler, options.few_steps or 1) if options.unroll else (),
        pictures,
        options.picture_weight,
    )


def style_encoder_of(pipeline: SVPPipeline) -> StyleEncoder:
    """The model's style encoder.

    Raises:
        InputError: if the model was saved without one.
    """
    if pipeline.style_encoder is None:
        raise InputError("--init: the model has no style encoder; start from one that `svp train` made")
    return pipeline.style_encoder


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that train, in the network's order."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
