"""The multi-layer perceptron."""

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError
from pydl.models import MLP


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_forward_is_the_formula(activation: str) -> None:
    model = MLP([5, 7, 4, 3], activation).double()
    x = pydl.randn(2, 6, 5, dtype=pydl.float64)
    functions = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z))}
    a = x.numpy()
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    for i, layer in enumerate(layers):
        assert layer.bias is not None
        a = a @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        a = a if i == 2 else functions[activation](a)
    np.testing.assert_allclose(model(x).detach().numpy(), a, atol=1e-12)
    assert len(list(model.parameters())) == 6


def test_dropout_stands_behind_hidden_layers_only() -> None:
    model = MLP([4, 8, 8, 2], dropout=0.5)
    kinds = [type(m).__name__ for m in model.layers]
    assert kinds == ["Linear", "Dropout", "Linear", "Dropout", "Linear"]
    x = pydl.randn(3, 4)
    assert not bool((model(x) == model(x)).all())
    model.eval()
    assert bool((model(x) == model(x)).all())


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="sizes of input and output at least"):
        MLP([3])
    with pytest.raises(ArgumentError, match="activation must be one of"):
        MLP([3, 2], "step")
