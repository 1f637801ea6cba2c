"""A server of the page with a tiny model that understands the gallery, and a browser with what people do in it."""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlretrieve

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tiny_pipeline import tiny_pipeline, tiny_preset

from svp.app.server import ServerOptions, serving
from svp.app.style_map import StyleMap
from svp.diffusion.model_folder import find_model
from svp.diffusion.pipeline import SVPPipeline
from svp.presets import MINI
from svp.style.encoder import StyleEncoder
from svp.style.gallery import LEVELS, find_style, gallery_names

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 180_000  # milliseconds; other tests may have the processors


@dataclass(frozen=True)
class Served:
    """A running page.

    Attributes:
        folder: of everything that visitors and videos leave.
        model: folder of the model.
        reports: folder of the reports.
    """

    address: str
    folder: Path
    model: Path
    reports: Path
    pipeline: SVPPipeline


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def gallery_pipeline() -> SVPPipeline:
    """A tiny model with the style encoder of `mini`; two steps."""
    sizes = {"audio_encoder": MINI.audio_encoder, "style_encoder": MINI.style_encoder}
    pipeline = tiny_pipeline(preset=tiny_preset().model_copy(update=sizes))
    pipeline.register_modules(style_encoder=StyleEncoder.from_pretrained(find_model("mini") / "style_encoder"))
    pipeline.settings = pipeline.settings.model_copy(update={"num_inference_steps": 2})
    pipeline.register_to_config(settings=pipeline.settings.model_dump())
    return pipeline


def serve_page(root: Path, queue: int = 16) -> Iterator[Served]:
    """A server until the next step of the iterator; then nothing of its visitors is left."""
    gallery_pipeline().save_pretrained(root / "model")
    (root / "reports").mkdir()
    (root / "temporary").mkdir()
    pipeline = SVPPipeline.from_pretrained(root / "model")
    options = ServerOptions(port=free_port(), max_seconds=45.0, reports=root / "reports", queue=queue)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(root / "temporary"))
        patch.setenv("http_proxy", "http://127.0.0.1:9")  # which the page must not ask for itself
        with serving(pipeline, str(root / "model"), options) as address:
            [folder] = (root / "temporary").glob("svp-app-*")
            yield Served(address, folder, root / "model", root / "reports", pipeline)
        assert not list((root / "temporary").glob("svp-app-*"))


def start_browser() -> Iterator[Browser]:
    """A headless browser of this machine; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    arguments += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # a microphone that beeps
    expect.set_options(timeout=PATIENCE)  # 5 s otherwise
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, served: Served, width: int = 1280) -> Iterator[Page]:
    """The page in a window of its own, and what it asked of other machines as `page.outside`."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.outside = []
    page.on("request", lambda asked: page.outside.append(asked.url) if not _own(asked.url, served) else None)
    page.goto(served.address)
    page.wait_for_selector("#make")
    yield page
    context.close()


def _own(url: str, served: Served) -> bool:
    return url.startswith((served.address, "data:", "blob:"))


def fill(page: Page, portrait: Path | None, audio: Path) -> None:
    if portrait is not None:
        page.set_input_files("#portrait input[type=file]", portrait)
        page.wait_for_selector("#portrait img")
    page.set_input_files("#recording input[type=file]", audio)
    page.wait_for_selector("#recording .component-wrapper, #recording audio, #recording #waveform", state="attached")


def finished(page: Page, to: Path) -> Path:
    """The video that is shown, once it is there."""
    page.wait_for_function("document.querySelector('#video video')?.src")
    urlretrieve(page.evaluate("document.querySelector('#video video').src"), to)
    return to


def click_on_map(page: Page, served: Served, style: str) -> None:
    """Click the point of a style of the gallery."""
    names = [f"{name}:{level}" for name in gallery_names() for level in LEVELS]
    style_map = StyleMap({name: served.pipeline.style(find_style(name)) for name in names})
    height, width, _ = style_map.picture.shape
    picture = page.locator("#style-map img")
    drawn, (x, y) = picture.bounding_box(), style_map.places[style]
    picture.click(position={"x": x * drawn["width"] / width, "y": y * drawn["height"] / height})


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)
