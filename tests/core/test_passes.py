"""The passes over recorded plans: whatever they remove or join, the bits stay those of eager code."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from checks import small_tiles
from recorded import check
from test_capture import OPTIMIZERS, mlp, net, normal, trained

import pydl
from pydl import nn
from pydl.errors import ArgumentError, BoundsError
from pydl.replay import passes

Tensor = pydl.Tensor


@pytest.fixture(name="small_tiles")
def fixture_small_tiles() -> Iterator[None]:
    with small_tiles():
        yield


def bits(tree: Any) -> list[bytes]:
    trees = tree if isinstance(tree, (tuple, list)) else [tree]
    return [t.detach().contiguous().numpy().tobytes() for t in trees]


def kernels(plan: Any) -> list[tuple[str, str]]:
    return [(name, label) for name, label, *_ in plan.plan.launches()]


def test_a_chain_is_one_launch_without_memory_between() -> None:
    def chain(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return (a * b + c).tanh() * d

    def draw(i: int) -> list[Tensor]:
        return [normal(301, 1000, seed=4 * i + k) for k in range(4)]

    plan = check(chain, draw)
    assert kernels(plan) == [("fused", "mul add tanh mul")]
    assert plan.changes["fuse"] == 4
    plain = check(chain, draw, passes=())
    assert len(kernels(plain)) == 4
    moved = [sum(launch[4] for launch in p.plan.launches()) for p in (plan, plain)]
    assert moved == [5 * 301_000 * 4, 11 * 301_000 * 4]


def test_launches_whose_results_nobody_reads_go() -> None:
    def function(x: Tensor) -> Tensor:
        (x.exp() @ x).sum()
        y = pydl.zeros(40, 40)
        y.copy_(x.sin())
        return y

    plan = check(function, lambda i: [normal(40, 40, seed=i)])
    assert plan.changes["dead"] == 5  # exp, the product, the sum, a zero and the zeros
    assert [label for _, label in kernels(plan)][:1] == ["sin"]
    assert check(function, lambda i: [normal(40, 40, seed=i)], passes=["fuse"]).changes == {"fuse": 0}


def test_names_of_passes() -> None:
    with pytest.raises(ArgumentError, match="there is no pass 'fold'"):
        pydl.capture(lambda x: x, passes=("fold",))


Make = Callable[[Tensor, Tensor, Tensor], Any]
CHAINS: dict[str, Make] = {
    "rows": lambda x, r, c: (x + r).relu() * r - x,
    "columns": lambda x, r, c: (x * c).exp() + r * c,
    "bools": lambda x, r, c: pydl.where((x > r) & (x < 2), x * x, -x),
    "half": lambda x, r, c: ((x.half() * 2 + 1).float() + r, x.bfloat16() * 3),
    "double": lambda x, r, c: (x.double() * 0.1 + 1).float() - x,
    "integers": lambda x, r, c: ((x * 100).int() // 7).float() + r,
    "sines": lambda x, r, c: (x * 1e5).sin() + (x * r).cos() * 2,
    "powers": lambda x, r, c: (x.abs() ** 1.7) * 2 + (x.abs() + 1) ** (r.abs() + 1) + x**2,
    "two results": lambda x, r, c: (lambda y: (y * 2, y + r, y.abs()))((x - 1).tanh()),
    "transposed": lambda x, r, c: (x.t() * 2 + 1).t() * x,
    "flipped": lambda x, r, c: (x * 2).flip(0) + x * 3,
    "sums between": lambda x, r, c: (lambda y: y / y.sum(1, keepdim=True) * 2)((x * 2).exp()),
    "past a product": lambda x, r, c: nn.functional.silu(x @ x.t()) * (x @ x.t() + 1),
    "in place": lambda x, r, c: (x * 2).add_(r).mul_(x).clamp_(-1, 1) + 1,
    "filled": lambda x, r, c: pydl.ones_like(x) * 2 + pydl.full_like(x, 3.0) * x,
    "joined": lambda x, r, c: pydl.cat([x * 2 + r, (x - r) * 3]) + 1,
    "slices": lambda x, r, c: (x * 2 + r)[:, 1:] * (x + 1)[:, :-1] + 2,
    "curves": lambda x, r, c: nn.functional.gelu(x) + nn.functional.elu(x * r) * pydl.lgamma(x.abs() + 1),
    "row sums": lambda x, r, c: (x * r + 1).exp().sum(1),
    "row extremes": lambda x, r, c: (lambda y: (y.amax(1, keepdim=True), y.amin(-1), y.norm(dim=1)))(
        (x * 3 - r).tanh()
    ),
    "all sums": lambda x, r, c: (lambda y: (y.sum(), y * 2, y.double().mean()))(x.sigmoid() + r),
    "both sums": lambda x, r, c: (lambda y: (y.sum(), y.sum(1), y.sum(0), y.sum(0, keepdim=True).sum()))(x.exp() * r),
    "sums of sines": lambda x, r, c: ((x * 1e4).sin().sum(1), (x * 1e4).cos().sum()),
    "counts": lambda x, r, c: ((x > r).sum(1), (x > 1).any(1), (x * 9).int().sum(1), x.half().sum(1)),
    "ternary": lambda x, r, c: pydl.lerp(x, x * 2, r.expand(x.shape)) + pydl.addcmul(x, x, x + 1, value=0.5),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains(small_tiles: None, name: str) -> None:
    for rows, columns in ((7, 9), (3, 200), (65, 64), (1, 64)):
        plan = check(
            CHAINS[name],
            lambda i, s=(rows, columns): [normal(*s, seed=i), normal(s[1], seed=9), normal(s[0], 1, seed=8)],
        )
        assert plan.changes["fuse"] > 0 or name in ("slices", "counts", "sums of sines")


def program(seed: int) -> Callable[..., Any]:
    """Some arithmetic at random: chains, sums, products, layouts, and a state that is changed in place."""

    def run(state: Tensor, *inputs: Tensor) -> list[Tensor]:
        rng = np.random.default_rng(seed)
        pool = [*inputs]
        steps: list[Callable[[Tensor, Tensor], Tensor]] = [
            lambda a, b: a + b,
            lambda a, b: a * b,
            lambda a, b: (a - b).tanh(),
            lambda a, b: pydl.where(a > b, a, b * 0.5),
            lambda a, b: a.sigmoid(),
            lambda a, b: a + b.mean(0),
            lambda a, b: a - b.amax(1, keepdim=True),
            lambda a, b: (a @ b.t() * 0.1) @ b,
            lambda a, b: a.t().contiguous().t() * b,
            lambda a, b: a.flip(1).abs(),
            lambda a, b: (a > 0).float() * b,
            lambda a, b: a.half().float() + b,
            lambda a, b: a.clone().mul_(b),
            lambda a, b: state.add_(a * 0.01) * b,
            lambda a, b: pydl.cat([a[:2], b[2:]]),
        ]
        for _ in range(int(rng.integers(3, 14))):
            a, b = (pool[int(rng.integers(max(0, len(pool) - 4), len(pool)))] for _ in range(2))
            pool.append(steps[int(rng.integers(len(steps)))](a, b))
        return [pool[-1], pool[int(rng.integers(len(pool)))] + 0]

    return run


@pytest.mark.parametrize("first", [0, 20, 40])
def test_programs_at_random(small_tiles: None, first: int) -> None:
    joined = 0
    for seed in range(first, first + 20):
        run = program(seed)
        states = [normal(5, 31, seed=99) for _ in range(3)]
        captured = [pydl.capture(lambda *x, s=s, run=run: run(s, *x), passes=p) for s, p in
                    zip(states[1:], (passes.ALL, ("fuse",)), strict=True)]  # fmt: skip
        for i in range(4):
            inputs = [normal(5, 31, seed=3 * i + k) for k in range(3)]
            wanted = bits(run(states[0], *inputs)) + bits(states[0])
            for function, state in zip(captured, states[1:], strict=True):
                assert bits(function(*inputs)) + bits(state) == wanted, seed
        joined += captured[0].plans[0].changes["fuse"]
    assert joined > 40


@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_training_steps(small_tiles: None, name: str) -> None:
    for build, shape in ((mlp, (8, 4)), (net, (6, 1, 8, 8))):
        eager, replayed = (trained(build, OPTIMIZERS[name], c, shape, steps=12, clip=0.5) for c in (False, True))
        assert eager == replayed


def test_checks_see_what_they_saw(small_tiles: None) -> None:
    """An error in the middle of a plan leaves what was changed before it, and nothing behind it."""
    table, before, after = normal(9, 4), pydl.zeros(9, 4), pydl.zeros(3, 4)

    def function(i: Tensor, x: Tensor) -> Tensor:
        before.add_(x * 2)
        y = table[i] * 2 + 1
        after.add_(y)
        return y

    run = pydl.capture(function)
    for _ in range(3):
        run(pydl.tensor([0, 1, 8]), pydl.ones(9, 4))
    kept = after.tolist()
    with pytest.raises(BoundsError):
        run(pydl.tensor([0, 1, 9]), pydl.ones(9, 4))
    assert before.tolist() == [[8.0] * 4] * 9
    assert after.tolist() == kept


@pytest.mark.parametrize("n", [16384, 16385, 20479, 20480, 20481, 98304, 1_000_003])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_all_at_the_end_of_a_chain(n: int, dtype: str) -> None:
    def draw(i: int) -> list[Tensor]:
        return [normal(n, seed=i).to(getattr(pydl, dtype))]

    plan = check(lambda x: (x * 3 + 1).square().sum(), draw)
    assert kernels(plan) == [("fused", "mul add square sum")]


@pytest.mark.parametrize(("rows", "columns"), [(300, 64), (257, 100), (5, 4096), (4, 8192), (70, 1000), (3, 9000)])
def test_sums_of_rows_at_the_end_of_a_chain(rows: int, columns: int) -> None:
    plan = check(lambda x: (x.exp() - 1).sum(1), lambda i: [normal(rows, columns, seed=i)])
    joined = "exp sub sum" if columns <= passes.TILE else "exp sub"
    assert kernels(plan)[0] == ("fused", joined)


def test_large_results_past_the_caches() -> None:
    """Results of 24 MB and more, of which one is read again in its chain, and one is written in place."""
    n = 6_300_000
    state = pydl.zeros(n)
    before = pydl.zeros(n)

    def function(x: Tensor) -> Any:
        y = x * 2 + 1
        state.add_(y)
        return y, (y - x).abs(), y > 1

    run = pydl.capture(function)
    for i in range(3):
        x = normal(1000, seed=i).repeat(n // 1000)
        made = run(x)
        y = x * 2 + 1
        before.add_(y)
        assert all(bool((a == b).all()) for a, b in zip((*made, state), (y, (y - x).abs(), y > 1, before), strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_share_the_tiles(threads: int) -> None:
    """The tiles are shared among the threads."""
    shape = (700, 3000)
    x, r = normal(*shape), normal(3000, seed=1)
    function = pydl.capture(lambda x: ((x * 2 + r).tanh(), (x - r) * 3, ((x - r) * 3).sum()))
    wanted = bits([(x * 2 + r).tanh(), (x - r) * 3, ((x - r) * 3).sum()])
    before = pydl.get_num_threads()
    pydl.set_num_threads(threads)
    try:
        for _ in range(3):
            assert bits(function(x)) == wanted
    finally:
        pydl.set_num_threads(before)
    assert [name for name, _ in kernels(function.plans[0])] == ["fused"]


def test_gradients_of_a_written_out_optimizer() -> None:
    """An optimizer made of tensor arithmetic: its chains change parameters and state in place."""

    def trained_by(captured: bool) -> list[bytes]:
        w, m = normal(200, 300).requires_grad_(), pydl.zeros(200, 300)

        def step(x: Tensor) -> Tensor:
            w.grad = None
            loss = ((x @ w).tanh() ** 2).mean()
            loss.backward()
            with pydl.no_grad():
                m.mul_(0.9).add_(w.grad * 0.1)
                w.sub_(0.5 * m / (m.abs() + 1e-3))
            return loss

        run = pydl.capture(step) if captured else step
        losses = [run(normal(64, 200, seed=i)) for i in range(6)]
        if captured:
            assert run.plans[0].changes["fuse"] > 4
        return bits([*losses, w, m])

    assert trained_by(True) == trained_by(False)


def test_blocks_keep_what_is_held(small_tiles: None) -> None:
    """The context form: what Python still holds is written by every replay, the rest need not be."""
    x, held = normal(50, 40), []
    with pydl.capture() as plan:
        y = (x * 2 + 1).tanh()
        held.append(y * 3)
        total = (held[0] - x).sum()
        (x.exp() @ x.t()).sum()
    assert plan.changes["fuse"] > 3
    assert plan.changes["dead"] == 3
    for i in range(3):
        x.copy_(normal(50, 40, seed=i))
        plan.replay()
        y_ = (x * 2 + 1).tanh()
        assert bits([y, held[0], total]) == bits([y_, y_ * 3, (y_ * 3 - x).sum()])
    with pydl.capture(passes=()) as plain:
        z = (x * 2 + 1).tanh()
    plain.replay()
    assert bits(z) == bits(y_) and plain.changes == {}
