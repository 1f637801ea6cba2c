"""The command line. Thin: every command checks its options and calls one function of a room.

A file per room. Rooms are imported inside the commands, so that `svp --help` and a wrong option answer at once.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from svp.cli.datasets import motions, puppet, sheet
from svp.cli.doctor import doctor
from svp.cli.evaluate import evaluate
from svp.cli.generate import generate
from svp.cli.prepare import prepare
from svp.cli.reproduce import reproduce
from svp.cli.style import style_app
from svp.cli.train import train
from svp.cli.verify import verify
from svp.cli.weights import import_
from svp.errors import InputError

app = typer.Typer(
    name="svp",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="SVP: a portrait, a recording, a head motion and a *style* become a talking-head video.",
)
for command in (generate, prepare, puppet, sheet, motions, train, evaluate, reproduce, verify, doctor):
    app.command()(command)
app.command("import")(import_)
app.add_typer(style_app, name="style")


def main() -> NoReturn:
    """Entry point: what the user can put right becomes one line on stderr and exit code 2; an interrupt is 130."""
    try:
        sys.exit(app(args=sys.argv[1:] or ["--help"], prog_name="svp", standalone_mode=False))
    except InputError as error:
        message = str(error)
    except typer.TyperException as error:  # an option or a command that does not exist, or a value it cannot have
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "svp"
        message = f"{error.format_message().rstrip('.')}; see `{command} --help`"
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("svp: interrupted", err=True)
        sys.exit(130)
    typer.echo(f"svp: {message.replace(chr(10), ' ')}", err=True)
    sys.exit(2)
