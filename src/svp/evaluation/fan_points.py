"""Which of our 478 points stand for the 68 that FAN and dlib find, in the order of that scheme.

The paper measures F-LMD and M-LMD on FAN's points. The two schemes place points by the same features (corners and edges
of lips, lids, brows and nose); along the jaw they agree less: FAN follows the visible outline, ours the surface.
"""

from typing import Final

JAW: Final = (127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356)
BROWS: Final = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
NOSE: Final = (168, 197, 5, 4, 98, 97, 2, 326, 327)
EYES: Final = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
LIPS: Final = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)  # outer edge, clockwise in the picture
LIPS_INSIDE: Final = (78, 81, 13, 311, 308, 402, 14, 178)

MOUTH_20: Final = LIPS + LIPS_INSIDE
FACE_68: Final = JAW + BROWS + NOSE + EYES + MOUTH_20
