"""What the tests of single steps train: a small classifier on random batches."""

from typing import Any

import numpy as np

import pydl
from pydl import nn, optim
from pydl.nn import functional as F
from pydl.train import Callback, Trainer


def batches(sizes: list[int], seed: int = 0) -> list[tuple[pydl.Tensor, pydl.Tensor]]:
    rng = np.random.default_rng(seed)
    return [
        (pydl.tensor(rng.standard_normal((n, 4)).astype(np.float32)), pydl.tensor(rng.integers(0, 3, n))) for n in sizes
    ]


def net(seed: int = 0) -> nn.Sequential:
    pydl.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def trainer(model: nn.Module | None = None, lr: float = 0.5, **options: Any) -> Trainer:
    model = net() if model is None else model
    return Trainer(model, F.cross_entropy, optim.SGD(model.parameters(), lr=lr), **options)


def weights(model: nn.Module) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in model.parameters()]


def assert_close(a: nn.Module, b: nn.Module, rtol: float = 2e-5, atol: float = 1e-6) -> None:
    for p, q in zip(weights(a), weights(b), strict=True):
        np.testing.assert_allclose(p, q, rtol=rtol, atol=atol)


class StopAt(Callback):
    """Stops the training after some steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == self.step:
            trainer.stop()


def stopped_and_resumed(make: Any, path: Any, step: int, fit: Any) -> tuple[Trainer, Trainer]:
    """A training as a whole, and one of the same that is stopped after `step` steps, saved, and resumed by another.

    Args: make: a trainer from a seed. fit: trains it, with the callbacks it is given.
    """
    whole = make()  # one after the other: making one seeds the random numbers of its training
    fit(whole, [])
    part = make()
    fit(part, [StopAt(step)])
    part.save(path)
    rest = make(seed=99)
    rest.load(path)
    fit(rest, [])
    return whole, rest
