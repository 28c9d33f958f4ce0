"""Function: operations of the user's own."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl.autograd import Function, grad, gradcheck, gradgradcheck
from pydl.errors import AutogradError

X = np.array([0.3, -1.2, 2.0])


def leaf(values: Any = X) -> pydl.Tensor:
    return pydl.tensor(np.asarray(values, dtype=np.float64)).requires_grad_()


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx: Any, x: pydl.Tensor) -> pydl.Tensor:
        y = pydl.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: pydl.Tensor) -> pydl.Tensor:
        (y,) = ctx.saved_tensors
        return g * y


class Mixed(Function):
    """Two results with gradients, one integer result, one that is no tensor; an argument without gradient between."""

    @staticmethod
    def forward(ctx: Any, x: pydl.Tensor, power: int, y: pydl.Tensor) -> Any:
        a, b = pydl.exp(x * y), pydl.sin(y) * power
        ctx.save_for_backward(x, y, a)
        ctx.power = power
        return a, b, x.argmax(), "note"

    @staticmethod
    def backward(ctx: Any, ga: pydl.Tensor, gb: pydl.Tensor, *_: Any) -> Any:
        x, y, a = ctx.saved_tensors
        return ga * a * y, None, ga * a * x + gb * pydl.cos(y) * ctx.power


def test_saved_output_differentiates_to_any_order() -> None:
    x = leaf()
    assert gradcheck(Exp.apply, x) and gradgradcheck(Exp.apply, x)
    y = Exp.apply(x).sum()
    for _ in range(4):
        (g,) = grad(y, x, create_graph=True)
        y = g.sum()
    np.testing.assert_allclose(g.detach().numpy(), np.exp(X), rtol=1e-14)


def test_several_outputs() -> None:
    x, y = leaf(), leaf(X[::-1].copy())
    function = lambda x, y: Mixed.apply(x, 3, y)[:2]  # noqa: E731
    assert gradcheck(function, (x, y)) and gradgradcheck(function, (x, y))
    a, b, at, note = Mixed.apply(x, 3, y)
    assert not at.requires_grad and note == "note"
    a.sum().backward(retain_graph=True)  # b is not used
    np.testing.assert_allclose(x.grad.numpy(), np.exp(X * X[::-1]) * X[::-1])
    x.grad = y.grad = None
    b.sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), 3 * np.cos(X[::-1]))
    np.testing.assert_array_equal(x.grad.numpy(), 0 * X)


def test_needs_input_grad_and_types() -> None:
    seen = []

    class F(Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            seen.append((ctx.needs_input_grad, pydl.is_grad_enabled()))
            return args[0] * 1

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor) -> Any:
            return g, None, None

    F.apply(leaf(), 3, pydl.ones(2))
    F.apply(pydl.ones(2), None, leaf())
    assert seen == [((True, False, False), False), ((False, False, True), False)]
    with pydl.no_grad():
        assert not F.apply(leaf(), 3, 4).requires_grad
    assert not F.apply(pydl.ones(2), 3, 4).requires_grad


def test_identity_returns_its_argument() -> None:
    class Reverse(Function):
        @staticmethod
        def forward(ctx: Any, x: pydl.Tensor) -> pydl.Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor) -> pydl.Tensor:
            return -g

    x = leaf()
    y = Reverse.apply(x)
    assert y is not x and y.grad_fn is not None and x.is_leaf
    (y * 2).sum().backward()
    assert x.grad.tolist() == [-2.0] * 3


def test_gradients_of_a_user_rule_do_not_share_memory() -> None:
    """One tensor returned for two arguments, a saved tensor, or the incoming gradient."""

    class F(Function):
        @staticmethod
        def forward(ctx: Any, a: pydl.Tensor, b: pydl.Tensor, c: pydl.Tensor) -> Any:
            ctx.save_for_backward(c)
            return a + b, c * 1

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor, h: pydl.Tensor) -> Any:
            both = g * 2
            return both, both, ctx.saved_tensors[0]

    a, b, c = leaf(), leaf(), leaf()
    seeds = [pydl.tensor(X), pydl.tensor(X)]
    pydl.autograd.backward(F.apply(a, b, c), seeds)
    held = [a.grad, b.grad, c.grad, c, *seeds]
    for i, p in enumerate(held):
        for q in held[i + 1 :]:
            assert not np.shares_memory(p.detach().numpy(), q.detach().numpy())


def test_non_differentiable_and_materialize() -> None:
    given: list[Any] = []

    class F(Function):
        @staticmethod
        def forward(ctx: Any, x: pydl.Tensor) -> Any:
            a, b, c = x * 1, x * 2, x * 3
            ctx.mark_non_differentiable(b)
            ctx.set_materialize_grads(False)
            return a, b, c

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            given.append(grads)
            return grads[0]

    a, b, _ = F.apply(leaf())
    assert not b.requires_grad and b.is_leaf
    a.sum().backward()
    assert given[0][0].tolist() == [1.0] * 3 and given[0][1] is None and given[0][2] is None


def test_changed_saved_tensor_is_noticed() -> None:
    x = leaf()
    y = Exp.apply(x)
    with pydl.no_grad():
        y.detach().add_(1.0)
    with pytest.raises(AutogradError, match="changed in place"):
        y.sum().backward()


def test_changed_argument_that_was_not_saved_is_fine() -> None:
    class Double(Function):
        @staticmethod
        def forward(ctx: Any, x: pydl.Tensor) -> pydl.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor) -> pydl.Tensor:
            return g * 2

    x = leaf()
    y = Double.apply(x).sum()
    with pydl.no_grad():
        x.add_(1.0)
    y.backward()
    assert x.grad.tolist() == [2.0] * 3


def returning(value: Any) -> type[Function]:
    class F(Function):
        @staticmethod
        def forward(ctx: Any, x: pydl.Tensor) -> pydl.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor) -> Any:
            return value(g)

    return F


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda g: (), "0 gradients: expected 1"),
        (lambda g: (g, g), "2 gradients: expected 1"),
        (lambda g: 3.0, "float for argument 0"),
        (lambda g: g.numpy(), "ndarray for argument 0"),
        (lambda g: pydl.ones(4), r"shape \(4,\) for argument 0: expected \(3,\)"),
        (lambda g: g.sum(), r"shape \(\) for argument 0"),
    ],
)
def test_wrong_gradients(value: Any, text: str) -> None:
    with pytest.raises(AutogradError, match=text):
        returning(value).apply(leaf()).sum().backward()


def test_gradient_is_brought_to_shape_and_dtype() -> None:
    """Summed over what broadcasts; converted; None, and more Nones than arguments, are fine."""
    x = leaf()
    returning(lambda g: pydl.ones(2, 3)).apply(x).sum().backward()
    assert x.grad.tolist() == [2.0] * 3 and x.grad.dtype is pydl.float64
    returning(lambda g: (g, None)).apply(leaf()).sum().backward()
    y = leaf()
    returning(lambda g: None).apply(y).sum().backward()
    assert y.grad is None


def test_without_definitions() -> None:
    class Empty(Function):
        pass

    with pytest.raises(AutogradError, match="forward"):
        Empty.apply(leaf())


def test_a_function_within_a_function() -> None:
    """The rule calls another Function; both differentiate again."""

    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: pydl.Tensor) -> pydl.Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor) -> pydl.Tensor:
            return g * 2 * Exp.apply(pydl.log(ctx.saved_tensors[0]))

    x = leaf(np.abs(X))
    assert gradcheck(Square.apply, x) and gradgradcheck(Square.apply, x)
