"""A labelled dataset and models that hold nothing but a style encoder, both so small that measuring takes seconds."""

import json
from pathlib import Path

import numpy as np
import torch

from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import DatasetWriter
from svp.style.encoder import StyleEncoder

SIZE, FRAMES, UNITS, SOUNDS = 32, 5, 6, 8
EXPRESSIONS, AUDIO = "units-6/1", "sounds-8/1"
PEOPLE = {"ann": "test", "bob": "test", "cid": "val", "dan": "train"}
CLIPS = (("neutral", 0), ("neutral", 0), ("happy", 1), ("happy", 3), ("sad", 2), ("sad", 3), ("unknown", 0))
SILENT = "bob_6_unknown"  # and ann's first clip, whose emotion is known
DIRECTIONS = {"neutral": 0, "happy": 1, "sad": 2, "unknown": 3}  # the unit an emotion moves


def make_dataset(root: Path) -> Path:
    """Every person has the clips of CLIPS; two clips are silent."""
    writer = DatasetWriter(root, {"maker": "puppet"}, EXPRESSIONS, AUDIO, SIZE)
    rng = np.random.default_rng(0)
    for identity, split in PEOPLE.items():
        for number, (emotion, intensity) in enumerate(CLIPS):
            clip_id = f"{identity}_{number}_{emotion}"
            expression = rng.normal(0, 0.2, (FRAMES, UNITS))
            expression[:, DIRECTIONS[emotion]] += 0.5 + intensity
            silent = clip_id in (SILENT, "ann_0_neutral")
            features = {
                "expression": expression,
                "audio": np.zeros((FRAMES, SOUNDS)) if silent else rng.normal(0, 1, (FRAMES, SOUNDS)),
                "landmarks": np.zeros((FRAMES, 478, 3)),
                "head_kps": np.zeros((FRAMES, 8, 2)),
            }
            row = ClipRow(
                clip_id=clip_id, source=f"{identity}.png + sound{identity}{number}", sha256="0", identity=identity,
                emotion=emotion, intensity=intensity, split=split, frames=FRAMES, fps_in=25.0,
            )  # fmt: skip
            pictures = (np.zeros((SIZE, SIZE, 3), np.uint8) for _ in range(FRAMES))
            writer.add_clip(row, pictures, None if silent else rng.normal(0, 0.1, FRAMES * 640), features)
    writer.finish()
    return root


def make_encoder(seed: int) -> StyleEncoder:
    torch.manual_seed(seed)
    encoder = StyleEncoder(
        expression_size=UNITS, audio_size=SOUNDS, style_size=16, layers=1, heads=2, feed_forward=16,
        expression_encoder=EXPRESSIONS, audio_encoder=AUDIO,
    )  # fmt: skip
    encoder.neutral_code.normal_(generator=torch.Generator().manual_seed(seed))
    return encoder.eval()


def make_model(folder: Path, seed: int) -> Path:
    """A model folder with a style encoder alone."""
    folder.mkdir(parents=True)
    index = {"_class_name": "SVPPipeline", "style_encoder": ["svp.diffusion.pipeline", "StyleEncoder"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    make_encoder(seed).save_pretrained(folder / "style_encoder")
    return folder
