"""Tensor: an array plus its place in the gradient graph. It has no arithmetic of its own: operators and methods are the
functions of pydl.ops, attached in pydl/ops/methods.py."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from pydl import _C
from pydl.errors import ArgumentError, AutogradError, BoundsError, DtypeError

if TYPE_CHECKING:
    from pydl.autograd.node import Node

_hook_ids = count().__next__
_RETAIN = 1 << 62  # the hook of retain_grad: there is one, and it runs after all others


class Tensor:
    """A multi-dimensional array that can be differentiated.

    Made by `pydl.tensor`, `pydl.from_numpy`, `pydl.zeros`, ... and by operations.

    Attributes:
        array: the numbers.
        requires_grad: whether gradients flow to or through it.
        grad: what backward has added up for this leaf; None before.
        node: the operation that made it; None for a leaf.
        kin: whose memory it shares: see pydl/autograd/views.py.
    """

    __slots__ = ("__weakref__", "array", "grad", "hooks", "kin", "node", "requires_grad")
    __array_priority__ = 1000  # numpy_array * tensor asks the tensor

    def __init__(self, array: _C.Array, node: "Node | None" = None, requires_grad: bool = False) -> None:
        self.array = array
        self.node = node
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.kin: Any = None
        self.hooks: dict[int, Callable[[Tensor], Tensor | None]] | None = None

    # ---- facts

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes, outermost axis first."""
        return self.array.shape

    @property
    def dtype(self) -> _C.dtype:
        """The type of the elements."""
        return self.array.dtype

    @property
    def device(self) -> _C.device:
        """Where the memory is."""
        return self.array.device

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, not by a recorded operation."""
        return self.node is None

    @property
    def grad_fn(self) -> "Node | None":
        """The node that made it."""
        return self.node

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.array.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.array.size * self.array.dtype.itemsize

    @property
    def data(self) -> "Tensor":
        """The same memory outside the graph."""
        return Tensor(self.array)

    @data.setter
    def data(self, value: "Tensor") -> None:
        self.array = value.array

    @property
    def is_sparse(self) -> bool:
        """Whether it holds only some of its rows: see pydl/sparse.py."""
        from pydl.sparse import Rows

        return isinstance(self.array, Rows)

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        return self.array.shape if dim is None else _at(self.array.shape, dim, "size")

    def stride(self, dim: int | None = None) -> Any:
        """Steps in elements from one element to the next, of all axes or of one."""
        return self.array.strides if dim is None else _at(self.array.strides, dim, "stride")

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.array.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self.array.data_ptr

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory without gaps, last axis fastest."""
        return self.array.is_dense

    def is_floating_point(self) -> bool:
        """Whether the dtype is floating."""
        return self.array.is_floating

    # ---- values

    def item(self) -> Any:
        """The Python number of a tensor of one element."""
        return self.array.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        a = self.to_dense().array  # type: ignore[attr-defined]
        return _C.to_numpy(_C.cast(a, _C.float32) if a.dtype is _C.bfloat16 else a).tolist()

    def numpy(self) -> np.ndarray:
        """A NumPy array on the same memory; of a tensor on a CUDA device, on a copy."""
        if self.requires_grad:
            raise AutogradError("numpy: the tensor requires gradients: use .detach().numpy()")
        if not isinstance(self.array, _C.Array):
            raise DtypeError(f"numpy: the tensor of shape {self.shape} is not dense: use .to_dense()")
        return _C.to_numpy(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        a = self.numpy()
        if dtype is None or np.dtype(dtype) == a.dtype:
            return a.copy() if copy else a
        if copy is False:
            raise ArgumentError(f"__array__: dtype {self.dtype} cannot be seen as {np.dtype(dtype)} without a copy")
        return a.astype(dtype)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if self.requires_grad:
            raise BufferError("__dlpack__: the tensor requires gradients: use .detach()")
        if not isinstance(self.array, _C.Array):
            raise BufferError("__dlpack__: the tensor is not dense: use .to_dense()")
        own = self.__dlpack_device__()
        if dl_device is not None and tuple(dl_device) != own:
            raise BufferError(f"__dlpack__: expected {self.device} {own}, got {dl_device}")
        if self.array.device.type == "cuda" and stream != -1:  # -1: the consumer sees to the order itself
            _C.cuda_stream_wait(self.array.device.index)
        a = _C.clone(self.array) if copy else self.array
        versioned = max_version is not None and max_version[0] >= 1
        if a.read_only and not versioned:
            raise BufferError("__dlpack__: read-only memory needs a consumer of DLPack 1.0 or later (max_version)")
        return _C.to_dlpack(a, versioned, bool(copy))

    def __dlpack_device__(self) -> tuple[int, int]:
        device = self.array.device
        return (1, 0) if device.type == "cpu" else (2, device.index)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """`pydl.xp`, the array API's namespace. Raises: ArgumentError for a version that it does not follow."""
        from pydl import xp

        if api_version not in (None, *xp.VERSIONS):
            raise ArgumentError(f"__array_namespace__: api_version must be one of {xp.VERSIONS}, got {api_version!r}")
        return xp

    def to_device(self, device: Any, /, *, stream: Any = None) -> "Tensor":
        """The tensor on a device, itself where it is there already; the array API's `.to(device)`."""
        if stream is not None:
            raise ArgumentError(f"to_device: a CPU has no streams: expected None, got {stream!r}")
        return self.to(device)  # type: ignore[attr-defined,no-any-return]

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ArgumentError(f"bool: a tensor of shape {self.shape} is neither true nor false: use .any() or .all()")
        return bool(self.array.item())

    def __int__(self) -> int:
        return int(self.array.item())

    def __float__(self) -> float:
        return float(self.array.item())

    def __index__(self) -> int:
        if self.array.is_floating:
            raise DtypeError(f"index: expected an integer, got dtype {self.dtype}")
        return int(self.array.item())

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise DtypeError("len: a tensor without axes has no length")
        return self.array.shape[0]

    def __iter__(self) -> "Iterator[Tensor]":
        if self.array.ndim == 0:
            raise DtypeError("iter: a tensor without axes cannot be iterated over")
        return (self[i] for i in range(self.array.shape[0]))

    def __hash__(self) -> int:
        return id(self)

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.array.size == 1 else str(self), spec)

    def __repr__(self) -> str:
        from pydl.printing import text_of

        return text_of(self)

    # ---- the graph

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Asks for gradients with respect to this leaf; returns itself."""
        if requires_grad and not self.array.is_floating:
            raise DtypeError(f"requires_grad_: only floating tensors can require gradients, got {self.dtype}")
        if not requires_grad and self.node is not None:
            raise AutogradError("requires_grad_: only of a leaf can the flag be taken away: use .detach()")
        self.requires_grad = requires_grad
        return self

    def detach(self) -> "Tensor":
        """The same memory outside the graph."""
        return Tensor(self.array)

    def register_hook(self, hook: "Callable[[Tensor], Tensor | None]") -> "RemovableHandle":
        """Calls hook(gradient) whenever a gradient reaches this tensor; what it returns replaces the gradient."""
        if not self.requires_grad:
            raise AutogradError("register_hook: the tensor does not require gradients")
        owner = self if self.node is None else self.node
        if owner.hooks is None:
            owner.hooks = {}
        return RemovableHandle(owner.hooks, hook)

    def retain_grad(self) -> None:
        """Makes backward keep the gradient of this tensor in `.grad` although it is not a leaf."""
        if self.node is None:
            return
        import weakref

        kept = weakref.ref(self)

        def keep(g: "Tensor") -> None:
            tensor = kept()
            if tensor is not None:
                tensor.grad = g.clone() if tensor.grad is None else tensor.grad + g  # others hold g

        if self.node.hooks is None:
            self.node.hooks = {}
        self.node.hooks[_RETAIN] = keep

    # ---- copies

    def __copy__(self) -> "Tensor":
        return _rebuild(type(self), self.array, self.requires_grad and self.node is None)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tensor":
        if self.node is not None:
            raise AutogradError("deepcopy: only leaves can be copied: use .detach().clone()")
        array = self.array
        copied = _C.clone(array) if isinstance(array, _C.Array) else array.changed(_C.clone)
        made = _rebuild(type(self), copied, self.requires_grad)
        memo[id(self)] = made
        if self.grad is not None:
            made.grad = self.grad.__deepcopy__(memo)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        if self.node is not None:
            raise AutogradError("pickle: only leaves can be pickled: use .detach()")
        a = self.array
        if not isinstance(a, _C.Array):  # of rows
            return _rebuild, (type(self), a, self.requires_grad)
        bits = _C.to_numpy(_C.cast(a, _C.float32) if a.dtype is _C.bfloat16 else a)  # exact: float32 holds bfloat16
        return _unpickle, (type(self), np.ascontiguousarray(bits).reshape(a.shape), a.dtype, self.requires_grad)


def _at(facts: tuple[int, ...], dim: int, op: str) -> int:
    if not -len(facts) <= dim < len(facts):
        raise BoundsError(f"{op}: dim {dim} is out of range for {len(facts)} axes")
    return facts[dim]


def _rebuild(kind: type, array: _C.Array, requires_grad: bool) -> Any:
    made = kind.__new__(kind)
    Tensor.__init__(made, array, None, requires_grad)
    return made


def _unpickle(kind: type, values: np.ndarray, dtype: _C.dtype, requires_grad: bool) -> Any:
    return _rebuild(kind, _C.cast(_C.clone(_C.from_numpy(values)), dtype), requires_grad)


class RemovableHandle:
    """Takes a hook out again; also a context."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks = hooks
        self.id = _hook_ids()
        hooks[self.id] = hook

    def remove(self) -> None:
        """Takes the hook out."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> "RemovableHandle":
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
