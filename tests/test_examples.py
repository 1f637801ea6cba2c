"""The examples of the documents run as they stand, with small files of the names they give."""

import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image

from test_documents import ROOT, blocks, lines

sys.path.append(str(Path(__file__).parent / "evaluation"))
from talking_clips import performed

from svp.cli import app
from svp.jobs.request import VideoJob, read_jobs
from svp.media.audio import read_audio, write_wav
from svp.media.verification import verify_video
from svp.media.video import VideoWriter, probe

PORTRAITS = ("ada.png", "me.png", "me.jpg", "family.jpg", "cartoon.png", "two.jpg", "felix.jpg")
SOUNDS = ("hello.wav", "bye.wav", "samples/speech/road.wav")
CLIPS = ("clip_of_somebody.mp4", "dance.mp4", "clips/maria.mp4", "clips/nod.mp4")
SAMPLES = 4_800  # of a recording, 0.3 s
FRAMES = 50  # of a clip, the fewest that tell how a head moves
ELSEWHERE = ("--jobs", "app", "doctor")  # tested where they are: they make many videos, wait, or hash what is installed

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "samples" / "speech").mkdir(parents=True)
    (folder / "clips").mkdir()
    (folder / "samples" / "portraits").symlink_to(ROOT / "samples" / "portraits")
    speech = read_audio(ROOT / "samples" / "speech" / "face.wav")
    for name in SOUNDS:
        write_wav(folder / name, speech[8_000 : 8_000 + SAMPLES])
    with Image.open(ROOT / "samples" / "portraits" / "ada.png") as picture:
        for name in PORTRAITS:
            picture.convert("RGB").resize((512, 512)).save(folder / name)
    frames = performed("edgar", {"mouthSmile": 0.5}, frames=FRAMES)
    for name in CLIPS:
        with VideoWriter(folder / name, 128, 128, audio=speech[: FRAMES * 640], sample_rate=16_000) as writer:
            for frame in frames:
                writer.write(frame)
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/generate.md", "docs/motions.md"])
def test_the_videos_of_a_page_are_made(desk, page, monkeypatch):
    monkeypatch.chdir(desk)
    made = 0
    for line in lines(ROOT / page):
        words = shlex.split(line, comments=True)
        if words[:1] != ["svp"] or any(word in words for word in ELSEWHERE):
            continue
        if words[1] == "prepare":
            (desk / "my_clips").symlink_to(desk / "clips")
        assert app(args=words[1:], standalone_mode=False) in (None, 0)
        if words[1] == "generate":
            video = Path(words[words.index("-o") + 1])
            assert probe(video).has_audio and verify_video(video).generated
            made += 1
    assert made == sum(line.startswith("svp generate") and "--jobs" not in line for line in lines(ROOT / page)) > 0


def test_the_jobs_of_the_page_can_be_read(desk):
    [rows] = [text for text in blocks(ROOT / "docs" / "generate.md") if text.startswith("{")]
    (desk / "jobs.jsonl").write_text(rows)
    assert [getattr(job, "reason", type(job)) for job in read_jobs(desk / "jobs.jsonl")] == [VideoJob] * 4
