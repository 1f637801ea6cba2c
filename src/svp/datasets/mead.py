"""MEAD as it is distributed: `M003/video/front/angry/level_2/007.mp4` beside `M003/audio/angry/level_2/007.m4a`."""

import re
from collections import Counter
from pathlib import Path

from svp.datasets.emotions import EMOTIONS
from svp.datasets.manifest import NEUTRAL
from svp.datasets.sources import VIDEO_SUFFIXES, ClipSource, safe_ids
from svp.errors import InputError

FRONT = "front"
VIEWS = (FRONT, "down", "top", "left_30", "left_60", "right_30", "right_60")
SOUND_SUFFIXES = (".m4a", ".wav")
_LEVEL = re.compile(r"level_([1-3])")


def mead_sources(folder: Path, exclude: Path | None = None, *, view: str = FRONT) -> list[ClipSource]:
    """The clips of one view, with identity, emotion and level from their folders and the recording of the audio folder.

    A clip without a recording there keeps the sound of its own file, if it has any. Neutral has no intensity, though
    MEAD calls it level 1.

    Args:
        folder: holds a folder per identity, or is that of one.
        exclude: the dataset itself; a dataset has no folders of these names.
        view: one of VIEWS.

    Raises:
        InputError: no such folder or view, no clip of it, or the archives are still packed.
    """
    if view not in VIEWS:
        raise InputError(f"--view {view}: no view of MEAD; choose from {', '.join(VIEWS)}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the one that holds MEAD's identities")
    people = [folder] if (folder / "video").is_dir() else sorted(path for path in folder.iterdir() if path.is_dir())
    clips = {path.relative_to(folder).as_posix(): path for person in people for path in _clips(person / "video" / view)}
    if not clips:
        raise InputError(f"{folder}: {_what_is_there(people, view)}")
    ids = safe_ids(clips)
    sources = []
    for name, path in clips.items():
        person, (emotion, level) = path.parents[4], _labels(path)
        sources.append(
            ClipSource(
                path=path,
                name=name,
                clip_id=ids[name],
                identity=person.resolve().name,
                emotion=emotion,
                intensity=0 if emotion == NEUTRAL else level,
                sound=_sound_of(path, person),
            )
        )
    return sources


def _clips(view: Path) -> list[Path]:
    """Videos in view/emotion/level; other emotions and levels than MEAD's are no clips of it."""
    return sorted(
        path
        for path in view.glob("*/level_*/*")
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".") and _labels(path)[1] > 0
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
    packed = [path for person in people for path in (person / "video.tar",) if path.is_file()]
    if packed:
        name = packed[0].relative_to(people[0].parent)
        return f"{name} is still packed; unpack video.tar and audio.tar where they lie"
    views = Counter(path.name for person in people for path in (person / "video").glob("*") if path.is_dir())
    if views:
        return f"holds no clip of the view {view}, but of {', '.join(sorted(views))}; choose one with --view"
    return f"holds no clip IDENTITY/video/{view}/EMOTION/level_N/NNN.mp4; name the folder of MEAD's identities"
