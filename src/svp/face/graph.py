"""A network of MediaPipe that starts with its first picture, and without a word; `person.py` alone starts its own."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

import numpy as np

from svp.native_stderr import native_stderr_silenced


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
        with native_stderr_silenced():  # the first picture starts the graph, which logs as well, in C++
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
