"""capture: a function or a block whose launches are recorded once and replayed without Python."""

from collections.abc import Callable, Sequence
from typing import Any

from pydl.replay.block import Block
from pydl.replay.capture import Capture
from pydl.replay.passes import ALL

__all__ = ["capture"]


def capture(function: Callable[..., Any] | None = None, *, max_plans: int = 8, passes: Sequence[str] = ALL) -> Any:
    """A function, such as a training step, whose kernels run again without its Python code.

    As a decorator, with or without options, or as a context: see `Block` for `with pydl.capture() as plan:`.

    The first call with arguments of a kind (shapes, dtypes, Python values) runs as usual, the second one is recorded,
    later ones copy their tensors into place and run the recorded launches. Results are copies and outside the graph.
    Tensors, modules and optimizers that the function uses are read and changed as usual; learning rates and schedules
    may change. All other Python numbers are frozen as they were when it was recorded: where an attribute of a module, a
    variable of the closure, a global or an attribute that the function names is another one, a new plan is made. Python
    code, such as print, does not run again. train(), eval() and requires_grad make a new plan.

    On a CUDA device, launches that follow one another become a CUDA graph, which takes one call; what the host has to
    look at (indices, classes, whether gradients are finite) comes between graphs. `report` says which.

    Args:
        max_plans: how many are kept.
        passes: what is done to the launches of a function, without changing a bit of its results. "dead" removes those
            whose results nobody reads; "epilogue" lets products and convolutions apply the activation that follows
            them, and gradients of max-pooling leave out what a relu before it made 0; "fuse" runs chains of large
            elementwise launches tile by tile; "merge" runs launches that have nothing to do with each other and are too
            small for several threads beside one another; "reuse" lets arrays that nobody keeps share memory where their
            lives do not meet, and elementwise launches write over what they read last; "bind" lets launches read large
            arguments and write large results where they lie, without copies, and leaves alone those that none reads.
    Raises: CaptureError, naming the line, where values are read (`item`, `numpy`, `if tensor`), where shapes depend on
        values, or where gradients, arguments or arrays would not be what they are without capture. The call that raises
        has run up to there.
    """
    if function is None:
        return Block(lambda f: Capture(f, max_plans, passes), passes)
    return Capture(function, max_plans, passes)
