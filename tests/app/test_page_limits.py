"""What the page has bounds for: the queue, the size of an upload, the time that files stay, the width of a window."""

import re
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from svp.media.audio import write_wav
from svp.media.verification import verify_video
from svp.media.video import probe

sys.path += [str(Path(__file__).parents[1] / room) for room in ("diffusion", "datasets")]
pytest.importorskip("gradio", reason="the page needs the extra `app`")
sync_api = pytest.importorskip("playwright.sync_api")
from gradio_client import Client, handle_file  # noqa: E402  # after what would skip
from served_page import (  # noqa: E402
    Served,
    click_on_map,
    fill,
    finished,
    opened,
    serve_page,
    start_browser,
    wait_until,
)
from tiny_pipeline import tone  # noqa: E402

from svp.app import clean_up, server, studio  # noqa: E402
from svp.app.page import FACES  # noqa: E402

pytestmark = pytest.mark.long

ADA = Path(__file__).resolve().parents[2] / "samples" / "portraits" / "ada.png"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One may wait; an upload has 1 MB at most; old files are looked for all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "LARGEST_UPLOAD", "1mb")
        patch.setattr(clean_up, "EVERY", 0.1)
        yield from serve_page(tmp_path_factory.mktemp("served"), queue=1)


@pytest.fixture(scope="module", autouse=True)
def own(served: Served) -> set[Path]:
    """What belongs to the page itself."""
    return left(served)


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    yield from start_browser()


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs") / "talk.wav"
    write_wav(path, tone(0.4))
    return path


def left(served: Served) -> set[Path]:
    return set(served.folder.rglob("*"))


def test_who_finds_the_queue_full_is_told_and_who_waits_is_served(
    browser, served, talk, tmp_path, monkeypatch, request
):
    go_on, predict = threading.Event(), served.pipeline.predict_noise
    monkeypatch.setattr(served.pipeline, "predict_noise", lambda *a, **k: (go_on.wait(60), predict(*a, **k))[1])
    request.addfinalizer(go_on.set)  # a failure here holds nobody else up
    (tmp_path / "other.json").write_text("{}")
    first = Client(served.address, verbose=False, download_files=str(tmp_path)).submit(
        portrait=handle_file(ADA), audio=handle_file(talk), api_name="/generate"
    )
    wait_until(lambda: bool(first.outputs()))
    with opened(browser, served) as second, opened(browser, served) as third:
        fill(second, ADA, talk)
        second.click("#make")
        second.locator("#progress").get_by_text("queue: 1/1").wait_for()
        fill(third, ADA, talk)
        third.click("#make")
        told = third.locator("#progress .work")
        told.wait_for()
        assert told.inner_text() == (
            "Not begun: the server did not take it; most often 1 wait already and its queue is full. "
            "Try again in some minutes, or reload the page"
        )
        third.get_by_role("tab", name="Reports").click()  # these wait for nobody's video
        third.set_input_files("#own-report input[type=file]", tmp_path / "other.json")
        third.get_by_role("alert").get_by_text("other.json: no report").wait_for()
        go_on.set()
        assert probe(Path(first.result(180)[0])).seconds == pytest.approx(0.4)
        assert probe(finished(second, tmp_path / "second.mp4")).seconds == pytest.approx(0.4)
        third.get_by_role("tab", name="Video").click()
        third.click("#make")
        assert probe(finished(third, tmp_path / "third.mp4")).seconds == pytest.approx(0.4)
        assert told.inner_text() == "Done"


def test_who_waits_and_cancels_or_leaves_is_made_no_video(browser, served, talk, tmp_path, monkeypatch, request):
    go_on, predict, make, made = threading.Event(), served.pipeline.predict_noise, studio.Work._made, []
    monkeypatch.setattr(served.pipeline, "predict_noise", lambda *a, **k: (go_on.wait(60), predict(*a, **k))[1])
    monkeypatch.setattr(studio.Work, "_made", lambda work: made.append(work.folder) or make(work))
    request.addfinalizer(go_on.set)
    client = Client(served.address, verbose=False, download_files=str(tmp_path))
    asked = {"portrait": handle_file(ADA), "audio": handle_file(talk), "api_name": "/generate"}
    first = client.submit(**asked)
    wait_until(lambda: bool(first.outputs()))
    with opened(browser, served) as second, opened(browser, served) as third:
        fill(second, ADA, talk)
        second.click("#make")
        second.locator("#progress").get_by_text("queue: 1/1").wait_for()
        second.click("#cancel")
        second.locator("#progress").get_by_text("Cancelled").wait_for()
        fill(third, ADA, talk)
        third.click("#make")
        third.locator("#progress").get_by_text("queue: 1/1").wait_for()  # the place of who cancelled is free
    go_on.set()
    assert probe(Path(first.result(180)[0])).seconds == pytest.approx(0.4)
    assert probe(Path(client.predict(**asked)[0])).seconds == pytest.approx(0.4)  # behind all that waited
    assert len(made) == 2


