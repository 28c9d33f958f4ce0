"""Captured calls whose large arguments and results are read and written where they lie: the bits of eager code,
whatever shares memory with whatever."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorded import bits, check_flat_memory, normal

import pydl
from pydl import nn, optim
from pydl.errors import BoundsError

Tensor = pydl.Tensor
LARGE = 40_000  # elements: more than is copied


def check(function: Callable[..., Any], draw: Callable[[int], list[Tensor]], bound: int, calls: int = 5) -> Any:
    """The captured function, after calls that gave what eager code gives; `bound` of its arrays are not copied."""
    run = pydl.capture(function)
    for i in range(calls):
        assert bits(run(*draw(i))) == bits(function(*draw(i)))
    (plan,) = run.plans
    assert plan.changes["bind"] == bound
    return run


def test_arguments_and_results() -> None:
    run = check(lambda a, b: (a @ b, a.sum()), lambda i: [normal(300, 300, seed=i), normal(300, 300, seed=9)], 3)
    a, b = normal(300, 300, seed=50), normal(300, 300, seed=51)
    made = [run(a, b)[0] for _ in range(3)]  # three results, none of them written over
    assert len({m.numpy().ctypes.data for m in made}) == 3
    wanted = bits(a @ b)
    del a, b
    gc.collect()
    run(normal(300, 300), normal(300, 300))
    assert [bits(m) for m in made] == [wanted] * 3


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[1:],
        lambda x: x[:-1].flip(0),
        lambda x: x[:1].expand(LARGE),
        lambda x: x.repeat_interleave(2)[:-2][::2],
        lambda x: pydl.from_numpy(np.array(x.numpy())[1:]),
    ],
)
def test_arguments_of_any_layout(view: Callable[[Tensor], Tensor]) -> None:
    run = check(lambda x: x * 2 + 1, lambda i: [normal(LARGE, seed=i)], 2)
    x = normal(LARGE + 1, seed=3)
    assert bits(run(view(x))) == bits(view(x) * 2 + 1)
    assert len(run.plans) == 1


def test_one_tensor_twice_and_the_last_result() -> None:
    run = check(lambda a, b: a * b - 1, lambda i: [normal(LARGE, seed=i), normal(LARGE, seed=i + 1)], 3)
    x = y = normal(LARGE, seed=7)
    for _ in range(4):
        x, y = run(x, x), y * y - 1
        assert bits(x) == bits(y)


def test_arguments_that_the_function_changes_otherwise() -> None:
    """The function's own state as its argument: what is read is what it was when the call began, as with a copy."""
    state = pydl.zeros(LARGE)

    def function(x: Tensor) -> Tensor:
        state.add_(1)
        return x * 2

    run = pydl.capture(function)
    for i in range(3):
        run(normal(LARGE, seed=i))
    assert run.plans[0].changes["bind"] == 2
    for same in (state, state.detach(), pydl.from_numpy(state.numpy()), state.view(200, 200).view(-1)):
        before = state.clone()
        assert bits(run(same)) == bits(before * 2)
        assert bits(state) == bits(before + 1)


def test_gradients_as_arguments_and_as_results() -> None:
    w = normal(200, 200).requires_grad_()

    def function(x: Tensor) -> Any:
        w.grad = None
        (w * x).sum().backward()
        return w.grad, x + 1

    run = pydl.capture(function)
    for i in range(3):
        run(normal(200, 200, seed=i))
    assert run.plans[0].changes["bind"] == 2  # x and x + 1
    x = normal(200, 200, seed=8)
    kept, _ = run(x)
    assert bits(w.grad) == bits(kept) == bits(x)
    assert bits(run(w.grad)[0]) == bits(x)
    assert bits(kept) == bits(x)


def test_results_that_share_memory() -> None:
    def draw(i: int) -> list[Tensor]:
        return [normal(200, 200, seed=i)]

    check(lambda x: (lambda y: (y, y.t(), y[0]))(x * 2), draw, 1)
    check(lambda x: (x, x.t(), x * 2), draw, 1)
    check(lambda x: pydl.cat([x[:100] * 2, x[100:] * 3]), draw, 2)
    check(lambda x: pydl.cat([x * 2, x * 3], dim=1), draw, 1)  # its parts are not dense


def test_an_error_in_the_middle() -> None:
    table = normal(9, 8000)
    run = pydl.capture(lambda x, i: (x * 2, table[i] + x[0, 0]))
    good, bad = pydl.tensor([0, 8, 3, 1, 2]), pydl.tensor([0, 9, 3, 1, 2])
    x = normal(5, 8000)
    for _ in range(3):
        first = run(x, good)
    wanted = bits(first)
    for _ in range(3):
        with pytest.raises(BoundsError):
            run(normal(5, 8000, seed=4), bad)
        assert bits(run(x, good)) == wanted
    assert bits(first) == wanted


def test_values_that_are_checked_on_the_host() -> None:
    """Indices that a check reads: it must see those of every call."""
    run = pydl.capture(lambda x, y: nn.functional.cross_entropy(x, y))
    x = normal(20_000, 3)
    for i in range(4):
        y = pydl.tensor(np.random.default_rng(i).integers(0, 3, 20_000))
        assert bits(run(x, y)) == bits(nn.functional.cross_entropy(x, y))
    with pytest.raises(BoundsError):
        run(x, y + 1)
    assert bits(run(x, y)) == bits(nn.functional.cross_entropy(x, y))


def test_other_shapes_and_dtypes() -> None:
    run = pydl.capture(lambda x: x * 2 + x)
    for i in range(3):
        for x in (normal(LARGE, seed=i), normal(LARGE + 1, seed=i), normal(LARGE, seed=i).double(), normal(3, seed=i)):
            assert bits(run(x)) == bits(x * 2 + x)
    assert len(run.plans) == 4


def test_threads() -> None:
    shared = pydl.capture(lambda x: (x * 2 + 1).tanh())
    wrong: list[int] = []

    def work(number: int) -> None:
        own = pydl.capture(lambda x: x * number)
        for i in range(20):
            x = normal(LARGE, seed=i * 5 + number)
            if bits(shared(x)) != bits((x * 2 + 1).tanh()) or bits(own(x)) != bits(x * number):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_memory_stays_as_it_is() -> None:
    w = normal(300, 300).requires_grad_()
    opt = optim.SGD([w], 0.1)

    @pydl.capture
    def step(x: Tensor) -> Tensor:
        opt.zero_grad()
        y = x @ w
        y.square().mean().backward()
        opt.step()
        return y

    x = normal(300, 300)
    check_flat_memory(lambda: step(x), warm=4, calls=50)
