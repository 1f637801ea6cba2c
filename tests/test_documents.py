"""What the documents say to type: commands exist with their options, links lead somewhere, the guide works."""

import importlib
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.core import TyperGroup

sys.path.append(str(Path(__file__).parent / "diffusion"))
from tiny_pipeline import random_style, tiny_pipeline, tone

from svp import workers
from svp.cli import app
from svp.cli.weights import Kind
from svp.diffusion.model_folder import find_model
from svp.jobs.request import VideoJob, read_jobs
from svp.media.audio import read_audio, write_wav
from svp.media.certificate import make_certificate
from svp.media.hashing import weights_sha256
from svp.media.verification import verify_video
from svp.media.video import probe
from workers_here import WorkersHere

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("samples/*.md")])
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "first-steps.md"
SHORT = 7_200  # samples of a recording, 0.45 s


def blocks(page: Path, language: str = "") -> list[str]:
    """The code of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def lines(page: Path) -> list[str]:
    """What it says to type into a shell; a line that goes on is one."""
    joined = "\n".join(blocks(page)).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip()]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Page and arguments of every `svp`; those that leave something open with dots are passed over.

    Within sentences commands are mostly named without their arguments; those with --plan are to be typed.
    """
    for page in PAGES:
        planned = re.findall(r"`(svp [^`]*--plan\b[^`]*)`", page.read_text().replace("\n", " "))
        for line in [*lines(page), *planned]:
            if (found := re.search(r"(?:^|-m )svp(?:\.cli)? (.*)", line)) and not re.search(r"\.\.\.|…", line):
                yield page.name, shlex.split(found[1], comments=True)


def test_every_command_of_the_documents_has_its_options():
    wrong, tried, svp = [], 0, typer.main.get_command(app)
    for page, words in commands():
        name, command, arguments, context = "svp", svp, words, None
        try:
            while isinstance(command, TyperGroup):
                context = command.make_context(name, list(arguments), parent=context)
                name, command, arguments = command.resolve_command(context, list(arguments))
            command.make_context(name, list(arguments), parent=context)
        except typer.TyperException as error:
            wrong.append(f"{page}: svp {shlex.join(words)}: {error.format_message()}")
        tried += 1
        if words[0] == "generate" and "--plan" in words and not {"--audio", "--seconds"} & set(words):
            wrong.append(f"{page}: svp {shlex.join(words)}: plans for no length")
    assert not wrong, "\n".join(wrong)
    assert tried > 60


def test_figures_that_stand_in_two_places_are_the_same():
    kinds = typing.get_args(Kind)
    [others] = re.findall(r"`svp import v-express DOWNLOADED -o model` and (\w+) other kinds", README.read_text())
    assert others == {9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}[len(kinds) - 1]
    weights, clusters = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("weights", "clusters"))
    assert all(f"`{kind}`" in weights for kind in kinds)
    [per_step] = re.findall(r"([\d.]+) TFLOP a step", weights)
    [table] = re.findall(r"A step of 8 samples takes [\d.]+, [\d.]+ and ([\d.]+) TFLOP", clusters)
    assert per_step == table


