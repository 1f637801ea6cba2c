"""The doctor's report: examined, printed, packed for a bug report."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from svp.doctor.finding import Finding
from svp.doctor.private import without_private
from svp.errors import InputError
from svp.media.whole_file import whole_file

if TYPE_CHECKING:
    from rich.console import Console

MARKS: Final = {"ok": "  ok", "later": "  later", "missing": "  absent", "broken": "  BROKEN"}
WIDTH: Final = 1000  # of the text in a file: addresses and paths are whole


@dataclass(frozen=True)
class Report:
    """All findings."""

    findings: tuple[Finding, ...]

    @property
    def can_generate(self) -> bool:
        """Whether `svp generate` has what it needs."""
        return not any(finding.state == "broken" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The report in one sentence."""
        broken = [finding.name for finding in self.findings if finding.state == "broken"]
        if broken:
            return f"videos cannot be made: {', '.join(broken)} broken or absent; what to do stands beside"
        later = [finding.name for finding in self.findings if finding.state == "later"]
        once = f" once {', '.join(later)} could be fetched or made, with the first one" if later else ""
        absent = sum(finding.state == "missing" for finding in self.findings)
        what = "what they would add and how to get them stands beside"
        return f"videos can be made{once}; {absent} optional things are absent, {what}"

    def print(self, console: Console) -> None:
        """Write a table per section, then the verdict."""
        from rich.table import Table
        from rich.text import Text

        for section in dict.fromkeys(finding.section for finding in self.findings):
            console.print(Text(section, style="bold"))
            table = Table.grid(padding=(0, 2, 0, 0))
            for finding in self.findings:
                if finding.section == section:
                    told = finding.found + (f" (for {finding.enables})" if finding.enables else "")
                    told += f"\n-> {finding.remedy}" if finding.remedy else ""
                    table.add_row(MARKS[finding.state], finding.name, Text(told, overflow="fold"))
            console.print(table)
            console.print()
        console.print(Text(self.verdict))

    def text(self) -> str:
        """What `print` writes, without colours."""
        from rich.console import Console

        file = io.StringIO()
        self.print(Console(file=file, width=WIDTH, color_system=None))
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"

    def json(self) -> str:
        """The findings as JSON."""
        values = {"can_generate": self.can_generate, "findings": [asdict(finding) for finding in self.findings]}
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    def save_bundle(self, path: Path, *places: str) -> None:
        """Write a zip for a bug report: the report for people and for programs, and all installed packages.

        Home, user, computer and other places on its disks are left out, see `private.py`.

        Args:
            path: of the zip.
            places: to be left out, too: paths that the user gave.

        Raises:
            InputError: it cannot be written.
        """
        private = Report(tuple(_without_private(finding, *places) for finding in self.findings))
        contents = {"doctor.txt": private.text(), "doctor.json": private.json(), "packages.txt": installed_packages()}
        try:
            with whole_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, text in contents.items():
                    archive.writestr(name, text)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def examine_all(weights: Path | None = None) -> Report:
    """Examine this installation.

    Args:
        weights: folder that `svp import` wrote, for `svp evaluate` or as a model.
    """
    from svp.doctor.libraries import examine_libraries
    from svp.doctor.system import examine_system
    from svp.doctor.weights import examine_weights

    return Report((*examine_system(), *examine_libraries(), *examine_weights(weights)))


def installed_packages() -> str:
    """Name and version of every installed package, a line each; places of files are not told."""
    found = {f"{entry.name}=={entry.version}" for entry in metadata.distributions() if entry.name}
    return "".join(f"{line}\n" for line in sorted(found, key=str.lower))


def _without_private(finding: Finding, *places: str) -> Finding:
    return Finding(
        finding.section,
        finding.name,
        finding.state,
        *(without_private(text, *places) for text in (finding.found, finding.enables, finding.remedy)),
    )
