"""What a generated video was made of, for its provenance: model, inputs by their hashes, styles, seed and settings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from svp.diffusion.model_folder import fetched_encoder
from svp.diffusion.portrait import NATURAL, STILL, Portrait
from svp.diffusion.style_source import style_path
from svp.face.face_box import FaceBox
from svp.media.hashing import sha256_file
from svp.speech import package
from svp.speech.layout import AUDIO_ENCODER
from svp.style.extract import CLIP
from svp.style.style_file import is_clip
from svp.style.timeline import StyleTimeline
from svp.weights.provenance import imported_files

if TYPE_CHECKING:
    from svp.diffusion.generation import Job
    from svp.diffusion.pipeline import SVPPipeline


@dataclass(frozen=True)
class Origin:
    """Facts about one video. No name or path of a person's files is among them, only the names of model and styles.

    Attributes:
        model: folder that the weights were loaded from; None for a model that was built in memory.
        weights: one hash of all of them, as they were loaded; "" for such a model.
        adapters: SHA-256 of each file of adapters that was merged into it.
        inputs: of portrait, recording and head motion, by role: `sha256`, and what it is `of`: a file, or the pixels,
            samples or points that were given instead.
        styles: of each style its name (`clip` if it was learned from a clip for this video), its first second and
            `source_sha256`, of the clip that it was learned from; `sha256` of its file where it was read from one.
        settings: everything else that the frames follow from.
    """

    model: Path | None
    weights: str
    adapters: tuple[str, ...]
    inputs: dict[str, dict[str, str]]
    styles: tuple[dict[str, Any], ...]
    settings: dict[str, Any]

    @classmethod
    def of(
        cls,
        pipeline: SVPPipeline,
        job: Job,
        portrait: object,
        audio: object,
        style: object,
        head_motion: object,
        shown: Mapping[str, Any],
    ) -> Origin:
        """The origin of a video from the arguments of `SVPPipeline.stream`; files are read once for their hashes.

        Args:
            shown: what else was asked for, of the performance and of the picture.
        """
        given = {"portrait": portrait, "audio": audio}
        named = head_motion if isinstance(head_motion, str) and head_motion in (STILL, NATURAL) else None
        if named is None:
            given["head_motion"] = head_motion
        if job.style is None:
            timed = []
        elif isinstance(job.style, StyleTimeline):
            timed = list(zip(job.style.seconds, job.style.styles, strict=True))
        else:
            timed = [(0.0, job.style)]
        facts, _ = job.facts()
        facts.pop("style_seconds")
        origin = cls(
            model=pipeline.folder,
            weights=pipeline.weights_sha256,
            adapters=tuple(pipeline.merged),
            inputs={role: found for role, source in given.items() if (found := _hashed(source))},
            styles=tuple(
                {"name": prior.name, "seconds": at, "source_sha256": prior.source_sha256} for at, prior in timed
            ),
            settings=facts
            | {"frames": len(job.points), "pixels": pipeline.settings.image_size, "head_motion": named or "given"}
            | {"audio_encoder": pipeline.settings.audio_encoder}
            | _packaged_encoder(pipeline)
            | {name: _written(value) for name, value in shown.items()},
        )
        return origin.read_from(styles=[style_path(style)]) if isinstance(style, str | Path) else origin

    def read_from(
        self, portrait: Path | None = None, styles: Sequence[Path] = (), head_motion: Path | None = None
    ) -> Origin:
        """The origin of the same video, of which these were read from files before `stream` saw them.

        Args:
            portrait: picture.
            styles: saved styles or clips, in the order of the styles.
            head_motion: clip.
        """
        read = {"portrait": portrait, "head_motion": head_motion}
        inputs = self.inputs | {role: _hashed(path) for role, path in read.items() if path is not None}
        if not styles:
            return replace(self, inputs=inputs)
        told = zip(self.styles, styles, strict=True)
        return replace(self, inputs=inputs, styles=tuple(_read_style(style, path) for style, path in told))

    def facts(self) -> dict[str, Any]:
        """All of it as plain values; of an imported model it says whose the weights are."""
        model: dict[str, Any] = {"name": "", "weights_sha256": ""}
        if self.model is not None:
            model = {"name": self.model.resolve().name, "weights_sha256": self.weights}
            if weights := _foreign_weights(self.model):
                model["weights"] = weights
        return {
            "model": model | ({"adapters_sha256": list(self.adapters)} if self.adapters else {}),
            "inputs": self.inputs,
            "styles": list(self.styles),
            "settings": self.settings,
        }


def _read_style(style: dict[str, Any], path: Path) -> dict[str, Any]:
    """A style with the hash of its file; the name of a clip, which features of older jobs still have, is left out."""
    unnamed = {"name": CLIP} if is_clip(path) and not style["name"].startswith(CLIP) else {}
    return style | unnamed | {"sha256": sha256_file(path)}


def _foreign_weights(folder: Path) -> list[dict[str, str]]:
    """Title and licence of what a model was imported from, each file with its hash."""
    files = [
        {"title": entry.title, "licence": entry.licence, "sha256": entry.sha256} for entry in imported_files(folder)
    ]
    fetched = fetched_encoder(folder)
    return files if fetched is None else [*files, {"title": fetched.title, "licence": fetched.licence}]


def _packaged_encoder(pipeline: SVPPipeline) -> dict[str, str]:
    """The hash of the weights that hear, where the model does not bring them and they are those of the package."""
    own = pipeline.folder is not None and (pipeline.folder / AUDIO_ENCODER).is_dir()
    packaged = pipeline.settings.audio_encoder.partition("/")[0] == package.FOLDER
    return {"audio_encoder_sha256": package.MODEL_SHA256} if packaged and not own else {}


def _written(value: object) -> object:
    """Several numbers as the command line takes them: c2pa reads a list of small ones back as bytes."""
    if isinstance(value, FaceBox):
        return str(value)
    return ",".join(f"{number:g}" for number in value) if isinstance(value, tuple) else value


def _hashed(source: object) -> dict[str, str]:
    """The hash of an input and what it is of; nothing for a track of poses, which is neither file nor array."""
    if isinstance(source, str | Path):
        return {"sha256": sha256_file(Path(source)), "of": "file"}
    if isinstance(source, Portrait):
        return _hashed(source.image) | {"of": "crop"}
    if isinstance(source, np.ndarray | Image.Image):
        return {"sha256": hashlib.sha256(np.ascontiguousarray(source).data).hexdigest(), "of": "array"}
    return {}
