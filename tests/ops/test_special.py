"""Special functions."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import binary, row, unary
from scipy import special as sp

import pydl
from pydl import ops, special
from pydl.errors import ArgumentError, AutogradError, DtypeError


def np_mvlgamma(x: Any, p: int) -> Any:
    return sum(sp.gammaln(x - i / 2) for i in range(p)) + p * (p - 1) / 4 * np.log(np.pi)


def by_number(fn: Any) -> Any:
    """fn with its number given by name, as a row does."""
    return lambda x, n: fn(n, x)


NAMED = {
    "gammaln": (sp.gammaln, 0.3, 9), "digamma": (sp.digamma, 1.6, 9), "erfcx": (sp.erfcx, -2, 4),
    "erfinv": (sp.erfinv, -0.9, 0.9), "ndtr": (sp.ndtr, -4, 4), "ndtri": (sp.ndtri, 0.05, 0.95),
    "log_ndtr": (sp.log_ndtr, -9, 4), "entr": (sp.entr, 0.2, 3), "i0": (sp.i0, 0.2, 5), "i0e": (sp.i0e, 0.2, 5),
    "i1": (sp.i1, 0.2, 5), "i1e": (sp.i1e, 0.2, 5), "modified_bessel_k0": (sp.k0, 0.3, 5),
    "modified_bessel_k1": (sp.k1, 0.3, 5), "scaled_modified_bessel_k0": (sp.k0e, 0.3, 5),
    "scaled_modified_bessel_k1": (sp.k1e, 0.3, 5), "bessel_j0": (sp.j0, 0.3, 2), "bessel_j1": (sp.j1, 0.3, 3),
    "bessel_y0": (sp.y0, 1.2, 3.5), "bessel_y1": (sp.y1, 0.5, 2),
}  # fmt: skip
EXACT_AT_SPECIALS = ("erfinv", "ndtri", "ndtr", "erfcx", "i0e", "i1e")

SCIPY = {"float64": 20.0, "float32": 2.0, "float16": 2.0, "bfloat16": 2.0}  # its own error: 5e-15, against 40 digits

ROWS = [
    *[
        unary(getattr(special, name), fn, low=low, high=high, slack=2, specials=name in EXACT_AT_SPECIALS)
        for name, (fn, low, high) in NAMED.items()
    ],
    unary(ops.sinc, np.sinc, low=-3, high=3, specials=False),
    unary(special.spherical_bessel_j0, lambda x: np.sinc(x / np.pi), low=-3, high=3, specials=False),
    binary(ops.xlogy, sp.xlogy, low=0.2, high=3),
    binary(special.xlog1py, sp.xlog1py, low=0.2, high=3),
    unary(by_number(ops.polygamma), lambda x, n: sp.polygamma(n, x), name="polygamma", low=0.5, high=9,
          kwargs=[{"n": 1}, {"n": 0}, {"n": 2}, {"n": 5}], slack=4, specials=False, large=None),
    unary(ops.mvlgamma, np_mvlgamma, low=2, high=9, kwargs=[{"p": 1}, {"p": 3}], slack=2, specials=False,
          errors=[(((3,), {"p": 0}), ArgumentError, "mvlgamma: expected p >= 1, got 0"),
                  (((3,), {"p": 1.5}), DtypeError, "mvlgamma: expected an integer p, got float")]),
    row(lambda q: special.zeta(2.5, q), lambda q: sp.zeta(2.5, q), name="zeta", low=0.3, high=9,
        tails=lambda n: ((n,),), slack=2),
    row(lambda x, a: ops.igamma(pydl.tensor(a, dtype=x.dtype), x), lambda x, a: sp.gammainc(a, x), name="igamma",
        low=0.2, high=9, kwargs=[{"a": 0.5}, {"a": 3.0}], tails=lambda n: ((n,),), slack=SCIPY),
    row(lambda x, a: ops.igammac(pydl.tensor(a, dtype=x.dtype), x), lambda x, a: sp.gammaincc(a, x), name="igammac",
        low=0.2, high=9, kwargs=[{"a": 0.5}, {"a": 3.0}], tails=lambda n: ((n,),), slack=SCIPY),
]  # fmt: skip


class TestRows(RowChecks):
    """Every row."""


def test_names_of_torch() -> None:
    """All of torch.special but the orthogonal polynomials and Airy's function."""
    torch = pytest.importorskip("torch")
    theirs = {n for n in dir(torch.special) if not n.startswith("_") and callable(getattr(torch.special, n))}
    theirs -= {n for n in theirs if "polynomial" in n} | {"airy_ai", "Tensor"}
    assert theirs <= set(special.__all__), theirs - set(special.__all__)
    assert pydl.special is special


