"""Ties between parameters: gradients, steps, copies, functions, errors; layers without a start."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError, DtypeError, ShapeError

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3))


def close(a: Any, b: Any, tol: float = 1e-12) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tol, atol=tol)


class Chain(nn.Module):
    """Four layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(3, 3, bias=False).double() for _ in range(4))

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        return self.d(self.c(self.b(self.a(x).tanh()).tanh()).tanh())


def tied() -> Chain:
    m = Chain()
    pairs = [(layer, "weight") for layer in (m.a, m.b, m.c, m.d)]
    nn.utils.tie(pairs, ["equal", "equal", "negated", "transposed"])
    return m


def test_gradients_of_ties_sum() -> None:
    m, free = tied(), Chain()
    assert list(m.state_dict()) == ["a.weight"] and len(list(m.parameters())) == 1
    values = [layer.weight.detach() for layer in (m.a, m.b, m.c, m.d)]
    np.testing.assert_array_equal(values[2].numpy(), -values[0].numpy())
    np.testing.assert_array_equal(values[3].numpy(), values[0].numpy().T)
    for layer, value in zip((free.a, free.b, free.c, free.d), values, strict=True):
        layer.weight = nn.Parameter(value.clone())
    for net in (m, free):
        (net(pydl.tensor(X)) ** 2).sum().backward()
    g = [p.grad.numpy() for p in free.parameters()]  # type: ignore[union-attr]
    assert m.a.weight.grad is not None
    np.testing.assert_allclose(m.a.weight.grad.numpy(), g[0] + g[1] - g[2] + g[3].T, rtol=1e-13, atol=1e-14)


def test_ties_hold_after_steps_and_copies() -> None:
    m = tied()
    opt = pydl.optim.Adam(m.parameters(), lr=0.05)
    for _ in range(100):
        opt.zero_grad()
        (m(pydl.tensor(X)) - 1).square().mean().backward()
        opt.step()
    theta = m.a.weight.detach().numpy()
    for layer, value in ((m.b, theta), (m.c, -theta), (m.d, theta.T)):
        np.testing.assert_array_equal(layer.weight.detach().numpy(), value)
    twin = copy.deepcopy(m)
    twin.a.weight.data = twin.a.weight.detach() * 2
    np.testing.assert_array_equal(twin.c.weight.detach().numpy(), -2 * theta)
    np.testing.assert_array_equal(m.c.weight.detach().numpy(), -theta)
    m.c.weight = pydl.eye(3).double()  # type: ignore[assignment]
    np.testing.assert_array_equal(m.d.weight.detach().numpy(), -np.eye(3))
    own = nn.utils.untie(m.c, "weight")
    assert type(m.c) is nn.Linear and m.c.weight is own and sorted(m.state_dict()) == ["a.weight", "c.weight"]
    m.load_state_dict({"a.weight": pydl.ones(3, 3), "c.weight": pydl.zeros(3, 3)})
    assert m.b.weight.tolist() == [[1.0] * 3] * 3 and m.c.weight.tolist() == [[0.0] * 3] * 3


def test_tie_by_a_function() -> None:
    """A dense layer as the matrix of a correlation with a kernel of 3, against torch's conv1d."""
    kernel, dense = nn.Module(), nn.Linear(8, 6, bias=False).double()
    kernel.weight = nn.Parameter(pydl.tensor(RNG.standard_normal(3)))
    places = np.stack([np.eye(6, 8, k) for k in range(3)])
    nn.utils.tie(
        [(kernel, "weight"), (dense, "weight")], ["equal", lambda w: pydl.einsum("k,kij->ij", w, pydl.tensor(places))]
    )
    x = RNG.standard_normal((5, 8))
    y = dense(pydl.tensor(x))
    y.sin().sum().backward()
    w = torch.tensor(kernel.weight.detach().numpy()).requires_grad_()
    e = torch.nn.functional.conv1d(torch.tensor(x).unsqueeze(1), w.reshape(1, 1, 3)).squeeze(1)
    e.sin().sum().backward()
    close(y, e, 1e-12)
    np.testing.assert_allclose(kernel.weight.grad.numpy(), w.grad.numpy(), rtol=1e-12)
    with pytest.raises(ArgumentError, match="no right_inverse"):
        dense.weight = pydl.zeros(6, 8).double()  # type: ignore[assignment]


TIES: list[tuple[Callable[[Any, Any], Any], type[Exception], str]] = [
    (lambda a, b: nn.utils.tie([(a, "weight")]), ArgumentError, "at least two"),
    (lambda a, b: nn.utils.tie([(a, "weight"), (b, "weight")], ["equal"]), ArgumentError, "1 transforms"),
    (lambda a, b: nn.utils.tie([(a, "weight"), (b, "weight")], ["negated", "equal"]), ArgumentError, "must be 'equal'"),
    (lambda a, b: nn.utils.tie([(a, "weight"), (b, "weight")], ["equal", "turned"]), ArgumentError, "'turned'"),
    (lambda a, b: nn.utils.tie([(a, "weight"), (b, "weight")], ["equal", 3]), DtypeError, "got int"),  # type: ignore[list-item]
    (lambda a, b: nn.utils.tie([(a, "weight"), (b, "weight")], ["equal", "transposed"]), ShapeError, "gives (3, 2)"),
    (lambda a, b: nn.utils.tie([(a, "weight"), (b, "w")]), ArgumentError, "no parameter 'w'"),
    (lambda a, b: nn.utils.tie([(a, "weight"), (a, "weight")]), ArgumentError, "twice"),
    (lambda a, b: nn.utils.untie(a, "weight"), ArgumentError, "no tied"),
]


@pytest.mark.parametrize(("call", "error", "text"), TIES)
def test_tie_errors(call: Any, error: type[Exception], text: str) -> None:
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    with pytest.raises(error) as caught:
        call(a, b)
    assert text in str(caught.value)
    assert list(a.state_dict()) == list(b.state_dict()) == ["weight", "bias"]


def test_skip_init() -> None:
    pydl.manual_seed(0)
    state = pydl.get_rng_state().tolist()
    m = nn.utils.skip_init(nn.Linear, 3, 5, dtype=pydl.float64)
    assert type(m) is nn.Linear and m.weight.shape == (5, 3) and m.weight.dtype is pydl.float64
    assert pydl.get_rng_state().tolist() == state


def test_no_init_weights() -> None:
    """Within it nothing is drawn; after it, and after an error in it, everything is as before."""
    pydl.manual_seed(0)
    before = pydl.get_rng_state()
    functions = {name: getattr(nn.init, name) for name in nn.init.__all__}
    with pytest.raises(RuntimeError), nn.utils.no_init_weights():
        m = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LSTM(4, 5))
        raise RuntimeError
    assert {name: getattr(nn.init, name) for name in nn.init.__all__} == functions
    np.testing.assert_array_equal(pydl.get_rng_state().numpy(), before.numpy())
    assert m[0].weight.shape == (4, 3, 3, 3) and m[1].weight_hh_l0.shape == (20, 5)
