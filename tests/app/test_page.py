"""The page as people use it, in a real browser; and its functions as programs use them."""

import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from svp.cli import app
from svp.errors import InputError
from svp.evaluation.report import Report
from svp.media.audio import write_wav
from svp.media.video import probe, read_frames
from svp.style.gallery import find_style

sys.path += [str(Path(__file__).parents[1] / room) for room in ("diffusion", "datasets")]
pytest.importorskip("gradio", reason="the page needs the extra `app`")
sync_api = pytest.importorskip("playwright.sync_api")
from gradio_client import Client, handle_file  # noqa: E402  # after what would skip
from portrait_clips import write_portrait_clip  # noqa: E402
from served_page import (  # noqa: E402
    Served,
    click_on_map,
    fill,
    finished,
    free_port,
    opened,
    serve_page,
    start_browser,
    wait_until,
)
from tiny_pipeline import tone  # noqa: E402

from svp.app.page import FACES  # noqa: E402
from svp.app.server import ServerOptions, need_port, serving  # noqa: E402

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples" / "portraits"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve_page(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    yield from start_browser()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("ada.png", "dorian.png"):
        (folder / name).write_bytes((SAMPLES / name).read_bytes())
    Image.new("RGB", (64, 64), (90, 120, 60)).save(folder / "wall.png")
    (folder / "torn.png").write_bytes((SAMPLES / "ada.png").read_bytes()[:2000])
    for name, seconds in (("short", 0.4), ("middle", 0.8), ("long", 40.0), ("endless", 46.0)):
        write_wav(folder / f"{name}.wav", tone(seconds, seed=len(name)))
    write_wav(folder / "silent.wav", np.zeros(16_000, np.float32))
    return folder


