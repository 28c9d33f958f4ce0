"""How operations run on lanes: what becomes of their shapes, axes and sizes when the examples come in front.

A rule takes (op, arrays, has, attrs, n): arrays[i] is (n, *shape) where has[i], else (*shape) and the same for all n
examples (None where the op has no such input). It gives the result, (n, *shape), or (result, *residuals). It calls
kernels by `compute`, so that the arrays may have lanes of an outer vmap themselves.
"""

import math
from collections.abc import Callable
from typing import Any

from pydl import _C
from pydl.errors import AutogradError
from pydl.func.batch import compute
from pydl.nn.functional.embedding import Embedding
from pydl.ops import activation, arithmetic, conv, elementary, gemm, index, place, pool, reduce, resample, shape, slices
from pydl.ops.compare import Where
from pydl.ops.softmax import LogSoftmax, LogSoftmaxGrad, LogSumExp, Softmax, SoftmaxGrad

__all__ = ["RULES", "rule_of"]

Rule = Callable[[Any, list[Any], list[bool], dict[str, Any], int], Any]

ELEMENTWISE = {
    f"pydl.ops.{family}"
    for family in ("elementary", "activation", "arithmetic", "compare", "piecewise", "rounding", "special", "ternary")
}


# ---------------------------------------------------------------- moves of arrays


def reshaped(a: Any, sizes: list[int]) -> Any:
    return a if list(a.shape) == sizes else compute(shape.Reshape, [a], {"shape": sizes})


def permuted(a: Any, axes: list[int]) -> Any:
    return compute(shape.Permute, [a], {"axes": axes})


def example(a: Any, i: int) -> Any:
    """a[i]."""
    rest = list(a.shape[1:])
    attrs = {"starts": [i] + [0] * len(rest), "sizes": [1, *rest], "steps": [1] * (len(rest) + 1)}
    return reshaped(compute(slices.Slice, [a], attrs), rest)


def repeated(a: Any, has: bool, n: int) -> Any:
    """(n, *shape), whether it was so or not."""
    if has:
        return a
    sizes = list(a.shape)
    return compute(shape.Expand, [reshaped(a, [1, *sizes])], {"shape": [n, *sizes]})


def aligned(a: Any, has: bool, ndim: int) -> Any:
    """a with ones behind the axis of the examples, so that it broadcasts with what has `ndim` axes per example."""
    if not has or a.ndim == ndim + 1:
        return a
    sizes = list(a.shape)
    return reshaped(a, [sizes[0], *[1] * (ndim + 1 - a.ndim), *sizes[1:]])


def per_example(a: Any, has: bool) -> int:
    """The number of axes of one example."""
    return a.ndim - 1 if has else a.ndim  # type: ignore[no-any-return]


# ---------------------------------------------------------------- rules


