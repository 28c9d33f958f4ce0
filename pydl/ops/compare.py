"""Comparison, logic and selection. Comparisons have no gradient; selections pass it to what was selected."""

import math
from typing import Any

from pydl import _C
from pydl.autograd.op import Op, Plain, recovered
from pydl.errors import ArgumentError, DtypeError
from pydl.ops.scalar import Number, expect_number, expect_tensor, lift, lift_pair
from pydl.tensor import Tensor

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "nan_to_num",
    "ne",
    "not_equal",
    "signbit",
    "where",
]

Operand = Tensor | Number


def _comparison(name: str, doc: str) -> Any:
    kernel = getattr(_C, name)
    plain = Plain(kernel, elementwise=True)

    def function(input: Operand, other: Operand) -> Tensor:
        a, b = lift_pair(input, other, name)
        try:
            return Tensor(kernel(a.array, b.array))
        except TypeError as error:
            return recovered(error, plain, (a.detach(), b.detach()), {})

    function.__doc__ = doc
    function.__name__ = function.__qualname__ = name
    return function


def _test(name: str, doc: str) -> Any:
    kernel = getattr(_C, name)
    plain = Plain(kernel, elementwise=True)

    def function(input: Tensor) -> Tensor:
        x = expect_tensor(input, name)
        try:
            return Tensor(kernel(x.array))
        except TypeError as error:
            return recovered(error, plain, (x.detach(),), {})

    function.__doc__ = doc
    function.__name__ = function.__qualname__ = name
    return function


eq = _comparison("eq", "Where both are equal, broadcast; bool.")
ne = _comparison("ne", "Where both differ, broadcast; bool.")
lt = _comparison("lt", "Where input < other, broadcast; bool.")
le = _comparison("le", "Where input <= other, broadcast; bool.")
gt = _comparison("gt", "Where input > other, broadcast; bool.")
ge = _comparison("ge", "Where input >= other, broadcast; bool.")
logical_and = _comparison("logical_and", "Where both are not 0; bool.")
logical_or = _comparison("logical_or", "Where one is not 0; bool.")
logical_xor = _comparison("logical_xor", "Where just one is not 0; bool.")
bitwise_and = _comparison("bitwise_and", "The common bits of integers or bools.")
bitwise_or = _comparison("bitwise_or", "The bits of either integer or bool.")
bitwise_xor = _comparison("bitwise_xor", "The bits of just one integer or bool.")
logical_not = _test("logical_not", "Where it is 0; bool.")
isnan = _test("isnan", "Where it is NaN; bool.")
isinf = _test("isinf", "Where it is infinite; bool.")
isfinite = _test("isfinite", "Where it is neither NaN nor infinite; bool.")
isposinf = _test("isposinf", "Where it is infinite and positive; bool.")
isneginf = _test("isneginf", "Where it is infinite and negative; bool.")
signbit = _test("signbit", "Where the sign is minus, also that of -0 and NaN; bool.")
bitwise_left_shift = _comparison("bitwise_left_shift", "input * 2^other of integers; 0 if all bits are shifted out.")
bitwise_right_shift = _comparison("bitwise_right_shift", "input / 2^other of integers, rounded down.")


def isreal(input: Tensor) -> Tensor:
    """True everywhere: there are no complex dtypes."""
    return Tensor(_C.full(expect_tensor(input, "isreal").shape, True, _C.bool, input.device))


def bitwise_not(input: Tensor) -> Tensor:
    """The other bits of an integer; of a bool, its opposite."""
    if expect_tensor(input, "bitwise_not").array.dtype is _C.bool:
        return logical_not(input)
    if input.array.is_floating:
        raise DtypeError(f"bitwise_not: expected integers or bool, got {input.dtype}")
    return bitwise_xor(input, -1 if input.array.dtype is not _C.uint8 else 255)


class Where(Op):
    kernel = _C.where
    uses = (0,)

    def vjp(g, condition, a, b):
        return None, lambda: where(condition, g, 0.0), lambda: where(condition, 0.0, g)


