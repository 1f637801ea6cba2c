"""What a preparation left: accepted clips, rejected ones by reason, seconds of speech of everybody in every emotion."""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from svp.datasets.manifest import NEUTRAL, ClipRow, Split
from svp.media.video import FPS
from svp.media.whole_file import whole_file

SPEECH_CSV = "speech.csv"
SHOWN = 20  # identities in the printed table; all are in SPEECH_CSV
NAMED = 30  # identities of a split; the paper's test sets have at most 25


@dataclass(frozen=True)
class PrepareReport:
    """What a run left in the dataset.

    Attributes:
        accepted: rows of the clips that can be used.
        rejected: rows of those that cannot.
        kept: number of sources that an earlier run had done.
        gone: number of sources that are not there or cannot be read, and whose clips stay.
        namesakes: sources that were not taken, as the dataset has a file of their name from another folder.
        dropped: number of clips that left because their options changed and their source is not there.
        changed: options that are other than in the run before, as `size 128 -> 512`.
        makers: number of sources that each worker, PROCESS@MACHINE, has made or rejected now.
    """

    accepted: tuple[ClipRow, ...]
    rejected: tuple[ClipRow, ...]
    kept: int
    gone: int = 0
    namesakes: tuple[str, ...] = ()
    dropped: int = 0
    changed: tuple[str, ...] = ()
    makers: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        frames = sum(row.frames for row in self.accepted)
        identities = len({row.identity for row in self.accepted})
        lines = [
            f"{len(self.accepted)} clips of {identities} identities accepted, {frames} frames, {frames / FPS:.0f} s"
        ]
        if self.changed:
            lines.append(f"changed since the run before: {', '.join(self.changed)}")
        if self.kept:
            lines.append(f"{self.kept} source files were done before")
        if self.gone:
            lines.append(f"{self.gone} source files are gone or cannot be read; their clips stay")
        if self.namesakes:
            lines.append(
                f"{len(self.namesakes)} files were not taken, as the dataset has clips of these names from another "
                f"folder (such as {self.namesakes[0]}); rename them"
            )
        if self.dropped:
            lines.append(f"{self.dropped} clips left the dataset: made with other options, and their source is gone")
        return "\n".join([*lines, *self._work(), *reject_reasons(self.rejected), *self._speech(), *self._splits()])

    def _work(self) -> list[str]:
        """What each machine did, where several processes worked."""
        if len(self.makers) < 2:
            return []
        machines: defaultdict[str, list[int]] = defaultdict(list)
        for worker, made in self.makers.items():
            machines[worker.partition("@")[2]].append(made)
        return [
            f"{machine}: {len(made)} processes did {sum(made)} source files, {min(made)} to {max(made)} each"
            for machine, made in sorted(machines.items())
        ]

    def _speech(self) -> list[str]:
        """A table of the seconds with sound, identities by emotions."""
        seconds = speech_seconds(self.accepted)
        emotions = sorted({emotion for _, emotion in seconds}, key=lambda emotion: (emotion != NEUTRAL, emotion))
        people = sorted({identity for identity, _ in seconds})
        if not people:
            return []
        width = max(len("identity"), *(len(name) for name in people[:SHOWN]))
        columns = [max(len(emotion), 7) for emotion in emotions]

        def line(name: str, values: list[str]) -> str:
            cells = (f"{value:>{size}}" for value, size in zip(values, columns, strict=True))
            return f"  {name:<{width}}  {'  '.join(cells)}"

        lines = ["seconds of speech:", line("identity", emotions)]
        for name in people[:SHOWN]:
            lines.append(line(name, [f"{seconds.get((name, emotion), 0):.0f}" for emotion in emotions]))
        if len(people) > SHOWN:
            lines.append(f"  and {len(people) - SHOWN} more, see {SPEECH_CSV}")
            total = [sum(value for key, value in seconds.items() if key[1] == emotion) for emotion in emotions]
            lines.append(line("all", [f"{value:.0f}" for value in total]))
        return lines

    def _splits(self) -> list[str]:
        """Who is in the splits that are not for training."""
        names: dict[Split, set[str]] = {"train": set(), "val": set(), "test": set()}
        for row in (*self.accepted, *self.rejected):
            names[row.split].add(row.identity)
        held = [f"{split}: {_listed(sorted(names[split])) or 'nobody'}" for split in ("test", "val")]
        return [*held, f"train: the other {len(names['train'])} identities"]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return " ".join(names[:NAMED]) + more


def speech_seconds(rows: Sequence[ClipRow]) -> dict[tuple[str, str], float]:
    """Seconds of clips with sound by (identity, emotion)."""
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        seconds[row.identity, row.emotion] += row.seconds if row.has_sound else 0.0
    return dict(seconds)


def write_speech(root: Path, rows: Sequence[ClipRow]) -> None:
    """Write SPEECH_CSV of the accepted rows: a line per identity and emotion, at once."""
    groups: defaultdict[tuple[str, str, str], list[ClipRow]] = defaultdict(list)
    for row in rows:
        groups[row.identity, row.emotion, row.split].append(row)
    heard = speech_seconds(rows)
    with whole_file(root / SPEECH_CSV) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["identity", "emotion", "split", "clips", "seconds", "speech_seconds"])
        for (identity, emotion, split), clips in sorted(groups.items()):
            seconds = sum(row.seconds for row in clips)
            table.writerow([identity, emotion, split, len(clips), f"{seconds:.2f}", f"{heard[identity, emotion]:.2f}"])


def reject_reasons(rejected: Sequence[ClipRow]) -> list[str]:
    """How many were rejected for what, with the numbers of one of them, in lines; none if there are none."""
    reasons: defaultdict[str, list[ClipRow]] = defaultdict(list)
    for row in rejected:
        reasons[re.sub(r"\d+(\.\d+)?", "n", row.reason)].append(row)
    lines = []
    for _, rows in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        shown = min(rows, key=lambda row: (row.source, row.clip_id))
        lines.append(f"  {len(rows):5d}  {shown.reason} ({'such as ' if len(rows) > 1 else ''}{shown.source})")
    return [f"{len(rejected)} rejected:", *lines] if lines else []
