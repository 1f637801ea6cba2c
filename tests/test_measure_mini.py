"""The acceptance measurement goes on where a model shows no face."""

import importlib.util
import json
from argparse import Namespace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from svp.datasets.audio_offset import AudioOffset
from svp.errors import InputError
from svp.media.audio import write_wav
from svp.media.image import write_png


@pytest.fixture(scope="module")
def measure() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts/measure_mini.py"
    spec = importlib.util.spec_from_file_location("measure_mini", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FacelessPipeline:
    """Makes grey videos."""

    def portrait(self, path: Path) -> SimpleNamespace:
        if path.stem == "wall":
            raise InputError(f"{path}: no face found")
        return SimpleNamespace(image=np.zeros((32, 32, 3), np.uint8))

    def __call__(self, *_: object, **__: object) -> "GreyVideo":
        return GreyVideo()


class GreyVideo:
    frames = np.full((6, 32, 32, 3), 128, np.uint8)

    def __len__(self) -> int:
        return len(self.frames)


def test_a_style_without_a_face_is_reported_as_such(
    measure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "find_style", lambda name: name)
    for name in ("ann", "wall"):
        write_png(tmp_path / f"{name}.png", np.zeros((32, 32, 3), np.uint8))
    write_wav(tmp_path / "sound.wav", np.zeros(3200, np.float32))
    pipeline = FacelessPipeline()
    portraits = measure.load_portraits(pipeline, tmp_path)
    assert [path.stem for path in portraits] == ["ann"] and "wall.png: no face found" in capsys.readouterr().err
    options = Namespace(styles=["happy"], steps=1, guidance=None, out=tmp_path)
    (result,) = measure.measure_styles(pipeline, portraits, tmp_path / "sound.wav", options)
    assert (result["portrait"], result["style"], result["face_found"]) == ("ann", "happy", 0.0)
    assert all(result[unit] is None for unit in measure.UNITS)
    json.dumps(result, allow_nan=False)
    assert (tmp_path / "styles.png").is_file()


def test_unknown_frames_are_left_out_of_figures(measure: ModuleType) -> None:
    known = np.arange(10.0)
    holes = known.copy()
    holes[[2, 5]] = np.nan
    assert measure.correlation(2 * known, holes) == pytest.approx(1)
    assert np.isnan(measure.correlation(np.ones(10), known)) and np.isnan(
        measure.correlation(known, np.full(10, np.nan))
    )
    assert measure.median(np.array([np.nan, 1, 3])) == 2 and measure.rounded(measure.median(np.full(3, np.nan))) is None


@pytest.mark.parametrize(("seconds", "certain", "first"), [(0.08, True, -1280), (-0.08, True, 1280), (0.08, False, 0)])
def test_a_sound_is_put_in_step_only_where_the_lips_tell(
    measure: ModuleType, seconds: float, certain: bool, first: int
) -> None:
    sound = np.arange(1, 16001, dtype=np.float32)
    moved = measure.in_step(sound, AudioOffset(seconds, 0.5, 0.3, certain))
    assert len(moved) == len(sound) - first
    np.testing.assert_array_equal(moved[max(-first, 0) :], sound[max(first, 0) :])
