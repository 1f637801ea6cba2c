"""What a style may come from: the gallery, a saved style, a clip, a `StylePrior`; and whether a model can use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from svp.errors import InputError
from svp.style.encoder import StyleEncoder
from svp.style.extract import extract_style
from svp.style.gallery import find_style
from svp.style.prior import StylePrior
from svp.style.style_file import Maker, SavedStyle, is_clip, read_style_file
from svp.style.timeline import StyleTimeline

StyleSource = str | Path | StylePrior  # of one style; words may name one of the gallery, as in `happy:2`


def check_style(source: StyleSource | StyleTimeline, style_encoder: StyleEncoder | None) -> None:
    """Whether the model can use a style; a clip's is not extracted for that.

    Raises:
        InputError: if the model has no style encoder, a saved style belongs to another, or it cannot be read.
    """
    style: SavedStyle | StylePrior | None
    if isinstance(source, str | Path):
        style, named = read_style_file(style_path(source)), str(source)
    elif not isinstance(source, StyleTimeline | StylePrior):
        raise InputError(
            f"style: {type(source).__name__}; give a StylePrior, a file or a name, or for several over time "
            'style_over_time(read_cues(["sad", "happy@2.5"]), pipe.style)'
        )
    else:
        style = source.styles[0] if isinstance(source, StyleTimeline) else source  # they share their encoder
        named = style.name
    if style_encoder is None:
        raise InputError("style: this model has no style encoder; use a model that was trained with styles")
    if style is not None:
        Maker(style_encoder.fingerprint(), style_encoder.config["style_size"]).check(named, style)


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
