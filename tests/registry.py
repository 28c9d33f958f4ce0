"""row(...): one record per operation, from which tests/checks.py makes its tests.

A row says how to call the operation, what it should give (`reference`, on NumPy arrays of float64, integers or bools),
for which shapes, arguments, dtypes and values, and which errors it raises.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import pydl

NUMPY = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "int64": np.int64,
    "int32": np.int32,
    "uint8": np.uint8,
    "bool": np.bool_,
}
FLOATS = ("float64", "float32", "float16", "bfloat16")
INTS = ("int64", "int32", "uint8")
NUMBERS = FLOATS + INTS
ALL = (*NUMBERS, "bool")
ONE = [(3, 4), (), (1,), (0, 4), (2, 3, 5), (4, 1, 3)]
TWO = [((3, 4), (3, 4)), ((3, 1), (1, 4)), ((2, 3, 4), (4,)), ((), (3,)), ((3, 2), ()), ((), ()), ((0, 4), (1, 4))]
LARGE = (3, 35001)

Shape = tuple[int, ...]
Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Row:
    """One operation; see `row`."""

    name: str
    fn: Callable[..., Any]
    reference: Callable[..., Any]
    kinds: str
    cases: list[tuple[tuple[Shape, ...], dict[str, Any]]]
    low: tuple[float, ...]
    high: tuple[float, ...]
    whole: tuple[int, int]
    dtypes: tuple[str, ...]
    errors: list[tuple[Any, type[Exception], str]]
    grad: bool
    tails: Callable[[int], tuple[Shape, ...]] | None
    large: tuple[Shape, ...] | None
    layouts: bool
    slack: dict[str, float]
    sums: bool
    specials: bool
    result: Callable[[str], str] | None
    covers: tuple[str, ...] = field(default=())


def row(
    fn: Callable[..., Any],
    reference: Callable[..., Any],
    *,
    name: str = "",
    kinds: str = "f",
    shapes: Sequence[Any] | None = None,
    kwargs: Sequence[dict[str, Any]] = ({},),
    cases: Sequence[tuple[Any, dict[str, Any]]] = (),
    low: float | Sequence[float] = -2.0,
    high: float | Sequence[float] = 2.0,
    whole: tuple[int, int] = (-9, 9),
    dtypes: Sequence[str] = FLOATS,
    errors: Sequence[tuple[Any, type[Exception], str]] = (),
    grad: bool = True,
    tails: Callable[[int], tuple[Shape, ...]] | None = None,
    large: tuple[Shape, ...] | None = None,
    layouts: bool = True,
    slack: float | dict[str, float] = 1.0,
    sums: bool = False,
    specials: bool = False,
    result: Callable[[str], str] | None = None,
    covers: Sequence[str] = (),
) -> Row:
    """The record of one operation.

    Args:
        fn: called with one tensor per letter of kinds, and kwargs.
        reference: the same on NumPy arrays; see `via` for torch's functions.
        name: that of the public function; fn's own where left out.
        kinds: per input: f the dtype under test, i int64 indices, b bool.
        shapes: each the shapes of all inputs (of one input: its shape); all are tried with all kwargs.
        cases: pairs of shapes and kwargs besides those.
        low, high: the range of values, for all inputs or for each; away from kinks.
        whole: the range of integer values and indices, the upper end included.
        errors: pairs of arguments (a tuple of integers stands for a float32 tensor of that shape; a dict at the end is
            kwargs), the error and a part of its text.
        grad: whether there are gradients.
        tails: from n to shapes, tried for each n up to 33.
        large: shapes that keep several threads busy.
        layouts: whether inputs may be strided, transposed, flipped and broadcast.
        slack: factor on the tolerances, for all dtypes or by name.
        sums: whether the error grows with the sum of absolute values, not with the result.
        specials: whether infinities, NaN and zeros are tried.
        result: from the dtype under test to that of the result; the same where left out.
        covers: other public names that this row stands for.
    """
    arity = len(kinds)
    tried = ONE if shapes is None and arity == 1 else TWO if shapes is None else shapes
    wrap = lambda s: (s,) if arity == 1 and (not s or isinstance(s[0], int)) else tuple(s)  # noqa: E731
    listed = [(wrap(s), k) for s in tried for k in kwargs] + [(wrap(s), k) for s, k in cases]
    spread = lambda v: tuple(v) if isinstance(v, Sequence) else (v,) * arity  # noqa: E731
    factors = slack if isinstance(slack, dict) else dict.fromkeys(FLOATS, slack)
    return Row(
        name or fn.__name__, fn, reference, kinds, listed, spread(low), spread(high), whole, tuple(dtypes),
        list(errors), grad, tails, large, layouts, factors, sums, specials, result, tuple(covers),
    )  # fmt: skip


def unary(fn: Callable[..., Any], reference: Callable[..., Any], **options: Any) -> Row:
    """The row of an elementwise function of one input."""
    return row(fn, reference, **{"tails": lambda n: ((n,),), "large": (LARGE,), "specials": True} | options)


def binary(fn: Callable[..., Any], reference: Callable[..., Any], **options: Any) -> Row:
    """The row of an elementwise function of two inputs that broadcast."""
    rest = {"kinds": "ff", "tails": lambda n: ((n,), (n,)), "large": (LARGE, LARGE), "specials": True}
    bad = [
        (((2, 3), (4,)), pydl.errors.ShapeError, "do not broadcast: expected sizes that are equal or 1, got 3 and 4")
    ]
    return row(fn, reference, **rest | options | {"errors": bad + list(options.get("errors", ()))})


def move(fn: Callable[..., Any], reference: Callable[..., Any], **options: Any) -> Row:
    """The row of an operation that only moves elements: any dtype, no arithmetic."""
    return row(fn, reference, **{"dtypes": ALL} | options)


def one_by_one(fn: Callable[..., Any]) -> Callable[..., Any]:
    """fn with its sizes given one by one, of a reference that takes them as one."""
    return lambda x, sizes, **k: fn(x, *sizes, **k)


def via(name: str) -> Callable[..., Any]:
    """torch's function of that name, on NumPy arrays, as a reference."""

    def reference(*arrays: Any, **kwargs: Any) -> Any:
        torch = pytest.importorskip("torch")
        made = attrgetter(name)(torch)(*[_to_torch(torch, a) for a in arrays], **kwargs)
        return tuple(map(_from_torch, made)) if isinstance(made, (tuple, list)) else _from_torch(made)

    return reference


