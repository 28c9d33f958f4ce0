"""Tensors most rows of which are zero: the gradients of tables that are looked up by index.

The array of such a tensor is `Rows`: the indices of some rows, and these. No kernel takes it, so an operation that
meets it fails to be called and only then asks it to run the operation: sums, factors and conversions stay sparse, all
others run on the dense tensor that it stands for.
"""

from typing import Any

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.op import Op, Plain
from pydl.errors import ArgumentError, AutogradError, CaptureError, DtypeError, ShapeError
from pydl.ops import as_tensor, cat, unique
from pydl.ops.arithmetic import Add, Div, Mul, Sub
from pydl.ops.convert import Transfer
from pydl.ops.create import DeviceLike, as_device
from pydl.ops.elementary import Neg
from pydl.ops.index import IndexAdd, index_select
from pydl.ops.shape import Alias, Cast, Clone
from pydl.tensor import Tensor

__all__ = ["Rows", "SparseRows", "numbers_of", "sparse_coo_tensor"]


class Rows:
    """In the place of an array: (size, ...) of which only the rows at `index` (n,), int64, may differ from zero.

    Attributes: values: (n, ...), these rows; rows of one index add up. coalesced: no index occurs twice, they rise.
    """

    __slots__ = ("coalesced", "index", "size_", "values")

    data_ptr = 0  # there is no memory in which all elements stand
    is_dense = False

    def __init__(self, index: _C.Array, values: _C.Array, size: int, coalesced: bool = False) -> None:
        self.index, self.values, self.size_, self.coalesced = index, values, size, coalesced

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size_, *self.values.shape[1:])

    @property
    def ndim(self) -> int:
        return self.values.ndim

    @property
    def size(self) -> int:
        n = 1
        for s in self.shape:
            n *= s
        return n

    @property
    def dtype(self) -> _C.dtype:
        return self.values.dtype

    @property
    def device(self) -> _C.device:
        return self.values.device

    @property
    def is_floating(self) -> bool:
        return self.values.is_floating

    @property
    def version(self) -> int:
        return self.values.version

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (Tensor(self.index), Tensor(self.values), self.size_, self.coalesced)

    def __repr__(self) -> str:
        parts = f"indices={Tensor(self.index)!r}, values={Tensor(self.values)!r}"
        return f"{parts}, size={self.shape}, nnz={self.index.size}, layout=sparse"

    def item(self) -> Any:
        """The number of a tensor of one element."""
        return self.dense().item()

    def dense(self) -> _C.Array:
        """All rows."""
        return _C.index_add(self.values, 0, self.index, self.size_)

    def with_values(self, values: _C.Array) -> "Rows":
        """Other values at the same indices."""
        return Rows(self.index, values, self.size_, self.coalesced)

    def own(self) -> "Rows":
        """With values that nobody else holds."""
        values: Any = _C.own(self.values)
        return self.with_values(values)

    def changed(self, change: Any) -> "Rows":
        """Indices and values as a change of arrays leaves them."""
        return Rows(change(self.index), change(self.values), self.size_, self.coalesced)

    def overwrite(self, value: Tensor, op: str) -> None:
        """Takes over what value holds, in its own dtype; of a dense one all rows."""
        if value.ndim == 0 and not value.item():
            at = Rows(_C.empty((0,), _C.int64, self.device), _slice(self.values, 0), self.size_, True)
        elif isinstance(value.array, Rows):
            at = value.array
        else:
            at = Rows(_C.arange(0, self.size_, 1, _C.int64, self.device), value.expand(self.shape).array, 0, True)  # type: ignore[attr-defined]
        if at.shape[1:] != self.shape[1:] or (value.is_sparse and at.size_ != self.size_):
            raise ShapeError(f"{op}: {value.shape} does not fit: expected shape {self.shape}")
        self.index, self.coalesced = at.index, at.coalesced
        self.values = _C.clone(_C.cast(at.values, self.dtype))

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """op on inputs of which at least one is sparse."""
        rule = _RULES.get(op)
        if rule is not None and not (mode.enabled and any(t is not None and t.requires_grad for t in inputs)):
            made = rule([None if t is None else t.array for t in inputs], attrs)
            if made is not None:
                return Tensor(made)
        dense = [to_dense(t) if isinstance(t, Tensor) else t for t in inputs]
        if isinstance(op, Plain):
            return Tensor(op.kernel(*[t.array for t in dense], **attrs))
        return op.apply(*dense, **attrs)


def _slice(a: _C.Array, count: int) -> _C.Array:
    """The first rows of an array."""
    rest = a.shape[1:]
    return _C.slice(a, (0,) * a.ndim, (count, *rest), (1,) * a.ndim)


