"""The state of a module: its parameters and persistent buffers by name; reading, loading and converting it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pydl import _C
from pydl.errors import CheckpointError, DtypeError, PydlError
from pydl.nn.parameter import is_uninitialized
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


EXTRA = "_extra_state"


def has_extra(module: "Module", name: str) -> bool:
    """Whether the class of the module overrides get_extra_state or set_extra_state."""
    from pydl.nn.module import Module

    return getattr(type(module), name) is not getattr(Module, name)


def own_entries(module: "Module") -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of one module in PyTorch's order: parameters, buffers."""
    for kind in (PARAMETER, BUFFER):
        for name, value in module._parts(kind).items():
            if value is not None:
                yield name, value


def entries(module: "Module", prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of the tree, each module's own before its children's; a shared one under all its names."""
    for name, value in own_entries(module):
        yield prefix + name, value
    for name, child in module._modules.items():
        if child is not None:
            yield from entries(child, f"{prefix}{name}.")


def save(module: "Module", made: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    """Puts the state of a module and its children into made, with the hooks around it."""
    hooks = module._hooks
    for entry in list(hooks.save_pre.values()) if hooks else ():
        entry[0](module, prefix, keep_vars)
    for name, value in own_entries(module):
        made[prefix + name] = value if keep_vars or is_uninitialized(value) else value.detach()
    if has_extra(module, "get_extra_state"):
        made[prefix + EXTRA] = module.get_extra_state()
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=made, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for entry in list(hooks.save.values()) if hooks else ():
        if entry[0](module, made, prefix, {}) is not None:
            raise DtypeError(
                "state_dict post-hook: expected a function that returns None and changes the dict in place"
            )


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
        return None, f"{name}: expected a tensor of shape {target.array.shape}, got {type(value).__name__}"
    if is_uninitialized(target):
        return source, ""
    if is_uninitialized(source):
        return None, f"{name}: the state's tensor has no shape yet, the module's is {target.shape}"
    if source.shape != target.shape:
        return None, f"{name}: shape {source.shape} does not match the module's {target.shape}"
    if assign and target.requires_grad and not source.array.is_floating:
        return None, f"{name}: dtype {source.dtype} cannot require gradients: expected a floating dtype"
    if not assign and target.array.read_only:
        return None, f"{name}: the module's tensor lies in read-only memory: expected assign=True"
    return source, ""


def _paths(module: "Module", prefix: str = "") -> "Iterator[tuple[str, Module]]":
    """Prefixes and modules of the whole tree, each module after its children."""
    for name, child in module._modules.items():
        if child is not None:
            yield from _paths(child, f"{prefix}{name}.")
    yield prefix, module


class _Load:
    """One load_state_dict: what was given, and what does not fit."""

    def __init__(self, module: "Module", given: Mapping[str, Any], strict: bool) -> None:
        self.module, self.given, self.strict = module, dict(given), strict
        self.paths = list(_paths(module))
        self.problems: list[str] = []
        self.extra: list[tuple[Module, Any]] = []
        missing: list[str] = []
        unexpected: list[str] = []
        for prefix, part in reversed(self.paths):
            for entry in list(part._hooks.load_pre.values()) if part._hooks else ():
                entry[0](part, self.given, prefix, {}, strict, missing, unexpected, self.problems)
        self.own = dict(entries(module))
        known = set(self.own)
        for prefix, part in self.paths:
            if has_extra(part, "set_extra_state"):
                known.add(prefix + EXTRA)
                if prefix + EXTRA in self.given:
                    self.extra.append((part, self.given[prefix + EXTRA]))
                else:
                    missing.append(prefix + EXTRA)
        missing = [*missing, *[name for name in self.own if name not in self.given]]
        unexpected += [name for name in self.given if name not in known]
        self.keys = IncompatibleKeys(missing, unexpected)

    def check(self) -> None:
        """Raises CheckpointError with everything that does not fit."""
        keys = self.keys
        problems = [f"missing: {name}" for name in keys.missing_keys] if self.strict else []
        problems += [f"unexpected: {name}" for name in keys.unexpected_keys] if self.strict else []
        problems += self.problems
        if problems:
            listed = "".join(f"\n  {p}" for p in problems)
            raise CheckpointError(f"load_state_dict: the state does not fit {type(self.module).__name__}:{listed}")

    def run(self, assign: bool) -> None:
        """Checks everything, then copies or takes everything."""
        fitted = {name: _fit(name, self.own[name], self.given[name], assign) for name in self.own if name in self.given}
        self.problems += [why for source, why in fitted.values() if source is None]
        hooked = [(m, e[0]) for _, m in self.paths if m._hooks for e in m._hooks.load.values()]
        if self.problems or not hooked:  # hooks may forgive keys, so with them these are judged at the end
            self.check()
        for name, (source, _) in fitted.items():
            assert source is not None
            _put(self.own[name], source, assign)
        for part, value in self.extra:
            part.set_extra_state(value)
        for part, hook in hooked:
            if hook(part, self.keys) is not None:
                raise DtypeError("load_state_dict post-hook: expected a function that returns None")
        self.check()


def _put(target: Tensor, source: Tensor, assign: bool) -> None:
    if is_uninitialized(source):
        return
    if is_uninitialized(target):
        target.materialize(source.shape, dtype=target.array.dtype)  # type: ignore[attr-defined]
    if assign:
        target.array = source.array
    else:
        _C.copy_into(source.array, target.array, "load_state_dict")


def load(module: "Module", given: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """load_state_dict."""
    if not isinstance(given, Mapping):
        raise CheckpointError(f"load_state_dict: expected a mapping of names to tensors, got {type(given).__name__}")
    task = _Load(module, given, strict)
    task.run(assign)
    return task.keys


def convert(module: "Module", dtype: _C.dtype | None, device: _C.device | None) -> None:
    """Puts parameters, their gradients and buffers on a device, and the floating ones into dtype; the tensor objects
    stay."""

    def changed(a: _C.Array) -> _C.Array:
        if device is not None:
            a = _C.to_device(a, device)
        return a if dtype is None or not a.is_floating else _C.cast(a, dtype)

    for t in [*module.parameters(), *module.buffers()]:
        t.array = changed(t.array)
        if t.grad is not None:
            g: Any = t.grad.array
            t.grad = Tensor(changed(g) if isinstance(g, _C.Array) else g.changed(changed))
