"""Deterministic weights for golden tests: every tensor follows from a seed, its name and its shape alone.

The golden numbers were made with other people's networks filled by this rule, so no weights need to be stored. NumPy's
legacy stream is bit-identical everywhere, torch's is not.
"""

import hashlib
import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DATA = Path(__file__).parent / "data" / "golden"
TABLES = (".pe", "pos_table")  # sinusoid tables: computed by formula, no part of the digest


def read_keys(path: str) -> dict[str, list]:
    """{name: [dtype, shape]} of one network, `path` relative to tests/data/golden."""
    return json.loads((DATA / path).read_text())


def rule_weights(
    keys: dict[str, list], seed: int, gain: float = 1.0, factors: dict[str, float] | None = None
) -> dict[str, Tensor]:
    """Weights by name: uniform, biases within 0.1, scales around 1, matrices with variance gain^2 / fan-in.

    Batch norms: means within 0.1, variances from 0.5 to 1.5, counters 0. `factors` multiply tensors by name.
    """
    weights = {}
    for name, (kind, shape) in keys.items():
        if "int" in kind:
            weights[name] = torch.zeros(tuple(shape), dtype=torch.int64)
            continue
        if name.endswith(TABLES):
            channel = np.arange(shape[2])
            angle = np.arange(shape[1])[:, None] / 10000.0 ** (2 * (channel // 2) / shape[2])
            array = np.where(channel % 2 == 0, np.sin(angle), np.cos(angle))[None]
        else:
            random = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
            uniform = np.asarray(random.random_sample(tuple(shape)))
            array = 2.0 * uniform - 1.0
            if name.endswith("running_var"):
                array = 0.5 + uniform
            elif len(shape) <= 1:
                array = 1.0 + 0.2 * array if name.endswith("weight") else 0.1 * array
            else:
                array = gain * math.sqrt(3.0 / math.prod(shape[1:])) * array
            array = array * (factors or {}).get(name, 1.0)
        weights[name] = torch.from_numpy(array.astype(np.float32))
    return weights


def digest(weights: dict[str, Tensor]) -> str:
    """SHA-256 over names and bytes: tells a wrong weight from a wrong network."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        if not name.endswith(TABLES):
            sha.update(name.encode())
            sha.update(weights[name].numpy().tobytes())
    return sha.hexdigest()
