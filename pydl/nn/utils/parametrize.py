"""Parametrizations: a parameter or buffer as a function of another, which is what is stored and trained."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydl.autograd.mode import no_grad
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn.container import ModuleDict, ModuleList
from pydl.nn.module import Module
from pydl.nn.parameter import Parameter
from pydl.nn.state import BUFFER, PARAMETER, TRANSIENT
from pydl.nn.utils.computed import base_of, compute, uncompute
from pydl.tensor import Tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """What parametrizations gave since the outermost `cached` was entered."""

    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[int, Tensor] = {}


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed once and then remembered: for weights that are used many times.

    A change of what it is computed from is not noticed until the end.
    """
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied in order to what is stored.

    Attributes: original, or original0, original1, ... where right_inverse gives several: what is stored.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ArgumentError("ParametrizationList: expected at least one parametrization")
        super().__init__(modules)
        self.unsafe = unsafe
        facts = original.shape, original.dtype
        stored = self._inverted(original, required=False)
        self.is_tensor = isinstance(stored, Tensor)
        if isinstance(stored, Tensor):
            if stored is not original:
                original.data = stored.detach()
            self._keep("original", original, isinstance(original, Parameter))
        else:
            for i, part in enumerate(_several(stored)):
                trained = isinstance(original, Parameter)
                own = Parameter(part.detach(), original.requires_grad) if trained else part.detach()
                self._keep(f"original{i}", own, trained)
        self.ntensors = 1 if self.is_tensor else len(stored)
        if not unsafe:
            made = self()
            _check_same(made, *facts, f"{type(modules[0]).__name__}: the parametrized tensor")

    def _keep(self, name: str, value: Tensor, trained: bool) -> None:
        if trained:
            self.register_parameter(name, value)  # type: ignore[arg-type]
        else:
            self.register_buffer(name, value)

    def _inverted(self, value: Any, required: bool) -> Any:
        """value through all right inverses, last parametrization first."""
        with no_grad():
            for module in reversed(list(self)):
                inverse = getattr(module, "right_inverse", None)
                if inverse is not None:
                    value = inverse(value)
                elif required:
                    raise ArgumentError(f"{type(module).__name__} has no right_inverse: its tensor cannot be assigned")
        return value

    def originals(self) -> list[Tensor]:
        """What is stored."""
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [self.__dict__[name] for name in names]

    def forward(self) -> Tensor:  # type: ignore[override]
        """The tensor, computed from what is stored."""
        first, *rest = list(self)
        made = first(*self.originals())
        for module in rest:
            made = module(made)
        return made  # type: ignore[no-any-return]

    def right_inverse(self, value: Tensor) -> None:
        """Stores what gives value, by the right inverses."""
        stored = self._inverted(value, required=True)
        parts = [stored] if isinstance(stored, Tensor) else _several(stored)
        if len(parts) != len(self.originals()):
            raise ArgumentError(f"right_inverse gave {len(parts)} tensors: expected {len(self.originals())}")
        for old, new in zip(self.originals(), parts, strict=True):
            _check_same(new, old.shape, old.dtype, "right_inverse: the stored tensor")
        for old, new in zip(self.originals(), parts, strict=True):
            old.data = new.detach().clone()
        _cache.values.pop(id(self), None)

    def read(self) -> Tensor:
        """The tensor; inside `cached` the one that was computed first."""
        if not _cache.depth:
            return self()  # type: ignore[no-any-return]
        if id(self) not in _cache.values:
            _cache.values[id(self)] = self()
        return _cache.values[id(self)]

    def write(self, value: Any) -> None:
        """What assigning to the tensor does."""
        if not isinstance(value, Tensor):
            raise DtypeError(f"cannot assign a {type(value).__name__} to a parametrized tensor: expected a tensor")
        self.right_inverse(value)


def _several(stored: Any) -> list[Tensor]:
    if not isinstance(stored, (tuple, list)) or not stored or not all(isinstance(t, Tensor) for t in stored):
        raise DtypeError(f"right_inverse gave a {type(stored).__name__}: expected a tensor or several")
    return list(stored)


