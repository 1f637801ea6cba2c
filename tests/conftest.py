"""Fixtures that several rooms use."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # the suite runs several workers side by side


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and golden numbers beside the repository; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("../shared (real clips and golden numbers) is not beside this checkout")
    return folder
