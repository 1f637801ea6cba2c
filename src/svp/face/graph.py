"""A network of MediaPipe that starts with its first picture, and without a word; `person.py` alone starts its own."""

import contextlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np


@contextlib.contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """MediaPipe's C++ side reports every start on descriptor 2, past Python's logging; errors must stay one line."""
    sys.stderr.flush()
    saved = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


class MediaPipeGraph(ABC):
    """One of MediaPipe's solutions, closed after use; a call after that starts it again."""

    def __init__(self) -> None:
        self._graph: Any = None

    @abstractmethod
    def _start(self, solutions: Any) -> Any:
        """The solution, out of `mediapipe.solutions`."""

    def _found_in(self, image: np.ndarray) -> Any:
        """What it finds in a picture, uint8 RGB (H, W, 3)."""
        image = np.ascontiguousarray(image).view()
        image.flags.writeable = False  # MediaPipe copies what might change
        if self._graph is not None:
            return self._graph.process(image)
        with native_stderr_silenced():  # the first picture starts the graph, which logs as well
            import mediapipe

            self._graph = self._start(mediapipe.solutions)
            return self._graph.process(image)

    def close(self) -> None:
        """Free the network."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
