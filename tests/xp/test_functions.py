"""The functions of pydl.xp against NumPy's, which follow the same standard: values, shapes, dtypes, special cases."""

import itertools
from typing import Any

import numpy as np
import pytest
from agreement import FLOATS, INTS, A, same, values

import pydl
from pydl import xp
from pydl.errors import ArgumentError, DtypeError, PydlError, ShapeError

ROUND = "abs ceil floor isfinite isinf isnan negative positive round sign square trunc"
SMOOTH = (
    """acos acosh asin asinh atan atanh cos cosh exp expm1 log log1p log2 log10 reciprocal sin sinh sqrt tan tanh"""
)


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
@pytest.mark.parametrize("name", ROUND.split())
def test_rounding_and_tests(name: str, dtype: str) -> None:
    a = values(dtype)
    same(getattr(xp, name)(pydl.tensor(a)), getattr(np, name)(a))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", SMOOTH.split())
def test_smooth_functions(name: str, dtype: str) -> None:
    a = values(dtype)
    with np.errstate(all="ignore"):
        same(getattr(xp, name)(pydl.tensor(a)), getattr(np, name)(a), exact=False)
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype=dtype)
        if name not in ("acos", "acosh"):
            same(
                getattr(xp, name)(pydl.tensor(special)), getattr(np, name)(special), exact=name not in ("cosh", "atan")
            )


PAIRS = {
    "numeric": "add subtract multiply maximum minimum floor_divide remainder less less_equal greater greater_equal "
    "equal not_equal",
    "floating": "divide atan2 copysign hypot logaddexp nextafter pow",
    "whole": "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift",
}


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, names in PAIRS.items() for n in names.split()])
def test_two_arguments(kind: str, name: str) -> None:
    """All pairs of values, broadcast, of one dtype and of two of a kind."""
    for first, second in [*itertools.product(INTS, INTS), *itertools.product(FLOATS, FLOATS)]:
        if (kind == "floating" and first in INTS) or (kind == "whole" and first in FLOATS):
            continue
        a, b = values(first)[:, None], values(second)[None, :13]
        if name.endswith("shift"):
            b = b[(b >= 0) & (b < 7)][None]
        if first in INTS and name in ("floor_divide", "remainder"):
            b = b[b != 0][None]
        with np.errstate(all="ignore"):
            exact = name not in ("atan2", "hypot", "logaddexp", "pow")
            wanted = getattr(np, name)(a, b)
            mine = getattr(xp, name)(pydl.tensor(a), pydl.tensor(b))
        if name in ("floor_divide", "remainder") and first in FLOATS:  # the standard leaves some to the library
            unclear = ~(np.isfinite(a) & np.isfinite(b)) | (b == 0)
            wanted, mine = np.where(unclear, 0, wanted), xp.where(pydl.tensor(unclear), 0.0, mine)
        same(mine, wanted, exact)


def test_bools() -> None:
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    x, y = pydl.tensor(a), pydl.tensor(b)
    for name in (
        "logical_and",
        "logical_or",
        "logical_xor",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "equal",
        "not_equal",
    ):
        same(getattr(xp, name)(x, y), getattr(np, name)(a, b))
    same(xp.logical_not(x), ~a)
    same(xp.bitwise_invert(x), ~a)
    same(xp.bitwise_invert(pydl.tensor([1, -5])), np.array([-2, 4]))
    same(xp.signbit(pydl.tensor([0.0, -0.0, np.nan, -np.inf])), np.array([False, True, False, True]))
    x = xp.asarray([1, 2])
    with pytest.raises(ArgumentError, match="not negative"):
        xp.bitwise_left_shift(x, -1)
    with pytest.raises(ArgumentError, match="exponents that are not negative"):
        xp.pow(x, -1)
    with pytest.raises(PydlError, match="zero"):
        xp.floor_divide(x, 0)


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
def test_clip(dtype: str) -> None:
    a = values(dtype)
    x = pydl.tensor(a)
    low, high = np.array(2, dtype=dtype), np.array(9, dtype=dtype)
    same(xp.clip(x, 2, 9), np.clip(a, low, high))
    same(xp.clip(x, max=9), np.minimum(a, high))
    same(xp.clip(x, min=2), np.maximum(a, low))
    same(xp.clip(x), a)
    limits = np.arange(a.size).astype(dtype)
    same(xp.clip(x, pydl.tensor(limits)), np.maximum(a, limits))
    with pytest.raises(DtypeError):
        xp.clip(x, xp.asarray(True))


