"""Attaches the functions of pydl.ops to Tensor: methods of the same name, and the operators."""

from importlib import import_module
from typing import Any

from pydl import _C
from pydl.autograd import engine
from pydl.errors import ArgumentError
from pydl.ops import (
    activation,
    arithmetic,
    arrange,
    assemble,
    calculus,
    compare,
    convert,
    count,
    create,
    elementary,
    gemm,
    index,
    matrices,
    parts,
    piecewise,
    place,
    products,
    random,
    reduce,
    rounding,
    scan,
    shape,
    special,
    subscript,
    ternary,
)
from pydl.ops.softmax import log_softmax, logsumexp, softmax
from pydl.ops.typed import typed
from pydl.tensor import Tensor

_METHODS = {
    elementary: "neg abs square exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan "
    "sinh cosh tanh asinh acosh atanh erf erfc sign logit deg2rad rad2deg positive",
    rounding: "floor ceil round trunc frac frexp",
    special: "lgamma digamma polygamma mvlgamma erfinv i0 igamma igammac sinc xlogy",
    piecewise: "hardshrink prelu",
    arithmetic: "add sub mul div pow maximum minimum floor_divide remainder fmod atan2 logaddexp logaddexp2 "
    "hypot copysign nextafter fmax fmin heaviside ldexp float_power gcd lcm",
    ternary: "lerp addcmul addcdiv",
    compare: "eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor "
    "bitwise_not bitwise_left_shift bitwise_right_shift isnan isinf isfinite isposinf isneginf isreal signbit clamp "
    "clamp_min clamp_max equal isclose allclose nan_to_num",
    activation: "relu sigmoid",
    reduce: "sum mean prod amax amin argmax argmin max min any all cumsum var std norm count_nonzero "
    "nansum nanmean aminmax cumprod var_mean std_mean",
    shape: "reshape view view_as reshape_as flatten unflatten squeeze unsqueeze permute transpose t movedim expand "
    "expand_as broadcast_to flip narrow select clone contiguous",
    arrange: "ravel repeat tile roll tril triu diagonal diag trace repeat_interleave",
    parts: "split chunk unbind split_with_sizes tensor_split dsplit hsplit vsplit",
    assemble: "adjoint as_strided as_strided_scatter diag_embed diagflat fill_diagonal_ fliplr flipud "
    "rot90 sum_to_size swapdims unfold",
    calculus: "corrcoef cov diff renorm",
    place: "scatter scatter_reduce index_copy index_fill index_put index_reduce put masked_scatter select_scatter "
    "slice_scatter diagonal_scatter",
    index: "index_select gather take take_along_dim scatter_add index_add nonzero nonzero_static argwhere "
    "masked_select masked_fill",
    import_module("pydl.ops.sort"): "sort argsort msort topk kthvalue mode median nanmedian quantile nanquantile",
    count: "unique unique_consecutive bincount histc histogram isin",
    scan: "cummax cummin logcumsumexp",
    gemm: "matmul mm bmm mv dot outer addmm baddbmm inner",
    products: "addbmm addmv addr cross dist ger kron vdot",
    matrices: "det slogdet logdet inverse pinverse cholesky cholesky_solve cholesky_inverse triangular_solve qr svd "
    "lu_solve matrix_power matrix_exp orgqr",
    random: "bernoulli multinomial",
    convert: "to type_as cpu cuda copy_ fill_ zero_",
}
_IN_PLACE = (
    "add sub mul div pow neg abs exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal square relu sigmoid "
    "tanh sin cos tan asin acos atan sinh cosh asinh acosh atanh erf erfc erfinv sign floor ceil round trunc frac "
    "clamp clamp_min clamp_max masked_fill index_add scatter_add scatter index_copy index_fill index_put "
    "masked_scatter lerp nan_to_num tril triu addcmul addcdiv floor_divide remainder fmod atan2 hypot copysign "
    "nextafter heaviside ldexp float_power gcd lcm xlogy logit deg2rad rad2deg lgamma digamma polygamma mvlgamma "
    "i0 igamma igammac sinc eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and "
    "bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift scatter_reduce index_reduce put "
    "cumsum cumprod renorm"
)
_ALIASES = {"multiply": "mul", "subtract": "sub", "divide": "div", "true_divide": "div", "absolute": "abs",
            "clip": "clamp", "negative": "neg", "greater": "gt", "less": "lt", "swapaxes": "transpose",
            "moveaxis": "movedim", "greater_equal": "ge", "less_equal": "le", "not_equal": "ne", "arccos": "acos",
            "arcsin": "asin", "arctan": "atan", "arctan2": "atan2", "arccosh": "acosh", "arcsinh": "asinh",
            "arctanh": "atanh", "fix": "trunc", "sgn": "sign"}  # fmt: skip


