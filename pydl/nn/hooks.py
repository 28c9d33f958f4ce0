"""Hooks of a module: functions called around its forward and its backward. Without hooks a module pays nothing."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydl.autograd.function import Function
from pydl.errors import DtypeError
from pydl.tensor import RemovableHandle, Tensor

if TYPE_CHECKING:
    from pydl.nn.module import Module

__all__ = ["GLOBAL", "Hooks", "call_with_hooks", "hooked"]

Entry = tuple[Callable[..., Any], bool, bool]  # hook, with_kwargs, always_call


class Hooks:
    """The hooks of one module, in the order in which they run."""

    def __init__(self) -> None:
        self.pre: OrderedDict[int, Entry] = OrderedDict()
        self.forward: OrderedDict[int, Entry] = OrderedDict()
        self.backward_pre: OrderedDict[int, Entry] = OrderedDict()
        self.backward: OrderedDict[int, Entry] = OrderedDict()
        self.save_pre: OrderedDict[int, Entry] = OrderedDict()
        self.save: OrderedDict[int, Entry] = OrderedDict()
        self.load_pre: OrderedDict[int, Entry] = OrderedDict()
        self.load: OrderedDict[int, Entry] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(self.__dict__.values())


GLOBAL = Hooks()  # of all modules; they run before a module's own


def hooked(module: "Module") -> str | None:
    """Which hooks a replay of a module's calls would not run, as it runs no Python; None: there are none."""
    if GLOBAL:
        return "there are hooks on all modules"
    for name, part in module.named_modules():
        hooks = part._hooks
        if hooks is not None and (hooks.pre or hooks.forward or hooks.backward_pre or hooks.backward):
            return f"module {name or type(part).__name__!r} has hooks"
    return None


def add(
    table: "OrderedDict[int, Entry]",
    hook: Callable[..., Any],
    prepend: bool,
    with_kwargs: bool = False,
    always_call: bool = False,
) -> RemovableHandle:
    """Puts the hook last, or first, into a table."""
    handle = RemovableHandle(table, (hook, with_kwargs, always_call))
    if prepend:
        table.move_to_end(next(reversed(table)), last=False)
    return handle


class _Outputs(Function):
    """The identity on a module's outputs; backward learns the gradients that enter the module."""

    @staticmethod
    def forward(ctx: Any, call: "_Backward", *tensors: Tensor) -> Any:
        ctx.call = call
        ctx.set_materialize_grads(False)
        return _passed(ctx, tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        return (None, *ctx.call.entered(grads))


class _Inputs(Function):
    """The identity on a module's inputs; backward hands on the gradients that leave the module."""

    @staticmethod
    def forward(ctx: Any, call: "_Backward", *tensors: Tensor) -> Any:
        ctx.call = call
        return _passed(ctx, tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, *ctx.call.left(grads))


def _passed(ctx: Any, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The same values; those that asked for no gradient still ask for none."""
    made = tuple(t.detach() for t in tensors)
    ctx.mark_non_differentiable(*[y for y, t in zip(made, tensors, strict=True) if not t.requires_grad])
    return made


class _Backward:
    """One call of a module whose backward is watched."""

    def __init__(self, module: "Module", hooks: Hooks) -> None:
        self.module = module
        self.before = [entry[0] for entry in (*GLOBAL.backward_pre.values(), *hooks.backward_pre.values())]
        self.after = [entry[0] for entry in (*GLOBAL.backward.values(), *hooks.backward.values())]
        self.inputs = 0  # how many positional arguments forward got
        self.places: list[int] = []  # which of them are floating tensors
        self.outputs = 0
        self.outgoing: list[int] = []
        self.grad_output: tuple[Tensor | None, ...] = ()
        self.waits = False  # whether gradients will reach the inputs

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """args, with the tensors among them passed through the identity."""
        self.inputs = len(args)
        self.places = _floating(args)
        tensors = [args[i] for i in self.places]
        self.waits = any(t.requires_grad for t in tensors)
        return _replaced(args, self.places, _Inputs.apply(self, *tensors)) if self.waits else args

    def watch_outputs(self, result: Any) -> Any:
        """The result, with its tensors passed through the identity."""
        several = isinstance(result, tuple)
        values = result if several else (result,)
        self.outputs = len(values)
        self.outgoing = _floating(values)
        if not self.outgoing:
            return result
        made = _replaced(values, self.outgoing, _Outputs.apply(self, *[values[i] for i in self.outgoing]))
        return made if several else made[0]

    def entered(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        """The gradients of the outputs have arrived."""
        given = _placed(self.outputs, self.outgoing, grads)
        for hook in self.before:
            changed = hook(self.module, given)
            if changed is not None:
                given = _same_length(changed, given, "full backward pre-hook")
        self.grad_output = given
        if not self.waits:
            self._finish((None,) * self.inputs)
        return tuple(given[i] for i in self.outgoing)

    def left(self, grads: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        """The gradients of the inputs are complete; zeros for a tensor that asked for none, as in PyTorch."""
        found = self._finish(_placed(self.inputs, self.places, grads))
        return tuple(found[i] for i in self.places)

    def _finish(self, grad_input: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        for hook in self.after:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = _same_length(changed, grad_input, "full backward hook")
        self.grad_output = ()
        return grad_input


def _floating(values: tuple[Any, ...]) -> list[int]:
    return [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.array.is_floating]


def _replaced(values: tuple[Any, ...], places: list[int], new: tuple[Tensor, ...]) -> tuple[Any, ...]:
    made = list(values)
    for i, t in zip(places, new, strict=True):
        made[i] = t
    return tuple(made)


def _placed(count: int, places: list[int], grads: Any) -> tuple[Any, ...]:
    made: list[Any] = [None] * count
    for i, g in zip(places, grads, strict=True):
        made[i] = g
    return tuple(made)


def _same_length(changed: Any, old: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    new = changed if isinstance(changed, tuple) else (changed,)
    if len(new) != len(old):
        raise DtypeError(f"{what}: returned {len(new)} gradients: expected {len(old)}")
    return new


def _run_pre(module: "Module", hooks: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    for hook, with_kwargs, _ in [*GLOBAL.pre.values(), *hooks.pre.values()]:
        changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if changed is None:
            continue
        if not with_kwargs:
            args = changed if isinstance(changed, tuple) else (changed,)
        elif isinstance(changed, tuple) and len(changed) == 2:
            args, kwargs = changed
        else:
            raise DtypeError("forward pre-hook: with kwargs it must return None or (args, kwargs)")
    return args, kwargs


def _run_forward(module: "Module", entry: Entry, args: Any, kwargs: Any, result: Any) -> Any:
    hook, with_kwargs, _ = entry
    changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
    return result if changed is None else changed


def call_with_hooks(module: "Module", hooks: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """module.forward(*args, **kwargs) with everything that is hooked around it."""
    called: set[int] = set()
    try:
        args, kwargs = _run_pre(module, hooks, args, kwargs)
        watched = hooks.backward or hooks.backward_pre or GLOBAL.backward or GLOBAL.backward_pre
        watch = _Backward(module, hooks) if watched else None
        if watch is not None:
            args = watch.watch_inputs(args)
        result = module.forward(*args, **kwargs)
        for key, entry in [*GLOBAL.forward.items(), *hooks.forward.items()]:
            called.add(key)
            result = _run_forward(module, entry, args, kwargs, result)
        return result if watch is None else watch.watch_outputs(result)
    except Exception:
        for key, entry in [*GLOBAL.forward.items(), *hooks.forward.items()]:
            if entry[2] and key not in called:
                _run_forward(module, entry, args, kwargs, None)
        raise
