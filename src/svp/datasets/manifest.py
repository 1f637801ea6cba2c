"""The manifest of a prepared dataset: one row per clip, rejected ones too, in `manifest.parquet`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from svp.errors import InputError, first_problem
from svp.media.whole_file import whole_file

MANIFEST_NAME = "manifest.parquet"
MAX_ID = 200  # characters of a clip id
SOUND_SIGN = " + "  # between the portrait and the sound in the source of a made clip

UNKNOWN = "unknown"  # emotion of a clip that nobody labelled
NEUTRAL = "neutral"

Split = Literal["train", "val", "test"]

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("emotion", pa.string(), nullable=False),
        pa.field("intensity", pa.int8(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("frames", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("fps_in", pa.float64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("parts", pa.int32(), nullable=False),
        pa.field("start", pa.float64(), nullable=False),
        pa.field("has_sound", pa.bool_(), nullable=False),
        pa.field("audio_offset", pa.float64(), nullable=False),
        pa.field("remaining_offset", pa.float64(), nullable=False),
        pa.field("offset_certain", pa.bool_(), nullable=False),
        pa.field("voice", pa.string(), nullable=False),
        pa.field("has_video", pa.bool_(), nullable=False),
        pa.field("shot", pa.int32(), nullable=False),
        pa.field("missing", pa.float64(), nullable=False),
        pa.field("others", pa.float64(), nullable=False),
        pa.field("face_size", pa.float64(), nullable=False),
        pa.field("sharpness", pa.float64(), nullable=False),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("audio_encoder", pa.string(), nullable=False),
        pa.field("folder", pa.string(), nullable=False),
        pa.field("stamp", pa.string(), nullable=False),
    ]
)
ADDED = {  # columns that manifests written before them lack
    *("voice", "has_video", "shot", "missing", "others", "face_size", "sharpness", "recipe", "audio_encoder"),
    *("remaining_offset", "offset_certain", "folder", "stamp"),
}


class ClipRow(BaseModel):
    """What is known about one clip.

    Attributes:
        clip_id: unique name, also the stem of the clip's files.
        source: where the clip came from: a path relative to the source folder, or the recipe of a made clip.
        sha256: hash of the source file (of the recipe for a made clip); a changed source is prepared anew.
        identity: who is seen. No identity is in two splits.
        emotion: a lower-case word; "unknown" when nobody said.
        intensity: 0 unknown or neutral, 1 to 3 weak to strong.
        split: which part of the dataset the identity belongs to.
        frames: frames at 25 fps; 0 for a rejected clip that was not read.
        seconds: frames / 25.
        fps_in: frame rate of the source, 0 when unknown.
        status: `ok`, or `rejected` for a clip that has no files.
        reason: why a clip was rejected, empty otherwise.
        parts: number of clips the source was cut into.
        start: second of the source at which the clip begins (parts of a long source).
        has_sound: False when the source has no sound or only silence; its `audio` feature is then zero.
        audio_offset: seconds by which the sound was moved later (negative: earlier) to meet the mouth.
        remaining_offset: seconds by which the sound would have to be moved later still, by what its lips tell over up
            to ten minutes of its source; 0 where they do not tell.
        offset_certain: whether they tell.
        voice: who is heard, where that is known apart from who is seen; else empty.
        has_video: False when the source is a track of coefficients: the clip has no pictures and no landmarks.
        shot: which shot of the source the clip is of, from 0; no clip goes across a cut.
        missing: share of its frames in which no face was found; they are interpolated.
        others: share of its frames in which another large face is seen.
        face_size: larger side of the face in pixels of the source, median over the frames; 0 when not measured.
        sharpness: of the face at one size (see quality.sharpness), median over the frames; 0 when not measured.
        recipe: hash of the options that the clip's files follow from; a clip with another one is made anew.
        audio_encoder: what the `audio` feature of an accepted clip was made with; empty in datasets of puppets.
        folder: a short hash of the path of the folder that `source` is in: other folders have files of the same name.
        stamp: size, time of change and number of the source's files; while it stays, `sha256` is taken for theirs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    clip_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=MAX_ID)
    source: str
    sha256: str
    identity: str = Field(min_length=1)
    emotion: str = UNKNOWN
    intensity: int = Field(default=0, ge=0, le=3)
    split: Split = "train"
    frames: int = Field(default=0, ge=0)
    seconds: float = Field(default=0.0, ge=0.0)
    fps_in: float = Field(default=0.0, ge=0.0)
    status: Literal["ok", "rejected"] = "ok"
    reason: str = ""
    parts: int = Field(default=1, ge=1)
    start: float = Field(default=0.0, ge=0.0)
    has_sound: bool = False
    audio_offset: float = 0.0
    remaining_offset: float = 0.0
    offset_certain: bool = False
    voice: str = ""
    has_video: bool = True
    shot: int = Field(default=0, ge=0)
    missing: float = Field(default=0.0, ge=0.0, le=1.0)
    others: float = Field(default=0.0, ge=0.0, le=1.0)
    face_size: float = Field(default=0.0, ge=0.0)
    sharpness: float = Field(default=0.0, ge=0.0)
    recipe: str = ""
    audio_encoder: str = ""
    folder: str = ""
    stamp: str = ""

    @model_validator(mode="after")
    def _status_and_reason_agree(self) -> "ClipRow":
        if (self.status == "rejected") != bool(self.reason):
            raise ValueError("a rejected clip needs a reason, an accepted one has none")
        return self

    @property
    def recording(self) -> str:
        """What is heard; clips of several puppets may share it, and so do the parts of one source."""
        return self.source.rpartition(SOUND_SIGN)[2]

    def rejected(self, reason: str) -> "ClipRow":
        """This row with status `rejected` and its reason on one line."""
        reason = readable(" ".join(reason.split())) or "unknown"
        update = {"status": "rejected", "reason": reason, "audio_encoder": ""}
        return self.model_copy(update=update)


