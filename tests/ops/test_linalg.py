"""Linear algebra: values against torch in float64, derivatives of both orders, failures, batches, empty matrices.

What is not unique (signs of vectors) is compared by what does not depend on it. Matrices are kept away from singular
ones by a multiple of the identity, so that each layout and each step of a difference stays regular.
"""

from typing import Any

import numpy as np
from checks import RowChecks
from registry import row, via

import pydl
from pydl import linalg
from pydl.errors import ArgumentError, ShapeError

TWO_FLOATS = ("float64", "float32")
SQUARE = [(3, 3), (2, 4, 4), (1, 1), (0, 3, 3), (2, 0, 0)]
ANY = [(3, 3), (2, 4, 3), (3, 5), (0, 3, 2)]


def identity_like(x: Any) -> Any:
    if x.ndim < 2:
        return 0
    if isinstance(x, pydl.Tensor):
        return pydl.eye(*x.shape[-2:], dtype=x.dtype)
    return np.eye(*x.shape[-2:], dtype=getattr(x, "dtype", None))


def regular(x: Any) -> Any:
    """Far from singular."""
    return x + 9.0 * identity_like(x)


def distinct(x: Any) -> Any:
    """Symmetric, with values that differ, also where all rows of x are one."""
    if x.ndim < 2:
        return x
    n = x.shape[-1]
    steps = np.diag(9.0 * np.arange(1, n + 1))
    steps = pydl.tensor(steps, dtype=x.dtype) if isinstance(x, pydl.Tensor) else steps.astype(x.dtype)
    return x + np_or_ours_flip(x) + steps


def np_or_ours_flip(x: Any) -> Any:
    return x.mT if isinstance(x, pydl.Tensor) else np.swapaxes(x, -1, -2)


def spread(x: Any) -> Any:
    """Of any shape, with singular values that differ."""
    if x.ndim < 2:
        return x
    m, n = x.shape[-2:]
    steps = np.zeros((m, n))
    steps[range(min(m, n)), range(min(m, n))] = 9.0 * np.arange(1, min(m, n) + 1)
    return x + (pydl.tensor(steps, dtype=x.dtype) if isinstance(x, pydl.Tensor) else steps.astype(x.dtype))


def torch_of(name: str, prepare: Any = lambda x: x, pick: Any = lambda y: y) -> Any:
    """torch.linalg's function of prepared inputs, as a reference."""
    return lambda x, *rest, **kwargs: pick(via(f"linalg.{name}")(prepare(x), *rest, **kwargs))


def ours(function: Any, prepare: Any = lambda x: x, pick: Any = lambda y: y) -> Any:
    return lambda x, *rest, **kwargs: pick(function(prepare(x), *rest, **kwargs))


def squares_and_values(svd: Any) -> Any:
    u, s, vh = svd
    k = s.shape[-1]
    return u[..., :k] * u[..., :k], s, vh[..., :k, :] * vh[..., :k, :], u[..., :1] * vh[..., :1, :]


def vectors_and_values(pair: Any) -> Any:
    w, v = pair
    return w, v * v


def both(name: str, prepare: Any = lambda x: x, pick: Any = lambda y: y, label: str = "", **options: Any) -> Any:
    """A row of linalg's function against torch's."""
    rest = {"name": label or name, "dtypes": TWO_FLOATS, "slack": 60, "sums": False}
    return row(ours(getattr(linalg, name), prepare, pick), torch_of(name, prepare, pick), **rest | options)


