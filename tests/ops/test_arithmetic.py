"""Arithmetic on two inputs."""

import itertools
from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import ALL, FLOATS, INTS, NUMBERS, TWO, binary, row, via

import pydl
from pydl import ops
from pydl.errors import ArgumentError, DtypeError

DIVISOR = {"low": (-9, 0.5), "high": (9, 5), "whole": (1, 9)}
BY_ZERO = [((pydl.tensor([1, 2]), pydl.tensor([1, 0])), ArgumentError, "division by zero in integers")]
NO_BOOL = [((pydl.tensor([True]), pydl.tensor([True])), DtypeError, "bool is not supported")]
NO_TENSOR = [((1.0, 2.0), DtypeError, "expected at least one tensor, got float and float")]
THREE = [((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), ()), ((0, 4), (4,), (1, 4))]
MODE = [
    (((3,), (3,), {"rounding_mode": "up"}), ArgumentError, "rounding_mode must be None, 'trunc' or 'floor', got 'up'")
]


def np_div(a: Any, b: Any, rounding_mode: str | None = None) -> Any:
    if rounding_mode is None:
        return np.true_divide(a, b)
    if rounding_mode == "floor":
        return np.floor_divide(a, b)
    whole = np.result_type(a, b).kind in "iu"
    return np.sign(a) * np.sign(b) * (abs(a) // abs(b)) if whole else np.trunc(a / b)


def np_pow(a: Any, b: Any) -> Any:
    return np.power(a, b)


ROWS = [
    binary(ops.add, lambda a, b, alpha=1: a + alpha * b, kwargs=[{}, {"alpha": 3}], dtypes=ALL[:-1], errors=NO_TENSOR),
    binary(ops.sub, lambda a, b, alpha=1: a - alpha * b, kwargs=[{}, {"alpha": 3}], dtypes=NUMBERS, errors=NO_BOOL),
    binary(ops.mul, np.multiply, dtypes=ALL),
    binary(
        ops.div,
        np_div,
        kwargs=[{}, {"rounding_mode": "trunc"}, {"rounding_mode": "floor"}],
        dtypes=NUMBERS,
        errors=MODE,
        **DIVISOR,
        specials=False,
    ),
    binary(ops.pow, np_pow, low=(0.2, -2), high=(3, 2), whole=(0, 5), dtypes=NUMBERS, errors=NO_BOOL, slack=2),
    binary(ops.maximum, np.maximum, dtypes=ALL),
    binary(ops.minimum, np.minimum, dtypes=ALL),
    binary(ops.floor_divide, np.floor_divide, dtypes=NUMBERS, errors=BY_ZERO + NO_BOOL, **DIVISOR, specials=False),
    binary(ops.remainder, np.remainder, dtypes=NUMBERS, errors=BY_ZERO + NO_BOOL, **DIVISOR, specials=False),
    binary(ops.fmod, np.fmod, dtypes=NUMBERS, errors=BY_ZERO + NO_BOOL, **DIVISOR, specials=False),
    binary(ops.atan2, np.arctan2),
    binary(ops.logaddexp, np.logaddexp, low=-5, high=5),
    binary(ops.hypot, np.hypot, specials=False, slack=1),
    binary(ops.logaddexp2, np.logaddexp2, low=-5, high=5, specials=False),
    binary(ops.copysign, np.copysign, low=(0.1, -2)),
    binary(ops.nextafter, np.nextafter, dtypes=FLOATS[:2], specials=False),
    binary(ops.fmax, np.fmax, dtypes=ALL),
    binary(ops.fmin, np.fmin, dtypes=ALL),
    binary(ops.heaviside, via("heaviside"), dtypes=("float64", "float32", "int64")),
    binary(ops.ldexp, lambda a, b: a * 2.0**b, low=(-2, -3), high=(2, 3), slack=2, specials=False),
    binary(
        ops.float_power,
        np.float_power,
        low=(0.2, -2),
        high=(3, 2),
        dtypes=FLOATS[:2],
        result=lambda d: "float64",
        slack={"float32": 2},
        whole=(1, 5),
    ),
    row(ops.rsub, lambda a, b, alpha=1: b - alpha * a, kinds="ff", kwargs=[{}, {"alpha": 3}], dtypes=NUMBERS),
    *[
        row(
            getattr(ops, name),
            getattr(np, name),
            kinds="ff",
            shapes=TWO,
            dtypes=INTS,
            grad=False,
            tails=lambda n: ((n,), (n,)),
            errors=[
                (((3,), (3,)), DtypeError, f"{name}: float32 is not supported: expected integers or bool"),
                ((pydl.tensor([True]), pydl.tensor([True])), DtypeError, "bool is not supported"),
            ],
        )
        for name in ("gcd", "lcm")
    ],
]


class TestRows(RowChecks):
    """Every row."""


# ---------------------------------------------------------------- promotion

DTYPES = [getattr(pydl, name) for name in ALL]
SCALARS = [True, 2, 2.5]
ARITHMETIC = ["add", "sub", "mul", "div", "maximum", "remainder", "pow", "eq", "where"]


def _torch_dtype(torch: Any, dtype: Any) -> Any:
    return getattr(torch, dtype.name)


def _call(module: Any, name: str, a: Any, b: Any) -> Any:
    return module.where(module.tensor([True, False]), a, b) if name == "where" else getattr(module, name)(a, b)


def _agrees(name: str, torch: Any, ours: tuple[Any, Any], theirs: tuple[Any, Any]) -> None:
    """Both libraries give the same dtype; where torch refuses, we refuse too, or the same as for other dtypes."""
    try:
        expected = _call(torch, name, *theirs).dtype
    except (RuntimeError, TypeError):
        return
    try:
        got = _call(pydl, name, *ours).dtype
    except DtypeError:
        assert name in ("sub", "pow", "remainder"), f"{name} refuses {ours}"
        return
    assert str(expected) == f"torch.{got.name}", f"{name}: {ours} gave {got}, torch {expected}"


@pytest.mark.parametrize("name", ARITHMETIC)
def test_promotion_of_tensors(name: str) -> None:
    """All pairs of dtypes, with and without axes: PyTorch's result dtype."""
    torch = pytest.importorskip("torch")
    for da, db in itertools.product(DTYPES, DTYPES):
        for sa, sb in itertools.product([(2,), ()], [(2,), ()]):
            ours = pydl.ones(sa).to(da), pydl.ones(sb).to(db)
            theirs = torch.ones(sa, dtype=_torch_dtype(torch, da)), torch.ones(sb, dtype=_torch_dtype(torch, db))
            _agrees(name, torch, ours, theirs)


@pytest.mark.parametrize("name", ARITHMETIC)
def test_promotion_of_numbers(name: str) -> None:
    """Python numbers are weak, on either side."""
    torch = pytest.importorskip("torch")
    for dtype, shape, number in itertools.product(DTYPES, [(2,), ()], SCALARS):
        ours, theirs = pydl.ones(shape).to(dtype), torch.ones(shape, dtype=_torch_dtype(torch, dtype))
        _agrees(name, torch, (ours, number), (theirs, number))
        if name not in ("maximum",):
            _agrees(name, torch, (number, ours), (number, theirs))


def test_promote_types() -> None:
    torch = pytest.importorskip("torch")
    for a, b in itertools.product(DTYPES, DTYPES):
        expected = torch.promote_types(_torch_dtype(torch, a), _torch_dtype(torch, b))
        assert str(expected) == f"torch.{pydl.promote_types(a, b).name}"


# ---------------------------------------------------------------- what the rows do not show


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "div"])
def test_quotients_of_special_values(name: str) -> None:
    """Against torch: infinities, NaN, zeros of both signs."""
    torch = pytest.importorskip("torch")
    v = np.array([0.0, -0.0, 1.0, -1.5, 3.0, np.inf, -np.inf, np.nan])
    a, b = (g.reshape(-1) for g in np.meshgrid(v, v))
    for dtype in (np.float32, np.float64):
        ours = getattr(ops, name)(pydl.tensor(a.astype(dtype)), pydl.tensor(b.astype(dtype))).numpy()
        theirs = getattr(torch, name)(torch.tensor(a.astype(dtype)), torch.tensor(b.astype(dtype))).numpy()
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", INTS)
def test_integers_wrap_around(dtype: str) -> None:
    """Also at the ends of their ranges, where C++ would be undefined."""
    info = np.iinfo(dtype)
    v = np.array([info.min, info.min + 1, info.max, info.max - 1, 0, 1, 7], dtype=dtype)
    a, b = (g.reshape(-1) for g in np.meshgrid(v, v))
    x, y = pydl.from_numpy(a), pydl.from_numpy(b)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal((x + y).numpy(), a + b)
        np.testing.assert_array_equal((x - y).numpy(), a - b)
        np.testing.assert_array_equal((x * y).numpy(), a * b)
        np.testing.assert_array_equal((-x).numpy(), -a)
        keep = b != 0
        x, y, a, b = pydl.from_numpy(a[keep]), pydl.from_numpy(b[keep]), a[keep], b[keep]
        np.testing.assert_array_equal((x // y).numpy(), a // b)
        np.testing.assert_array_equal((x % y).numpy(), a % b)
        np.testing.assert_array_equal(ops.fmod(x, y).numpy(), np.fmod(a, b))


def test_power_of_negative_base() -> None:
    a = np.array([-2.0, -2.0, -2.0, 0.0, 0.0, -0.0, -8.0])
    b = np.array([3.0, 2.0, 0.5, 0.0, -1.0, -1.0, 1 / 3])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ops.pow(pydl.tensor(a), pydl.tensor(b)).numpy(), np.power(a, b), rtol=1e-14)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("exponent", [2, 3, -1, -2, 0.5, -0.5, 0, 1, 4, 1.5])
def test_powers_by_a_number(exponent: float, dtype: str) -> None:
    """Those that products give too: pow's values at zeros and infinities, at any length, and of any layout."""
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-19, 1e19, -3.0, 0.1]
    for n in (1, 7, 40):
        a = np.resize(np.array(special), (n, 3))
        x = pydl.tensor(a).to(getattr(pydl, dtype))
        made = ops.pow(x, pydl.tensor(exponent).to(x.dtype))
        with np.errstate(all="ignore"):
            exact = np.power(x.double().numpy(), np.full(a.shape, exponent))  # by one number NumPy takes the root
            exact = pydl.tensor(exact).to(x.dtype).double().numpy()
        eps = {"float64": 1e-15, "float32": 4e-7, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
        np.testing.assert_allclose(made.double().numpy(), exact, rtol=eps)
        number = ~np.isnan(exact)
        np.testing.assert_array_equal(np.signbit(made.double().numpy()[number]), np.signbit(exact[number]))
        turned = ops.pow(x.t(), pydl.tensor(exponent).to(x.dtype))
        np.testing.assert_array_equal(turned.double().numpy(), made.double().numpy().T)


@pytest.mark.parametrize("exponent", [3, -1, -2, -0.5, 0, 2.5])
def test_power_gradients_by_a_number(exponent: float) -> None:
    a = np.array([0.5, 1.5, 2.0])
    x = pydl.tensor(a, requires_grad=True)
    y = x**exponent
    (first,) = pydl.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = pydl.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(first.detach().numpy(), exponent * a ** (exponent - 1), rtol=1e-13)
    np.testing.assert_allclose(second.numpy(), exponent * (exponent - 1) * a ** (exponent - 2), rtol=1e-13)


def test_power_gradients_at_zero() -> None:
    """No NaN where the derivative exists: d(0^2), d(0^1), d(0^0), and 0 for the exponent."""
    x = pydl.tensor([0.0, 0.0, 0.0], dtype=pydl.float64, requires_grad=True)
    e = pydl.tensor([2.0, 1.0, 0.0], dtype=pydl.float64, requires_grad=True)
    (x**e).sum().backward()
    assert x.grad.tolist() == [0, 1, 0]
    assert e.grad.tolist() == [0, 0, 0]


def test_equal_extremes_share_the_gradient() -> None:
    for fn in (ops.maximum, ops.minimum):
        a, b = (pydl.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
        fn(a, b).sum().backward()
        assert a.grad.tolist() == b.grad.tolist() == [0.5, 0.5]


def test_operators_reflect() -> None:
    x = pydl.tensor([1.0, 2.0, 4.0])
    np.testing.assert_array_equal((1 - x).numpy(), [0, -1, -3])
    np.testing.assert_array_equal((8 / x).numpy(), [8, 4, 2])
    np.testing.assert_array_equal((2**x).numpy(), [2, 4, 16])
    np.testing.assert_array_equal((7 // x).numpy(), [7, 3, 1])
    np.testing.assert_array_equal((7 % x).numpy(), [0, 1, 3])
    np.testing.assert_array_equal((np.array([1.0, 1.0, 1.0]) - x).numpy(), [0, -1, -3])


def test_numbers_too_large_for_an_integer_tensor() -> None:
    with pytest.raises(ArgumentError, match="does not fit"):
        pydl.tensor([1]) + 2**70


def test_logaddexp_at_its_limits() -> None:
    """No overflow, no infinity less infinity, and the tie has its slopes to second order."""
    x = np.array([1e4, -1e4, np.inf, -np.inf, -np.inf, 0.0])
    y = np.array([1e4, 0.0, np.inf, -np.inf, 2.0, -40.0])
    np.testing.assert_allclose(ops.logaddexp(pydl.tensor(x), pydl.tensor(y)).numpy(), np.logaddexp(x, y), rtol=1e-14)
    a, b = (pydl.zeros(3, dtype=pydl.float64, requires_grad=True) for _ in range(2))
    assert pydl.autograd.gradcheck(ops.logaddexp, [a, b])
    assert pydl.autograd.gradgradcheck(ops.logaddexp, [a, b])


def test_hypot_does_not_overflow() -> None:
    a = pydl.tensor([3e38, 0.0, 1e-30, np.inf])
    b = pydl.tensor([1e38, 0.0, 1e-30, 1.0])
    np.testing.assert_allclose(ops.hypot(a, b).numpy(), [3.1622777e38, 0, 1.4142135e-30, np.inf], rtol=1e-6)


def test_hypot_slope_at_the_corner() -> None:
    a, b = (pydl.zeros(2, requires_grad=True) for _ in range(2))
    ops.hypot(a, b).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == [0, 0]


@pytest.mark.parametrize("dtype", FLOATS)
def test_nextafter(dtype: str) -> None:
    """One step of each dtype, through 0, to infinity, and past NaN."""
    torch = pytest.importorskip("torch")
    v = [0.0, -0.0, 1.0, -1.0, 1.5, 6e-8, float("inf"), -float("inf"), float("nan")]
    t = torch.tensor(v, dtype=getattr(torch, dtype))
    x = pydl.tensor(v, dtype=getattr(pydl, dtype))
    ours = ops.nextafter(x.reshape(-1, 1), x).double().numpy()
    if dtype == "float16":  # torch has no kernel: by NumPy
        half = np.array(v, dtype=np.float16)
        theirs = np.nextafter(half.reshape(-1, 1), half).astype(np.float64)
    else:
        theirs = torch.nextafter(t.reshape(-1, 1), t).double().numpy()
    np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(DtypeError, match="nextafter: int64 is not supported: expected a floating dtype"):
        ops.nextafter(pydl.tensor([1]), pydl.tensor([2]))


def test_fmax_gives_ties_to_the_first() -> None:
    nan = float("nan")
    for fn in (ops.fmax, ops.fmin):
        a, b = pydl.tensor([1.0, nan, 1.0], requires_grad=True), pydl.tensor([1.0, 1.0, nan], requires_grad=True)
        y = fn(a, b)
        y.sum().backward()
        assert y.tolist() == [1, 1, 1]
        assert (a.grad.tolist(), b.grad.tolist()) == ([1, 0, 1], [0, 1, 0])


def test_gcd_at_the_ends_of_the_range() -> None:
    for dtype in INTS:
        info = np.iinfo(dtype)
        v = np.array([info.min, info.min + 1, info.max, 0, 1, 6, 4], dtype=dtype)
        a, b = (g.reshape(-1) for g in np.meshgrid(v, v))
        np.testing.assert_array_equal(ops.gcd(pydl.from_numpy(a), pydl.from_numpy(b)).numpy(), np.gcd(a, b))


@pytest.mark.parametrize("call", [
    lambda x: ops.add(x, "a"),
    lambda x: ops.mul([1], x),
    lambda x: ops.lerp(x, x, "w"),
    lambda x: ops.lerp(x, 2.0, 0.5),
    lambda x: ops.addcmul(x, 2.0, 3.0),
    lambda x: ops.hypot(x, None),
    lambda x: ops.copysign(2.0, 3.0),
    lambda x: ops.add(x, x, alpha="a"),
])  # fmt: skip
def test_what_is_no_number(call: Any) -> None:
    """A typed error that names the operation."""
    with pytest.raises(DtypeError, match=r"(add|mul|lerp|hypot|copysign): "):
        call(pydl.ones(2))
