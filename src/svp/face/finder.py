"""Where the faces of a picture are: boxes alone, of all people in it.

MediaPipe's full-range face detection (Apache-2.0, its model is inside the wheel).
"""

from typing import Any

import numpy as np

from svp.face.graph import MediaPipeGraph


class FaceFinder(MediaPipeGraph):
    """Finds every face of single pictures, up to a few metres from the camera."""

    def _start(self, solutions: Any) -> Any:
        return solutions.face_detection.FaceDetection(model_selection=1)

    def find(self, image: np.ndarray) -> np.ndarray:
        """Boxes of the faces.

        Args:
            image: uint8 RGB, (H, W, 3).

        Returns:
            (K, 4) float: left, top, right, bottom in pixels; K may be 0.
        """
        height, width = image.shape[:2]
        boxes = [face.location_data.relative_bounding_box for face in self._found_in(image).detections or ()]
        corners = [(box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height) for box in boxes]
        return np.array(corners, np.float64).reshape(-1, 4) * (width, height, width, height)
