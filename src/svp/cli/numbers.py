"""Numbers that a command is given."""

import math

import typer

from svp.errors import InputError


def finite(option: typer.CallbackParam, value: float | None) -> float | None:
    """Raise InputError for infinity and NaN, which an option without a range takes."""
    if value is not None and not math.isfinite(value):
        raise InputError(f"{option.opts[0]} {value}: not a finite number; give one such as 1.5")
    return value


def scale_of_guidance(option: typer.CallbackParam, value: float | None) -> float | None:
    """As `finite`, and within what a scale of guidance may be."""
    scale = finite(option, value)
    if scale is not None:
        from svp.diffusion.settings import check_guidance

        check_guidance(option.opts[0], scale)
    return scale