def by_example(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """The kernel on one example after the other: right for every operation."""
    if n == 0:
        raise AutogradError("vmap: an operation needs at least one example")
    rows = []
    for i in range(n):
        made = compute(op, [example(a, i) if h else a for a, h in zip(arrays, has, strict=True)], attrs)
        rows.append(made if isinstance(made, tuple) else (made,))
    columns = [None if column[0] is None else stacked(list(column)) for column in zip(*rows, strict=True)]
    return columns[0] if len(columns) == 1 else tuple(columns)


def one_by_one(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """As by_example, for operations that are known to differentiate so."""
    return by_example(op, arrays, has, attrs, n)


def stacked(parts: list[Any]) -> Any:
    return compute(slices.Cat, [reshaped(p, [1, *p.shape]) for p in parts], {"dim": 0})


def elementwise(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """One call on all examples, if the result has the shape that broadcasting gives."""
    ndim = max(per_example(a, h) for a, h in zip(arrays, has, strict=True) if a is not None)
    ready = [a if a is None else aligned(a, h, ndim) for a, h in zip(arrays, has, strict=True)]
    made = compute(op, ready, attrs)
    first = made[0] if isinstance(made, tuple) else made
    if isinstance(made, tuple) or first.ndim != ndim + 1 or first.shape[0] != n:
        return by_example(op, arrays, has, attrs, n)
    return made


def reshape_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    (a,) = arrays
    sizes, count = list(attrs["shape"]), math.prod(a.shape[1:])
    known = math.prod(s for s in sizes if s != -1)
    if sizes.count(-1) > 1 or min([*sizes, 0]) < -1 or (known != count if -1 not in sizes else known == 0):
        return by_example(op, arrays, has, attrs, n)  # raises, or knows what to do
    return reshaped(a, [n, *[count // known if s == -1 else s for s in sizes]])


def permute_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    return permuted(arrays[0], [0, *[axis + 1 for axis in attrs["axes"]]])


def expand_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    sizes = list(attrs["shape"])
    return compute(op, [aligned(arrays[0], True, len(sizes))], {"shape": [n, *sizes]})


def slice_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    more = {"starts": [0, *attrs["starts"]], "steps": [1, *attrs["steps"]]}
    more |= {key: [n, *attrs[key]] for key in ("sizes", "shape") if key in attrs}
    return compute(op, arrays, more)


def cat_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    parts = [repeated(a, h, n) for a, h in zip(arrays, has, strict=True)]
    return compute(op, parts, {"dim": _behind(parts[0], True, attrs)})


def reduce_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Of one input over dim, one axis, several, or None or nothing for all."""
    (a,), dim = arrays, attrs.get("dim")
    ndim = a.ndim - 1
    listed = [dim] if isinstance(dim, int) else dim
    axes = [d % ndim + 1 for d in listed] if listed and ndim else list(range(1, ndim + 1))
    if ndim == 0 or (listed and not all(-ndim <= d < ndim for d in listed)):
        return by_example(op, arrays, has, attrs, n)
    kind = reduce.Sum if op is reduce.SumAll else op
    keep = {"keepdim": attrs["keepdim"]} if "keepdim" in attrs else {}
    return compute(kind, [a], {"dim": axes} | ({"keepdim": False} | keep))


def matmul_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    (a, b), (ha, hb) = arrays, has
    ndim = max(per_example(a, ha), per_example(b, hb))
    if ha and not hb and b.ndim == 2:
        return compute(op, [a, b], attrs)  # one product over the rows of all examples
    return compute(op, [aligned(a, ha, ndim), aligned(b, hb, ndim)], attrs)


_ACTIVATIONS = {
    "relu": activation.Relu,
    "tanh": elementary.Tanh,
    "sigmoid": activation.Sigmoid,
    "gelu": activation.Gelu,
    "gelu_tanh": activation.GeluTanh,
    "silu": activation.Silu,
}


def linear_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    x, weight, bias, residual = arrays
    weight, weights = same_for_all(weight, has[1])
    bias, biases = same_for_all(bias, has[2])
    if has[0] and not weights and not biases:
        return compute(op, [x, weight, bias, None if residual is None else repeated(residual, has[3], n)], attrs)
    rows = reshaped(x, [*x.shape[:-1], 1, x.shape[-1]]) if per_example(x, has[0]) == 1 else x
    axes = list(range(weight.ndim))
    turned = permuted(weight, [*axes[:-2], axes[-1], axes[-2]])
    y = product(rows, turned, [has[0], weights], n)
    y = reshaped(y, [n, y.shape[-1]]) if rows is not x else y
    for term, h in ((bias, biases), (residual, has[3])):
        y = y if term is None else elementwise(arithmetic.Add, [y, term], [True, h], {}, n)
    kind = _ACTIVATIONS.get(attrs["activation"])
    return y if kind is None else compute(kind, [y], {})


def product(a: Any, b: Any, has: list[bool], n: int) -> Any:
    """The matrix product, (n, ...), also where neither factor has examples."""
    if any(has):
        return matmul_rule(gemm.MatMul, [a, b], has, {}, n)
    return repeated(compute(gemm.MatMul, [a, b], {}), False, n)


def addmm_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """beta * input + alpha * a b."""
    added, a, b = arrays
    y = scaled(product(a, b, has[1:], n), attrs["alpha"])
    if attrs["beta"] == 0:
        return y
    return elementwise(arithmetic.Add, [y, scaled(added, attrs["beta"])], [True, has[0]], {}, n)


def scaled(a: Any, factor: float) -> Any:
    return a if factor == 1 else compute(arithmetic.Mul, [a, _C.scalar(factor, a.dtype, a.device)], {})


def same_for_all(a: Any, has: bool) -> tuple[Any, bool]:
    """a, and whether its examples differ: those that lie at one place in memory are one."""
    if has and isinstance(a, _C.Array) and a.shape[0] and a.strides[0] == 0:
        return example(a, 0), False
    return a, has


def last_axis_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Operations on the last axis, all inputs of one shape."""
    if any(per_example(a, h) == 0 for a, h in zip(arrays, has, strict=True)):
        return by_example(op, arrays, has, attrs, n)
    return compute(op, [repeated(a, h, n) for a, h in zip(arrays, has, strict=True)], attrs)


def conv_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Convolutions whose weight and bias are the same for all: the examples become part of the batch."""
    (x, weight, bias), (hx, _, _) = arrays, has
    weight, weights = same_for_all(weight, has[1])
    bias, biases = same_for_all(bias, has[2])
    if not hx or weights or biases:
        return by_example(op, arrays, has, attrs, n)
    return folded_rule(op, [x, weight, bias], [True, False, False], attrs, n)


def folded_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Operations on a batch (b, ...) that look at each of its entries alone: all examples in one batch."""
    batch = next(a.shape[1] for a, h in zip(arrays, has, strict=True) if h)
    ready = [reshaped(a, [n * batch, *a.shape[2:]]) if h else a for a, h in zip(arrays, has, strict=True)]
    made = compute(op, ready, attrs)
    results = made if isinstance(made, tuple) else (made,)
    split = [reshaped(y, [n, batch, *y.shape[1:]]) for y in results]
    return tuple(split) if isinstance(made, tuple) else split[0]


def pool_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Pooling: every input is a batch."""
    ready = [repeated(a, h, n) for a, h in zip(arrays, has, strict=True)]
    axes = len(attrs["kernel"])
    if ready[0].ndim - 1 <= axes:
        return by_example(op, arrays, has, attrs, n)
    if "shape" in attrs:
        attrs = attrs | {"shape": (n * attrs["shape"][0], *attrs["shape"][1:])}
    return folded_rule(op, ready, [True] * len(ready), attrs, n)


def maps_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Maps along the last axes: whatever is in front of them."""
    return compute(op, arrays, attrs)


def along_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Operations along one axis whose inputs all have that axis: cumsum, gather, scatter_add."""
    if any(per_example(a, h) == 0 for a, h in zip(arrays, has, strict=True)):
        return by_example(op, arrays, has, attrs, n)
    return compute(
        op,
        [repeated(a, h, n) for a, h in zip(arrays, has, strict=True)],
        attrs | {"dim": _behind(arrays[0], has[0], attrs)},
    )


def _behind(a: Any, has: bool, attrs: dict[str, Any]) -> int:
    """The axis dim of one example, counted with that of the examples in front."""
    return attrs["dim"] % per_example(a, has) + 1  # type: ignore[no-any-return]


def place_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Values put at, added at or combined with positions: (into, positions, values)."""
    into, index, values = arrays
    if not attrs["rows"]:
        return along_rule(op, arrays, has, attrs, n)
    if has[1] or per_example(into, has[0]) == 0:
        return by_example(op, arrays, has, attrs, n)
    into, values = repeated(into, has[0], n), repeated(values, has[2], n)
    return compute(op, [into, index, values], attrs | {"dim": _behind(into, True, attrs)})


def argument_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """argmax and argmin, over one axis."""
    (a,), dim = arrays, attrs["dim"]
    if dim is None or not -(a.ndim - 1) <= dim < a.ndim - 1:
        return by_example(op, arrays, has, attrs, n)
    return compute(op, [a], attrs | {"dim": _behind(a, True, attrs)})


def lookup_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """Slices of a table, (v, d), that is the same for all examples: all positions, (n, k), in one call."""
    (table, index), dim = arrays, attrs.get("dim", 0)
    table, tables = same_for_all(table, has[0])
    if not has[1] or tables or dim or index.ndim != 2:
        return slices_rule(op, arrays, has, attrs, n)
    count = index.shape[1]
    made = compute(op, [table, reshaped(index, [n * count])], attrs)
    return reshaped(made, [n, count, *made.shape[1:]])


def slices_rule(op: Any, arrays: list[Any], has: list[bool], attrs: dict[str, Any], n: int) -> Any:
    """index_select and index_add where the positions are the same for all."""
    if "dim" not in attrs or has[1] or not has[0] or arrays[0].ndim == 1:
        return by_example(op, arrays, has, attrs, n)
    return compute(op, arrays, attrs | {"dim": _behind(arrays[0], True, attrs)})


RULES: dict[Any, Rule] = {
    shape.Reshape: reshape_rule,
    shape.Permute: permute_rule,
    shape.Expand: expand_rule,
    slices.Slice: slice_rule,
    slices.SliceGrad: slice_rule,
    slices.Cat: cat_rule,
    reduce.Sum: reduce_rule,
    reduce.SumAll: reduce_rule,
    reduce.Amax: reduce_rule,
    reduce.Amin: reduce_rule,
    reduce.Prod: reduce_rule,
    reduce._ANY: reduce_rule,
    reduce._ALL: reduce_rule,
    reduce._ARGMAX: argument_rule,
    reduce._ARGMIN: argument_rule,
    reduce.Cumsum: along_rule,
    conv.Conv: conv_rule,
    conv.ConvActivation: conv_rule,
    conv.ConvInputGrad: conv_rule,
    conv.ConvWeightGrad: one_by_one,
    **dict.fromkeys((pool.MaxPool, pool.PoolPick, pool.PoolPlace, pool.AvgPool, pool.AvgPoolGrad), pool_rule),
    resample.Resample: maps_rule,
    **dict.fromkeys((resample.Unfold, resample.Fold), folded_rule),
    gemm.MatMul: matmul_rule,
    gemm.AddMM: addmm_rule,
    gemm.Linear: linear_rule,
    gemm.LinearActivation: linear_rule,
    Softmax: last_axis_rule,
    LogSoftmax: last_axis_rule,
    SoftmaxGrad: last_axis_rule,
    LogSoftmaxGrad: last_axis_rule,
    LogSumExp: last_axis_rule,
    index.Gather: along_rule,
    index.AddAt: place_rule,
    place.PutAt: place_rule,
    place.MeetAt: place_rule,
    index.IndexSelect: lookup_rule,
    Embedding: lookup_rule,
    index.IndexAdd: slices_rule,
    Where: elementwise,
    **dict.fromkeys((shape.Alias, shape.Cast, shape.Clone, shape.Contiguous), elementwise),
}


# Their gradient rules read positions, which differ from example to example: under a gradient they take the loop.
UNTRACKED = {place.PutAt, place.MeetAt}


def rule_of(op: Any) -> Rule:
    """The rule of an operation; the loop over the examples where it has none."""
    found = RULES.get(op)
    if found is not None:
        return found
    known = getattr(op, "elementwise", False) or getattr(op, "__module__", "") in ELEMENTWISE
    return elementwise if known else by_example
