"""Three acted people in a prepared dataset, and tiny models with random weights that make videos of its size."""

import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "diffusion"))
from tiny_pipeline import tiny_preset, tone

from svp.datasets.corpus import load_puppet
from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import DatasetWriter
from svp.datasets.visemes import expand
from svp.diffusion.build import build_pipeline
from svp.face.fit import fit_clip
from svp.face.head_kps import head_kps
from svp.face.landmarks import require_track, track_landmarks
from svp.face.model import FaceModel
from svp.speech.alpha import LOG_MEL

PORTRAITS = Path(__file__).resolve().parents[2] / "samples" / "portraits"
SIZE, FRAMES = 128, 6
PEOPLE = {"ada": "test", "bianca": "test", "felix": "val"}
MOODS = {
    "neutral": {},
    "happy": {"mouthSmile": 0.9, "cheekSquint": 0.4},
    "sad": {"mouthFrown": 0.9, "browInnerUp": 0.6},
}


def act(person: str, mood: dict[str, float]) -> list[np.ndarray]:
    """Frames of somebody who nods and opens the mouth a little."""
    units, puppet = FaceModel.load().unit_names, load_puppet(PORTRAITS / f"{person}.png", SIZE)
    frames = []
    for n in range(FRAMES):
        turn = cv2.Rodrigues(np.array([0.03 * np.sin(n), 0.05 * np.cos(n), 0.0]))[0]
        weights = expand({**mood, "jawOpen": 0.05 * n}, units)
        frames.append(puppet.render(weights, turn, np.zeros(2), np.zeros(2)))
    return frames


def make_dataset(root: Path) -> Path:
    """Every person once in each mood."""
    face_model = FaceModel.load()
    writer = DatasetWriter(root, {"maker": "puppet"}, face_model.encoder_id, LOG_MEL, SIZE)
    for number, (person, split) in enumerate(PEOPLE.items()):
        for emotion, mood in MOODS.items():
            frames = act(person, mood)
            landmarks = require_track(track_landmarks(frames), person)
            features = {
                "expression": fit_clip(landmarks, face_model).expression,
                "audio": np.ones((FRAMES, 1920)),
                "landmarks": landmarks,
                "head_kps": head_kps(landmarks),
            }
            row = ClipRow(
                clip_id=f"{person}_{emotion}", source=f"{person}.png + {emotion}{number}", sha256="0", identity=person,
                emotion=emotion, intensity=0 if emotion == "neutral" else 2, split=split, frames=FRAMES, fps_in=25.0,
            )  # fmt: skip
            writer.add_clip(row, iter(frames), tone(FRAMES / 25, number), features)
    writer.finish()
    return root


def make_model(folder: Path, seed: int = 0, *, deterministic: bool = False) -> Path:
    """Random weights, also where they would start at zero."""
    import torch

    pipeline = build_pipeline(tiny_preset().model_copy(update={"image_size": SIZE}), seed)
    generator = torch.Generator().manual_seed(seed)
    for module in (pipeline.denoiser, pipeline.vae, pipeline.style_encoder):
        for parameter in module.eval().parameters():
            if not parameter.any():
                parameter.data.normal_(0.0, 0.1, generator=generator)
    pipeline.style_encoder.register_to_config(deterministic=deterministic)
    pipeline.save_pretrained(folder)
    return folder
