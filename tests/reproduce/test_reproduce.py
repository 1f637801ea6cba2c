"""`svp reproduce` from a dataset to its files: figures against loops by hand, same seed same bytes, refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from svp.cli import app
from svp.datasets.manifest import MANIFEST_NAME, read_manifest, write_manifest
from svp.datasets.prepared import PreparedDataset
from svp.errors import InputError
from svp.media.image import read_image
from svp.reproduce.models import load_models
from svp.reproduce.table3 import measure_table3
from svp.reproduce.table3_page import table3_markdown
from svp.reproduce.table3_plots import clustering_plot, probe_plot
from svp.style.encoder import StyleEncoder
from tiny_styles import make_model

EMOTIONS = ("neutral", "happy", "sad")


def run(name: str, data: Path, models: list[Path], output: Path, *more: object) -> None:
    chosen = [part for model in models for part in ("--model", str(model))]
    arguments = ["reproduce", name, "--data", str(data), *chosen, "-o", str(output), *map(str, more)]
    app(args=arguments, standalone_mode=False)


@pytest.fixture()
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bootstrap that takes no time."""
    monkeypatch.setattr("svp.reproduce.interval.RESAMPLES", 60)


@pytest.fixture(scope="module")
def table(style_dataset: Path, style_models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table3")
    run("table3", style_dataset, style_models[:2], folder)
    return folder


def read(folder: Path, name: str = "table3") -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def mu(model: Path, data: Path, modality: str) -> tuple[list, np.ndarray]:
    """Labelled clips of unseen people and their means, by hand."""
    dataset, encoder = PreparedDataset(data), StyleEncoder.from_pretrained(model / "style_encoder").eval()
    rows = [row for row in dataset.accepted() if row.split != "train" and row.emotion != "unknown"]
    if modality == "audio":
        rows = [row for row in rows if row.has_sound]
    codes = []
    for row in rows:
        clip = dataset.clip(row.clip_id)
        beta, alpha = (torch.from_numpy(clip.features(n)).float()[None] for n in ("expression", "audio"))
        given = (beta if "expression" in modality else None, alpha if "audio" in modality else None)
        with torch.no_grad():
            codes.append(encoder(*given, torch.ones(1, row.frames, dtype=torch.bool)).mean[0].numpy())
    return rows, np.array(codes, np.float64)


@pytest.mark.parametrize("modality", ["audio", "expression", "audio and expression"])
def test_clustering_retrieval_and_intensity_equal_loops(table, style_dataset, style_models, modality):
    found = next(row for row in read(table)["rows"] if row["input"] == modality)
    for number, model in enumerate(style_models[:2]):
        rows, codes = mu(model, style_dataset, modality)
        assert found["clips"] == len(rows) and found["missing"] == (1 if modality == "audio" else 0)
        gap = np.linalg.norm(codes[:, None] - codes, axis=-1)
        spans = range(len(rows))
        for emotion in EMOTIONS:
            strengths = []
            for who in ("ann", "bob", "cid"):
                own = [k for k in spans if rows[k].identity == who and rows[k].emotion == emotion]
                rest = [k for k in spans if rows[k].identity == who and rows[k].emotion != emotion]
                if len(own) > 1:
                    intra = np.mean([gap[i, j] for i in own for j in own if i != j])
                    strengths.append(np.mean([gap[i, j] for i in own for j in rest]) / intra)
            assert found["clustering"]["emotions"][emotion]["models"][number] == pytest.approx(
                np.mean(strengths), rel=1e-4
            )
            assert found["clustering"]["identities"][emotion] == len(strengths)
        right = []
        for k in spans:
            others = [n for n in spans if rows[n].identity != rows[k].identity]
            right.append(rows[min(others, key=lambda n: gap[k, n])].emotion == rows[k].emotion)
        assert found["retrieval"]["models"][number] == pytest.approx(np.mean(right), abs=1e-5)
        centre = {
            who: codes[[r.identity == who and r.emotion == "neutral" for r in rows]].mean(0)
            for who in ("ann", "bob", "cid")
        }
        for emotion in ("happy", "sad"):
            own = [k for k in spans if rows[k].emotion == emotion]
            distances = [np.linalg.norm(codes[k] - centre[rows[k].identity]) for k in own]
            pooled = spearmanr(distances, [rows[k].intensity for k in own]).statistic
            assert found["intensity_pooled"]["emotions"][emotion]["models"][number] == pytest.approx(pooled, abs=1e-4)


def test_the_files_are_there_and_say_what_was_measured(table, style_models):
    assert {path.name for path in table.iterdir()} == {
        "table3.json", "table3.md", "table3.png", "table3_probes.png"
    }  # fmt: skip
    assert all(read_image(path).std() > 5 for path in table.glob("*.png"))
    setting, text = read(table)["setting"], (table / "table3.md").read_text()
    assert setting["dataset"]["made_of"].startswith("puppets")
    assert setting["dataset"]["splits"] == ["test", "val"] and setting["dataset"]["identities"] == 3
    assert setting["dataset"]["clips"] == {"neutral": 6, "happy": 6, "sad": 6, "unknown": 3}
    assert setting["seed"] == 0 and "scikit-learn" in setting["versions"] and "--split unseen" in setting["command"]
    assert [model["name"] for model in setting["models"]] == list(map(str, style_models[:2]))
    for line in ("of 3 of 21 clips the emotion is unknown", "clips without audio: 1;", "Student's t", "other data"):
        assert line in text
    assert read(table)["paper"]["audio and expression"]["happy"] == 8.38 and setting["machine"].endswith("cores")
    assert "| input | angry | contempt | disgusted | happy | neutral | sad | mean |" in text
    assert "| *paper, other data (MEAD): style + audio* | 6.57 | 5.64 | 7.63 | 8.38 | – | – | |" in text


def test_probes_have_a_row_per_kind(style_dataset, style_models, table, few_draws):
    """Folders say in their configuration of which kind their encoder is."""
    probes = read(table)["probes"]
    assert {row["kind"] for row in probes} == {"probabilistic"}
    assert {(row["reads"], row["labels"]) for row in probes} == {
        ("identity", 3), ("identity, emotion taken out", 3), ("emotion", 3)
    }  # fmt: skip
    first, second = load_models([str(model) for model in style_models[:2]])
    second = replace(second, kind="deterministic")
    both = measure_table3(PreparedDataset(style_dataset), [second, first], selection="unseen", seed=0, command="")
    assert [row.kind for row in both.probes] == ["probabilistic"] * 6 + ["deterministic"] * 6
    assert all("one model" in text for text in both.intervals.values())
    text = table3_markdown(both)
    assert "| expression, deterministic |" in text and "| identity | deterministic |" in text
    labels = {text.get_text() for text in probe_plot(both).axes[0].get_legend().get_texts()}
    assert labels == {f"{code}, {kind}" for code in ("sampled s", "mean mu") for kind in both.intervals} | {"chance"}
    within, across = clustering_plot(both).axes
    labels = [text.get_text() for text in within.get_legend().get_texts()]
    assert len(labels) == 8 and labels.count("paper, other data (MEAD)") == 1
    assert len(across.containers) == 7  # three inputs of two kinds, and the baseline


def test_the_same_seed_gives_the_same_bytes(style_dataset, style_models, tmp_path, few_draws):
    files = {"table3": "table3.json", "figure5": "figure5.json"}
    for name, file in files.items():
        run(name, style_dataset, style_models[:1], tmp_path, "--seed", 4)
        before = (tmp_path / file).read_bytes()
        run(name, style_dataset, style_models[:1], tmp_path, "--seed", 4)
        assert (tmp_path / file).read_bytes() == before
    assert "bootstrap over the identities" in read(tmp_path)["intervals"]["probabilistic"]
    happy = read(tmp_path)["rows"][2]["clustering"]["emotions"]["happy"]
    assert happy["low"] < happy["mean"] < happy["high"]


def test_figure5_has_a_map_per_model_and_input(style_dataset, style_models, tmp_path):
    run("figure5", style_dataset, style_models[:2], tmp_path)
    maps = read(tmp_path, "figure5")["maps"]
    assert [one["input"] for one in maps[:3]] == ["audio and expression", "expression", "audio"]
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {one["picture"] for one in maps} and len(pictures) == 6
    for one in maps:
        assert one["picture"] in (tmp_path / "figure5.md").read_text()
        assert len(one["points"]) == (17 if one["input"] == "audio" else 18)
        assert 0.4 < one["trustworthiness"] <= 1 and 0 <= one["nearest_on_map"] <= 1


def test_what_cannot_be_measured_is_said_in_one_line(style_dataset, style_models, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="too few identities of known emotion in split val, 1 where 2 are needed"):
        run("table3", style_dataset, style_models[:1], out, "--split", "val")
    with pytest.raises(InputError, match="same style encoder"):
        run("table3", style_dataset, [style_models[0], make_model(tmp_path / "copy", 0)], out)
    with pytest.raises(InputError, match="no such model"):
        run("figure5", style_dataset, [tmp_path / "nowhere"], out)
    broken = make_model(tmp_path / "broken", 5)
    shutil.rmtree(broken / "style_encoder")
    with pytest.raises(InputError, match="style_encoder"):
        run("table3", style_dataset, [broken], out)
    unnamed = shutil.copytree(style_dataset, tmp_path / "unnamed")
    rows = [row.model_copy(update={"emotion": "unknown"}) for row in read_manifest(unnamed / MANIFEST_NAME)]
    write_manifest(unnamed / MANIFEST_NAME, rows)
    with pytest.raises(InputError, match=r"emotion is unknown; name emotions in clips\.csv"):
        run("table3", unnamed, style_models[:1], out)
    assert not list(out.glob("*"))


def test_one_clip_per_emotion_leaves_the_paper_table_empty_and_says_so(
    style_dataset, style_models, tmp_path, few_draws
):
    single = shutil.copytree(style_dataset, tmp_path / "single")
    kept = [r for r in read_manifest(single / MANIFEST_NAME) if r.clip_id.split("_")[1] in "0246"]
    write_manifest(single / MANIFEST_NAME, kept)
    run("table3", single, style_models[:1], tmp_path / "out")
    row = read(tmp_path / "out")["rows"][0]
    assert row["clustering"]["mean"]["mean"] is None and row["clustering_across"]["mean"]["mean"] > 0
    assert "--clips-per-emotion 3" in (tmp_path / "out" / "table3.md").read_text()
