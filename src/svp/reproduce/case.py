"""Which clips an experiment makes again: from which portrait, in which style."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from svp.datasets.manifest import NEUTRAL, UNKNOWN, ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.datasets.selection import SPLITS, Selection
from svp.errors import InputError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Case:
    """A clip that is made again.

    Attributes:
        target: whose sound and head motion the video has; the truth.
        reference: the clip that the portrait is a frame of.
        style: the clip that the style is learned from; None for no style.
    """

    target: ClipRow
    reference: ClipRow
    style: ClipRow | None


def clips_of(dataset: PreparedDataset, selection: Selection) -> list[ClipRow]:
    """The clips with picture and sound of a selection of splits, sorted by clip id.

    Raises:
        InputError: there is none.
    """
    rows = [row for row in dataset.accepted() if row.has_video and row.has_sound]
    chosen = [row for row in rows if row.split in SPLITS[selection]]
    if not chosen:
        count = Counter(row.split for row in rows)
        there = ", ".join(f"{split}: {n}" for split, n in sorted(count.items())) or "none in the others"
        raise InputError(
            f"{dataset.root}: no clip with picture and sound in split {' or '.join(SPLITS[selection])} ({there}); "
            "choose another --split, or make the dataset with a share for the test"
        )
    return chosen


def evenly(cases: Sequence[Item], limit: int | None) -> list[Item]:
    """At most so many of them, evenly spread."""
    count = len(cases) if limit is None else min(limit, len(cases))
    return [cases[k] for k in np.linspace(0, len(cases) - 1, count).round().astype(int)]


def reconstructions(dataset: PreparedDataset, selection: Selection, limit: int | None) -> list[Case]:
    """Clips in their own style, on a frame of another recording of the person, in the same emotion or else neutral.

    A person of one clip has a frame of that very clip.

    Raises:
        InputError: the selection has no clip with picture and sound.
    """
    rows = clips_of(dataset, selection)
    people = _by(lambda row: row.identity, rows)
    return evenly([_portrayed(row, people[row.identity]) for row in rows], limit)


def transfers(dataset: PreparedDataset, selection: Selection, limit: int | None) -> list[Case]:
    """Emotional clips in their own style, on a frame of a neutral clip of the person (Sec. 4.2).

    Raises:
        InputError: nobody in the selection has a neutral clip and an emotional one.
    """
    rows = clips_of(dataset, selection)
    neutral = _by(lambda row: row.identity, [row for row in rows if row.emotion == NEUTRAL])
    cases = [
        Case(row, neutral[row.identity][0], row)
        for row in rows
        if row.emotion not in (NEUTRAL, UNKNOWN) and row.identity in neutral
    ]
    if not cases:
        raise InputError(
            f"{dataset.root}: nobody in split {' or '.join(SPLITS[selection])} has a neutral clip and one with another "
            "emotion; choose another --split, or name emotions in clips.csv and prepare the dataset again"
        )
    return evenly(cases, limit)


def without_style(cases: Sequence[Case]) -> list[Case]:
    """The same without any style."""
    return [replace(case, style=None) for case in cases]


def in_style_of_others(dataset: PreparedDataset, selection: Selection, cases: Sequence[Case]) -> list[Case]:
    """The same in the style of another person's clip of the same emotion, and of the nearest intensity.

    Cases whose emotion nobody else shows are left out.
    """
    emotions = _by(lambda row: row.emotion, clips_of(dataset, selection))
    found: list[Case] = []
    for case in cases:
        others = [row for row in emotions[case.target.emotion] if row.identity != case.target.identity]
        if others:
            turn = len(found) % len(others)  # so that not one person lends the style of all
            others = others[turn:] + others[:turn]
            found.append(replace(case, style=min(others, key=lambda row: _unlike(case.target, row)[:-1])))
    return found


def crossings(dataset: PreparedDataset, selection: Selection, limit: int | None) -> list[Case]:
    """Neutral clips in the styles of other people's emotional ones in turn; any clips where no emotion is known.

    Raises:
        InputError: the selection shows fewer than two people.
    """
    rows = clips_of(dataset, selection)
    calm = [row for row in rows if row.emotion == NEUTRAL] or rows
    moved = [row for row in rows if row.emotion not in (NEUTRAL, UNKNOWN)] or rows
    people = _by(lambda row: row.identity, rows)
    targets = evenly([_portrayed(row, people[row.identity]) for row in calm], limit)
    cases = []
    for number, case in enumerate(targets):
        others = [row for row in moved if row.identity != case.target.identity]
        if others:
            cases.append(replace(case, style=others[number * len(others) // len(targets)]))
    if not cases:
        raise InputError(
            f"{dataset.root}: split {' or '.join(SPLITS[selection])} shows one person; styles of others are needed, "
            "choose another --split"
        )
    return cases


def _portrayed(row: ClipRow, rows: Sequence[ClipRow]) -> Case:
    """A clip in its own style, on a frame of the likest other clip of the person, of itself where there is none."""
    others = [other for other in rows if other.identity == row.identity and other.clip_id != row.clip_id]
    return Case(row, min(others, key=lambda other: _unlike(row, other), default=row), row)


def _unlike(row: ClipRow, other: ClipRow) -> tuple[bool, int, int, str]:
    """Sorts clips: other recordings first, then the same emotion, then neutral, then the nearest intensity."""
    kin = 0 if other.emotion == row.emotion else 1 if other.emotion == NEUTRAL else 2
    return row.recording == other.recording, kin, abs(row.intensity - other.intensity), other.clip_id


def _by(key: Callable[[ClipRow], str], rows: Sequence[ClipRow]) -> dict[str, list[ClipRow]]:
    groups: defaultdict[str, list[ClipRow]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups
