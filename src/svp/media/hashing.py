"""What a file or a text holds, as a short name."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; the file is read in blocks.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_tensors(path: Path) -> str:
    """SHA-256 of the tensors of a safetensors file, 64 hexadecimal digits: names, types, shapes and bytes.

    Neither their order in the file nor its metadata count, which the library writes in random order.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no safetensors file, or is cut off.
    """
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError(f"{path}: no safetensors file")
    header.pop("__metadata__", None)
    content, found = memoryview(data)[8 + length :], hashlib.sha256()
    for name, about in sorted(header.items()):
        try:
            kind, shape, (begin, end) = about["dtype"], about["shape"], about["data_offsets"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: {name} has no type, shape or place") from error
        if not 0 <= begin <= end <= len(content):
            raise ValueError(f"{path}: {name} is cut off")
        found.update(json.dumps([name, kind, shape, end - begin]).encode())
        found.update(content[begin:end])
    return found.hexdigest()


def sha256_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_json(values: Mapping[str, Any]) -> str:
    """SHA-256 of values of JSON's kinds, whatever the order of their names, 64 hexadecimal digits."""
    return sha256_text(json.dumps(values, sort_keys=True))


def weights_sha256(folder: Path, without: Collection[str] = ()) -> str:
    """One hash of all weights of a saved model: SHA-256 of what `sha256sum` prints of its `.safetensors` files by name.

    find . -name "*.safetensors" -printf "%P\\n" | LC_ALL=C sort | xargs sha256sum | sha256sum

    Args:
        folder: of the model.
        without: parts, which are its sub-folders, that do not count.
    """
    found = (path.relative_to(folder) for path in folder.rglob("*.safetensors"))
    names = sorted(path.as_posix() for path in found if path.parts[0] not in without)
    return sha256_text("".join(f"{sha256_file(folder / name)}  {name}\n" for name in names))
