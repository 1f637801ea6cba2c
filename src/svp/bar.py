"""A bar for what has to be made first."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def transient_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that goes when its work is done; it is told (done, total)."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
