"""One seed per epoch, and the index orders made from it.

An order is a function of its seed alone: raw Philox words, whose stream NumPy promises never to change, are turned
into indices here, so that a run resumed under another NumPy version, or with another number of workers, sees the
same order. Source of Philox: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import pydl
from pydl.errors import ArgumentError

IntArray: TypeAlias = npt.NDArray[np.int64]
GeneratorLike: TypeAlias = "pydl.Generator | np.random.Generator | Seeds | None"

_SEED_BITS = 62  # positive in an int64, also after a worker number is added


def draw_seed(generator: pydl.Generator | np.random.Generator | None = None) -> int:
    """A seed below 2**62 from `generator`; None draws from pydl's default generator, which advances by one draw."""
    if isinstance(generator, np.random.Generator):
        return int(generator.integers(2**_SEED_BITS))
    return int(pydl.randint(0, 2**_SEED_BITS, (1,), generator=generator, dtype=pydl.int64).item())


class Seeds:
    """A source of one seed per epoch that can be saved and restored.

    Args:
        source: a number (seed k is a hash of the number and k), a generator (one draw per seed; shared, not copied)
            or None (pydl's default generator; its state belongs to the program and is not saved here).
    """

    def __init__(self, source: int | pydl.Generator | np.random.Generator | None = None) -> None:
        self.source = source
        self.count = 0

    def draw(self) -> int:
        """The next seed."""
        if isinstance(self.source, int):
            words = np.random.SeedSequence([self.source % 2**64, self.count]).generate_state(1, np.uint64)
            seed = int(words[0]) >> (64 - _SEED_BITS)
        else:
            seed = draw_seed(self.source)
        self.count += 1
        return seed

    def state_dict(self) -> dict[str, Any]:
        """Numbers, strings, lists and dicts only: what comes next is fixed by it (except for the default generator)."""
        state: dict[str, Any] = {"count": self.count}
        if isinstance(self.source, int):
            state["seed"] = self.source
        elif isinstance(self.source, np.random.Generator):
            state["numpy"] = self.source.bit_generator.state
        elif self.source is not None:
            state["generator"] = self.source.get_state().tolist()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken. Raises ArgumentError when it was taken from another kind of source."""
        if "seed" in state:
            if not isinstance(self.source, int):
                raise ArgumentError("Seeds: the state was saved with seed=..., this loader or sampler has none")
            self.source = int(state["seed"])
        elif "numpy" in state:
            if not isinstance(self.source, np.random.Generator):
                raise ArgumentError(
                    "Seeds: the state was saved with a NumPy generator, this loader or sampler has none"
                )
            self.source.bit_generator.state = state["numpy"]
        elif "generator" in state:
            if self.source is None or isinstance(self.source, int | np.random.Generator):
                raise ArgumentError("Seeds: the state was saved with a generator, this loader or sampler has none")
            self.source.set_state(pydl.tensor(state["generator"], dtype=pydl.int64))
        elif self.source is not None:
            raise ArgumentError(
                "Seeds: the state was saved without a seed or generator, this loader or sampler has one"
            )
        self.count = int(state["count"])


def as_seeds(generator: GeneratorLike) -> Seeds:
    """`generator` as a Seeds; one that already is passes through."""
    return generator if isinstance(generator, Seeds) else Seeds(generator)


def uniform(seed: int, n: int) -> npt.NDArray[np.float64]:
    """(n,) numbers in (0, 1): the top 53 bits of each word, moved half a step off zero."""
    words = np.random.Philox(seed).random_raw(n) >> np.uint64(11)
    return (words.astype(np.float64) + 0.5) * 2.0**-53


def permutation(seed: int, n: int) -> IntArray:
    """(n,) the numbers 0..n-1 in random order: n random words, each with its index in the low bits, sorted.

    The index makes the words distinct, so that every sorting algorithm gives the same order; it leaves 44 random bits
    where n is a million. 60000 take a few ms, a tenth of a stable argsort.
    """
    low = np.uint64((1 << max(n - 1, 0).bit_length()) - 1)
    words = np.random.Philox(seed).random_raw(n) & ~low | np.arange(n, dtype=np.uint64)
    words.sort()
    return (words & low).astype(np.int64)


def random_indices(seed: int, n: int, size: int) -> IntArray:
    """(size,) independent indices below n; the bias is under n / 2**53."""
    return (uniform(seed, size) * n).astype(np.int64)


def weighted_indices(seed: int, weights: npt.NDArray[np.float64], size: int, replacement: bool) -> IntArray:
    """(size,) indices, each drawn in proportion to its weight.

    Without replacement: the largest log(u) / w, which has the law of successive draws (Efraimidis and Spirakis 2006).
    """
    if replacement:
        bounds = np.cumsum(weights)
        last = int(np.flatnonzero(weights)[-1])  # rounding of u * total must not land behind the last weight
        found: IntArray = np.searchsorted(bounds, uniform(seed, size) * bounds[-1], side="right")
        return np.minimum(found, last).astype(np.int64)
    with np.errstate(divide="ignore"):
        keys = np.log(uniform(seed, len(weights))) / weights
    return np.argsort(-keys, kind="stable")[:size].astype(np.int64)
