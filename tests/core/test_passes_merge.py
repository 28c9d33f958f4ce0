"""Launches that have nothing to do with one another run beside each other, with the bits of eager code."""

from collections.abc import Iterator
from typing import Any

import pytest
from recorded import bits, check, normal

import pydl
import pydl.nn.functional as F
from pydl import nn, optim
from pydl.errors import BoundsError
from pydl.replay import passes

Tensor = pydl.Tensor
MERGE = ("merge",)


@pytest.fixture(name="all_sizes")
def fixture_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "MERGED", (0, 1 << 60))


@pytest.fixture(name="threads", params=[1, 2, 3])
def fixture_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = pydl.get_num_threads()
    pydl.set_num_threads(request.param)
    yield request.param
    pydl.set_num_threads(before)


def kernels(plan: Any) -> list[str]:
    return [f"{name} {label}".strip() for name, label, *_ in plan.plan.launches()]


def test_products_of_a_gradient_run_beside_each_other(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "MERGED", (5_000, 60_000))
    w = normal(128, 128, seed=9).requires_grad_()

    def slopes(x: Tensor, g: Tensor) -> Any:
        w.grad = None
        x = x.detach().requires_grad_()
        (F.linear(x, w) * g).sum().backward()
        return x.grad, w.grad

    plan = check(slopes, lambda i: [normal(64, 128, seed=i), normal(64, 128, seed=i + 50)])
    assert "merged gemm gemm" in kernels(plan)
    assert plan.changes["merge"] == 2
    assert "merged gemm gemm" in plan.report() and "merge 2" in plan.report()


def test_small_and_large_launches_stay_alone() -> None:
    """What is over before a second thread wakes up, and what uses threads itself."""
    for n in (32, 400):
        plan = check(lambda x, y: (x @ x, y @ y), lambda i, n=n: [normal(n, n, seed=i), normal(n, n, seed=i + 50)])
        assert plan.changes["merge"] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_products_of_all_dtypes(all_sizes: None, threads: int, dtype: str) -> None:
    kind = getattr(pydl, dtype)
    for n in (5, 33, 96):
        plan = check(
            lambda x, y: (x @ y, y @ x, x @ x, y @ y.t()),
            lambda i, n=n: [normal(n, n, seed=i).to(kind), normal(n, n, seed=i + 50).to(kind)],
            passes=MERGE,
        )
        assert kernels(plan) == ["merged gemm gemm gemm gemm"]


def test_what_depends_on_each_other_stays_in_order(all_sizes: None) -> None:
    state = normal(6, 6, seed=7)

    def chain(x: Tensor) -> Any:
        y = x @ x
        z = y @ x
        state.add_(z)
        return state @ y, state * 2

    states: list[list[bytes]] = [[], []]
    for made, captured in zip(states, (False, True), strict=True):
        state.copy_(normal(6, 6, seed=7))
        run = pydl.capture(chain, passes=MERGE) if captured else chain
        for i in range(5):
            made += [*bits(run(normal(6, 6, seed=i))), bits(state)]
    assert states[0] == states[1]
    names = kernels(run.plans[0])
    assert names[:3] == ["gemm", "gemm", "binary add"] and "merged gemm mul" in names


def test_random_numbers_keep_their_order(all_sizes: None) -> None:
    def draws(x: Tensor) -> Any:
        return F.dropout(x, 0.5), pydl.rand(7), F.dropout(x, 0.3), pydl.randn(7)

    run = pydl.capture(draws, passes=MERGE)
    made = []
    for function in (draws, run):
        pydl.manual_seed(3)
        made.append([bits(function(pydl.ones(40))) for _ in range(5)])
    assert made[0] == made[1]


def test_checks_are_not_passed(all_sizes: None) -> None:
    table, before, after = normal(9, 4), pydl.zeros(3, 4), pydl.zeros(3, 4)

    def function(i: Tensor, x: Tensor) -> Tensor:
        before.add_(x)
        y = table[i]
        after.add_(x)
        return y

    run = pydl.capture(function, passes=MERGE)
    for _ in range(3):
        run(pydl.tensor([0, 1, 8]), pydl.ones(3, 4))
    with pytest.raises(BoundsError):
        run(pydl.tensor([0, 1, 9]), pydl.ones(3, 4))
    assert (before[0, 0].item(), after[0, 0].item()) == (4, 3)


def test_two_networks(all_sizes: None, threads: int) -> None:
    """A generator and a discriminator: all passes together, over some steps."""

    def trained(captured: bool) -> list[bytes]:
        pydl.manual_seed(0)
        make = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 6))
        judge = nn.Sequential(nn.Linear(6, 32), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(32, 1))
        optimizers = [optim.Adam(net.parameters(), 1e-2) for net in (make, judge)]

        def step(noise: Tensor, real: Tensor) -> Any:
            optimizers[1].zero_grad()
            loss = F.softplus(-judge(real)).mean() + F.softplus(judge(make(noise).detach())).mean()
            loss.backward()
            optimizers[1].step()
            optimizers[0].zero_grad()
            other = F.softplus(-judge(make(noise))).mean()
            other.backward()
            optimizers[0].step()
            return loss, other

        run = pydl.capture(step) if captured else step
        made = [bits(run(normal(16, 8, seed=i), normal(16, 6, seed=99 - i))) for i in range(10)]
        if captured:
            assert run.plans[0].changes["merge"] > 10
        return [*made, *bits([*make.parameters(), *judge.parameters()])]

    assert trained(True) == trained(False)
