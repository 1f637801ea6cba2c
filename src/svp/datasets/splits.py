"""To which of the splits train, val and test each identity belongs: seeded draws, and no identity in two of them."""

import hashlib
import math
from collections.abc import Iterable, Mapping

from svp.datasets.manifest import Split

PAPER_TEST = {"mead": 10, "hdtf": 25}  # identities of MEAD, videos of HDTF (paper Sec. 4.1)
PAPER_SHARE = 10 / 46  # of MEAD's identities; of a part of a data set no more is kept back
_ROUNDING = 1e-9  # 1 - 0.1 - 0.1 is a little less or more than 0.8


def assign_splits(
    identities: Iterable[str], kept: Mapping[str, Split], *, val_fraction: float, test_fraction: float, seed: int
) -> dict[str, Split]:
    """Split of each identity: a seeded draw without replacement, so none is in two splits.

    Identities that already have a split keep it, so that a dataset that grows never moves a training face into the
    test; the new ones fill up what the fractions ask for. Rounding goes in favour of training: of few identities it
    keeps at least its share rounded down, and one in any case, unless the fractions leave it nothing.
    """
    splits = dict(kept)
    everyone = sorted(set(identities) | set(kept))
    drawn = _drawn((identity for identity in everyone if identity not in kept), seed)
    share = 1 - val_fraction - test_fraction
    trained = max(1, math.floor(share * len(everyone) + _ROUNDING)) if share > _ROUNDING else 0
    room = len(everyone) - trained - sum(split != "train" for split in kept.values())
    wanted: tuple[tuple[Split, float], ...] = (("test", test_fraction), ("val", val_fraction))
    for split, fraction in wanted:
        free = math.floor(fraction * len(everyone) + 0.5) - list(kept.values()).count(split)
        free = max(min(free, room), 0)
        taken, drawn = drawn[:free], drawn[free:]
        room -= free
        splits.update(dict.fromkeys(taken, split))
    splits.update(dict.fromkeys(drawn, "train"))
    return splits


def paper_splits(
    videos: Mapping[str, int], kept: Mapping[str, Split], *, count: int, val_fraction: float, seed: int
) -> dict[str, Split]:
    """Split of each identity with a number of videos for the test, as the paper splits MEAD and HDTF (Sec. 4.1).

    Whole identities are drawn until their videos are `count`, or PAPER_SHARE of what there is; one whose videos would
    exceed that is passed over. Of the others `val_fraction` is for validation. Identities that have a split keep it.

    Args:
        videos: how many videos each identity counts for; 1 each where identities are counted, 0 for one of whom there
            is no video.
        kept: splits of an earlier run.
        count: videos wanted in the test.
        val_fraction: share of the other identities.
        seed: of the draw.
    """
    splits = dict(kept)
    room = min(count, math.floor(PAPER_SHARE * sum(videos.values()) + _ROUNDING))
    room -= sum(videos.get(identity, 0) for identity, split in kept.items() if split == "test")
    for identity in _drawn((identity for identity in videos if identity not in kept), seed):
        if 0 < videos[identity] <= room:
            splits[identity] = "test"
            room -= videos[identity]
    others = [identity for identity in videos if splits.get(identity) != "test"]
    known = {identity: split for identity, split in kept.items() if split != "test"}
    return splits | assign_splits(others, known, val_fraction=val_fraction, test_fraction=0, seed=seed)


def _drawn(identities: Iterable[str], seed: int) -> list[str]:
    """In an order that follows from the seed and each one's own name."""
    return sorted(identities, key=lambda identity: hashlib.sha256(f"{seed}/{identity}".encode()).digest())
