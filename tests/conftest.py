"""Fixtures that several rooms use."""

import os
import tempfile
from functools import cache
from pathlib import Path

import pytest
import torch
import typer.main

torch.set_num_threads(1)  # the suite runs several workers side by side
_data = tempfile.TemporaryDirectory(prefix="svp-tests-")  # not the user's own, for the certificate made at first use
os.environ["SVP_DATA"] = _data.name
typer.main.get_command = cache(typer.main.get_command)  # a process of its own makes the commands once; here many run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files marked `long` come first, so that no process waits at the end for one that began late."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def style_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset of people with several emotions and levels, see `tiny_styles`."""
    from tiny_styles import make_dataset

    return make_dataset(tmp_path_factory.mktemp("styles") / "dataset")


@pytest.fixture(scope="session")
def style_models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three model folders whose style encoders differ by their seed."""
    from tiny_styles import make_model

    return [make_model(tmp_path_factory.mktemp("styles") / f"seed{seed}", seed) for seed in range(3)]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and golden numbers beside the repository; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("../shared (real clips and golden numbers) is not beside this checkout")
    return folder
