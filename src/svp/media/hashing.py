"""What a file or a text holds, as a short name."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; the file is read in blocks.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_json(values: Mapping[str, Any]) -> str:
    """SHA-256 of values of JSON's kinds, whatever the order of their names, 64 hexadecimal digits."""
    return sha256_text(json.dumps(values, sort_keys=True))