# ---- creation


def test_creation() -> None:
    for name in ("zeros", "ones"):
        for shape in (3, (2, 3), (), (0, 2)):
            same(getattr(xp, name)(shape, dtype=xp.float64), getattr(np, name)(shape))
            assert getattr(xp, name)(shape).dtype is xp.float32 and xp.empty(shape).shape == np.empty(shape).shape
    for args in ((5,), (1, 7), (1, 7, 2), (5, 0, -2), (0.5, 3.0), (0,), (3, 1)):
        made = xp.arange(*args, dtype=xp.float64)
        same(made, np.arange(*args, dtype=np.float64))
        assert xp.arange(*args).dtype is (xp.int64 if all(isinstance(a, int) for a in args) else xp.float32)
    for args in ((0, 1, 5), (2, -3, 4), (0, 1, 1), (0, 1, 0)):
        for endpoint in (True, False):
            same(xp.linspace(*args, dtype=xp.float64, endpoint=endpoint), np.linspace(*args, endpoint=endpoint))
    for args in ((3,), (2, 4), (3, 2), (0, 2)):
        for k in (-1, 0, 2):
            same(xp.eye(*args, k=k, dtype=xp.float64), np.eye(*args, k=k))
    for value, dtype in ((True, xp.bool), (3, xp.int64), (2.5, xp.float32)):
        assert (
            xp.full((2,), value).dtype is dtype is xp.asarray(value).dtype and xp.full(2, value).tolist() == [value] * 2
        )
    x = xp.ones((2, 3), dtype=xp.int32)
    for made in (xp.zeros_like(x), xp.ones_like(x), xp.full_like(x, 7), xp.empty_like(x)):
        assert made.shape == (2, 3) and made.dtype is xp.int32
    assert xp.full_like(x, 2.5, dtype=xp.float64).tolist() == [[2.5] * 3] * 2
    for call in (lambda: xp.linspace(0, 1, -1), lambda: xp.linspace(0, 1, 3, dtype=xp.int64), lambda: xp.ones(-1)):
        with pytest.raises(PydlError):
            call()


def test_grids_and_triangles() -> None:
    a, b = np.arange(3), np.arange(4)
    for indexing in ("xy", "ij"):
        for mine, theirs in zip(xp.meshgrid(pydl.tensor(a), pydl.tensor(b), indexing=indexing),
                                np.meshgrid(a, b, indexing=indexing), strict=True):  # fmt: skip
            same(mine, theirs)
    assert xp.meshgrid() == () and xp.meshgrid(pydl.tensor(a))[0].shape == (3,)
    for k in (-1, 0, 2):
        same(xp.tril(pydl.tensor(A), k=k), np.tril(A, k))
        same(xp.triu(pydl.tensor(A), k=k), np.triu(A, k))


