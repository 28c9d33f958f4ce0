"""Gradients of a loss, one per example."""

from collections.abc import Callable
from typing import Any

from pydl.errors import ShapeError
from pydl.func.call import functional_call
from pydl.func.mapping import vmap
from pydl.func.reverse import grad
from pydl.func.tree import tree_map
from pydl.nn.module import Module
from pydl.tensor import Tensor

__all__ = ["per_example_grads"]


def per_example_grads(
    module: Module, loss: Callable[[Any, Any], Tensor], x: Any, y: Any, *, randomness: str = "error"
) -> dict[str, Tensor]:
    """The gradient of every example's loss by every parameter.

    Args:
        module: takes x[i : i + 1].   loss: (module's output, y[i : i + 1]) to a number, ().
        x: (n, ...) tensor or tree of tensors.   y: (n, ...) likewise.
        randomness: as of `vmap`; for dropout 'different'.
    Returns: name of a parameter that requires gradients -> (n, *shape), equal to a loop over the examples. A layer that
        looks at the whole batch (batch normalisation in training) sees a batch of one, as in the loop.
    Cost: about one run and one walk back over the batch plus n times the parameters' memory, where no operation needs
        the loop of `vmap`.
    """
    trained = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}
    fixed |= {name: b.detach() for name, b in module.named_buffers()}

    def one(params: dict[str, Tensor], x: Any, y: Any) -> Tensor:
        made = functional_call(module, (params, fixed), (x,))
        value = loss(made, y)
        if value.ndim:
            raise ShapeError(f"per_example_grads: the loss of one example has shape {value.shape}: expected ()")
        return value

    per_example = vmap(grad(lambda p, x, y: one(p, _batch_of_one(x), _batch_of_one(y))), (None, 0, 0), 0, randomness)
    return per_example(trained, x, y)  # type: ignore[no-any-return]


def _batch_of_one(tree: Any) -> Any:
    return tree_map(lambda t: t.unsqueeze(0) if isinstance(t, Tensor) else t, tree)
