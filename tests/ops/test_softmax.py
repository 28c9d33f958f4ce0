"""Softmax, log-softmax and cross entropy."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import FLOATS, row, via
from scipy import special

import pydl
from pydl import ops
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError

SHAPES = [(3, 4), (2, 3, 5), (0, 4), (3, 1), (7,)]
DIMS = [{"dim": -1}, {"dim": 0}]
WIDE = {"low": -9, "high": 9, "tails": lambda n: ((3, n),), "large": ((300, 401),), "slack": 2}
BAD = [
    (((3, 4), 2), BoundsError, "dim 2 is out of range: expected one in [-2, 1]"),
    ((pydl.tensor([1, 2]), 0), DtypeError, "expected a floating dtype, got int64"),
]
CLASSES = {"kinds": "fi", "whole": (0, 2), "sums": True, "slack": 2}
SCORES = [((4, 3), (4,)), ((5, 3), (5,)), ((2, 3, 5), (2, 5))]
OPTIONS = [{}, {"reduction": "sum"}, {"reduction": "none"}, {"label_smoothing": 0.3}, {"ignore_index": 1}]
ZEROS, ONES = pydl.tensor([0, 0, 0]), pydl.ones(3, 4)


def along(fn: Any) -> Any:
    """A SciPy function that is not defined for no elements or no axes."""
    return lambda x, dim: x if not np.size(x) else fn(x, axis=dim) if np.ndim(x) else fn(np.reshape(x, 1))[0]


def np_cross_entropy(x: Any, target: Any, **options: Any) -> Any:
    return via("nn.functional.cross_entropy")(x, target, **options)


ROWS = [
    row(ops.softmax, along(special.softmax), shapes=SHAPES, kwargs=DIMS, cases=[((), {"dim": 0})], errors=BAD, **WIDE),
    row(ops.log_softmax, along(special.log_softmax), shapes=SHAPES, kwargs=DIMS, errors=BAD, **WIDE),
    row(
        ops.cross_entropy,
        np_cross_entropy,
        shapes=SCORES,
        kwargs=OPTIONS,
        cases=[(((3,), ()), {}), (((0, 3), (0,)), {"reduction": "sum"}), (((0, 3), (0,)), {"reduction": "none"})],
        **CLASSES,
        tails=lambda n: ((4, n + 2), (4,)),
        large=((300, 401), (300,)),
        errors=[
            ((ONES, ZEROS[:2]), ShapeError, "target (2,) does not match input (3, 4): expected classes (3,)"),
            ((ONES, ZEROS + 4), BoundsError, "cross_entropy: target 4 is out of range for 4 classes"),
            ((ONES, ZEROS - 1), BoundsError, "cross_entropy: target -1 is out of range for 4 classes"),
            (
                (ONES, ZEROS, {"reduction": "max"}),
                ArgumentError,
                "reduction must be 'mean', 'sum' or 'none', got 'max'",
            ),
            ((ONES, ZEROS, {"label_smoothing": 2.0}), ArgumentError, "label_smoothing must be in [0, 1], got 2"),
            ((ONES, ZEROS, pydl.ones(3)), ShapeError, "expected (4,)"),
            ((pydl.tensor([[1, 2]]), ZEROS[:1]), DtypeError, "cross_entropy: expected a floating dtype"),
            (((), ZEROS), ShapeError, "cross_entropy: expected scores with at least one axis"),
        ],
    ),
    row(
        lambda x, t, w, **k: ops.cross_entropy(x, t, w, **k),
        lambda x, t, w, **k: np_cross_entropy(x, t, weight=_torch(w), **k),
        name="weighted_cross_entropy",
        kinds="fif",
        shapes=[((4, 3), (4,), (3,)), ((2, 3, 5), (2, 5), (3,))],
        kwargs=OPTIONS,
        whole=(0, 2),
        low=(-2, 0, 0.2),
        dtypes=FLOATS[:2],
        sums=True,
        slack=4,
    ),
    row(
        lambda x, p, **k: ops.cross_entropy(x, ops.softmax(p, 1 if p.ndim > 1 else 0), **k),
        lambda x, p, **k: np_cross_entropy(x, special.softmax(p, axis=1 if p.ndim > 1 else 0), **k),
        name="soft_cross_entropy",
        kinds="ff",
        shapes=[((4, 3), (4, 3)), ((2, 3, 5), (2, 3, 5)), ((3,), (3,))],
        kwargs=OPTIONS[:4],
        dtypes=FLOATS[:2],
        sums=True,
        slack=4,
    ),
]


def _torch(a: Any) -> Any:
    return pytest.importorskip("torch").from_numpy(np.array(a))


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_large_and_infinite_scores(name: str) -> None:
    """No overflow; a score of -inf has probability 0; all -inf, or NaN, is NaN as in torch."""
    torch = pytest.importorskip("torch")
    inf, nan = np.inf, np.nan
    x = np.array([[1e4, 1e4, 0], [-1e4, -1e4, -1e4], [-inf, 0, 1], [-inf, -inf, -inf], [nan, 0, 1], [inf, 0, 1]])
    for dtype in (np.float32, np.float64):
        ours = getattr(ops, name)(pydl.tensor(x.astype(dtype)), 1).numpy()
        theirs = getattr(torch, name)(torch.tensor(x.astype(dtype)), 1).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_dtype() -> None:
    y = ops.softmax(pydl.tensor([1, 2, 3]), 0, dtype=pydl.float64)
    assert y.dtype is pydl.float64


def test_gradient_is_softmax_less_target() -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(50, 7)), rng.integers(0, 7, 50)
    logits = pydl.tensor(x, requires_grad=True)
    ops.cross_entropy(logits, pydl.tensor(t)).backward()
    np.testing.assert_allclose(logits.grad.numpy(), (special.softmax(x, axis=1) - np.eye(7)[t]) / 50, atol=1e-15)


def test_all_rows_ignored() -> None:
    """0 / 0, as in torch; no gradient leaks from ignored rows."""
    x = pydl.randn(3, 4, requires_grad=True)
    target = pydl.full((3,), -100)
    assert np.isnan(ops.cross_entropy(x, target).item())
    ops.cross_entropy(x, target, reduction="sum").backward()
    assert (x.grad == 0).all().item()


LONG = [(1, 65536), (2, 70001), (7, 65537)]  # few long rows are cut into pieces


@pytest.mark.parametrize("shape", LONG)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_long_rows(shape: tuple[int, int], dtype: str) -> None:
    rng = np.random.default_rng(0)
    kind = getattr(pydl, dtype)
    x, g = (pydl.tensor(rng.normal(size=shape) * 3).to(kind) for _ in range(2))
    exact_x, exact_g = x.double().numpy(), g.double().numpy()
    y, log_y = special.softmax(exact_x, axis=1), special.log_softmax(exact_x, axis=1)
    slopes = y * (exact_g - (exact_g * y).sum(1, keepdims=True)), exact_g - y * exact_g.sum(1, keepdims=True)
    limit = {"float64": 1e-11, "float32": 3e-6, "float16": 2e-3, "bfloat16": 1e-2}[dtype]
    for op, expected, slope in zip((ops.softmax, ops.log_softmax), (y, log_y), slopes, strict=True):
        a = x.clone().requires_grad_()
        made = op(a, 1)
        np.testing.assert_allclose(made.detach().double().numpy(), expected, rtol=limit, atol=limit * 1e-3)
        made.backward(g)
        if dtype in ("float32", "float64"):
            np.testing.assert_allclose(a.grad.double().numpy(), slope, rtol=limit * 10, atol=limit * 10)


@pytest.mark.parametrize("shape", LONG)
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_of_long_rows(shape: tuple[int, int], soft: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    target = special.softmax(rng.normal(size=shape), axis=1) if soft else rng.integers(0, shape[1], shape[0])
    weight = rng.uniform(0.5, 2, shape[1])
    for options in ({}, {"label_smoothing": 0.2}):
        a, b = pydl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        ours = ops.cross_entropy(a, pydl.tensor(target), pydl.tensor(weight), **options)
        theirs = torch.nn.functional.cross_entropy(b, torch.tensor(target), torch.tensor(weight), **options)
        assert abs(ours.item() - theirs.item()) < 1e-10
        ours.backward()
        theirs.backward()
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-14)


def test_long_rows_of_special_values() -> None:
    x = np.zeros((5, 65600), np.float32)
    x[0, 1:], x[1], x[2, 70], x[3, 60000] = -np.inf, -np.inf, np.nan, np.inf
    y = ops.softmax(pydl.tensor(x), 1).numpy()
    assert y[0, 0] == 1 and not y[0, 1:].any() and np.isnan(y[1:4]).all()
    np.testing.assert_allclose(y[4], 1 / 65600, rtol=1e-6)


def test_long_rows_are_the_same_for_every_number_of_threads() -> None:
    x, before, found = pydl.randn(2, 100001), pydl.get_num_threads(), []
    target = pydl.tensor([5, 100000])
    for n in (1, 2, 3):
        pydl.set_num_threads(n)
        a = x.clone().requires_grad_()
        loss = ops.cross_entropy(a, target) + ops.softmax(a, 1).square().sum() + ops.log_softmax(a, 1).mean()
        loss.backward()
        found.append((loss.item(), a.grad.numpy().tobytes()))
    pydl.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.3}, {"reduction": "sum"}, {"reduction": "none"}])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 2, 2), (3,), (4, 40)])
def test_probabilities_with_weights(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    """Values and the gradients of scores, probabilities and weights, against torch."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    at = 1 if len(shape) > 1 else 0
    arrays = [rng.normal(size=shape), special.softmax(rng.normal(size=shape), axis=at), rng.uniform(0.5, 2, shape[at])]
    for wanted in ((0,), (0, 1), (0, 1, 2)):
        ours = [pydl.tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)]
        theirs = [torch.tensor(a, requires_grad=i in wanted and i < 2) for i, a in enumerate(arrays)]
        y = ops.cross_entropy(*ours, **options)
        e = torch.nn.functional.cross_entropy(*theirs, **options)
        np.testing.assert_allclose(y.detach().numpy(), e.detach().numpy(), rtol=1e-12, atol=1e-14)
        (y * y).sum().backward()
        (e * e).sum().backward()
        for a, b in list(zip(ours, theirs, strict=True))[:2]:
            assert (a.grad is None) == (b.grad is None)
            if b.grad is not None:
                np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_targets_of_other_integers_and_old_arguments() -> None:
    x = pydl.randn(4, 3)
    t = pydl.tensor([0, 2, 1, 2])
    assert ops.cross_entropy(x, t.to(pydl.int32)).item() == ops.cross_entropy(x, t).item()
    for argument in ("size_average", "reduce"):
        with pytest.raises(ArgumentError, match="no longer taken"):
            ops.cross_entropy(x, t, **{argument: False})
    with pytest.raises(DtypeError):
        ops.cross_entropy(x, t > 1)
