"""Derivatives of functions against torch.func, jax, formulas and differences."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import func, nn
from pydl.errors import ArgumentError, AutogradError, DtypeError, ShapeError
from pydl.func.tree import flatten

torch = pytest.importorskip("torch")
tf = torch.func
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:Attempted to insert")

RNG = np.random.default_rng(0)
X, Y, W = RNG.standard_normal(5), RNG.standard_normal((5, 3)), RNG.standard_normal((3, 5))
Pair = namedtuple("Pair", "a b")


@dataclass
class Point:
    """A tree."""

    u: Any
    v: Any


def ours(tree: Any) -> Any:
    """Arrays as tensors of pydl, in any tree."""
    leaves, structure = flatten(tree)
    return structure.build([pydl.tensor(x) if isinstance(x, np.ndarray) else x for x in leaves])


def theirs(tree: Any) -> Any:
    leaves, structure = flatten(tree)
    return structure.build([torch.tensor(x) if isinstance(x, np.ndarray) else x for x in leaves])


def same(mine: Any, other: Any, tol: float = 1e-10) -> None:
    """Asserts that two trees are built alike and hold equal numbers; ours without a graph."""
    a, b = flatten(mine), flatten(other)
    assert a[1] == b[1], f"{a[1]} and {b[1]}"
    for x, y in zip(a[0], b[0], strict=True):
        assert not x.requires_grad
        assert x.shape == tuple(y.shape), f"{x.shape}, expected {tuple(y.shape)}"
        np.testing.assert_allclose(x.numpy(), np.asarray(y.detach()), rtol=tol, atol=tol)


def wave(x: Any) -> Any:
    return (x.sin() * x.exp()).sum() + (x[0] * x[1] * x[2])


def layer(x: Any, w: Any) -> Any:
    return ((w @ x).tanh() * x[:3]).exp()


SCALAR: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    (wave, (X,), {}),
    (lambda x, w: layer(x, w).sum(), (X, W), {}),
    (lambda x, w: layer(x, w).sum(), (X, W), {"argnums": 1}),
    (lambda x, w: layer(x, w).sum(), (X, W), {"argnums": (0, 1)}),
    (lambda x, w: layer(x, w).sum(), (X, W), {"argnums": (-1,)}),
    (lambda p, x: (p["w"] @ x + p["b"][0]).tanh().sum(), ({"w": W, "b": [RNG.standard_normal(3)]}, X), {}),
    (lambda p: (p.a * p.b).sum(), (Pair(X, X + 1),), {}),
    (lambda x, unused: (x * x).sum(), (X, W), {"argnums": (0, 1)}),
    (lambda x, y: ((x * x).sum(), {"twice": 2 * x, "y": y}), (X, X + 1), {"has_aux": True}),
]


@pytest.mark.parametrize(("f", "args", "kwargs"), SCALAR)
def test_grad(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    same(func.grad(f, **kwargs)(*ours(args)), tf.grad(f, **kwargs)(*theirs(args)))
    both = func.grad_and_value(f, **kwargs)(*ours(args))
    same(both, tf.grad_and_value(f, **kwargs)(*theirs(args)))
    value, gradient = func.value_and_grad(f, **kwargs)(*ours(args))
    same((gradient, value), tf.grad_and_value(f, **kwargs)(*theirs(args)))


def test_grad_of_a_dataclass() -> None:
    made = func.grad(lambda p: (p.u * p.v).sum())(Point(pydl.tensor(X), pydl.tensor(X + 2)))
    assert isinstance(made, Point)
    np.testing.assert_allclose(made.u.numpy(), X + 2)
    np.testing.assert_allclose(made.v.numpy(), X)


def test_higher_derivatives_of_a_sine() -> None:
    f: Any = lambda x: x.sin()  # noqa: E731
    x = pydl.tensor(0.7, dtype=pydl.float64)
    for expected in (np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7), np.cos(0.7)):
        f = func.grad(f)
        assert abs(f(x).item() - expected) < 1e-12


def test_inner_and_outer_variables_are_kept_apart() -> None:
    """d/dx x (d/dy (x + y)) is 1, and d/dx x (d/dy x y) is 2 x."""
    one = pydl.tensor(3.0)
    assert func.grad(lambda x: x * func.grad(lambda y: x + y)(one))(one).item() == 1
    assert func.grad(lambda x: x * func.grad(lambda y: x * y)(one))(one).item() == 6
    assert (
        func.jvp(lambda x: x * func.jvp(lambda y: x * y, (one,), (one / one,))[1], (one,), (one / one,))[1].item() == 6
    )


MANY: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (lambda x: x, (X,)),
    (lambda x: (x.sin(), {"y": x.sum()}), (X,)),
    (layer, (X, W)),
    (lambda x, y: [(x @ y).tanh(), x * 2], (X, Y)),
    (lambda p: p["a"] * p["b"][1], ({"a": X, "b": (W, X)},)),
    (lambda x: torch.ones(2, dtype=torch.float64) if isinstance(x, torch.Tensor) else pydl.ones(2).double(), (X,)),
]


def like(tree: Any, seed: int) -> Any:
    """Random arrays in the shapes of a tree of tensors or arrays."""
    leaves, structure = flatten(tree)
    rng = np.random.default_rng(seed)
    return structure.build([rng.standard_normal(tuple(x.shape)) for x in leaves])


@pytest.mark.parametrize(("f", "args"), MANY)
def test_vjp_and_jvp(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    value, pullback = func.vjp(f, *ours(args))
    expected, their_pullback = tf.vjp(f, *theirs(args))
    same(value, expected)
    for seed in (1, 2):  # the pullback may be called again
        u = like(expected, seed)
        same(pullback(ours(u)), their_pullback(theirs(u)))
    v = like(args, 3)
    zero = isinstance(expected, torch.Tensor) and not (expected != 1).any()
    same(func.jvp(f, ours(args), ours(v)), (expected, expected * 0) if zero else tf.jvp(f, theirs(args), theirs(v)))
    value, pushforward = func.linearize(f, *ours(args))
    same(value, expected)
    for seed in (4, 5):
        v = like(args, seed)
        same(
            pushforward(*ours(v)),
            func.jvp(f, ours(args), ours(v))[1].detach() if zero else tf.jvp(f, theirs(args), theirs(v))[1],
        )


def test_aux_of_vjp_and_jvp() -> None:
    f = lambda x: ((x * x).sum(), {"x": x})  # noqa: E731
    x = pydl.tensor(X)
    value, pullback, aux = func.vjp(f, x, has_aux=True)
    same(
        (value, pullback(pydl.ones((), dtype=pydl.float64)), aux),
        ((torch.tensor(X @ X)), (torch.tensor(2 * X),), {"x": torch.tensor(X)}),
    )
    value, tangent, aux = func.jvp(f, (x,), (x,), has_aux=True)
    same((value, tangent, aux), (torch.tensor(X @ X), torch.tensor(2 * X @ X), {"x": torch.tensor(X)}))


MATRICES: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = [
    (lambda x: x.sin() * x.sum(), (X,), 0),
    (layer, (X, W), 0),
    (layer, (X, W), (0, 1)),
    (lambda x: x.exp().sum(), (X,), 0),
    (lambda p: {"s": (p[0] * p[1]), "t": p[0].sum()}, ((X, X + 1),), 0),
    (lambda x, w: (w @ x, x[1:] * 2), (X, W), (1, 0)),
]


@pytest.mark.parametrize(("f", "args", "argnums"), MATRICES)
@pytest.mark.parametrize("chunk_size", [None, 1, 2])
def test_jacobians(f: Callable[..., Any], args: tuple[Any, ...], argnums: Any, chunk_size: int | None) -> None:
    expected = tf.jacrev(f, argnums)(*theirs(args))
    for way in (func.jacrev, func.jacfwd, func.jacobian):
        same(way(f, argnums, chunk_size=chunk_size)(*ours(args)), expected)


def test_jacobian_aux_and_complex_step() -> None:
    made, aux = func.jacfwd(lambda x: (x**3, 2 * x), has_aux=True)(pydl.tensor(X))
    np.testing.assert_allclose(made.numpy(), np.diag(3 * X**2), rtol=1e-13)
    np.testing.assert_array_equal(aux.numpy(), 2 * X)


@pytest.mark.parametrize("argnums", [0, 1, (0, 1)])
def test_hessian(argnums: Any) -> None:
    f = lambda x, w: layer(x, w).sum()  # noqa: E731
    same(func.hessian(f, argnums)(*ours((X, W))), tf.hessian(f, argnums)(*theirs((X, W))), 1e-9)


def test_third_derivatives() -> None:
    made = func.jacfwd(func.hessian(wave))(pydl.tensor(X))
    same(made, tf.jacfwd(tf.hessian(wave))(torch.tensor(X)), 1e-9)
    same(
        func.jacrev(func.jacfwd(func.jacrev(wave)))(pydl.tensor(X)), tf.jacfwd(tf.hessian(wave))(torch.tensor(X)), 1e-9
    )


COMPOSED: list[Callable[..., Any]] = [
    lambda t, f: t.jvp(lambda x: t.vjp(f, x)[1](f(x) * 0 + 1)[0], (f.x,), (f.x + 1,)),
    lambda t, f: t.grad(lambda x: (t.jvp(f, (x,), (x * 2,))[1] ** 2).sum())(f.x),
    lambda t, f: t.grad(lambda x: (t.vjp(f, x)[1](f(x))[0] ** 2).sum())(f.x),
    lambda t, f: t.jacrev(lambda x: t.jvp(f, (x,), (x,))[1])(f.x),
    lambda t, f: t.grad(lambda x: t.hessian(lambda z: (f(z) * x[:3]).sum())(x).sum())(f.x),
    lambda t, f: t.vmap(t.grad(lambda x: f(x).sum()))(f.xs),
    lambda t, f: t.grad(lambda xs: (t.vmap(f)(xs) ** 2).sum())(f.xs),
    lambda t, f: t.vmap(t.hessian(lambda x: f(x).sum()))(f.xs),
    lambda t, f: t.vmap(t.jacfwd(f))(f.xs),
    lambda t, f: t.jacrev(t.vmap(f))(f.xs),
    lambda t, f: t.vmap(lambda x: t.jvp(f, (x,), (x * x,)))(f.xs),
    lambda t, f: t.vmap(lambda x: t.vmap(lambda y: f(x * y))(f.xs))(f.xs),
    lambda t, f: t.grad(lambda x: t.vmap(t.grad(lambda y: (f(y) * f(x)).sum()))(f.xs).sum())(f.x),
    lambda t, f: t.vmap(t.grad(lambda x: t.vmap(t.grad(lambda y: (f(y) * f(x)).sum()))(f.xs).sum()))(f.xs),
    lambda t, f: t.linearize(t.grad(lambda x: f(x).sum()), f.x)[1](f.x),
]


class Made:
    """A function of one library with points of its own."""

    def __init__(self, to: Callable[..., Any]) -> None:
        self.w, self.x, self.xs = to(W), to(X), to(RNG_POINTS)

    def __call__(self, x: Any) -> Any:
        return layer(x, self.w)


RNG_POINTS = np.random.default_rng(9).standard_normal((4, 5))


@pytest.mark.parametrize("index", range(len(COMPOSED)))
def test_transforms_compose(index: int) -> None:
    call = COMPOSED[index]
    same(call(func, Made(pydl.tensor)), call(tf, Made(torch.tensor)), 1e-9)


def test_against_jax() -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    their = lambda x: jnp.sum(jnp.tanh(W @ x) ** 3)  # noqa: E731
    mine = lambda x: ((pydl.tensor(W) @ x).tanh() ** 3).sum()  # noqa: E731
    x = pydl.tensor(X)
    np.testing.assert_allclose(func.hessian(mine)(x).numpy(), jax.hessian(their)(X), rtol=1e-9, atol=1e-12)
    product = jax.jvp(jax.grad(their), (X,), (X + 1,))[1]
    np.testing.assert_allclose(func.hvp(mine, (x,), (x + 1,))[1][0].numpy(), product, rtol=1e-9, atol=1e-12)


def test_hvp_is_the_difference_of_gradients() -> None:
    x, v, eps = pydl.tensor(X), pydl.tensor(X[::-1].copy()), 1e-5
    value, (product,) = func.hvp(wave, (x,), (v,))
    slope = func.grad(wave)
    expected = (slope(x + eps * v) - slope(x - eps * v)) / (2 * eps)
    assert value.item() == wave(x).item()
    np.testing.assert_allclose(product.numpy(), expected.numpy(), atol=1e-8)


def test_hvp_of_trees_and_aux() -> None:
    f = lambda p: ((p["a"] ** 3).sum() * p["b"].sum(), p["a"])  # noqa: E731
    p = {"a": pydl.tensor(X), "b": pydl.tensor(X + 2)}
    _, (made,), aux = func.hvp(f, (p,), (p,), has_aux=True)
    s = (X + 2).sum()
    np.testing.assert_allclose(made["a"].numpy(), 6 * X * s * X + 3 * X**2 * s)
    np.testing.assert_allclose(made["b"].numpy(), np.full(5, (3 * X**3).sum()))
    np.testing.assert_array_equal(aux.numpy(), X)


def test_results_are_recorded_only_where_something_outside_is() -> None:
    x = pydl.tensor(X)
    p = pydl.tensor(X, requires_grad=True)
    assert not func.grad(wave)(x).requires_grad
    assert not func.grad(lambda x: func.grad(wave)(x * 2).sum())(x).requires_grad
    g = func.grad(lambda x: (x * x * p).sum())(x)
    assert g.requires_grad
    np.testing.assert_allclose(pydl.autograd.grad(g.sum(), p)[0].numpy(), 2 * X)
    g = func.grad(lambda y: (y**3).sum())(p)
    np.testing.assert_allclose(pydl.autograd.grad(g.sum(), p)[0].numpy(), 6 * X)
    with pydl.no_grad():
        assert not func.grad(lambda y: (y**3).sum())(p).requires_grad
        np.testing.assert_allclose(func.grad(lambda y: (y**3).sum())(p).numpy(), 3 * X**2)
    assert x.grad is None and p.grad is None and not x.requires_grad

    def partly_constant(x: pydl.Tensor) -> pydl.Tensor:
        with pydl.no_grad():
            c = x * 1
        return (x * c).sum()

    np.testing.assert_allclose(func.grad(partly_constant)(x).numpy(), X)


def test_module_hessian_by_functional_call() -> None:
    ours_net, theirs_net = nn.Linear(3, 2).double(), torch.nn.Linear(3, 2).double()
    ours_net.load_state_dict({k: v.numpy() for k, v in theirs_net.state_dict().items()})
    x = np.random.default_rng(1).standard_normal((4, 3))
    f = lambda p: (func.functional_call(ours_net, p, (pydl.tensor(x),)).tanh() ** 2).sum()  # noqa: E731
    g = lambda p: (tf.functional_call(theirs_net, p, (torch.tensor(x),)).tanh() ** 2).sum()  # noqa: E731
    mine = {k: v.detach() for k, v in ours_net.named_parameters()}
    other = {k: v.detach() for k, v in theirs_net.named_parameters()}
    same(func.hessian(f)(mine), tf.hessian(g)(other), 1e-9)


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: func.grad(lambda x: x)(pydl.ones(2)),
        ShapeError,
        "grad: the function returned pydl.float32 of shape (2,)",
    ),
    (lambda: func.grad(lambda x: 1.0)(pydl.ones(2)), ArgumentError, "must return a tensor, got float"),
    (lambda: func.grad(lambda x: x.sum())(1.0), DtypeError, "expected tensors to differentiate at, got float"),
    (lambda: func.grad(lambda x: x.sum())(pydl.arange(3)), DtypeError, "only floating tensors"),
    (lambda: func.grad(lambda x: x.sum(), argnums=1)(pydl.ones(2)), ArgumentError, "do not fit 1 positional"),
    (lambda: func.grad(lambda x: x.sum(), argnums="a")(pydl.ones(2)), ArgumentError, "argnums must be"),  # type: ignore[arg-type]
    (lambda: func.grad(lambda x: x.sum(), argnums=(0, -1))(pydl.ones(2)), ArgumentError, "twice"),
    (lambda: func.grad(lambda x: x.sum(), has_aux=True)(pydl.ones(2)), ArgumentError, "(output, aux)"),
    (lambda: func.vjp(lambda x: x), ArgumentError, "at least one primal"),
    (lambda: func.vjp(lambda x: x, pydl.ones(2))[1](pydl.ones(3)), ShapeError, "cotangent (3,) does not match (2,)"),
    (lambda: func.vjp(lambda x: (x, x), pydl.ones(2))[1](pydl.ones(2)), ArgumentError, "expected tuple(*, *)"),
    (lambda: func.jvp(lambda x: x, pydl.ones(2), pydl.ones(2)), ArgumentError, "primals must be a tuple"),
    (lambda: func.jvp(lambda x: x, (pydl.ones(2),), (pydl.ones(3),)), ShapeError, "tangent (3,) does not match (2,)"),
    (lambda: func.jvp(lambda x: pydl.ones(2), (pydl.ones(2),), (pydl.ones(2),), strict=True), AutogradError, "depend"),
    (lambda: func.jvp(lambda x: "a", (pydl.ones(2),), (pydl.ones(2),)), DtypeError, "must return tensors, got str"),
    (lambda: func.hvp(lambda x: x, (pydl.ones(2),), (pydl.ones(2),)), ShapeError, "hvp: the function returned"),
    (lambda: func.jacrev(lambda x: x, chunk_size=0), ArgumentError, "chunk_size"),
    (lambda: func.linearize(lambda: 1), ArgumentError, "at least one primal"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


@pytest.mark.parametrize("size", [0, 1])
def test_jacobian_of_empty_and_0d(size: int) -> None:
    x = np.ones((size, 2))
    for way in (func.jacrev, func.jacfwd):
        made = way(lambda x: x.sum(1))(pydl.tensor(x))
        assert made.shape == (size, size, 2)
    assert func.jacrev(lambda x: x * x)(pydl.tensor(3.0)).item() == 6
    assert func.jacfwd(lambda x: x * x)(pydl.tensor(3.0)).item() == 6
