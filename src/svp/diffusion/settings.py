"""What a saved pipeline says about itself besides its networks: sizes, features, steps, guidance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from svp.errors import InputError, first_problem

STANDARD_GUIDANCE = 3.5  # as V-Express, until a model's own best value is measured
STANDARD_STEPS = 25  # Sec. 4.1
MOST_GUIDANCE = 100.0  # either sign; beyond it no model makes a picture


class PipelineSettings(BaseModel):
    """Stands in `model_index.json` of a saved pipeline; unknown keys are errors.

    Attributes:
        image_size: side of the generated square in pixels.
        window: frames the networks see at once.
        overlap: frames that neighbouring windows, and neighbouring chunks, share.
        chunk: frames that are denoised together before they are decoded.
        audio_encoder: id of the encoder of alpha, its last state included ("whisper-tiny.en/normed").
        expression_encoder: id of the encoder of beta.
        head_kps: which points are drawn for the guider, see `svp.face.key_points`.
        reference_scale, audio_scale: factors on the outputs of these attentions in generation.
        shared_noise: part of the noise's variance that all frames of a video have in common.
        stillness: change of the latents from frame to frame that counts as noise, see `stillness.py`; 0 for none.
        num_inference_steps: Euler steps when a call names none; the paper's are 25.
        guidance_audio, guidance_style: scales used when a call names none.
        turbo_steps: steps that `turbo` takes, without guidance; None if no weights were trained for few steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = Field(gt=0)
    window: int = Field(gt=0)
    overlap: int = Field(ge=0)
    chunk: int = Field(gt=0)
    audio_encoder: str
    expression_encoder: str
    head_kps: Literal["upper-face", "v-express"] = "upper-face"
    reference_scale: float = 1.0
    audio_scale: float = 1.0
    shared_noise: float = Field(default=0.0, ge=0, le=1)
    stillness: float = Field(default=0.0, ge=0)
    num_inference_steps: int = Field(default=STANDARD_STEPS, gt=0)
    guidance_audio: float = STANDARD_GUIDANCE
    guidance_style: float = STANDARD_GUIDANCE
    turbo_steps: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if not self.overlap < self.window <= self.chunk:
            raise ValueError(f"need overlap < window <= chunk, got {self.overlap}, {self.window}, {self.chunk}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """What diffusers writes of settings that were assigned to a pipeline."""
        return self.model_dump()

    def check_style_encoder(self, trained: Mapping[str, Any]) -> None:
        """Whether a style encoder, given by its configuration, hears and sees the features of this model.

        Raises:
            InputError: if not.
        """
        for name in ("expression_encoder", "audio_encoder"):
            if trained[name] != getattr(self, name):
                raise InputError(
                    f"model_index.json: {name} {getattr(self, name)}, but the style encoder was trained with "
                    f"{trained[name]}; save the pipeline with the one it belongs to"
                )

    @classmethod
    def parse(cls, values: PipelineSettings | dict[str, Any] | None, source: str) -> PipelineSettings:
        """Settings from a saved pipeline.

        Raises:
            InputError: if they are missing or do not fit.
        """
        if isinstance(values, PipelineSettings):
            return values
        if values is None:
            raise InputError(f"{source}: has no settings; save the pipeline with SVPPipeline.save_pretrained")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            place, problem = first_problem(error, cls.model_fields)
            where = ".".join(map(str, place)) or "settings"
            raise InputError(f"{source}: {where}: {problem}; save the pipeline again") from error


def check_guidance(name: str, scale: float) -> None:
    """Raise InputError for a scale of guidance beyond all use; `name` is what it is called there."""
    if not abs(scale) <= MOST_GUIDANCE:
        raise InputError(f"{name} {scale:g}: choose {-MOST_GUIDANCE:g} to {MOST_GUIDANCE:g}")
