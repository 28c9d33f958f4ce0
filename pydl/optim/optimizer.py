"""Optimizer: parameters in groups with options, the state of each parameter, saving and loading of both."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

from pydl import _C
from pydl.autograd import enable_grad
from pydl.autograd.mode import mode
from pydl.errors import ArgumentError, AutogradError, CaptureError, CheckpointError, DtypeError, PydlError
from pydl.ops import as_tensor
from pydl.sparse import Rows
from pydl.tensor import RemovableHandle, Tensor

Group: TypeAlias = dict[str, Any]
Params: TypeAlias = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class Optimizer:
    """What all optimizers share.

    A subclass passes its options as `defaults` and defines `_update`, which changes the parameters that have a
    gradient; it may define `_check`, which is asked about the options of each group. (One that defines `step` itself
    also works; the hooks are then its own business.)

    Args:
        params: tensors, (name, tensor) pairs, or dicts with "params" and options of that group.
        defaults: the options of groups that do not give them.
    Attributes:
        param_groups: list of dicts: "params" and options. Options may be changed between steps.
        state: dict from parameter to the dict of its state.
    Raises: ArgumentError, DtypeError, AutogradError for parameters or options that do not fit.
    """

    _scalars: ClassVar[dict[str, int]] = {"step": 0}  # entries of the state that are one number, whatever the parameter
    _takes_sparse: ClassVar[bool] = False  # gradients of which only some rows are held

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._reset()
        if isinstance(params, (Tensor, str, Mapping)):
            raise ArgumentError(
                f"{self._name}: params must be a list of tensors or of dicts, got {type(params).__name__}"
            )
        listed: list[Any] = list(params)
        if not listed:
            raise ArgumentError(f"{self._name}: the list of parameters is empty")
        for group in listed if isinstance(listed[0], dict) else [{"params": listed}]:
            self.add_param_group(group)

    def _reset(self) -> None:
        """What is neither options nor state starts anew."""
        self._pre_hooks: dict[int, Any] = {}
        self._post_hooks: dict[int, Any] = {}
        self._has_stepped = False

    @property
    def _name(self) -> str:
        return type(self).__name__

    # ---- groups

    def add_param_group(self, param_group: Group) -> None:
        """Adds parameters with options of their own, e.g. layers that are unfrozen during training."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise ArgumentError(f'{self._name}: a parameter group must be a dict with "params"')
        group = {**param_group, **self._named(param_group["params"])}
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        self._check_params(group["params"], bool(group.get("differentiable", False)))
        if any(("param_names" in group) != ("param_names" in other) for other in self.param_groups):
            raise ArgumentError(f"{self._name}: either all groups name their parameters or none")
        self._check(group)
        self.param_groups.append(group)

    def _named(self, params: Any) -> dict[str, list[Any]]:
        """The parameters as a list, and their names where they come as pairs."""
        if isinstance(params, (set, frozenset)):
            raise DtypeError(f"{self._name}: params must have an order, got a set: use a list")
        listed = [params] if isinstance(params, Tensor) else list(params)
        if not listed or not all(isinstance(p, tuple) and len(p) == 2 for p in listed):
            return {"params": listed}
        return {"params": [p for _, p in listed], "param_names": [name for name, _ in listed]}

    def _check_params(self, params: list[Any], differentiable: bool) -> None:
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise DtypeError(f"{self._name}: parameters must be tensors, got {type(p).__name__}")
            if p.node is not None and not differentiable:
                raise AutogradError(f"{self._name}: {p.shape} is the result of an operation: expected a leaf")
            if not p.array.is_floating:
                raise DtypeError(f"{self._name}: parameters must be floating, got {p.dtype}")
            if p.is_sparse:
                raise DtypeError(f"{self._name}: parameters must be dense, got a sparse one of shape {p.shape}")
            if id(p) in known:
                raise ArgumentError(f"{self._name}: a parameter of shape {p.shape} is given more than once")
            known.add(id(p))

    def _check(self, group: Group) -> None:
        """Raises ArgumentError for options outside their range."""

    def _check_betas(self, group: Group) -> None:
        betas = group["betas"]
        if len(betas) != 2 or not all(0.0 <= float(beta) < 1.0 for beta in betas):
            raise ArgumentError(f"{self._name}: betas must be two numbers in [0, 1), got {betas}")

    def _range(self, group: Group, *names: str) -> None:
        """Options that must not be negative (nor NaN)."""
        for name in names:
            if not float(group[name]) >= 0.0:
                raise ArgumentError(f"{self._name}: {name} must be >= 0, got {group[name]}")

    # ---- steps

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients, or fills them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = p.grad.detach().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes every parameter that has a gradient.

        Args: closure: clears the gradients, computes the loss, calls backward and returns the loss.
        Returns: what the closure returns; None without one.
        """
        for hook in tuple(self._pre_hooks.values()):
            changed = hook(self, (closure,), {})
            if changed is not None:
                (closure,), _ = changed
        loss = self._run(closure)
        self._has_stepped = True
        for hook in tuple(self._post_hooks.values()):
            hook(self, (closure,), {})
        return loss

    def _run(self, closure: Callable[[], Any] | None) -> Any:
        """The step without its hooks."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if not self._takes_sparse:
            self._check_dense()
        self._update()
        if mode.recording is not None:
            self._record(mode.recording)
        return loss

    def _check_dense(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                g: Any = p.grad
                if g is not None and g.array.__class__ is Rows:
                    raise AutogradError(
                        f"{self._name}: the gradient of a parameter of shape {p.shape} is sparse: "
                        "expected a dense one (SGD, Adagrad and SparseAdam take sparse ones)"
                    )

    @property
    def captures(self) -> bool:
        """Whether `pydl.capture` can record its steps."""
        return type(self)._record is not Optimizer._record

    def _record(self, hooks: list[Callable[[], Any]]) -> None:
        """Adds what is to be done before each replay of a captured step. Raises: CaptureError if that is not known."""
        raise CaptureError(f"{self._name}: its steps cannot be captured")

    def _update(self) -> None:
        raise PydlError(f"{self._name}: a subclass of Optimizer must define _update (or step)")

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls hook(optimizer, args, kwargs) before each step, args being (closure,); it may return other ones."""
        return RemovableHandle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls hook(optimizer, args, kwargs) after each step."""
        return RemovableHandle(self._post_hooks, hook)

    # ---- saving

    def state_dict(self) -> dict[str, Any]:
        """The state of each parameter under its number, and the groups with numbers in place of parameters.

        The tensors are the optimizer's own: copy them if it steps on before they are used.
        """
        numbers = {p: i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.param_groups]
        for packed, group in zip(groups, self.param_groups, strict=True):
            packed["params"] = [numbers[p] for p in group["params"]]
        state = {numbers[p]: dict(s) for p, s in self.state.items() if p in numbers and s}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from a state of `state_dict`: options and a copy of the state, in the dtype that fits each parameter.

        Parameters are matched by their order. PyTorch's state dicts of the same optimizer fit too.
        Raises: CheckpointError if groups, counts or shapes differ; then nothing has changed.
        """
        groups, params = self._matched_groups(state_dict)
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, saved in state_dict["state"].items():
            if number not in params:
                raise CheckpointError(f"{self._name}: the state has an entry {number!r} that no group lists")
            state[params[number]] = {k: self._fitted(k, v, params[number]) for k, v in saved.items()}
        self.__setstate__({"defaults": self.defaults, "state": state, "param_groups": groups})
        self._has_stepped = True

    def _matched_groups(self, state_dict: Mapping[str, Any]) -> tuple[list[Group], dict[Any, Tensor]]:
        """The saved options with this optimizer's parameters, and the parameters by their saved numbers."""
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise CheckpointError(f'{self._name}: expected a state dict with "state" and "param_groups"')
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise CheckpointError(f"{self._name}: the state has {len(saved)} groups, expected {len(self.param_groups)}")
        groups: list[Group] = []
        params: dict[Any, Tensor] = {}
        for i, (old, new) in enumerate(zip(saved, self.param_groups, strict=True)):
            if len(old["params"]) != len(new["params"]):
                raise CheckpointError(
                    f"{self._name}: group {i} of the state has {len(old['params'])} parameters, "
                    f"expected {len(new['params'])}"
                )
            params.update(zip(old["params"], new["params"], strict=True))
            groups.append({**new, **old, "params": new["params"]})
        return groups, params

    def _fitted(self, key: str, value: Any, p: Tensor) -> Any:
        """A copy of one entry of a parameter's state."""
        if not hasattr(value, "__dlpack__"):  # neither a tensor of ours nor of another library
            return value
        made = as_tensor(value, copy=True)
        if key in self._scalars:
            return made
        if made.ndim and made.shape != self._state_shape(key, p):
            raise CheckpointError(f"{self._name}: {key} of shape {made.shape} does not fit a parameter of {p.shape}")
        return made.to(state_dtype(p)) if made.is_floating_point() else made

    def _state_shape(self, key: str, p: Tensor) -> tuple[int, ...]:
        """The shape of an entry of p's state that is not a single number."""
        return p.shape

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not hasattr(self, "_pre_hooks"):
            self._reset()
        self.__dict__.update(state)

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])


def state_dtype(p: Tensor) -> _C.dtype:
    """The dtype of p's state: p's own, and float32 for 16 bits.

    A mean that moves by a thousandth of the way each step stands still in bfloat16, whose neighbours are 1/256 apart.
    """
    return _C.float32 if p.dtype in (_C.float16, _C.bfloat16) else p.dtype
