"""Reports of `svp evaluate` on the page: those of a folder, and any that is uploaded."""

from __future__ import annotations

from html import escape
from pathlib import Path

from svp.errors import InputError
from svp.evaluation.page import html_page
from svp.evaluation.report import Report


class Reports:
    """The reports of a folder, looked for anew every time.

    Args:
        folder: searched with the folders in it; None has no reports.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Those that can be read, the newest first, by their paths in the folder."""
        if self.folder is None:
            return []
        found = [(changed, path) for path in self.folder.rglob("*.json") if (changed := _changed(path)) is not None]
        newest = [path for _, path in sorted(found, reverse=True)]
        return [path.relative_to(self.folder).as_posix() for path in newest if _is_report(path)]

    def page(self, name: str) -> str:
        """A report of the folder, see `framed`.

        Raises:
            InputError: there is none of that name.
        """
        if self.folder is None or name not in self.names():
            raise InputError(f"{name}: no report of this server; choose one from the list")
        return framed(self.folder / name)


def framed(path: Path) -> str:
    """A report as a frame for a page, in which nothing of it can run or reach the page around it.

    Raises:
        InputError: the file is no report.
    """
    try:
        page = html_page(Report.load(path))
    except InputError as error:
        raise InputError(f"{path.name}: no report; upload the .json that `svp evaluate` wrote") from error
    return f'<iframe class="report" title="Evaluation report" sandbox srcdoc="{escape(page)}"></iframe>'


def _changed(path: Path) -> float | None:
    """When; None of a file that is gone, or of a link to none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _is_report(path: Path) -> bool:
    try:
        Report.load(path)
    except InputError:
        return False
    return True
