"""Which videos are compared: equal names in the folders of the systems and of the references."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from svp.datasets.manifest import MANIFEST_NAME, UNKNOWN
from svp.datasets.prepared import PreparedDataset
from svp.datasets.sources import CLIPS_CSV, VIDEO_SUFFIXES, folder_sources
from svp.errors import InputError
from svp.evaluation.report import TRUTH

CLIPS: Final = "clips"  # folder of a prepared dataset
SAMPLE: Final = re.compile(r"(?P<name>.+)\.sample\d+$")  # of several videos of one input


@dataclass(frozen=True)
class Video:
    """A generated video: whose it is, its path relative to that folder without suffix, and the file."""

    system: str
    name: str
    path: Path


@dataclass(frozen=True)
class ClipSet:
    """All videos of one name.

    Attributes:
        name: path of the reference relative to its folder, without suffix.
        truth: the reference; None where the folder has none of this name.
        videos: of the systems.
        emotion: that the reference is labelled with.
    """

    name: str
    truth: Path | None
    videos: tuple[Video, ...]
    emotion: str | None


def find_clips(systems: Mapping[str, Path], reference: Path, names: Collection[str] | None = None) -> list[ClipSet]:
    """The videos of the systems by the name of their reference, sorted; suffixes do not matter.

    `X.sample0.mp4`, `X.sample1.mp4`, ... are several videos of one input and belong to the reference `X`.

    Args:
        systems: folder of each system.
        reference: folder of the true videos; a prepared dataset is taken by its clips.
        names: of the references that count; None for all.

    Raises:
        InputError: a folder is missing or holds no video, two files share a name, or a system is called as the truth.
    """
    if TRUTH in systems:
        raise InputError(
            f"{systems[TRUTH]}: would be called `{TRUTH}`, as the references' own row; rename the folder, or choose "
            "another NAME in --system NAME=DIR"
        )
    folder = reference / CLIPS if (reference / MANIFEST_NAME).is_file() else reference
    truths, emotions = _videos(folder), _emotions(reference)
    generated: dict[str, list[Video]] = {name: [] for name in truths}
    for system, place in systems.items():
        for name, path in _videos(place).items():
            sample = SAMPLE.match(name)
            generated.setdefault(sample["name"] if sample and name not in truths else name, []).append(
                Video(system, name, path)
            )
    return [
        ClipSet(name, truths.get(name), tuple(videos), emotions.get(name))
        for name, videos in sorted(generated.items())
        if names is None or name in names
    ]


def _videos(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one with videos")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.suffix.lower() not in VIDEO_SUFFIXES or any(part.startswith(".") for part in name.parts):
            continue
        key = name.with_suffix("").as_posix()
        if key in found:
            raise InputError(f"{path}: shares its name with {found[key].name}; keep one of them")
        found[key] = path
    if not found:
        raise InputError(f"{folder}: holds no video ({' '.join(sorted(VIDEO_SUFFIXES))}); name another folder")
    return found


def _dataset(reference: Path) -> Path | None:
    """The prepared dataset that a folder is, or whose clips it holds."""
    for root in (reference, reference.resolve().parent):
        if (root / MANIFEST_NAME).is_file() and (root == reference or reference.resolve().name == CLIPS):
            return root
    return None


def _emotions(reference: Path) -> dict[str, str]:
    """Labels by name, from a prepared dataset or from `clips.csv`."""
    labels: dict[str, str] = {}
    if (root := _dataset(reference)) is not None:
        labels = {row.clip_id: row.emotion for row in PreparedDataset(root).accepted()}
    elif (reference / CLIPS_CSV).is_file():
        labels = {Path(s.name).with_suffix("").as_posix(): s.emotion for s in folder_sources(reference)}
    return {name: emotion for name, emotion in labels.items() if emotion != UNKNOWN}
