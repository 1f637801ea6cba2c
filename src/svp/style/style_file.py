"""Files that a style comes from: a saved style, or a clip to learn it from. Read without torch: what is wrong with one
is told at once.

Shapes: D channels of the style space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from svp.errors import InputError
from svp.media.video import probe
from svp.media.whole_file import output_file
from svp.weights.config import read_config

if TYPE_CHECKING:
    from svp.style.prior import StylePrior

SAVED_STYLE = ".safetensors"
FORMAT = "svp-style"
VERSION = 1
NUMBERS = ("mean", "variance", "neutral")


@dataclass(frozen=True)
class Maker:
    """The style encoder that made a style: styles of different encoders have nothing in common.

    Attributes:
        fingerprint: see `StyleEncoder.fingerprint`.
        size: D of its codes.
    """

    fingerprint: str
    size: int

    @classmethod
    def saved(cls, folder: Path) -> Self | None:
        """That of a saved model, as its configuration says; None if it has none, or does not say."""
        path = folder / "style_encoder" / "config.json"
        config = read_config(path, "copy or save the model again") if path.is_file() else {}
        weights, size = config.get("_fingerprint"), config.get("style_size")
        if not (isinstance(weights, str) and isinstance(size, int)):
            return None
        return cls(fingerprint(weights, deterministic=bool(config.get("deterministic"))), size)

    def check(self, named: str, style: SavedStyle | StylePrior) -> None:
        """Whether it made a style, which the user calls `named`.

        Raises:
            InputError: it did not.
        """
        size = len(style.mean)
        if style.encoder == self.fingerprint and size != self.size:
            raise InputError(f"style {named}: has {size} numbers, not {self.size}; extract it again with this model")
        if style.encoder != self.fingerprint:
            raise InputError(
                f"style {named}: made by style encoder {style.encoder}, this model has {self.fingerprint}; "
                "learn one with this model (`svp style extract CLIP --model MODEL`)"
            )


def fingerprint(weights: str, *, deterministic: bool) -> str:
    """Of a style encoder, from the hash of its weights: a style belongs to the encoder that made it."""
    return weights + ("-deterministic" if deterministic else "")


@dataclass(frozen=True, eq=False)
class SavedStyle:
    """What a file of a style holds; the attributes are those of `StylePrior`, its numbers (D,) float32 arrays."""

    mean: np.ndarray
    variance: np.ndarray
    neutral: np.ndarray
    encoder: str
    source_sha256: str = ""
    name: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A saved style.

        Raises:
            InputError: if the file is missing or no saved style.
        """
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file; save a style with `svp style extract CLIP -o {path}`")
        remedy = "make it with `svp style extract`"
        try:
            with safe_open(str(path), framework="numpy") as file:
                header = json.loads((file.metadata() or {})["svp"])
                numbers = {key: file.get_tensor(key).astype(np.float32) for key in NUMBERS}
            if header["format"] != FORMAT:
                raise ValueError(f"format {header['format']}")
            if header["version"] > VERSION:
                raise InputError(
                    f"{path}: a style of version {header['version']}; update svp, this one reads {VERSION}"
                )
            check_gaussian(**numbers)
            words, extra = {key: header[key] for key in ("encoder", "source_sha256", "name")}, header["extra"]
            if not isinstance(extra, dict) or not all(isinstance(w, str) for w in (*words.values(), *extra.values())):
                raise ValueError("its header holds other than words")
            return cls(**numbers, **words, extra=extra)
        except (SafetensorError, KeyError, TypeError, ValueError, OSError, RecursionError) as error:
            why = f"lacks {error}" if isinstance(error, KeyError) else error
            raise InputError(f"{path}: not a saved style ({why}); {remedy}") from error

    def write(self, path: str | Path) -> None:
        """Write the numbers as safetensors with a JSON header under the key `svp`.

        Raises:
            InputError: if the file cannot be written.
        """
        header = {
            "format": FORMAT,
            "version": VERSION,
            "encoder": self.encoder,
            "source_sha256": self.source_sha256,
            "name": self.name,
            "extra": dict(self.extra),
        }
        numbers = {key: np.ascontiguousarray(getattr(self, key), np.float32) for key in NUMBERS}
        with output_file(Path(path)) as partial:
            partial.write_bytes(save(numbers, metadata={"svp": json.dumps(header, sort_keys=True)}))


def check_gaussian(mean: np.ndarray, variance: np.ndarray, neutral: np.ndarray) -> None:
    """Whether three arrays can be a style.

    Raises:
        ValueError: they cannot.
    """
    arrays = (mean, variance, neutral)
    if mean.ndim != 1 or not len(mean) or not (mean.shape == variance.shape == neutral.shape):
        shapes = [array.shape for array in arrays]
        raise ValueError(f"mean, variance and neutral must share one shape (D,), D > 0, got {shapes}")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("mean, variance and neutral must be finite")
    if (variance < 0).any():
        raise ValueError("variance must not be negative")


def read_style_file(path: Path) -> SavedStyle | None:
    """A saved style, or None of a clip, of which one frame is decoded: what is wrong is told without a model.

    Raises:
        InputError: if there is no such file, a saved style is none, or a clip has no picture that can be read.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such style; give a clip or a saved style ({SAVED_STYLE})")
    if is_clip(path):
        probe(path)
        return None
    return SavedStyle.read(path)


def is_clip(path: Path) -> bool:
    """Whether a style is to be learned from this file."""
    return path.suffix != SAVED_STYLE
