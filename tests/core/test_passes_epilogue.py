"""Products that apply the activation behind them, arguments that nobody reads: passes that change no bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorded import bits, check, normal

import pydl
import pydl.nn.functional as F
from pydl import nn
from pydl.errors import ArgumentError

Tensor = pydl.Tensor
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": pydl.relu, "tanh": pydl.tanh, "sigmoid": pydl.sigmoid}
EPILOGUE = ("epilogue",)


def kernels(plan: Any) -> list[str]:
    return [f"{name} {label}".strip() for name, label, *_ in plan.plan.launches()]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_activations_of_products(name: str, dtype: str) -> None:
    """Products of all kinds (one row, small, blocked), with special values among their results."""
    act, kind = ACTIVATIONS[name], getattr(pydl, dtype)
    joined = name == "relu" or dtype in ("float32", "float64")
    for m, k, n in [(1, 7, 5), (1, 64, 200), (3, 1, 17), (33, 20, 31), (90, 130, 70), (130, 300, 65)]:
        special = pydl.tensor(np.resize(np.float32([-0.0, np.inf, -np.inf, np.nan, 1e-30, -100, 100]), n)).to(kind)
        w, b = normal(n, k, seed=1).to(kind), special

        def layer(x: Tensor, w: Tensor = w, b: Tensor = b) -> Tensor:
            return act(F.linear(x, w, b))

        plan = check(layer, lambda i, m=m, k=k: [normal(m, k, seed=i).to(kind)], passes=EPILOGUE)
        assert plan.changes["epilogue"] == int(joined), (m, k, n)
        assert kernels(plan)[0] == (f"gemm {name}" if joined else "gemm")
    assert "epilogue" in plan.report()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_convolutions(name: str) -> None:
    act = ACTIVATIONS[name]
    for conv, shape in [
        (nn.Conv2d(1, 4, 5), (3, 1, 12, 12)), (nn.Conv2d(4, 6, 3, 2, 1), (2, 4, 9, 9)), (nn.Conv1d(3, 5, 1), (2, 3, 9)),
        (nn.Conv2d(32, 40, 3, padding=1), (2, 32, 8, 8)), (nn.Conv2d(8, 8, 3, padding=1, groups=8), (2, 8, 9, 17)),
    ]:  # fmt: skip

        def layer(x: Tensor, conv: Any = conv) -> Tensor:
            return act(conv(x))

        plan = check(layer, lambda i, s=shape: [normal(*s, seed=i)], passes=EPILOGUE)
        assert plan.changes["epilogue"] == 1
        assert f"conv {name}" in kernels(plan)


def test_negative_zeros_of_products() -> None:
    """What underflows from below is -0, of which relu makes 0."""
    for m in (1, 4, 70):
        x, w = pydl.full((m, 4), -1e-30), pydl.full((4, 70), 1e-30)
        plan = check(lambda x, w=w: pydl.relu(x @ w), lambda i, x=x: [x], passes=EPILOGUE)
        assert plan.changes["epilogue"] == 1
    image, kernel = pydl.full((2, 3, 9, 9), -1e-30), pydl.full((4, 3, 3, 3), 1e-30)
    check(lambda x: pydl.relu(F.conv2d(x, kernel)), lambda i: [image], passes=EPILOGUE)


def test_what_is_read_otherwise_stays() -> None:
    """The product's own result is returned or read again; a transposed view is walked as it lies, and joins."""
    w = normal(6, 6, seed=9)
    state = normal(6, 6, seed=8)
    functions: dict[str, Callable[[Tensor], Any]] = {
        "returned": lambda x: (lambda y: (y, pydl.relu(y)))(x @ w),
        "read again": lambda x: (lambda y: pydl.relu(y) + y)(x @ w),
        "a part": lambda x: pydl.relu((x @ w)[1:]),
        "transposed": lambda x: pydl.relu((x @ w).t()),
        "over its operand": lambda x: state.copy_(pydl.relu(x @ state)).clone(),
        "kept by silu": lambda x: F.silu(x @ w),
    }
    for name, function in functions.items():
        start = state.clone()
        eager = [bits(function(normal(6, 6, seed=i))) for i in range(4)]
        state.copy_(start)
        run = pydl.capture(function, passes=EPILOGUE)
        assert [bits(run(normal(6, 6, seed=i))) for i in range(4)] == eager, name
        assert run.plans[0].changes["epilogue"] == int(name in ("over its operand", "transposed")), name


