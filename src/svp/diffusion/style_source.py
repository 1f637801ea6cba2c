"""What a style may come from: a saved style, a clip, a `StylePrior`; and whether a model can use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from svp.errors import InputError
from svp.media.video import probe
from svp.style.encoder import StyleEncoder
from svp.style.extract import extract_style
from svp.style.prior import StylePrior
from svp.style.timeline import StyleTimeline

StyleSource = str | Path | StylePrior  # of one style
SAVED_STYLE = ".safetensors"


def check_style_source(source: StyleSource | StyleTimeline) -> None:
    """What can be found wrong with a style's file at once and without a model; of a clip one frame is decoded.

    Raises:
        InputError: if there is no such file, a saved style is none, or a clip has no picture that can be read.
    """
    if isinstance(source, StylePrior | StyleTimeline):
        return
    if not Path(source).is_file():
        raise InputError(f"{source}: no such style; give a clip or a saved style ({SAVED_STYLE})")
    if _is_clip(source):
        probe(source)
    else:
        StylePrior.load(source)


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
    if _is_clip(source):
        return
    prior = source if isinstance(source, StylePrior) else StylePrior.load(source)
    own, size = style_encoder.fingerprint(), style_encoder.config["style_size"]
    named = prior.name if isinstance(source, StylePrior) else source
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
    if style_encoder is not None and _is_clip(source):
        return extract_style(source, style_encoder, watch=watch)
    return StylePrior.load(source)


def _is_clip(source: StyleSource) -> bool:
    return not isinstance(source, StylePrior) and Path(source).suffix != SAVED_STYLE
