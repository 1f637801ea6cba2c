"""The frames of a source for two looks at it, as the crop of a clip follows from all that is seen in it."""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from svp.media.decoded_frame import DecodedFrame

ROOM = 512 * 2**20  # bytes of frames that a worker holds: nearly a minute of 512 pixels, 7 seconds of 1080p


class TwoLooks:
    """Frames that are gone through twice: held for the second time if all of them fit, else decoded again.

    Args:
        decode: gives the frames from the first one on, at each call.
        room: bytes that may be held.
    """

    def __init__(self, decode: Callable[[], Iterator[DecodedFrame]], room: int = ROOM) -> None:
        self._decode, self._room = decode, room
        self._held: deque[DecodedFrame] | None = deque()
        self._all_held = False

    def first(self) -> Iterator[np.ndarray]:
        """Pictures, uint8 RGB (H, W, 3)."""
        for frame in self._decode():
            if self._held is not None:
                self._held.append(frame)
                self._room -= frame.nbytes
                if self._room < 0:
                    self._held = None
            yield frame.picture()
        self._all_held = self._held is not None

    def second(self) -> Iterator[np.ndarray]:
        """The same pictures again; before the first one is asked for, the first look should be at its end, or it holds
        nothing."""
        held, self._held = self._held if self._all_held else None, None
        if held is None:
            yield from (frame.picture() for frame in self._decode())
            return
        while held:
            yield held.popleft().picture()