ROWS = [
    both("inv", regular, shapes=SQUARE, errors=[(((3, 2),), ShapeError, "inv: expected square matrices")]),
    both("det", shapes=SQUARE, errors=[(((3,),), ShapeError, "det: expected at least 2 axes, got shape (3,)")]),
    both(
        "det",
        lambda x: x - x[..., :1],
        label="det_of_singular_matrices",
        shapes=[(3, 3), (2, 4, 4)],
        sums=True,
        slack=1e3,
    ),
    both("slogdet", regular, lambda y: y[1], shapes=SQUARE),
    both(
        "solve",
        regular,
        kinds="ff",
        shapes=[
            ((3, 3), (3,)),
            ((2, 4, 4), (4, 2)),
            ((2, 4, 4), (2, 4)),
            ((0, 3, 3), (3, 1)),
            ((2, 1, 3, 3), (4, 3, 2)),
            ((2, 0, 0), (0, 2)),
        ],
        errors=[(((3, 3), (2, 4)), ShapeError, "solve: (2, 4) does not match (3, 3): expected size 3 in axis -2")],
    ),
    both(
        "solve",
        regular,
        label="solve_right",
        kinds="ff",
        shapes=[((3, 3), (2, 3)), ((2, 4, 4), (5, 4))],
        kwargs=[{"left": False}],
    ),
    both(
        "solve_triangular",
        regular,
        kinds="ff",
        shapes=[((3, 3), (3, 2)), ((2, 4, 4), (4, 3)), ((0, 0), (0, 2))],
        kwargs=[
            {"upper": False},
            {"upper": True},
            {"upper": True, "unitriangular": True},
            {"upper": False, "unitriangular": True},
        ],
        slack=2e3,
    ),
    both(
        "solve_triangular",
        regular,
        label="solve_triangular_right",
        kinds="ff",
        shapes=[((3, 3), (2, 3))],
        kwargs=[{"upper": u, "left": False, "unitriangular": n} for u in (True, False) for n in (True, False)],
        slack=2e3,
    ),
    both("pinv", spread, shapes=ANY, kwargs=[{}, {"rtol": 1e-3}, {"atol": 0.5}]),
    both("pinv", distinct, label="pinv_symmetric", shapes=[(3, 3), (2, 4, 4)], kwargs=[{"hermitian": True}]),
    both(
        "lstsq",
        spread,
        lambda y: y[0],
        kinds="ff",
        shapes=[((5, 3), (5, 2)), ((2, 4, 3), (2, 4, 1)), ((3, 3), (3, 2))],
        errors=[(((3, 2), (4, 2)), ShapeError, "lstsq: (4, 2) does not match (3, 2)")],
    ),
    both("cholesky", lambda x: distinct(x) + 9 * identity_like(x), shapes=SQUARE, kwargs=[{}, {"upper": True}]),
    both("qr", spread, lambda y: tuple(y), shapes=ANY),
    both(
        "qr",
        spread,
        lambda y: (y[0] ** 2, y[1]),
        label="qr_square",
        shapes=[(3, 3), (3, 5)],
        kwargs=[{"mode": "complete"}],
        errors=[
            (((3, 3), {"mode": "full"}), ArgumentError, "qr: mode must be 'reduced', 'complete' or 'r', got 'full'")
        ],
    ),
    both("qr", spread, lambda y: y[1], label="qr_r", shapes=ANY, kwargs=[{"mode": "r"}]),
    both("svd", spread, squares_and_values, shapes=ANY, kwargs=[{}, {"full_matrices": False}], slack=200),
    both("svdvals", spread, shapes=ANY),
    both(
        "eigh",
        distinct,
        vectors_and_values,
        shapes=SQUARE,
        kwargs=[{}, {"UPLO": "U"}],
        slack=200,
        errors=[(((3, 3), "X"), ArgumentError, "eigh: UPLO must be 'L' or 'U', got 'X'")],
    ),
    both("eigvalsh", distinct, shapes=SQUARE),
    both("lu", regular, lambda y: y[1:], shapes=[(3, 3), (2, 4, 3), (3, 5), (0, 3, 2)]),
    both("lu_factor", regular, lambda y: y[0], shapes=[(3, 3), (2, 4, 3), (3, 5)]),
    both("matrix_power", regular, shapes=[(3, 3), (2, 4, 4), (0, 0)], kwargs=[{"n": n} for n in (0, 1, 2, 5, -1, -2)]),
    both("matrix_exp", shapes=SQUARE, slack=200),
    both(
        "matrix_norm",
        spread,
        shapes=[(3, 3), (2, 4, 3)],
        kwargs=[{"ord": o} for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)],
        errors=[(((3, 3), "max"), ArgumentError, "matrix_norm: ord must be 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2")],
    ),
    both(
        "matrix_norm",
        label="matrix_norm_axes",
        shapes=[(2, 4, 3)],
        kwargs=[
            {"dim": (0, 2), "keepdim": True},
            {"ord": 1, "dim": (2, 0)},
            {"ord": np.inf, "dim": (0, -1), "keepdim": True},
        ],
    ),
    both(
        "vector_norm", shapes=[(3,), (2, 4)], low=0.5, kwargs=[{"ord": o} for o in (0, 1, 2, 3.5, -1, np.inf, -np.inf)]
    ),
    both(
        "vector_norm",
        label="vector_norm_axes",
        shapes=[(2, 4, 3)],
        kwargs=[{"dim": 1}, {"dim": (0, 2), "keepdim": True}, {"keepdim": True}, {"ord": 1, "dim": -1}],
    ),
    both(
        "norm",
        spread,
        shapes=[(3, 3), (3, 4)],
        kwargs=[{}, {"ord": 2}, {"ord": "fro"}, {"ord": 1, "dim": 0}, {"dim": (0, 1)}],
    ),
    both(
        "cond",
        spread,
        shapes=[(3, 3), (2, 4, 4)],
        kwargs=[{"p": p} for p in (None, 2, -2, "fro", "nuc", 1, -1, np.inf)],
    ),
    both(
        "cross",
        kinds="ff",
        shapes=[((3,), (3,)), ((2, 3), (1, 3)), ((0, 3), (2, 0, 3)[1:])],
        errors=[(((2,), (2,)), ShapeError, "cross: expected size 3 of dim -1")],
    ),
    both("vecdot", kinds="ff", shapes=[((3,), (3,)), ((2, 3), (4, 1, 3)), ((2, 0), (2, 0))]),
    both(
        "vecdot",
        label="vecdot_axis",
        kinds="ff",
        shapes=[((2, 3, 4), (2, 3, 4)), ((1, 3, 4), (2, 3, 1))],
        kwargs=[{"dim": 1}],
    ),
    both("vander", shapes=[(3,), (2, 3)], kwargs=[{}, {"N": 2}, {"N": 5}]),
    both("diagonal", shapes=[(3, 4), (2, 3, 3)], kwargs=[{}, {"offset": 1}, {"offset": -1, "dim1": 0, "dim2": 1}]),
    both("householder_product", lambda x: x * 0.3, kinds="ff", shapes=[((4, 3), (3,)), ((2, 3, 3), (2, 2))]),
    both(
        "tensorinv",
        lambda x: x.reshape(6, 6).reshape(2, 3, 3, 2) if x.ndim == 2 else x,
        shapes=[],
        cases=[((6, 6), {})],
        slack=1e4,
        layouts=False,
    ),
    row(
        lambda a, b: linalg.tensorsolve(regular(a).reshape(2, 3, 6), b),
        lambda a, b: np.linalg.tensorsolve(regular(a).reshape(2, 3, 6), b),
        name="tensorsolve",
        kinds="ff",
        shapes=[((6, 6), (2, 3))],
        dtypes=TWO_FLOATS,
        slack=60,
    ),
    row(
        lambda *xs: linalg.multi_dot(xs),
        lambda *xs: np.linalg.multi_dot(xs),
        name="multi_dot",
        kinds="fff",
        sums=True,
        shapes=[((4, 2), (2, 5), (5, 3)), ((2,), (2, 5), (5,)), ((2,), (2, 5), (5, 3)), ((4, 2), (2, 5), (5,))],
        errors=[(((2, 3), (3, 4), (3, 2)), ShapeError, "multi_dot: (3, 4) does not match (3, 2)")],
    ),
    row(
        lambda x: linalg.cholesky_solve(pydl.ones(3, 2, dtype=x.dtype), linalg.cholesky(distinct(x))),
        lambda x: np.linalg.solve(distinct(x), np.ones((3, 2), x.dtype)),
        name="cholesky_solve",
        shapes=[(3, 3)],
        dtypes=TWO_FLOATS,
        slack=60,
    ),
    row(
        lambda x: linalg.cholesky_inverse(linalg.cholesky(distinct(x), upper=True), upper=True),
        lambda x: np.linalg.inv(distinct(x)),
        name="cholesky_inverse",
        shapes=[(3, 3), (2, 4, 4)],
        dtypes=TWO_FLOATS,
        slack=60,
    ),
    row(
        lambda x: linalg.logdet(distinct(x)),
        lambda x: np.log(np.linalg.det(distinct(x))),
        name="logdet",
        shapes=[(3, 3), (2, 4, 4)],
        dtypes=TWO_FLOATS,
        slack=60,
    ),
    row(
        lambda x: vectors_and_values(linalg.eig(distinct(x) @ pydl.eye(x.shape[-1], dtype=x.dtype) + x * 0.1)),
        lambda x: vectors_and_values(np.linalg.eig(distinct(x) + x * 0.1)),
        name="eig",
        shapes=[(3, 3), (2, 4, 4)],
        dtypes=TWO_FLOATS,
        slack=400,
    ),
    row(
        lambda a, b, **k: linalg.lu_solve(*linalg.lu_factor(regular(a)), b, **k),
        lambda a, b, adjoint=False, left=True: (
            np.linalg.solve(np_or_ours_flip(regular(a)) if adjoint else regular(a), b)
            if left
            else np_or_ours_flip(
                np.linalg.solve(regular(a) if adjoint else np_or_ours_flip(regular(a)), np_or_ours_flip(b))
            )
        ),
        name="lu_solve",
        kinds="ff",
        shapes=[((3, 3), (3, 3)), ((2, 4, 4), (2, 4, 4))],
        dtypes=TWO_FLOATS,
        slack=60,
        kwargs=[{}, {"adjoint": True}, {"left": False}, {"left": False, "adjoint": True}],
    ),
]


class TestRows(RowChecks):
    """Every row."""
