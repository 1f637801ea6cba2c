"""Measurements kept by content: a video that has been measured once is not measured again.

Files are named after the hash of what was measured and of what measured it, and hold plain arrays (safetensors). One of
another installation, or one that is damaged, is as if it were not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from svp.errors import InputError
from svp.media.hashing import sha256_text
from svp.media.whole_file import whole_file

VERSION: Final = 6  # raised when what is measured changes


@dataclass(frozen=True)
class MeasurementCache:
    """A folder of measurements.

    Attributes:
        folder: made where it is missing; with None nothing is kept.
        made_with: what measures, see `instruments.installation`; measurements of another are not found.
    """

    folder: Path | None
    made_with: str = ""

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
        """Keep arrays and texts under a key; the file appears whole.

        Raises:
            InputError: the folder cannot be written.
        """
        if self.folder is None:
            return
        path = self._path(key)
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial:
                save_file(whole, partial, metadata={"texts": json.dumps(dict(texts))})
        except (OSError, SafetensorError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(f"{self.folder}: measurements cannot be kept there ({why}); use --no-cache") from error

    def _path(self, key: tuple[str, ...]) -> Path:
        assert self.folder is not None
        digest = sha256_text(json.dumps([VERSION, self.made_with, *key]))
        return self.folder / f"{digest}.safetensors"
