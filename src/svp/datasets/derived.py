"""Files that are made once from a clip's video and kept: latents, measured expressions. Each names the video's hash."""

from pathlib import Path

from safetensors import SafetensorError, safe_open


def made_from(digest: str) -> dict[str, str]:
    """The header of a safetensors file that is made from the video with this SHA-256."""
    return {"video_sha256": digest}


def is_current(path: Path, digest: str) -> bool:
    """Whether a readable safetensors file is there and was made from this very video."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="np") as file:
            return made_from(digest).items() <= (file.metadata() or {}).items()
    except (SafetensorError, OSError):
        return False
