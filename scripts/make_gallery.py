"""Make the gallery: the style of every emotion and level, from the clips of a prepared dataset.

usage: make_gallery.py MODEL DATASET OUT_DIR [--split test]

A gallery style is the mixture of the Gaussians of all clips with that emotion and level, as one Gaussian: mean of the
means, and mean of the variances plus variance of the means; with a deterministic style encoder the mean alone.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import torch

from svp import StylePrior, SVPPipeline
from svp.datasets.manifest import NEUTRAL, UNKNOWN
from svp.datasets.prepared import PreparedDataset
from svp.style.codes import encode_clips
from svp.style.gallery import LEVELS
from svp.training.networks import style_encoder_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    options = parser.parse_args()
    pipeline, dataset = SVPPipeline.from_pretrained(options.model), PreparedDataset(options.dataset)
    encoder = style_encoder_of(pipeline)
    rows = [row for row in dataset.accepted(options.split) if row.emotion != UNKNOWN]  # not: real clips nobody labelled
    styles = encode_clips(encoder, dataset, rows).by_clip()
    groups = defaultdict(list)
    for row in rows:
        for level in LEVELS if row.emotion == NEUTRAL else (row.intensity,):
            groups[row.emotion, level].append(styles[row.clip_id])
    options.out.mkdir(parents=True, exist_ok=True)
    for (emotion, level), gaussians in sorted(groups.items()):
        means = torch.cat([g.mean for g in gaussians])
        variances = torch.cat([g.variance for g in gaussians])
        variance = variances.mean(0) + means.var(0, correction=0)
        prior = StylePrior(
            mean=means.mean(0),
            variance=torch.zeros_like(variance) if encoder.config["deterministic"] else variance,
            neutral=encoder.neutral_code.clone(),
            encoder=encoder.fingerprint(),
            name=f"{emotion}:{level}",
            extra={"emotion": emotion, "level": str(level), "clips": str(len(gaussians)), "made_from": "puppet corpus"},
        )
        prior.save(options.out / f"{emotion}_{level}.safetensors")
        print(f"{emotion}:{level} from {len(gaussians)} clips")


if __name__ == "__main__":
    main()
