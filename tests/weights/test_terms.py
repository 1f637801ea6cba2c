"""What foreign weights may be used for is shown before they are used."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parents[1] / "diffusion"))
from tiny_pipeline import tiny_pipeline

from published_weights import FakeI3D, FakeInception, publish_scripted
from svp import weights
from svp.cli import app
from svp.cli.app import serve
from svp.cli.evaluate import evaluate
from svp.cli.model import load_pipeline
from svp.cli.prepare import prepare
from svp.cli.style import draw
from svp.cli.train import train
from svp.datasets import extract
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.speech.alpha import load_audio_encoder
from svp.weights import terms
from svp.weights.provenance import ImportedFile, record_imports
from svp.weights.registry import find_weight

Told = Callable[[], dict[str, str]]


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


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What was told since it was asked for last and how urgently, by a process that had told nothing before."""
    monkeypatch.setattr(logging.getLogger("svp"), "propagate", True)  # another test may have used the command line
    caplog.set_level(logging.INFO, "svp")
    terms._tell.cache_clear()

    def lines() -> dict[str, str]:
        records = [record for record in caplog.records if record.name == terms.__name__]
        found = {record.getMessage(): record.levelname for record in records}
        assert len(found) == len(records)  # nothing twice
        caplog.clear()
        terms._tell.cache_clear()
        return found

    return lines


def notices(*kinds: str) -> dict[str, str]:
    """The lines of these weights; free ones are no warnings."""
    free = [kind for kind in kinds if find_weight(kind).use == "any use"]
    return {find_weight(kind).notice(): "INFO" if kind in free else "WARNING" for kind in kinds}


def test_before_python_opens_a_model(tmp_path: Path, told: Told) -> None:
    tiny_pipeline().save_pretrained(tmp_path)
    for kind in ("v-express", "sd-vae-ft-mse"):
        record_imports(tmp_path, [ImportedFile.of(kind, tmp_path / "model_index.json", kind, (kind,))])
    for _ in range(2):  # told once
        SVPPipeline.from_pretrained(tmp_path)
    lines = told()
    assert lines == notices("v-express", "sd-vae-ft-mse") and set(lines.values()) == {"WARNING", "INFO"}
    SVPPipeline.from_pretrained("mini")
    assert not told()


def test_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    imported(tmp_path / "run" / "model", "v-express", "sd15")
    monkeypatch.setattr("svp.training.options.recipe", lambda *given, **more: None)
    monkeypatch.setattr("svp.datasets.prepared.PreparedDataset.__init__", lambda self, root: None)
    monkeypatch.setattr("svp.training.run.train", begin)
    with pytest.raises(BegunError):
        train("style", tmp_path, tmp_path / "out", init=tmp_path / "run")
    assert told() == notices("v-express", "sd15")


def test_before_reproducing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    monkeypatch.setattr("svp.datasets.prepared.PreparedDataset.__init__", lambda self, root: None)
    models = [word for name in "ab" for word in ("--model", str(imported(tmp_path / name, "v-express")))]
    options = ["--data", str(tmp_path), *models, "-o", str(tmp_path / "out")]
    with pytest.raises(InputError, match="has no style encoder"):
        app(args=["reproduce", "table3", *options], standalone_mode=False)
    assert told() == notices("v-express")


def test_before_evaluating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    model, weights = imported(tmp_path / "model", "v-express"), imported(tmp_path / "weights", "inception", "i3d")
    monkeypatch.setattr("svp.evaluation.evaluate.evaluate", begin)
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").touch()
    with pytest.raises(BegunError):
        evaluate(videos, videos, tmp_path / "report.json", metrics="fid", model=model, weights=weights)
    assert told() == notices("v-express", "inception")


def test_before_a_model_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    monkeypatch.setitem(
        sys.modules, "svp.app.server", SimpleNamespace(ServerOptions=None, need_port=lambda *_: None, serving=begin)
    )  # Gradio
    model = imported(tmp_path / "model", "v-express")
    for look in ("model_folder.check_model_folder", "untrained.check_trained"):  # at headers, before any use
        monkeypatch.setattr(f"svp.diffusion.{look}", lambda *_, **__: None)
    for use in (
        lambda: load_pipeline(str(model)),  # of `svp generate` and `svp style extract`
        lambda: serve(model=model),
        lambda: draw(tmp_path / "data", tmp_path / "map.png", str(model)),
    ):
        with pytest.raises(InputError):  # nothing but records lies there
            use()
        assert told() == notices("v-express")


def test_before_latents_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    monkeypatch.setattr("svp.datasets.prepare.prepare_folder", begin)
    with pytest.raises(BegunError):
        prepare(tmp_path, tmp_path / "data", latents=imported(tmp_path / "model", "sd-vae-ft-mse"))
    assert told() == notices("sd-vae-ft-mse")


