"""What foreign weights may be used for is shown before they are used."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from svp.cli import app
from svp.cli.app import serve
from svp.cli.evaluate import evaluate
from svp.cli.model import load_pipeline
from svp.cli.prepare import prepare
from svp.cli.style import draw
from svp.cli.train import train
from svp.errors import InputError
from svp.weights.provenance import ImportedFile, record_imports
from svp.weights.registry import find_weight


class BegunError(Exception):
    """The work that the terms come before."""


def begin(*given: object, **more: object) -> None:
    raise BegunError


def imported(folder: Path, *kinds: str) -> Path:
    """A folder with records of imports, and files where networks of metrics would lie."""
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        file = folder / kind / "model.safetensors"
        file.write_text("x")
        record_imports(folder, [ImportedFile.of(kind, file, file.name, (kind,))])
    (folder / "model_index.json").write_text("{}")
    return folder


def shown(capsys: pytest.CaptureFixture[str]) -> set[str]:
    return set(capsys.readouterr().err.splitlines())


def test_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    imported(tmp_path / "run" / "model", "v-express", "sd15")
    monkeypatch.setattr("svp.training.options.recipe", lambda *given, **more: None)
    monkeypatch.setattr("svp.training.run.train", begin)
    with pytest.raises(BegunError):
        train("style", tmp_path, tmp_path / "out", init=tmp_path / "run")
    assert shown(capsys) == {find_weight("v-express").notice(), find_weight("sd15").notice()}


def test_before_reproducing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [word for name in "ab" for word in ("--model", str(imported(tmp_path / name, "v-express")))]
    options = ["--data", str(tmp_path), *models, "-o", str(tmp_path / "out")]
    with pytest.raises(InputError, match="has no style encoder"):
        app(args=["reproduce", "table3", *options], standalone_mode=False)
    assert shown(capsys) == {find_weight("v-express").notice()}


def test_before_evaluating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model, weights = imported(tmp_path / "model", "v-express"), imported(tmp_path / "weights", "inception", "i3d")
    monkeypatch.setattr("svp.evaluation.evaluate.evaluate", begin)
    with pytest.raises(BegunError):
        evaluate(model, model, tmp_path / "report.json", metrics="fid", model=model, weights=weights)
    assert shown(capsys) == {find_weight("v-express").notice(), find_weight("inception").notice()}


def test_before_a_model_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "svp.app.server", SimpleNamespace(ServerOptions=None, serving=begin))  # Gradio
    model = imported(tmp_path / "model", "v-express")
    for use in (
        lambda: load_pipeline(str(model)),  # of `svp generate` and `svp style extract`
        lambda: serve(model=model),
        lambda: draw(tmp_path / "data", tmp_path / "map.png", str(model)),
    ):
        with pytest.raises(InputError):  # nothing but records lies there
            use()
        assert shown(capsys) == {find_weight("v-express").notice()}


def test_before_latents_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("svp.datasets.prepare.prepare_folder", begin)
    with pytest.raises(BegunError):
        prepare(tmp_path, tmp_path / "data", latents=imported(tmp_path / "model", "sd-vae-ft-mse"))
    assert shown(capsys) == {find_weight("sd-vae-ft-mse").notice()}


def test_once_before_many_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "a.wav"):
        (tmp_path / name).write_text(name)
    for name in "ab":
        imported(tmp_path / name, "v-express")
    imported(tmp_path / "unused", "sd15")
    lines = [{"portrait": "a.png", "audio": "a.wav", "model": model} for model in "aab"]
    (tmp_path / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr("svp.jobs.run.features_of", begin)
    with pytest.raises(BegunError):
        app(args=["generate", "--jobs", str(tmp_path / "jobs.jsonl"), "-o", str(tmp_path)], standalone_mode=False)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("V-Express")]
    assert told == [find_weight("v-express").notice()]
