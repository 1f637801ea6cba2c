"""A preset and a dataset so small that every stage runs in seconds."""

from pathlib import Path

import numpy as np
import pytest
from tiny_training import SIZE, TINY, small_options

from svp.datasets.manifest import ClipRow
from svp.datasets.prepared import DatasetWriter
from svp.presets import MINI, PRESETS
from svp.training.run import train

FRAMES = 14
RUNS: dict[str, tuple[str, str | None, dict[str, object]]] = {  # stage, run it starts from, changes
    "vae": ("vae", None, {}),
    "prior": ("prior", "vae", {}),
    "appearance": ("appearance", "prior", {}),
    "motion": ("motion", "appearance", {}),
    "style": ("style", "motion", {}),
    "turbo": ("turbo", "style", {}),
    "tiny-vae": ("tiny-vae", "turbo", {}),
    "literal": ("motion", "appearance", {"train_spatial": False}),
    "literal style": ("style", "motion", {"train_spatial": False}),
    "single frames": ("style", "motion", {"frames": 1}),
}


@pytest.fixture(scope="session")
def tiny_preset():
    """`mini` with everything shrunk; not one of the shipped presets."""
    return TINY


@pytest.fixture()
def use_tiny(tiny_preset, monkeypatch):
    """`--preset mini` means the tiny sizes in this test."""
    monkeypatch.setitem(PRESETS, "mini", tiny_preset)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory) -> Path:
    """Three identities with two emotions each; coloured noise for pictures, a moving blob of landmarks."""
    root = tmp_path_factory.mktemp("tiny") / "dataset"
    writer = DatasetWriter(root, {"made": "test"}, MINI.expression_encoder, MINI.audio_encoder, SIZE)
    rng = np.random.default_rng(0)
    for identity, split in (("a", "train"), ("b", "train"), ("c", "val")):
        for emotion in ("neutral", "happy"):
            frames = rng.integers(0, 255, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
            landmarks = rng.uniform(8, 24, (1, 478, 3)) + rng.normal(0, 0.5, (FRAMES, 1, 3))
            row = ClipRow(
                clip_id=f"{identity}_{emotion}", source="made", sha256="0", identity=identity, emotion=emotion,
                intensity=0 if emotion == "neutral" else 2, split=split, frames=FRAMES, fps_in=25.0,
            )  # fmt: skip
            features = {
                "expression": np.abs(rng.normal(0, 0.3, (FRAMES, 52))) + (emotion == "happy"),
                "audio": rng.normal(0, 1, (FRAMES, 1920)),
                "landmarks": landmarks,
                "head_kps": landmarks[:, :8, :2],
            }
            sound = rng.normal(0, 0.1, FRAMES * 640).astype(np.float32)
            writer.add_clip(row, iter(frames), sound, features)
    writer.finish()
    return root


@pytest.fixture(scope="session")
def runs(tmp_path_factory, tiny_dataset) -> dict[str, Path]:
    """Model folders after each stage of one small training from start to end."""
    return Runs(tmp_path_factory.mktemp("runs"), tiny_dataset)


class Runs(dict[str, Path]):
    """Runs by name, each trained when it is first asked for.

    `literal` and `literal style` train only what the paper's stages train; `single frames` is stage style with f = 1.
    """

    def __init__(self, root: Path, data: Path) -> None:
        self.root, self.data = root, data

    def __missing__(self, name: str) -> Path:
        stage, before, changes = RUNS[name]
        options = small_options(stage, self.data, None if before is None else self[before], **changes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(PRESETS, "mini", TINY)
            self[name] = train(options, self.root / name.replace(" ", "_"), resume=False, max_minutes=None)
        return self[name]
