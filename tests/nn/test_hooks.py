"""Hooks: order, replacement, removal, as in PyTorch."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import DtypeError


def record(package: Any, linear: Any, x: Any) -> list[str]:
    """The order in which the hooks of a Sequential run in one forward and backward."""
    log: list[str] = []
    net = package.Sequential(linear, package.Tanh())
    for name, m in (("net", net), ("0", net[0]), ("1", net[1])):
        m.register_forward_pre_hook(lambda m, a, n=name: log.append(f"pre {n} {len(a)}"))
        m.register_forward_hook(lambda m, a, y, n=name: log.append(f"post {n}"))
        m.register_forward_hook(lambda m, a, y, n=name: log.append(f"early {n}"), prepend=True)
        m.register_full_backward_pre_hook(lambda m, g, n=name: log.append(f"back pre {n} {len(g)}"))
        m.register_full_backward_hook(
            lambda m, gi, go, n=name: log.append(f"back {n} {[g is not None for g in gi]} {len(go)}")
        )
    net(x).sum().backward()
    return log


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("wants", [False, True])
def test_order_is_that_of_torch(wants: bool) -> None:
    torch = pytest.importorskip("torch")
    theirs = record(torch.nn, torch.nn.Linear(2, 3), torch.ones(1, 2, requires_grad=wants))
    ours = record(nn, nn.Linear(2, 3), pydl.ones(1, 2).requires_grad_(wants))
    assert ours == theirs


def test_what_hooks_return_replaces() -> None:
    m = nn.Identity()
    m.register_forward_pre_hook(lambda m, a: a[0] + 1)
    m.register_forward_hook(lambda m, a, y: y * 10)
    assert m(pydl.tensor([1.0])).tolist() == [20]
    m.register_forward_pre_hook(lambda m, a, k: ((a[0] * 3,), k), with_kwargs=True)
    m.register_forward_hook(lambda m, a, k, y: y + len(k), with_kwargs=True)
    assert m(pydl.tensor([1.0])).tolist() == [60]


def test_keyword_arguments_reach_hooks() -> None:
    class Scale(nn.Module):
        def forward(self, x: pydl.Tensor, by: float = 1.0) -> pydl.Tensor:
            return x * by

    m = Scale()
    m.register_forward_pre_hook(lambda m, a, k: (a, {"by": k["by"] + 1}), with_kwargs=True)
    assert m(pydl.tensor([2.0]), by=2.0).tolist() == [6]
    m.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
    with pytest.raises(DtypeError, match="None or \\(args, kwargs\\)"):
        m(pydl.tensor([2.0]), by=2.0)


def test_removal() -> None:
    m, log = nn.Identity(), []
    first = m.register_forward_hook(lambda *a: log.append("first"))
    with m.register_forward_hook(lambda *a: log.append("second")):
        m(pydl.ones(1))
    m(pydl.ones(1))
    first.remove()
    m(pydl.ones(1))
    assert log == ["first", "second", "first"]


def test_always_called() -> None:
    class Broken(nn.Module):
        def forward(self, x: pydl.Tensor) -> pydl.Tensor:
            raise ZeroDivisionError

    m, log = Broken(), []
    m.register_forward_hook(lambda m, a, y: log.append(("always", y)), always_call=True)
    m.register_forward_hook(lambda m, a, y: log.append(("sometimes", y)))
    with pytest.raises(ZeroDivisionError):
        m(pydl.ones(1))
    assert log == [("always", None)]


@pytest.mark.parametrize("both", [True, False])
def test_gradients_that_backward_hooks_see(both: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a, b, w = (rng.standard_normal((3, 4)) for _ in range(3))
    seen: dict[str, list[Any]] = {}

    def run(package: Any, make: Any, name: str) -> Any:
        class Product(package.Module):
            def forward(self, x: Any, y: Any) -> Any:
                return x * y, x + y

        m, xs = Product(), (make(a).requires_grad_(), make(b))
        m.register_full_backward_hook(lambda m, gi, go: seen.__setitem__(name, [*gi, *go]))
        p, q = m(*xs)
        ((p * make(w) + q) if both else p * make(w)).sum().backward()
        return xs[0].grad

    ours, theirs = run(nn, pydl.tensor, "ours"), run(torch.nn, torch.tensor, "theirs")
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-12)
    assert [g is None for g in seen["ours"]] == [g is None for g in seen["theirs"]] == [False, False, False, not both]
    for g, e in zip(seen["ours"], seen["theirs"], strict=True):
        if e is not None:
            np.testing.assert_allclose(g.numpy(), e.numpy(), atol=1e-12)


def test_backward_hooks_replace_gradients() -> None:
    m = nn.Identity()
    m.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
    m.register_full_backward_hook(lambda m, gi, go: (gi[0] * 5,))
    x = pydl.ones(2).requires_grad_()
    m(x).sum().backward()
    assert x.grad.tolist() == [10, 10]
    m.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    with pytest.raises(DtypeError, match="returned 2 gradients: expected 1"):
        m(x).sum().backward()


def test_second_derivatives_pass_through_hooks() -> None:
    m = nn.Tanh()
    m.register_full_backward_hook(lambda m, gi, go: None)
    x = pydl.tensor([0.3], dtype=pydl.float64).requires_grad_()
    (g,) = pydl.autograd.grad(m(x).sum(), x, create_graph=True)
    (h,) = pydl.autograd.grad(g.sum(), x)
    t = np.tanh(0.3)
    assert abs(h.item() + 2 * t * (1 - t * t)) < 1e-14
