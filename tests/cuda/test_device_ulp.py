"""Functions on a CUDA device (or the emulation of one) in units in the last place, as tests/ops/test_ulp.py of the CPU.

float32 against SciPy's and NumPy's float64. The special functions are computed in float64 on a device, so that only
the last rounding is left.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special as sp

import pydl
from pydl import ops, special

sys.path.insert(0, str(Path(__file__).parent.parent / "ops"))
from test_ulp import DOMAIN, LIMITS, NAMES, SINGLE, points, ulps

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

CUDA = {"tan": 4, "asinh": 3}  # what NVIDIA claims of functions of float32, where it is more than the CPU's limit
ROUNDED = 0.52  # the last rounding, and a little
ONE: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[float, float]]] = {
    "i0": (special.i0, sp.i0, (-80, 80)),
    "i1": (special.i1, sp.i1, (-80, 80)),
    "k0": (special.modified_bessel_k0, sp.k0, (0, 80)),
    "k1": (special.modified_bessel_k1, sp.k1, (0, 80)),
    "k0e": (special.scaled_modified_bessel_k0, sp.k0e, (0, 1e6)),
    "k1e": (special.scaled_modified_bessel_k1, sp.k1e, (0, 1e6)),
    "j0": (special.bessel_j0, sp.j0, (-100, 100)),
    "j1": (special.bessel_j1, sp.j1, (-100, 100)),
    "y0": (special.bessel_y0, sp.y0, (0, 100)),
    "y1": (special.bessel_y1, sp.y1, (1e-30, 100)),
    "entr": (special.entr, sp.entr, (-2, 1e6)),
}
TWO: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "gammainc": (special.gammainc, sp.gammainc),
    "gammaincc": (special.gammaincc, sp.gammaincc),
    "zeta": (special.zeta, sp.zeta),
}


def worst(ours: Callable[..., Any], theirs: Callable[..., Any], *x: np.ndarray) -> float:
    """The worst distance of float32 results that are not subnormal."""
    with np.errstate(all="ignore"):
        exact = np.asarray(theirs(*[a.astype(np.float64) for a in x]), dtype=np.longdouble)
    keep = ~(np.abs(exact) < 1e-36) | (exact == 0)
    made = ours(*[pydl.from_numpy(a).cuda() for a in x])
    assert made.device.type == "cuda"
    return ulps(made.numpy()[keep], exact[keep], np.float32)


@pytest.mark.parametrize("name", LIMITS)
def test_elementary(name: str) -> None:
    """float32 against float64, also where NumPy has more digits than the CPU's test asks for."""
    x = points(np.float32, *DOMAIN.get(name, (-np.inf, np.inf)), count=3000)
    if name in ("sin", "cos", "tan"):
        x = x[~(np.abs(x) > 1e4)]
    found = worst(getattr(ops, name), getattr(np, NAMES.get(name, name)), x)
    assert found <= max(LIMITS[name][0], CUDA.get(name, 0)), f"{found:.2f} ulp"


@pytest.mark.parametrize("name", SINGLE)
def test_single(name: str) -> None:
    """The CPU's list within the CPU's limits."""
    ours, theirs, limit = SINGLE[name]
    x = points(np.float32, 0.0 if name in ("digamma", "lgamma") else -1e6, 1e6, count=3000)
    x = x[x != 0]
    found = worst(ours, theirs, x)
    assert found <= limit, f"{found:.2f} ulp"


@pytest.mark.parametrize("name", ONE)
def test_bessel(name: str) -> None:
    """Where the functions are neither infinite nor, as those of large numbers, all cancellation."""
    ours, theirs, (low, high) = ONE[name]
    x = points(np.float32, low, high, count=3000)
    found = worst(ours, theirs, x[np.abs(x) > 1e-30])
    assert found <= ROUNDED, f"{found:.2f} ulp"


@pytest.mark.parametrize("name", TWO)
def test_two(name: str) -> None:
    """Of two numbers above 0; for zeta the first is above 1."""
    rng = np.random.default_rng(0)
    a, b = (np.exp(rng.uniform(-6, 5, 3000)).astype(np.float32) for _ in range(2))
    a = a + np.float32(1) if name == "zeta" else a
    found = worst(*TWO[name], a, b)
    assert found <= ROUNDED, f"{found:.2f} ulp"
