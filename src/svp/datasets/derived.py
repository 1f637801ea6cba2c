"""Files that are made once from a clip's video and kept: latents, measured expressions. Each names the video's hash."""

from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from svp.media.hashing import sha256_file

LATENTS: Final = "latents"  # folders of a dataset; in each is one by what made the files
MEASURED: Final = "measured"


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


def drop_stale(root: Path, clip_id: str, video: Path | None) -> None:
    """Delete what a dataset keeps of a clip that was not made from this video; None keeps nothing."""
    kept = [path for kind in (LATENTS, MEASURED) for path in root.glob(f"{kind}/*/{clip_id}.safetensors")]
    digest = sha256_file(video) if kept and video is not None else ""
    for path in kept:
        if not is_current(path, digest):
            path.unlink(missing_ok=True)
