"""backward and grad: PyTorch's semantics, accumulation into .grad, and what is noticed when memory changes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.autograd import backward, grad
from pydl.errors import AutogradError, DtypeError, ShapeError

X = np.array([[0.3, -1.2, 2.0], [0.7, 0.1, -0.4]])
W = np.array([[0.5, -0.3], [1.1, 0.2], [-0.7, 0.9]])


def leaf(values: Any) -> pydl.Tensor:
    return pydl.tensor(np.asarray(values, dtype=np.float64)).requires_grad_()


def shares(a: pydl.Tensor, b: pydl.Tensor) -> bool:
    return np.shares_memory(a.detach().numpy(), b.detach().numpy())


# ---------------------------------------------------------------- against PyTorch


def test_backward_equals_torch() -> None:
    """Values of .grad after two walks over graphs that share leaves."""
    torch = pytest.importorskip("torch")
    found = []
    for lib, x, w in ((pydl, leaf(X), leaf(W)), (torch, torch.tensor(X, requires_grad=True), None)):
        if w is None:
            w = torch.tensor(W, requires_grad=True)
        h = lib.tanh(x @ w)
        (h * h).sum().backward(retain_graph=True)
        (h.sum() * x.sum()).backward()
        found.append((np.array(x.grad.tolist()), np.array(w.grad.tolist())))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_third_derivative_equals_torch() -> None:
    """create_graph chains: d3/dx3 of sum(x^3 sin x)."""
    torch = pytest.importorskip("torch")
    found = []
    for lib, g in ((pydl, grad), (torch, torch.autograd.grad)):
        x = leaf(X) if lib is pydl else torch.tensor(X, requires_grad=True)
        y = (x * x * x * lib.sin(x)).sum()
        for _ in range(3):
            (y_x,) = g(y, x, create_graph=True)
            y = y_x.sum()
        found.append(np.array(y_x.tolist()))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_grad_outputs_and_several_outputs() -> None:
    """The gradient of sum_i <g_i, y_i>."""
    x = leaf(X)
    a, b = x * 2, x * x
    ga, gb = pydl.tensor(np.full(X.shape, 3.0)), pydl.tensor(X)
    (g,) = grad([a, b], x, [ga, gb])
    np.testing.assert_allclose(g.numpy(), 6.0 + 2 * X * X, rtol=1e-15)
    (g,) = grad([(x * 2).sum(), x * x], [x], [None, gb])
    np.testing.assert_allclose(g.numpy(), 2.0 + 2 * X * X, rtol=1e-15)


def test_seed_takes_the_dtype_of_the_root() -> None:
    """A float32 gradient of a float64 result gives float64 gradients."""
    x = leaf(X)
    x.backward(pydl.ones(2, 3))
    assert x.grad is not None and x.grad.dtype is pydl.float64


# ---------------------------------------------------------------- flags


def test_graph_is_freed_unless_retained() -> None:
    """A second walk raises; retain_graph allows it; create_graph implies retain_graph."""
    x = leaf(X)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(AutogradError, match="retain_graph"):
        y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * X)
    z = (x * x).sum()
    grad(z, x, create_graph=True)
    grad(z, x)
    with pytest.raises(AutogradError, match="retain_graph"):
        grad(z, x)


def test_grad_leaves_grad_alone() -> None:
    """grad does not touch .grad, neither of its inputs nor of other leaves."""
    x, w = leaf(X), leaf(W)
    grad((x @ w).sum(), x)
    assert x.grad is None and w.grad is None


def test_grad_of_a_result_stops_there() -> None:
    """The rule that made the result does not run and its graph stays usable."""
    x = leaf(X)
    h = pydl.sin(x)
    (g,) = grad((h * h).sum(), h)
    np.testing.assert_allclose(g.numpy(), 2 * np.sin(X))
    h.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos(X))


def test_grad_of_result_and_leaf_together() -> None:
    """Both a result and what lies behind it."""
    x = leaf(X)
    h = pydl.sin(x)
    gh, gx = grad((h * h).sum(), [h, x])
    np.testing.assert_allclose(gh.numpy(), 2 * np.sin(X))
    np.testing.assert_allclose(gx.numpy(), 2 * np.sin(X) * np.cos(X))


def test_unused_inputs() -> None:
    """An error, None or zeros."""
    x, w = leaf(X), leaf(W)
    y = (x * x).sum()
    with pytest.raises(AutogradError, match="allow_unused"):
        grad(y, [x, w], retain_graph=True)
    assert grad(y, [w], allow_unused=True, retain_graph=True) == (None,)
    gx, gw = grad(y, [x, w], materialize_grads=True)
    np.testing.assert_array_equal(gw.numpy(), np.zeros(W.shape))
    np.testing.assert_allclose(gx.numpy(), 2 * X)


def test_inputs_of_backward() -> None:
    """Only these get gradients; a result may be among them; one named twice gets its gradient once."""
    x, w = leaf(X), leaf(W)
    h = x @ w
    (h * h).sum().backward(inputs=[w, w, h])
    assert x.grad is None
    np.testing.assert_allclose(h.grad.numpy(), 2 * X @ W)
    np.testing.assert_allclose(w.grad.numpy(), X.T @ (2 * X @ W))
    with pytest.raises(AutogradError, match="empty"):
        (x * x).sum().backward(inputs=[])
    with pytest.raises(AutogradError, match="does not require"):
        (x * x).sum().backward(inputs=[pydl.ones(2)])


def test_create_graph_puts_a_graph_into_grad() -> None:
    """x.grad can be differentiated."""
    x = leaf(X)
    (x * x * x).sum().backward(create_graph=True)
    (g,) = grad(x.grad.sum(), x)
    np.testing.assert_allclose(g.numpy(), 6 * X)


def test_root_is_a_leaf() -> None:
    """The gradient of a leaf with respect to itself."""
    x = leaf([2.0])
    x.backward()
    assert x.grad.tolist() == [1.0]
    assert grad(x, x)[0].tolist() == [1.0]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: (x * x).backward(), AutogradError, "not one number"),
        (lambda x: pydl.ones(2).sum().backward(), AutogradError, "does not require gradients"),
        (lambda x: (x * x).backward(pydl.ones(3)), ShapeError, r"\(3,\) does not match"),
        (lambda x: backward([x.sum()], [None, None]), AutogradError, "2 gradients for 1"),
        (lambda x: grad(x.sum(), pydl.ones(2)), AutogradError, "does not require gradients"),
        (lambda x: backward(3), DtypeError, "expected tensors, got int"),  # type: ignore[arg-type]
        (lambda x: grad(x.sum(), None), DtypeError, "expected tensors, got NoneType"),  # type: ignore[arg-type]
        (lambda x: (x * x).backward("ones"), DtypeError, "got str"),
        (lambda x: (x * x).backward(np.ones((2, 3))), DtypeError, "tensor"),
    ],
)
def test_errors(call: Callable[[pydl.Tensor], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(leaf(X))


# ---------------------------------------------------------------- .grad belongs to its tensor


def pairs() -> list[Any]:
    """Graphs in which one gradient reaches several places unchanged."""
    return [
        lambda a, b: a + b,
        lambda a, b: a.clone() + b.clone(),
        lambda a, b: a.reshape(6).reshape(2, 3) + b.expand(2, 3),
        lambda a, b: (a + b) + (a + b),
        lambda a, b: pydl.cat([a, b]).chunk(2)[0] + b,
        lambda a, b: pydl.where(a > 0, a, b) + a + b,
    ]


@pytest.mark.parametrize("function", pairs())
def test_gradients_never_share_memory(function: Any) -> None:
    """Neither with each other, nor with the seed, nor with another result's retained gradient."""
    a, b = leaf(X), leaf(X + 1)
    h = a + 0.0
    h.retain_grad()
    y = function(h, b) + function(a, b)
    y.retain_grad()
    seed = pydl.tensor(X * 3)
    y.backward(seed)
    held = [a.grad, b.grad, h.grad, y.grad, seed, a, b]
    for i, p in enumerate(held):
        for q in held[i + 1 :]:
            assert not shares(p, q)


