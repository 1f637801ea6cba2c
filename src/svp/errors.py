"""The error and the warning that a user is meant to see, and words that many of them share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class InputError(Exception):
    """An argument or an input file cannot be used.

    The message is one line that names the file or option, what is wrong with it and the remedy. The command line
    prints it to stderr and exits with code 2; library callers may catch it.
    """


class InputWarning(UserWarning):
    """An input can be used, but perhaps not as it was meant; one line as for an error, and the work goes on."""


def install(extra: str) -> str:
    """The remedy where libraries of an extra are missing."""
    return f"pip install '.[{extra}]' in the folder with SVP's pyproject.toml"


def first_problem(error: ValidationError, known: Iterable[str]) -> tuple[tuple[str | int, ...], str]:
    """Where the first problem is, and what it is in words; a key that is not `known` goes before all others."""
    problems = error.errors(include_url=False)
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(str(problem["loc"][-1]), list(known), n=1)
        return problem["loc"], "no such key" + (f", did you mean {near[0]}?" if near else "")
    if problem["type"] == "model_type":
        return problem["loc"], "no JSON object"
    return problem["loc"], problem["msg"].removeprefix("Value error, ")
