"""Clips of a prepared dataset made again by a model: what `svp evaluate` compares with the dataset.

usage: reconstruct.py MODEL DATASET OUT [--split test] [--clips 40] [--steps N] [--reference own] [--style none]

Each video has the clip's own sound, Head-Kps and style; with `--style none` it has no style, with `--style other` that
of a clip with another emotion (of the same person, where there is one), with `--style gallery` the shipped style of the
clip's emotion and level. The portrait is the clip's own first frame
(`--reference own`), or a frame of another clip of the person with another emotion, as in stage `style`, where there is
one (`other`, the harder and the default). Videos are OUT/CLIP_ID.mp4; those that are there already are kept, so a run
that was stopped goes on.

    python scripts/reconstruct.py mini data/puppets outputs/mini
    svp evaluate outputs/mini data/puppets -o report.json
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from svp import StylePrior, SVPPipeline
from svp.datasets.clip import Clip
from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.diffusion.portrait import Portrait
from svp.errors import InputError
from svp.face.head_kps import seen_head_kps

STYLES = ("own", "none", "other", "gallery")


def chosen(dataset: PreparedDataset, split: str, count: int) -> list[ClipRow]:
    """Clips with sound, evenly spread over those of a split.

    Raises:
        InputError: there are none.
    """
    rows = [row for row in dataset.accepted() if row.has_sound and split in (row.split, "all")]
    if not rows:
        raise InputError(f"{dataset.root}: no clip with sound in split {split}; name another --split")
    return [rows[k] for k in np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]


def with_another_emotion(dataset: PreparedDataset, row: ClipRow) -> list[ClipRow]:
    """The clips of other emotions, those of the same person first."""
    others = [other for other in dataset.accepted() if other.emotion != row.emotion]
    return sorted(others, key=lambda other: other.identity != row.identity)


def portrait_of(dataset: PreparedDataset, row: ClipRow, own: bool) -> Portrait:
    """The portrait of a clip: its own first frame, or that of the person's first clip with another emotion."""
    others = [other for other in with_another_emotion(dataset, row) if other.identity == row.identity and not own]
    clip: Clip = dataset.clip((others or [row])[0].clip_id)
    return Portrait.of_crop(clip.frames(0, 1)[0], clip.features("landmarks", 0, 1)[0])


def style_of(pipeline: SVPPipeline, dataset: PreparedDataset, row: ClipRow, which: str) -> StylePrior | None:
    """The style that a clip is made again with, one of STYLES.

    Raises:
        InputError: another emotion is asked for, and the dataset has none; a clip's emotion is not in the gallery.
    """
    if which == "none":
        return None
    if which == "gallery":
        return pipeline.style(f"{row.emotion}:{max(row.intensity, 1)}")
    if which == "own":
        return pipeline.style(dataset.clip(row.clip_id).video_path)
    others = with_another_emotion(dataset, row)
    if not others:
        raise InputError(f"{dataset.root}: shows one emotion only; use --style own or none")
    return pipeline.style(dataset.clip(others[0].clip_id).video_path)


def reconstruct(
    pipeline: SVPPipeline,
    dataset: PreparedDataset,
    rows: Sequence[ClipRow],
    out: Path,
    *,
    reference: str = "other",
    style: str = "own",
    steps: int | None = None,
    guidance: float | None = None,
    fast: str = "exact",
) -> None:
    """Make the videos that are not there yet; steps and guidance are the model's own where None."""
    out.mkdir(parents=True, exist_ok=True)
    for row in track([row for row in rows if not (out / f"{row.clip_id}.mp4").exists()], out.name):
        clip = dataset.clip(row.clip_id)
        pipeline(
            portrait_of(dataset, row, reference == "own"),
            clip.audio(),
            style_of(pipeline, dataset, row, style),
            seen_head_kps(clip.features("landmarks")),
            retarget="none",
            num_inference_steps=steps,
            guidance_scale=guidance,
            fast=fast,
        ).save(out / f"{row.clip_id}.mp4")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="test", choices=("train", "val", "test", "all"))
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--reference", default="other", choices=("own", "other"))
    parser.add_argument("--style", default="own", choices=STYLES)
    parser.add_argument("--fast", default="exact")
    options = vars(parser.parse_args())
    try:
        pipeline, dataset = SVPPipeline.from_pretrained(options.pop("model")), PreparedDataset(options.pop("dataset"))
        rows = chosen(dataset, options.pop("split"), options.pop("clips"))
        reconstruct(pipeline, dataset, rows, options.pop("out"), **options)
    except InputError as error:
        print(f"reconstruct.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
