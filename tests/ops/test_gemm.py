"""Matrix products."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from checks import RowChecks
from registry import FLOATS, NUMBERS, NUMPY, row
from scipy import special

import pydl
from pydl import ops
from pydl.errors import ArgumentError, DtypeError, ShapeError

PRODUCTS = [
    ((8, 3), (3, 5)),
    ((3,), (3,)),
    ((3,), (3, 5)),
    ((8, 3), (3,)),
    ((2, 8, 3), (3, 5)),
    ((2, 4, 3), (2, 3, 5)),
    ((8, 3), (2, 3, 5)),
    ((2, 1, 4, 3), (3, 3, 2)),
    ((2, 4, 3), (3,)),
    ((3,), (2, 3, 4)),
    ((1, 3), (3, 1)),
]
EMPTY = [
    ((0, 3), (3, 5)),
    ((8, 0), (0, 5)),
    ((8, 3), (3, 0)),
    ((0, 4, 3), (3, 5)),
    ((0,), (0,)),
    ((0, 4, 3), (0, 3, 5)),
]
SUMS = {"sums": True, "dtypes": NUMBERS}
MIXED = [
    ((pydl.ones(2, 3), pydl.ones(3, 2, dtype=pydl.float64)), DtypeError, "expected one dtype, got float32 and float64")
]


def np_gelu_tanh(v: Any) -> Any:
    return v * special.expit(np.sqrt(8 / np.pi) * (v + 0.044715 * v**3))


CURVES: dict[str | None, Any] = {
    None: lambda v: v,
    "relu": lambda v: np.maximum(v, 0),
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "gelu": lambda v: v * special.ndtr(v),
    "gelu_tanh": np_gelu_tanh,
    "silu": lambda v: v * special.expit(v),
}


def np_linear(x: Any, w: Any, *rest: Any, activation: str | None = None) -> Any:
    return CURVES[activation](x @ w.T + sum(rest))


def linear_residual(x: Any, w: Any, bias: Any, residual: Any, activation: str | None = None) -> Any:
    return ops.linear(x, w, bias, activation, residual)


ACTIVATIONS = [{"activation": name} for name in CURVES]

ROWS = [
    row(
        ops.matmul,
        np.matmul,
        kinds="ff",
        shapes=PRODUCTS + EMPTY,
        tails=lambda n: ((5, n), (n, 3)),
        large=((150, 170), (170, 130)),
        **SUMS,
        errors=[
            *MIXED,
            (
                ((8, 3), (4, 5)),
                ShapeError,
                "matmul: a (8, 3) does not match b (4, 5): expected b of shape (..., 3, ...)",
            ),
            (((), (3,)), ShapeError, "matmul: expected tensors with at least one axis, got () and (3,)"),
            (((2, 4, 3), (5, 3, 2)), ShapeError, "matmul: shapes (2,) and (5,) do not broadcast"),
            (((3, 3), 2.0), DtypeError, "matmul: expected tensors, got float"),
        ],
    ),
    row(
        ops.mm,
        np.matmul,
        kinds="ff",
        shapes=[((8, 3), (3, 5)), ((1, 7), (7, 1))],
        tails=lambda n: ((n, 4), (4, 3)),
        **SUMS,
        errors=[(((2, 8, 3), (3, 5)), ShapeError, "mm: expected 2 axes, got shape (2, 8, 3)")],
    ),
    row(
        ops.bmm,
        np.matmul,
        kinds="ff",
        shapes=[((2, 4, 3), (2, 3, 5)), ((0, 4, 3), (0, 3, 5))],
        tails=lambda n: ((2, 3, 4), (2, 4, n)),
        large=((30, 40, 30), (30, 30, 35)),
        **SUMS,
        errors=[(((2, 4, 3), (1, 3, 5)), ShapeError, "bmm: batch of (2, 4, 3) does not match (1, 3, 5)")],
    ),
    row(
        ops.mv,
        np.matmul,
        kinds="ff",
        shapes=[((4, 3), (3,))],
        tails=lambda n: ((3, n), (n,)),
        large=((400, 301), (301,)),
        **SUMS,
    ),
    row(
        ops.dot,
        np.dot,
        kinds="ff",
        shapes=[((3,), (3,))],
        tails=lambda n: ((n,), (n,)),
        large=((135001,), (135001,)),
        **SUMS,
        errors=[(((3,), (4,)), ShapeError, "does not match b (4,)")],
    ),
    row(
        ops.outer,
        np.outer,
        kinds="ff",
        shapes=[((3,), (4,)), ((0,), (4,))],
        dtypes=NUMBERS,
        errors=[(((3, 1), (4,)), ShapeError, "outer: expected 1 axes, got shape (3, 1)")],
    ),
    row(
        ops.inner,
        np.inner,
        kinds="ff",
        shapes=[((2, 3), (4, 3)), ((3,), (3,)), ((2, 2, 3), (3,)), ((0, 3), (4, 3)), ((), ())],
        errors=[(((3,), (4,)), ShapeError, "inner: (3,) does not match (4,): expected equal last sizes")],
        **SUMS,
    ),
    row(
        ops.addmm,
        lambda c, a, b, beta=1, alpha=1: beta * c + alpha * (a @ b),
        kinds="fff",
        sums=True,
        shapes=[
            ((4, 5), (4, 3), (3, 5)),
            ((5,), (4, 3), (3, 5)),
            ((4, 1), (4, 3), (3, 5)),
            ((), (4, 3), (3, 5)),
            ((20, 40), (20, 3), (3, 40)),
            ((4, 5), (4, 0), (0, 5)),
            ((1, 5), (0, 3), (3, 5)),
        ],
        kwargs=[{}, {"beta": 0.5, "alpha": 2.0}, {"beta": 0}],
        tails=lambda n: ((n, n + 1), (n, 7), (7, n + 1)),
        large=((150, 130), (150, 170), (170, 130)),
        slack=2,
        errors=[
            (((3, 5), (4, 3), (3, 5)), ShapeError, "addmm: "),
            (((4, 5), (4, 3), (4, 5)), ShapeError, "addmm: (4, 3) does not match (4, 5)"),
            (((4, 5), (2, 4, 3), (3, 5)), ShapeError, "addmm: expected 2 axes, got shape (2, 4, 3)"),
            (((2, 4, 5), (4, 3), (3, 5)), ShapeError, "addmm: input (2, 4, 5) does not broadcast"),
        ],
    ),
    row(
        ops.baddbmm,
        lambda c, a, b, beta=1, alpha=1: beta * c + alpha * (a @ b),
        kinds="fff",
        sums=True,
        shapes=[
            ((2, 4, 5), (2, 4, 3), (2, 3, 5)),
            ((4, 5), (2, 4, 3), (2, 3, 5)),
            ((2, 1, 5), (2, 4, 3), (2, 3, 5)),
            ((2, 4, 1), (2, 4, 3), (2, 3, 5)),
        ],
        kwargs=[{}, {"beta": 0.5, "alpha": 2.0}, {"beta": 0}],
        slack=2,
        errors=[(((4, 5), (2, 4, 3), (1, 3, 5)), ShapeError, "baddbmm: batch of (2, 4, 3) does not match (1, 3, 5)")],
    ),
    row(
        ops.linear,
        np_linear,
        kinds="fff",
        kwargs=ACTIVATIONS,
        tails=lambda n: ((4, n), (n + 1, n), (n + 1,)),
        sums=True,
        shapes=[((4, 3), (5, 3), (5,)), ((2, 4, 3), (5, 3), (5,)), ((3,), (5, 3), (5,)), ((0, 3), (5, 3), (5,))],
        large=((200, 70), (90, 70), (90,)),
        slack=2,
        errors=[
            (
                ((32, 100), (10, 128), (10,)),
                ShapeError,
                "linear: input (32, 100) does not match weight (10, 128): expected last dimension 128",
            ),
            (((2, 3), (4, 3), (3,)), ShapeError, "linear: bias (3,) does not match weight (4, 3): expected (4,)"),
            (
                ((2, 3), (4, 3), (4,), {"activation": "swish"}),
                ArgumentError,
                "activation must be None, 'relu', 'tanh', 'sigmoid', 'gelu', 'gelu_tanh' or 'silu', got 'swish'",
            ),
        ],
    ),
    row(
        ops.linear,
        np_linear,
        name="linear_without_bias",
        kinds="ff",
        shapes=[((4, 3), (5, 3))],
        kwargs=ACTIVATIONS,
        sums=True,
        slack=2,
    ),
    row(
        linear_residual,
        np_linear,
        name="linear_with_residual",
        kinds="ffff",
        shapes=[((4, 3), (5, 3), (5,), (4, 5)), ((2, 4, 3), (5, 3), (5,), (2, 4, 5)), ((3,), (5, 3), (5,), (5,))],
        kwargs=ACTIVATIONS,
        tails=lambda n: ((4, n), (n + 1, n), (n + 1,), (4, n + 1)),
        sums=True,
        slack=2,
        errors=[
            (
                ((4, 3), (5, 3), (5,), (5,)),
                ShapeError,
                "linear: residual (5,) does not match the output: expected (4, 5)",
            )
        ],
    ),
]


class TestRows(RowChecks):
    """Every row."""


def error_bound(dtype: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What rounding may do to each element of x y: k products and sums, each rounded, at random."""
    eps = float(np.finfo(NUMPY[dtype] if dtype != "bfloat16" else np.float32).eps)
    size = np.abs(x) @ np.abs(y)
    stored = {"bfloat16": 2**-8, "float16": 2**-10}.get(dtype, 0.0) * np.abs(x @ y)
    return 4 * np.sqrt(x.shape[-1] + 1) * (eps if dtype in ("float32", "float64") else 2**-23) * size + stored + 1e-30


