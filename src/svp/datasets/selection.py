"""Which clips of a prepared dataset are measured."""

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
    rows = _rows(dataset, selection)
    has = _labelled(rows)
    needed = {"identities": identities, "emotions": emotions, "clips": clips}
    for what, found in has.items():
        if found >= needed[what]:
            continue
        if rows and not has["clips"]:
            raise InputError(
                f"{dataset.root}: of all {len(rows)} clips of {_named(selection)} the emotion is unknown; "
                "name emotions in clips.csv and prepare the dataset again, or choose another --split"
            )
        enough = (
            f"--split {other}"
            for other in SPLITS
            if all(number >= needed[kind] for kind, number in _labelled(_rows(dataset, other)).items())
        )
        raise InputError(
            f"{dataset.root}: too few {what} of known emotion in {_named(selection)}, {found} where {needed[what]} are "
            f"needed; give {next(enough, 'more clips')}, or make the dataset with larger shares --test and --val"
        )
    return rows


def unlabelled(rows: Sequence[ClipRow]) -> int:
    """How many clips have no known emotion."""
    return sum(row.emotion == UNKNOWN for row in rows)


def _named(selection: Selection) -> str:
    splits = SPLITS[selection]
    return f"split {splits[0]}" if len(splits) == 1 else f"splits {', '.join(splits[:-1])} and {splits[-1]}"


def _rows(dataset: PreparedDataset, selection: Selection) -> list[ClipRow]:
    return [row for row in dataset.accepted() if row.split in SPLITS[selection]]


def _labelled(rows: Sequence[ClipRow]) -> dict[str, int]:
    """Numbers of identities, emotions and clips, of clips whose emotion is known."""
    labelled = [row for row in rows if row.emotion != UNKNOWN]
    return {
        "identities": len({row.identity for row in labelled}),
        "emotions": len({row.emotion for row in labelled}),
        "clips": len(labelled),
    }
