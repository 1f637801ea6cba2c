"""Wrinkles: where they are drawn, and that an expression without them leaves the picture alone."""

from pathlib import Path

import numpy as np
import pytest

from svp.datasets.corpus import load_puppet
from svp.datasets.puppet import Puppet
from svp.datasets.puppet_wrinkles import FOLDS, Wrinkles
from svp.datasets.visemes import expand
from svp.face.model import FaceModel

UNITS = FaceModel.load().unit_names
ADA = Path(__file__).resolve().parents[2] / "samples" / "portraits" / "ada.png"


@pytest.fixture(scope="module")
def puppet() -> Puppet:
    return load_puppet(ADA, 256)


@pytest.fixture(scope="module")
def wrinkles(puppet: Puppet) -> Wrinkles:
    person, margin = puppet.cutout.person, puppet.cutout.margin
    return Wrinkles(puppet.source[:, :2] + margin, len(person), puppet.pupil_distance, UNITS)


def darkening(puppet: Puppet, wrinkles: Wrinkles, **units: float) -> np.ndarray:
    """How much darker the layer gets, (L, L), in grey values."""
    person = puppet.cutout.person
    shaded = wrinkles.shade(person, expand(units, UNITS))
    assert (shaded[..., :3] <= shaded[..., 3:]).all() and (shaded[..., 3] == person[..., 3]).all()
    return (person[..., :3].astype(int) - shaded[..., :3]).mean(axis=2)


def test_speech_alone_changes_nothing(puppet: Puppet, wrinkles: Wrinkles) -> None:
    person = puppet.cutout.person
    assert wrinkles.shade(person, expand({"jawOpen": 1.0, "eyeBlink": 1.0}, UNITS)) is person


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: fold.unit)
def test_a_fold_lies_along_its_lines_and_deepens_with_its_unit(puppet: Puppet, wrinkles: Wrinkles, fold) -> None:
    half, full = (darkening(puppet, wrinkles, **{fold.unit: strength}) for strength in (0.5, 1.0))
    points = puppet.source[[k for line in fold.dark for k in line], :2] + puppet.cutout.margin
    x, y = np.rint(points).astype(int).T
    assert full[y, x].mean() > half[y, x].mean() + 1 > 2
    rows, columns = np.nonzero(np.abs(full) > 2)
    near = np.hypot(columns[:, None] - points[:, 0], rows[:, None] - points[:, 1]).min(axis=1)
    assert near.max() < 0.8 * puppet.pupil_distance