def readable(text: str) -> str:
    """A file name, or what names it, as text: bytes of it that are not UTF-8 become `\\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def write_manifest(path: Path, rows: Sequence[ClipRow]) -> None:
    """Write rows, sorted by clip id, under the final name at once.

    Raises:
        ValueError: two rows have one clip id, or one identity is in two splits.
    """
    ordered = sorted(rows, key=lambda row: row.clip_id)
    splits: dict[str, str] = {}
    for row, following in zip(ordered, [*ordered[1:], None], strict=True):
        if following is not None and row.clip_id == following.clip_id:
            raise ValueError(f"clip id {row.clip_id} occurs twice")
        if splits.setdefault(row.identity, row.split) != row.split:
            raise ValueError(f"identity {row.identity} is in the splits {splits[row.identity]} and {row.split}")
    table = pa.Table.from_pylist([row.model_dump() for row in ordered], schema=SCHEMA)
    with whole_file(path) as partial:
        pq.write_table(table, partial)


def read_manifest(path: Path) -> list[ClipRow]:
    """Rows of a manifest, in its order.

    Raises:
        InputError: the file is missing, is not parquet, or a row breaks the format.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such manifest; make the dataset with `svp prepare` or finish its preparation")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable parquet file ({error}); prepare the dataset again") from error
    missing = sorted(set(SCHEMA.names) - ADDED - set(table.column_names))
    if missing:
        raise InputError(f"{path}: lacks the columns {', '.join(missing)}; prepare the dataset again")
    return [_row(path, values) for values in table.to_pylist()]


def _row(path: Path, values: dict[str, Any]) -> ClipRow:
    try:
        return ClipRow(**values)
    except ValidationError as error:
        place, problem = first_problem(error, ClipRow.model_fields)
        where = ".".join(map(str, place)) or "row"
        raise InputError(
            f"{path}: clip {values.get('clip_id')!r}: {where}: {problem}; correct the manifest or prepare again"
        ) from error
