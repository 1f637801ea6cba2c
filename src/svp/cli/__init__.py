"""The command line. Thin: every command checks its options and calls one function of a room.

A file per room. Rooms are imported inside the commands, so that `svp --help` and a wrong option answer at once.
"""

from __future__ import annotations

import errno
import logging
import sys
import warnings
from typing import Annotated, Final, NoReturn, TextIO

import typer

from svp import __version__
from svp.cli.app import serve
from svp.cli.datasets import motions, puppet, sheet
from svp.cli.doctor import doctor
from svp.cli.evaluate import evaluate
from svp.cli.generate import generate
from svp.cli.prepare import prepare
from svp.cli.reproduce import reproduce_app
from svp.cli.style import style_app
from svp.cli.train import train
from svp.cli.verify import verify
from svp.cli.weights import import_
from svp.errors import InputError, InputWarning

app = typer.Typer(
    name="svp",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"svp {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Say which version this is.")
    ] = False,
) -> None:
    """SVP: a portrait, a recording, a head motion and a *style* become a talking-head video."""


for command in (generate, prepare, puppet, sheet, motions, train, evaluate, verify, doctor):
    app.command()(command)
app.command("import")(import_)
app.command("app")(serve)
app.add_typer(style_app, name="style")
app.add_typer(reproduce_app, name="reproduce")

REFUSALS: Final = {  # of the system, wherever they come, and what helps
    errno.EACCES: "change its permissions or choose another",
    errno.EPERM: "change its permissions or choose another",
    errno.EROFS: "choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
    errno.EFBIG: "make room on the disk",
}


def main() -> NoReturn:
    """Entry point: what the user can put right becomes one line on stderr and exit code 2; an interrupt is 130."""
    warnings.showwarning = _show_warning
    _show_log()
    try:
        sys.exit(app(args=sys.argv[1:] or ["--help"], prog_name="svp", standalone_mode=False))
    except InputError as error:
        message = str(error)
    except typer.TyperException as error:  # an option or a command that does not exist, or a value it cannot have
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "svp"
        message = f"{error.format_message().rstrip('.')}; see `{command} --help`"
    except OSError as error:
        if "temporary directory" in str(error.strerror):  # of tempfile, which libraries ask when they are loaded
            message = f"temporary files: {error.strerror}; set TMPDIR to a folder of your own"
        elif error.errno in REFUSALS:
            message = f"{error.filename or 'the output'}: {error.strerror}; {REFUSALS[error.errno]}"
        else:
            raise
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("svp: interrupted", err=True)
        sys.exit(130)
    typer.echo(f"svp: {message.replace(chr(10), ' ')}", err=True)
    sys.exit(2)


class _Line(logging.Handler):
    """A line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(record.getMessage(), err=True)


def _show_log() -> None:
    """Let what the rooms log be shown as it is, whatever other libraries do with theirs."""
    logger = logging.getLogger("svp")
    logger.handlers, logger.propagate = [_Line()], False
    logger.setLevel(logging.INFO)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning that is meant for the user is one line too; others name their place in the code."""
    own = issubclass(category, InputWarning)
    text = f"svp: {message}" if own else warnings.formatwarning(message, category, filename, lineno, line)
    typer.echo(text, file=file, err=file is None)
