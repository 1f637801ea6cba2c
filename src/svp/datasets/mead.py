"""MEAD as it is distributed: `M003/video/front/angry/level_2/007.mp4` beside `M003/audio/angry/level_2/007.m4a`."""

import re
from collections import Counter
from pathlib import Path
from typing import get_args

from svp.datasets.emotions import EMOTIONS
from svp.datasets.layouts import View
from svp.datasets.manifest import NEUTRAL, UNKNOWN
from svp.datasets.sources import VIDEO_SUFFIXES, ClipSource, safe_ids
from svp.errors import InputError

FRONT = "front"
VIEWS: tuple[str, ...] = get_args(View)
PACKED = "video.tar"
STILL_PACKED = "is still packed; unpack video.tar and audio.tar where they lie"
SOUND_SUFFIXES = (".m4a", ".wav")
_LEVEL = re.compile(r"level_([1-3])")


def mead_sources(folder: Path, exclude: Path | None = None, *, view: str = FRONT) -> list[ClipSource]:
    """The clips of one view, with identity, emotion and level from their folders and the recording of the audio folder.

    A clip without a recording there keeps the sound of its own file, if it has any. Neutral has no intensity, though
    MEAD calls it level 1. A video in folders of other names, and an identity that is still packed, has a `problem`.

    Args:
        folder: holds a folder per identity, or is that of one.
        exclude: the dataset itself; a dataset has no folders of these names.
        view: one of VIEWS.

    Raises:
        InputError: no such folder or view, no clip of it, or all archives are still packed.
    """
    if view not in VIEWS:
        raise InputError(f"--view {view}: no view of MEAD; choose from {', '.join(VIEWS)}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the one that holds MEAD's identities")
    people = [folder] if (folder / "video").is_dir() else sorted(path for path in folder.iterdir() if path.is_dir())
    clips = {path.relative_to(folder).as_posix(): path for person in people for path in _clips(person / "video" / view)}
    if not clips:
        raise InputError(f"{folder}: {_what_is_there(people, view)}")
    packed = {path.relative_to(folder).as_posix(): path for path in _packed(people)}
    ids = safe_ids([*clips, *packed])
    sources = []
    for name, path in clips.items():
        person, (emotion, level) = path.parents[4], _labels(path)
        place = path.parent.relative_to(path.parents[2])
        sources.append(
            ClipSource(
                path=path,
                name=name,
                clip_id=ids[name],
                identity=person.resolve().name,
                emotion=emotion if level else UNKNOWN,
                intensity=0 if emotion == NEUTRAL else level,
                sound=_sound_of(path, person),
                problem="" if level else f"lies in {place}, no emotion/level_N of MEAD; rename the folder",
            )
        )
    for name, path in packed.items():
        whose = path.parent.resolve().name
        sources.append(ClipSource(path=path, name=name, clip_id=ids[name], identity=whose, problem=STILL_PACKED))
    return sources


def _packed(people: list[Path]) -> list[Path]:
    """Archives that nobody has unpacked."""
    return [path for person in people if (path := person / PACKED).is_file() and not (person / "video").is_dir()]


def _clips(view: Path) -> list[Path]:
    """Videos in view/emotion/level."""
    return sorted(
        path for path in view.glob("*/*/*") if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    )


def _labels(path: Path) -> tuple[str, int]:
    """Emotion and level that the folders of a clip tell; level 0 where they are none of MEAD's."""
    level, emotion = _LEVEL.fullmatch(path.parent.name), path.parents[1].name.lower()
    return emotion, int(level[1]) if level and emotion in EMOTIONS else 0


def _sound_of(path: Path, person: Path) -> Path | None:
    place = person / "audio" / path.parents[1].name / path.parent.name
    candidates = (place / f"{path.stem}{suffix}" for suffix in SOUND_SUFFIXES)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _what_is_there(people: list[Path], view: str) -> str:
    views = Counter(path.name for person in people for path in (person / "video").glob("*") if path.is_dir())
    if views:
        return f"holds no clip of the view {view}, but of {', '.join(sorted(views))}; choose one with --view"
    if packed := _packed(people):
        return f"{packed[0].relative_to(people[0].parent)} {STILL_PACKED}"
    return f"holds no clip IDENTITY/video/{view}/EMOTION/level_N/NNN.mp4; name the folder of MEAD's identities"
