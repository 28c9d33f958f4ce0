"""The graph as a structure: deep, wide, freed at once, used by many threads."""

import gc
import os
import resource
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import pydl
from pydl.autograd import Function, checkpoint, grad

DEEP = 100_000


def on_small_stack(function: Any) -> None:
    """Runs the function in a thread with 512 KiB of stack, where deep recursion in C would crash."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            failed.append(error)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    if failed:
        raise failed[0]


def test_deep_chain() -> None:
    """Forward, backward, and letting go of a chain with and without walking it."""
    x = pydl.ones(2, requires_grad=True)

    def chain() -> pydl.Tensor:
        y = x
        for _ in range(DEEP):
            y = y + x
        return y

    def run() -> None:
        y = chain()
        y.sum().backward()
        assert x.grad is not None and x.grad.tolist() == [DEEP + 1.0] * 2
        del y
        y = chain()
        del y

    on_small_stack(run)


def test_deep_chain_of_functions() -> None:
    """The nodes of a Function with two results."""

    class Swap(Function):
        @staticmethod
        def forward(ctx: Any, a: pydl.Tensor, b: pydl.Tensor) -> Any:
            return b * 1, a * 1

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor, h: pydl.Tensor) -> Any:
            return h, g

    def run() -> None:
        a, b = pydl.ones(1, requires_grad=True), pydl.ones(1, requires_grad=True)
        x, y = a, b
        for _ in range(10_000):
            x, y = Swap.apply(x, y)
        (x + 2 * y).sum().backward(retain_graph=True)
        assert a.grad is not None and a.grad.tolist() == [1.0]
        del x, y

    on_small_stack(run)


def test_graph_goes_with_its_last_tensor() -> None:
    """No cycles: reference counts free nodes, tensors and memory at once."""
    gc.disable()
    try:
        x = pydl.ones(1000, requires_grad=True)
        start = pydl.memory_stats()["active"]
        y = pydl.tanh(pydl.exp(x) * x).softmax(-1)
        node = weakref.ref(y.grad_fn)
        (g,) = grad(y.sum(), x, create_graph=True)
        assert g.requires_grad
        del g, y
        assert node() is None
        assert pydl.memory_stats()["active"] == start
    finally:
        gc.enable()


class Cube(Function):
    """Saves an input and its output."""

    @staticmethod
    def forward(ctx: Any, x: pydl.Tensor) -> pydl.Tensor:
        y = x * x * x
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: pydl.Tensor) -> pydl.Tensor:
        x, y = ctx.saved_tensors
        return g * 3 * y / x


@pytest.mark.skipif("PYDL_SANITIZED" in os.environ, reason="the sanitizer holds freed memory back")
def test_memory_stays_flat() -> None:
    """Thousands of steps with second derivatives, a Function, hooks and a checkpoint, without the collector."""
    x = pydl.full((64,), 1.5, requires_grad=True)

    def step() -> None:
        h = checkpoint(pydl.tanh, Cube.apply(x)) * x
        h.register_hook(lambda g: g * 2)
        h.retain_grad()
        (g,) = grad(h.sum(), x, create_graph=True)
        (g * g).sum().backward()
        x.grad = None

    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            step()
        start = pydl.memory_stats()["active"]
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(3000):
            step()
        assert pydl.memory_stats()["active"] == start
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 2048  # KiB
        assert gc.collect() < 100
    finally:
        gc.enable()


def test_wide_graph() -> None:
    """One leaf, 20,000 uses."""
    x = pydl.ones(3, requires_grad=True)
    parts = [x * float(i % 7) for i in range(20_000)]
    pydl.stack(parts).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [float(sum(i % 7 for i in range(20_000)))] * 3


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_parameters(threads: int) -> None:
    """Eight threads, each with its own data, on the same parameters: the gradients of a single thread, bit by bit."""
    pydl.set_num_threads(threads)
    rng = np.random.default_rng(0)
    w1 = pydl.tensor(rng.standard_normal((64, 128)).astype("float32")).requires_grad_()
    w2 = pydl.tensor(rng.standard_normal((128, 8)).astype("float32")).requires_grad_()
    data = [pydl.tensor(rng.standard_normal((256, 64)).astype("float32")) for _ in range(8)]

    def work(x: pydl.Tensor) -> list[bytes]:
        out = []
        for _ in range(5):
            loss = (pydl.tanh(x @ w1) @ w2).softmax(-1).square().mean()
            out += [g.numpy().tobytes() for g in grad(loss, [w1, w2])]
        return out

    alone = [work(x) for x in data]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, data)) == alone
    assert w1.grad is None
