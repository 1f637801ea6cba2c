"""Inputs and a file of jobs that take a second each."""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "diffusion"))
from tiny_pipeline import tiny_pipeline, tone

from svp.media.audio import write_wav

PORTRAIT = Path(__file__).resolve().parents[2] / "samples" / "portraits" / "ada.png"


def write_inputs(folder: Path) -> Path:
    """A tiny model, a portrait and two recordings."""
    tiny_pipeline().save_pretrained(folder / "model")
    (folder / "ada.png").write_bytes(PORTRAIT.read_bytes())
    write_wav(folder / "short.wav", tone(0.6))
    write_wav(folder / "long.wav", tone(3.0))
    return folder


def write(folder: Path, lines: list[object], name: str = "jobs.jsonl") -> Path:
    (folder / name).write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return folder / name


def line(**options: object) -> dict[str, object]:
    return {"portrait": "ada.png", "audio": "short.wav", "model": "model", "steps": 2, **options}


def rows(folder: Path) -> list[dict]:
    """What the manifest says of each video."""
    return [json.loads(text) for text in (folder / "manifest.jsonl").read_text().splitlines()]
