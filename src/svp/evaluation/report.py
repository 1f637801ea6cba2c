"""What an evaluation found: figures per metric and system with everything needed to judge them; JSON in and out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from svp.errors import InputError
from svp.evaluation.metric import Better

TRUTH = "truth"  # name of the row of the references themselves


class Part(BaseModel):
    """A piece of a report; figures that are not known are None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(Part):
    """A system's figure in one metric.

    Attributes:
        system: its name, or `truth` for the references measured like a system.
        clips, frames: that were measured.
        mean: over the clips.
        low, high: bootstrap interval of the mean over the clips.
        unmeasured: names of the clips that say nothing, by reason.
        parts: means of the figures per part.
        curve: means of the figures per second, over the clips that last so long.
    """

    system: str
    clips: int
    frames: int
    mean: float | None
    low: float | None = None
    high: float | None = None
    unmeasured: dict[str, list[str]] = {}
    parts: dict[str, float] = {}
    curve: list[float] = []


class MetricReport(Part):
    """One metric of all systems.

    Attributes:
        name, title, unit, better, source, pitfalls: see `metric.About`.
        weights: what measured it.
        rows: the truth first, then the systems.
        floor: set metrics: the figure of one half of the references against the other.
        warnings: why the figures may mean little.
    """

    name: str
    title: str
    unit: str
    better: Better
    source: str
    pitfalls: str
    weights: str
    rows: list[Row]
    floor: float | None = None
    warnings: list[str] = []


class ClipReport(Part):
    """The figures of one video."""

    system: str
    name: str
    frames: int
    values: dict[str, float]


class Problem(Part):
    """A video that could not be measured at all, or is missing."""

    system: str
    name: str
    reason: str


class Report(Part):
    """An evaluation.

    Attributes:
        systems: folder of each system.
        reference: folder of the true videos.
        seed, resamples, confidence: of the bootstrap intervals.
        fps: rate at which all videos are compared.
        crop, resize: how pictures are laid over each other.
        versions: of the software that measured.
    """

    systems: dict[str, str]
    reference: str
    seed: int
    resamples: int
    confidence: float
    fps: float
    crop: str
    resize: str
    versions: dict[str, str]
    metrics: list[MetricReport]
    absent: dict[str, str]
    problems: list[Problem]
    clips: list[ClipReport]

    def save(self, path: Path) -> None:
        """Write JSON; the file appears whole."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read JSON.

        Raises:
            InputError: it is no report.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no report of `svp evaluate` ({str(error).splitlines()[0]})") from error


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def best_systems(metric: MetricReport) -> set[str]:
    """The systems whose mean is best in the metric's direction."""
    known = {row.system: row.mean for row in metric.rows if row.mean is not None}
    truth = known.pop(TRUTH, None)
    if not known:
        return set()
    goal = {"near zero": 0.0, "near the truth's": truth}.get(metric.better)
    if metric.better == "higher":
        badness = {name: -mean for name, mean in known.items()}
    elif goal is None:
        badness = known if metric.better == "lower" else {}
    else:
        badness = {name: abs(mean - goal) for name, mean in known.items()}
    return {name for name, value in badness.items() if value == min(badness.values())}
