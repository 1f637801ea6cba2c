"""Bars on stderr for what takes long."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def transient_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that goes when its work is done; it is told (done, total)."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def bytes_bar(text: str, total: int, *, shown: bool) -> Iterator[Callable[[int, float, Mapping[str, int]], None]]:
    """A bar over the bytes of files, with the rate and the time left.

    It is told of every file (its bytes, the seconds of video made of it, what to add to the counts that are shown).
    """
    columns = (
        TextColumn(text),
        *(BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()),
        TextColumn("{task.description}"),
    )
    counts: Counter[str] = Counter()
    begin, made = time.perf_counter(), 0.0
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("", total=max(total, 1), rate="")

        def told(size: int, seconds: float, more: Mapping[str, int]) -> None:
            nonlocal made
            made += seconds
            counts.update(more)
            rate = f"{made / (time.perf_counter() - begin):.2f} s of video per second"
            state = ", ".join(f"{n} {name}" for name, n in counts.items())
            bar.update(task, advance=size, rate=rate, description=state)

        yield told