def _unpickle(index: Tensor, values: Tensor, size: int, coalesced: bool) -> Rows:
    return Rows(index.array, values.array, size, coalesced)


class SparseRows(Op):
    """(n, ...) rows and their indices (n,) as the sparse tensor (size, ...)."""

    uses = (1,)

    @staticmethod
    def kernel(values: _C.Array, index: _C.Array, size: int, coalesced: bool = False) -> Rows:
        if not (isinstance(values, _C.Array) and isinstance(index, _C.Array)):
            raise TypeError("expected arrays")
        if mode.recording is not None:
            raise CaptureError(
                "embedding: a gradient of rows cannot be captured, as how many they are may change: use sparse=False"
            )
        return Rows(_C.cast(index, _C.int64), values, size, coalesced)

    @staticmethod
    def reference(values: Tensor, index: Tensor, size: int, coalesced: bool = False) -> Tensor:  # type: ignore[override]
        return IndexAdd.apply(values, index, dim=0, size=size)

    @staticmethod
    def vjp(g: Tensor, values: Tensor, index: Tensor, size: int, coalesced: bool = False) -> Any:  # type: ignore[override]
        return index_select(g, 0, index), None


class ToDense(Op):
    """A sparse tensor with all its rows."""

    uses = ()

    @staticmethod
    def kernel(x: Any) -> _C.Array:
        return x.dense()  # type: ignore[no-any-return]

    @staticmethod
    def vjp(g: Tensor, x: Tensor) -> tuple[Tensor]:  # type: ignore[override]
        return (g,)


# ---------------------------------------------------------------- what stays sparse


def _joined(arrays: list[Any], attrs: Any) -> Any:
    """The sum of two sparse tensors: the rows of both. Of a sparse and a dense one: None, run it dense."""
    a, b = arrays
    if not (isinstance(a, Rows) and isinstance(b, Rows) and a.shape == b.shape):
        return None
    wide = _C.promote_types(a.dtype, b.dtype)
    values = cat([Tensor(_C.cast(a.values, wide)), Tensor(_C.cast(b.values, wide))], 0)
    return Rows(cat([Tensor(a.index), Tensor(b.index)], 0).array, values.array, a.size_)


def _subtracted(arrays: list[Any], attrs: Any) -> Any:
    a, b = arrays
    return _joined([a, b.with_values(_C.neg(b.values))], attrs) if isinstance(b, Rows) else None


def _scaled(kernel: Any, either: bool) -> Any:
    """A rule of products or quotients: a factor that is one number meets the values."""

    def rule(arrays: list[Any], attrs: Any) -> Any:
        a, b = arrays
        if either and isinstance(b, Rows):
            a, b = b, a
        if not (isinstance(a, Rows) and isinstance(b, _C.Array) and b.size == 1 and b.ndim <= a.ndim):
            return None
        return a.with_values(kernel(a.values, _C.view(b, ())))

    return rule


def _on_values(arrays: list[Any], attrs: dict[str, Any], kernel: Any) -> Any:
    return arrays[0].with_values(kernel(arrays[0].values, **attrs))


_RULES: dict[Any, Any] = {
    Add: _joined,
    Sub: _subtracted,
    Mul: _scaled(_C.mul, either=True),
    Div: _scaled(_C.div, either=False),
    Neg: lambda arrays, attrs: _on_values(arrays, attrs, _C.neg),
    Cast: lambda arrays, attrs: _on_values(arrays, attrs, _C.cast),
    Clone: lambda arrays, attrs: _on_values(arrays, attrs, _C.clone),
    Alias: lambda arrays, attrs: arrays[0],
    Transfer: lambda arrays, attrs: arrays[0].changed(lambda a: _C.to_device(a, **attrs)),
}


# ---------------------------------------------------------------- for users


