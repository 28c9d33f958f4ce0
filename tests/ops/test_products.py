"""Products over chosen axes, sums with a product, distances between rows."""

import itertools
from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import NUMBERS, row, via
from scipy.spatial import distance

import pydl
from pydl import ops
from pydl.autograd import gradcheck, gradgradcheck
from pydl.errors import ArgumentError, DtypeError, ShapeError

POWERS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf")]
NAMES = {0.0: "hamming", float("inf"): "chebyshev"}


def np_cdist(a: Any, b: Any, p: float = 2.0, compute_mode: str = "") -> Any:
    gap = np.abs(a[..., :, None, :] - b[..., None, :, :])
    if p == 0:
        return (gap != 0).sum(-1).astype(a.dtype)
    return gap.max(-1, initial=0) if np.isinf(p) else (gap**p).sum(-1) ** (1 / p)


def np_pdist(a: Any, p: float = 2.0) -> Any:
    i, j = np.triu_indices(len(a), 1)
    return np_cdist(a, a, p)[i, j]


def scaled(product: Any) -> Any:
    return lambda c, a, b, beta=1, alpha=1: (beta * c if beta else 0) + alpha * product(a, b)


SCALES = [{}, {"beta": 0.5, "alpha": 2.0}, {"beta": 0}, {"alpha": 0}]

