"""Two looks at a source give the same pictures, whether its frames are held or decoded again."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from portrait_clips import write_portrait_clip

from svp.datasets.two_looks import TwoLooks
from svp.media.decoded_frame import DecodedFrame
from svp.media.video import decoded_frames, read_frames

FRAMES = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_portrait_clip(tmp_path_factory.mktemp("source") / "a.mp4", frames=FRAMES)


def decodings_of_two_looks(clip: Path, room: int, ahead: int) -> int:
    """How often a clip was decoded; the second look begins when the first has seen so many frames."""
    decoded = 0

    def decode() -> Iterator[DecodedFrame]:
        nonlocal decoded
        decoded += 1
        yield from decoded_frames(clip)

    looks = TwoLooks(decode, room)
    first, second = looks.first(), looks.second()
    seen = list(islice(first, ahead))
    shown = [next(second)]
    seen += first
    shown += second
    true = list(read_frames(clip))
    np.testing.assert_array_equal(seen, true)
    np.testing.assert_array_equal(shown, true)
    return decoded


def test_frames_that_fit_are_decoded_once(clip: Path) -> None:
    (all_bytes,) = {FRAMES * frame.nbytes for frame in decoded_frames(clip)}
    assert all_bytes < sum(picture.nbytes for picture in read_frames(clip))
    decodings = partial(decodings_of_two_looks, clip)
    assert decodings(room=all_bytes, ahead=FRAMES + 1) == 1
    assert decodings(room=all_bytes - 1, ahead=FRAMES + 1) == 2
    assert decodings(room=all_bytes, ahead=5) == 2  # the first look goes on


def test_no_more_is_held_than_fits(clip: Path) -> None:
    (each,) = {frame.nbytes for frame in decoded_frames(clip)}
    looks = TwoLooks(partial(decoded_frames, clip), room=3 * each)
    held = [len(looks._held or ()) for _ in looks.first()]
    assert held == [1, 2, 3, *[0] * (FRAMES - 3)]
