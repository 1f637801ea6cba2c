"""Measuring the controls: the figures of performers whose response to every control is known."""

import importlib.util
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from svp.datasets.emotions import EMOTIONS
from svp.datasets.visemes import expand
from svp.errors import InputError
from svp.face.fit import fit_clip
from svp.face.gaze import lid_opening, units_of_offsets
from svp.face.head_kps import PUPILS, head_kps
from svp.face.model import FaceModel
from svp.face.motion import HeadMotion, apply_to_portrait
from svp.face.pose import Pose
from svp.face.topology import EYE_CORNERS_LEFT, EYE_CORNERS_RIGHT
from svp.media.audio import write_wav
from svp.media.image import write_png
from svp.speech.loudness import loudness

pytestmark = pytest.mark.long

SECONDS = 0.4  # the ten frames that a correlation asks for
CONTROLS = {"audio", "style", "strength", "head motion", "gaze"}


@pytest.fixture(scope="module")
def measure() -> ModuleType:
    scripts = Path(__file__).parents[1] / "scripts"
    spec = importlib.util.spec_from_file_location("measure_controls", scripts / "measure_controls.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(scripts)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shots(measure: ModuleType) -> ModuleType:
    return sys.modules["control_shots"]


# ---------------------------------------------------------------------- a performer


@dataclass(frozen=True)
class Style:
    name: str
    strength: float = 1.0

    def scale(self, strength: float) -> "Style":
        return replace(self, strength=strength)


@dataclass
class Video:
    frames: np.ndarray
    track: np.ndarray

    def save(self, path: Path) -> None:
        path.write_bytes(b"mp4")


class Performer:
    """Its face obeys: the jaw the sound, the emotion's units the style and strength, head and eyes the motion.

    `deaf_to` names controls that it ignores; `hidden` a style and strength at which no face is seen.
    """

    def __init__(self, *deaf_to: str, hidden: tuple[str, float] = ("", 0.0)) -> None:
        self.deaf_to, self.hidden, self.last = deaf_to, hidden, np.zeros(0)

    def portrait(self, path: Path) -> str:
        if path.stem == "a_wall":
            raise InputError(f"{path}: no face found")
        return path.stem

    def style(self, file: Path) -> Style:
        return Style(file.stem.rpartition("_")[0])

    def __call__(
        self, portrait: str, audio: np.ndarray, style: Style, head_motion: HeadMotion, *,
        seed: int, num_inference_steps: int, guidance_scale: float,
    ) -> Video:  # fmt: skip
        model, n = FaceModel.load(), round(len(audio) / 640)
        strength = min(style.strength, 1.0) if "strength" in self.deaf_to else style.strength
        mood = EMOTIONS["neutral" if "style" in self.deaf_to else style.name].units
        expression = np.tile(0.4 * strength * expand(mood, model.unit_names), (n, 1))
        expression[:, model.unit("jawOpen")] = 0.2 + 0.4 * loudness(audio, n)
        gaze = np.zeros((n, 2)) if "gaze" in self.deaf_to else head_motion.gaze
        expression += units_of_offsets(gaze, model)
        still = HeadMotion.still(n) if "head motion" in self.deaf_to else head_motion
        shape = model.shape(np.full(len(model.identity), len(portrait) % 3 * 0.4), expression)
        track = Pose(still.rotation, np.tile([64.0, 64, 0], (n, 1)), np.full(n, 25.0)).place(shape)
        track = track + np.random.default_rng(seed).normal(0, 0.1, track.shape)
        if (style.name, style.strength) == self.hidden:
            track[: n - 2] = np.nan
        return Video(np.full((n, 16, 16, 3), 128, np.uint8), track.astype(np.float32))


def performed(
    measure: ModuleType, shots: ModuleType, performer: Performer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict:
    """The report on a performer with one portrait."""
    portraits, out, rng = folder / "portraits", folder / "out", np.random.default_rng(0)
    portraits.mkdir()
    for name in ("a_wall", "ann"):
        write_png(portraits / f"{name}.png", np.zeros((16, 16, 3), np.uint8))
    for name in "AB":
        beats = np.repeat(rng.uniform(0.0, 0.5, 6), 1600)
        write_wav(folder / f"{name}.wav", (beats * rng.normal(0, 0.5, len(beats))).astype(np.float32))
    made: list[Video] = []

    class Recorded(Performer):
        @classmethod
        def from_pretrained(cls, model: str) -> "Recorded":
            return cls(*performer.deaf_to, hidden=performer.hidden)

        def __call__(self, *given: object, **options: object) -> Video:
            made.append(super().__call__(*given, **options))
            return made[-1]

    monkeypatch.setattr(measure, "SVPPipeline", Recorded)
    monkeypatch.setattr(measure, "EMBEDDED", False)
    monkeypatch.setattr(shots, "look", lambda frames: shots.Take(made[-1].track, frames[0], None))
    sounds = ["--audio", folder / "A.wav", folder / "B.wav", "--seconds", SECONDS]
    arguments = ["mini", portraits, out, *sounds, "--portraits", 1]
    monkeypatch.setattr(sys, "argv", ["measure_controls.py", *map(str, arguments)])
    assert measure.main() == 0
    assert len(list(out.glob("ann_*.mp4"))) == len(made) == len(shots.all_shots())
    assert all((out / name).stat().st_size for name in ("matrix.png", "strength.png", "strength_ann.png"))
    return json.loads((out / "controls.json").read_text())


def test_a_face_that_obeys_passes(
    measure: ModuleType,
    shots: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = performed(measure, shots, Performer(), tmp_path, monkeypatch)
    assert "a_wall.png: no face found" in capsys.readouterr().err
    assert {name for name, found in report["matrix"]["controls"].items() if found["holds"]} == CONTROLS
    for figures in report["strength"]["styles"].values():
        assert figures["monotonic"] and figures["keeps_sound"] and min(figures["lip_sound"]) > 0.9
    changes = report["matrix"]["changes"]
    assert changes["gaze"]["gaze"] == pytest.approx(20, abs=4), "of 0.2 eye widths"
    assert changes["audio"]["expression"] < 0.1 * changes["style"]["expression"]
    assert (
        report["options"]["seed"] == 0 and report["options"]["steps"] is None and "--portraits 1" in report["command"]
    )


def test_what_a_face_ignores_or_hides_is_told(
    measure: ModuleType, shots: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    performer = Performer("strength", "gaze", hidden=("sad", 0.5))
    report = performed(measure, shots, performer, tmp_path, monkeypatch)
    holds = {name: found["holds"] for name, found in report["matrix"]["controls"].items()}
    assert {name for name, held in holds.items() if held} == {"audio", "style", "head motion"}
    in_noise = report["matrix"]["in_noise"]
    assert in_noise["strength"]["expression"] < 0.5 < 20 < in_noise["style"]["expression"]
    sad, happy = (report["strength"]["styles"][style] for style in ("sad", "happy"))
    assert report["left_out"] == {"ann": ["sad_x0.5"]}
    assert sad["intended_weight"][2] is None and sad["lip_sound"][2] is None
    assert not sad["monotonic"] and not sad["keeps_sound"] and sad["largest_drop_from_1"] is None
    assert happy["keeps_sound"] and None not in happy["intended_weight"]


# ---------------------------------------------------------------------- single parts


def test_strength_figures(measure: ModuleType) -> None:
    rising, steady = np.linspace(0, 1, 9) ** 2, np.full(9, 0.6)
    falling = steady.copy()
    falling[-1] = 0.45
    good = measure.strength_figures(rising, steady)
    assert good["spearman"] == pytest.approx(1) and good["monotonic"] and good["keeps_sound"]
    late = measure.strength_figures(rising, falling)
    assert late["largest_drop_from_0"] == pytest.approx(0.15) and not late["keeps_sound"]
    better = measure.strength_figures(rising, falling[::-1])
    assert better["largest_drop_from_0"] == 0 and better["largest_drop_from_1"] == pytest.approx(0.15)
    assert measure.strength_figures(-rising, steady)["spearman"] == pytest.approx(-1)
    turning = np.minimum(rising, 0.6 - rising / 2)  # rises to strength 1.25 and falls again
    assert 0 < measure.strength_figures(turning, steady)["spearman"] < 0.9
    assert not measure.strength_figures(turning, steady)["monotonic"]
    unmoved = measure.strength_figures(np.ones(9), steady)
    assert np.isnan(unmoved["spearman"]) and not unmoved["monotonic"]


def test_changes_are_told_in_units_of_noise(measure: ModuleType) -> None:
    noise = {"mouth": 0.2, "expression": 0.01, "head": 0.5, "gaze": 2.0, "identity": 0.0}
    still = dict.fromkeys(noise, 0.0)
    raw = {
        "audio": still | {"mouth": 1.0, "gaze": 4.0},
        "style": still | {"expression": 0.05, "mouth": 1.6},
        "strength": still | {"expression": 0.02},
        "head motion": still | {"head": 5.0, "expression": 0.03, "gaze": 9.0},
        "gaze": still | {"gaze": 8.0, "head": float("nan")},
    }
    ratios = {control: measure.in_noise(row, noise) for control, row in raw.items()}
    assert ratios["audio"]["mouth"] == pytest.approx(5) and ratios["gaze"]["gaze"] == pytest.approx(4)
    assert np.isnan(ratios["style"]["identity"]), "a quantity that seeds leave alone has no unit"
    found = measure.verdicts(ratios)
    sides = {name: (each["moves_its_own_most"], each["its_own_is_moved_most_by_it"]) for name, each in found.items()}
    assert sides == {
        "audio": (True, False),  # the style moves the mouth further
        "style": (False, True),  # and that more than the expression
        "strength": (True, False),  # moving the head changes the expression further; style is no rival
        "head motion": (True, True),
        "gaze": (True, False),
    }
    assert [name for name, each in found.items() if each["holds"]] == ["head motion"]
    assert measure.json_ready(ratios["style"])["identity"] is None


def test_shots_differ_in_one_control(shots: ModuleType) -> None:
    changes = [shots.NOISE, *(change for of_control in shots.CHANGES.values() for change in of_control)]
    for before, after in changes:
        assert sum(vars(before)[key] != vars(after)[key] for key in vars(before)) == 1
    every = shots.all_shots()
    assert len(set(map(str, every))) == len(set(every)) == len(every), "each has a file of its own"
    for style, units in shots.INTENDED.items():
        assert all(EMOTIONS[style].units[unit] >= 0.9 for unit in units)
        assert [shot.strength for shot in shots.at_strengths(style)] == list(shots.STRENGTHS)


def test_gaze_moves_the_pupils_alone_and_the_head_all_points(shots: ModuleType) -> None:
    model = FaceModel.load()
    landmarks = (model.neutral * 25 + np.array([64, 64, 0])).astype(np.float32)
    fit, sound = fit_clip(landmarks[None]), np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    rest = head_kps(landmarks)

    def points(shot: object) -> np.ndarray:
        return apply_to_portrait(landmarks, fit, shots.head_motion(shot, sound, 0))

    np.testing.assert_array_equal(points(shots.BASE), np.tile(rest, (25, 1, 1)))
    moved = points(shots.Shot(aside=shots.ASIDE)) - rest
    assert np.abs(np.delete(moved, PUPILS, axis=1)).max() == 0
    assert lid_opening(landmarks[None]).min() > 0.2, "the eyes are open"
    for pupil, corners in zip(PUPILS, (EYE_CORNERS_RIGHT, EYE_CORNERS_LEFT), strict=True):
        width = np.linalg.norm(landmarks[corners[0], :2] - landmarks[corners[1], :2])
        np.testing.assert_allclose(moved[:, pupil, 0] / width, shots.ASIDE, atol=0.02)
        assert (rest[pupil] + moved[0, pupil])[0] < landmarks[list(corners), 0].max()
    turned = points(shots.Shot(moving=True))
    assert np.isfinite(turned).all(), "no blinks"
    assert (np.ptp(turned, axis=0).max(axis=1) > 0.5).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--seconds", "9"], "A.wav: shorter than 9 s"),
        (["--portraits", "0"], "--portraits 0: nothing to measure"),
        (["--audio", "A.wav", "none.wav"], "none.wav: no such file"),
    ],
)
def test_bad_input_is_one_line(
    measure: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav("A.wav", np.zeros(48000, np.float32))
    arguments = ["mini", "portraits", "out", "--audio", "A.wav", "A.wav", *change]
    monkeypatch.setattr(sys, "argv", ["measure_controls.py", *arguments])
    assert measure.main() == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1 and not Path("out").exists()


def test_a_folder_without_portraits_is_bad_input(measure: ModuleType, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="no portrait"):
            measure.find_portraits(Performer(), folder, 2)
