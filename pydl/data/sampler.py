"""Which samples come, and in which order.

A sampler that draws random numbers keeps one seed per epoch. Its `state_dict()` describes the epoch being iterated from
its start; after `load_state_dict` the next iteration repeats that epoch, and the loader skips the batches that had
been given. A sampler of your own takes part by offering these two methods; the loader asks for its state before each
iteration, so it has to describe what the next iteration will give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

import pydl
from pydl.data.seeds import GeneratorLike, IntArray, as_seeds, permutation, random_indices, weighted_indices
from pydl.errors import ArgumentError

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base class: an iterable of indices (or of lists of indices), one pass per epoch."""

    def __iter__(self) -> Iterator[T_co]:
        raise TypeError(f"{type(self).__name__}: a sampler must define __iter__")


class OrderSampler(Sampler[int]):
    """A sampler that knows its whole epoch as one (n,) array, which lets the loader slice instead of loop."""

    def order(self) -> IntArray:
        """(n,) the indices of the next epoch."""
        raise TypeError(f"{type(self).__name__}: an OrderSampler must define order")

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())


class SequentialSampler(OrderSampler):
    """0, 1, ..., len(data_source) - 1."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def order(self) -> IntArray:
        return np.arange(len(self.data_source))

    def __len__(self) -> int:
        return len(self.data_source)


class SeededSampler(OrderSampler):
    """An order made from one seed per epoch: what the random samplers share."""

    def __init__(self, generator: GeneratorLike) -> None:
        self._seeds = as_seeds(generator)
        self._seed: int | None = None
        self._replay = False

    def _epoch_seed(self) -> int:
        if not self._replay or self._seed is None:
            self._seed = self._seeds.draw()
        self._replay = False
        return self._seed

    def epoch_done(self) -> None:
        """Told by the loader: the epoch has been used up, so a state taken now names the next one."""
        self._seed = None

    def state_dict(self) -> dict[str, Any]:
        """The seed of the epoch under way (None between epochs) and where later seeds come from."""
        return {"seed": self._seed, "seeds": self._seeds.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The next iteration repeats the epoch that `state` describes."""
        self._seeds.load_state_dict(state["seeds"])
        self._seed = None if state["seed"] is None else int(state["seed"])
        self._replay = True


