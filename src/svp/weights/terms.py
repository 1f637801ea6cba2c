"""The terms of foreign weights, told before they are used: a log line per weight, once in a process."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import Final

from svp.weights.registry import ANY_USE, Weight

LOGGER: Final = logging.getLogger(__name__)


def tell_terms(weights: Iterable[Weight]) -> None:
    """Log title, terms, permitted use and source of each; as a warning, which Python shows, unless any use is free."""
    for weight in weights:
        _tell(logging.INFO if weight.use == ANY_USE else logging.WARNING, weight.notice())


@cache  # what was told is not told again
def _tell(level: int, line: str) -> None:
    LOGGER.log(level, "%s", line)
