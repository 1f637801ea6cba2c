"""What an evaluation found: figures per metric and system with everything needed to judge them; JSON in and out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from svp.errors import InputError
from svp.media.whole_file import whole_file

TRUTH = "truth"  # name of the row of the references themselves
Better = Literal["higher", "lower", "near zero", "near the truth's"]

Key = TypeVar("Key", bound=Hashable)


class Part(BaseModel):
    """A piece of a report; figures that are not known are None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(Part):
    """A system's figure in one metric.

    Attributes:
        system: its name, or `truth` for the references measured like a system.
        clips: that were measured.
        inputs: that they were made from; several samples of one input are clips, but one input.
        frames: that were measured; of metrics that compare frame by frame those that video and reference both have.
        vectors: set metrics: features that were compared.
        mean: over the clips.
        low, high: bootstrap interval of the mean over the inputs.
        absolute: mean of the absolute values, where the metric should be near zero: errors of both signs do not cancel.
        unmeasured: names of the clips that say nothing, by reason.
        parts: means of the figures per part.
        curve: means of the figures per second, over the clips that last so long.
    """

    system: str
    clips: int
    inputs: int
    frames: int
    vectors: int | None = None
    mean: float | None
    low: float | None = None
    high: float | None = None
    absolute: float | None = None
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
        floor_text: how it was measured, and what it does not say.
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
    floor_text: str = ""
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
        sizes: of the videos of the truth and of each system: how many are WIDTH x HEIGHT pixels large.
        warnings: why the figures of several metrics may not compare.
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
    sizes: dict[str, dict[str, int]]
    warnings: list[str]
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
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def grouped(pairs: Iterable[tuple[Key, str]]) -> dict[Key, list[str]]:
    """The names that share a key, in the order given."""
    groups: defaultdict[Key, list[str]] = defaultdict(list)
    for key, name in pairs:
        groups[key].append(name)
    return dict(groups)


def best_systems(metric: MetricReport) -> set[str]:
    """The systems that are best in the metric's direction, by their mean; near zero, by the mean absolute value."""
    known = {
        row.system: row.mean if row.absolute is None else row.absolute for row in metric.rows if row.mean is not None
    }
    truth = known.pop(TRUTH, None)
    if len({row.system for row in metric.rows} - {TRUTH}) < 2:
        return set()  # nothing it could be better than
    if metric.better == "higher":
        badness = {name: -value for name, value in known.items()}
    elif metric.better == "near the truth's":
        badness = {} if truth is None else {name: abs(value - truth) for name, value in known.items()}
    else:
        badness = known
    return {name for name, value in badness.items() if value == min(badness.values())}
