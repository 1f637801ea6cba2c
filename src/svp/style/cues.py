"""What a user writes to say which style is when: `sad@0 happy@2.5`, or a JSON file with the same.

[{"style": "sad"}, {"style": "happy:2", "at": 2.5, "strength": 1.3}]
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from svp.errors import InputError, first_problem
from svp.style.gallery import find_style, gallery_name

TIMELINE_SUFFIX = ".json"


@dataclass(frozen=True)
class Cue:
    """A style from a time on.

    Attributes:
        seconds: from the start of the video.
        path: of a saved style or of a clip to learn it from.
        strength: see `StylePrior.scale`.
    """

    seconds: float
    path: Path
    strength: float = 1.0

    @property
    def name(self) -> str:
        """As it is written: `happy:2` of the gallery, else the name of its file."""
        return gallery_name(self.path) or self.path.name


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    style: str
    at: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    strength: float = Field(default=1.0, allow_inf_nan=False)


class _Entries(RootModel[list[_Entry]]):
    pass


def read_cues(texts: Sequence[str], folder: Path = Path()) -> list[Cue]:
    """The cues of one or more style arguments, in order of their times.

    An existing path means that file, whatever its name; then `@SECONDS` is read off the end, and what is left is a path
    or a name of the gallery, with a level perhaps. A single JSON file holds a whole timeline. Paths are relative to
    `folder`.

    Raises:
        InputError: a style is neither, a time is no number of seconds, two styles share one, or none holds from the
            start on.
    """
    if len(texts) == 1 and Path(texts[0]).suffix.lower() == TIMELINE_SUFFIX:
        cues = _read_timeline(folder / texts[0], folder)
    else:
        cues = [_read_cue(text, folder) for text in texts]
    cues = sorted(cues, key=lambda cue: cue.seconds)
    times = [cue.seconds for cue in cues]
    if times and times[0] > 0:
        raise InputError(f"style at {times[0]:g} s: none holds before; give the first style the time 0")
    if len(set(times)) < len(times):
        shared = next(time for time in times if times.count(time) > 1)
        raise InputError(f"styles: more than one at {shared:g} s; write STYLE@SECONDS with a time for each")
    return cues


def need_within(name: str, second: float, end: float) -> None:
    """Raise InputError unless a style that holds from a second on begins before a video ends."""
    if second >= end:
        raise InputError(f"style {name} at {second:g} s: the sound ends at {end:g} s; give it an earlier time")


def _read_cue(text: str, folder: Path) -> Cue:
    name, separator, seconds = text.rpartition("@")
    if not separator or os.path.exists(folder / text):  # nor is a name that cannot be
        return Cue(0.0, find_style(text, folder))
    try:
        time = float(seconds)
    except ValueError:
        time = math.nan
    if not (math.isfinite(time) and time >= 0):
        raise InputError(
            f"{text}: no such file, and {seconds or 'nothing'} is no time in seconds; write STYLE@SECONDS, as in "
            f"{name}@2.5"
        )
    return Cue(time, find_style(name, folder))


def _read_timeline(path: Path, folder: Path) -> list[Cue]:
    try:
        entries = _Entries.model_validate_json(path.read_text(encoding="utf-8")).root
    except ValidationError as error:
        loc, problem = first_problem(error, _Entry.model_fields)
        entry, *key = loc or (None,)
        place = "" if entry is None else f"entry {int(entry) + 1}: {''.join(f'{k}: ' for k in key)}"
        raise InputError(
            f'{path}: {place}{problem}; write [{{"style": "sad"}}, {{"style": "happy", "at": 2.5}}]'
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or ("not UTF-8" if isinstance(error, UnicodeDecodeError) else error)
        raise InputError(f"{path}: cannot be read ({reason}); give an existing timeline") from error
    if not entries:
        raise InputError(f"{path}: holds no style; give at least one")
    cues = []
    for number, cue in enumerate(entries, 1):
        try:
            cues.append(Cue(cue.at, find_style(cue.style, folder), cue.strength))
        except InputError as error:
            raise InputError(f"{path}: entry {number}: {error}") from error
    return cues
