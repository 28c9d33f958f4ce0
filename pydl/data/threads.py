"""Worker threads: the default.

They share memory with the caller, start at once, and overlap where NumPy, pydl's kernels and file reading release the
interpreter's lock.
"""

from __future__ import annotations

import copy
import queue
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydl.data.dataset import IterableDataset
from pydl.data.worker import Epoch, Reply, Source, Task, Worker

_JOIN_SECONDS = 5.0


class ThreadPool:
    """One inbox and one outbox per worker; a worker answers its tasks in order."""

    def __init__(self, source: Source, num_workers: int, init: Callable[[int], None] | None) -> None:
        self._inboxes: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(num_workers)]
        self._outboxes: list[queue.SimpleQueue[Reply]] = [queue.SimpleQueue() for _ in range(num_workers)]
        stop = threading.Event()
        threads = []
        for i in range(num_workers):
            worker = Worker(i, num_workers, _own_source(source), init)
            args = (worker, self._inboxes[i], self._outboxes[i], stop)
            threads.append(threading.Thread(target=_serve, args=args, name=f"pydl-data-{i}", daemon=True))
        for thread in threads:
            thread.start()
        self._finalizer = weakref.finalize(self, _shut, threads, self._inboxes, stop)

    def send(self, worker: int, message: Epoch | Task) -> None:
        """Queue a message; never blocks."""
        self._inboxes[worker].put(message)

    def receive(self, worker: int, timeout: float) -> Reply:
        """The worker's next reply. Raises RuntimeError after `timeout` seconds (0: waits for ever)."""
        try:
            return self._outboxes[worker].get(timeout=timeout or None)
        except queue.Empty:
            raise RuntimeError(f"DataLoader: timed out after {timeout} seconds") from None

    def close(self) -> None:
        """Stop the threads: each ends after the sample that it is making."""
        self._finalizer()


def _own_source(source: Source) -> Source:
    """A stream's worker may change its dataset's fields (its share), so each thread gets a shallow copy."""
    if isinstance(source.dataset, IterableDataset):
        return replace(source, dataset=copy.copy(source.dataset))
    return source


def _serve(worker: Worker, inbox: queue.SimpleQueue[Any], outbox: queue.SimpleQueue[Reply], stop: Any) -> None:
    while (message := inbox.get()) is not None and not stop.is_set():
        reply = worker.handle(message)
        if reply is not None:
            outbox.put(reply)
        del message, reply  # an idle thread keeps no batch alive


def _shut(threads: list[threading.Thread], inboxes: list[queue.SimpleQueue[Any]], stop: threading.Event) -> None:
    stop.set()
    for inbox in inboxes:
        inbox.put(None)
    for thread in threads:
        if thread is not threading.current_thread():  # the collector may run anywhere
            thread.join(_JOIN_SECONDS)