def sparse_coo_tensor(
    indices: Any,
    values: Any,
    size: tuple[int, ...] | list[int] | None = None,
    *,
    dtype: _C.dtype | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool = False,
) -> Tensor:
    """The tensor (s, ...) with the given rows; rows of one index add up, all others are 0.

    Args:
        indices: (1, n) integers in [0, s): one axis is sparse.
        values: (n, ...).
        size: (s, ...). Default: up to the largest index.
        is_coalesced: says that indices rise and none occurs twice.
        check_invariants: accepted: the indices are always checked.
    Raises: ShapeError, BoundsError, DtypeError.
    """
    index, rows = as_tensor(indices), as_tensor(values, dtype=dtype)
    if index.dtype not in (_C.int64, _C.int32):
        raise DtypeError(f"sparse_coo_tensor: expected indices of int64 or int32, got {index.dtype}")
    if index.ndim != 2 or index.shape[0] != 1 or rows.ndim == 0 or rows.shape[0] != index.shape[1]:
        raise ShapeError(
            f"sparse_coo_tensor: indices {index.shape} and values {rows.shape} do not fit: expected (1, n) and (n, ...)"
        )
    top = int(index.max()) + 1 if index.numel() else 0
    shape = (top, *rows.shape[1:]) if size is None else tuple(size)
    if shape[1:] != rows.shape[1:] or not shape or shape[0] < 0:
        raise ShapeError(f"sparse_coo_tensor: size {shape} does not fit values {rows.shape}: expected (s, ...)")
    if top > shape[0] or (index.numel() and int(index.min()) < 0):
        raise ArgumentError(
            f"sparse_coo_tensor: expected indices in [0, {shape[0]}), got {int(index.min())}..{top - 1}"
        )
    if device is not None:
        index, rows = index.to(as_device(device)), rows.to(as_device(device))
    array = Rows(_C.clone(_C.cast(index[0].array, _C.int64)), rows.detach().clone().array, shape[0], is_coalesced)
    return Tensor(array, None, requires_grad)  # type: ignore[arg-type]


def to_dense(input: Tensor) -> Tensor:
    """input with all its rows; itself if it is dense."""
    return ToDense.apply(input) if input.is_sparse else input


def numbers_of(x: Tensor) -> _C.Array:
    """The array that holds x's numbers; of a sparse tensor that of its rows."""
    array: Any = x.array
    return array.values if x.is_sparse else array  # type: ignore[no-any-return]


def _rows_of(x: Tensor, op: str, in_order: bool = False) -> Rows:
    """The rows of a sparse tensor. Raises: ArgumentError for a dense one, and where rows may occur several times."""
    rows: Any = x.array
    if not x.is_sparse:
        raise ArgumentError(f"{op}: the tensor of shape {x.shape} is dense: expected a sparse one")
    if in_order and not rows.coalesced:
        raise ArgumentError(f"{op}: rows may occur several times: call coalesce() first")
    return rows  # type: ignore[no-any-return]


def coalesce(input: Tensor) -> Tensor:
    """A sparse tensor with each of its rows once, the indices in ascending order; itself if it is so."""
    rows = _rows_of(input, "coalesce")
    if rows.coalesced:
        return input
    if input.requires_grad and mode.enabled:
        raise AutogradError("coalesce: gradients do not pass through it: use to_dense()")
    index, place = unique(Tensor(rows.index), return_inverse=True)
    values = _C.index_add(rows.values, 0, place.array, index.shape[0])
    return Tensor(Rows(index.array, values, rows.size_, True))  # type: ignore[arg-type]


def is_coalesced(input: Tensor) -> bool:
    """Whether the indices of a sparse tensor rise and none occurs twice."""
    return _rows_of(input, "is_coalesced").coalesced


def indices(input: Tensor) -> Tensor:
    """The indices (1, n) of the rows of a coalesced sparse tensor."""
    return _any_indices(Tensor(_rows_of(input, "indices", True)))  # type: ignore[arg-type]


def values(input: Tensor) -> Tensor:
    """The rows (n, ...) of a coalesced sparse tensor."""
    return Tensor(_rows_of(input, "values", True).values)


def _any_indices(input: Tensor) -> Tensor:
    """The indices (1, n), as they came."""
    index = _rows_of(input, "_indices").index
    return Tensor(_C.view(index, (1, index.size)))


def _any_values(input: Tensor) -> Tensor:
    """The rows (n, ...), as they came."""
    return Tensor(_rows_of(input, "_values").values)


def _count(input: Tensor) -> int:
    """How many rows are held."""
    return _rows_of(input, "_nnz").index.size


def sparse_dim(input: Tensor) -> int:
    """Of how many axes only some places are held: 1, the first; 0 for a dense tensor."""
    return int(input.is_sparse)


def dense_dim(input: Tensor) -> int:
    """The number of the other axes."""
    return input.ndim - sparse_dim(input)


for _name, _function in {
    "coalesce": coalesce, "dense_dim": dense_dim, "indices": indices, "is_coalesced": is_coalesced,
    "sparse_dim": sparse_dim, "to_dense": to_dense, "values": values,
    "_indices": _any_indices, "_nnz": _count, "_values": _any_values,
}.items():  # fmt: skip
    setattr(Tensor, _name, _function)
