"""Pictures of what a prepared dataset holds: identities by emotions, or the clips of one identity."""

import hashlib
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from svp.datasets.clip import Clip
from svp.datasets.manifest import NEUTRAL, ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.face.model import ARKIT_UNITS
from svp.media.image import contact_sheet, write_png

CELL = 128  # pixels of a frame on the sheet
OF_IDENTITY = 8  # clips shown of each emotion of one identity
SHEETS = "sheets"
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


def identity_sheet(dataset: PreparedDataset, identity: str) -> np.ndarray:
    """Frames of the clips of one identity, (height, width, 3) uint8 RGB: a row per emotion, evenly chosen clips.

    Raises:
        InputError: the identity has no accepted clip, or one without pictures.
    """
    rows: defaultdict[str, list[ClipRow]] = defaultdict(list)
    for row in dataset.accepted():
        if row.identity == identity:
            rows[row.emotion].append(row)
    if not rows:
        raise InputError(f"{dataset.root}: no accepted clip of {identity!r}; see its manifest for who is in it")
    emotions = sorted(rows, key=lambda emotion: (emotion != NEUTRAL, emotion))
    cells = []
    for emotion in emotions:
        clips = sorted(rows[emotion], key=lambda row: (row.intensity, row.clip_id))
        chosen = np.unique(np.linspace(0, len(clips) - 1, min(OF_IDENTITY, len(clips))).round().astype(int))
        cells.append([_telling_frame(dataset.clip(clips[k].clip_id)) for k in chosen])
    return contact_sheet(cells, emotions, cell=CELL)


def sheet_path(root: Path, identity: str) -> Path:
    """Where the sheet of an identity lies in a dataset; a short hash tells names apart that are no file names."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", identity).strip("._")[:100]
    if name != identity:
        name = f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}".lstrip("-")
    return root / SHEETS / f"{name}.png"


def write_sheets(dataset: PreparedDataset) -> None:
    """Write the sheets of all identities with accepted clips that have none yet."""
    for identity in sorted({row.identity for row in dataset.accepted()}):
        if not (path := sheet_path(dataset.root, identity)).is_file():
            write_png(path, identity_sheet(dataset, identity))


def _telling_frame(clip: Clip) -> np.ndarray:
    """The frame (size,size,3) with the strongest expression, blinks aside; the middle one if units are not ARKit's."""
    expression = np.abs(clip.features("expression").astype(np.float64))
    at = len(clip) // 2
    if expression.shape[1] == len(ARKIT_UNITS):
        is_lid = np.array([name.startswith("eyeBlink") for name in ARKIT_UNITS])
        at = int((expression @ np.where(is_lid, -BLINK_COSTS, 1.0)).argmax())
    return clip.frames(at, at + 1)[0]
