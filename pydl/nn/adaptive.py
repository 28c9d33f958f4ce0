"""A softmax over many classes that are of very different frequency."""

from collections.abc import Sequence
from typing import NamedTuple

from pydl import _C, ops
from pydl.errors import ArgumentError, ShapeError
from pydl.nn.container import ModuleList, Sequential
from pydl.nn.linear import Linear
from pydl.nn.module import Module
from pydl.ops.create import DeviceLike
from pydl.tensor import Tensor

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class ASMoutput(NamedTuple):
    """What the adaptive softmax gives: the log-probability of each target, and the mean loss."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of classes sorted by frequency, most frequent first: rare ones are told apart in clusters.

    Args:
        in_features, n_classes: sizes.
        cutoffs: rising class numbers at which the clusters begin; the classes below the first stand in the head.
        div_value: cluster i (from 1) works on in_features / div_value^i features.
        head_bias: whether the head has one.
    Attributes: head, a Linear; tail, a ModuleList of two Linears per cluster.
    Source: Grave et al. 2017 (arXiv:1609.04309).
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        listed = list(cutoffs)
        rising = all(a < b for a, b in zip([0, *listed], [*listed, n_classes], strict=True))
        if not listed or not rising or any(int(c) != c for c in listed):
            raise ArgumentError(
                f"AdaptiveLogSoftmaxWithLoss: cutoffs must be rising integers in [1, {n_classes - 1}], got {listed}"
            )
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, [*listed, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = listed[0], len(listed)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            hidden = int(in_features // div_value ** (i + 1))
            first = Linear(in_features, hidden, False, device, dtype)
            self.tail.append(Sequential(first, Linear(hidden, high - low, False, device, dtype)))

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def _check(self, input: Tensor, target: Tensor) -> None:
        name = type(self).__name__
        if target.ndim > 1 or input.ndim != target.ndim + 1 or input.shape[:-1] != target.shape:
            raise ShapeError(
                f"{name}: target {target.shape} does not match input {input.shape}: expected (n,) and (n, d)"
            )
        _C.check_classes(name, target.array, self.n_classes, None)

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        """(n, in_features) and (n,) classes, or (in_features,) and () -> output (n,) or (), loss ()."""
        self._check(input_, target_)
        input, target = (input_, target_) if target_.ndim else (input_.unsqueeze(0), target_.unsqueeze(0))
        places = target  # where the head is read: the class itself, or its cluster
        extra = None
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            inside = (target >= low) & (target < high)
            rows = ops.nonzero(inside).squeeze(1)
            if not rows.numel():
                continue
            places = ops.where(inside, self.shortlist_size + i, places)
            scores = self.tail[i](ops.index_select(input, 0, rows))
            within = ops.index_select(target, 0, rows) - low
            found = ops.log_softmax(scores, 1).gather(1, within.unsqueeze(1)).squeeze(1)
            part = ops.zeros(target.shape, dtype=found.dtype).index_add(0, rows, found)
            extra = part if extra is None else extra + part
        output = ops.log_softmax(self.head(input), 1).gather(1, places.unsqueeze(1)).squeeze(1)
        output = output if extra is None else output + extra
        loss = ops.mean(-output)
        return ASMoutput(output if target_.ndim else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """(n, in_features) -> (n, n_classes) log-probabilities."""
        head = ops.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i in range(self.n_clusters):
            at = self.shortlist_size + i
            parts.append(ops.log_softmax(self.tail[i](input), 1) + head[:, at : at + 1])
        return ops.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """(n, in_features) -> (n,) most probable classes. The clusters are computed only where the head chose one."""
        best = ops.argmax(self.head(input), 1)
        rows = ops.nonzero(best >= self.shortlist_size).squeeze(1)
        if not rows.numel():
            return best
        return ops.index_copy(best, 0, rows, ops.argmax(self.log_prob(ops.index_select(input, 0, rows)), 1))
