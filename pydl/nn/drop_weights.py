"""Dropout of weights, and dropout whose rates a gate chooses for each unit and example."""

import math

from pydl import _C, ops
from pydl.errors import ArgumentError
from pydl.nn import functional as F
from pydl.nn import init
from pydl.nn.linear import Linear
from pydl.nn.parameter import Parameter
from pydl.ops.create import DeviceLike
from pydl.tensor import Tensor

__all__ = ["DropConnectLinear", "StandoutLinear"]


class DropConnectLinear(Linear):
    """Linear whose single weights, biases among them, become 0 with probability p in training; the rest is divided by
    1 - p, so that the expected output is that of evaluation, where all weights are used.

    Args:
        p: the probability.
        per_example: a mask for each example, as in the paper, at the cost of batch times the memory of the weight;
            else one mask for the whole batch.
    Raises: ArgumentError unless 0 <= p < 1.
    Source: Wan et al. 2013, Regularization of neural networks using DropConnect, equation 3.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        p: float = 0.5,
        *,
        per_example: bool = False,
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        if not 0 <= p < 1:
            raise ArgumentError(f"DropConnectLinear: p must be in [0, 1), got {p}")
        self.p, self.per_example = float(p), per_example

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if not self.training or self.p == 0:
            return super().forward(input)
        if not self.per_example:
            bias = None if self.bias is None else F.dropout(self.bias, self.p)
            return F.linear(input, F.dropout(self.weight, self.p), bias)
        rows = input.reshape(-1, 1, self.in_features)  # (b, 1, in) @ (b, in, out)
        n = rows.shape[0]
        weights = F.dropout(self.weight.expand(n, *self.weight.shape), self.p)
        output = (rows @ weights.transpose(1, 2)).squeeze(1)
        if self.bias is not None:
            output = output + F.dropout(self.bias.expand(n, self.out_features), self.p)
        return output.reshape(*input.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{super().extra_repr()}, p={self.p}, per_example={self.per_example}"


class StandoutLinear(Linear):
    """f(x W^T + b) with adaptive dropout: units are kept with probability q(x) = sigmoid(alpha gate(x) + beta), each on
    its own. In evaluation they are multiplied by q(x), so that they are their expectation.

    Args:
        alpha, beta: scale and offset of the gate; with beta large nothing is dropped.
        activation: f: None, 'relu', 'tanh' or 'sigmoid'.
        gate: 'tied': gate(x) is the layer's own x W^T + b, which gets no gradient through it; 'learned': it has weights
            of its own, which learn by the straight-through estimate: as if the mask were q(x).
    Attributes: weight (out, in), bias (out,); gate_weight (out, in) and gate_bias (out,) of a learned gate.
    Source: Ba & Frey 2013, Adaptive dropout for training deep neural networks, equations 2 and 3; section 4 ties them.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        alpha: float = 1.0,
        beta: float = 0.0,
        *,
        activation: str | None = "relu",
        gate: str = "tied",
        device: DeviceLike = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        if gate not in ("tied", "learned"):
            raise ArgumentError(f"StandoutLinear: gate must be 'tied' or 'learned', got {gate!r}")
        super().__init__(in_features, out_features, bias, device, dtype, activation=activation)
        self.alpha, self.beta, self.gate = float(alpha), float(beta), gate
        if gate == "learned":
            self.gate_weight = Parameter(ops.empty(out_features, in_features, device=device, dtype=dtype))
            self.gate_bias = Parameter(ops.zeros(out_features, device=device, dtype=dtype))
            bound = 1 / math.sqrt(in_features) if in_features > 0 else 0.0
            init.uniform_(self.gate_weight, -bound, bound)

    def keep_probability(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out): q(x)."""
        if self.gate == "learned":
            score = F.linear(input, self.gate_weight, self.gate_bias)
        else:
            bias = None if self.bias is None else self.bias.detach()
            score = F.linear(input.detach(), self.weight.detach(), bias)
        q: Tensor = (self.alpha * score + self.beta).sigmoid()
        return q

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        units, q = super().forward(input), self.keep_probability(input)
        if not self.training:
            return units * q
        mask = (ops.rand(q.shape, device=q.device) < q.detach()).to(q.dtype)
        if self.gate == "learned":
            mask = mask + q - q.detach()
        kept: Tensor = units * mask
        return kept

    def extra_repr(self) -> str:
        """Settings."""
        return f"{super().extra_repr()}, alpha={self.alpha}, beta={self.beta}, gate={self.gate!r}"
