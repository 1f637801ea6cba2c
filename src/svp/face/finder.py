"""Where the faces of a picture are: boxes alone, of all people in it.

MediaPipe's full-range face detection (Apache-2.0, its model is inside the wheel).
"""

from types import TracebackType
from typing import Any, Self

import numpy as np

from svp.face.landmarks import native_stderr_silenced


class FaceFinder:
    """Finds every face of single pictures, up to a few metres from the camera."""

    def __init__(self) -> None:
        self._detection: Any = None

    def find(self, image: np.ndarray) -> np.ndarray:
        """Boxes of the faces.

        Args:
            image: uint8 RGB, (H, W, 3).

        Returns:
            (K, 4) float: left, top, right, bottom in pixels; K may be 0.
        """
        height, width = image.shape[:2]
        image = np.ascontiguousarray(image)
        if self._detection is None:
            with native_stderr_silenced():  # the first picture starts the graph, which logs as well
                import mediapipe

                self._detection = mediapipe.solutions.face_detection.FaceDetection(model_selection=1)
                found = self._detection.process(image)
        else:
            found = self._detection.process(image)
        boxes = [face.location_data.relative_bounding_box for face in found.detections or ()]
        corners = [(box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height) for box in boxes]
        return np.array(corners, np.float64).reshape(-1, 4) * (width, height, width, height)

    def close(self) -> None:
        """Free the detector; a later call starts a new one."""
        if self._detection is not None:
            self._detection.close()
            self._detection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