@pytest.mark.parametrize("create_graph", [False, True])
def test_seed_is_not_taken(create_graph: bool) -> None:
    """Changing .grad in place leaves the given gradient alone."""
    x, seed = leaf(X), pydl.tensor(X)
    (x + 0.0).backward(seed, create_graph=create_graph)
    with pydl.no_grad():
        x.grad.zero_()
    np.testing.assert_array_equal(seed.numpy(), X)
    y = leaf(X)
    y.backward(seed, create_graph=create_graph)
    with pydl.no_grad():
        y.grad.zero_()
    np.testing.assert_array_equal(seed.numpy(), X)


def test_grad_accumulates() -> None:
    """Three walks add up."""
    x = leaf(X)
    for _ in range(3):
        (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(X.shape, 6.0))


def test_same_leaf_on_both_sides() -> None:
    """Operations that get one tensor twice add both parts."""
    x = leaf(X)
    (x * x + x - x / x + x @ x.T @ x).sum().backward()
    t = np.ones(X.shape)
    expected = 2 * X + 1 + (t @ X.T @ X + (X @ X.T) @ t + X @ t.T @ X)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def test_broadcast_sums() -> None:
    """A row, a column and a number get the sums over what they were stretched along."""
    row, column, number = leaf([1.0, 2.0, 3.0]), leaf([[1.0], [2.0]]), leaf(2.0)
    (pydl.tensor(X) * row * column * number).sum().backward()
    r, c = np.array([1.0, 2, 3]), np.array([[1.0], [2.0]])
    np.testing.assert_allclose(row.grad.numpy(), (X * c * 2).sum(0))
    np.testing.assert_allclose(column.grad.numpy(), (X * r * 2).sum(1, keepdims=True))
    np.testing.assert_allclose(number.grad.item(), (X * r * c).sum())