def test_python_of_the_documents_knows_its_names():
    """Every block can be typed into a fresh interpreter: what it uses it imports or makes."""
    tried = 0
    for page in PAGES:
        for code in blocks(page, "python"):
            checked = subprocess.run(
                [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F811,E9", "-q", "-"],
                input=code, text=True, capture_output=True, check=False,
            )  # fmt: skip
            assert checked.returncode == 0, f"{page.name}: {code}\n{checked.stdout}{checked.stderr}"
            for module, name in re.findall(r"^from (svp[\w.]*) import ([\w, ]+)$", code, re.MULTILINE):
                assert all(hasattr(importlib.import_module(module), part.strip()) for part in name.split(","))
            tried += 1
    assert tried >= 8


def test_every_link_leads_somewhere():
    wrong = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            name, _, anchor = target.partition("#")
            if re.match(r"https?:", name):
                continue
            there = page.parent / name if name else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                wrong.append(f"{page.name}: {target}")
    assert not wrong


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_picture_of_the_readme_shows_the_shipped_weights():
    remedy = "the weights are others now: make demo && cp outputs/demo.png docs"
    with Image.open(ROOT / "docs" / "demo.png") as picture:
        assert picture.info.get("weights_sha256") == weights_sha256(find_model("mini")), remedy


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The samples of the repository in a folder to work in, their recordings cut short."""
    (tmp_path / "samples" / "speech").mkdir(parents=True)
    (tmp_path / "samples" / "portraits").symlink_to(ROOT / "samples" / "portraits")
    for path in (ROOT / "samples" / "speech").glob("*.wav"):
        write_wav(tmp_path / "samples" / "speech" / path.name, read_audio(path)[:SHORT])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_demo_of_the_readme_makes_its_video_and_picture(clone, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import demo

    monkeypatch.setattr(demo, "ROOT", clone)
    monkeypatch.setattr(demo, "SPEECH", clone / "samples" / "speech" / "face.wav")
    demo.main()
    video, shown = clone / "outputs" / "demo.mp4", probe(clone / "outputs" / "demo.mp4")
    assert shown.has_audio and shown.width == 2 * shown.height and verify_video(video).generated
    with Image.open(clone / "outputs" / "demo.png") as picture:
        assert picture.info["weights_sha256"] == weights_sha256(find_model("mini"))


def test_the_guide_can_be_followed(clone, monkeypatch):
    monkeypatch.setattr(workers, "Workers", WorkersHere)
    for line in lines(GUIDE):
        words = shlex.split(line, comments=True)
        if words[0] != "svp":
            subprocess.run(line, shell=True, check=True)
        elif "--jobs" in words:  # what becomes of jobs is tested where they are
            assert [type(job) for job in read_jobs(clone / "jobs.jsonl")] == [VideoJob, VideoJob]
        elif words[1] != "doctor":  # which would hash everything that is installed
            told = app(args=[word if word != "20" else "1" for word in words[1:]], standalone_mode=False)
            assert told in (None, 0)
    [python] = blocks(GUIDE, "python")
    exec(python, {})
    for name in ("ada", "edgar", "trained/ada", "python"):
        assert probe(clone / "outputs" / f"{name}.mp4").has_audio
    assert verify_video(clone / "outputs" / "edgar.mp4").facts["styles"][0]["name"]
    assert (clone / "outputs" / "report.html").stat().st_size > 10_000


def test_python_of_the_readme_and_of_provenance_makes_its_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipeline = tiny_pipeline()
    pipeline.register_to_config(settings=pipeline.settings.model_copy(update={"num_inference_steps": 2}).model_dump())
    pipeline.save_pretrained("mini")  # a folder of this name goes before the shipped model
    random_style(pipeline).save(tmp_path / "somebody.safetensors")
    for name in ("me.jpg", "me.png"):
        with Image.open(ROOT / "samples" / "portraits" / "ada.png") as picture:
            picture.convert("RGB").save(name)
    for name in ("hello.wav", "long_talk.wav"):
        write_wav(tmp_path / name, tone(0.4))
    for name, text in zip(
        ("chain.pem", "key.pem"), make_certificate("Ada Lovelace", "Analytical Engines"), strict=True
    ):
        (tmp_path / name).write_bytes(text)
    [python] = blocks(README, "python")
    exec(python, made := {})
    assert made["frame"].shape == (pipeline.settings.image_size,) * 2 + (3,)
    assert verify_video(tmp_path / "me.mp4").facts["styles"][0]["name"] == "style 0 x1.5"
    verifying, marking = blocks(ROOT / "docs" / "provenance.md", "python")
    exec(marking.replace(', label="AI-generated"', ""), {})  # which is larger than 32 pixels
    exec(verifying, {})
    verified = verify_video(tmp_path / "ada.mp4")
    assert "Ada Lovelace" in verified.signer
