"""checkpoint: the same gradients with less memory."""

import gc
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.autograd import checkpoint, grad, gradcheck, gradgradcheck


def leaf(*shape: int, seed: int = 0) -> pydl.Tensor:
    return pydl.tensor(np.random.default_rng(seed).standard_normal(shape)).requires_grad_()


def same(function: Any, leaves: list[pydl.Tensor]) -> None:
    """Gradients with and without, bit by bit, and the second ones."""
    found = []
    for how in (lambda *a: function(*a), lambda *a: checkpoint(function, *a)):
        pydl.manual_seed(3)
        first = grad(how(*leaves[:1]).sum(), leaves, create_graph=True)
        total = sum((g * g).sum() for g in first)
        found.append([g.detach().numpy() for g in (*first, *grad(total, leaves, allow_unused=True)) if g is not None])
    assert len(found[0]) == len(found[1])
    for plain, again in zip(*found, strict=True):
        np.testing.assert_allclose(again, plain, rtol=1e-12, atol=1e-14)


def test_argument_and_captured_leaf() -> None:
    x, w = leaf(4, 3), leaf(3, 3, seed=1)
    same(lambda x: pydl.tanh(x @ w) @ w, [x, w])


def test_dropout_draws_the_same_mask() -> None:
    x, w = leaf(20, 3), leaf(3, 3, seed=1)
    same(lambda x: pydl.dropout(pydl.tanh(x @ w), 0.5), [x, w])
    before = pydl.get_rng_state()
    y = checkpoint(lambda x: pydl.dropout(x, 0.5), x).sum()
    after = pydl.get_rng_state()
    y.backward()
    assert not pydl.equal(before, after) and pydl.equal(pydl.get_rng_state(), after)


def test_captured_result() -> None:
    """A closure over a result whose own graph others use too; the leaf behind it is captured as well."""
    x, w = leaf(4, 3), leaf(3, 3, seed=1)
    h = pydl.sin(w)
    function = lambda x: pydl.tanh(x @ h) @ w  # noqa: E731
    plain = grad((function(x) + h.sum()).sum(), [x, w], retain_graph=True)
    again = grad((checkpoint(function, x) + h.sum()).sum(), [x, w], retain_graph=True)
    for p, q in zip(plain, again, strict=True):
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=1e-12)
    h.sum().backward()  # was not freed on the way


def test_keyword_tensors_and_results() -> None:
    x, w = leaf(4, 3), leaf(3, 3, seed=1)
    y = checkpoint(lambda x, *, w, k: (x @ w, k, x * 2), x, w=w * 1.0, k=7)
    assert y[1] == 7
    (y[0].sum() + y[2].sum()).backward()
    np.testing.assert_allclose(w.grad.numpy(), np.repeat(x.detach().numpy().sum(0)[:, None], 3, 1), rtol=1e-12)
    one = checkpoint(lambda x: (x * 2,), x)
    assert isinstance(one, tuple) and len(one) == 1


def test_nested() -> None:
    x, w = leaf(4, 3), leaf(3, 3, seed=1)
    same(lambda x: checkpoint(lambda h: pydl.tanh(checkpoint(pydl.sin, h) @ w), x * 2) @ w, [x, w])


def test_differences() -> None:
    x, w = leaf(2, 3), leaf(3, 2, seed=1)
    function = lambda x, w: checkpoint(lambda a: pydl.tanh(a @ w), x)  # noqa: E731
    assert gradcheck(function, (x, w)) and gradgradcheck(function, (x, w))


def test_without_gradients() -> None:
    x = leaf(3)
    with pydl.no_grad():
        assert not checkpoint(pydl.sin, x).requires_grad
    assert not checkpoint(pydl.sin, x.detach()).requires_grad


def test_failing_recomputation_leaves_the_generator_alone() -> None:
    calls: list[int] = []

    def function(x: pydl.Tensor) -> pydl.Tensor:
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError
        return pydl.dropout(x, 0.5)

    y = checkpoint(function, leaf(3)).sum()
    state = pydl.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        y.backward()
    assert pydl.equal(pydl.get_rng_state(), state) and pydl.is_grad_enabled()


def test_memory() -> None:
    """Twelve layers in four segments: the peak is about half (0.493; a thread's first scratch memory may add to it)."""
    ws = [leaf(64, 64, seed=i) for i in range(12)]
    x = leaf(512, 64)

    def segment(h: pydl.Tensor, first: int) -> pydl.Tensor:
        for w in ws[first : first + 3]:
            h = pydl.tanh(pydl.sin(h @ w) * 0.5)
        return h

    def peak(wrap: Any) -> int:
        gc.collect()  # what other tests left is not freed half-way
        pydl.reset_peak_memory_stats()
        start = pydl.memory_stats()["active"]
        h = x
        for first in range(0, 12, 3):
            h = wrap(segment, h, first)
        h.sum().backward()
        for p in (x, *ws):
            p.grad = None
        return pydl.memory_stats()["peak"] - start

    plain, saving = peak(lambda f, *a: f(*a)), peak(checkpoint)
    assert saving < 0.55 * plain, (saving, plain)
