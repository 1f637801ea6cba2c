"""`svp generate --jobs`: many videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from svp.cli.paths import need_file, need_output_folder
from svp.errors import InputError

if TYPE_CHECKING:
    from svp.media.marking import Marking

OF_ALL = ("jobs", "output", "workers", "ray", "max_memory", "no_provenance", "certificate", "key")
OF_A_PLAN = ("plan", "size", "seconds", "device")  # which no line has


def generate_jobs(
    context: typer.Context,
    jobs: Path,
    output: Path | None,
    workers: int | None,
    ray: str | None,
    max_memory: float | None,
    marking: Marking,
) -> None:
    """Make the videos of a file; the exit code is 1 if one of them could not be made.

    Raises:
        InputError: an option is not for many videos, or no line of the file can be used.
    """
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in OF_ALL and source is not None and source.name == "COMMANDLINE":
            remedy = "leave it out with --jobs" if name in OF_A_PLAN else f"write it into the lines of {jobs}"
            raise InputError(f"--{name.replace('_', '-')}: is for one video; {remedy}")
    if output is None:
        raise InputError("Missing option '-o', the folder for the videos; see `svp generate --help`")
    need_file(jobs, "--jobs")
    need_output_folder(output)
    from svp.jobs.manifest import MANIFEST
    from svp.jobs.run import generate_all

    report = generate_all(jobs, output, workers=workers, ray=ray, max_memory=max_memory, marking=marking)
    if all(row.status == "rejected" for row in report.rows):
        first = report.rows[0]
        more = f" (and {len(report.rows) - 1} more, see {output / MANIFEST})" if len(report.rows) > 1 else ""
        raise InputError(f"{jobs}: no line can be used, line {first.line}: {first.reason}{more}")
    typer.echo(f"{output}: {report}")
    if not report.complete:
        raise typer.Exit(1)
