"""Module: a function with parameters.

Its parts lie in the instance's own dict, so that forward reads them at full speed; one table remembers which names are
parameters, buffers and modules.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydl import _C
from pydl.errors import ArgumentError, AttributeMissingError, DtypeError
from pydl.nn import state
from pydl.nn.convertible import Convertible
from pydl.nn.hookable import Hookable
from pydl.nn.hooks import call_with_hooks
from pydl.nn.parameter import Buffer, Parameter
from pydl.nn.state import BUFFER, MODULE, PARAMETER, TRANSIENT
from pydl.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Module"]

# Hooks on what is registered with any module; see pydl/nn/global_hooks.py.
registrations: dict[str, dict[int, Callable[..., Any]]] = {"parameter": {}, "buffer": {}, "module": {}}


def _announced(module: "Module", name: str, value: Any, kind: str) -> Any:
    """What the hooks make of a value that is about to be registered."""
    for hook in list(registrations["buffer" if kind == TRANSIENT else kind].values()):
        changed = hook(module, name, value)
        value = value if changed is None else changed
    return value


# What calls modules while their calls are watched; see pydl/replay/scopes.py. A class that changes costs all of its
# subclasses their caches, so that is not where watching is switched on.
watch: Callable[["Module", tuple[Any, ...], dict[str, Any]], Any] | None = None


def run(module: "Module", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A module's computation, with what is hooked around it."""
    if module._hooks is None:
        return module.forward(*args, **kwargs)
    return call_with_hooks(module, module._hooks, args, kwargs)


