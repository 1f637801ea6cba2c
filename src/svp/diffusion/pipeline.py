"""SVPPipeline: portrait, recording, head motion and style become a talking-head video (paper Fig. 2).

Shapes: C latent channels, h x w latent grid, F frames, N frames of the video, W alpha frames of an audio window, A
audio features, H x W pixels, D channels of the style space.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.utils import logging
from safetensors import SafetensorError
from torch import Tensor

from svp.diffusion.adapters import merge_file
from svp.diffusion.audio_projection import AudioProjection
from svp.diffusion.audio_track import AudioTrack, recording_alpha
from svp.diffusion.conditions import Conditions
from svp.diffusion.denoiser import PARTS, Denoiser
from svp.diffusion.generation import Job, generate_frames, job_fingerprint, sampling_of
from svp.diffusion.guidance import predict_guided
from svp.diffusion.guider import HeadKpsGuider
from svp.diffusion.inputs import AudioSource, check_inputs, load_audio
from svp.diffusion.kept import KeptLatents
from svp.diffusion.knobs import Knobs
from svp.diffusion.model_folder import check_model_folder, find_model, keep_imports, tell_terms_of, unusable_model
from svp.diffusion.noise import seed_of
from svp.diffusion.offload import place_of
from svp.diffusion.origin import Origin
from svp.diffusion.portrait import NATURAL, MotionSource, PictureSource, Portrait, head_points, prepare_portrait
from svp.diffusion.reference_net import ReferenceNet
from svp.diffusion.sampling import trailing
from svp.diffusion.settings import PipelineSettings
from svp.diffusion.style_projection import StyleProjection
from svp.diffusion.style_source import StyleSource, check_style, load_style
from svp.diffusion.tiny_decoder import TinyDecoder, TinyVAE  # noqa: F401  # diffusers loads it from here
from svp.diffusion.turbo import Turbo
from svp.diffusion.unet import DenoisingUNet
from svp.diffusion.untrained import check_trained
from svp.diffusion.vae import PatchAutoencoderKL, decode_latents, encode_image, latent_stride, require_vae
from svp.diffusion.video import FrameStream, GeneratedVideo
from svp.errors import InputError
from svp.face.canvas import View
from svp.face.face_box import FaceBox
from svp.face.key_points import KEY_POINTS
from svp.media.hashing import sha256_file, weights_sha256
from svp.media.recording import forget
from svp.media.video import count_frames
from svp.speech.alpha import AudioEncoder, find_audio_encoder
from svp.speech.layout import alpha_layout
from svp.speech.loudness import loudness
from svp.style.encoder import StyleEncoder
from svp.style.prior import StylePrior
from svp.style.timeline import StyleTimeline


class SVPPipeline(DiffusionPipeline):
    """A diffusers pipeline; `save_pretrained` and `from_pretrained` work on folders with one part per sub-folder.

    Args:
        vae: latents; `base` has Stable Diffusion's own, `mini` a small one, an import may lack it.
        unet, reference_net, guider, audio_projection, style_projection: the denoiser's networks.
        scheduler: Euler, with the checkpoint's prediction type.
        style_encoder: makes styles from clips; None for a model that was never taught styles.
        tiny_vae: decodes the same latents quickly and less well, for `turbo`; None where there is none.
        settings: `PipelineSettings` or their dictionary.
    """

    model_cpu_offload_seq = "reference_net->guider->audio_projection->style_projection->unet->vae->tiny_vae"  # type: ignore[assignment]
    _optional_components = ["vae", "style_encoder", "tiny_vae"]  # noqa: RUF012  # diffusers' name and type

    vae: AutoencoderKL  # None while an imported model lacks it, see `require_vae`
    unet: DenoisingUNet
    reference_net: ReferenceNet
    guider: HeadKpsGuider
    audio_projection: AudioProjection
    style_projection: StyleProjection
    scheduler: EulerDiscreteScheduler
    style_encoder: StyleEncoder | None
    tiny_vae: TinyVAE | None

    def __init__(
        self,
        vae: AutoencoderKL | PatchAutoencoderKL | None,
        unet: DenoisingUNet,
        reference_net: ReferenceNet,
        guider: HeadKpsGuider,
        audio_projection: AudioProjection,
        style_projection: StyleProjection,
        scheduler: EulerDiscreteScheduler,
        style_encoder: StyleEncoder | None = None,
        settings: PipelineSettings | dict[str, Any] | None = None,
        tiny_vae: TinyVAE | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            unet=unet,
            reference_net=reference_net,
            guider=guider,
            audio_projection=audio_projection,
            style_projection=style_projection,
            scheduler=scheduler,
            style_encoder=style_encoder,
            tiny_vae=tiny_vae,
        )
        self.settings = PipelineSettings.parse(settings, "model_index.json")
        self.register_to_config(settings=self.settings.model_dump())
        self._audio_encoder: AudioEncoder | None = None
        self.folder: Path | None = None  # that it was loaded from
        self.weights_sha256 = ""  # of the files there at that time, but of parts that were replaced
        self.merged: list[str] = []  # SHA-256 of the files of adapters in it
        self.turbo: Turbo | None = None
        self._denoiser: Denoiser | None = None
        size = self.settings.image_size
        if vae is not None and size % (stride := latent_stride(vae)):
            raise ValueError(f"image_size {size} must be a multiple of the VAE's stride {stride}")
        if style_encoder is not None:
            self.settings.check_style_encoder(style_encoder.config)

    def register_modules(self, **modules: Any) -> None:
        """As in diffusers; our own classes are written as members of this module.

        diffusers loads a foreign class only from a module that was imported before and shows a known base class
        (`ModelMixin`) too: both hold for this file, whatever the file a network lives in.
        """
        super().register_modules(**modules)
        for name, module in modules.items():
            if isinstance(module, ModelMixin) and type(module).__module__.startswith("svp."):
                self.register_to_config(**{name: (__name__, type(module).__name__)})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str], **kwargs: Any) -> Self:
        """Load a shipped model by name, or a folder written by `save_pretrained`; terms of foreign weights are logged.

        Args:
            pretrained_model_name_or_path: "mini", or a folder.
            kwargs: as in `DiffusionPipeline.from_pretrained` (`dtype`, parts to replace).

        Raises:
            InputError: if there is no such model, or a part of it is missing, damaged or does not fit.
        """
        folder = find_model(pretrained_model_name_or_path)
        tell_terms_of(folder)
        check_model_folder(folder, replaced=kwargs)
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # of diffusers: this takes a second
        try:
            pipeline = super().from_pretrained(str(folder), **kwargs)
        except (OSError, SafetensorError, ValueError, TypeError, LookupError, RuntimeError) as error:
            raise unusable_model(folder, error) from error
        finally:
            if bars:
                logging.enable_progress_bar()
        pipeline.folder, pipeline.turbo = folder, Turbo.load(folder)
        pipeline.weights_sha256 = weights_sha256(folder, without=kwargs)
        return pipeline

    def save_pretrained(self, save_directory: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        """As in diffusers; what an imported model keeps beside its networks goes along, its licences above all."""
        super().save_pretrained(save_directory, *args, **kwargs)
        if self.turbo is not None:
            self.turbo.save(Path(save_directory))
        if self.folder is not None:
            keep_imports(self.folder, Path(save_directory))

    def merge_adapters(self, path: str | Path) -> None:
        """Add a file of low-rank adapters, which `svp train --lora` wrote, to the weights of this pipeline.

        Raises:
            InputError: if it cannot be read or belongs to a model of other sizes.
        """
        merge_file(self.denoiser, Path(path))
        self.merged.append(sha256_file(Path(path)))
        self.turbo = self.turbo and Turbo(self.turbo.tensors)  # its UNet is made anew from the changed weights

    @property
    def denoiser(self) -> Denoiser:
        """The networks as one module, as training sees them."""
        parts = {name: getattr(self, name) for name in PARTS}
        if self._denoiser is None or any(part is not getattr(self._denoiser, name) for name, part in parts.items()):
            self._denoiser = Denoiser(**parts)  # which walks through all layers
        return self._denoiser

    def distilled(self) -> Self:
        """The pipeline that `turbo` samples with: few trailing steps, the distilled UNet where it is kept apart."""
        unet = self.unet if self.turbo is None else self.turbo.unet(self.unet)
        parts = self.components | {"unet": unet, "scheduler": trailing(self.scheduler)}
        return type(self)(**parts, settings=self.settings)

    @property
    def audio_encoder(self) -> AudioEncoder:
        """The encoder of alpha that the model was trained with, loaded when first needed.

        Raises:
            InputError: if it cannot be had, or calls itself otherwise.
        """
        if self._audio_encoder is None:
            self._audio_encoder = find_audio_encoder(self.settings.audio_encoder, self.folder)
        return self._audio_encoder

    @property
    def audio_radius(self) -> int:
        """Alpha frames on either side of a frame in its audio window."""
        positions = alpha_layout(self.settings.audio_encoder).positions
        return (self.audio_projection.config["window"] // positions - 1) // 2

    @torch.no_grad()
    def encode_conditions(
        self,
        reference_latents: Tensor | None,
        audio_windows: Tensor | None,
        head_kps_images: Tensor | None,
        style: Tensor | None = None,
        reference_scale: float = 1.0,
        audio_scale: float = 1.0,
        style_scale: float = 1.0,
    ) -> Conditions:
        """Project the conditions of F frames once, for use in every step; None is the zero condition of guidance.

        Args:
            reference_latents: (1, C, h, w), see `encode_image`.
            audio_windows: alpha of the frames i-2 … i+2 around each frame i, (F, W, A).
            head_kps_images: drawn Head-Kps, RGB in [0, 1], (1, 3, F, H, W).
            style: sampled style (D,), or one per frame (F, D).
            reference_scale, audio_scale, style_scale: factors on the attention outputs.
        """
        return self.denoiser.encode(
            self._to_unet(reference_latents),
            None if audio_windows is None else self._to_unet(audio_windows)[None],
            self._to_unet(head_kps_images),
            None if style is None else self._to_unet(style)[None],
            reference_scale=reference_scale,
            audio_scale=audio_scale,
            style_scale=style_scale,
        )

    @torch.no_grad()
    def predict_noise(
        self,
        latents: Tensor,
        timestep: Tensor | float,
        c: Conditions,
        guidance_scale: float | None = None,
        *,
        guidance_audio: float = 1.0,
        guidance_style: float = 1.0,
        deep: dict[tuple[int, ...], Tensor] | None = None,
    ) -> Tensor:
        """The network's prediction (noise, or v if the checkpoint says so) for a window of frames.

        Args:
            latents: noisy latents at the scale the network sees, (1, C, F, h, w).
            timestep: diffusion step.
            c: conditions of the same frames.
            guidance_scale: sets both scales below.
            guidance_audio, guidance_style: g_a and g_s of `guidance.py`; 1 and 1 is no guidance.
            deep: what the deep levels gave before, to be used again; see `DenoisingUNet.forward`.

        Returns:
            (1, C, F, h, w), of the latents' type.
        """
        if guidance_scale is not None:
            guidance_audio = guidance_style = guidance_scale
        inputs = self._to_unet(latents)
        together = inputs.device.type != "cpu"
        prediction = predict_guided(
            self.unet, inputs, timestep, c, guidance_audio, guidance_style, together=together, deep=deep
        )
        return prediction.to(latents.device, latents.dtype)

    def encode_image(self, image: np.ndarray) -> Tensor:
        """Reference latents (1, C, h, w) of a crop (S, S, 3) uint8, see `vae.py`."""
        return encode_image(require_vae(self.vae), image)

    def decode_latents(self, latents: Tensor) -> Iterator[np.ndarray]:
        """Frames' latents (F, C, h, w) as pictures (S, S, 3) uint8 RGB, one after the other; see `vae.py`."""
        return decode_latents(require_vae(self.vae), latents, self.settings.image_size)

    def _to_unet(self, tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.to(*place_of(self.unet))

    def portrait(
        self, source: PictureSource | Portrait, face_box: tuple[float, float, float, float] | None = None
    ) -> Portrait:
        """A portrait cropped and measured for this model; many videos can share it. `face_box`: see `FaceBox`.

        Raises:
            InputError: if it cannot be used, or was prepared for another size.
        """
        size = self.settings.image_size
        if not isinstance(source, Portrait):
            return prepare_portrait(source, size, None if face_box is None else FaceBox(*face_box))
        if face_box is not None:
            raise InputError("face_box: this portrait is cropped already; give it to pipeline.portrait")
        return source.require_size(size)

    def style(self, source: StyleSource, watch: Callable[[int], None] | None = None) -> StylePrior:
        """A style of the gallery (`happy:2`), a saved one or a clip's, checked against this model; see `load_style`."""
        return load_style(source, self.style_encoder, watch)

    def stream(
        self,
        portrait: PictureSource | Portrait,
        audio: AudioSource,
        style: StyleSource | StyleTimeline | None = None,
        head_motion: MotionSource = NATURAL,
        *,
        generator: torch.Generator | None = None,
        seed: int = 0,
        fast: str = "exact",
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_audio: float | None = None,
        guidance_style: float | None = None,
        retarget: str = "pose",
        mouth_amplitude: float = 1.0,
        head_amplitude: float = 1.0,
        blink_rate: float | None = None,
        gaze: tuple[float, float] = (0.0, 0.0),
        frame: str = "crop",
        aspect: str | None = None,
        face_box: tuple[float, float, float, float] | None = None,
        callback: Callable[[int, int], None] | None = None,
        watch: Callable[[int], None] | None = None,
        partial: Path | None = None,
    ) -> FrameStream:
        """The frames of a video one after the other; none is held, and of a file's sound two minutes at most.

        The inputs are read and measured before this returns, the networks run as frames are taken.

        Args:
            portrait: picture file, PIL picture, (H, W, 3) uint8 RGB, or a prepared `Portrait`.
            audio: sound or video file, or (samples,) floats at 16 kHz; its length is the video's.
            style: a StylePrior, a saved style, a clip, or a StyleTimeline; None is no style.
            head_motion: "natural" (real, fits the recording), "still", a clip, or what else `head_points` takes.
            generator, seed: the same seed and inputs give the same frames; a generator gives its `initial_seed()`.
            fast: "exact", "balanced" or "turbo": what may be given up for speed; see `sampling_plan.py`.
            num_inference_steps: Euler steps; the model's own, or the mode's, by default.
            guidance_audio, guidance_style, guidance_scale: g_a, g_s, or both at once; the model's own by default.
            retarget: "pose" moves the portrait's own points, "none" takes those given as they are.
            mouth_amplitude, head_amplitude, blink_rate, gaze, frame, aspect, face_box: see `Knobs`, `View`, `portrait`.
            callback, watch: called with (done, total) windows, a clip's measured frames; what they raise ends the work.
            partial: folder of finished chunks' latents (see `kept.py`): the same call goes on from them.

        Raises:
            InputError: if an input cannot be used.
        """
        guidance_audio = guidance_scale if guidance_audio is None else guidance_audio
        guidance_style = guidance_scale if guidance_style is None else guidance_style
        plan = sampling_of(self, fast, num_inference_steps, guidance_audio, guidance_style)
        model = self.distilled() if plan.distilled else self
        require_vae(self.vae)
        check_trained(None if self.merged else self.folder, styled=style is not None)  # adapters may hold what it lacks
        knobs, view = Knobs(mouth_amplitude, head_amplitude, blink_rate, gaze), View(frame, aspect)
        check_inputs(portrait, audio, head_motion, retarget, knobs)
        if style is not None:
            check_style(style, self.style_encoder)
        measured = self.portrait(portrait, face_box)
        n_frames = count_frames(len(samples := load_audio(audio)))
        seed, key_points = seed_of(generator, seed), KEY_POINTS[self.settings.head_kps]
        loud = loudness(samples, n_frames)
        points = head_points(head_motion, measured, loud, retarget, seed, key_points, knobs, watch)
        layout, size = alpha_layout(self.settings.audio_encoder), self.audio_projection.config["alpha_dim"]
        alpha = recording_alpha(samples, n_frames, layout.positions * size, lambda: self.audio_encoder)
        job = Job(
            reference_latents=self.encode_image(measured.image),
            audio=AudioTrack(alpha, n_frames, self.audio_radius, layout.zero_edges),
            points=points,
            style=style if style is None or isinstance(style, StyleTimeline) else self.style(style, watch),
            seed=seed,
            plan=plan,
            mouth_amplitude=mouth_amplitude,
        )
        if partial is not None:
            job = replace(job, kept=KeptLatents(partial, job_fingerprint(model, job, samples)))
        shown = asdict(knobs) | asdict(view) | {"retarget": retarget, "face_box": measured.face_box}
        origin = Origin.of(self, job, portrait, audio, style, head_motion, shown)
        forget(samples)  # all of them were looked at
        frames, heard = generate_frames(model, job, callback), samples if isinstance(audio, np.ndarray) else audio
        return FrameStream(frames, n_frames, self.settings.image_size, heard, partial, measured.canvas(view), origin)

    def __call__(
        self,
        portrait: PictureSource | Portrait,
        audio: AudioSource,
        style: StyleSource | StyleTimeline | None = None,
        head_motion: MotionSource = NATURAL,
        **options: Any,
    ) -> GeneratedVideo:
        """A whole video in memory, `.frames` and `.save(path)`; arguments as in `stream`, whose frames these are."""
        return self.stream(portrait, audio, style, head_motion, **options).collect()