def test_in_place_over_what_the_product_reads() -> None:
    """relu_ of a product into memory that its operand had: it must not be written before it is read."""
    for size in (6, 70):
        w = normal(size, size, seed=3)

        def function(x: Tensor, w: Tensor = w) -> Tensor:
            for _ in range(4):
                x = pydl.relu(x @ w) * 0.1
            return x

        check(function, lambda i, n=size: [normal(n, n, seed=i)])


def test_training_is_the_same_with_each_pass() -> None:
    """Two epochs of a small convolutional net: with every pass alone, and checks between the launches."""
    x, y = normal(12, 1, 12, 12), pydl.tensor(np.arange(12) % 3)
    made = []
    for passes in (None, (), ("dead",), EPILOGUE, ("fuse",), ("bind",), ("dead", "epilogue", "fuse", "bind")):
        pydl.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 20), nn.Sigmoid(),
            nn.Linear(20, 3),
        )  # fmt: skip
        opt = pydl.optim.Adam(net.parameters(), 1e-2)

        def step(x: Tensor, y: Tensor, net: Any = net, opt: Any = opt) -> Tensor:
            opt.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            opt.step()
            return loss

        run = step if passes is None else pydl.capture(step, passes=passes)
        losses = [bits(run(x, y)) for _ in range(12)]
        made.append((losses, bits(list(net.parameters()))))
        if passes is not None and "epilogue" in passes:
            assert (
                run.plans[0].changes["epilogue"] == 3
            )  # two activations, and the relu's gradient behind the pooling's
    assert all(other == made[0] for other in made)


def test_lenet() -> None:
    """Memory of the convolutions' results is used again by the gradients of pooling, which write all of it."""
    x, y = normal(64, 1, 32, 32), pydl.tensor(np.arange(64) % 10)
    made = []
    for captured in (False, True):
        pydl.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 5), nn.ReLU(), nn.MaxPool2d(2)]
        net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(150, 128), nn.ReLU(), nn.Linear(128, 10))
        opt = pydl.optim.SGD(net.parameters(), 1e-2, momentum=0.9)

        def step(net: Any = net, opt: Any = opt) -> Tensor:
            opt.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            opt.step()
            return loss

        run = pydl.capture(step) if captured else step
        made.append(([bits(run()) for _ in range(5)], bits(list(net.parameters()))))
        if captured:
            assert run.plans[0].changes["epilogue"] == 5
    assert made[0] == made[1]


WINDOWS: list[
    tuple[Callable[[Tensor], Tensor], tuple[int, ...], int]
] = [  # whether relu's gradient joins the pooling's
    (lambda x: F.max_pool2d(x, 2), (2, 3, 9, 37), 1),
    (lambda x: F.max_pool2d(x, 2), (1, 2, 8, 64), 1),
    (lambda x: F.max_pool2d(x, 3, 1), (2, 2, 7, 9), 1),
    (lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True), (2, 2, 7, 9), 1),
    (lambda x: F.max_pool1d(x, 3, 2, dilation=2), (2, 2, 19), 1),
    (lambda x: F.max_pool3d(x, 2), (1, 2, 4, 5, 6), 1),
    (lambda x: F.adaptive_max_pool2d(x, (3, 4)), (2, 2, 7, 9), 1),
    (lambda x: F.max_pool2d(x, 2, 1, padding=1, dilation=2), (2, 2, 1, 1), 0),  # windows of padding alone
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_gradients_of_pooled_activations(dtype: str) -> None:
    """Special values in what is pooled and in the gradients."""
    kind = getattr(pydl, dtype)
    for pool, shape, joined in WINDOWS:

        def gradient(x: Tensor, g: Tensor, pool: Any = pool) -> list[Tensor]:
            x = x.detach().requires_grad_()
            p = pool(pydl.relu(x))  # returned: its memory is not used for anything else
            return [p.detach(), pydl.autograd.grad(p, x, g)[0]]

        def inputs(i: int, shape: Any = shape, pool: Any = pool) -> list[Tensor]:
            x = normal(*shape, seed=i).numpy().copy()
            x.reshape(-1)[::7] = np.resize(np.float32([-0.0, 0, np.inf, np.nan, -np.inf]), len(x.reshape(-1)[::7]))
            out = pool(pydl.tensor(x)).shape
            g = normal(*out, seed=i + 50).numpy().copy()
            g.reshape(-1)[::5] = np.resize(np.float32([-0.0, np.nan, np.inf]), len(g.reshape(-1)[::5]))
            return [pydl.tensor(x).to(kind), pydl.tensor(g).to(kind)]

        plan = check(gradient, inputs, passes=EPILOGUE)
        if dtype in ("float32", "float64"):  # in 16 bits, the result may lie where the places were
            assert plan.changes["epilogue"] == joined, (shape, kernels(plan))
        assert ("pool_place relu_grad" in kernels(plan)) == bool(plan.changes["epilogue"])


