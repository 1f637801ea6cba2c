"""`svp doctor`: what this installation can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svp.cli.model import show_metric_terms
from svp.cli.paths import need_file, need_folder, need_output
from svp.errors import InputError


def doctor(
    bundle: Annotated[
        Path | None,
        typer.Option(help="Write a ZIP for a bug report, without private paths: this report and all versions."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder that `svp import` wrote: that for `svp evaluate --weights`, or a model.")
    ] = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Compute figures that others published of those weights, and compare.")
    ] = False,
    example: Annotated[
        Path | None, typer.Option(help="With --metrics: example.avi of syncnet_python, for SyncNet's figures.")
    ] = None,
    cifar: Annotated[
        Path | None, typer.Option(help="With --metrics: folder with CIFAR-10's binary version, for the FID.")
    ] = None,
) -> None:
    """Say what is installed, what is missing, what that would enable and how to get it.

    The exit code is 0 if videos can be made, and 1 if something for that is broken or, with --metrics, a figure is off.

    Example: svp doctor --bundle report.zip
    """
    if weights is not None:
        need_folder(weights, "what `svp import` wrote")
    for option, given in (("--example", example), ("--cifar", cifar)):
        if given is not None and not metrics:
            raise InputError(f"{option} {given}: is for the figures of metrics; give --metrics too")
    if example is not None:
        need_file(example, "--example")
    if metrics and bundle is not None:
        raise InputError(
            f"--bundle {bundle}: holds the report, which --metrics does not make; leave it or --metrics out"
        )
    if metrics:
        check_metrics(weights, example, cifar)
        return
    if bundle is not None:
        need_output(bundle, ".zip")
    from rich.console import Console

    from svp.doctor.report import examine_all

    report = examine_all(weights)
    console = Console()
    if console.is_terminal:
        report.print(console)
    else:
        typer.echo(report.text(), nl=False)
    if bundle is not None:
        report.save_bundle(bundle, *([] if weights is None else [str(weights)]))
        typer.echo(f"{bundle}: this report without private paths; look into it before you send it")
    if not report.can_generate:
        raise typer.Exit(1)


def check_metrics(weights: Path | None, example: Path | None, cifar: Path | None) -> None:
    """Print figures that others published beside ours; the exit code is 1 if one differs."""
    if weights is None:
        raise InputError("Missing option '--weights', the folder that `svp import` wrote; see `svp doctor --help`")
    from rich.console import Console
    from rich.table import Table

    from svp.evaluation.networks import NEEDED
    from svp.evaluation.reference_values import reference_checks

    show_metric_terms(weights, NEEDED)
    table = Table("figure", "published", "here", "verdict", box=None)
    differs = False
    for check in reference_checks(weights, example, cifar):
        differs |= check.measured is not None and not check.agrees
        here = "" if check.measured is None else f"{check.measured:.4g}"
        verdict = check.missing or ("agrees" if check.agrees else f"DIFFERS by more than {check.tolerance:g}")
        table.add_row(check.title, f"{check.expected:g}", here, verdict)
    Console().print(table)
    if differs:
        raise typer.Exit(1)
