"""beta as in the paper: the expression of the Basel Face Model as Deep3DFaceRecon measures it, from MATLAB files.

A frame has 257 coefficients: identity 80, expression 64, texture 80, angles 3, light 27, translation 3.

Shapes: N frames at the rate of the video they were measured on, which the file does not say.
"""

from pathlib import Path

import numpy as np
from scipy.io import loadmat, whosmat

from svp.errors import InputError

ENCODER_ID = "deep3d-64/1"
VARIABLE = "coeff"  # its name in the files of Deep3DFaceRecon, PIRender, StyleTalk and DreamTalk
COEFFICIENTS = 257
EXPRESSION = slice(80, 144)
MAX_FRAMES = 200_000  # two hours, 200 MB


def read_expression(path: Path) -> np.ndarray:
    """Expression coefficients (N,64) float32 of every frame in a file with the array `coeff` (N,257).

    Only this array is read, after its declared size and type have been looked at.

    Raises:
        InputError: no MATLAB file, no such array, another size or type, no frame, or values that are not finite.
    """
    try:
        found = {name: (shape, kind) for name, shape, kind in whosmat(str(path), appendmat=False)}
    except Exception as error:  # damaged files break SciPy's parser in many ways
        raise _unreadable(path, error) from error
    if VARIABLE not in found:
        raise InputError(f"{path}: has no array {VARIABLE!r}; give the coefficients of Deep3DFaceRecon by that name")
    shape, kind = found[VARIABLE]
    if kind not in ("single", "double") or len(shape) != 2 or shape[1] != COEFFICIENTS:
        size = " x ".join(map(str, shape))
        raise InputError(
            f"{path}: {VARIABLE} is {size} {kind}, not frames x {COEFFICIENTS} numbers; "
            "give the coefficients of Deep3DFaceRecon"
        )
    if not 1 <= shape[0] <= MAX_FRAMES:
        raise InputError(f"{path}: {VARIABLE} has {shape[0]} frames; give 1 to {MAX_FRAMES}")
    try:
        coefficients = loadmat(str(path), appendmat=False, variable_names=[VARIABLE])[VARIABLE]
    except Exception as error:
        raise _unreadable(path, error) from error
    if coefficients.dtype.kind not in "fiu":  # whole numbers are stored as such
        raise InputError(f"{path}: {VARIABLE} holds no real numbers; give the coefficients of Deep3DFaceRecon")
    with np.errstate(over="ignore"):  # told next
        expression = np.ascontiguousarray(coefficients[:, EXPRESSION], np.float32)
    if not np.isfinite(expression).all():
        frame = int((~np.isfinite(expression)).any(axis=1).argmax())
        raise InputError(f"{path}: the expression of frame {frame} is not finite; measure the clip again")
    return expression


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: not a readable MATLAB file ({' '.join(str(error).split())}); save it with -v7 again")