def _check_same(made: Any, shape: tuple[int, ...], dtype: Any, what: str) -> None:
    if not isinstance(made, Tensor):
        raise DtypeError(f"{what} is a {type(made).__name__}: expected a tensor")
    if made.shape != shape:
        raise ShapeError(f"{what} has shape {made.shape}: expected {shape}")
    if made.dtype is not dtype:
        raise DtypeError(f"{what} has dtype {made.dtype}: expected {dtype}")


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes a parameter or buffer of a module the result of a parametrization; returns the module.

    Args:
        parametrization: called with what is stored, gives the tensor. Its method right_inverse(tensor), if it has one,
            says what to store for the present value, and for what is assigned later; a tuple of tensors where several
            are stored, with which it is then called. Without one the present value is stored.
        unsafe: allow another shape or dtype than the tensor has; nothing is checked.
    A tensor may have several, applied in the order of registration. state_dict has 'parametrizations.<name>.original'.
    Raises: ArgumentError if there is no such tensor; ShapeError, DtypeError.
    """
    if not isinstance(parametrization, Module):
        raise DtypeError(f"register_parametrization: expected a module, got {type(parametrization).__name__}")
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        _append(module, tensor_name, parametrization, unsafe)
        return module
    if module._kinds.get(tensor_name) not in (PARAMETER, BUFFER, TRANSIENT) or getattr(module, tensor_name) is None:
        raise ArgumentError(f"register_parametrization: {type(module).__name__} has no tensor {tensor_name!r}")
    listed = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    compute(module, tensor_name, listed)
    if "parametrizations" not in module._kinds:
        module.register_module("parametrizations", ModuleDict())
    module.parametrizations[tensor_name] = listed  # type: ignore[attr-defined]
    return module


def _append(module: Module, name: str, parametrization: Module, unsafe: bool) -> None:
    """One more parametrization on top of those that are there."""
    listed: ParametrizationList = module.parametrizations[name]  # type: ignore[attr-defined]
    if not unsafe:
        before = getattr(module, name)
        what = f"{type(parametrization).__name__}: the parametrized tensor"
        _check_same(parametrization(before), before.shape, before.dtype, what)
        inverse = getattr(parametrization, "right_inverse", None)
        if inverse is not None:
            with no_grad():
                _check_same(inverse(before), before.shape, before.dtype, "right_inverse: the stored tensor")
    listed.append(parametrization)
    listed.unsafe |= unsafe
    _cache.values.pop(id(listed), None)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has parametrizations, of any tensor or of that one."""
    listed = module.__dict__.get("parametrizations")
    if not isinstance(listed, ModuleDict) or "_computed" not in module.__dict__:
        return False
    return len(listed) > 0 if tensor_name is None else tensor_name in listed


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Makes the tensor an ordinary one again; returns the module.

    Args: leave_parametrized: with its present value; else with what was stored, if that is one tensor.
    The parameter that was stored stays the same object where it is one.
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(f"remove_parametrizations: {type(module).__name__} has no parametrized {tensor_name!r}")
    listed: ParametrizationList = module.parametrizations[tensor_name]  # type: ignore[attr-defined]
    if not leave_parametrized and not listed.is_tensor:
        raise ArgumentError(f"remove_parametrizations: {tensor_name!r} is stored as {listed.ntensors} tensors: "
                            "expected leave_parametrized=True")  # fmt: skip
    original = listed.originals()[0]
    trained = isinstance(original, Parameter)
    if leave_parametrized:
        with no_grad():
            value = listed().detach()
        value = value.clone()
        if listed.is_tensor:
            original.data = value
        else:
            original = Parameter(value, original.requires_grad) if trained else value
    uncompute(module, tensor_name)
    del module.parametrizations[tensor_name]  # type: ignore[attr-defined]
    if not len(module.parametrizations):  # type: ignore[attr-defined]
        delattr(module, "parametrizations")
    register = module.register_parameter if trained else module.register_buffer
    register(tensor_name, original)  # type: ignore[arg-type]
    _cache.values.pop(id(listed), None)
    return module


def type_before_parametrizations(module: Module) -> type[Module]:
    """The class of the module without its parametrizations."""
    return base_of(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Gives to_module the parametrizations of from_module, of one tensor or of all, with equal stored values.

    The parametrizations are shared, what is stored is copied. Returns to_module.
    """
    if not is_parametrized(from_module, tensor_name):
        raise ArgumentError(
            f"transfer_parametrizations_and_params: {type(from_module).__name__} has no parametrization"
        )
    names = [tensor_name] if tensor_name is not None else list(from_module.parametrizations)  # type: ignore[attr-defined]
    for name in names:
        listed: ParametrizationList = from_module.parametrizations[name]  # type: ignore[attr-defined]
        if name not in to_module._kinds:
            original = listed().detach().clone()
            trained = isinstance(listed.originals()[0], Parameter)
            to_module.__dict__.pop(name, None)
            setattr(to_module, name, Parameter(original)) if trained else to_module.register_buffer(name, original)
        for parametrization in listed:
            register_parametrization(to_module, name, parametrization, unsafe=True)
        for new, old in zip(to_module.parametrizations[name].originals(), listed.originals(), strict=True):  # type: ignore[attr-defined]
            new.data = old.detach().clone()
    return to_module
