"""A pipeline of tiny random networks and a portrait for it."""

import pytest
from tiny_pipeline import drawn_portrait, tiny_pipeline

from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.portrait import Portrait


@pytest.fixture(scope="module")
def pipeline() -> SVPPipeline:
    return tiny_pipeline()


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return drawn_portrait()
