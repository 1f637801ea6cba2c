"""`svp app`: the page in the browser."""

from __future__ import annotations

import ipaddress
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from svp.cli.marking import choose_marking
from svp.cli.model import load_pipeline, model_name
from svp.cli.paths import need_folder
from svp.errors import InputError, install


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in. This machine alone by default.")
    ] = "127.0.0.1",
    password: Annotated[
        str | None, typer.Option(envvar="SVP_APP_PASSWORD", help="USER:WORD that visitors log in with.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A model folder instead of the shipped one.")] = None,
    max_seconds: Annotated[float, typer.Option(min=1, max=3600, help="The longest recording that is taken.")] = 60.0,
    queue: Annotated[int, typer.Option(min=1, help="How many may wait for their video.")] = 16,
    reports: Annotated[
        Path | None, typer.Option(help="Folder with reports of `svp evaluate`, shown on the second tab.")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(help="PEM chain that signs the provenance of the videos, with --key; or $SVP_CERTIFICATE."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM key of the certificate, or $SVP_KEY.")] = None,
) -> None:
    """Make videos on a page in the browser. Its making of a video is an HTTP API too, see docs/app.md.

    Example: svp app --port 7860
    """
    user, separator, word = (password or "").partition(":")
    if password is not None and not (user and separator and word):
        raise InputError("--password: write USER:WORD")
    if reports is not None:
        need_folder(reports, "reports")
    try:
        from svp.app.server import ServerOptions, need_port, serving
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "gradio":
            raise
        raise InputError(f"svp app: needs Gradio; {install('app')}") from error
    from svp.diffusion.model_folder import check_model_folder, find_model
    from svp.diffusion.untrained import check_trained

    need_port(host, port)
    marking = choose_marking(True, certificate, key)  # what cannot sign is told now, not after a visitor's video
    name = model_name(model, None)
    folder = find_model(name)
    check_model_folder(folder)
    check_trained(folder, styled=True)
    typer.echo(f"{name}: loading, which takes some seconds", err=True)
    pipeline = load_pipeline(name)
    typer.echo(f"sound features: {pipeline.audio_encoder.id}", err=True)  # loaded now, not while a visitor waits
    options = ServerOptions(
        host, port, (user, word) if password is not None else None, max_seconds, queue, reports, marking
    )
    _leave_nothing()
    with serving(pipeline, name, options) as address:
        typer.echo(f"{address} is ready; end it with Ctrl-C")
        if password is None and not _only_here(host):
            typer.echo("svp: whoever reaches this machine can use the page; --password asks for one", err=True)
        threading.Event().wait()


def _leave_nothing() -> None:
    """A server that is ended, or whose terminal is closed, deletes what visitors left as one that is interrupted."""
    endings = [ending for ending in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(ending) is not signal.SIG_IGN]

    def end(number: int, _: object) -> None:
        for ending in endings:  # kernel and shell may both tell that a terminal is gone
            signal.signal(ending, signal.SIG_IGN)
        sys.exit(128 + number)

    for ending in endings:
        signal.signal(ending, end)


def _only_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
