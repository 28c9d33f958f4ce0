"""Random numbers of one call of a transform: a stream for each image, so that batches of any size agree.

Number j of an image is splitmix64's output j for the image's key. Keys come from the batch's Philox stream, one word
for each image in order: a batch transformed at once and its images transformed one by one are the same.
Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators".
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import pydl
from pydl.data.seeds import draw_seed
from pydl.data.worker import batch_rng
from pydl.errors import ArgumentError

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
GeneratorLike: TypeAlias = "int | np.random.Generator | pydl.Generator | Draws | None"

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Draws:
    """The numbers that the transforms of one call share; each method takes the next ones of every image.

    Args: keys: uint64 (n,), one for each image.
    """

    def __init__(self, keys: npt.NDArray[np.uint64]) -> None:
        self.keys = keys
        self.count = 0

    def __len__(self) -> int:
        return len(self.keys)

    def _words(self, k: int) -> npt.NDArray[np.uint64]:
        """(n, k) random words."""
        steps = np.arange(self.count + 1, self.count + k + 1, dtype=np.uint64)
        self.count += k
        z = self.keys[:, None] + steps * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
        return np.asarray(z ^ (z >> np.uint64(31)))

    def uniform(self, k: int) -> Floats:
        """(n, k) in (0, 1): 53 bits, moved half a step off zero."""
        return ((self._words(k) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

    def between(self, low: float, high: float) -> Floats:
        """(n,) uniform in (low, high)."""
        return low + (high - low) * self.uniform(1)[:, 0]

    def integers(self, low: Any, high: Any) -> Ints:
        """(n,) from low to high, both included; either may differ from image to image."""
        u = self.uniform(1)[:, 0]
        return np.asarray(low + np.floor(u * (np.asarray(high) - low + 1)), np.int64)

    def normal(self, k: int) -> Floats:
        """(n, k) standard normal: Box & Muller's transform of two uniforms each."""
        u = self.uniform(2 * k)
        return np.asarray(np.sqrt(-2 * np.log(u[:, :k])) * np.cos(2 * np.pi * u[:, k:]))

    def chance(self, p: float) -> npt.NDArray[np.bool_]:
        """(n,) true with probability p."""
        return self.uniform(1)[:, 0] < p


def as_draws(generator: GeneratorLike, n: int) -> Draws:
    """The numbers for n images. Args: generator: as of `as_rng`, or numbers that go on."""
    if isinstance(generator, Draws):
        return generator
    return Draws(as_rng(generator).integers(2**64 - 1, size=n, dtype=np.uint64, endpoint=True))


def as_rng(generator: GeneratorLike) -> np.random.Generator:
    """NumPy's generator of a seed, or of a generator, which advances; of None the stream of the loader's batch, or,
    outside of a loader, one that pydl's default generator seeds."""
    if generator is None:
        return batch_rng()
    if isinstance(generator, np.random.Generator):
        return generator
    if isinstance(generator, pydl.Generator):
        return np.random.Generator(np.random.Philox(draw_seed(generator)))
    if isinstance(generator, (int, np.integer)) and not isinstance(generator, bool):
        return np.random.Generator(np.random.Philox(int(generator) % 2**128))
    raise ArgumentError(f"transform: generator must be a seed or a generator, got {type(generator).__name__}")
