"""Changes in place of views, and of what has views, in a graph: values, first and second gradients as torch's."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from in_both import A, B, both

import pydl
from pydl.autograd import grad
from pydl.errors import AutogradError

torch = pytest.importorskip("torch")

VIEWS: dict[str, Callable[[Any], Any]] = {
    "row": lambda x: x[0],
    "column": lambda x: x[:, 1],
    "part": lambda x: x[1:, ::2],
    "transpose": lambda x: x.t(),
    "flat": lambda x: x.view(-1),
    "reshaped": lambda x: x.reshape(3, 2)[1:],
    "of a view": lambda x: x.t()[1:].t()[1],
    "diagonal": lambda x: x.diagonal(),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "element": lambda x: x[1, 2],
    "squeezed": lambda x: x[:1].squeeze(0),
    "strided": lambda x: x.as_strided((2, 2), (3, 2)),
    "windows": lambda x: x.unfold(1, 1, 2),
    "expanded to its own size": lambda x: x.expand(2, 3),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_changes_what_it_is_a_view_of(name: str) -> None:
    view = VIEWS[name]

    def scaled(lib: Any, a: Any, b: Any) -> Any:
        y = a * 2
        view(y).mul_(3)
        return y * b

    def combined(lib: Any, a: Any, b: Any) -> Any:
        y = a * b
        part = view(y)
        part.mul_(view(b)).add_(1)
        return y.sum(0) * part.sum()

    both(scaled)
    both(combined)


@pytest.mark.parametrize("name", VIEWS)
def test_views_follow_a_change_of_what_they_are_views_of(name: str) -> None:
    view = VIEWS[name]

    def followed(lib: Any, a: Any, b: Any) -> Any:
        y = a * 2
        part, other = view(y), y[1]
        y.mul_(b)
        part.add_(1)
        other.copy_(a[0] * 2)
        return (part * part).sum() * other + y

    both(followed)


def test_augmented_assignment_and_keys() -> None:
    def changed(lib: Any, a: Any, b: Any) -> Any:
        y = a * 2
        row = y[0]
        row += b[1]  # in place, as row is a view
        row *= 3
        y[1:] += b[:1]
        y[1][:2] = b[0, 1:]
        y[b > 1] = a[b > 1] * 3
        y.t()[0] -= b[:, 0]
        y[:, [0, 2]] *= a[:, [1, 2]]
        return y * row.sum()

    both(changed)


def test_a_plain_tensor_joins_the_graph_through_its_view() -> None:
    def collected(lib: Any, a: Any, b: Any) -> Any:
        out = lib.zeros(2, 3, dtype=a.dtype)
        rows = [out[0], out[1]]
        if lib is torch:  # which sees the second row as a leaf
            last = a[1].exp()
            out = lib.stack([a[0] * b[0] + last, last])
            return out * out[0]
        rows[0].copy_(a[0] * b[0])
        rows[1].copy_(a[1].exp())
        rows[0].add_(rows[1])
        return out * rows[0]

    both(collected)


def test_relu_and_loops() -> None:
    def looped(lib: Any, a: Any, b: Any) -> Any:
        y = a * b
        for i in range(1, 3):
            y[:, i].add_(y[:, i - 1] * 0.5)
        z = y * 1
        lib.nn.functional.relu_(y[0])
        lib.nn.functional.leaky_relu_(z.t()[1:], 0.1)
        return y * z

    both(looped)


def test_transposed_results_of_operations() -> None:
    """The root lies in memory column by column: what is a view of it is a copy of its gradient."""

    def turned(lib: Any, a: Any, b: Any) -> Any:
        y = a.t() * b.t()
        flat = y.t().reshape(-1) if lib is torch else y.t().view(6)
        flat[1:4].mul_(b.reshape(-1)[:3])
        return y.t() + flat.reshape(2, 3)

    both(turned)


def test_gradients_of_the_view_itself() -> None:
    for lib in (pydl, torch):
        a = lib.tensor(A, requires_grad=True)
        y = a * 2
        v = y[0]
        v.mul_(3)
        g, h = lib.autograd.grad((y * y).sum() + v.sum(), (y, a), retain_graph=True)
        np.testing.assert_allclose(g.numpy(), 2 * y.detach().numpy() + [[1], [0]])
        np.testing.assert_allclose(h.numpy(), g.numpy() * [[6], [2]])


def test_what_was_read_must_not_change() -> None:
    a = pydl.tensor(A, requires_grad=True)
    y = a * 2
    z = y * y
    y[0].mul_(3)
    with pytest.raises(AutogradError, match="was changed in place after it was used"):
        z.sum().backward()


def test_earlier_uses_keep_their_gradients() -> None:
    def used(lib: Any, a: Any, b: Any) -> Any:
        y = a * 2
        part = y[0]
        early = part + 1, y.sum()
        part.mul_(b[0])
        y.sub_(1)
        return early[0] * early[1] * part + y.sum()

    both(used)


def test_changes_by_none_of_the_graph() -> None:
    a = pydl.tensor(A, requires_grad=True)
    y = a * 2
    part = y[0]
    part.zero_()
    y[1].fill_(5.0)
    assert y.tolist() == [[0, 0, 0], [5, 5, 5]] and part.requires_grad
    assert not grad(y.sum(), a)[0].numpy().any()
    z = pydl.zeros(3)
    w = z[:2]
    w.add_(1)  # nothing to record
    assert not z.requires_grad and not w.requires_grad and z.tolist() == [1, 1, 0]


def test_refused() -> None:
    leaf = pydl.ones(2, 3, requires_grad=True)
    cases: list[tuple[Any, str]] = [
        (lambda: leaf[0].mul_(2), "mul_: a view of a leaf that requires gradients"),
        (lambda: leaf.t().copy_(leaf.t()), "copy_: a view of a leaf"),
        (lambda: leaf[0].__setitem__(1, 2.0), "setitem: a view of a leaf"),
        (lambda: (leaf * 2).unfold(1, 2, 1).mul_(2), "several elements of this view share memory"),
        (lambda: (leaf[:, :1] * 2).expand(2, 3).mul_(2), "several elements of this view share memory"),
    ]
    with pydl.no_grad():
        y = leaf * 2
        hidden = y[0]
    cases.append((lambda: hidden.copy_(leaf[1]), "a view made within pydl.no_grad()"))
    parted = (leaf * 2)[0]
    parted.kin[0].data = pydl.zeros(2, 3)
    cases.append((lambda: parted.mul_(2), "was given other memory"))

    class Same(pydl.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: pydl.Tensor) -> pydl.Tensor:
            return x.detach()

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor) -> pydl.Tensor:
            return g

    base = leaf * 2
    same = Same.apply(base)
    cases.append((lambda: same.mul_(2), "or by a Function"))
    for call, text in cases:
        with pytest.raises(AutogradError) as caught:
            call()
        assert text in str(caught.value)
    assert leaf.tolist() == [[1.0] * 3] * 2


def test_detached_tensors_are_apart() -> None:
    """As in torch: what is detached shares memory, not the graph."""
    a = pydl.tensor(A, requires_grad=True)
    y = a * 2
    d = y.detach()
    y.mul_(3)
    assert not d.requires_grad and d.tolist() == y.tolist()
    np.testing.assert_array_equal(grad(y.sum(), a)[0].numpy(), np.full((2, 3), 6.0))


def test_views_do_not_keep_memory_and_are_forgotten() -> None:
    root = pydl.tensor(B)
    for _ in range(1000):
        root[0]
    assert len(root.kin) <= 64
    kept = [root[0] for _ in range(100)]
    root.copy_(pydl.tensor(A, requires_grad=True) * 2)
    assert all(v.requires_grad for v in kept) and len(root.kin) == 200
    gc.disable()
    try:
        before = pydl.memory_stats()["active"]
        for _ in range(20):
            y = pydl.tensor(A, requires_grad=True) * 2
            v = y[0]
            v.mul_(3)
            (y * v).sum().backward()
            del y, v
        assert pydl.memory_stats()["active"] == before
    finally:
        gc.enable()


def test_functions_of_pydl_func_and_checkpoints() -> None:
    def f(x: pydl.Tensor) -> pydl.Tensor:
        y = x * 2
        y[0].mul_(x[1])
        y[1] += y[0]
        return (y * y).sum()

    a = pydl.tensor(A)
    slope = pydl.func.grad(f)(a)
    t = torch.tensor(A, requires_grad=True)
    y = torch.stack([t[0] * 2 * t[1], t[1] * 2 + t[0] * 2 * t[1]])
    np.testing.assert_allclose(slope.numpy(), torch.autograd.grad((y * y).sum(), t)[0].numpy(), rtol=1e-12)
    lanes = pydl.func.vmap(pydl.func.grad(f))(pydl.tensor(np.stack([A, B])))
    np.testing.assert_allclose(lanes[0].numpy(), slope.numpy(), rtol=1e-12)
    leaf = pydl.tensor(A, requires_grad=True)
    pydl.autograd.checkpoint(f, leaf * 1).backward()
    np.testing.assert_allclose(leaf.grad.numpy(), slope.numpy(), rtol=1e-12)
