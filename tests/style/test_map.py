"""The map of styles: like codes lie together, and the picture shows emotion and intensity."""

from pathlib import Path

import numpy as np
import pytest

from svp.cli import app
from svp.datasets.manifest import ClipRow
from svp.errors import InputError
from svp.media.image import read_image
from svp.style.map import COLOURS, draw_map, emotion_colours, in_order, project, rendered


def run(*arguments: object) -> None:
    app(args=["style", "map", *map(str, arguments)], standalone_mode=False)


def row(number: int, emotion: str, intensity: int) -> ClipRow:
    return ClipRow(
        clip_id=f"c{number}", source="s", sha256="0", identity="a", emotion=emotion, intensity=intensity, frames=1
    )


def test_clusters_stay_clusters_and_the_seed_decides() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.eye(3, 10) * 20, 8, axis=0) + rng.normal(0, 0.1, (24, 10))
    points = project(codes, seed=1)
    assert np.array_equal(points, project(codes, seed=1))
    centres = points.reshape(3, 8, 2).mean(1)
    nearest = np.linalg.norm(points[:, None] - centres, axis=-1).argmin(1)
    assert np.array_equal(nearest, np.arange(24) // 8)
    with pytest.raises(ValueError, match="needs 5"):
        project(codes[:4], seed=0)


def test_colour_is_emotion_and_darkness_intensity() -> None:
    rows = [row(1, "happy", 3), row(2, "happy", 1), row(3, "neutral", 0), row(4, "bored", 2)]
    figure = draw_map(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), rows, "title")
    dots = figure.axes[0].collections[0]
    places = [tuple(place) for place in dots.get_offsets()]
    strong, weak = (dots.get_facecolors()[places.index(place)][:3] for place in ((0.0, 0.0), (1.0, 0.0)))
    assert strong.sum() < weak.sum() and dots.get_sizes()[places.index((0.0, 0.0))] > 20
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["neutral (1)", "happy (2)", "bored (1)", "intensity 1", "intensity 2", "intensity 3"]
    assert rendered(figure).shape[2] == 3 and rendered(figure).std() > 5
    assert in_order({"zeal", "sad", "neutral", "bored"}) == ["neutral", "sad", "bored", "zeal"]
    assert emotion_colours(["sad", "bored"])["sad"] == COLOURS["sad"]


def test_the_command_draws_the_unseen_people_that_are_labelled(
    style_dataset: Path, style_models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("map.png", "again.png"):
        run(style_dataset, "--model", style_models[0], "-o", tmp_path / name)
    assert "18 clips of 3 people; 3 of unknown emotion left out" in capsys.readouterr().out
    assert read_image(tmp_path / "map.png").shape[1] > 500
    assert (tmp_path / "map.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    run(style_dataset, "--model", style_models[0], "--split", "val", "--seed", 1, "-o", tmp_path / "one.png")
    assert "6 clips of 1 person" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"must end in \.png"):
        run(style_dataset, "-o", tmp_path / "map.jpg")
    with pytest.raises(InputError, match="no prepared dataset"):
        run(tmp_path, "-o", tmp_path / "map.png")
    with pytest.raises(InputError, match="the style encoder was trained on arkit-52/1"):
        run(style_dataset, "-o", tmp_path / "none.png")  # the shipped model
    assert not (tmp_path / "none.png").exists()