def _reflected(function: Any) -> Any:
    def method(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    return method


def _comparison(function: Any) -> Any:
    """Operators on what is neither tensor nor number give NotImplemented, as Python expects."""

    def method(self: Tensor, other: Any) -> Any:
        return NotImplemented if other is None or isinstance(other, (str, dict, list, tuple)) else function(self, other)

    return method


def _random_fill(name: str, kernel: Any, doc: str, *defaults: float) -> None:
    def method(self: Tensor, *args: Any, generator: random.Generator | None = None, **kwargs: Any) -> Tensor:
        values = dict(zip(_RANDOM_NAMES[name], defaults, strict=True)) | kwargs
        values |= dict(zip(_RANDOM_NAMES[name], args, strict=False))
        low, high = [*values.values(), 0.0][:2]
        made = kernel(low, high, random._state(generator), self.shape, self.dtype, self.device)
        return convert.write(self, Tensor(made), name)

    method.__name__, method.__doc__ = name, doc
    setattr(Tensor, name, method)


_RANDOM_NAMES = {"uniform_": ("from", "to"), "normal_": ("mean", "std"), "bernoulli_": ("p",)}


def _dtype_method(name: str, dtype: _C.dtype) -> None:
    def method(self: Tensor) -> Tensor:
        return convert.to(self, dtype)

    method.__name__, method.__doc__ = name, f"In dtype {dtype}."
    setattr(Tensor, name, method)


def _new(function: Any) -> Any:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(*args, **({"dtype": self.dtype, "device": self.device} | kwargs))

    return method


def _backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of this tensor to `.grad` of the leaves; see `pydl.autograd.backward`."""
    engine.backward(self, gradient, retain_graph, create_graph, inputs)


def _matrix_transpose(self: Tensor) -> Tensor:
    """The last two axes exchanged."""
    if self.ndim < 2:
        raise ArgumentError(f"mT: expected at least 2 axes, got shape {self.shape}")
    return shape.transpose(self, -1, -2)


def _attach_operators() -> None:
    operators = {"add": arithmetic.add, "sub": arithmetic.sub, "mul": arithmetic.mul, "truediv": arithmetic.div,
                 "pow": arithmetic.pow, "floordiv": arithmetic.floor_divide, "mod": arithmetic.remainder,
                 "matmul": gemm.matmul, "and": compare.bitwise_and, "or": compare.bitwise_or,
                 "xor": compare.bitwise_xor, "lshift": compare.bitwise_left_shift,
                 "rshift": compare.bitwise_right_shift}  # fmt: skip
    for name, function in operators.items():
        setattr(Tensor, f"__{name}__", function)
        setattr(Tensor, f"__r{name}__", _reflected(function))
        if name != "matmul":  # its result has another shape
            setattr(Tensor, f"__i{name}__", convert.augmented(function, f"__i{name}__"))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(Tensor, f"__{name}__", _comparison(getattr(compare, name)))
    for name in ("neg", "abs"):
        setattr(Tensor, f"__{name}__", getattr(elementary, name))
    for name in ("floor", "ceil", "trunc"):
        setattr(Tensor, f"__{name}__", getattr(rounding, name))
    Tensor.__round__ = lambda self, ndigits=None: rounding.round(self, decimals=ndigits or 0)
    Tensor.__pos__ = lambda self: self
    Tensor.__invert__ = compare.bitwise_not
    Tensor.__getitem__ = subscript.getitem
    Tensor.__setitem__ = subscript.setitem


def _attach() -> None:
    for module, names in _METHODS.items():
        for name in names.split():
            setattr(Tensor, name, typed(getattr(module, name)))
    for name, target in _ALIASES.items():
        setattr(Tensor, name, getattr(Tensor, target))
    for name in _IN_PLACE.split():
        setattr(Tensor, name + "_", convert.in_place(name))
    for name, target in _ALIASES.items():
        if target in _IN_PLACE.split():
            setattr(Tensor, name + "_", getattr(Tensor, target + "_"))
    Tensor.backward = _backward
    Tensor.softmax = typed(softmax)
    Tensor.log_softmax = typed(log_softmax)
    Tensor.logsumexp = typed(logsumexp)
    Tensor.where = lambda self, condition, other: compare.where(condition, self, other)
    Tensor.T = property(
        lambda self: shape.permute(self, *range(self.ndim - 1, -1, -1)), doc="All axes in reverse order."
    )
    Tensor.mT = property(_matrix_transpose, doc=_matrix_transpose.__doc__)
    _random_fill("uniform_", _C.uniform, "Fills with uniform numbers in [from, to).", 0.0, 1.0)
    _random_fill("normal_", _C.normal, "Fills with normal numbers.", 0.0, 1.0)
    _random_fill("bernoulli_", _C.bernoulli, "Fills with 1 with probability p, else 0.", 0.5)
    for name, dtype in {"float": _C.float32, "double": _C.float64, "half": _C.float16, "bfloat16": _C.bfloat16,
                        "int": _C.int32, "long": _C.int64, "bool": _C.bool, "byte": _C.uint8}.items():  # fmt: skip
        _dtype_method(name, dtype)
    for name in ("zeros", "ones", "empty", "full", "tensor"):
        setattr(Tensor, f"new_{name}", _new(getattr(create, name)))


_attach()
_attach_operators()