def where(condition: Tensor, input: Operand | None = None, other: Operand | None = None) -> Any:
    """input where condition is true, else other, broadcast; with the condition alone, the positions where it is true.

    Args:
        condition: bool.
        input, other: tensors or numbers; two numbers give the default dtype, int64 or bool.
    """
    if input is None and other is None:
        from pydl.ops.index import nonzero

        return nonzero(condition, as_tuple=True)
    expect_tensor(condition, "where")
    if input is None or other is None:
        raise ArgumentError("where: give both input and other, or neither")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        kinds = {bool if isinstance(v, bool) else float if isinstance(v, float) else int for v in (input, other)}
        dtype = _C.default_dtype() if float in kinds else _C.int64 if int in kinds else _C.bool
        input = Tensor(_C.scalar(input, dtype, condition.array.device))
    a, b = lift_pair(input, other, "where")
    return Where.apply(condition, a, b)


class ClampGrad(Op):
    kernel = _C.clamp_grad
    uses = (1,)

    def vjp(gg, g, x, a, b):
        return (lambda: ClampGrad.apply(gg, x, a=a, b=b), None)


class Clamp(Op):
    kernel = _C.clamp

    def vjp(g, x, a, b):
        return (ClampGrad.apply(g, x, a=a, b=b),)


class NanToNumGrad(Op):
    kernel = _C.nan_to_num_grad
    uses = (1,)

    def vjp(gg, g, x):
        return (lambda: NanToNumGrad.apply(gg, x), None)


class NanToNum(Op):
    kernel = _C.nan_to_num

    def vjp(g, x, a, b, c):
        return (NanToNumGrad.apply(g, x),)


def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """input limited to [min, max]; either may be left out. At a limit the gradient passes to input.

    Raises: ArgumentError if both are left out.
    """
    if min is None and max is None:
        raise ArgumentError("clamp: give min, max or both")
    y = expect_tensor(input, "clamp")
    low, high = _limit(min, -math.inf), _limit(max, math.inf)
    if low is not None and high is not None and y.array.is_floating:
        return Clamp.apply(y, a=low, b=high)
    if min is not None:
        least = lift(min, y, "clamp")
        y = where(y < least, least, y)
    if max is not None:
        most = lift(max, y, "clamp")
        y = where(y > most, most, y)
    return y


def _limit(value: Any, missing: float) -> float | None:
    """A limit as a number; None if it is a tensor or NaN."""
    if value is None:
        return missing
    return float(value) if isinstance(value, (int, float)) and value == value else None


def clamp_min(input: Tensor, min: Operand) -> Tensor:
    """input, but min where it is smaller."""
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: Operand) -> Tensor:
    """input, but max where it is larger."""
    return clamp(input, max=max)


_LARGEST = {
    _C.float64: 1.7976931348623157e308,
    _C.float32: 3.4028234663852886e38,
    _C.float16: 65504.0,
    _C.bfloat16: 3.3895313892515355e38,
}


def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """input with 0 for NaN and the largest numbers of its dtype for infinities, or with what is given."""
    if not expect_tensor(input, "nan_to_num").array.is_floating:
        return input.clone()
    largest = _LARGEST[input.dtype]
    values = {"a": (nan, 0.0, "nan"), "b": (posinf, largest, "posinf"), "c": (neginf, -largest, "neginf")}
    given = {k: d if v is None else expect_number(v, "nan_to_num", n) for k, (v, d, n) in values.items()}
    return NanToNum.apply(input, **given)


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and elements."""
    expect_tensor(input, "equal")
    return input.shape == expect_tensor(other, "equal").shape and bool(
        Tensor(_C.all(_C.eq(input.array, other.array))).item()
    )


def _precise(x: Tensor) -> Tensor:
    """x outside the graph, in a dtype whose differences are exact enough to judge by."""
    wide = _C.float32 if x.dtype in (_C.float16, _C.bfloat16, _C.float32) else _C.float64
    return Tensor(_C.cast(x.array, wide))


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Where |input - other| <= atol + rtol * |other|; bool."""
    a, b = _precise(expect_tensor(input, "isclose")), _precise(expect_tensor(other, "isclose"))
    rtol, atol = expect_number(rtol, "isclose", "rtol"), expect_number(atol, "isclose", "atol")
    near = (a == b) | (((a - b).abs() <= atol + rtol * b.abs()) & isfinite(b) & isfinite(a))
    return near | (isnan(a) & isnan(b)) if equal_nan else near


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close; see `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


clip = clamp
not_equal = ne
greater, greater_equal = gt, ge
less, less_equal = lt, le
