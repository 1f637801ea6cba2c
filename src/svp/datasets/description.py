"""dataset.json: how a prepared dataset was made, and what of it another run may change."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from svp.errors import InputError
from svp.media.whole_file import whole_file
from svp.weights.config import read_config

FORMAT_VERSION = 1
DATASET_NAME = "dataset.json"


def read_description(root: Path) -> dict[str, Any]:
    """dataset.json of a prepared dataset.

    Raises:
        InputError: missing, unreadable or of another format version.
    """
    path = root / DATASET_NAME
    if not path.is_file():
        raise InputError(f"{root}: no prepared dataset (no {DATASET_NAME}); make one with `svp prepare`")
    description = read_config(path, "prepare the dataset again")
    version = description.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: format version {version}, this SVP reads {FORMAT_VERSION}; prepare it again")
    missing = {"size", "expression_encoder", "audio_encoder", "options"} - set(description)
    if missing:
        raise InputError(f"{path}: lacks {', '.join(sorted(missing))}; prepare the dataset again")
    return description


def require_equal(root: Path, present: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Whether a dataset was made as wanted.

    Raises:
        InputError: if not; the message names the first difference.
    """
    for key, value in wanted.items():
        if present.get(key) != value:
            was, now = _first_difference(present.get(key), value)
            raise InputError(f"{root}: was made with {key} {was}, not {now}; continue with the same or write elsewhere")


def fixed(description: Mapping[str, Any], variable: frozenset[str]) -> dict[str, Any]:
    """A description without what may change."""
    options = {key: value for key, value in description["options"].items() if key not in variable}
    return {key: value for key, value in description.items() if key not in variable} | {"options": options}


def changes(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs, as `key was -> now`."""
    was, now = ({**values, **values["options"]} for values in (present, wanted))
    keys = sorted((set(wanted) | set(present["options"]) | set(wanted["options"])) - {"options"})
    return tuple(f"{key} {was.get(key)} -> {now.get(key)}" for key in keys if was.get(key) != now.get(key))


def _first_difference(was: Any, now: Any) -> tuple[str, str]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(set(was) | set(now)):
            if was.get(key) != now.get(key):
                return f"{key}={was.get(key)!r}", f"{key}={now.get(key)!r}"
    return repr(was), repr(now)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write under the final name at once; equal content gives equal bytes."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
