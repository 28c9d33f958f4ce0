"""Windows over one long sequence: of tokens, for language models, and of a series, for forecasts.

A language model reads x and predicts y, the same tokens moved by one. Axes: n tokens, b streams or examples, t time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import pydl
from pydl.data.dataset import Dataset, places
from pydl.data.seeds import IntArray
from pydl.errors import ArgumentError, DtypeError, ShapeError

__all__ = ["BPTTBatches", "SlidingWindows", "TokenWindows"]

Pair = tuple[pydl.Tensor, pydl.Tensor]


class TokenWindows(Dataset[Pair]):
    """Sample i is the window that starts at token i * stride: x int64 (t,) and y (t,), the tokens one later.

    Random windows are `DataLoader(..., shuffle=True)` with stride 1; with stride == length every token is predicted
    once, as in validation. Tokens at the end that fill no window are left out.

    Args:
        tokens: (n,) integers, n > length.
        length: t.
        stride: from one window to the next; default length.
    Raises: ShapeError, DtypeError, ArgumentError.
    """

    def __init__(self, tokens: Any, length: int, stride: int | None = None) -> None:
        self.tokens = _token_array("TokenWindows", tokens)
        self.length = _positive("TokenWindows", "length", length)
        self.stride = _positive("TokenWindows", "stride", length if stride is None else stride)
        if len(self.tokens) <= length:
            raise ShapeError(f"TokenWindows: {len(self.tokens)} tokens: expected more than the length {length}")
        self._windows = np.lib.stride_tricks.sliding_window_view(self.tokens, length + 1)[:: self.stride]

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Pair:
        x, y = self._cut(places("TokenWindows", [index], len(self)))
        return x[0], y[0]

    def getbatch(self, indices: Sequence[int] | IntArray) -> Any:
        if type(self).__getitem__ is not TokenWindows.__getitem__:
            return super().getbatch(indices)
        return list(self._cut(places("TokenWindows", indices, len(self))))

    def _cut(self, rows: IntArray) -> Pair:
        both = self._windows[rows]
        return _tensor(both[:, :-1]), _tensor(both[:, 1:])

    def __getstate__(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "length": self.length, "stride": self.stride}  # a view would travel as a copy

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class BPTTBatches(Dataset[Pair]):
    """Batches for truncated backpropagation through time: each goes on where the one before stopped.

    The tokens are cut into `batch_size` streams of equal length; batch k holds tokens k * bptt to (k + 1) * bptt of
    each stream: x and y int64 (b, t), t = bptt except in a last shorter batch. So the state that a recurrent network
    ends batch k with is the one to begin batch k + 1 with. Iterate over it as it is, or through
    DataLoader(..., batch_size=None).

    Args:
        tokens: (n,) integers, at least two per stream; up to batch_size - 1 at the end are left out.
        batch_size: b.   bptt: t.
        drop_last: leave out a last shorter batch.
    Raises: ShapeError, DtypeError, ArgumentError.
    Source: Mikolov et al. 2010, Recurrent neural network based language model.
    """

    def __init__(self, tokens: Any, batch_size: int, bptt: int, drop_last: bool = False) -> None:
        flat = _token_array("BPTTBatches", tokens)
        self.batch_size = _positive("BPTTBatches", "batch_size", batch_size)
        self.bptt = _positive("BPTTBatches", "bptt", bptt)
        self.drop_last = drop_last
        length = len(flat) // batch_size
        if length < 2:
            raise ShapeError(f"BPTTBatches: {len(flat)} tokens are fewer than two for each of {batch_size} streams")
        self.streams: IntArray = flat[: length * batch_size].reshape(batch_size, length)

    def __len__(self) -> int:
        steps: int = self.streams.shape[1] - 1
        return steps // self.bptt if self.drop_last else -(-steps // self.bptt)

    def __getitem__(self, index: int) -> Pair:
        start = int(places("BPTTBatches", [index], len(self))[0]) * self.bptt
        stop = min(start + self.bptt, self.streams.shape[1] - 1)
        return _tensor(self.streams[:, start:stop]), _tensor(self.streams[:, start + 1 : stop + 1])

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))


class SlidingWindows(Dataset[Pair]):
    """Windows of a series with what follows them: sample i is x (length, ...) from place i * stride and the target
    y (horizon, ...) that begins `gap` places behind it.

    Args:
        series: (n,) or (n, ...) numbers, which keep their dtype.
        length: of the window.
        horizon: how many values to predict.
        stride: from one window to the next.
        gap: places between the window and its target.
    Raises: ShapeError if the series is shorter than length + gap + horizon; ArgumentError.
    """

    def __init__(self, series: Any, length: int, horizon: int = 1, stride: int = 1, gap: int = 0) -> None:
        self.series = _array(series)
        self.length = _positive("SlidingWindows", "length", length)
        self.horizon = _positive("SlidingWindows", "horizon", horizon)
        self.stride = _positive("SlidingWindows", "stride", stride)
        if type(gap) is not int or gap < 0:
            raise ArgumentError(f"SlidingWindows: gap must be an integer >= 0, got {gap!r}")
        self.gap = gap
        if self.series.ndim == 0 or len(self.series) < length + gap + horizon:
            raise ShapeError(
                f"SlidingWindows: a series {self.series.shape}: expected at least {length + gap + horizon} places"
            )

    def __len__(self) -> int:
        return (len(self.series) - self.length - self.gap - self.horizon) // self.stride + 1

    def __getitem__(self, index: int) -> Pair:
        x, y = self._cut(places("SlidingWindows", [index], len(self)))
        return x[0], y[0]

    def getbatch(self, indices: Sequence[int] | IntArray) -> Any:
        if type(self).__getitem__ is not SlidingWindows.__getitem__:
            return super().getbatch(indices)
        return list(self._cut(places("SlidingWindows", indices, len(self))))

    def tensors(self) -> Pair:
        """All windows and targets at once: (len, length, ...) and (len, horizon, ...)."""
        return self._cut(np.arange(len(self)))

    def _cut(self, rows: IntArray) -> Pair:
        start = rows[:, None] * self.stride
        behind = self.length + self.gap
        x = self.series[start + np.arange(self.length)]
        return _tensor(x), _tensor(self.series[start + np.arange(behind, behind + self.horizon)])


def _array(values: Any) -> npt.NDArray[Any]:
    return values.detach().numpy() if isinstance(values, pydl.Tensor) else np.asarray(values)


def _token_array(name: str, tokens: Any) -> IntArray:
    array = _array(tokens)
    if array.ndim != 1:
        raise ShapeError(f"{name}: expected tokens (n,), got {array.shape}")
    if array.dtype.kind not in "iu" and array.size:
        raise DtypeError(f"{name}: tokens must be integers, got {array.dtype}")
    return array.astype(np.int64, copy=False)


def _tensor(array: npt.NDArray[Any]) -> pydl.Tensor:
    return pydl.from_numpy(array.copy())  # views of the sequence must not be written to through a batch


def _positive(name: str, what: str, value: int) -> int:
    if type(value) is not int or value < 1:
        raise ArgumentError(f"{name}: {what} must be an integer >= 1, got {value!r}")
    return value
