"""Synthetic tasks whose answer depends on what came long before. Axes: b examples, t time.

Source: Hochreiter & Schmidhuber 1997; as in Arjovsky et al. 2016 (arXiv:1511.06464).
"""

import numpy as np

import pydl
from pydl.errors import ArgumentError

__all__ = ["adding_problem", "copy_task"]


def adding_problem(b: int, t: int, rng: np.random.Generator) -> tuple[pydl.Tensor, pydl.Tensor]:
    """Numbers with two of them marked, one in each half; the answer is their sum.

    Returns: x float32 (b, t, 2): a number from [0, 1) and the mark 0 or 1; y float32 (b,). Always to answer 1 has a
        mean squared error of 1/6.
    """
    if b < 1 or t < 2:
        raise ArgumentError(f"adding_problem: expected examples and at least 2 steps, got {b} and {t}")
    x = np.zeros((b, t, 2), dtype=np.float32)
    x[..., 0] = rng.random((b, t))
    rows = np.arange(b)
    for low, high in ((0, t // 2), (t // 2, t)):
        x[rows, rng.integers(low, high, b), 1] = 1
    return pydl.from_numpy(x), pydl.from_numpy((x[..., 0] * x[..., 1]).sum(1))


def copy_task(
    b: int, delay: int, rng: np.random.Generator, length: int = 10, symbols: int = 8
) -> tuple[pydl.Tensor, pydl.Tensor]:
    """`length` symbols, a wait, a sign, and then the symbols are asked for.

    Returns: x int64 (b, delay + 2 length): symbols 1 to `symbols`, 0 for nothing and symbols + 1 for the sign; y int64
        (b, delay + 2 length): 0 until the last `length` steps, which are the symbols.
    """
    if b < 1 or delay < 1 or length < 1 or symbols < 1:
        raise ArgumentError("copy_task: expected positive numbers of examples, steps and symbols")
    word = rng.integers(1, symbols + 1, (b, length))
    x = np.zeros((b, delay + 2 * length), dtype=np.int64)
    y = np.zeros_like(x)
    x[:, :length], y[:, -length:] = word, word
    x[:, -length - 1] = symbols + 1
    return pydl.from_numpy(x), pydl.from_numpy(y)
