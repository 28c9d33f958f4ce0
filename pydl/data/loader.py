"""DataLoader: batches of a dataset, in order, made ahead by threads or processes, resumable in mid-epoch."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydl.data.collate import default_collate, default_convert
from pydl.data.dataset import Dataset, IterableDataset
from pydl.data.iterate import LoaderIterator, SerialIterator, WorkerIterator
from pydl.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    epoch_done,
    index_stream,
    is_seeded,
    load_sampler_state,
    sampler_state,
)
from pydl.data.seeds import Seeds
from pydl.data.threads import ThreadPool
from pydl.data.worker import Epoch, Reply, Source, Task
from pydl.errors import ArgumentError

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

_STATE_KEYS = {"epoch", "batch", "seed", "seeds", "sampler"}


class Pool(Protocol):
    """Workers of either kind."""

    def send(self, worker: int, message: Epoch | Task) -> None: ...
    def receive(self, worker: int, timeout: float) -> Reply: ...
    def close(self) -> None: ...


@dataclass
class Progress:
    """Where an epoch stands: `batch` batches of epoch number `epoch` have been given; `seed` is None between epochs."""

    epoch: int
    batch: int = 0
    seed: int | None = None


class DataLoader:
    """Batches of a dataset.

    The order depends on the seed (or generator) only, never on the workers. One number is drawn from the generator
    per epoch for the workers and one by a random sampler, whatever num_workers is.

    Args:
        dataset: map style (length and index) or an IterableDataset.
        batch_size: samples per batch; None gives single samples, converted but without a batch axis.
        shuffle: a fresh random order each epoch.
        sampler: where indices come from; excludes shuffle.
        batch_sampler: where lists of indices come from; excludes batch_size, shuffle, sampler and drop_last.
        num_workers: 0 makes batches when they are asked for; more makes them ahead in that many workers.
        collate_fn: list of samples -> batch. Without one, a dataset's own `getbatch` makes the batch, which for tensor
            and image datasets is one index operation.
        pin_memory: accepted for code written for PyTorch; host memory is never pinned here.
        drop_last: leave out a last batch that is too short.
        timeout: seconds to wait for a worker, 0 for ever.
        worker_init_fn: called with the worker's number, in the worker, before its first batch.
        multiprocessing_context: start method or context of process workers; default forkserver, else spawn.
        generator: pydl.Generator or np.random.Generator that fixes the order; None is pydl's default generator.
        prefetch_factor: batches that each worker makes ahead, default 2.
        persistent_workers: keep the workers between epochs.
        worker_kind: "thread" shares memory and starts at once; "process" runs Python code of the dataset in parallel.
        seed: a number that fixes the order of every epoch, in place of a generator.
    Raises: ArgumentError for arguments that exclude each other. What a worker raises is raised again with the worker's
        traceback in its text.
    """

    _resumes = False  # the next iteration goes on where a loaded state stands
    _sampler_state: Any = None  # of a sampler of the user's, from before the iteration under way
    _current: weakref.ref[LoaderIterator] | None = None
    _pool: Pool | None = None  # of persistent workers
    _runs = 0

    def __init__(
        self,
        dataset: Dataset[Any] | Sequence[Any],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[int] | Iterable[int] | None = None,
        batch_sampler: Sampler[list[int]] | Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        worker_kind: Literal["thread", "process"] = "thread",
        seed: int | None = None,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, worker_kind)
        self.streams = isinstance(dataset, IterableDataset)
        _check_sampling(self.streams, batch_size, shuffle, sampler, batch_sampler, drop_last)
        if seed is not None and generator is not None:
            raise ArgumentError("DataLoader: seed and generator exclude each other")
        self.dataset = dataset
        self.num_workers, self.worker_kind, self.worker_init_fn = num_workers, worker_kind, worker_init_fn
        self.pin_memory, self.timeout, self.persistent_workers = pin_memory, timeout, persistent_workers
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers > 0 else prefetch_factor
        self.multiprocessing_context = _context(multiprocessing_context)
        self.generator, self.seed = generator, seed
        source = seed if seed is not None else generator
        self._seeds = Seeds(source)
        self.drop_last, self.batch_size = drop_last, None if batch_sampler is not None else batch_size
        if sampler is None and not self.streams:
            sampler = RandomSampler(dataset, generator=Seeds(source)) if shuffle else SequentialSampler(dataset)  # type: ignore[arg-type]
        self.sampler, self.batch_sampler = sampler, batch_sampler
        if sampler is not None and batch_sampler is None and batch_size is not None:
            self.batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self._collate = collate_fn
        self._progress = Progress(0)

    @property
    def collate_fn(self) -> Callable[[Any], Any]:
        """The function that makes batches of samples."""
        batched = self.batch_sampler is not None or self.batch_size is not None
        return self._collate or (default_collate if batched else default_convert)

    def __iter__(self) -> LoaderIterator:
        old = self._current() if self._current is not None else None
        if isinstance(old, WorkerIterator) and self.persistent_workers:
            old.detach()
        if not self._resumes:
            begun = self._progress.seed is not None
            self._progress = Progress(self._progress.epoch + begun)
        if self._progress.seed is None:
            self._progress.seed = self._seeds.draw()
        self._resumes = False
        if not is_seeded(self._index_source):
            self._sampler_state = sampler_state(self._index_source)
        kind = WorkerIterator if self.num_workers else SerialIterator
        iterator = kind(self, self._progress)
        self._current = weakref.ref(iterator)
        return iterator

    def __len__(self) -> int:
        """Batches per epoch; TypeError when the dataset or sampler has no length."""
        if self.streams:
            n = len(self.dataset)  # type: ignore[arg-type]
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.batch_sampler if self.batch_sampler is not None else self.sampler)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Where the newest iteration stands, as numbers, strings, lists and dicts.

        The orders of this and all later epochs are fixed by it, with one exception: with neither seed nor generator
        later epochs draw from pydl's default generator, whose state is the program's to save.
        """
        p, sampler = self._progress, self._sampler_state
        if p.seed is None or is_seeded(self._index_source):
            sampler = sampler_state(self._index_source)
        return {
            "epoch": p.epoch,
            "batch": p.batch,
            "seed": p.seed,
            "seeds": self._seeds.state_dict(),
            "sampler": sampler,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The next iteration gives the batches that were still to come when `state` was taken, which may be none.

        Map style: the samples already given are not made again. Iterable style: the stream is read again up to there.
        Raises: ArgumentError when `state` does not belong to a loader like this one.
        """
        if not isinstance(state, Mapping) or set(state) != _STATE_KEYS:
            raise ArgumentError(f"DataLoader: state must have the entries {sorted(_STATE_KEYS)}, got {_names(state)}")
        batch, epoch = state["batch"], state["epoch"]
        if not isinstance(batch, int) or not isinstance(epoch, int) or batch < 0 or epoch < 0:
            raise ArgumentError(f"DataLoader: epoch and batch must be numbers >= 0, got {epoch!r} and {batch!r}")
        self._seeds.load_state_dict(state["seeds"])
        load_sampler_state(self._index_source, state["sampler"])
        self._sampler_state = state["sampler"]
        self._progress = Progress(epoch, batch, state["seed"])
        self._resumes = True
        self._current = None

    @property
    def _index_source(self) -> Any:
        return self.batch_sampler if self.batch_sampler is not None else self.sampler

    # What the iterators ask of their loader.

    def finished(self, progress: Progress) -> None:
        """The iteration that counts in `progress` has given everything."""
        if progress is self._progress:
            epoch_done(self._index_source)
            self._progress = Progress(progress.epoch + 1)

    def source(self) -> Source:
        """How batches are made."""
        batched = self.batch_sampler is not None or self.batch_size is not None
        default = default_collate if batched else default_convert
        return Source(self.dataset, batched, self.drop_last, self._collate, default)

    def indices(self, skip: int) -> Iterator[Any]:
        """One epoch of tasks after the first `skip`; for a stream endless, the stream knows its end."""
        if self.streams:
            return repeat(None if self.batch_size is None else range(self.batch_size))
        return index_stream(self._index_source, skip)

    def open_pool(self) -> tuple[Pool, int]:
        """The workers and a new run number for them."""
        self._runs += 1
        if self._pool is not None:
            return self._pool, self._runs
        pool: Pool
        if self.worker_kind == "thread":
            pool = ThreadPool(self.source(), self.num_workers, self.worker_init_fn)
        else:
            from pydl.data.processes import ProcessPool  # multiprocessing is slow to import

            pool = ProcessPool(self.source(), self.num_workers, self.worker_init_fn, self.multiprocessing_context)
        if self.persistent_workers:
            self._pool = pool
        return pool, self._runs

    def release_pool(self, pool: Pool, broken: bool = False) -> None:
        """An iteration is done with its workers."""
        if broken and self._pool is pool:
            self._pool = None
        if self._pool is not pool:
            pool.close()


def _names(state: object) -> object:
    return sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__


def _context(context: str | BaseContext | None) -> BaseContext | None:
    if isinstance(context, str):
        import multiprocessing

        return multiprocessing.get_context(context)
    return context


def _check_workers(num_workers: int, timeout: float, prefetch: int | None, persistent: bool, kind: str) -> None:
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
        raise ArgumentError(f"DataLoader: num_workers must be an integer >= 0, got {num_workers!r}")
    if timeout < 0:
        raise ArgumentError(f"DataLoader: timeout must be >= 0, got {timeout}")
    if kind not in ("thread", "process"):
        raise ArgumentError(f'DataLoader: worker_kind must be "thread" or "process", got {kind!r}')
    if num_workers == 0 and prefetch is not None:
        raise ArgumentError("DataLoader: prefetch_factor needs num_workers > 0")
    if prefetch is not None and prefetch < 1:
        raise ArgumentError(f"DataLoader: prefetch_factor must be >= 1, got {prefetch}")
    if num_workers == 0 and persistent:
        raise ArgumentError("DataLoader: persistent_workers needs num_workers > 0")


def _check_sampling(
    streams: bool, batch_size: int | None, shuffle: bool | None, sampler: object, batch_sampler: object, drop_last: bool
) -> None:
    if streams:
        for name, given in (("shuffle", shuffle), ("sampler", sampler), ("batch_sampler", batch_sampler)):
            if given not in (None, False):
                raise ArgumentError(f"DataLoader: an IterableDataset sets its own order: {name} must not be given")
    if sampler is not None and shuffle:
        raise ArgumentError("DataLoader: sampler and shuffle exclude each other")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ArgumentError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
    if batch_size is None and drop_last:
        raise ArgumentError("DataLoader: batch_size=None makes no batches, so drop_last must not be given")
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size <= 0):
        raise ArgumentError(f"DataLoader: batch_size must be a positive integer or None, got {batch_size!r}")
