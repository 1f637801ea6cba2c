"""One line of the doctor's report, and how a check that itself fails becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "later", "missing", "broken"]


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Attributes:
        section: heading that it stands under.
        name: of the thing.
        state: `broken` where `svp generate` cannot work so; `missing` where something else cannot; `later` what is
            made or fetched when a video first needs it.
        found: version, size, place, or what is wrong.
        enables: what it is for.
        remedy: how to get it, "" where nothing is to be done.
    """

    section: str
    name: str
    state: State
    found: str
    enables: str = ""
    remedy: str = ""


def examine(section: str, checks: Mapping[str, Callable[[], Iterable[Finding]]], needed: bool = False) -> list[Finding]:
    """The findings of checks, by name; one that fails, for what it needs is missing, says so and stops no other.

    Args:
        needed: without what they look at `svp generate` cannot work.
    """
    findings: list[Finding] = []
    for name, check in checks.items():
        try:
            findings += check()
        except Exception as error:  # an installation can be broken in any way
            state: State = "broken" if needed else "missing"
            findings.append(Finding(section, name, state, f"cannot be told: {type(error).__name__}: {error}"))
    return findings
