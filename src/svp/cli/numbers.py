"""Numbers that a command is given."""

import math
from typing import Final

import typer

from svp.errors import InputError

MOST_GUIDANCE: Final = 100.0


def finite(option: typer.CallbackParam, value: float | None) -> float | None:
    """Raise InputError for infinity and NaN, which an option without a range takes."""
    if value is not None and not math.isfinite(value):
        raise InputError(f"{option.opts[0]} {value}: not a finite number; give one such as 1.5")
    return value


def scale_of_guidance(option: typer.CallbackParam, value: float | None) -> float | None:
    """As `finite`, and not beyond 100 either way, where no model makes a picture."""
    if finite(option, value) is not None and abs(value or 0) > MOST_GUIDANCE:
        raise InputError(f"{option.opts[0]} {value:g}: choose {-MOST_GUIDANCE:g} to {MOST_GUIDANCE:g}")
    return value
