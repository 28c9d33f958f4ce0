"""Values put at positions, out of place: which element of the source lands where is found once, outside the graph, and
then selected. Where several name one position, the last wins."""

from collections.abc import Sequence

import numpy as np

from pydl import _C
from pydl.errors import BoundsError, DtypeError, ShapeError
from pydl.ops.compare import where
from pydl.ops.index import IndexAdd, IndexSelect, check_slices
from pydl.ops.scalar import Number, lift
from pydl.ops.shape import broadcast_shape, broadcast_to, reshape, wrap
from pydl.tensor import Tensor

__all__ = [
    "index_copy",
    "index_fill",
    "index_put",
    "masked_scatter",
    "scatter",
    "take",
]


def _whole(op: str, index: Tensor, size: int) -> np.ndarray:
    """index as NumPy's int64, counted from the start."""
    if index.dtype not in (_C.int64, _C.int32):
        raise DtypeError(f"{op}: index must be int64 or int32, got {index.dtype}")
    places = _C.to_numpy(index.array).astype(np.int64)
    if places.size and (places.min() < -size or places.max() >= size):
        bad = places.max() if places.max() >= size else places.min()
        raise BoundsError(f"{op}: index {bad} is out of range for size {size}")
    return np.where(places < 0, places + size, places)


def _placed(op: str, input: Tensor, winner: np.ndarray, source: Tensor) -> Tensor:
    """Element winner[...] of the flat source where that is not negative, else input."""
    if source.dtype is not input.dtype:
        raise DtypeError(f"{op}: expected values of dtype {input.dtype}, got {source.dtype}")
    if not source.numel():
        return input.clone()
    at = Tensor(_C.from_numpy(np.maximum(winner, 0).reshape(-1)))
    values = IndexSelect.apply(reshape(source, [-1]), at, dim=0)
    return where(Tensor(_C.from_numpy(np.asarray(winner >= 0))), reshape(values, winner.shape), input)


def scatter(input: Tensor, dim: int, index: Tensor, src: Tensor | Number) -> Tensor:
    """input with src put at index along dim: out[i][index[i][j][k]][k] = src[i][j][k] for dim = 1.

    Args: src: a tensor at least as large as index, or a number.
    """
    at = wrap(dim, input.ndim, "scatter")
    source = src if isinstance(src, Tensor) else broadcast_to(lift(src, input, "scatter").to(input.dtype), index.shape)
    fits = index.ndim == input.ndim == source.ndim
    for i, n in enumerate(index.shape):
        fits = fits and n <= source.shape[i] and (i == at or n <= input.shape[i])
    if not fits:
        raise ShapeError(f"scatter: index {index.shape} does not fit input {input.shape} and src {source.shape}")
    places = _whole("scatter", index, input.shape[at] if input.ndim else 1)
    order = np.arange(source.numel()).reshape(source.shape)[tuple(slice(n) for n in index.shape)]
    winner = np.full(input.shape, -1)
    region = winner[tuple(slice(None) if i == at else slice(n) for i, n in enumerate(index.shape))]
    if region.ndim:
        np.put_along_axis(region, places, order, at)
    else:
        winner[()] = 0
    return _placed("scatter", input, winner, source)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with the slices of source (k of them) at index (k,) along dim."""
    at = wrap(dim, input.ndim, "index_copy")
    check_slices("index_copy", input, at, index, source)
    order = np.arange(source.numel()).reshape(source.shape)
    winner = np.full(input.shape, -1)
    places = _whole("index_copy", index, input.shape[at] if input.ndim else 1)
    if input.ndim:
        np.moveaxis(winner, at, 0)[places.reshape(-1)] = np.moveaxis(order, at, 0)
    elif places.size:
        winner[()] = 0
    return _placed("index_copy", input, winner, source)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Number | Tensor) -> Tensor:
    """input with value in the slices index (k,) along dim; in the dtype of input."""
    at = wrap(dim, input.ndim, "index_fill")
    size = input.shape[at] if input.ndim else 1
    hit = np.zeros(size, dtype=bool)
    hit[_whole("index_fill", index, size)] = True
    mask = Tensor(_C.from_numpy(hit.reshape([size if i == at else 1 for i in range(input.ndim)])))
    return where(mask, lift(value, input, "index_fill").to(input.dtype), input)


def index_put(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """input with values at input[indices], broadcast; accumulate adds them instead, also where positions repeat."""
    if len(indices) > input.ndim:
        raise BoundsError(f"index_put: {len(indices)} indices for shape {input.shape}: expected at most {input.ndim}")
    keys = [
        _C.to_numpy(k.array) if k.dtype is _C.bool else _whole("index_put", k, input.shape[i])
        for i, k in enumerate(indices)
    ]
    try:
        places = np.arange(input.numel()).reshape(input.shape)[tuple(keys)]
    except IndexError as error:
        raise ShapeError(f"index_put: {error}") from error
    if broadcast_shape("index_put", values.shape, places.shape) != places.shape:
        raise ShapeError(f"index_put: values {values.shape} do not fit the indexed part {places.shape}")
    if values.dtype is not input.dtype:
        raise DtypeError(f"index_put: expected values of dtype {input.dtype}, got {values.dtype}")
    source = broadcast_to(values, places.shape)
    if accumulate:
        flat = Tensor(_C.from_numpy(places.reshape(-1)))
        added = IndexAdd.apply(reshape(source, [-1]), flat, dim=0, size=input.numel())
        return input + reshape(added, input.shape)
    winner = np.full(input.numel(), -1)
    winner[places.reshape(-1)] = np.arange(places.size)
    return _placed("index_put", input, winner.reshape(input.shape), source)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements of source, in order, where mask is true."""
    if mask.dtype is not _C.bool:
        raise DtypeError(f"masked_scatter: mask must be bool, got {mask.dtype}")
    shape = broadcast_shape("masked_scatter", input.shape, mask.shape)
    hit = np.broadcast_to(_C.to_numpy(mask.array), shape)
    if hit.sum() > source.numel():
        raise ShapeError(f"masked_scatter: source {source.shape} has too few elements: expected {hit.sum()} or more")
    winner = np.where(hit, np.cumsum(hit.reshape(-1)).reshape(shape) - 1, -1)
    return _placed("masked_scatter", broadcast_to(input, shape), winner, source)


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at index of the flat input, in the shape of index."""
    at = Tensor(_C.from_numpy(_whole("take", index, input.numel()).reshape(-1)))
    return reshape(IndexSelect.apply(reshape(input, [-1]), at, dim=0), index.shape)