def test_asarray() -> None:
    a = np.arange(3.0)
    assert np.shares_memory(xp.asarray(a).numpy(), a) and not np.shares_memory(xp.asarray(a, copy=True).numpy(), a)
    x = xp.asarray([[1, 2], [3, 4]])
    assert xp.asarray(x) is x and xp.asarray(x, copy=True) is not x and x.dtype is xp.int64
    assert xp.asarray([True, False]).dtype is xp.bool and xp.asarray([1.5]).dtype is xp.float32
    assert xp.asarray([[]]).shape == (1, 0) and xp.asarray(b"ab").tolist() == [97, 98]
    assert xp.asarray(a, dtype=xp.float32).dtype is xp.float32 and xp.asarray(3, dtype=xp.float64).dtype is xp.float64
    for call in (lambda: xp.asarray([1], copy=False), lambda: xp.asarray(a, dtype=xp.int64, copy=False)):
        with pytest.raises(ValueError, match="without a copy"):
            call()
    copied = xp.from_dlpack(a, copy=True)
    assert not np.shares_memory(copied.numpy(), a) and np.shares_memory(xp.from_dlpack(a, device="cpu").numpy(), a)


# ---------------------------------------------------------------- manipulation

MOVES: list[Any] = [
    lambda m, x: m.concat([x, x * 2], axis=1),
    lambda m, x: m.concat([x, x], axis=-1),
    lambda m, x: m.concat([x, x[0]], axis=None),
    lambda m, x: m.stack([x, x], axis=-1),
    lambda m, x: m.expand_dims(x, axis=1),
    lambda m, x: m.expand_dims(x, axis=(0, -1)),
    lambda m, x: m.flip(x),
    lambda m, x: m.flip(x, axis=-1),
    lambda m, x: m.flip(x, axis=(0, 2)),
    lambda m, x: m.moveaxis(x, 0, -1),
    lambda m, x: m.moveaxis(x, (0, 1), (2, 0)),
    lambda m, x: m.permute_dims(x, (2, 0, 1)),
    lambda m, x: m.repeat(x, 2),
    lambda m, x: m.repeat(x, 3, axis=1),
    lambda m, x: m.repeat(x, m.asarray([1, 0, 2]), axis=1),
    lambda m, x: m.reshape(x, (3, -1)),
    lambda m, x: m.reshape(x, (24,), copy=True),
    lambda m, x: m.roll(x, 5),
    lambda m, x: m.roll(x, -1, axis=1),
    lambda m, x: m.roll(x, (1, 2), axis=(0, 2)),
    lambda m, x: m.roll(x, 1, axis=(0, 2)),
    lambda m, x: m.squeeze(x[:1], axis=0),
    lambda m, x: m.tile(x, (2, 1, 1)),
    lambda m, x: m.tile(x, (2, 1, 1, 2)),
    lambda m, x: m.tile(x, (2,)),
    lambda m, x: m.unstack(x, axis=1)[2],
    lambda m, x: m.broadcast_to(x[:, :1], (2, 3, 4)),
    lambda m, x: m.broadcast_arrays(x, x[0, 0])[1],
    lambda m, x: m.matrix_transpose(x),
    lambda m, x: m.take(x, m.asarray([2, 0, -1]), axis=1),
    lambda m, x: m.take_along_axis(x, m.asarray([[[0, 3]]]), axis=-1),
    lambda m, x: m.where(x > 0, x, m.zeros((4,), dtype=x.dtype)),
]


@pytest.mark.parametrize("case", range(len(MOVES)))
@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
def test_manipulation(case: int, dtype: str) -> None:
    a = np.abs(A * 10).astype(dtype)
    same(MOVES[case](xp, pydl.tensor(a)), MOVES[case](np, a))


def test_manipulation_errors() -> None:
    x = pydl.tensor(A)
    calls: list[Any] = [
        lambda: xp.squeeze(x, axis=1),
        lambda: xp.concat([]),
        lambda: xp.concat([x, xp.ones((2, 3, 4), dtype=xp.int64)]),
        lambda: xp.concat([xp.asarray(1), xp.asarray(2)]),
        lambda: xp.expand_dims(x, axis=(0, 0)),
        lambda: xp.expand_dims(x, axis=5),
        lambda: xp.reshape(x.mT, (24,), copy=False),
        lambda: xp.unstack(xp.asarray(1)),
        lambda: xp.broadcast_to(x, (3, 4)),
        lambda: xp.permute_dims(x, (0, 1)),
        lambda: xp.take(x, xp.asarray([0])),
        lambda: xp.take(x, xp.asarray([9]), axis=0),
        lambda: xp.take(x, xp.asarray([[0]]), axis=0),
        lambda: xp.take(x, xp.asarray([0.0]), axis=0),
        lambda: xp.matrix_transpose(x[0, 0]),
    ]
    for call in calls:
        with pytest.raises(PydlError):
            call()


