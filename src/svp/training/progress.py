"""What a person sees while a stage trains: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 30.0
SMOOTHING = 0.98  # of the shown loss, which is noisy from step to step


class TrainProgress:
    """Progress of a run of `steps` steps of which `done` are behind it; silent except on the main process."""

    def __init__(self, title: str, steps: int, done: int, shown: bool) -> None:
        self.console = Console(stderr=True, quiet=not shown)
        self.title, self.steps, self.step, self.first = title, steps, done, done
        self.loss: float | None = None
        self.started = self.last_line = time.monotonic()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not (shown and self.console.is_terminal),
        )
        self.task = self.bar.add_task(title, total=steps, completed=done, figures="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def advance(self, figures: dict[str, float]) -> None:
        """One step is done."""
        self.step += 1
        loss = figures["loss"]
        self.loss = loss if self.loss is None else SMOOTHING * self.loss + (1 - SMOOTHING) * loss
        self.bar.update(self.task, advance=1, figures=f"loss {self.loss:.4f}")
        if not self.console.is_terminal and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            rate = (self.step - self.first) / (self.last_line - self.started)
            self.console.print(f"{self.title}: step {self.step}/{self.steps}, loss {self.loss:.4f}, {rate:.2f} steps/s")

    def validated(self, figures: dict[str, float], step: int) -> None:
        """Show validation figures above the bar."""
        if figures:
            text = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
            self.console.print(f"{self.title}: step {step}, validation {text}", highlight=False)
