"""A frame as the codec left it, which becomes the picture that a viewer sees when somebody asks for it."""

from dataclasses import dataclass
from typing import cast

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter


@dataclass(frozen=True)
class DecodedFrame:
    """A frame that outlives its file and, being YUV as a rule, takes half of the bytes of its picture.

    Attributes:
        frame: as decoded.
        width: in square pixels; see `shown_width`.
        converter: one per stream; making one anew for every frame costs more than the conversion.
    """

    frame: av.VideoFrame
    width: int
    converter: VideoReformatter

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(plane.buffer_size for plane in self.frame.planes)

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, rotated and mirrored as the display matrix says, with square pixels; anew each time."""
        converted = self.converter.reformat(self.frame, self.width, self.frame.height, "rgb24", threads=1)
        picture = converted.to_ndarray()  # a view
        if converted is self.frame:
            picture = picture.copy()
        # `frame.side_data` would tie the frame to itself: it would stay until Python looks for such rings.
        side_data = SideDataContainer(self.frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
        if side_data is None:
            return picture
        matrix = np.frombuffer(bytes(cast(Buffer, side_data)), "<i4")
        # A point (x, y) goes to (a x + c y, b x + d y); a, b are matrix[0], matrix[1] and c, d matrix[3], matrix[4].
        a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
        if abs(b) > abs(a):
            picture, x_flip, y_flip = picture.swapaxes(0, 1), c < 0, b < 0
        else:
            x_flip, y_flip = a < 0, d < 0
        return np.ascontiguousarray(picture[:: -1 if y_flip else 1, :: -1 if x_flip else 1])


def shown_width(stream: av.VideoStream, width: int) -> int:
    """A width in the pixels of a stream, in square pixels."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return max(1, round(width * float(aspect))) if aspect else width
