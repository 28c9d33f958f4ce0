"""Batches of sequences of different lengths: padded to the longest, and made of similar ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import pydl
from pydl.data.collate import default_collate
from pydl.data.sampler import BatchSampler, OrderSampler, SeededSampler
from pydl.data.seeds import GeneratorLike, IntArray, permutation
from pydl.errors import ArgumentError, DtypeError, ShapeError

__all__ = ["BucketBatchSampler", "PadCollate", "key_padding_mask"]


def key_padding_mask(lengths: Any, max_len: int | None = None) -> pydl.Tensor:
    """(b,) lengths -> bool (b, max_len), True at padding: what attention and losses leave out.

    Args:
        max_len: default the largest length.
    Raises: ShapeError, DtypeError; ArgumentError for a length below 0 or above max_len.
    """
    values = lengths.detach().numpy() if isinstance(lengths, pydl.Tensor) else np.asarray(lengths)
    if values.ndim != 1:
        raise ShapeError(f"key_padding_mask: expected lengths (b,), got {values.shape}")
    if values.size and values.dtype.kind not in "iu":
        raise DtypeError(f"key_padding_mask: lengths must be integers, got {values.dtype}")
    if max_len is not None and (type(max_len) is not int or max_len < 0):
        raise ArgumentError(f"key_padding_mask: max_len must be an integer >= 0, got {max_len!r}")
    longest = int(values.max()) if values.size else 0
    width = longest if max_len is None else max_len
    if values.size and (values.min() < 0 or longest > width):
        raise ArgumentError(f"key_padding_mask: lengths must lie within 0 and {width}, got {values.tolist()}")
    return pydl.from_numpy(np.arange(width) >= values[:, None])


class PadCollate:
    """A collate_fn: from sequences of different lengths to one padded batch.

    Samples that are sequences, (t_i,) or (t_i, ...), become (padded (b, t, ...), lengths int64 (b,)). In samples that
    are tuples every part that is a sequence becomes such a pair, every other part is collated as usual:
    (sequence, label) -> [(padded, lengths), labels].

    Args:
        padding_value: what fills up: one for all, or a tuple with one for each part of the samples.
        batch_first: padded as (b, t, ...), or (t, b, ...).
        multiple_of: t is rounded up to a multiple, so that fewer different shapes come.
    Raises: ArgumentError; ShapeError when the axes behind t differ.
    """

    def __init__(
        self, padding_value: float | tuple[float, ...] = 0, batch_first: bool = True, multiple_of: int = 1
    ) -> None:
        if type(multiple_of) is not int or multiple_of < 1:
            raise ArgumentError(f"PadCollate: multiple_of must be an integer >= 1, got {multiple_of!r}")
        self.padding_value, self.batch_first, self.multiple_of = padding_value, batch_first, multiple_of

    def __call__(self, samples: Sequence[Any]) -> Any:
        """A list of b samples -> the batch."""
        if len(samples) == 0:
            raise ShapeError("PadCollate: the batch is empty")
        if not isinstance(samples[0], tuple):
            return self._part(samples, self._value(0))
        if len({len(sample) for sample in samples}) != 1:
            raise ShapeError("PadCollate: each sample must have the same number of parts")
        return [self._part(part, self._value(i)) for i, part in enumerate(zip(*samples, strict=True))]

    def _value(self, part: int) -> float:
        if not isinstance(self.padding_value, tuple):
            return self.padding_value
        if part >= len(self.padding_value):
            raise ArgumentError(f"PadCollate: {len(self.padding_value)} padding values: part {part} has none")
        return self.padding_value[part]

    def _part(self, values: Sequence[Any], fill: float) -> Any:
        arrays = [v.detach().numpy() if isinstance(v, pydl.Tensor) else v for v in values]
        if any(isinstance(v, str | bytes) or np.ndim(v) == 0 for v in arrays):
            return default_collate(list(values))
        return self._padded([np.asarray(v) for v in arrays], fill)

    def _padded(self, arrays: list[npt.NDArray[Any]], fill: float) -> tuple[pydl.Tensor, pydl.Tensor]:
        lengths = np.array([len(a) for a in arrays], np.int64)
        rest = next((a.shape[1:] for a in arrays if len(a)), arrays[0].shape[1:])
        for i, a in enumerate(arrays):
            if a.shape[1:] != rest and len(a):
                raise ShapeError(f"PadCollate: sample {i} has shape {a.shape}: expected (t, *{rest}) as of the others")
        kinds = [a.dtype for a in arrays if len(a)] or [arrays[0].dtype]  # an empty list would be float64
        width = -(-int(lengths.max()) // self.multiple_of) * self.multiple_of
        made = np.full((len(arrays), width, *rest), fill, np.result_type(*kinds))
        for row, a in zip(made, arrays, strict=True):
            row[: len(a)] = a
        padded = made if self.batch_first else np.ascontiguousarray(made.swapaxes(0, 1))
        return pydl.from_numpy(padded), pydl.from_numpy(lengths)


class _ByLength(OrderSampler):
    """Indices by rising length."""

    def __init__(self, lengths: IntArray) -> None:
        self.lengths = lengths

    def order(self) -> IntArray:
        return np.argsort(self.lengths, kind="stable").astype(np.int64)

    def __len__(self) -> int:
        return len(self.lengths)


class _ByLengthInChunks(SeededSampler):
    """A random order, each stretch of `chunk` indices of it by rising length."""

    def __init__(self, lengths: IntArray, chunk: int, generator: GeneratorLike) -> None:
        super().__init__(generator)
        self.lengths, self.chunk = lengths, chunk
        self.seed = 0

    def order(self) -> IntArray:
        self.seed = self._epoch_seed()
        shuffled = permutation(self.seed, len(self.lengths))
        stretches = np.arange(len(shuffled)) // self.chunk
        return shuffled[np.lexsort((self.lengths[shuffled], stretches))]

    def __len__(self) -> int:
        return len(self.lengths)


class BucketBatchSampler(BatchSampler):
    """Batches of samples of similar lengths, which need little padding; for `DataLoader(batch_sampler=...)`.

    With shuffle the samples come in a fresh random order each epoch, are sorted by length within stretches of
    `bucket_factor` batches, and the batches are put in random order. With max_tokens a stretch is the whole set.
    Without shuffle batches come by rising length.

    Args:
        lengths: (n,) of the samples.
        batch_size: samples per batch; or instead
        max_tokens: as many samples as keep (samples in the batch) * (longest of them) <= max_tokens; a longer sample
            is a batch of its own.
        shuffle, drop_last (which leaves out a shorter batch; not with max_tokens).
        generator: as of RandomSampler. The order can be saved and resumed as its.
    Raises: ArgumentError.
    """

    def __init__(
        self,
        lengths: Any,
        batch_size: int | None = None,
        *,
        max_tokens: int | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        bucket_factor: int = 100,
        generator: GeneratorLike = None,
    ) -> None:
        sizes = lengths.detach().numpy() if isinstance(lengths, pydl.Tensor) else np.asarray(lengths)
        if sizes.ndim != 1 or (sizes.size and (sizes.dtype.kind not in "iu" or sizes.min() < 0)):
            raise ArgumentError(
                f"BucketBatchSampler: lengths must be integers >= 0 (n,), got {sizes.dtype} {sizes.shape}"
            )
        if (batch_size is None) == (max_tokens is None):
            raise ArgumentError("BucketBatchSampler: expected either batch_size or max_tokens")
        if max_tokens is not None and (type(max_tokens) is not int or max_tokens < 1 or drop_last):
            raise ArgumentError(
                f"BucketBatchSampler: max_tokens must be an integer >= 1, without drop_last, got {max_tokens!r}"
            )
        if type(bucket_factor) is not int or bucket_factor < 1:
            raise ArgumentError(f"BucketBatchSampler: bucket_factor must be an integer >= 1, got {bucket_factor!r}")
        self.lengths = sizes.astype(np.int64)
        self.max_tokens, self.shuffle = max_tokens, shuffle
        chunk = max(len(sizes), 1) if batch_size is None else batch_size * bucket_factor
        order = _ByLengthInChunks(self.lengths, chunk, generator) if shuffle else _ByLength(self.lengths)
        super().__init__(order, 1 if batch_size is None else batch_size, drop_last)
        self._count = len(self._cut(np.argsort(self.lengths, kind="stable"))) if max_tokens else None

    def __iter__(self) -> Iterator[list[int]]:
        assert isinstance(self.sampler, OrderSampler)
        batches = self._cut(self.sampler.order())
        if isinstance(self.sampler, _ByLengthInChunks):
            batches = [batches[i] for i in permutation(self.sampler.seed ^ 1, len(batches))]  # another stream
        return iter([batch.tolist() for batch in batches])

    def __len__(self) -> int:
        return super().__len__() if self._count is None else self._count

    def _cut(self, order: IntArray) -> list[IntArray]:
        """The batches of an order."""
        if self.max_tokens is None:
            whole = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
            return whole[:-1] if self.drop_last and whole and len(whole[-1]) < self.batch_size else whole
        starts = [0]
        for i, length in enumerate(self.lengths[order].tolist()):  # rising: the newest is the longest
            if i > starts[-1] and (i + 1 - starts[-1]) * length > self.max_tokens:
                starts.append(i)
        return [batch for batch in np.split(order, starts[1:]) if len(batch)]
