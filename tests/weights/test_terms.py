"""What foreign weights may be used for is shown before they are used."""

from pathlib import Path

import pytest

from svp.cli import app
from svp.cli.evaluate import evaluate
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
