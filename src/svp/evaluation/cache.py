"""Measurements kept by content: a video that has been measured once is not measured again.

Files are named after the hash of what was measured and hold plain arrays (safetensors). A file of another version, or
one that is damaged, is as if it were not there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

VERSION: Final = 2  # raised when what is measured changes


@dataclass(frozen=True)
class MeasurementCache:
    """A folder of measurements; with None nothing is kept."""

    folder: Path | None

    def get(self, *key: str) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
        """Arrays and texts that were put under this key, or None."""
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            with safe_open(path, framework="np") as file:
                texts = json.loads((file.metadata() or {}).get("texts", "{}"))
                return {name: file.get_tensor(name) for name in file.keys()}, texts  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError, ValueError):
            return None

    def put(self, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str], *key: str) -> None:
        """Keep arrays and texts under a key; the file appears whole."""
        if self.folder is None:
            return
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(whole, partial, metadata={"texts": json.dumps(dict(texts))})
        os.replace(partial, path)

    def _path(self, key: tuple[str, ...]) -> Path:
        assert self.folder is not None
        return self.folder / f"{hashlib.sha256(json.dumps([VERSION, *key]).encode()).hexdigest()}.safetensors"
