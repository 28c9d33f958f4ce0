"""Sequences of several lengths: padded to one, or packed without padding, and truncated back-propagation.

Packed rows are those of all steps, one step after the other: first the first elements of all sequences, longest first,
then the second elements of those that have one, and so on. t is the longest length, b the number of sequences, n the
sum of lengths.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pydl import _C, ops
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "tbptt",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences without padding; made by `pack_padded_sequence` and `pack_sequence`.

    Attributes: data (n, ...); batch_sizes (t,): rows of each step, int64; sorted_indices (b,): the order of sequences,
        longest first, None where they were given so; unsorted_indices: the way back.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> "PackedSequence":
        """Raises: DtypeError, ShapeError, ArgumentError if batch sizes grow or do not sum to the rows of data."""
        if not isinstance(data, Tensor) or not isinstance(batch_sizes, Tensor):
            raise DtypeError("PackedSequence: expected data and batch_sizes as tensors")
        if batch_sizes.ndim != 1 or batch_sizes.dtype is not _C.int64:
            raise ShapeError(f"PackedSequence: batch_sizes {batch_sizes.shape}: expected one axis of int64")
        sizes = batch_sizes.numpy()
        if data.ndim == 0 or sizes.sum() != data.shape[0] or (sizes < 1).any() or (np.diff(sizes) > 0).any():
            raise ArgumentError(
                f"PackedSequence: batch sizes must be positive, never grow, and sum to the rows of data {data.shape}"
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Tensor) -> "PackedSequence":
        order, back = (None if i is None else i.to(data.device) for i in (self.sorted_indices, self.unsorted_indices))
        return PackedSequence(data, self.batch_sizes, order, back)

    def to(self, *args: Any, **kwargs: Any) -> "PackedSequence":
        """The data in another dtype or on another device; arguments as of `Tensor.to`."""
        return self._with(self.data.to(*args, **kwargs))

    def double(self) -> "PackedSequence":
        """float64."""
        return self._with(self.data.double())

    def float(self) -> "PackedSequence":
        """float32."""
        return self._with(self.data.float())

    def half(self) -> "PackedSequence":
        """float16."""
        return self._with(self.data.half())

    def cpu(self) -> "PackedSequence":
        """On the CPU."""
        return self._with(self.data.cpu())


def _int64(values: Any, beside: Tensor | None = None) -> Tensor:
    """The values, on the device of a tensor."""
    made = ops.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
    return made if beside is None else made.to(beside.device)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes it."""
    return None if permutation is None else _int64(np.argsort(permutation.numpy(), kind="stable"), permutation)


def _lengths(op: str, lengths: Any, b: int, t: int) -> np.ndarray:
    """lengths as (b,) of int64, each from 1 to t."""
    values = lengths.numpy() if isinstance(lengths, Tensor) else np.asarray(lengths)
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise DtypeError(f"{op}: lengths must be a list or tensor of integers with one axis")
    if len(values) != b:
        raise ShapeError(f"{op}: {len(values)} lengths for a batch of {b}")
    if len(values) and (values.min() < 1 or values.max() > t):
        wrong = values[(values < 1) | (values > t)][0]
        raise ArgumentError(f"{op}: length {wrong}: expected 1 to {t}, the size of the time axis")
    return values.astype(np.int64)


def _sizes(lengths: np.ndarray) -> np.ndarray:
    """How many sequences have a step, for each step."""
    return np.asarray(np.bincount(lengths, minlength=1)[::-1].cumsum()[::-1][1:], dtype=np.int64)