def test_before_features_are_made_for_a_dataset(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    encoders = {name: SimpleNamespace(id=name) for name in ("wav2vec2-base-960h", "whisper-tiny/normed", "log-mel")}
    monkeypatch.setattr(extract, "load_audio_encoder", encoders.__getitem__)
    for name, kinds in zip(encoders, (["wav2vec2"], ["whisper"], []), strict=True):
        for _ in range(2):  # told once
            assert extract.shared_audio_encoder(name).id == name
        assert told() == notices(*kinds)
    extract.shared_audio_encoder.cache_clear()


def test_an_encoder_of_unknown_origin_is_not_called_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    monkeypatch.setattr(extract, "load_audio_encoder", lambda name: SimpleNamespace(id="whisper-tiny/normed"))
    own = tmp_path / "own" / "audio_encoder"
    own.mkdir(parents=True)
    (own / "model.safetensors").write_text("x")
    for name in ("some/whisper", str(own), f"{own.parent}/raw"):
        extract.shared_audio_encoder(name)
        [(line, level)] = told().items()
        assert "unknown, no" in line and level == "WARNING"
    record_imports(own.parent, [ImportedFile.of("whisper", own / "model.safetensors", "tiny.pt", ("audio_encoder",))])
    for name in (str(own), f"{own.parent}/normed"):
        extract.shared_audio_encoder.cache_clear()
        extract.shared_audio_encoder(name)
        assert told() == notices("whisper")
    extract.shared_audio_encoder.cache_clear()


@pytest.mark.parametrize("kind", ["inception", "i3d"])
def test_a_program_that_is_not_the_published_one_has_no_known_terms(kind: str, tmp_path: Path, told: Told) -> None:
    file = publish_scripted(FakeInception() if kind == "inception" else FakeI3D(), tmp_path / kind / "model.pt")
    for path in (file, file.parent):
        getattr(weights, f"load_{kind}")(path, trust_script=True)
        [(line, level)] = told().items()
        assert "unknown, not the published file" in line and level == "WARNING"
    record_imports(tmp_path, [ImportedFile.of(kind, file, file.name, (kind,))])
    getattr(weights, f"load_{kind}")(file.parent)
    assert told() == notices(kind)


def test_before_a_dataset_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    extract.shared_audio_encoder.cache_clear()
    monkeypatch.setattr(extract, "load_audio_encoder", lambda name: SimpleNamespace(id=name))
    monkeypatch.setattr("svp.datasets.prepare.DatasetWriter", begin)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").touch()
    with pytest.raises(BegunError):
        prepare(tmp_path / "clips", tmp_path / "data", audio_features="wav2vec2-base-960h")
    assert told() == notices("wav2vec2")
    extract.shared_audio_encoder.cache_clear()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("whisper-tiny.en/normed", "whisper"), ("wav2vec2-base-960h", "wav2vec2"), ("some/whisper", None)],
)
def test_before_a_fetched_encoder_of_sound_is_read(
    name: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    monkeypatch.setattr("svp.speech.whisper.local_folder", lambda repository: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repository, **more: str(tmp_path))
    for _ in range(2):
        with pytest.raises(InputError):  # nothing lies there
            load_audio_encoder(name)
    lines = told()
    if kind is None:
        [(line, level)] = lines.items()
        assert line.startswith("some/whisper: unknown") and level == "WARNING"
    else:
        assert lines == notices(kind) and set(lines.values()) == {"INFO"}
    monkeypatch.setattr("svp.speech.whisper.local_folder", lambda repository: tmp_path)
    with pytest.raises(InputError):  # fetching tells, whoever put there what lies on this machine
        load_audio_encoder(name)
    assert not told()


def test_when_whisper_comes_from_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    def offline(*given: object, **more: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("svp.speech.whisper.local_folder", lambda repository: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    monkeypatch.setattr("svp.speech.whisper.whisper_from_package", lambda: tmp_path)
    with pytest.raises(InputError):
        load_audio_encoder("whisper-tiny.en/normed")
    assert told() == notices("whisper")
    with pytest.raises(InputError):
        load_audio_encoder("whisper-tiny/normed")  # fetched from nowhere
    assert not told()


@pytest.mark.parametrize("kind", ["deep3d", "i3d", "inception", "styletalk", "syncnet"])
def test_before_python_loads_a_network_that_measures(kind: str, tmp_path: Path, told: Told) -> None:
    load = getattr(weights, f"load_{kind}")
    file = tmp_path / "published.file"
    file.write_text("x")
    for _ in range(2):
        with pytest.raises(InputError):  # it is no network
            load(file)
    assert told() == notices(kind)
    record_imports(tmp_path, [ImportedFile.of(kind, file, file.name, (kind,)).of_unknown_origin()])
    (tmp_path / kind).mkdir()
    file.rename(tmp_path / kind / "model.safetensors")
    with pytest.raises(InputError):
        load(tmp_path / kind)
    [(line, level)] = told().items()  # as its record says
    assert "unknown, not the published file" in line and level == "WARNING"


def test_once_before_many_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
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
    assert told() == notices("v-express")