EDGES = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, -1.5, 30.0, -30.0, 1e-30, 1e30, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize(
    "name", ["lgamma", "digamma", "entr", "sinc", "log_ndtr", "i0", "i1", "bessel_j0", "bessel_y1", "erfcx"]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_edges(name: str, dtype: str) -> None:
    """Against torch: zeros, poles, far out, infinities, NaN."""
    torch = pytest.importorskip("torch")
    x = np.array(EDGES if name not in ("i0", "i1") else EDGES[:12], dtype=dtype)
    if name.startswith("bessel"):
        x = x[(np.abs(x) < 1e10)]
    if name == "sinc":
        x = x[np.abs(x) < 1e10]
    if name == "lgamma":
        x = x[x != -np.inf]  # torch gives inf, as C does, SciPy -inf
    theirs = getattr(torch.special, "gammaln" if name == "lgamma" else name)(torch.tensor(x)).numpy()
    ours = getattr(special, "gammaln" if name == "lgamma" else name)(pydl.tensor(x)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=2e-6 if dtype == "float32" else 1e-13, atol=1e-7)


def test_gamma_left_of_zero() -> None:
    x = np.random.default_rng(0).uniform(-20, 0, 4001)
    x = x[np.abs(x - np.round(x)) > 1e-2]
    scale = np.maximum(np.abs(sp.digamma(x)), 1)
    assert np.max(np.abs(ops.digamma(pydl.tensor(x)).numpy() - sp.digamma(x)) / scale) < 1e-12
    np.testing.assert_allclose(ops.lgamma(pydl.tensor(x)).numpy(), sp.gammaln(x), rtol=1e-12, atol=1e-13)
    single = x.astype(np.float32)
    exact = sp.gammaln(single.astype(np.float64))
    np.testing.assert_allclose(ops.lgamma(pydl.tensor(single)).numpy(), exact, rtol=1e-6, atol=1e-13)


def test_polygamma_left_of_zero() -> None:
    """By the mirrored sum, also far out, where a plain sum would take forever."""
    mpmath = pytest.importorskip("mpmath")
    for n in (1, 2, 3):
        for x in (-0.5, -1.25, -7.75, -40.3):
            exact = float(mpmath.polygamma(n, x))
            assert abs(ops.polygamma(n, pydl.tensor(x, dtype=pydl.float64)).item() / exact - 1) < 1e-12
    assert np.isfinite(ops.polygamma(1, pydl.tensor([-1e9 - 0.5], dtype=pydl.float64)).item())


def test_polygamma_of_orders_whose_factorial_is_no_number() -> None:
    assert ops.polygamma(170, pydl.tensor(2.0, dtype=pydl.float64)).isfinite().item()
    assert ops.polygamma(171, pydl.tensor(0.5, dtype=pydl.float64)).item() == np.inf


def test_zeta_edges() -> None:
    s = np.array([2.0, 2.0, 2.0, 1.0, 0.5, 3.0, 2.5, np.nan, 2.0, 50.0])
    q = np.array([0.0, -1.0, -0.5, 2.0, 2.0, -0.5, -0.5, 1.0, np.inf, 1.0])
    ours = special.zeta(pydl.tensor(s), pydl.tensor(q)).numpy()
    exact = np.array([np.inf, np.inf, np.pi**2 / 2 + 4 - 0, np.inf, np.nan, 7 * 1.2020569031595942 - 8 + 0, np.nan, np.nan, 0.0, sp.zeta(50.0, 1.0)])  # fmt: skip  # noqa: E501
    np.testing.assert_allclose(ours, exact, rtol=1e-14)


def test_incomplete_gamma_of_large_numbers() -> None:
    rng = np.random.default_rng(0)
    a = 10 ** rng.uniform(-2, 8, 400)
    x = np.abs(a * (1 + rng.uniform(-4, 4, 400) / np.sqrt(a)))  # farther out SciPy's own sum has not converged
    np.testing.assert_allclose(special.gammainc(pydl.tensor(a), pydl.tensor(x)).numpy(), sp.gammainc(a, x), rtol=1e-8, atol=1e-12)  # fmt: skip  # noqa: E501
    np.testing.assert_allclose(special.gammaincc(pydl.tensor(a), pydl.tensor(x)).numpy(), sp.gammaincc(a, x), rtol=1e-8, atol=1e-12)  # fmt: skip  # noqa: E501


def test_incomplete_gamma_edges() -> None:
    a = np.array([0.0, 0.0, 1.0, np.inf, 2.0, -1.0, 1.0, np.nan])
    x = np.array([0.0, 1.0, 0.0, 1.0, np.inf, 1.0, -1.0, 1.0])
    for ours, theirs in ((special.gammainc, sp.gammainc), (special.gammaincc, sp.gammaincc)):
        np.testing.assert_array_equal(ours(pydl.tensor(a), pydl.tensor(x)).numpy(), theirs(a, x))


def test_parameters_without_a_derivative() -> None:
    a = pydl.tensor([2.0], requires_grad=True)
    for fn, name in ((special.zeta, "zeta"), (special.gammainc, "gammainc"), (special.gammaincc, "gammaincc")):
        with pytest.raises(AutogradError, match=f"{name}: no derivative by input is known"):
            fn(a, pydl.tensor([3.0])).sum().backward()


@pytest.mark.parametrize("name", ["sinc", "i1", "i1e", "bessel_j1"])
def test_slopes_at_zero(name: str) -> None:
    """By differences, first and second: the quotients in the rules are 0 / 0 there."""
    fn = getattr(special, name)
    x = pydl.tensor([0.0], dtype=pydl.float64, requires_grad=True)
    (first,) = pydl.autograd.grad(fn(x), x, create_graph=True)
    near = lambda t: fn(pydl.tensor([t], dtype=pydl.float64)).item()  # noqa: E731
    if name != "i1e":  # whose second derivative jumps
        assert abs(first.item() - (near(1e-5) - near(-1e-5)) / 2e-5) < 1e-9
    if name == "sinc":
        assert abs(pydl.autograd.grad(first, x)[0].item() + np.pi**2 / 3) < 1e-12


def test_log_ndtr_slope_far_out() -> None:
    x = pydl.tensor([-1e4, -40.0, 0.0, 40.0, 1e4], dtype=pydl.float64, requires_grad=True)
    (slope,) = pydl.autograd.grad(special.log_ndtr(x).sum(), x, create_graph=True)
    np.testing.assert_allclose(slope.detach().numpy(), [1e4 + 1e-4, 40.0249688, 0.79788456, 0, 0], rtol=1e-7)
    assert bool(pydl.isfinite(pydl.autograd.grad(slope.sum(), x)[0]).all())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: ops.polygamma(-1, x), ArgumentError, "polygamma: expected n >= 0, got -1"),
        (lambda x: ops.polygamma(1.5, x), DtypeError, "polygamma: expected an integer n, got float"),
        (lambda x: ops.polygamma(1, 2.0), DtypeError, "polygamma: expected a tensor, got float"),
        (lambda x: special.ndtr(2.0), DtypeError, "ndtr: expected a tensor, got float"),
        (lambda x: special.zeta(2.0, 3.0), DtypeError, "zeta: expected at least one tensor"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(pydl.ones(2))
