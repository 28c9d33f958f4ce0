"""autograd.functional against torch's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.autograd import functional
from pydl.errors import ArgumentError, AutogradError, DtypeError, ShapeError

torch = pytest.importorskip("torch")
TF = torch.autograd.functional

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal(4), RNG.standard_normal((3, 4))


def one(x: Any) -> Any:
    return (x.sin() * x.exp()).sum() * x[0]


def two(x: Any, y: Any) -> Any:
    return ((y @ x).tanh() ** 3).sum() * x[1]


def many(x: Any, y: Any) -> Any:
    return (y @ x).exp(), x * x[0]


def ours(arrays: Any) -> Any:
    return tuple(pydl.tensor(a) for a in arrays) if isinstance(arrays, tuple) else pydl.tensor(arrays)


def theirs(arrays: Any) -> Any:
    return tuple(torch.tensor(a) for a in arrays) if isinstance(arrays, tuple) else torch.tensor(arrays)


def same(a: Any, b: Any) -> None:
    if isinstance(b, tuple):
        assert isinstance(a, tuple) and len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
        return
    assert not a.requires_grad and a.shape == tuple(b.shape)
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("way", ["reverse-mode", "forward-mode"])
@pytest.mark.parametrize("vectorize", [False, True])
def test_jacobian(way: str, vectorize: bool) -> None:
    for f, args in ((one, X), (two, (X, Y)), (many, (X, Y)), (lambda x: (x,), (X,))):
        same(functional.jacobian(f, ours(args), vectorize=vectorize, strategy=way), TF.jacobian(f, theirs(args)))


@pytest.mark.parametrize("way", ["reverse-mode", "forward-mode"])
def test_hessian(way: str) -> None:
    for f, args in ((one, X), (two, (X, Y)), (one, (X,))):
        same(functional.hessian(f, ours(args), outer_jacobian_strategy=way), TF.hessian(f, theirs(args)))


@pytest.mark.parametrize("name", ["hvp", "vhp"])
def test_hessian_products(name: str) -> None:
    for f, args, v in ((one, X, X + 1), (two, (X, Y), (X - 1, Y + 1))):
        same(getattr(functional, name)(f, ours(args), ours(v)), getattr(TF, name)(f, theirs(args), theirs(v)))


def test_vjp_and_jvp() -> None:
    v = (RNG.standard_normal(3), RNG.standard_normal(4))
    same(functional.vjp(many, ours((X, Y)), ours(v)), TF.vjp(many, theirs((X, Y)), theirs(v)))
    same(functional.jvp(many, ours((X, Y)), ours((X, Y))), TF.jvp(many, theirs((X, Y)), theirs((X, Y))))
    same(functional.vjp(one, ours(X)), TF.vjp(one, theirs(X)))
    scalar = np.array(0.5)
    same(functional.jvp(lambda x: x.sin(), ours(scalar)), TF.jvp(lambda x: x.sin(), theirs(scalar)))


def test_create_graph() -> None:
    for name, args in (
        ("jacobian", ()),
        ("hessian", ()),
        ("hvp", (X + 1,)),
        ("vhp", (X + 1,)),
        ("vjp", ()),
        ("jvp", (X,)),
    ):
        a, b = pydl.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
        made = getattr(functional, name)(one, a, *map(pydl.tensor, args), create_graph=True)
        expected = getattr(TF, name)(one, b, *map(torch.tensor, args), create_graph=True)
        made, expected = (made[1], expected[1]) if isinstance(made, tuple) else (made, expected)
        g = pydl.autograd.grad((made * made).sum(), a)[0]
        assert g is not None
        np.testing.assert_allclose(
            g.numpy(), torch.autograd.grad((expected**2).sum(), b)[0].numpy(), rtol=1e-9, atol=1e-10
        )
        assert not getattr(functional, name)(one, a, *map(pydl.tensor, args))[-1].requires_grad


CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: functional.jacobian(lambda x, y: x, (ours(X), ours(Y)), strict=True), AutogradError, "depend on input 1"),
    (lambda: functional.jacobian(lambda x: pydl.ones(2), ours(X), strict=True), AutogradError, "output 0 does not"),
    (lambda: functional.vjp(lambda x, y: x.sum(), (ours(X), ours(Y)), strict=True), AutogradError, "input 1"),
    (lambda: functional.hvp(lambda x: x.sum(), ours(X), ours(X), strict=True), AutogradError, "gradient does not"),
    (lambda: functional.hessian(lambda x: x, ours(X)), ArgumentError, "one number"),
    (lambda: functional.hvp(lambda x: x, ours(X), ours(X)), ArgumentError, "one number"),
    (lambda: functional.vjp(lambda x: x, ours(X)), ArgumentError, "left out only"),
    (lambda: functional.jvp(lambda x: x, ours(X), ours((X, X))), ArgumentError, "2 tensors: expected 1"),
    (lambda: functional.jvp(lambda x: x, ours(X), pydl.ones(2)), ShapeError, "v (2,) does not match (4,)"),
    (lambda: functional.jacobian(lambda x: 3, ours(X)), DtypeError, "must return a tensor"),
    (lambda: functional.jacobian(lambda x: x, 3), TypeError, "int"),  # type: ignore[arg-type]
    (lambda: functional.jacobian(lambda x: x, ours(X), strategy="up"), ArgumentError, "strategy"),
]


@pytest.mark.parametrize(("call", "error", "text"), CASES)
def test_errors(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