def test_pooled_activations_that_are_changed_or_read_otherwise() -> None:
    """Maxima that are overwritten before backward no longer tell what relu gave; another array's pooling never did."""

    def overwritten(x: Tensor, p: Tensor) -> None:
        p.detach().copy_(x.detach()[..., ::2, ::2])

    def unpooled(x: Tensor, p: Tensor) -> Tensor:
        _, index = F.max_pool2d(x.detach() * -1, 2, return_indices=True)
        return F.max_unpool2d(p, index, 2)

    cases: dict[str, tuple[Callable[[Tensor, Tensor], Any], int]] = {
        "returned": (lambda x, p: p * 2, 1), "relu's result used twice": (lambda x, p: p.sum() + x.sum(), 0),
        "overwritten": (overwritten, 0), "unpooled": (unpooled, 1),
    }  # fmt: skip
    for name, (use, joined) in cases.items():

        def gradient(x: Tensor, use: Any = use) -> list[Tensor]:
            leaf = x.detach().requires_grad_()
            y = pydl.relu(leaf)
            p = F.max_pool2d(y, 2)
            made = use(y, p)
            out = p if made is None else made
            return [out.detach(), pydl.autograd.grad(out.sum(), leaf)[0]]

        plan = check(gradient, lambda i: [normal(2, 3, 8, 8, seed=i)], passes=EPILOGUE)
        assert plan.changes["epilogue"] == joined, name


def test_probabilities_are_checked_in_replays() -> None:
    target = pydl.tensor([1.0, 0.0, 0.5])
    for reduction in ("mean", "sum", "none"):
        run = pydl.capture(lambda p, r=reduction: F.binary_cross_entropy(p * 1, target, reduction=r))
        for i in range(4):
            p = pydl.tensor([0.1 * i, 0.5, 1.0])
            assert bits(run(p)) == bits(F.binary_cross_entropy(p, target, reduction=reduction))
        with pytest.raises(ArgumentError, match="probabilities in"):
            run(pydl.tensor([0.5, 1.5, 0.5]))
        assert np.isfinite(run(pydl.tensor([0.5, 0.5, 0.5])).numpy()).all()


def test_large_arguments_that_nobody_reads() -> None:
    """They are not copied; one that is handed back is, and one that a check reads."""
    n = 100_000
    run = pydl.capture(lambda x, y: x + 1)
    for i in range(4):
        y = normal(n, seed=i)
        assert bits(run(normal(n, seed=i), y)) == bits(normal(n, seed=i) + 1)
        del y
    assert run.plans[0].changes["bind"] == 3
    back = pydl.capture(lambda x, y: (x + 1, y))
    table = pydl.arange(8)
    looked = pydl.capture(lambda x, i: (table[i], x * 2)[1])
    for i in range(4):
        x, y = normal(n, seed=i), normal(n, seed=i + 9)
        assert bits(back(x, y)) == bits([x + 1, y])
        index = pydl.full((n,), i, dtype=pydl.int64)
        assert bits(looked(x, index)) == bits(x * 2)
    with pytest.raises(IndexError):
        looked(x, pydl.full((n,), 8, dtype=pydl.int64))
