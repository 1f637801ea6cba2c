"""Clips of a prepared dataset made again by a model: what `svp evaluate` compares with the dataset.

usage: reconstruct.py MODEL DATASET OUT [--split test] [--clips 40] [--steps 25] [--reference own]

Each video has the clip's own sound, Head-Kps and style. The portrait is the clip's own first frame (`--reference own`),
or a frame of another clip of the person with another emotion, as in stage `style`, where there is one (`other`, the
harder and the default). Videos are OUT/CLIP_ID.mp4;
those that are there already are kept, so a run that was stopped goes on.

    python scripts/reconstruct.py mini data/puppets outputs/mini
    svp evaluate outputs/mini data/puppets -o report.json
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.progress import track

from svp import SVPPipeline
from svp.datasets.clip import Clip
from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.diffusion.portrait import Portrait
from svp.errors import InputError
from svp.face.head_kps import seen_head_kps


def chosen(dataset: PreparedDataset, split: str, count: int) -> list[ClipRow]:
    """Clips with sound, evenly spread over those of a split.

    Raises:
        InputError: there are none.
    """
    rows = [row for row in dataset.accepted() if row.has_sound and split in (row.split, "all")]
    if not rows:
        raise InputError(f"{dataset.root}: no clip with sound in split {split}; name another --split")
    return [rows[k] for k in np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]


def portrait_of(dataset: PreparedDataset, row: ClipRow, own: bool) -> Portrait:
    """The portrait of a clip: its own first frame, or that of the person's first clip with another emotion."""
    others = [r for r in dataset.accepted() if r.identity == row.identity and r.emotion != row.emotion and not own]
    clip: Clip = dataset.clip((others or [row])[0].clip_id)
    return Portrait.of_crop(clip.frames(0, 1)[0], clip.features("landmarks", 0, 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="test", choices=("train", "val", "test", "all"))
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--reference", default="other", choices=("own", "other"))
    options = parser.parse_args()
    try:
        pipeline, dataset = SVPPipeline.from_pretrained(options.model), PreparedDataset(options.dataset)
        options.out.mkdir(parents=True, exist_ok=True)
        for row in track(chosen(dataset, options.split, options.clips), "reconstruct"):
            path = options.out / f"{row.clip_id}.mp4"
            if path.exists():
                continue
            clip = dataset.clip(row.clip_id)
            video = pipeline(
                portrait_of(dataset, row, options.reference == "own"),
                clip.audio(),
                pipeline.style(clip.video_path),
                seen_head_kps(clip.features("landmarks")),
                retarget="none",
                num_inference_steps=options.steps,
                guidance_scale=options.guidance,
            )
            video.save(path)
    except InputError as error:
        print(f"reconstruct.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
