"""Which pixels of a picture show a person, hair and shoulders included.

MediaPipe's selfie segmentation (Apache-2.0, its model is inside the wheel); it knows paintings and statues too.
"""

import numpy as np

from svp.native_stderr import native_stderr_silenced


def person_mask(picture: np.ndarray) -> np.ndarray:
    """Probability that a pixel shows a person.

    Args:
        picture: uint8 RGB, (H, W, 3).

    Returns:
        (H, W) float32, 0 to 1.
    """
    with native_stderr_silenced():
        import mediapipe

        with mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as segmenter:
            found = segmenter.process(np.ascontiguousarray(picture))
    return np.asarray(found.segmentation_mask, np.float32)
