"""Gradients of a tensor that is sliced many times: put together once, whatever the slices leave out or share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl

Case = tuple[Callable[[Any], Any], tuple[int, ...]]


def _thirds(x: Any) -> Any:
    a, b, c = x.chunk(3, -1)
    return (a * b + c.sin()).sum()


CASES: dict[str, Case] = {
    "chunks of the last axis": (_thirds, (2, 4, 9)),
    "rows": (lambda x: sum((u.sin() * i).sum() for i, u in enumerate(x.unbind(0), 1)), (5, 3)),
    "uneven parts": (lambda x: sum((u.sin() * i).sum() for i, u in enumerate(x.split([1, 4, 2], 1), 1)), (3, 7)),
    "out of order": (lambda x: x[4:].exp().sum() + x[:2].sin().sum() + x[2:4].cos().sum(), (6, 2)),
    "some overlap": (lambda x: (x[1:4].sin() + x[2:5] * x[0:3]).sum(), (6, 2)),
    "some are left out": (lambda x: (x[2].sin() * x[0]).sum(), (4, 3)),
    "one is twice there": (lambda x: (x[:2].sin() * x[:2].cos()).sum() + x[2:].sum(), (4, 3)),
    "every second": (lambda x: x[:, ::2].sin().sum() + x[:, 1::2].cos().sum(), (3, 8)),
    "two axes": (lambda x: (x[:2, :2] * x[2:, 2:]).sum() + (x[:2, 2:] * x[2:, :2].exp()).sum(), (4, 4)),
    "an empty one": (lambda x: x[0:0].sum() + x[0:4].sin().sum() + x[4:].cos().sum(), (7, 3)),
    "beside other uses": (
        lambda x: x[:2].sin().sum() + (x * x).sum() + x[2:].cos().sum() + (x.exp() * x).sum(),
        (4, 3),
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_first_and_second_gradients_are_those_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    f, shape = CASES[name]
    a = np.random.default_rng(0).standard_normal(shape)
    found = []
    for lib in (pydl, torch):
        x = lib.tensor(a, requires_grad=True)
        f(x * 2.0).backward()
        (g,) = lib.autograd.grad((f(x * 1.0) ** 2), x, create_graph=True)
        (second,) = lib.autograd.grad((g * g).sum(), x)
        found.append([x.grad.numpy(), g.detach().numpy(), second.numpy()])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_hooks_and_targets_see_the_whole_gradient() -> None:
    x = pydl.tensor(np.arange(6.0), requires_grad=True)
    y, seen = x * 1.0, []
    y.register_hook(lambda g: seen.append(g.numpy().copy()))
    a, b = y.chunk(2)
    (g,) = pydl.autograd.grad((a * 2).sum() + (b * 3).sum(), y)
    np.testing.assert_array_equal(g.numpy(), [2, 2, 2, 3, 3, 3])
    np.testing.assert_array_equal(seen, [[2, 2, 2, 3, 3, 3]])


def test_anomalies_are_still_found_in_slices() -> None:
    with pydl.autograd.detect_anomaly():
        x = pydl.tensor([0.0, 1.0, 4.0], requires_grad=True)
        a, b = (x * 1.0)[:1], (x * 1.0)[1:]
        (b.sqrt().sum() + a.sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 0.5, 0.25])


@pytest.mark.parametrize(
    "take", [lambda x: x.unbind(0), lambda x: [x[i] for i in range(len(x) - 1)]], ids=["all", "some"]
)
def test_memory_touched_grows_with_the_number_of_slices(take: Callable[[Any], Any]) -> None:
    """Not with its square: twice the rows, at most about twice the bytes."""

    def moved(rows: int) -> int:
        x = pydl.ones(rows, 1024, requires_grad=True)
        loss = sum(row.sum() for row in take(x * 1.0))
        with pydl.profile() as p:
            loss.backward()  # type: ignore[union-attr]
        return sum(e.bytes for e in p.events())

    assert moved(64) < 2.5 * moved(32)
