"""What the tests of recorded functions share: tensors, results as bits, and memory that stays as it is."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np

import pydl


def normal(*shape: int, seed: int = 0) -> pydl.Tensor:
    return pydl.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def integers(high: int, *shape: int, seed: int = 0) -> pydl.Tensor:
    return pydl.tensor(np.random.default_rng(seed).integers(0, high, shape))


def bits(tree: Any) -> Any:
    if isinstance(tree, pydl.Tensor):
        return tree.detach().contiguous().numpy().tobytes()
    return [bits(x) for x in tree] if isinstance(tree, (tuple, list)) else tree


def check(
    function: Callable[..., Any], draw: Callable[[int], list[pydl.Tensor]], calls: int = 6, **options: Any
) -> Any:
    """The plan of a function, which gives what eager code gives."""
    run = pydl.capture(function, **options)
    for i in range(calls):
        inputs = draw(i)
        assert bits(run(*inputs)) == bits(function(*inputs))
    (plan,) = run.plans
    return plan


def scaled_step(w: pydl.Tensor, optimizer: Any, scaler: Any) -> Callable[[pydl.Tensor], pydl.Tensor]:
    """A step of w under loss scaling, of a batch that w is multiplied with. Gives the loss."""

    def step(x: pydl.Tensor) -> pydl.Tensor:
        optimizer.zero_grad()
        loss = (w * x).square().sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    return step


def check_flat_memory(run: Callable[[], Any], warm: int, calls: int) -> None:
    """After some calls to warm up, further ones leave no memory behind."""
    for _ in range(warm):
        run()
    gc.collect()  # what other tests left
    before = pydl.memory_stats()["active"]
    for _ in range(calls):
        run()
    assert pydl.memory_stats()["active"] == before
