"""Many small quadratic problems with bounds at once."""

import numpy as np

NEWTON_ROUNDS = 2  # of one Newton step and some sweeps; a Gauss-Newton fit asks again from where this stops
SWEEPS = 2  # of coordinate descent after each Newton step
STEPS = (1.0, 0.5, 0.2, 0.05)


def solve_box_qp(
    quadratic: np.ndarray,
    linear: np.ndarray,
    start: np.ndarray,
    upper: np.ndarray,
    n_bounded: int,
    capped: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise x' Q x / 2 - l' x over 0 <= x <= upper; the variables after the first `n_bounded` are free.

    Newton steps on the variables away from their bounds find the scale of ill-conditioned problems at once; sweeps of
    coordinate descent, which always go downhill, then decide which variables stay at a bound.

    Args:
        quadratic: (N, V, V) positive definite.
        linear: (N, V).
        start: (N, V).
        upper: (n_bounded,).
        n_bounded: how many variables have bounds.
        capped: (a, b): x[a] may not exceed x[b] either.

    Returns:
        x (N, V), and (N, V) True where a variable rests at a bound that it would like to cross.
    """
    n_variables = quadratic.shape[1]
    high = np.full(n_variables, np.inf, quadratic.dtype)
    low = np.full(n_variables, -np.inf, quadratic.dtype)
    high[:n_bounded], low[:n_bounded] = upper, 0
    diagonal = np.einsum("nii->ni", quadratic)
    x = _projected(start, low, high, capped)
    resting = np.zeros(x.shape, bool)
    for _ in range(NEWTON_ROUNDS):
        gradient = np.einsum("nij,nj->ni", quadratic, x) - linear
        resting = _resting(x, gradient, low, high, capped)
        step = reduced_solve(quadratic, -gradient, resting)
        best, best_value = x, np.full(len(x), np.inf)
        for length in STEPS:
            trial = _projected(x + length * step, low, high, capped)
            moved = trial - x
            value = 0.5 * np.einsum("ni,nij,nj->n", moved, quadratic, moved, optimize=True) + (gradient * moved).sum(1)
            better = value < best_value
            best = np.where(better[:, None], trial, best)
            best_value = np.where(better, value, best_value)
        x = np.where((best_value < 0)[:, None], best, x)
        gradient = np.einsum("nij,nj->ni", quadratic, x) - linear
        for _ in range(SWEEPS):
            for i in range(n_variables):
                limit = high[i]
                if capped is not None and i == capped[0]:
                    limit = np.minimum(x[:, capped[1]], limit)
                new = np.clip(x[:, i] - gradient[:, i] / diagonal[:, i], low[i], limit)
                if capped is not None and i == capped[1]:
                    new = np.maximum(new, x[:, capped[0]])
                gradient += (new - x[:, i])[:, None] * quadratic[:, i]
                x[:, i] = new
        resting = _resting(x, gradient, low, high, capped)
    return x, resting


def reduced_solve(quadratic: np.ndarray, right: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Solve Q x = r (N, V) or (N, V, M) in the variables that are not fixed; the fixed ones stay 0."""
    free = ~fixed
    system = quadratic * (free[:, :, None] & free[:, None, :])
    diagonal = np.arange(quadratic.shape[1])
    system[:, diagonal, diagonal] += fixed
    several = right if right.ndim == 3 else right[..., None]
    solution = np.linalg.solve(system, several * free[..., None])
    return solution if right.ndim == 3 else solution[..., 0]


def _projected(x: np.ndarray, low: np.ndarray, high: np.ndarray, capped: tuple[int, int] | None) -> np.ndarray:
    x = np.clip(x, low, high)
    if capped is not None:
        x[:, capped[0]] = np.minimum(x[:, capped[0]], x[:, capped[1]])
    return x


def _resting(
    x: np.ndarray, gradient: np.ndarray, low: np.ndarray, high: np.ndarray, capped: tuple[int, int] | None
) -> np.ndarray:
    resting = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
    if capped is not None:
        a, b = capped
        resting[:, a] |= (x[:, a] >= x[:, b]) & (gradient[:, a] < 0)
    return resting