# ---------------------------------------------------------------- reductions

AXES: list[Any] = [None, 0, -1, (0, 2), (1,), ()]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "std", "var", "all", "any", "count_nonzero"])
def test_reductions(name: str, axis: Any) -> None:
    for dtype in [*INTS, *FLOATS]:
        if dtype in INTS and name in ("mean", "std", "var"):
            with pytest.raises(DtypeError):
                getattr(xp, name)(xp.ones(2, dtype=getattr(xp, dtype)))
            continue
        a = np.abs(A).astype(dtype)
        for keepdims in (False, True):
            wanted = np.asarray(getattr(np, name)(a, axis=axis, keepdims=keepdims))
            mine = getattr(xp, name)(pydl.tensor(a), axis=axis, keepdims=keepdims)
            if name in ("sum", "prod") and dtype in INTS:
                wanted = wanted.astype(np.int64)  # NumPy adds uint8 in uint64, which there is none of
            same(mine, wanted, exact=dtype in INTS)
    a = A.astype(np.float64)
    if name in ("std", "var"):
        same(getattr(xp, name)(pydl.tensor(a), axis=1, correction=1), getattr(np, name)(a, axis=1, ddof=1), exact=False)
    if name in ("sum", "prod"):
        assert getattr(xp, name)(xp.ones(3, dtype=xp.int32), dtype=xp.float64).dtype is xp.float64


def test_special_cases_of_reductions() -> None:
    nothing = xp.zeros((0, 3))
    assert xp.sum(nothing, axis=0).tolist() == [0] * 3 and xp.prod(nothing, axis=0).tolist() == [1] * 3
    assert bool(xp.all(nothing)) and not bool(xp.any(nothing)) and bool(xp.isnan(xp.mean(nothing)))
    for name in ("max", "min", "argmax"):
        with pytest.raises(PydlError):
            getattr(xp, name)(nothing, axis=0)
    x = xp.asarray([1.0, np.nan, 3.0])
    assert bool(xp.isnan(xp.max(x))) and bool(xp.isnan(xp.min(x))) and bool(xp.any(xp.asarray([np.nan])))
    with pytest.raises(DtypeError):
        xp.sum(xp.asarray([True]))


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
def test_running_totals(name: str) -> None:
    for dtype in ("int32", "float32", "float64"):
        a = np.abs(A * 2).astype(dtype)
        for axis, first in itertools.product((0, 1, -1), (False, True)):
            wanted = getattr(np, name)(a, axis=axis, include_initial=first)
            wanted = wanted.astype(np.int64) if dtype == "int32" else wanted
            same(getattr(xp, name)(pydl.tensor(a), axis=axis, include_initial=first), wanted, exact=dtype == "int32")
    assert getattr(xp, name)(xp.asarray([1, 2, 3])).dtype is xp.int64
    for call in (lambda: getattr(xp, name)(pydl.tensor(A)), lambda: getattr(xp, name)(xp.asarray(1.0))):
        with pytest.raises(ShapeError):
            call()


def test_diff() -> None:
    for kwargs in ({}, {"n": 2}, {"axis": 0}, {"n": 0}):
        same(xp.diff(pydl.tensor(A), **kwargs), np.diff(A, **kwargs))
    edge = A[..., :2]
    same(
        xp.diff(pydl.tensor(A), prepend=pydl.tensor(edge), append=pydl.tensor(edge)),
        np.diff(A, prepend=edge, append=edge),
    )
