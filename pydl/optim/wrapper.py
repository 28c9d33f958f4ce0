"""Optimizers around another optimizer: they share its groups and state, and add options and entries of their own."""

from typing import Any

from pydl.errors import ArgumentError
from pydl.optim.optimizer import Group, Optimizer
from pydl.tensor import Tensor


class Wrapper(Optimizer):
    """An optimizer whose steps are steps of `base`, with something before, between or after them.

    Attributes: base: the optimizer inside. Groups and state are its own, so that schedules and checkpoints see both.
    """

    _takes_sparse = True  # if the optimizer inside does

    def __init__(self, base: Optimizer, options: dict[str, Any]) -> None:
        if not isinstance(base, Optimizer):
            raise ArgumentError(f"{self._name}: expected an optimizer inside, got {type(base).__name__}")
        self.base = base
        self.options = options
        self.defaults = {**base.defaults, **options}
        self._reset()
        self._adopt()
        for group in self.param_groups:
            self._complete(group)

    def _adopt(self) -> None:
        self.param_groups, self.state = self.base.param_groups, self.base.state

    def _complete(self, group: Group) -> None:
        for name, value in self.options.items():
            group.setdefault(name, value)
        self._check(group)

    def add_param_group(self, param_group: Group) -> None:
        """Adds parameters with options of their own, to the optimizer inside too."""
        self.base.add_param_group(param_group)
        self._complete(self.param_groups[-1])

    def _with_gradients(self) -> list[tuple[Group, Tensor]]:
        """Each parameter that has a gradient, with its group."""
        return [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]

    def _update(self) -> None:
        self.base.step()

    @property
    def captures(self) -> bool:
        """Whether `pydl.capture` can record its steps, and those of the optimizer inside."""
        return super().captures and self.base.captures

    def _fitted(self, key: str, value: Any, p: Tensor) -> Any:
        return self.base._fitted(key, value, p)

    def __getstate__(self) -> dict[str, Any]:
        return {"base": self.base, "options": self.options, "defaults": self.defaults}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "base" in state:
            self._reset()
            self.__dict__.update(state)
        else:
            self.base.__setstate__({**state, "defaults": self.base.defaults})
        self._adopt()