def check(dtype: str, a: np.ndarray, b: np.ndarray) -> None:
    """One product of arrays of any layout, against float64."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    made = (pydl.from_numpy(a) @ pydl.from_numpy(b)).numpy().astype(np.float64)
    wrong = ~(np.abs(made - x @ y) <= error_bound(dtype, x, y))
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} differ for {a.shape} {a.strides} by {b.shape} {b.strides}"


def laid_out(rng: np.random.Generator, rows: int, columns: int, layout: str, dtype: str) -> np.ndarray:
    """A matrix whose rows (r), columns (c) or neither (s) are contiguous."""
    if layout == "c":
        return laid_out(rng, columns, rows, "r", dtype).T
    wide = rng.normal(size=(rows, columns if layout == "r" else 2 * columns)).astype(NUMPY[dtype])
    return wide if layout == "r" else wide[:, ::2]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layouts", ["rr", "rc", "cr", "cc", "ss"])
def test_every_size_modulo_the_tile(dtype: str, layouts: str) -> None:
    """Every number of rows up to two tiles, and of columns, and of steps of k, about those where paths change."""
    rng = np.random.default_rng(0)
    columns = (1, 4, 5, 15, 16, 17, 31, 32, 33, 47, 65)
    for m in range(1, 30):
        n, k = columns[m % len(columns)], (1, 2, 3, 4, 5, 7, 8, 33)[m % 8]
        for p, q in ((n, k), (columns[(m * 7) % len(columns)], 40 + m)):
            a, b = laid_out(rng, m, q, layouts[0], dtype), laid_out(rng, q, p, layouts[1], dtype)
            check(dtype, a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "shape",
    [
        (257, 300, 129),  # m, k, n: several blocks of each
        (400, 1030, 70),  # narrow, k in blocks
        (901, 60, 33),
        (70, 530, 400),
        (14, 600, 200),  # one tile of rows
        (33, 520, 1100),  # panels in groups
        (1, 700, 300),
        (300, 700, 1),
        (4, 300, 260),
        (64, 1030, 64),
        (1030, 3, 1030),
        (80, 1024, 512),  # rows 4 KiB apart
    ],
)
def test_beyond_one_block(dtype: str, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    rng = np.random.default_rng(0)
    for layouts in ("rr", "cc", "ss") if m * n * k < 2e7 else ("rc",):
        check(dtype, laid_out(rng, m, k, layouts[0], dtype), laid_out(rng, k, n, layouts[1], dtype))


@pytest.mark.parametrize(
    ("dtype", "layouts"), [("float32", x) for x in ("rr", "rc", "cr", "cc")] + [("bfloat16", "cr")]
)
def test_packed_ahead(dtype: str, layouts: str) -> None:
    """Large enough for both operands to be packed before, with edges in every direction."""
    rng = np.random.default_rng(0)
    check(dtype, laid_out(rng, 587, 1301, layouts[0], dtype), laid_out(rng, 1301, 583, layouts[1], dtype))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(5, 6, 7), (50, 600, 70), (700, 30, 40), (3, 600, 90), (90, 600, 2), (40, 40, 40)])
def test_what_is_added(dtype: str, shape: tuple[int, int, int]) -> None:
    """alpha, beta and every layout of the added matrix, on every path; with beta 0 it is not read."""
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = laid_out(rng, m, k, "r", dtype), laid_out(rng, k, n, "r", dtype)
    x, y = a.astype(np.float64), b.astype(np.float64)
    added = [laid_out(rng, m, n, layout, dtype) for layout in "rcs"] + [
        laid_out(rng, *s, "r", dtype) for s in ((1, n), (m, 1))
    ]
    for c in added:
        for alpha, beta in ((1, 1), (2, 1), (1, -0.5), (0.25, 3)):
            y0 = ops.addmm(*map(pydl.from_numpy, (c, a, b)), beta=beta, alpha=alpha).numpy().astype(np.float64)
            exact = beta * c.astype(np.float64) + alpha * (x @ y)
            limit = 2 * alpha * error_bound(dtype, x, y) + 4 * float(ml_dtypes.finfo(NUMPY[dtype]).eps) * (
                np.abs(exact) + np.abs(beta * c.astype(np.float64))
            )
            assert (np.abs(y0 - exact) <= limit).all(), (c.shape, c.strides, alpha, beta)
    c = np.full((m, n), np.nan).astype(NUMPY[dtype])
    assert np.isfinite(ops.addmm(*map(pydl.from_numpy, (c, a, b)), beta=0).numpy().astype(np.float64)).all()


@pytest.mark.parametrize("shape", [(5, 6, 7), (50, 600, 70), (700, 30, 40), (3, 600, 90), (90, 600, 2)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_epilogues(dtype: str, shape: tuple[int, int, int]) -> None:
    """Bias, residual and each activation, on every path; the fused result is that of the operations one by one."""
    m, k, n = shape
    rng = np.random.default_rng(0)
    x, w, bias, residual = (
        pydl.from_numpy((rng.normal(size=s) / scale).astype(NUMPY[dtype]))
        for s, scale in (((m, k), 1), ((n, k), np.sqrt(k)), (n, 1), ((m, n), 1))
    )
    x64, w64, b64, r64 = (t.numpy().astype(np.float64) for t in (x, w, bias, residual))
    eps = float(ml_dtypes.finfo(NUMPY[dtype]).eps)
    for name, curve in CURVES.items():
        y = ops.linear(x, w, bias, name, residual).numpy().astype(np.float64)
        exact = curve(x64 @ w64.T + b64 + r64)
        limit = 1.2 * error_bound(dtype, x64, w64.T) + 8 * eps * (1 + np.abs(exact))
        assert (np.abs(y - exact) <= limit).all(), name


def test_batches_of_any_strides_are_not_copied() -> None:
    """Heads out of (batch, time, head, feature), broadcast batches, and batches that do not merge."""
    rng = np.random.default_rng(0)
    q, k = (rng.normal(size=(3, 5, 4, 6)).astype(np.float32) for _ in range(2))
    a, b = pydl.from_numpy(q).permute(0, 2, 1, 3), pydl.from_numpy(k).permute(0, 2, 3, 1)
    exact = q.astype(np.float64).transpose(0, 2, 1, 3) @ k.astype(np.float64).transpose(0, 2, 3, 1)
    np.testing.assert_allclose((a @ b).numpy(), exact, atol=1e-5)
    np.testing.assert_allclose((a[:, :1] @ b).numpy(), exact_of(a[:, :1], b), atol=1e-5)
    np.testing.assert_allclose((a @ b[:1]).numpy(), exact_of(a, b[:1]), atol=1e-5)
    np.testing.assert_allclose((a @ b[1, 2]).numpy(), exact_of(a, b[1, 2]), atol=1e-5)


def exact_of(a: pydl.Tensor, b: pydl.Tensor) -> np.ndarray:
    return a.numpy().astype(np.float64) @ b.numpy().astype(np.float64)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    rng = np.random.default_rng(0)
    before = pydl.get_num_threads()
    try:
        for m, k, n in ((300, 700, 200), (2000, 300, 60), (40, 900, 800), (3, 4000, 900)):
            a, b = (pydl.from_numpy(rng.normal(size=s).astype(np.float32)) for s in ((m, k), (k, n)))
            made = []
            for threads in (1, 2, 3):
                pydl.set_num_threads(threads)
                made.append((a @ b).numpy())
            assert all((y == made[0]).all() for y in made)
    finally:
        pydl.set_num_threads(before)
