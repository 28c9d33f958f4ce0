"""One pass over a DataLoader, in the calling thread or by workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydl.data.worker import End, Epoch, Failure, Task, WorkerDeath

if TYPE_CHECKING:
    from pydl.data.loader import DataLoader, Progress

_NO_MORE = object()


class LoaderIterator:
    """An iterator that counts in `progress` what it has given; the batches before `progress.batch` are skipped.

    Indices are skipped without making samples. A stream has no index: its first batches are made and dropped.
    """

    def __init__(self, loader: DataLoader, progress: Progress) -> None:
        self._loader = loader
        self._progress = progress
        self._streams = loader.streams
        self._indices: Iterator[Any] = loader.indices(progress.batch)
        self._number = 0 if self._streams else progress.batch
        self._drop = progress.batch if self._streams else 0
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self) -> Any:
        while not self._ended:
            batch = self._take()
            if batch is _NO_MORE:
                self._ended = True
                self._loader.finished(self._progress)
            elif self._drop:
                self._drop -= 1
            else:
                return batch
        raise StopIteration

    def _take(self) -> Any:
        """The next batch, counted, or _NO_MORE."""
        raise TypeError(f"{type(self).__name__}: an iterator must define _take")

    def _count(self) -> None:
        if not self._drop:
            self._progress.batch += 1


class SerialIterator(LoaderIterator):
    """Makes each batch when it is asked for."""

    def __init__(self, loader: DataLoader, progress: Progress) -> None:
        super().__init__(loader, progress)
        assert progress.seed is not None
        self._seed = progress.seed
        self._fetcher = loader.source().open()

    def _take(self) -> Any:
        indices = next(self._indices, _NO_MORE)
        if indices is _NO_MORE:
            return _NO_MORE
        self._number += 1
        try:
            batch = self._fetcher(indices, self._seed, self._number)
        except BaseException:
            self._count()
            raise
        if isinstance(batch, End):
            return _NO_MORE
        self._count()
        return batch


class WorkerIterator(LoaderIterator):
    """Keeps `prefetch_factor` tasks with each worker, dealt out in turn, and takes the replies in the same order."""

    def __init__(self, loader: DataLoader, progress: Progress) -> None:
        super().__init__(loader, progress)
        assert progress.seed is not None and loader.prefetch_factor is not None
        self._pool, self._run = loader.open_pool()
        self._active = deque(range(loader.num_workers))
        self._waiting: deque[int] = deque()
        self._error: BaseException | None = None
        for worker in range(loader.num_workers):
            self._pool.send(worker, Epoch(self._run, progress.seed))
        for _ in range(loader.num_workers * loader.prefetch_factor):
            self._request()

    def detach(self) -> None:
        """A newer iteration takes the persistent workers over."""
        if not self._ended:
            self._waiting.clear()
            self._error = RuntimeError(
                "DataLoader: persistent workers serve one iteration at a time; this one ended when a newer one began"
            )

    def _request(self) -> None:
        if not self._active:
            return
        try:
            indices = next(self._indices, _NO_MORE)
        except Exception as error:  # the sampler's; raised when the batches before it have been given
            self._error, indices = error, _NO_MORE
        if indices is _NO_MORE:
            self._active.clear()
            return
        worker = self._active[0]
        self._active.rotate(-1)
        self._number += 1
        self._pool.send(worker, Task(self._run, self._number, indices))
        self._waiting.append(worker)

    def _take(self) -> Any:
        while self._waiting:
            value = self._reply(self._waiting[0])
            worker = self._waiting.popleft()
            if isinstance(value, End):
                if worker in self._active:
                    self._active.remove(worker)
                self._request()
                continue
            self._request()
            self._count()
            if isinstance(value, Failure):
                value.reraise()
            return value
        if self._error is not None:
            raise self._error
        self._loader.release_pool(self._pool)
        return _NO_MORE

    def _reply(self, worker: int) -> Any:
        try:
            while True:
                reply = self._pool.receive(worker, self._loader.timeout)
                if reply.run == self._run:  # not one of an abandoned epoch
                    return reply.value
        except WorkerDeath as death:
            self._waiting.clear()
            self._error = death
            self._loader.release_pool(self._pool, broken=True)
            raise
