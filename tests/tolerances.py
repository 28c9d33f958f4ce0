"""How far a result may be from float64, per dtype. Earned: each figure is about twice the worst that the rows show."""

import numpy as np

EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
TINY = {"float64": 1e-300, "float32": 1e-37, "float16": 2.0**-24, "bfloat16": 1e-37}  # below: denormal or 0
ULPS = {"float64": 8.0, "float32": 6.0}  # of the value itself
FLOOR = {"float64": 2.0, "float32": 2.0}  # of the largest number that went in
HALF = 2.0  # half precision: times the error of the naive formula in the same dtype


def bound(exact: np.ndarray, top: float, dtype: str, slack: float) -> np.ndarray:
    """The largest error that is allowed for each element; top: the largest number in; slack: the row's own."""
    return slack * EPS[dtype] * (ULPS[dtype] * np.abs(exact) + FLOOR[dtype] * top) + TINY[dtype]


def half_bound(exact: np.ndarray, naive: np.ndarray, dtype: str, slack: float) -> float:
    """The largest error that is allowed in half precision: naive is the plain formula computed in that dtype."""
    finite = np.isfinite(exact) & np.isfinite(naive)
    error = np.max(np.abs(naive - exact)[finite], initial=0.0)
    rounding = 0.5 * EPS[dtype] * np.max(np.abs(exact[np.isfinite(exact)]), initial=0.0)
    return slack * HALF * max(error, rounding) + TINY[dtype]
