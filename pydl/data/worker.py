"""What runs inside a worker, thread or process alike: tasks in, batches out."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from pydl.data.dataset import Dataset, IterableDataset
from pydl.data.seeds import draw_seed
from pydl.errors import PydlError

Collate = Callable[[Any], Any]

_here = threading.local()


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker runs this code: number `id` of `num_workers`, with its seed and its (copy of the) dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


def get_worker_info() -> WorkerInfo | None:
    """The worker that this code runs in; None in the main thread of the loader."""
    return getattr(_here, "info", None)


def batch_rng() -> np.random.Generator:
    """The random numbers of the batch being made, for augmentation inside a dataset or collate function.

    Inside a loader they depend on the epoch's seed and the batch's number only, so that the kind and number of
    workers and an interrupted run change nothing. Elsewhere each call seeds a new generator from pydl's default one.
    """
    rng = getattr(_here, "rng", None)
    if rng is None:
        batch = getattr(_here, "batch", None)
        if batch is None:
            return np.random.Generator(np.random.Philox(draw_seed()))
        rng = _here.rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(batch)))
    return rng


class End:
    """An iterable dataset has no more to give. Compared by type: it travels between processes."""


@dataclass
class Source:
    """How batches are made: all that a worker needs to know of the loader.

    `collate` is None where no collate_fn was given, which lets a dataset make the whole batch at once.
    """

    dataset: Any
    batched: bool
    drop_last: bool
    collate: Collate | None
    default: Collate

    def open(self) -> Fetcher:
        """A fetcher for one epoch."""
        return IterableFetcher(self) if isinstance(self.dataset, IterableDataset) else MapFetcher(self)


class Fetcher:
    """Makes the batch with the given indices (or, of an iterable dataset, the next batch of that many samples)."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def fetch(self, indices: Any) -> Any:
        """The batch, or End()."""
        raise TypeError(f"{type(self).__name__}: a fetcher must define fetch")

    def __call__(self, indices: Any, seed: int, number: int) -> Any:
        outer = getattr(_here, "batch", None), getattr(_here, "rng", None)  # a loader inside a dataset
        _here.batch, _here.rng = (seed, number), None
        try:
            return self.fetch(indices)
        except StopIteration as error:  # would end the loader's loop silently
            raise RuntimeError("DataLoader: the dataset or collate_fn raised StopIteration") from error
        finally:
            _here.batch, _here.rng = outer


class MapFetcher(Fetcher):
    """Indices -> samples -> batch."""

    def fetch(self, indices: Any) -> Any:
        source, dataset = self.source, self.source.dataset
        collate = source.collate or source.default
        if not source.batched:
            return collate(dataset[indices])
        if source.collate is None and isinstance(dataset, Dataset):
            return dataset.getbatch(indices)
        picks = indices.tolist() if isinstance(indices, np.ndarray) else indices
        if hasattr(dataset, "__getitems__"):
            return collate(dataset.__getitems__(picks))
        return collate([dataset[i] for i in picks])


class IterableFetcher(Fetcher):
    """The next len(indices) samples of the stream -> batch."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.samples: Iterator[Any] = iter(source.dataset)
        self.ended = False

    def fetch(self, indices: Any) -> Any:
        source = self.source
        collate = source.collate or source.default
        if self.ended:
            return End()
        if not source.batched:
            sample = self._next()
            return sample if self.ended else collate(sample)
        samples: list[Any] = []
        while len(samples) < len(indices):
            sample = self._next()
            if self.ended:
                break
            samples.append(sample)
        if not samples or (source.drop_last and len(samples) < len(indices)):
            return End()
        return collate(samples)

    def _next(self) -> Any:
        try:
            return next(self.samples)
        except StopIteration:
            self.ended = True
            return End()


@dataclass
class Epoch:
    """Message to a worker: begin an epoch. Replies carry `run`, which tells those of an abandoned epoch apart."""

    run: int
    seed: int


@dataclass
class Task:
    """Message to a worker: make batch `number` of run `run`."""

    run: int
    number: int
    indices: Any


@dataclass
class Reply:
    """A worker's answer to a task: the batch, End() or a Failure."""

    run: int
    value: Any


class Worker:
    """The state of one worker between messages."""

    def __init__(self, number: int, num_workers: int, source: Source, init: Callable[[int], None] | None) -> None:
        self.number, self.num_workers, self.source, self.init = number, num_workers, source, init
        self.fetcher: Fetcher | None = None
        self.seed = 0
        self.ready = False
        self.failure: Failure | None = None

    def handle(self, message: Epoch | Task) -> Reply | None:
        """None for the start of an epoch; what goes wrong there is the answer to the tasks that follow."""
        if isinstance(message, Epoch):
            self.failure = None
            try:
                self._begin(message)
            except BaseException as error:
                self.failure = Failure(error, self.number)
            return None
        if self.failure is not None:
            return Reply(message.run, self.failure)
        assert self.fetcher is not None
        try:
            return Reply(message.run, self.fetcher(message.indices, self.seed, message.number))
        except BaseException as error:  # KeyboardInterrupt and SystemExit too: they belong to the caller
            return Reply(message.run, Failure(error, self.number))

    def _begin(self, epoch: Epoch) -> None:
        self.seed = epoch.seed
        _here.info = WorkerInfo(self.number, self.num_workers, epoch.seed + self.number, self.source.dataset)
        if not self.ready and self.init is not None:
            self.init(self.number)
        self.ready = True
        self.fetcher = self.source.open()


class WorkerDeath(PydlError, RuntimeError):
    """A worker process ended without being asked to."""


class _KeyErrorText(str):
    """KeyError shows repr(text); this one's repr keeps the line breaks of the traceback."""

    def __repr__(self) -> str:
        return str(self)


class Failure:
    """An exception on its way from a worker to the caller, with the text of its traceback."""

    def __init__(self, error: BaseException, worker: int) -> None:
        self.error: BaseException | None = error
        self.kind: type[BaseException] = type(error)
        text = "".join(traceback.format_exception(error))
        self.text = f"Caught {self.kind.__name__} in DataLoader worker {worker}.\nOriginal {text}"

    def __getstate__(self) -> dict[str, Any]:
        import pickle  # only worker processes come here

        try:  # tried here, because an exception that cannot be rebuilt would break the pipe's other end
            copy = pickle.loads(pickle.dumps(self.error))
        except Exception:
            copy = None
        return {"error": copy, "kind": RuntimeError if copy is None else self.kind, "text": self.text}

    def reraise(self) -> NoReturn:
        """Raise the same type with the traceback in its text; the original, where it could travel, is its cause."""
        text: Any = _KeyErrorText(self.text) if issubclass(self.kind, KeyError) else self.text
        try:
            error = self.kind(text)
        except Exception:  # its constructor wants other arguments
            error = RuntimeError(self.text)
        raise error from self.error