class RandomSampler(SeededSampler):
    """A fresh random order each epoch.

    Args:
        data_source: anything with a length n.
        replacement: draw each index independently instead of permuting.
        num_samples: indices per epoch, default n; without replacement whole permutations are repeated to fill it.
        generator: where the epoch's seed comes from: pydl.Generator, np.random.Generator or None (the default one).
    Raises: ArgumentError.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: GeneratorLike = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise ArgumentError(f"RandomSampler: replacement must be a bool, got {replacement!r}")
        _check_count("RandomSampler", num_samples)
        super().__init__(generator)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self) -> IntArray:
        n, size, seed = len(self.data_source), self.num_samples, self._epoch_seed()
        if n == 0:
            return np.empty(0, np.int64)
        if self.replacement:
            return random_indices(seed, n, size)
        if size <= n:
            return permutation(seed, n)[:size]
        rounds = [permutation(seed + r, n) for r in range(-(-size // n))]
        return np.concatenate(rounds)[:size]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(SeededSampler):
    """The given indices, in a fresh random order each epoch."""

    def __init__(self, indices: Sequence[int] | IntArray, generator: GeneratorLike = None) -> None:
        super().__init__(generator)
        self.indices = indices

    def order(self) -> IntArray:
        return np.asarray(self.indices, np.int64)[permutation(self._epoch_seed(), len(self.indices))]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(SeededSampler):
    """Indices drawn in proportion to their weights (which need not sum to one).

    Args:
        weights: (n,) finite and non-negative, not all zero.
        num_samples: indices per epoch.
        replacement: without it an index comes at most once per epoch, so num_samples <= the number of weights > 0.
        generator: as in RandomSampler.
    Raises: ArgumentError.
    """

    def __init__(
        self,
        weights: Sequence[float] | npt.NDArray[Any] | pydl.Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: GeneratorLike = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise ArgumentError(f"WeightedRandomSampler: replacement must be a bool, got {replacement!r}")
        if num_samples is None:
            raise ArgumentError("WeightedRandomSampler: num_samples must be a positive integer, got None")
        _check_count("WeightedRandomSampler", num_samples)
        values = weights.detach().cpu().numpy() if isinstance(weights, pydl.Tensor) else weights
        self._weights = np.array(values, np.float64)
        _check_weights(self._weights, num_samples, replacement)
        super().__init__(generator)
        self.weights = weights
        self.num_samples = num_samples
        self.replacement = replacement

    def order(self) -> IntArray:
        return weighted_indices(self._epoch_seed(), self._weights, self.num_samples, self.replacement)

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices from `sampler`; the last one may be shorter unless drop_last."""

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size <= 0:
            raise ArgumentError(f"BatchSampler: batch_size must be a positive integer, got {batch_size!r}")
        if not isinstance(drop_last, bool):
            raise ArgumentError(f"BatchSampler: drop_last must be a bool, got {drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]  # a sampler without a length raises TypeError here, as it should
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def epoch_done(self) -> None:
        """Passed on to the sampler."""
        epoch_done(self.sampler)

    def state_dict(self) -> dict[str, Any]:
        """The state of the sampler inside."""
        return sampler_state(self.sampler) or {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Passed on to the sampler."""
        load_sampler_state(self.sampler, state)


def _check_count(name: str, num_samples: int | None) -> None:
    if num_samples is None:
        return
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples <= 0:
        raise ArgumentError(f"{name}: num_samples must be a positive integer, got {num_samples!r}")


def _check_weights(weights: npt.NDArray[np.float64], num_samples: int, replacement: bool) -> None:
    if weights.ndim != 1:
        raise ArgumentError(f"WeightedRandomSampler: weights must have shape (n,), got {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ArgumentError("WeightedRandomSampler: weights must be finite, non-negative and not all zero")
    if not replacement and num_samples > np.count_nonzero(weights):
        raise ArgumentError(
            f"WeightedRandomSampler: {num_samples} draws without replacement need as many weights above zero, "
            f"got {np.count_nonzero(weights)}"
        )


def is_seeded(sampler: object) -> bool:
    """Whether the sampler (inside a BatchSampler) keeps the epoch's seed: its state can be taken at any time."""
    return isinstance(sampler.sampler if isinstance(sampler, BatchSampler) else sampler, SeededSampler)


def epoch_done(sampler: object) -> None:
    """Tell a sampler that its epoch is used up, if it wants to know."""
    if hasattr(sampler, "epoch_done"):
        sampler.epoch_done()


def sampler_state(sampler: object) -> dict[str, Any] | None:
    """The sampler's state, or None for one that keeps none."""
    return sampler.state_dict() if hasattr(sampler, "state_dict") else None


def load_sampler_state(sampler: object, state: Mapping[str, Any] | None) -> None:
    """Give a sampler its state back; one that keeps none is left alone."""
    if state and hasattr(sampler, "load_state_dict"):
        sampler.load_state_dict(state)


def index_stream(sampler: Iterable[Any], skip: int) -> Iterator[Any]:
    """What `sampler` gives after its first `skip` entries: (b,) arrays or lists of indices, or single indices."""
    if type(sampler) is BatchSampler and _has_order(sampler.sampler):
        order, b = sampler.sampler.order(), sampler.batch_size  # type: ignore[union-attr]
        stop = len(order) - len(order) % b if sampler.drop_last else len(order)
        return (order[i : i + b] for i in range(skip * b, stop, b))
    return islice(iter(sampler), skip, None)


def _has_order(sampler: object) -> bool:
    return isinstance(sampler, OrderSampler) and type(sampler).__iter__ is OrderSampler.__iter__
