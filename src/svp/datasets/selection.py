"""Which clips of a prepared dataset are measured."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from svp.datasets.manifest import UNKNOWN, ClipRow, Split
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError

Selection = Literal["unseen", "test", "val", "train", "all"]
SPLITS: Final[dict[Selection, tuple[Split, ...]]] = {
    "unseen": ("test", "val"),
    "test": ("test",),
    "val": ("val",),
    "train": ("train",),
    "all": ("test", "val", "train"),
}


def select_clips(
    dataset: PreparedDataset, selection: Selection, *, identities: int = 1, emotions: int = 2, clips: int = 2
) -> list[ClipRow]:
    """The accepted clips of a selection of splits, those with unknown emotion too, sorted by clip id.

    Args:
        selection: `unseen` is `test` and `val`, whose identities no training has seen.
        identities, emotions, clips: how many there must be at least, of clips whose emotion is known.

    Raises:
        InputError: there are fewer.
    """
    rows = [row for row in dataset.accepted() if row.split in SPLITS[selection]]
    labelled = [row for row in rows if row.emotion != UNKNOWN]
    has = {
        "identities": (len({row.identity for row in labelled}), identities),
        "emotions": (len({row.emotion for row in labelled}), emotions),
        "clips": (len(labelled), clips),
    }
    if rows and not labelled:
        raise InputError(
            f"{dataset.root}: of all {len(rows)} clips of {_named(selection)} the emotion is unknown; "
            "name emotions in clips.csv and prepare the dataset again, or choose another --split"
        )
    for what, (found, least) in has.items():
        if found < least:
            elsewhere = _elsewhere(dataset, selection)
            raise InputError(
                f"{dataset.root}: {_named(selection)} has {found} {what} in clips of known emotion, but {least} are "
                f"needed; choose another --split ({elsewhere}) or make the dataset with larger shares --test and --val"
            )
    return rows


def unlabelled(rows: Sequence[ClipRow]) -> int:
    """How many clips have no known emotion."""
    return sum(row.emotion == UNKNOWN for row in rows)


def _named(selection: Selection) -> str:
    splits = SPLITS[selection]
    return f"split {splits[0]}" if len(splits) == 1 else f"splits {', '.join(splits[:-1])} and {splits[-1]}"


def _elsewhere(dataset: PreparedDataset, selection: Selection) -> str:
    """The other splits with their numbers of clips."""
    count = Counter(row.split for row in dataset.accepted() if row.split not in SPLITS[selection])
    return ", ".join(f"{split}: {n} clips" for split, n in sorted(count.items())) or "all others are empty"
