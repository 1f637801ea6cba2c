"""A server of the page with a tiny model that understands the gallery, and a browser: for `test_page.py`."""

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from tiny_pipeline import tiny_pipeline, tiny_preset

from svp.app.server import ServerOptions, serving
from svp.diffusion.model_folder import find_model
from svp.diffusion.pipeline import SVPPipeline
from svp.presets import MINI
from svp.style.encoder import StyleEncoder

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


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
    """A tiny model with the style encoder of `mini`; four steps."""
    sizes = {"audio_encoder": MINI.audio_encoder, "style_encoder": MINI.style_encoder}
    pipeline = tiny_pipeline(preset=tiny_preset().model_copy(update=sizes))
    pipeline.register_modules(style_encoder=StyleEncoder.from_pretrained(find_model("mini") / "style_encoder"))
    pipeline.settings = pipeline.settings.model_copy(update={"num_inference_steps": 4})
    pipeline.register_to_config(settings=pipeline.settings.model_dump())
    return pipeline


def serve_page(root: Path) -> Iterator[Served]:
    """A server until the next step of the iterator; then nothing of its visitors is left."""
    gallery_pipeline().save_pretrained(root / "model")
    (root / "reports").mkdir()
    (root / "temporary").mkdir()
    pipeline = SVPPipeline.from_pretrained(root / "model")
    options = ServerOptions(port=free_port(), max_seconds=45.0, reports=root / "reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(root / "temporary"))
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
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()
