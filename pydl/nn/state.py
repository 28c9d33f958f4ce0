"""The state of a module: its parameters and persistent buffers by name; reading, loading and converting it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pydl import _C
from pydl.errors import CheckpointError, PydlError
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from pydl.nn.module import Module

PARAMETER, BUFFER, TRANSIENT, MODULE = "parameter", "buffer", "transient buffer", "module"


class IncompatibleKeys(NamedTuple):
    """What a state had too little and too much."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def entries(module: "Module", prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Names and tensors in PyTorch's order: parameters, buffers, children; a shared one under all its names."""
    for kind in (PARAMETER, BUFFER):
        for name, value in module._parts(kind).items():
            if value is not None:
                yield prefix + name, value
    for name, child in module._modules.items():
        if child is not None:
            yield from entries(child, f"{prefix}{name}.")


def _as_tensor(value: Any) -> Tensor | None:
    """value as a tensor on the same memory, None if it is no array."""
    if isinstance(value, Tensor):
        return value
    try:
        if isinstance(value, np.ndarray):
            return Tensor(_C.from_numpy(value))
        if hasattr(value, "__dlpack__"):
            from pydl.ops.create import from_dlpack

            return from_dlpack(value)
    except (PydlError, TypeError, ValueError, BufferError, RuntimeError):
        return None
    return None


def _fit(name: str, target: Tensor, value: Any, assign: bool) -> tuple[Tensor | None, str]:
    """value as a tensor that can be loaded into target, or why not."""
    source = _as_tensor(value)
    if source is None:
        return None, f"{name}: expected a tensor of shape {target.shape}, got {type(value).__name__}"
    if source.shape != target.shape:
        return None, f"{name}: shape {source.shape} does not match the module's {target.shape}"
    if assign and target.requires_grad and not source.array.is_floating:
        return None, f"{name}: dtype {source.dtype} cannot require gradients: expected a floating dtype"
    if not assign and target.array.read_only:
        return None, f"{name}: the module's tensor lies in read-only memory: expected assign=True"
    return source, ""


def load(module: "Module", given: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Checks everything, then copies or takes everything."""
    if not isinstance(given, Mapping):
        raise CheckpointError(f"load_state_dict: expected a mapping of names to tensors, got {type(given).__name__}")
    own = dict(entries(module))
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    fitted = {name: _fit(name, own[name], given[name], assign) for name in own if name in given}
    misfits = [why for source, why in fitted.values() if source is None]
    problems = [f"missing: {name}" for name in missing] if strict else []
    problems += [f"unexpected: {name}" for name in unexpected] if strict else []
    problems += misfits
    if problems:
        listed = "".join(f"\n  {p}" for p in problems)
        raise CheckpointError(f"load_state_dict: the state does not fit {type(module).__name__}:{listed}")
    for name, (source, _) in fitted.items():
        assert source is not None
        if assign:
            own[name].array = source.array
        else:
            _C.copy_into(source.array, own[name].array, "load_state_dict")
    return IncompatibleKeys(missing, unexpected)


def convert(module: "Module", dtype: _C.dtype) -> None:
    """Puts the floating parameters, their gradients and the floating buffers into dtype; the tensor objects stay."""
    for t in [*module.parameters(), *module.buffers()]:
        if t.array.is_floating:
            t.array = _C.cast(t.array, dtype)
        if t.grad is not None:
            t.grad = Tensor(_C.cast(t.grad.array, dtype))
