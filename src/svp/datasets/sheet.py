"""`svp sheet`: a picture of what a prepared dataset holds, a row per identity and a column per emotion."""

from collections import Counter

import numpy as np

from svp.datasets.clip import Clip
from svp.datasets.manifest import NEUTRAL, ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.face.model import ARKIT_UNITS
from svp.media.image import contact_sheet

CELL = 128  # pixels of a frame on the sheet
BLINK_COSTS = 3.0  # a frame with shut eyes tells less


def dataset_sheet(dataset: PreparedDataset, rows: int = 20, clips: int = 1) -> np.ndarray:
    """Frames of the identities of a dataset, evenly spread over their names if there are too many.

    A cell shows the frame with the strongest expression of a clip; the strongest level of an emotion comes first. It is
    empty where a person does not show the emotion.

    Args:
        dataset: prepared, or made by the puppet.
        rows: most identities shown.
        clips: most clips of an emotion shown of each.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        InputError: the dataset has no accepted clip, or clips without pictures.
    """
    dataset.require_video("a sheet")
    accepted = dataset.accepted()
    if not accepted:
        raise InputError(f"{dataset.root}: no accepted clip to show; see the reasons in its manifest.parquet")
    names = sorted({row.identity for row in accepted})
    names = [names[k] for k in np.unique(np.linspace(0, len(names) - 1, min(rows, len(names))).round().astype(int))]
    shown: dict[tuple[str, str, int], ClipRow] = {}  # identity, emotion, number
    count: Counter[tuple[str, str]] = Counter()
    for row in sorted(accepted, key=lambda row: -row.intensity):
        number = count[row.identity, row.emotion]
        count[row.identity, row.emotion] += 1
        if row.identity in names and number < clips:
            shown[row.identity, row.emotion, number] = row
    columns = sorted({key[1:] for key in shown}, key=lambda key: (key[0] != NEUTRAL, key))
    empty = np.full((CELL, CELL, 3), 255, np.uint8)
    cells = [
        [_telling_frame(dataset.clip(shown[name, *key].clip_id)) if (name, *key) in shown else empty for key in columns]
        for name in names
    ]
    split = {row.identity: row.split for row in accepted}
    labels = [f"{name} ({split[name]})" for name in names]
    return contact_sheet(cells, labels, [emotion for emotion, _ in columns], cell=CELL)


def _telling_frame(clip: Clip) -> np.ndarray:
    """The frame (size,size,3) with the strongest expression, blinks aside; the middle one if units are not ARKit's."""
    expression = np.abs(clip.features("expression").astype(np.float64))
    at = len(clip) // 2
    if expression.shape[1] == len(ARKIT_UNITS):
        is_lid = np.array([name.startswith("eyeBlink") for name in ARKIT_UNITS])
        at = int((expression @ np.where(is_lid, -BLINK_COSTS, 1.0)).argmax())
    return clip.frames(at, at + 1)[0]