ROWS = [
    row(
        ops.tensordot,
        lambda a, b, dims=2: np.asarray(np.tensordot(a, b, dims)),
        kinds="ff",
        shapes=[],
        cases=[
            (((2, 3, 4), (3, 4, 5)), {}),
            (((2, 3), (4,)), {"dims": 0}),
            (((2, 3, 4), (4, 2)), {"dims": 1}),
            (((2, 3, 4), (4, 5, 2)), {"dims": ([0, 2], [2, 0])}),
            (((2, 3, 4), (3, 5)), {"dims": ([-2], [0])}),
            (((0, 3), (3, 2)), {"dims": 1}),
            (((2, 0), (0, 3)), {"dims": 1}),
        ],
        dtypes=NUMBERS,
        sums=True,
        errors=[
            (((2, 3), (4, 5), 1), ShapeError, "tensordot: axis 1 of (2, 3) does not match axis 0 of (4, 5)"),
            (((2, 3), (3, 2), 3), ArgumentError, "tensordot: dims 3 does not fit (2, 3) and (3, 2)"),
            (((2, 3), (3, 2), ([0, 1], [1])), ArgumentError, "do not pair up"),
        ],
    ),
    row(
        ops.kron,
        np.kron,
        kinds="ff",
        shapes=[((2, 3), (4, 2)), ((3,), (2,)), ((2, 3), (4,)), ((), (2, 2)), ((0, 2), (3, 1)), ((2, 1, 2), (3, 2))],
        dtypes=NUMBERS,
    ),
    row(
        ops.vdot,
        np.vdot,
        kinds="ff",
        shapes=[((3,), (3,)), ((0,), (0,))],
        sums=True,
        dtypes=NUMBERS,
        errors=[(((2, 2), (2, 2)), ShapeError, "vdot: expected 1 axes, got shape (2, 2)")],
    ),
    row(
        ops.vecdot,
        lambda x, y, dim=-1: (x * y).sum(dim, dtype=x.dtype),
        kinds="ff",
        sums=True,
        dtypes=NUMBERS,
        shapes=[((3,), (3,)), ((2, 3), (3,)), ((4, 1, 3), (2, 3))],
        cases=[(((2, 3, 4), (2, 3, 4)), {"dim": 0}), (((2, 3, 1), (3, 4)), {"dim": -2})],
        errors=[(((2, 3), (2, 1)), ShapeError, "vecdot: (2, 3) does not match (2, 1): expected equal sizes of dim -1")],
    ),
    row(
        ops.cross,
        via("cross"),
        kinds="ff",
        shapes=[],
        dtypes=NUMBERS,
        cases=[
            (((3,), (3,)), {"dim": 0}),
            (((2, 3), (1, 3)), {"dim": 1}),
            (((3, 2), (3, 2)), {"dim": -2}),
            (((3, 3), (3, 3)), {"dim": -1}),
        ],
        sums=True,
        slack=4,
        errors=[(((2,), (2,)), ShapeError, "cross: no axis of size 3 in (2,)")],
    ),
    row(ops.ger, np.outer, kinds="ff", shapes=[((3,), (4,)), ((0,), (4,))], dtypes=NUMBERS),
    row(
        ops.vander,
        via("vander"),
        shapes=[(3,), (1,)],
        kwargs=[{}, {"N": 2}, {"N": 5, "increasing": True}],
        dtypes=("float64", "float32", "int64"),
        slack=4,
        errors=[
            (((2, 2),), ShapeError, "vander: expected 1 axes"),
            (((2,), -1), ArgumentError, "must not be negative"),
        ],
    ),
    row(
        ops.addmv,
        scaled(np.matmul),
        kinds="fff",
        sums=True,
        shapes=[((4,), (4, 3), (3,)), ((), (4, 3), (3,))],
        kwargs=SCALES,
        errors=[(((5,), (4, 3), (3,)), ShapeError, "shapes (5,) and (4,) do not broadcast")],
    ),
    row(
        ops.addr,
        scaled(np.outer),
        kinds="fff",
        sums=True,
        shapes=[((4, 3), (4,), (3,)), ((3,), (4,), (3,))],
        kwargs=SCALES,
        errors=[
            (((2, 4, 3), (4,), (3,)), ShapeError, "addr: input (2, 4, 3) does not broadcast to the product (4, 3)")
        ],
    ),
    row(
        ops.addbmm,
        scaled(lambda a, b: np.matmul(a, b).sum(0)),
        kinds="fff",
        sums=True,
        slack=2,
        shapes=[((4, 5), (2, 4, 3), (2, 3, 5)), ((5,), (2, 4, 3), (2, 3, 5))],
        kwargs=SCALES,
    ),
    row(
        ops.cdist,
        np_cdist,
        kinds="ff",
        shapes=[((3, 4), (2, 4)), ((2, 3, 4), (2, 4)), ((0, 4), (2, 4)), ((3, 0), (2, 0)), ((2, 1, 3, 4), (3, 2, 4))],
        kwargs=[{"p": p} for p in POWERS],
        dtypes=("float64", "float32"),
        slack=8,
        cases=[
            (((3, 4), (2, 4)), {"compute_mode": "use_mm_for_euclid_dist"}),
            (((3, 4), (2, 4)), {"compute_mode": "donot_use_mm_for_euclid_dist"}),
        ],
        errors=[
            (((3, 4), (2, 5)), ShapeError, "cdist: (3, 4) does not match (2, 5)"),
            (((3, 4), (2, 4), -1.0), ArgumentError, "cdist: p must not be negative, got -1.0"),
            (((3, 4), (2, 4), {"compute_mode": "fast"}), ArgumentError, "compute_mode must be one of"),
            ((pydl.zeros(2, 2, dtype=pydl.int64), (2, 2)), DtypeError, "cdist: expected a floating dtype"),
        ],
    ),
    row(
        ops.pdist,
        np_pdist,
        shapes=[(4, 3), (1, 3), (0, 3)],
        kwargs=[{"p": p} for p in POWERS],
        slack=8,
        dtypes=("float64", "float32"),
        errors=[(((3,),), ShapeError, "pdist: expected 2 axes, got shape (3,)")],
    ),
    row(
        ops.dist,
        lambda a, b, p=2.0: np.asarray(np.linalg.norm((a - b).reshape(-1), p)).astype(a.dtype),
        kinds="ff",
        shapes=[((3,), (3,)), ((2, 3), (3,))],
        kwargs=[{}, {"p": 1.0}, {"p": float("inf")}, {"p": 3.0}],
        dtypes=("float64", "float32"),
        slack=8,
    ),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("p", POWERS)
def test_distances_are_scipys(p: float) -> None:
    """Also through the matrix product, which is used from 26 rows on."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 5)), rng.normal(size=(30, 5))
    name = NAMES.get(p, "minkowski")
    extra = {} if p in NAMES else {"p": p}
    scale = 5 if p == 0 else 1  # scipy gives the share of differing elements
    np.testing.assert_allclose(
        pydl.cdist(pydl.tensor(a), pydl.tensor(b), p).numpy(), scale * distance.cdist(a, b, name, **extra), rtol=1e-10
    )
    np.testing.assert_allclose(
        pydl.pdist(pydl.tensor(a), p).numpy(), scale * distance.pdist(a, name, **extra), rtol=1e-10
    )


@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"])
@pytest.mark.parametrize("p", POWERS)
def test_slope_at_distance_zero(p: float, mode: str) -> None:
    """Rows against themselves: the gradient of each distance 0 is 0, as torch's; no NaN of either order."""
    torch = pytest.importorskip("torch")
    a = np.random.default_rng(1).normal(size=(3, 2))
    x = pydl.tensor(a).requires_grad_()
    weights = np.random.default_rng(0).normal(size=(3, 3))
    y = (pydl.cdist(x, x, p, mode) * pydl.tensor(weights)).sum()
    if p == 0:
        assert not y.requires_grad
        return
    (g,) = pydl.autograd.grad(y, x, create_graph=True)
    t = torch.tensor(a, requires_grad=True)
    (torch.cdist(t, t, p, mode) * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(g.detach().numpy(), t.grad.numpy(), rtol=1e-6, atol=1e-6)
    (second,) = pydl.autograd.grad((g * g).sum(), x, allow_unused=True, materialize_grads=True)
    assert bool(second.isfinite().all())


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_distances_both_orders(p: float) -> None:
    rng = np.random.default_rng(1)
    xs = [pydl.tensor(rng.normal(size=(30, 3))).requires_grad_(), pydl.tensor(rng.normal(size=(4, 3))).requires_grad_()]
    assert gradcheck(lambda a, b: pydl.cdist(a, b, p), xs, fast_mode=True, rtol=1e-5, atol=1e-6)
    assert gradgradcheck(lambda a, b: pydl.cdist(a, b, p), xs, fast_mode=True, rtol=1e-4, atol=1e-5)


def test_kron_of_many_axes() -> None:
    """More axes together than an array may have."""
    a, b = np.arange(24.0).reshape(2, 3, 1, 2, 2), np.arange(16.0).reshape(2, 1, 2, 2, 2)
    np.testing.assert_array_equal(pydl.kron(pydl.tensor(a), pydl.tensor(b)).numpy(), np.kron(a, b))


def test_beta_zero_does_not_read_the_input() -> None:
    bad = pydl.full((2, 2), float("nan"))
    for made in (
        pydl.addmm(bad, pydl.ones(2, 2), pydl.ones(2, 2), beta=0),
        pydl.baddbmm(bad, pydl.ones(1, 2, 2), pydl.ones(1, 2, 2), beta=0),
        pydl.addbmm(bad, pydl.ones(1, 2, 2), pydl.ones(1, 2, 2), beta=0),
        pydl.addmv(bad[0], pydl.ones(2, 2), pydl.ones(2), beta=0),
        pydl.addr(bad, pydl.ones(2), pydl.ones(2), beta=0),
    ):
        assert bool(made.isfinite().all())
    with pytest.raises(ShapeError, match="addmm: input"):
        pydl.addmm(pydl.ones(3, 2, 2), pydl.ones(2, 2), pydl.ones(2, 2))


def test_tensordot_stretches_ones_as_torch() -> None:
    torch = pytest.importorskip("torch")
    a, b = np.arange(6.0).reshape(2, 3), np.arange(4.0).reshape(1, 4)
    for dims in itertools.product([0, 1], [0]):
        mine = pydl.tensordot(pydl.tensor(a), pydl.tensor(b), ([dims[0]], [dims[1]]))
        theirs = torch.tensordot(torch.tensor(a), torch.tensor(b), ([dims[0]], [dims[1]]))
        np.testing.assert_allclose(mine.numpy(), theirs.numpy())


def test_cross_finds_its_axis() -> None:
    """The first of size 3."""
    a, b = np.arange(6.0).reshape(3, 2), np.arange(6.0, 12).reshape(3, 2) ** 2
    np.testing.assert_allclose(pydl.cross(pydl.tensor(a), pydl.tensor(b)).numpy(), np.cross(a, b, axis=0))
