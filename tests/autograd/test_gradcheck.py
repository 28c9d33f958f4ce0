"""gradcheck finds wrong rules; detect_anomaly finds the first bad value; and the facts of backpropagation."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl.autograd import (
    Function,
    GradcheckError,
    detect_anomaly,
    gradcheck,
    gradgradcheck,
    set_detect_anomaly,
)
from pydl.autograd.op import Op
from pydl.errors import ArgumentError, AutogradError


def leaf(values: Any) -> pydl.Tensor:
    return pydl.tensor(np.asarray(values, dtype=np.float64)).requires_grad_()


def normal(*shape: int, seed: int = 0) -> pydl.Tensor:
    return leaf(np.random.default_rng(seed).standard_normal(shape))


# ---------------------------------------------------------------- gradcheck


def cubic(first: float, second: float) -> type[Function]:
    """x^3 with factors on its first and second derivative: 1 is right."""

    class Slope(Function):
        @staticmethod
        def forward(ctx: Any, g: pydl.Tensor, x: pydl.Tensor) -> pydl.Tensor:
            ctx.save_for_backward(g, x)
            return g * 3 * x * x * first

        @staticmethod
        def backward(ctx: Any, h: pydl.Tensor) -> Any:
            g, x = ctx.saved_tensors
            return h * 3 * x * x * first, h * g * 6 * x * first * second

    class Cubic(Function):
        @staticmethod
        def forward(ctx: Any, x: pydl.Tensor) -> pydl.Tensor:
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor) -> pydl.Tensor:
            return Slope.apply(g, ctx.saved_tensors[0])

    return Cubic


@pytest.mark.parametrize("fast", [False, True])
def test_wrong_rule_is_found(fast: bool) -> None:
    x = normal(2, 3)
    assert gradcheck(cubic(1, 1).apply, x, fast_mode=fast)
    assert gradgradcheck(cubic(1, 1).apply, x, fast_mode=fast)
    with pytest.raises(GradcheckError, match="by differences"):
        gradcheck(cubic(1.01, 1).apply, x, fast_mode=fast)
    assert gradcheck(cubic(1, 1.01).apply, x, fast_mode=fast)
    with pytest.raises(GradcheckError, match="by differences"):
        gradgradcheck(cubic(1, 1.01).apply, x, fast_mode=fast)
    assert gradcheck(cubic(2, 1).apply, x, raise_exception=False, fast_mode=fast) is False


def test_forgotten_gradient_is_found() -> None:
    """A detach on the way: a gradient of 0, or a part of it."""
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: x.detach() * 2, normal(3))
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: x * x.detach(), normal(3))
    with pytest.raises(GradcheckError):
        gradgradcheck(lambda x: x * x * x.detach(), normal(3))


def test_gradcheck_wants_float64_and_gradients() -> None:
    with pytest.raises(ArgumentError, match="float64"):
        gradcheck(pydl.exp, pydl.ones(2, requires_grad=True))
    with pytest.raises(ArgumentError, match="no input"):
        gradcheck(pydl.exp, pydl.ones(2))


def test_gradcheck_of_several_in_and_outputs() -> None:
    a, b, c = normal(2, 3), normal(3, 2, seed=1), pydl.ones(2, dtype=pydl.float64)
    assert gradcheck(lambda a, b, c: (a @ b + c, a.argmax(), a.exp()), (a, b, c))


# ---------------------------------------------------------------- anomalies


def untouched() -> bool:
    return not any(hasattr(op.__dict__.get(name), "plain") for op in Op.subclasses for name in ("kernel", "vjp"))


def test_names_the_first_operation_forward() -> None:
    with pytest.raises(AutogradError, match="Log made a NaN from finite inputs"), detect_anomaly():
        pydl.exp(pydl.log(pydl.tensor([-1.0])) * 2)
    assert untouched()


def test_names_the_rule_backward() -> None:
    x = pydl.zeros(2, requires_grad=True)
    with pytest.raises(AutogradError, match="in the gradient of Sqrt"), detect_anomaly():
        (pydl.sqrt(x * 1.0) * 2.0).sum().backward()
    assert untouched()


def test_bad_input_is_blamed_on_nobody() -> None:
    with pytest.raises(AutogradError, match="Mul was given a NaN"), detect_anomaly():
        _ = pydl.tensor([float("nan")]) * 2.0
    assert untouched()


def test_infinities_of_masks_pass() -> None:
    """softmax(where(mask, -inf, scores)) is no anomaly; 1/0 is."""
    scores = normal(2, 3)
    mask = pydl.tensor([[True, False, False], [False, True, False]])
    with detect_anomaly():
        scores.masked_fill(mask, float("-inf")).softmax(-1).sum().backward()
        with pytest.raises(AutogradError, match="made an infinity"):
            pydl.ones(2) / pydl.zeros(2)
    assert untouched()


def test_nested_and_global() -> None:
    with detect_anomaly():
        with detect_anomaly():
            pass
        assert not untouched()
    assert untouched()
    set_detect_anomaly(True)
    try:
        with detect_anomaly():
            pass
        assert not untouched()
    finally:
        set_detect_anomaly(False)
    assert untouched()


def test_right_programs_run_within() -> None:
    """The same numbers with and without."""
    x = normal(4, 3)
    expected = pydl.autograd.grad(pydl.tanh(x).prod(1).sum(), x)[0]
    with detect_anomaly():
        (found,) = pydl.autograd.grad(pydl.tanh(x).prod(1).sum(), x)
        assert gradcheck(cubic(1, 1).apply, x)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


# ---------------------------------------------------------------- backpropagation by hand


def test_three_layers_equal_the_hand_formulas() -> None:
    """delta_l = (W_{l+1}^T delta_{l+1}) * s'(z_l), dW_l = delta_l h_{l-1}^T, to 1e-12."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((4, 5)), rng.standard_normal((2, 5))
    shapes = [(6, 4), (3, 6), (2, 3)]
    ws = [rng.standard_normal(s) for s in shapes]
    bs = [rng.standard_normal((s[0], 1)) for s in shapes]
    h1 = 1 / (1 + np.exp(-(ws[0] @ x + bs[0])))
    z2 = ws[1] @ h1 + bs[1]
    h2 = np.maximum(z2, 0)
    y = ws[2] @ h2 + bs[2]
    d3 = 2 * (y - t)
    d2 = (ws[2].T @ d3) * (z2 > 0)
    d1 = (ws[1].T @ d2) * h1 * (1 - h1)
    by_hand = [d1 @ x.T, d2 @ h1.T, d3 @ h2.T, *[d.sum(1, keepdims=True) for d in (d1, d2, d3)], ws[0].T @ d1]

    pw, pb, px = [leaf(w) for w in ws], [leaf(b) for b in bs], leaf(x)
    out = pw[2] @ pydl.relu(pw[1] @ pydl.sigmoid(pw[0] @ px + pb[0]) + pb[1]) + pb[2]
    ((out - pydl.tensor(t)) ** 2).sum().backward()
    for p, expected in zip([*pw, *pb, px], by_hand, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_relu_passes_where_the_input_is_positive() -> None:
    x = leaf([-2.0, -0.0, 0.0, 1e-300, 3.0])
    pydl.relu(x).backward(leaf([1.0, 2.0, 3.0, 4.0, 5.0]).detach())
    assert x.grad.tolist() == [0.0, 0.0, 0.0, 4.0, 5.0]


def test_what_is_used_twice_adds_up() -> None:
    """y = f(x) g(x): the product rule is the sum over both ways."""
    x = leaf([0.7])
    h = x * x
    (pydl.sin(h) * pydl.exp(h) + h).sum().backward()
    v = 0.49
    expected = (np.cos(v) * np.exp(v) + np.sin(v) * np.exp(v) + 1) * 2 * 0.7
    np.testing.assert_allclose(x.grad.item(), expected, rtol=1e-14)


UNARY = [
    pydl.tanh,
    pydl.sigmoid,
    pydl.exp,
    pydl.sin,
    lambda x: x * x,
    lambda x: x.softmax(-1),
    lambda x: x.logsumexp(0),
]
BINARY = [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a / (2 + b * b), pydl.maximum, lambda a, b: a - b]


@pytest.mark.parametrize("seed", range(5))
def test_random_graphs(seed: int) -> None:
    """Compositions of random operations on three leaves, first and second order."""
    rng = np.random.default_rng(seed)
    ops = [(rng.integers(len(UNARY) + len(BINARY)), rng.integers(8), rng.integers(8)) for _ in range(8)]

    def graph(*leaves: pydl.Tensor) -> pydl.Tensor:
        values = list(leaves)
        for op, i, j in ops:
            a, b = values[i % len(values)] * 0.5, values[j % len(values)]
            values.append(UNARY[op](a) if op < len(UNARY) else BINARY[op - len(UNARY)](a, b))
        return values[-1] * values[-2] + values[-3]

    leaves = [normal(2, 3, seed=seed), normal(3, seed=seed + 9), normal(2, 1, seed=seed + 99)]
    gradcheck(graph, leaves, rtol=1e-5, atol=1e-7)
    gradgradcheck(graph, leaves, fast_mode=True, rtol=1e-4, atol=1e-6)
