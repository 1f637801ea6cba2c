"""What a style may come from: the gallery, a saved style, a clip, a `StylePrior`; and whether a model can use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from svp.errors import InputError
from svp.media.video import probe
from svp.style.encoder import StyleEncoder
from svp.style.extract import extract_style
from svp.style.gallery import find_style
from svp.style.prior import StylePrior
from svp.style.timeline import StyleTimeline

StyleSource = str | Path | StylePrior  # of one style; words may name one of the gallery, as in `happy:2`
SAVED_STYLE = ".safetensors"


def check_style_source(source: StyleSource | StyleTimeline) -> None:
    """What can be found wrong with a style's file at once and without a model; of a clip one frame is decoded.

    Raises:
        InputError: if there is no such file, a saved style is none, or a clip has no picture that can be read.
    """
    if isinstance(source, StylePrior | StyleTimeline):
        return
    path = style_path(source)
    if not path.is_file():
        raise InputError(f"{path}: no such style; give a clip or a saved style ({SAVED_STYLE})")
    if is_clip(path):
        probe(path)
    else:
        StylePrior.load(path)


def check_style(source: StyleSource | StyleTimeline, style_encoder: StyleEncoder | None) -> None:
    """Whether the model can use a style; a clip's is not extracted for that.

    Raises:
        InputError: if the model has no style encoder, a saved style belongs to another, or it cannot be read.
    """
    check_style_source(source)
    if style_encoder is None:
        raise InputError("style: this model has no style encoder; use a model that was trained with styles")
    if isinstance(source, StyleTimeline):
        source = source.styles[0]  # they share their encoder
    if isinstance(source, StylePrior):
        prior, named = source, source.name
    else:
        path = style_path(source)
        if is_clip(path):
            return
        prior, named = StylePrior.load(path), str(source)
    own, size = style_encoder.fingerprint(), style_encoder.config["style_size"]
    if prior.encoder == own and len(prior.mean) != size:
        raise InputError(f"style {named}: has {len(prior.mean)} numbers, not {size}; extract it again with this model")
    if prior.encoder != own:
        raise InputError(
            f"style {named}: made by style encoder {prior.encoder}, this model has {own}; "
            "extract it again with this model"
        )


def load_style(
    source: StyleSource, style_encoder: StyleEncoder | None, watch: Callable[[int], None] | None = None
) -> StylePrior:
    """A style from a saved style or a clip, checked against the model's style encoder.

    Args:
        source: what it comes from.
        style_encoder: the model's.
        watch: see `extract_style`.

    Raises:
        InputError: if it cannot be read, belongs to another style encoder, or the model has none.
    """
    check_style(source, style_encoder)
    if isinstance(source, StylePrior):
        return source
    path = style_path(source)
    if style_encoder is not None and is_clip(path):
        return extract_style(path, style_encoder, watch=watch)
    return StylePrior.load(path)


def style_path(source: str | Path) -> Path:
    """The file that is meant; words may name one of the gallery."""
    return find_style(source) if isinstance(source, str) else source


def is_clip(path: Path) -> bool:
    """Whether a style is to be learned from this file."""
    return path.suffix != SAVED_STYLE