def _to_torch(torch: Any, a: Any) -> Any:
    if not isinstance(a, (np.ndarray, np.generic)):
        return a
    if a.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(np.array(a, dtype=np.float32)).bfloat16()
    return torch.from_numpy(np.array(a))


def _from_torch(t: Any) -> np.ndarray:
    return t.float().numpy() if str(t.dtype) == "torch.bfloat16" else t.numpy()


# ---------------------------------------------------------------- values


def draw(row: Row, shapes: Sequence[Shape], dtype: str, rng: np.random.Generator) -> Arrays:
    """Inputs of a row, as NumPy arrays: those of kind f in dtype."""
    return [draw_one(row, i, s, dtype if row.kinds[i] == "f" else row.kinds[i], rng) for i, s in enumerate(shapes)]


def draw_one(row: Row, i: int, shape: Shape, dtype: str, rng: np.random.Generator) -> np.ndarray:
    """Input i of a row: dtype is the name of one, or i for indices or b for bools."""
    low, high = row.whole
    if dtype in ("b", "bool"):
        return np.asarray(rng.integers(0, 2, shape), dtype=bool)
    if dtype == "i":
        return np.asarray(rng.integers(low, high + 1, shape), dtype=np.int64)
    if dtype in INTS:
        low, high = max(low, int(np.ceil(row.low[i])) if row.low[i] != -2.0 else low), high
        return np.asarray(rng.integers(max(low, 0) if dtype == "uint8" else low, high + 1, shape), dtype=NUMPY[dtype])
    return np.asarray(rng.uniform(row.low[i], row.high[i], shape)).astype(NUMPY[dtype])


def tensor(a: np.ndarray) -> pydl.Tensor:
    """A tensor on the memory of a NumPy array, whatever its strides."""
    return pydl.from_numpy(a)


def widen(a: np.ndarray) -> np.ndarray:
    """Floating arrays in float64, others as they are: what references are given."""
    return a if a.dtype.kind in "iub" else np.asarray(a, dtype=np.float64)


def listed(made: Any) -> list[Any]:
    """One result or several, as a list."""
    return list(made) if isinstance(made, (tuple, list)) else [made]


def values(made: Any) -> Arrays:
    """Results as NumPy arrays, floating ones in float64."""
    return [widen(_numpy(t)) for t in listed(made)]


def _numpy(t: Any) -> np.ndarray:
    return t.detach().numpy() if isinstance(t, pydl.Tensor) else np.asarray(t)


def expected(row: Row, arrays: Arrays, kwargs: dict[str, Any]) -> Arrays:
    """What the reference gives for these inputs, computed in float64."""
    with np.errstate(all="ignore"):
        made = row.reference(*[widen(a) for a in arrays], **kwargs)
        if all(np.asarray(m).dtype.kind == "f" for m in listed(made)):  # NumPy computes uint8 in float16
            made = row.reference(
                *[np.asarray(a, dtype=np.int64) if a.dtype == np.uint8 else widen(a) for a in arrays], **kwargs
            )
    return [np.asarray(m) for m in listed(made)]


def magnitude(row: Row, arrays: Arrays, kwargs: dict[str, Any], exact: np.ndarray) -> float:
    """The size of the numbers that go into a result: the result's own, or that for absolute values where it sums."""
    if row.sums:
        exact = np.concatenate([m.reshape(-1) for m in expected(row, [np.abs(a) for a in arrays], kwargs)])
    return float(np.max(np.abs(exact[np.isfinite(exact)]), initial=0.0))


def naive(row: Row, arrays: Arrays, kwargs: dict[str, Any]) -> Arrays:
    """What the plain formula gives in the dtype of the inputs; rounded at the end where NumPy lacks the loop."""
    kind = next(a.dtype for a in arrays if a.dtype.kind not in "iub")
    with np.errstate(all="ignore"):
        try:
            made = listed(row.reference(*arrays, **kwargs))
        except (TypeError, RuntimeError):
            made = expected(row, arrays, kwargs)
        return [np.asarray(m).astype(kind).astype(np.float64) for m in made]


def only(condition: Callable[[Row], Any]) -> Callable[[Any], Any]:
    """Marks a test as one for the rows that meet the condition."""

    def mark(test: Any) -> Any:
        test.only = condition
        return test

    return mark
