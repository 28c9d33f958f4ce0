"""Changes in place of tensors that are part of a graph: values and gradients as torch gives them, or a typed error."""

from typing import Any

import numpy as np
import pytest
from in_both import A, both

import pydl
from pydl.autograd import grad
from pydl.errors import AutogradError, DtypeError

pytest.importorskip("torch")


@pytest.mark.parametrize("name", ["add_", "sub_", "mul_", "div_", "atan2_", "hypot_"])
def test_methods_of_two(name: str) -> None:
    both(lambda lib, a, b: getattr(a * 2, name)(b))
    both(lambda lib, a, b: getattr(a * 2, name)(b[0]))
    both(lambda lib, a, b: getattr(lib.ones(2, 3, dtype=a.dtype), name)(b))


@pytest.mark.parametrize("name", ["exp_", "sigmoid_", "tanh_", "square_", "neg_", "relu_", "reciprocal_", "abs_"])
def test_methods_of_one(name: str) -> None:
    both(lambda lib, a, b: getattr(a * b, name)())


@pytest.mark.parametrize(
    "call",
    [
        lambda lib, x, b: x.clamp_(-0.5, 1.5),
        lambda lib, x, b: x.lerp_(b, 0.25),
        lambda lib, x, b: x.addcmul_(b, b, value=0.5),
        lambda lib, x, b: x.masked_fill_(b > 1, 0.5),
        lambda lib, x, b: x.index_add_(0, lib.tensor([1, 1]), b),
        lambda lib, x, b: x.copy_(b),
        lambda lib, x, b: x.copy_(b[0]),
        lambda lib, x, b: x.pow_(3),
        lambda lib, x, b: x.cumsum_(1),
    ],
)
def test_other_methods(call: Any) -> None:
    both(lambda lib, a, b: call(lib, a * 2, b))


@pytest.mark.parametrize("name", ["elu_", "leaky_relu_", "selu_", "celu_", "relu_", "hardtanh_"])
def test_activations(name: str) -> None:
    both(lambda lib, a, b: getattr(lib.nn.functional, name)(a * b) * b)


def test_a_tensor_by_itself() -> None:
    a = pydl.tensor(A, requires_grad=True)
    x = a * 2
    x.mul_(x).add_(x)
    np.testing.assert_allclose(grad(x.sum(), a)[0].numpy(), 16 * A)


def test_what_is_filled_has_no_gradient() -> None:
    for change in (lambda x: x.zero_(), lambda x: x.fill_(3.0)):
        a = pydl.tensor(A, requires_grad=True)
        x = a * 2
        change(x)
        (g,) = grad((x * a).sum(), a)
        np.testing.assert_array_equal(g.numpy(), x.detach().numpy())


def test_chains_and_uses_before_and_after() -> None:
    def chain(lib: Any, a: Any, b: Any) -> Any:
        x = a * 2
        early = x + 1  # its rule reads no values
        x.mul_(b).add_(a).sigmoid_()
        return x * early

    both(chain)


def test_operators() -> None:
    def combined(lib: Any, a: Any, b: Any) -> Any:
        x = a * 2
        x += b
        x *= b
        x -= 1
        x /= 2
        return x

    both(combined)


@pytest.mark.parametrize("key", [0, (0, 1), slice(1), (slice(None), slice(None, None, 2)), [1, 0], (0, [2, 1])])
def test_parts(key: Any) -> None:
    def changed(lib: Any, a: Any, b: Any) -> Any:
        x = a * 2
        x[key] += b[key]
        x[key] *= b[key]
        x[key] = x[key] + 1
        return x

    both(changed)


def test_masked_parts() -> None:
    def changed(lib: Any, a: Any, b: Any) -> Any:
        x = a * 2
        x[b > 1] *= 3
        x[b > 1] += b[b > 1]
        return x

    both(changed)


def test_what_was_read_must_not_change() -> None:
    for early in (lambda x: x * x, lambda x: x.exp(), lambda x: x.sin()):
        x = pydl.ones(3, requires_grad=True) * 2
        y = early(x)
        (y if y.grad_fn.op.saves_output else x).add_(1)
        with pytest.raises(AutogradError, match="was changed in place after it was used"):
            y.sum().backward()


def test_leaves_are_refused() -> None:
    leaf = pydl.ones(3, requires_grad=True)
    for change in (lambda: leaf.add_(1), lambda: leaf.copy_(pydl.ones(3))):
        with pytest.raises(AutogradError, match="a leaf that requires gradients is changed in place only within"):
            change()
    with pytest.raises(DtypeError, match="does not fit dtype"):
        pydl.tensor([1, 2, 3]).copy_(leaf)


def test_operators_outside_a_graph_overwrite() -> None:
    """As in torch: the optimizer step of a tutorial, and no change of what an operator cannot hold."""
    p = pydl.ones(3, requires_grad=True)
    (p * 3).sum().backward()
    with pydl.no_grad():
        for q in [p]:
            q -= 0.5 * p.grad
    assert p.tolist() == [-0.5] * 3 and p.is_leaf and p.requires_grad
    x = pydl.zeros(2, 3)
    row = x[0]
    row += 1
    row[1] *= 5
    x[:, 2] -= 1
    x[1, [0, 1]] += 2
    assert x.tolist() == [[1, 5, 0], [2, 2, -1]]
    whole = pydl.tensor([1, 6])
    whole //= 2
    whole <<= 1
    assert whole.tolist() == [0, 6] and whole.dtype is pydl.int64
    with pytest.raises(DtypeError, match=r"the result has dtype pydl\.float32: pydl\.int64 cannot hold it"):
        whole += 0.5
    total = 0
    total += pydl.ones(2)
    total += pydl.ones(2)
    assert total.tolist() == [2, 2]
    with pytest.raises(TypeError):
        total += "a"


def test_a_sum_of_losses() -> None:
    """Terms whose rules read their results, as torch allows too."""
    a = pydl.tensor(A, requires_grad=True)
    loss = (a * a).sum()
    loss += (a * 3).sum()
    loss += a.exp().sum()
    np.testing.assert_allclose(grad(loss, a)[0].numpy(), 2 * A + 3 + np.exp(A))
