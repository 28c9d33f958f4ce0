"""Memory of plans: arrays that nobody keeps share it, and launches write over what they read last."""

from collections.abc import Callable
from typing import Any

import pytest
from checks import small_tiles
from recorded import bits, check, integers, normal

import pydl
import pydl.nn.functional as F
from pydl import nn, optim

Tensor = pydl.Tensor
OTHERS = ("dead", "epilogue", "fuse")


def chain(x: Tensor) -> Tensor:
    for _ in range(5):
        x = (x.exp() + 1).log()
    return x.sum()


def test_a_chain_takes_one_block() -> None:
    size = 40 * 40 * 4
    plain, reused = (check(chain, lambda i: [normal(40, 40, seed=i)], passes=p) for p in ((), ("reuse",)))
    assert plain.plan.bytes == 4 * size + 64  # the argument, what x is, a block to read and one to write; the sum
    assert reused.plan.bytes == 2 * size + 64
    assert reused.changes == {"reuse": 14}
    assert f"passes: reuse 14\n{reused.plan.bytes} bytes of memory" in reused.report()


KEPT: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "an argument": lambda x, y: x.exp(),
    "what is returned": lambda x, y: (lambda z: (z, z.exp()))(x + y),
    "what is read again": lambda x, y: (lambda z: z.exp() * z)(x + y),
    "what a view reads again": lambda x, y: (lambda z: z.exp()[1:] * z[:-1])(x + y),
    "rows of it": lambda x, y: (x + y)[0] + y.exp(),
    "its own columns": lambda x, y: (lambda z: z * z.t())(x + y),
    "its own sums": lambda x, y: (lambda z: z - z.sum(1, keepdim=True))(x + y),
    "another dtype": lambda x, y: ((x + y) > 0).float() + (x * y).double().exp().float(),
    "integers for floats": lambda x, y: ((x * 9).int() * 2).float() + 1,
    "flipped": lambda x, y: (x + y).flip(0).exp() * (x * y).t().contiguous(),
    "twice the same": lambda x, y: (lambda z: z * z)(x + y),
    "parts": lambda x, y: (lambda z: z.exp().sum(0) + z)(pydl.cat([x + 1, y.exp()])),
    "columns": lambda x, y: (lambda z: z.exp().sum(0))(pydl.cat([x + 1, y.exp()], 1)),
    "in place": lambda x, y: (lambda z: z.exp_().mul_(y) + z)(x + 1),
    "placed": lambda x, y: pydl.zeros(6, 6).index_add_(0, pydl.arange(6), x * y).exp(),
    "a product": lambda x, y: ((x + 1) @ (y + 1)).tanh() @ y.exp(),
    "a softmax": lambda x, y: F.log_softmax((x * 3).softmax(1) + y, 1) * 2,
    "a norm": lambda x, y: F.layer_norm((x * 3).exp(), (6,)).exp() * y,
    "a check": lambda x, y: (lambda i: (x * 3)[i].exp() + y[i] * 2)((y * 0).long()),
}


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("name", KEPT)
def test_what_is_still_needed_is_kept(name: str, tiles: bool) -> None:
    with small_tiles():
        options = {} if tiles else {"passes": ("reuse",)}
        check(KEPT[name], lambda i: [normal(6, 6, seed=2 * i), normal(6, 6, seed=2 * i + 1)], **options)


def test_a_chain_of_tiles_writes_over_what_it_has_read() -> None:
    """But not where a stage behind the one that writes reads it."""
    x = normal(30, 40)

    def after(x: Tensor) -> Tensor:
        z = x @ x.t() @ x
        return (z * 2 + 1).tanh() @ x.t()

    def between(x: Tensor) -> Tensor:
        z = x @ x.t() @ x
        y = z.exp()
        return y @ (y * z + z).t()

    with small_tiles():
        assert check(after, lambda i: [x]).changes["reuse"] == 1
        assert check(between, lambda i: [x]).changes["reuse"] == 1  # the sum is written where z was, y is not


def trained(make: Callable[[], Any], x: Tensor, y: Tensor, passes: tuple[str, ...]) -> tuple[Any, Any]:
    """Losses and parameters after some steps, and the plan."""
    pydl.manual_seed(0)
    net = make()
    opt = optim.Adam(net.parameters(), 1e-2)

    def step(x: Tensor, y: Tensor) -> Tensor:
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        return loss

    run = pydl.capture(step, passes=passes) if passes else step
    losses = [run(x, y) for _ in range(8)]
    return bits([*losses, *net.parameters(), *[p.grad for p in net.parameters()]]), getattr(run, "plans", [None])[0]


NETS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(9, 60), nn.SiLU(), nn.Linear(60, 9), nn.SiLU(), nn.Linear(9, 4)), (32, 9)),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.GELU(),
            nn.Dropout(0.2), nn.Flatten(), nn.Linear(8 * 4 * 4, 4),
        ),
        (16, 2, 14, 14),
    ),
    "recurrence": (lambda: nn.Sequential(Last(nn.LSTM(6, 9, batch_first=True)), nn.Tanh(), nn.Linear(9, 4)), (8, 5, 6)),
}  # fmt: skip


class Last(nn.Module):
    """The last output of a recurrent layer."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0][:, -1]


@pytest.mark.parametrize("name", NETS)
def test_training_takes_less_memory(name: str) -> None:
    make, shape = NETS[name]
    x, y = normal(*shape), integers(4, shape[0])
    eager, _ = trained(make, x, y, ())
    plain, larger = trained(make, x, y, OTHERS)
    made, smaller = trained(make, x, y, (*OTHERS, "reuse"))
    assert eager == plain == made
    assert smaller.plan.bytes < larger.plan.bytes
    assert smaller.plan.asked == larger.plan.asked


def test_blocks_keep_what_is_held() -> None:
    """The context form: what Python holds stays where it is."""
    x = normal(50, 40)
    with pydl.capture() as plan:
        z = (x + 1).sqrt().abs()
        y = (z.exp() + 1).log()
        total = ((y * 2).exp() + 1).log().sum()
    for i in range(3):
        x.copy_(normal(50, 40, seed=i).abs())
        plan.replay()
        z_ = (x + 1).sqrt().abs()
        y_ = (z_.exp() + 1).log()
        assert bits([z, y, total]) == bits([z_, y_, ((y_ * 2).exp() + 1).log().sum()])


def test_memory_goes_back_to_the_pool() -> None:
    x = normal(300, 300)
    run = pydl.capture(chain, passes=("reuse",))
    run(x)
    before = pydl.memory_stats()["active"]
    run(x)
    (plan,) = run.plans
    grown = pydl.memory_stats()["active"] - before
    assert plan.plan.bytes <= grown <= plan.plan.bytes * 9 / 8 + 4096  # an eighth may be wasted
    del run, plan
    assert pydl.memory_stats()["active"] == before
