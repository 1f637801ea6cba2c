"""A server for the page, on this machine alone unless it is told otherwise; it sends nothing out and leaves nothing."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import gradio as gr
from starlette.middleware import Middleware

from svp.app.clean_up import cleaned
from svp.app.given import NoAddresses
from svp.app.page import Page
from svp.app.reports import Reports
from svp.app.studio import Studio
from svp.errors import InputError
from svp.media.marking import MARKED, Marking

if TYPE_CHECKING:
    from svp.diffusion.pipeline import SVPPipeline

CACHE: Final = "GRADIO_TEMP_DIR"
KEEP: Final = 3600  # seconds that uploads and videos stay at least
SLOWNESS: Final = 4.0  # seconds that a second of video may take to make
LARGEST_UPLOAD: Final = "100mb"
# The browser itself refuses whatever the page would load from or send to anywhere else.
POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:"
)
HEAD: Final = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
CSS: Final = """
.consent { font-size: 0.85rem; opacity: 0.8 }
.report { width: 100%; height: 80vh; border: 0; border-radius: 8px; background: white }
#video video { max-height: 24rem; margin: auto }
#style-map img { max-height: 24rem; object-fit: contain }
"""


@dataclass(frozen=True)
class ServerOptions:
    """How a page is served.

    Attributes:
        host, port: where; 127.0.0.1 is this machine alone.
        password: a name and a word to log in with; None lets everybody in who reaches the host.
        max_seconds: the longest recording that is taken.
        queue: how many may wait for their video.
        reports: folder with reports of `svp evaluate`.
        marking: how videos say that they were generated.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    password: tuple[str, str] | None = None
    max_seconds: float = 60.0
    queue: int = 16
    reports: Path | None = None
    marking: Marking = MARKED

    @property
    def keep(self) -> int:
        """Seconds that uploads and videos stay: longer than a visitor waits in a full queue of long recordings."""
        return max(KEEP, math.ceil((self.queue + 1) * self.max_seconds * SLOWNESS))


@contextmanager
def serving(pipeline: SVPPipeline, model: str, options: ServerOptions) -> Iterator[str]:
    """The page is served while the block runs; afterwards nothing is left of it.

    Args:
        pipeline: makes the videos.
        model: its name, or the folder it came from.
        options: how.

    Yields:
        Its address.

    Raises:
        InputError: the port is taken, or the host is none of this machine's.
    """
    with _cache_folder() as folder, _past_proxies(options.host):
        studio = Studio(pipeline, model, folder, options.max_seconds, options.marking)
        blocks = Page(studio, Reports(options.reports), options.keep, options.queue).blocks()
        try:
            address = _launch(blocks, options)
            with cleaned(folder, options.keep):
                yield address
        finally:
            studio.close()
            blocks.close(verbose=False)


def need_port(host: str, port: int) -> None:
    """Whether nobody serves there yet; told before a model is loaded.

    Raises:
        InputError: somebody does, or the host is none of this machine's.
    """
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except (OSError, UnicodeError) as error:
        raise _port_taken(host, port) from error


def _port_taken(host: str, port: int) -> InputError:
    return InputError(f"--port {port}: is taken, or {host} is not here; choose others")


def _launch(blocks: gr.Blocks, options: ServerOptions) -> str:
    """Begin to serve; the address."""
    theme = gr.themes.Soft(
        primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )  # fonts of the visitor's own, none from a network
    try:
        _, address, _ = blocks.launch(
            server_name=options.host,
            server_port=options.port,
            auth=options.password,
            max_file_size=LARGEST_UPLOAD,
            share=False,
            ssr_mode=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=["api", "settings"],
            app_kwargs={"middleware": [Middleware(NoAddresses)]},
            theme=theme,
            css=CSS,
            head=HEAD,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise _port_taken(options.host, options.port) from error
    return address


@contextmanager
def _cache_folder() -> Iterator[Path]:
    """A folder for all that Gradio and the studio write, which goes at the end."""
    with TemporaryDirectory(prefix="svp-app-", ignore_cleanup_errors=True) as folder, _environment(**{CACHE: folder}):
        yield Path(folder).resolve()


@contextmanager
def _past_proxies(host: str) -> Iterator[None]:
    """Gradio asks the page over HTTP whether it is there; no proxy knows the way to this machine."""
    exempt = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    value = ",".join(dict.fromkeys(filter(None, (*exempt.split(","), host, "localhost", "127.0.0.1"))))
    with _environment(NO_PROXY=value, no_proxy=value):
        yield


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables of this process, as they were afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
