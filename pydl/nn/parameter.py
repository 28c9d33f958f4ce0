"""Parameter: a tensor that a module owns and an optimizer changes. Buffer: one that is only part of the state."""

from collections.abc import Sequence
from typing import Any

from pydl import _C
from pydl.errors import ArgumentError, DtypeError
from pydl.ops.create import as_device, default_dtype
from pydl.tensor import Tensor

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_uninitialized"]


def _array(data: Tensor | None, kind: str) -> _C.Array:
    if data is None:
        return _C.empty((0,), default_dtype(), _C.device("cpu"))
    if not isinstance(data, Tensor):
        raise DtypeError(f"{kind}: expected a tensor, got {type(data).__name__}")
    return data.array


class Parameter(Tensor):
    """A tensor that becomes a parameter of the module it is assigned to.

    Args:
        data: its values; the memory is shared. None: an empty tensor.
        requires_grad: whether gradients reach it; only a floating tensor can ask for them.
    """

    __slots__ = ()

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        array = _array(data, "Parameter")
        if requires_grad and not array.is_floating:
            raise DtypeError(
                f"Parameter: only floating tensors can require gradients, got {array.dtype}: pass requires_grad=False"
            )
        super().__init__(array, None, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that becomes a buffer of the module it is assigned to: saved with it, moved with it, not trained.

    Args: persistent: whether it is part of the state_dict.
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        super().__init__(_array(data, "Buffer"))
        self.persistent = persistent

    def __repr__(self) -> str:
        return f"Buffer containing:\n{super().__repr__()}"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Buffer":
        made = Buffer(Tensor(_C.clone(self.array)), persistent=self.persistent)
        memo[id(self)] = made
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_buffer, (Tensor(self.array), self.persistent)


def _rebuild_buffer(data: Tensor, persistent: bool) -> Buffer:
    return Buffer(data, persistent=persistent)


class _Uninitialized:
    """What has a dtype and no shape yet."""

    __slots__ = ()

    array: _C.Array

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: _C.dtype | None = None) -> None:
        """Gives it a shape; its values are not set. From then on it is a plain Parameter or Buffer."""
        kind = Parameter if isinstance(self, Parameter) else Buffer
        own = self.array
        where = own.device if device is None else as_device(device)
        self.array = _C.empty(tuple(shape), own.dtype if dtype is None else dtype, where)  # type: ignore[misc]
        self.__class__ = kind  # type: ignore[assignment]

    @property
    def shape(self) -> tuple[int, ...]:
        """There is none yet."""
        raise ArgumentError(
            "shape: the parameter or buffer is not initialized: run the module once on an input, or load its state"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is known when the module first sees an input.

    Args: requires_grad: whether gradients will reach it.
    """

    __slots__ = ()

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: _C.dtype | None = None) -> None:
        Parameter.__init__(self, Tensor(_empty(device, dtype)), requires_grad)


class UninitializedBuffer(_Uninitialized, Buffer):
    """A buffer whose shape is known when the module first sees an input."""

    __slots__ = ()

    def __init__(
        self, requires_grad: bool = False, device: Any = None, dtype: _C.dtype | None = None, persistent: bool = True
    ) -> None:
        Buffer.__init__(self, Tensor(_empty(device, dtype)), persistent=persistent)


def _empty(device: Any, dtype: _C.dtype | None) -> _C.Array:
    return _C.empty((0,), default_dtype() if dtype is None else dtype, as_device(device))


def is_uninitialized(value: Any) -> bool:
    """Whether value is a parameter or buffer without a shape yet."""
    return isinstance(value, _Uninitialized)
