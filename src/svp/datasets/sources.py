"""Which clips a folder holds, and who and what they show."""

import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from svp.datasets.manifest import UNKNOWN, readable
from svp.errors import InputError

CLIPS_CSV = "clips.csv"
MISSING = f"no such file; correct its name in {CLIPS_CSV} or put it there"
VIDEO_SUFFIXES = frozenset(
    (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"),
)
PART_PATTERN = r"-p\d{3,}$"  # how the id of a part of a long clip ends
Name = Annotated[str, BeforeValidator(readable)]


class ClipSource(BaseModel):
    """A source file with its labels.

    Attributes:
        path: the file.
        name: its path relative to the source folder, with forward slashes and `readable`.
        clip_id: base of the ids of the clips that are cut from it.
        identity, emotion, intensity: as in manifest.ClipRow.
        audio_offset: seconds by which its sound is moved later (negative: earlier); None when nobody said.
        sound: another file that holds its sound; None when it is in the file itself, or there is none.
        start: second of the file at which it begins.
        seconds: its length; None reads to the end of the file.
        box: (x, y, width, height) of the picture in which its face is looked for; None for the whole picture.
        video: which of a person's videos it is cut from, where those are counted for the test; else empty.
        box_height: height of the picture whose pixels `box` counts; 0 for the file's own.
        problem: why it cannot be used, where that is known without looking into the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    path: Path
    name: Name
    clip_id: str
    identity: Name = Field(min_length=1)
    emotion: str = Field(default=UNKNOWN, pattern=r"^[a-z][a-z_-]*$")
    intensity: int = Field(default=0, ge=0, le=3)
    audio_offset: float | None = Field(default=None, ge=-5, le=5)
    sound: Path | None = None
    start: float = Field(default=0.0, ge=0)
    seconds: float | None = Field(default=None, gt=0)
    box: tuple[int, int, int, int] | None = None
    box_height: int = Field(default=0, ge=0)
    video: str = ""
    problem: str = ""


def folder_sources(
    folder: Path,
    exclude: Path | None = None,
    *,
    suffixes: frozenset[str] = VIDEO_SUFFIXES,
    what: str = "video",
    labels_of: Callable[[str], Mapping[str, str]] = lambda stem: {},
) -> list[ClipSource]:
    """Clips of a folder and its subfolders, by the names of the files, or as `clips.csv` in it lists them.

    Without `clips.csv` a clip's identity is the subfolder of `folder` it lies in, however deep, or its own name if it
    lies in none. `clips.csv` has the column `file` (path relative to the folder; only these files are taken)
    and any of `identity`, `emotion`, `intensity` (0 to 3) and `audio_offset` (seconds; positive moves the sound later);
    an empty cell is as if absent.

    Args:
        folder: where to look.
        exclude: a folder in it that is left out (the dataset itself).
        suffixes: of the files that are clips, in lower case.
        what: they hold, in messages.
        labels_of: labels that the name of a file (without folder and suffix) tells; `clips.csv` comes first.

    Raises:
        InputError: no such folder, no clip in it, or `clips.csv` has a mistake.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the folder that holds the clips")
    table = folder / CLIPS_CSV
    labels = _read_csv(table) if table.is_file() else {name: {} for name in _names(folder, exclude, suffixes)}
    if not labels:
        kinds = " ".join(sorted(suffixes))
        raise InputError(f"{folder}: holds no {what} ({kinds}); name the folder that holds the clips")
    sources = []
    clip_ids = safe_ids(labels)
    for name, values in labels.items():
        path = folder / name
        known = {"identity": Path(name).parts[0] if Path(name).parent.name else Path(name).stem}
        known |= {**labels_of(Path(name).stem), **values, "problem": "" if os.path.isfile(path) else MISSING}
        known["emotion"] = known.get("emotion", UNKNOWN).lower()
        try:
            source = ClipSource.model_validate(known | {"path": path, "name": name, "clip_id": clip_ids[name]})
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"{table}: {name}: {first['loc'][0]} {first['input']!r}: {first['msg']}; correct this cell"
            ) from error
        sources.append(source)
    return sources


def safe_ids(names: Iterable[str]) -> dict[str, str]:
    """A unique id of at most 160 characters per file name (a path with forward slashes) that is safe as a file name.

    It is the name without its suffix where possible. A short hash tells apart what would meet otherwise: names that
    differ in their suffix or in letters that are replaced, and names that look like a part of another clip.
    """
    spoken = {name: Path(name).with_suffix("").as_posix().replace("/", "-") for name in names}
    safe = {name: re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip("._-") for name, text in spoken.items()}
    meeting = Counter(clip_id.lower() for clip_id in safe.values())
    ids = {}
    for name, clip_id in safe.items():
        clear = clip_id == spoken[name] and meeting[clip_id.lower()] == 1 and len(clip_id) <= 150
        if not clear or re.search(PART_PATTERN, clip_id):
            digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
            clip_id = f"{clip_id[:150]}-{digest[:8]}".lstrip("-")
        ids[name] = clip_id
    return ids


def base_id(clip_id: str) -> str:
    """The id of the source that a clip or part of a clip was made of."""
    return re.sub(PART_PATTERN, "", clip_id)


def _names(folder: Path, exclude: Path | None, suffixes: frozenset[str]) -> list[str]:
    names = []
    skipped = exclude.resolve() if exclude is not None else None
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (Path(parent) / name).resolve() != skipped
        )
        names += [
            (Path(parent) / name).relative_to(folder).as_posix()
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes
        ]
    return sorted(names)


def _read_csv(path: Path) -> dict[str, dict[str, str]]:
    """Labels that the table gives, by file name."""
    columns = {"file", "identity", "emotion", "intensity", "audio_offset"}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            present = set(reader.fieldnames or ())
            rows = list(reader)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not a readable CSV table in UTF-8 ({error}); save it again") from error
    if "file" not in present or not present <= columns:
        wrong = ", ".join(sorted(present - columns)) or "no column file"
        raise InputError(f"{path}: {wrong}; the columns are {', '.join(sorted(columns))}")
    labels: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(f"{path}: line {number} has another number of cells than the heading; correct it")
        values = {key: value.strip() for key, value in row.items() if value.strip()}
        name = Path(values.pop("file", "")).as_posix()
        if name in (".", "") or Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{path}: line {number}: file must be a path below the folder of {path.name}; correct it")
        if name in labels:
            raise InputError(f"{path}: line {number}: {name} is listed twice; keep one line per file")
        labels[name] = values
    return labels