def test_what_visitors_leave_goes_when_its_time_is_over(browser, served, own, talk, tmp_path, monkeypatch):
    Client(served.address, verbose=False, download_files=str(tmp_path)).predict(
        portrait=handle_file(ADA), audio=handle_file(talk), api_name="/generate"
    )
    address, there = urlsplit(served.address), left(served)
    with socket.create_connection((address.hostname, address.port)) as broken:  # an upload that ends half-way
        broken.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: here\r\nContent-Length: 90000\r\n"
            b"Content-Type: multipart/form-data; boundary=part\r\n\r\n"
            b'--part\r\nContent-Disposition: form-data; name="files"; filename="half.png"\r\n\r\n' + bytes(50_000)
        )
        wait_until(lambda: any(path.name.startswith("tmp") for path in left(served) - there))
    before = left(served)
    assert {"ada.png", "talk.wav", "ada_talk.mp4"} <= {path.name for path in before - own}
    looks, later = [], server.KEEP / 2

    def moved() -> float:
        looks.append(1)
        return clean_up_time() + later

    clean_up_time = clean_up.time
    monkeypatch.setattr(clean_up, "time", moved)
    wait_until(lambda: len(looks) > 2)
    assert left(served) == before
    later = server.KEEP + 60
    wait_until(lambda: left(served) == own)
    with opened(browser, served) as page:
        assert re.search(rf"deleted after {server.KEEP // 60} minutes", page.locator(".block.consent").inner_text())
        page.wait_for_function("document.querySelector('#style-map img')?.naturalWidth > 0")


def test_the_configuration_of_the_page_tells_no_path_of_the_server_but_its_cache(served):
    told = httpx.get(f"{served.address}config").text
    assert str(FACES) not in told and str(Path(__file__).parents[2]) not in told
    assert "grace.png" in told


def test_an_upload_that_is_too_large_is_refused_with_the_limit(browser, served, tmp_path):
    before = left(served)
    shutil.copy(ADA, tmp_path / "large.png")
    with (tmp_path / "large.png").open("ab") as file:
        file.truncate(2**20 + 1)
    write_wav(tmp_path / "large.wav", tone(33.0))
    with opened(browser, served) as page:
        for role, name in (("portrait", "large.png"), ("recording", "large.wav")):
            page.set_input_files(f"#{role} input[type=file]", tmp_path / name)
            told = page.get_by_text(name)
            told.wait_for()
            assert re.search(r"exceed the maximum allowed size of 1(\.0+)? MB", told.inner_text(), re.IGNORECASE)
    answer = httpx.post(  # and without the page
        f"{served.address}gradio_api/upload", files={"files": ("a.png", (tmp_path / "large.png").read_bytes())}
    )
    assert answer.status_code == 413 and f"{2**20} bytes" in answer.text
    assert left(served) == before


def test_styles_over_time_are_clicked_together_on_a_phone(browser, served, tmp_path):
    write_wav(tmp_path / "talk.wav", tone(7.0))  # longer than from when the last style holds

    def fits() -> bool:
        return page.evaluate("document.documentElement.scrollWidth <= innerWidth && innerWidth == 390")

    with opened(browser, served, width=390) as page:
        fill(page, ADA, tmp_path / "talk.wav")
        click_on_map(page, served, "fear:3")
        sync_api.expect(page.locator("#style input")).to_have_value("fear 3")
        page.locator("#style-from").get_by_text("Over time").click()
        cells = page.locator("#timeline .virtual-body [role=gridcell]")
        sync_api.expect(cells).to_have_text(["sad", "0", "happy", "2.5"])
        for style, rows in (("angry:3", 3), ("surprised:2", 4)):
            click_on_map(page, served, style)
            sync_api.expect(cells).to_have_count(2 * rows)
        assert fits()
        page.click("#make")
        page.get_by_text("The same from the command line").click()
        command = page.locator("#command .cm-content")
        sync_api.expect(command).to_contain_text("--style surprised:2@6.5")
        given = re.findall(r"--style (\S+)", command.inner_text())
        assert given == ["sad:3@0", "happy:3@2.5", "angry:3@4.5", "surprised:2@6.5"]
        assert fits()


def test_the_download_is_the_very_file_with_sound_and_provenance(browser, served, talk, tmp_path):
    with opened(browser, served) as page:
        fill(page, ADA, talk)
        page.click("#make")
        finished(page, tmp_path / "shown.mp4")
        with page.expect_download() as download:
            page.locator("#video a[download]").click()
        assert download.value.suggested_filename == "ada_talk.mp4"
        download.value.save_as(tmp_path / "taken.mp4")
    made = max(served.folder.rglob("ada_talk.mp4"), key=lambda path: path.stat().st_mtime)
    assert (tmp_path / "taken.mp4").read_bytes() == made.read_bytes()
    assert probe(tmp_path / "taken.mp4").has_audio
    verified = verify_video(tmp_path / "taken.mp4")
    assert verified.state == "valid" and verified.generated