@pytest.fixture(scope="module")
def client(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(served.address, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def same_frames(one: Path, other: Path) -> bool:
    return np.array_equal(np.stack(list(read_frames(one))), np.stack(list(read_frames(other))))


def unfinished(served: Served) -> list[Path]:
    """Folders of videos in the making, and those that were left without one."""
    return [path for path in served.folder.iterdir() if len(path.name) == 32 and not list(path.glob("[!.]*.mp4"))]


def test_from_upload_to_a_playing_video_with_sound(browser, served, inputs, tmp_path):
    with opened(browser, served) as page:
        fill(page, inputs / "ada.png", inputs / "middle.wav")
        chosen = page.locator("#style input")
        assert chosen.input_value() == "happy 3"
        click_on_map(page, served, "sad:3")
        sync_api.expect(chosen).to_have_value("sad 3")
        page.click("#make")
        video = finished(page, tmp_path / "video.mp4")
        played = page.evaluate(
            """async () => { const v = document.querySelector('#video video'); v.currentTime = 0; await v.play();
            await new Promise(done => { v.onended = done; });
            return [v.duration, v.currentTime, v.videoWidth, v.webkitAudioDecodedByteCount]; }"""
        )
        assert played[0] == pytest.approx(0.8, abs=0.03) and played[1] == pytest.approx(0.8, abs=0.1)
        assert played[2] == served.pipeline.settings.image_size and played[3] > 1000
        assert probe(video).has_audio and len(list(read_frames(video))) == 20
        page.get_by_text("The same from the command line").click()
        command = page.locator("#command .cm-content").inner_text()
        assert "--style sad:3" in command and "ada.png" in command and str(served.folder) not in command
        assert not page.outside
        assert page.evaluate("fetch('https://example.org').then(() => 'went', () => 'refused')") == "refused"


def test_a_recording_and_a_picture_that_cannot_be_used_are_explained(browser, served, inputs, tmp_path):
    with opened(browser, served) as page:
        fill(page, inputs / "wall.png", inputs / "silent.wav")
        told = page.locator("#heard .work").get_by_text("silent.wav: is silent")
        told.wait_for()  # before anybody asked for a video
        page.locator("#recording button[aria-label='Clear']").click()
        fill(page, None, inputs / "short.wav")
        told.wait_for(state="detached")
        page.click("#make")
        told = page.locator("#progress .work").get_by_text("wall.png: no face found")
        told.wait_for()
        assert "/" not in told.inner_text()
        assert not unfinished(served)
        page.locator("#knobs").get_by_text("Mouth, head, eyes, frame").click()
        page.get_by_label("Face box").fill(r"${1+1} `<b>&amp;{{value}} C:\new")  # nothing of it is computed
        page.click("#make")
        page.locator("#progress .work").get_by_text(
            r"face box ${1+1} `<b>&amp;{{value}} C:\new: give X,Y,W,H"
        ).wait_for()
        page.get_by_label("Face box").fill("12,12,40,40")  # then it is where the visitor says
        page.click("#make")
        assert len(list(read_frames(finished(page, tmp_path / "wall.mp4")))) == 10


def test_a_voice_from_the_microphone_in_the_style_of_a_clip(browser, served, inputs, tmp_path):
    write_portrait_clip(tmp_path / "clip.mp4")
    with opened(browser, served) as page:
        page.set_input_files("#portrait input[type=file]", inputs / "ada.png")
        page.wait_for_selector("#portrait img")
        page.locator("#recording button[aria-label='Record audio']").click()
        page.locator("#recording .record-button").click()
        page.locator("#recording .stop-button").click(delay=500)
        page.wait_for_selector("#recording #waveform")
        with page.expect_download() as recording:
            page.locator("#recording a[download]").click()
        page.locator("#style-from").get_by_text("A clip").click()
        page.set_input_files("#style-clip input[type=file]", tmp_path / "clip.mp4")
        page.wait_for_selector("#style-clip video")
        page.click("#make")
        video = probe(finished(page, tmp_path / "video.mp4"))
        assert video.has_audio and video.seconds > 0.2
        page.get_by_text("The same from the command line").click()
        command = page.locator("#command .cm-content").inner_text()
        assert "--style clip.mp4" in command and f"--audio {recording.value.suggested_filename}" in command


def test_cancel_ends_the_work_and_removes_what_there_is(browser, served, inputs, monkeypatch):
    calls, predict = [], served.pipeline.predict_noise
    monkeypatch.setattr(
        served.pipeline, "settings", served.pipeline.settings.model_copy(update={"num_inference_steps": 4})
    )
    monkeypatch.setattr(served.pipeline, "predict_noise", lambda *a, **k: calls.append(1) or predict(*a, **k))

    def idle() -> bool:
        before = len(calls)
        time.sleep(1)
        return len(calls) == before

    with opened(browser, served) as page:
        fill(page, inputs / "ada.png", inputs / "long.wav")
        page.click("#make")
        page.wait_for_selector("#progress img")  # frames are seen while others are made
        assert re.search(r"Frame \d+ of 1000, about \d+ (s|min) left", page.locator("#progress").inner_text())
        assert len(unfinished(served)) == 1
        page.click("#cancel")
        page.locator("#progress").get_by_text("Cancelled").wait_for()
        wait_until(lambda: not unfinished(served) and idle())
        assert 0 < len(calls) < 1000  # of 1336
        page.click("#make")
        page.wait_for_selector("#progress img")
    calls.clear()  # leaving the page ends it too
    wait_until(lambda: not unfinished(served) and idle())
    assert len(calls) < 1000


def test_two_at_once_get_each_their_own(browser, served, inputs, tmp_path):
    with opened(browser, served) as first, opened(browser, served, width=390) as second:
        fill(first, inputs / "dorian.png", inputs / "short.wav")
        fill(second, None, inputs / "middle.wav")
        second.locator("#faces img").first.click()  # a face of nobody instead of an upload
        second.wait_for_selector("#portrait img")
        visitors = ((first, inputs / "dorian.png", "short.wav", 10), (second, FACES / "grace.png", "middle.wav", 20))
        for page, *_ in visitors:
            assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
            page.click("#make")
        for page, portrait, audio, frames in visitors:
            video = finished(page, tmp_path / portrait.name.replace("png", "mp4"))
            alone = tmp_path / f"{portrait.stem}.alone.mp4"
            served.pipeline.stream(portrait, inputs / audio, find_style("happy:3")).save(alone)
            assert len(list(read_frames(video))) == frames and same_frames(video, alone)


def test_a_report_is_shown_and_other_files_are_not(browser, served, tmp_path):
    report = Report(
        systems={"mini": "outputs/mini"}, reference="test/clips", seed=0, resamples=100, confidence=0.95, fps=25.0,
        crop="none", resize="none", versions={"svp": "1"}, sizes={}, warnings=["few clips"], metrics=[],
        absent={"FID": "no weights"}, problems=[], clips=[],
    )  # fmt: skip
    report.save(served.reports / "first.json")
    (served.reports / "other.json").write_text("{}")
    with opened(browser, served) as page:
        page.get_by_role("tab", name="Reports").click()
        page.locator("#report input").click()
        page.get_by_role("option", name="first.json").click()
        shown = page.frame_locator("#report-page iframe")
        shown.get_by_text("few clips").wait_for()
        sync_api.expect(page.locator(".html-container:has(iframe)")).to_have_css("opacity", "1")
        page.set_input_files("#own-report input[type=file]", served.reports / "other.json")
        page.get_by_text("other.json: no report").first.wait_for()


def test_the_example_of_the_documents_works(served, inputs, capsys):
    text = (ROOT / "docs" / "app.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    for written, here in (
        ("http://127.0.0.1:7860", served.address),
        ("samples/portraits", str(inputs)),
        ("samples/speech/face.wav", str(inputs / "short.wav")),
    ):
        assert written in code
        code = code.replace(written, here)
    exec(code, names := {})
    assert probe(names["video"]).seconds == pytest.approx(0.4)
    assert names["progress"] == {"text": "Done", "percent": 100, "failed": False}
    assert "--style happy:2" in names["command"] and "--style-strength 1.2" in names["command"]


def test_the_lines_shown_make_the_same_frames(client, served, inputs, tmp_path, monkeypatch):
    rows = {"headers": ["style", "from second"], "data": [["sad", 0], ["happy:2", 0.2]], "metadata": None}
    files = {"portrait": handle_file(inputs / "ada.png"), "audio": handle_file(inputs / "short.wav")}
    monkeypatch.chdir(tmp_path)
    for name in ("ada.png", "short.wav"):
        (tmp_path / name).write_bytes((inputs / name).read_bytes())
    (tmp_path / "model").symlink_to(served.model)
    mix = {"style_from": "mix", "style": "sad:3", "mix_with": "angry:3", "mix_share": 0.3, "style_strength": 1.4}
    mixed, _, command, _ = client.predict(**files, **mix, api_name="/generate")
    for words in map(shlex.split, command.replace("\\\n", " ").splitlines()):
        app(args=words[1:], standalone_mode=False)
    assert same_frames(mixed, tmp_path / "ada_short.mp4")
    changing = {"style_from": "timeline", "timeline": rows, "head_motion": "still", "quality": "balanced", "seed": 7}
    changed, _, _, python = client.predict(**files, **changing, api_name="/generate")
    exec(python, {})
    assert same_frames(changed, tmp_path / "ada_short.mp4")
    assert not same_frames(changed, mixed)
    for name, who in (("ada_short.mp4", "ada"), ("sways.mp4", "dorian")):  # one is called as the video would be
        write_portrait_clip(tmp_path / name, who)
    clips = {"style_from": "clip", "style_clip": handle_file(tmp_path / "ada_short.mp4"), "face_box": "60,60,140,160"}
    moving = {"head_motion": "clip", "motion_clip": handle_file(tmp_path / "sways.mp4")}
    learned, _, command, _ = client.predict(**files, **clips, **moving, api_name="/generate")
    app(args=shlex.split(command.replace("\\\n", " "))[1:], standalone_mode=False)
    assert Path(learned).name == "other_ada_short.mp4"
    assert same_frames(learned, tmp_path / "other_ada_short.mp4")
    assert not same_frames(learned, changed)


def test_what_cannot_be_used_is_one_sentence(client, inputs):
    good = {"portrait": inputs / "ada.png", "audio": inputs / "short.wav"}
    for wrong, told in (
        ({"portrait": inputs / "torn.png"}, "torn.png: damaged or truncated picture"),
        ({"audio": inputs / "silent.wav"}, "silent.wav: is silent"),
        ({"audio": inputs / "endless.wav"}, "endless.wav: longer than the 45 s"),
        ({"audio": inputs / "ada.png"}, "ada.png: has no sound|ada.png: not a"),
        ({"style": "../../secret"}, "not in the gallery|not in the list of choices"),
        ({"style_from": "clip"}, "style clip: none yet"),
    ):
        given = {
            name: handle_file(value) if isinstance(value, Path) else value for name, value in (good | wrong).items()
        }
        with pytest.raises(Exception, match=told) as failed:
            client.predict(**given, api_name="/generate")
        assert str(inputs) not in str(failed.value) and "Traceback" not in str(failed.value)


def upload(served: Served, path: Path) -> dict[str, object]:
    """A file as a program without Gradio's client gives it, by the lines of docs/app.md."""
    sent = httpx.post(f"{served.address}gradio_api/upload", files={"files": (path.name, path.read_bytes())})
    return {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}


def told_of(served: Served, inputs: Path, **given: object) -> str:
    """What such a program is told of its call."""
    places = {"portrait": upload(served, inputs / "ada.png"), "audio": upload(served, inputs / "short.wav")}
    called = httpx.post(f"{served.address}gradio_api/call/v2/generate", json=places | given).json()["event_id"]
    return httpx.get(f"{served.address}gradio_api/call/generate/{called}", timeout=120).text


def test_programs_are_told_in_one_sentence_too(served, inputs):
    address = {"path": "http://127.0.0.1:9/large.png", "meta": {"_type": "gradio.FileData"}}
    # neither is looked at by Gradio: what does not say that it is a file, and an address that is streamed
    hidden = address | {"path": f"http:/{'/..' * 20}{inputs / 'short.wav'}", "is_stream": True}
    table = {"headers": ["style", "from second"], "metadata": None}
    for given, told in (
        ({}, "event: complete"),
        ({"portrait": address}, "an address was given in place of a file"),
        ({"portrait": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}}, "error"),
        ({"portrait": {"path": str(inputs / "ada.png")}}, "portrait: is no upload"),
        ({"audio": hidden}, "recording: is no upload"),
        ({"style_from": "clip", "style_clip": hidden}, "style clip: is no upload"),
        ({"head_motion": "clip", "motion_clip": hidden}, "head motion: is no upload"),
        ({"portrait": {"path": "a\0b"}}, "portrait: is no upload"),
        ({"style_from": "timeline", "timeline": table | {"data": [["sad", 0, 1]]}}, "no style and time|error"),
        ({"style_from": "mix", "mix_share": None}, "mix: None is no share"),
        ({"gaze_right": None}, "None: no number"),
        ({"seed": "x"}, "seed: "),
    ):
        answer = told_of(served, inputs, **given)
        assert re.search(told, answer), (given, answer)
        assert "root:" not in answer and "Traceback" not in answer and "Something broke" not in answer


def test_every_knob_reaches_the_video(client, inputs):
    knobs = {
        **{"mouth_amplitude": 1.1, "head_amplitude": 0.6, "own_blinks": False, "blink_rate": 22.0, "gaze_right": 4.0},
        **{"gaze_up": -3.0, "frame": "full", "aspect": "4:3", "label": True, "face_box": "60,60,140,160", "seed": 5},
        **{"quality": "balanced", "head_motion": "still", "style_strength": 0.7, "style": "sad:2"},
    }
    files = {"portrait": handle_file(inputs / "ada.png"), "audio": handle_file(inputs / "short.wav")}
    _, _, command, _ = client.predict(**files, **knobs, api_name="/generate")
    words = shlex.split(command.replace("\\\n", " "))
    given = {name: words[words.index(f"--{name}") + 1] for name in (
        "mouth-amplitude", "head-amplitude", "blink-rate", "gaze", "frame", "aspect", "face-box", "seed", "fast",
        "head-motion", "style-strength", "style",
    )}  # fmt: skip
    assert list(map(float, (given["mouth-amplitude"], given["head-amplitude"], given["blink-rate"]))) == [1.1, 0.6, 22]
    assert (given["gaze"], given["frame"], given["aspect"], given["seed"]) == ("4,-3", "full", "4:3", "5")
    assert (given["face-box"], given["fast"], given["head-motion"]) == ("60,60,140,160", "balanced", "still")
    assert (given["style-strength"], given["style"]) == ("0.7", "sad:2") and "--label" in words


def test_an_upload_that_is_gone_is_told(served, inputs):
    gone = upload(served, inputs / "middle.wav")  # what has the same content is the same file
    Path(str(gone["path"])).unlink()
    assert "recording: is deleted, 60 minutes after its upload" in told_of(served, inputs, audio=gone)


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_a_host_that_cannot_be_is_one_sentence(host):
    with pytest.raises(InputError, match="is not here"):
        need_port(host, 7860)


def test_the_server_fetches_nothing_and_lets_nobody_pass_the_queue(served):
    for path in ("file=http://127.0.0.1:9/x.png", "file=https%3A//127.0.0.1/x", "proxy=http://127.0.0.1:9/x"):
        answer = httpx.get(f"{served.address}gradio_api/{path}")
        assert answer.status_code == 403 and answer.text == "this server fetches nothing"
    assert httpx.post(f"{served.address}gradio_api/run/generate", json={"data": []}).status_code in (401, 404)


def test_the_name_of_an_upload_does_not_lead_out_of_their_folder(served, inputs):
    picture, taken = (inputs / "ada.png").read_bytes(), 0
    for name in (
        "../../../evil.png",
        "..\\..\\evil.png",
        "/evil.png",
        "a/../../../evil.png",
        "%2e%2e%2fevil.png",
        "..",
    ):
        answer = httpx.post(f"{served.address}gradio_api/upload", files={"files": (name, picture, "image/png")})
        if answer.is_success:
            [place] = answer.json()
            assert Path(place).resolve().is_relative_to(served.folder) and Path(place).read_bytes() == picture
            taken += 1
    assert taken >= 3
    around = {path for path in served.folder.parents[1].rglob("*") if not path.is_relative_to(served.folder)}
    assert not [path for path in around if "evil" in path.name] and not Path("/evil.png").exists()


def test_a_password_keeps_others_out_and_a_port_is_used_once(served):
    port = free_port()
    options = ServerOptions(port=port, password=("ann", "secret"))
    with serving(served.pipeline, str(served.model), options) as address:
        with pytest.raises(InputError, match=f"--port {port}: is taken"), serving(served.pipeline, "mini", options):
            pass
        with pytest.raises(InputError, match=f"--port {port}: is taken"):  # told before a model is loaded
            need_port("127.0.0.1", port)
        with pytest.raises(Exception, match=r"401|auth|log"):
            Client(address, verbose=False)
        assert (
            "/generate"
            in Client(address, auth=("ann", "secret"), verbose=False).view_api(return_format="dict")["named_endpoints"]
        )