# ---------------------------------------------------------------- changes in place


def change_copy(t: pydl.Tensor) -> None:
    t.copy_(0.0)


def change_add(t: pydl.Tensor) -> None:
    t.add_(1.0)


def change_item(t: pydl.Tensor) -> None:
    t[0] = 5.0


def change_list(t: pydl.Tensor) -> None:
    t[pydl.tensor([0, 1])] = 5.0


def change_scale(t: pydl.Tensor) -> None:
    pydl._C.scale([t.array], 0.5)


CHANGES = [change_copy, change_add, change_item, change_list, change_scale]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_input_is_noticed(change: Any) -> None:
    """The rule reads the input."""
    x = leaf(X)
    y = (x * x).sum()
    with pydl.no_grad():
        change(x)
    with pytest.raises(AutogradError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("function", [pydl.exp, pydl.tanh, pydl.sigmoid, pydl.sqrt, lambda x: x.softmax(-1)])
def test_changed_output_is_noticed(change: Any, function: Any) -> None:
    """The rule reads the output, also when it is changed through a view."""
    x = leaf(np.abs(X) + 1)
    h = function(x)
    y = h.sum()
    with pydl.no_grad():
        change(h.detach().reshape(3, 2))
    with pytest.raises(AutogradError, match="changed in place"):
        y.backward()


def test_change_of_what_no_rule_reads_is_allowed() -> None:
    """As an optimizer step between a loss and its gradients with respect to something else."""
    x, bias = leaf(X), leaf([1.0, 2.0, 3.0])
    y = (x * 2.0 + bias).sum()
    with pydl.no_grad():
        bias.add_(1.0)
    y.backward()
    np.testing.assert_array_equal(bias.grad.numpy(), [2.0, 2.0, 2.0])


def test_in_place_of_a_leaf_needs_no_grad() -> None:
    """The graph would not notice: refused while recording."""
    x = leaf(X)
    for change in CHANGES[:4]:
        with pytest.raises(AutogradError):
            change(x)
    np.testing.assert_array_equal(x.detach().numpy(), X)


def test_a_freed_branch_that_is_not_needed_is_no_error() -> None:
    """A result whose own graph is used up is a constant for the others."""
    x, w = leaf(X), leaf(X)
    h = x * x
    h.sum().backward()
    (g,) = grad((h * w).sum(), w)
    np.testing.assert_array_equal(g.numpy(), X * X)
    with pytest.raises(AutogradError, match="retain_graph"):
        grad((h * w).sum(), x, allow_unused=True)
