"""torch's CUDA graphs as this benchmark uses them: the same calls in the same order as without."""

from collections.abc import Callable
from typing import Any

_WARM = 3  # calls before the recording, as torch asks for: they make gradients, states and handles


class Graphed:
    """A function without arguments that is called as it is at first, then recorded once and replayed.

    Args: cuda: the module torch.cuda; function: what it makes lies where the recording put it, and is made anew there.
    """

    def __init__(self, cuda: Any, function: Callable[[], Any]) -> None:
        self.cuda, self.function = cuda, function
        self.calls, self.made = 0, None
        self.graph: Any = None

    def __call__(self) -> Any:
        self.calls += 1
        if self.calls <= _WARM:
            return self._aside()
        if self.graph is None:
            self.graph = self.cuda.CUDAGraph()
            with self.cuda.graph(self.graph):
                self.made = self.function()
        self.graph.replay()
        return self.made

    def _aside(self) -> Any:
        """A call on a stream of its own, where recordings take place too."""
        main, side = self.cuda.current_stream(), self.cuda.Stream()
        side.wait_stream(main)
        with self.cuda.stream(side):
            made = self.function()
        main.wait_stream(side)
        return made
