"""No transform leaves memory behind, with the collector of cycles switched off."""

import gc
from collections.abc import Callable
from typing import Any

import pytest

import pydl
from pydl import func, nn
from pydl.autograd import functional
from pydl.nn.utils import parametrizations, tie

X = pydl.ones(64).double() * 0.3
XS = pydl.ones(4, 64).double() * 0.3
SIGNS = pydl.tensor([1.0, -1.0, 1.0, -1.0]).unsqueeze(1)


def f(x: pydl.Tensor) -> pydl.Tensor:
    return (x.sin() * x.exp()).softmax(0).square().sum() * x.sum()


def g(x: pydl.Tensor) -> pydl.Tensor:
    return x.tanh() * x.sum()


def branch(x: pydl.Tensor) -> pydl.Tensor:
    return x.exp() if x[0].item() > 0 else x


NET = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2)).double()
PARAMS = {name: p.detach() for name, p in NET.named_parameters()}
WEIGHT = pydl.ones(64, dtype=pydl.float64, requires_grad=True)


def constrained() -> Any:
    m = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    parametrizations.orthogonal(m[0])
    parametrizations.weight_norm(m[1])
    parametrizations.spectral_norm(m[2])
    tie([(m[2], "bias"), (m[3], "bias")])
    return m


LAYERS = constrained()


def penalty() -> None:
    """Twice through parametrized layers."""
    x = pydl.ones(3, 8, requires_grad=True)
    (slope,) = pydl.autograd.grad(LAYERS(x).tanh().sum(), x, create_graph=True)
    assert slope is not None
    slope.square().sum().backward()
    LAYERS.zero_grad()


def error() -> None:
    with pytest.raises(pydl.errors.ShapeError):
        func.grad(g)(X)


CALLS: dict[str, Callable[[], Any]] = {
    "grad of grad": lambda: func.grad(lambda x: func.grad(f)(x).square().sum())(X),
    "jvp of vjp": lambda: func.jvp(lambda x: func.vjp(g, x)[1](x)[0], (X,), (X,)),
    "pullback": lambda: func.vjp(g, X)[1](X),
    "linearize": lambda: func.linearize(g, X)[1](X),
    "hvp": lambda: func.hvp(f, (X,), (X,)),
    "hessian": lambda: func.hessian(f)(X[:6]),
    "jacfwd of jacrev": lambda: func.jacfwd(func.jacrev(f))(X[:6]),
    "vmap of grad": lambda: func.vmap(func.grad(f))(XS),
    "grad of vmap": lambda: func.grad(lambda xs: func.vmap(g)(xs).square().sum())(XS),
    "vmap by the loop": lambda: func.vmap(branch)(XS * SIGNS),
    "functional_call": lambda: func.hvp(
        lambda p: func.functional_call(NET, p, (XS,)).square().sum(), (PARAMS,), (PARAMS,)
    ),
    "per_example_grads": lambda: func.per_example_grads(
        NET, nn.functional.cross_entropy, XS, pydl.zeros(4, dtype=pydl.int64)
    ),
    "what is outside": lambda: pydl.autograd.grad(func.grad(lambda x: (x * x * WEIGHT).sum())(X).sum(), WEIGHT),
    "functional.hessian": lambda: functional.hessian(f, X[:6], create_graph=True),
    "an error": error,
    "parametrized layers": penalty,
}


@pytest.mark.parametrize("name", CALLS)
def test_flat(name: str) -> None:
    call = CALLS[name]
    for _ in range(3):
        call()
    gc.collect()
    gc.disable()
    try:
        before = pydl.memory_stats()["active"]
        for _ in range(20):
            call()
        after = pydl.memory_stats()["active"]
    finally:
        gc.enable()
    assert after <= before, f"{after - before} bytes stayed"