class Module(Hookable, Convertible):
    """Base of all layers and models: assign parameters, buffers and modules as attributes, define `forward`, call it.

    Attributes: training: whether layers that differ in training (dropout, normalisation) behave as in training.
    """

    training: bool
    _kinds: dict[str, str]

    def __init__(self) -> None:
        self.__dict__.update(_kinds={}, training=True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; every subclass defines it."""
        raise AttributeMissingError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None and watch is None:
            if len(args) == 1 and not kwargs:  # costs half of what unpacking does
                return self.forward(args[0])
            return self.forward(*args, **kwargs)
        return run(self, args, kwargs) if watch is None else watch(self, args, kwargs)

    # ---- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        special = isinstance(value, (Parameter, Module, Buffer))
        kinds = self.__dict__.get("_kinds")
        old = kinds.get(name) if kinds else None
        if not special and old is None:
            object.__setattr__(self, name, value)
            return
        if kinds is None:
            raise AttributeMissingError(f"cannot assign {name!r} before Module.__init__() was called")
        kind = self._new_kind(name, value, old)
        if special:
            value = _announced(self, name, value, kind)
        if kind != old:
            kinds.pop(name, None)
            kinds[name] = kind
        self.__dict__[name] = value

    def _new_kind(self, name: str, value: Any, old: str | None) -> str:
        """What name becomes when value is assigned to it, or DtypeError where it does not fit."""
        if isinstance(value, Parameter):
            return PARAMETER
        if old == PARAMETER and value is not None:
            raise DtypeError(f"cannot assign {_kind_of(value)} as parameter {name!r}: expected a Parameter or None")
        if isinstance(value, Module):
            return MODULE
        if old == MODULE and value is not None:
            raise DtypeError(f"cannot assign {_kind_of(value)} as child module {name!r}: expected a Module or None")
        if isinstance(value, Buffer):
            return BUFFER if value.persistent else TRANSIENT
        if value is not None and not isinstance(value, Tensor):
            raise DtypeError(f"cannot assign {_kind_of(value)} as buffer {name!r}: expected a Tensor or None")
        assert old is not None
        return old

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._kinds.pop(name, None)

    def _check_name(self, name: str, what: str, same: tuple[str, ...]) -> None:
        if "_kinds" not in self.__dict__:
            raise AttributeMissingError(f"cannot register {name!r} before Module.__init__() was called")
        if not isinstance(name, str):
            raise DtypeError(f"{what} name must be a string, got {type(name).__name__}")
        if "." in name or not name:
            raise ArgumentError(f"{what} name must not be empty or contain a dot, got {name!r}")
        if hasattr(self, name) and self._kinds.get(name) not in same:
            raise ArgumentError(f"{what} {name!r}: the module already has an attribute of this name")

    def _register(self, name: str, value: Any, kind: str) -> None:
        value = _announced(self, name, value, kind)
        self._kinds.pop(name, None)
        self._kinds[name] = kind
        self.__dict__[name] = value

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter; None keeps the name without one."""
        self._check_name(name, "parameter", (PARAMETER,))
        if param is not None and not isinstance(param, Parameter):
            raise DtypeError(f"cannot register {_kind_of(param)} as parameter {name!r}: expected a Parameter or None")
        self._register(name, param, PARAMETER)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that moves with the module and is not trained; persistent: saved in its state_dict."""
        self._check_name(name, "buffer", (BUFFER, TRANSIENT))
        if tensor is not None and not isinstance(tensor, Tensor):
            raise DtypeError(f"cannot register {_kind_of(tensor)} as buffer {name!r}: expected a Tensor or None")
        self._register(name, tensor, BUFFER if persistent else TRANSIENT)

    def register_module(self, name: str, module: "Module | None") -> None:
        """Adds a child; None keeps the name without one."""
        if module is not None and not isinstance(module, Module):
            raise DtypeError(f"cannot register {_kind_of(module)} as child module {name!r}: expected a Module or None")
        self._check_name(name, "module", (MODULE,))
        self._register(name, module, MODULE)

    add_module = register_module

    # ---- parts

    def _parts(self, *kinds: str) -> Mapping[str, Any]:
        own = self.__dict__
        return MappingProxyType({name: own[name] for name, kind in self._kinds.items() if kind in kinds})

    @property
    def _parameters(self) -> Mapping[str, Parameter | None]:
        return self._parts(PARAMETER)

    @property
    def _buffers(self) -> Mapping[str, Tensor | None]:
        return self._parts(BUFFER, TRANSIENT)

    @property
    def _modules(self) -> "Mapping[str, Module | None]":
        return self._parts(MODULE)

    def _members(self, kinds: tuple[str, ...], prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix=prefix, remove_duplicate=once) if recurse else [(prefix, self)]:
            for name, value in module._parts(*kinds).items():
                if value is None or id(value) in seen:
                    continue
                if once:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Dotted names and parameters, those of the children after its own; a shared one comes once."""
        return self._members((PARAMETER,), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Dotted names and buffers."""
        return self._members((BUFFER, TRANSIENT), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def named_children(self) -> "Iterator[tuple[str, Module]]":
        """Names and modules one level down, each module once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> "Iterator[Module]":
        """The modules one level down."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: "set[Module] | None" = None, prefix: str = "", remove_duplicate: bool = True
    ) -> "Iterator[tuple[str, Module]]":
        """Dotted names and modules of the whole tree, itself first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> "Iterator[Module]":
        """The modules of the whole tree, itself first, each once."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def get_submodule(self, target: str) -> "Module":
        """The module of a dotted name; '' is this one. Raises: AttributeMissingError."""
        module = self
        for name in target.split(".") if target else ():
            if module._kinds.get(name) != MODULE or module.__dict__[name] is None:
                raise AttributeMissingError(f"{type(module).__name__} has no child module {name!r} (of {target!r})")
            module = module.__dict__[name]
        return module

    def set_submodule(self, target: str, module: "Module", strict: bool = False) -> None:
        """Puts a module at a dotted name. Args: strict: there must be one already. Raises: AttributeMissingError."""
        path, _, name = target.rpartition(".")
        if not name:
            raise ArgumentError(f"set_submodule: expected a dotted name, got {target!r}")
        if not isinstance(module, Module):
            raise DtypeError(f"set_submodule: expected a Module, got {_kind_of(module)}")
        owner = self.get_submodule(path)
        if name not in owner._kinds and (strict or hasattr(owner, name)):
            raise AttributeMissingError(f"{type(owner).__name__} has no child module {name!r} (of {target!r})")
        setattr(owner, name, module)

    def _get(self, target: str, kinds: tuple[str, ...], what: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if owner._kinds.get(name) not in kinds:
            raise AttributeMissingError(f"{type(owner).__name__} has no {what} {name!r} (of {target!r})")
        return owner.__dict__[name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name. Raises: AttributeMissingError."""
        return self._get(target, (PARAMETER,), "parameter")  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name. Raises: AttributeMissingError."""
        return self._get(target, (BUFFER, TRANSIENT), "buffer")  # type: ignore[no-any-return]

    # ---- state

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Dotted names to parameters and persistent buffers; they share the module's memory.

        Args: destination: filled and returned; prefix: put before each name; keep_vars: the tensors themselves, not
            detached ones.
        """
        made = {} if destination is None else destination
        state.save(self, made, prefix, keep_vars)
        return made

    def get_extra_state(self) -> Any:
        """What belongs to the module's state besides tensors; a class that overrides this overrides set_extra_state."""
        raise AttributeMissingError(f"{type(self).__name__} does not define get_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Takes what get_extra_state of the saved module gave."""
        raise AttributeMissingError(f"{type(self).__name__} does not define set_extra_state")

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copies the values of a `state_dict` into the parameters and buffers.

        Args:
            state_dict: names to tensors; arrays of NumPy or another DLPack library are read too.
            strict: names that are missing or unexpected are errors. Shapes must match in any case.
            assign: take the given memory and dtype in place of a copy; the Parameter objects stay.
        Returns: missing_keys, unexpected_keys.
        Raises: CheckpointError that lists everything that does not fit; then nothing was changed.
        """
        return state.load(self, state_dict, strict, assign)

    # ---- changes to the whole tree

    def apply(self, fn: "Callable[[Module], None]") -> "Self":
        """Calls fn with every module of the tree, children first."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> "Self":
        """Sets `training` in the whole tree; returns itself."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train: mode must be True or False, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> "Self":
        """`train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> "Self":
        """Sets whether its parameters require gradients; returns itself."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of its parameters, or fills them with 0."""
        for p in self.parameters():
            p.grad = None if set_to_none or p.grad is None else Tensor(_C.full(p.shape, 0, p.grad.dtype, p.device))

    # ---- text

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the brackets of its text; subclasses say their settings."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {indent(repr(module))}" for name, module in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        body = lines + children
        return f"{self._get_name()}(" + ("\n  " + "\n  ".join(body) + "\n" if body else "") + ")"


def indent(text: str) -> str:
    """text with all lines but the first moved right by two."""
    return text.replace("\n", "\n  ")


def _kind_of(value: Any) -> str:
    return f"a {type(value).__name__}"
