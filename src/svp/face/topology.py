"""Names for the points of the 478-point face topology (468 surface points, then five per iris).

Left and right are the person's own; the person's right eye is on the left of an unmirrored picture. Rings run in order
around their opening, so they can be filled as polygons.
"""

N_SURFACE = 468
N_LANDMARKS = 478

EYE_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
EYE_LEFT = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
EYE_CORNERS_RIGHT = (33, 133)  # outer, inner
EYE_CORNERS_LEFT = (263, 362)
LID_RIGHT = (159, 145)  # middle of the upper and of the lower lid
LID_LEFT = (386, 374)

PUPIL_RIGHT = 468
PUPIL_LEFT = 473
IRIS_RIGHT = (468, 469, 470, 471, 472)  # centre, then four points of the rim
IRIS_LEFT = (473, 474, 475, 476, 477)

LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
LIPS_MIDDLE = (13, 14)  # middle of the inner edge of the upper and of the lower lip
MOUTH_CORNERS = (61, 291)  # right, left
# Between the two edges of each lip lie three more rows of points; all points of a lip move with it.
LIP_UPPER = (
    *(185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(183, 42, 41, 38, 12, 268, 271, 272, 407),
    *(191, 80, 81, 82, 13, 312, 311, 310, 415),
)
LIP_LOWER = (
    *(146, 91, 181, 84, 17, 314, 405, 321, 375),
    *(77, 90, 180, 85, 16, 315, 404, 320, 307),
    *(96, 89, 179, 86, 15, 316, 403, 319, 325),
    *(95, 88, 178, 87, 14, 317, 402, 318, 324),
)

NOSE_TIP = 4
CHIN = 152
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