def _positions(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step and sequence (longest first) of every packed row."""
    steps = np.repeat(np.arange(len(sizes)), sizes)
    return steps, np.arange(len(steps)) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Padded sequences without their padding.

    Args:
        input: (t, b, ...), or (b, t, ...) if batch_first.
        lengths: (b,) integers from 1 to t; with enforce_sorted, never growing.
        enforce_sorted: False: sequences may come in any order, and come back in it.
    Raises: ShapeError, DtypeError, ArgumentError.
    """
    if input.ndim < 2:
        raise ShapeError(f"pack_padded_sequence: input {input.shape}: expected at least 2 axes, time and batch")
    t, b = input.shape[:2][:: -1 if batch_first else 1]
    if b == 0:
        raise ShapeError("pack_padded_sequence: expected at least one sequence")
    values = _lengths("pack_padded_sequence", lengths, b, t)
    order = None
    if enforce_sorted:
        if (np.diff(values) > 0).any():
            raise ArgumentError(
                "pack_padded_sequence: lengths must never grow from one to the next: sort, or pass enforce_sorted=False"
            )
    else:
        order = np.argsort(-values, kind="stable")
    sizes = _sizes(values)
    steps, rows = _positions(sizes)
    rows = rows if order is None else order[rows]
    places = rows * t + steps if batch_first else steps * b + rows
    data = ops.index_select(ops.reshape(input, (t * b, *input.shape[2:])), 0, _int64(places, input))
    return PackedSequence(data, _int64(sizes), None if order is None else _int64(order, input))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Packed sequences with padding again: (t, b, ...), or (b, t, ...) if batch_first, and lengths (b,).

    Args: total_length: pad to this many steps; at least the longest.
    Raises: ArgumentError, DtypeError.
    """
    if not isinstance(sequence, PackedSequence):
        raise DtypeError(f"pad_packed_sequence: expected a PackedSequence, got {type(sequence).__name__}")
    sizes = sequence.batch_sizes.numpy()
    longest, b, n = len(sizes), int(sizes[0]) if len(sizes) else 0, sequence.data.shape[0]
    t = longest if total_length is None else total_length
    if t < longest:
        raise ArgumentError(f"pad_packed_sequence: total_length {t} is less than the longest sequence, {longest}")
    steps, rows = _positions(sizes)
    lengths = np.bincount(rows, minlength=b)
    if sequence.sorted_indices is not None:
        order = sequence.sorted_indices.numpy()
        rows, lengths = order[rows], lengths[np.argsort(order)]
    source = np.full(t * b, n)  # the row behind the last is padding
    source[rows * t + steps if batch_first else steps * b + rows] = np.arange(n)
    padding = ops.full(
        (1, *sequence.data.shape[1:]), padding_value, dtype=sequence.data.dtype, device=sequence.data.device
    )
    padded = ops.index_select(ops.cat([sequence.data, padding]), 0, _int64(source, padding))
    return ops.reshape(padded, ((b, t) if batch_first else (t, b)) + sequence.data.shape[1:]), _int64(lengths)


def _sequences(op: str, sequences: Any) -> list[Tensor]:
    listed = list(sequences)
    if not listed:
        raise ArgumentError(f"{op}: expected at least one sequence")
    for s in listed:
        if not isinstance(s, Tensor) or s.ndim == 0 or s.shape[1:] != listed[0].shape[1:]:
            raise ShapeError(f"{op}: expected tensors whose shapes differ along the first axis alone")
    return listed


def pad_sequence(
    sequences: Sequence[Tensor] | Tensor,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (length, ...) as one tensor (t, b, ...), or (b, t, ...) if batch_first.

    Args: padding_side: 'right': padding follows, or 'left': it comes first.
    Raises: ShapeError, ArgumentError.
    """
    if padding_side not in ("right", "left"):
        raise ArgumentError(f"pad_sequence: padding_side must be 'right' or 'left', got {padding_side!r}")
    listed = _sequences("pad_sequence", sequences)
    t = max(s.shape[0] for s in listed)
    padded = []
    for s in listed:
        if s.shape[0] < t:
            rest = ops.full((t - s.shape[0], *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = ops.cat([s, rest] if padding_side == "right" else [rest, s])
        padded.append(s)
    return ops.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded tensor: (length, ...) each.

    Raises: ShapeError, DtypeError, ArgumentError.
    """
    if padded_sequences.ndim < 2:
        raise ShapeError(f"unpad_sequence: input {padded_sequences.shape}: expected at least 2 axes")
    by_batch = padded_sequences if batch_first else ops.transpose(padded_sequences, 0, 1)
    values = _lengths("unpad_sequence", lengths, by_batch.shape[0], by_batch.shape[1])
    return [ops.narrow(ops.select(by_batch, 0, i), 0, 0, int(n)) for i, n in enumerate(values)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, ...), packed.

    Args: enforce_sorted: they are given longest first; False: they come in any order.
    Raises: ShapeError, ArgumentError.
    """
    listed = _sequences("pack_sequence", sequences)
    return pack_padded_sequence(pad_sequence(listed), [s.shape[0] for s in listed], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed: (length, ...) each, in the order they were given in."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def tbptt(
    model: Callable[[Tensor, Any], tuple[Tensor, Any]], seq: Tensor, k: int, hx: Any = None, batch_first: bool = False
) -> Iterator[tuple[slice, Tensor, Any]]:
    """Truncated back-propagation through time: runs model over k steps at a time, and cuts the graph between.

    Args:
        model: from (steps, state) to (outputs, state), as the recurrent layers.
        seq: (t, b, ...), or (b, t, ...) if batch_first.   hx: the state at first.
    Yields: which steps, the outputs of those, and the state after them, before it is cut. Walk back over what the
        outputs give before asking for the next: `for steps, y, _ in tbptt(net, x, 35): loss(y, z[steps]).backward()`.
    Source: Williams & Peng 1990.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ArgumentError(f"tbptt: k must be a positive number of steps, got {k!r}")
    axis = 1 if batch_first else 0
    for start in range(0, seq.shape[axis], k):
        steps = slice(start, min(start + k, seq.shape[axis]))
        y, hx = model(ops.narrow(seq, axis, start, steps.stop - start), hx)
        yield steps, y, hx
        hx = _cut(hx)


def _cut(state: Any) -> Any:
    """The state without its graph."""
    if isinstance(state, Tensor):
        return state.detach()
    return type(state)(_cut(s) for s in state) if isinstance(state, (tuple, list)) else state
