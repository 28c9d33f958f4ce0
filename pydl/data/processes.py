"""Worker processes: for datasets whose own Python code is the bottleneck.

Each worker has one pipe for tasks and one for replies. Tensors travel as NumPy arrays, their bytes outside the pickle
(protocol 5), so that they are copied once into the pipe and once out of it.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import queue
import random
import signal
import threading
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np

import pydl
from pydl.data.worker import Epoch, Failure, Reply, Source, Task, Worker, WorkerDeath
from pydl.errors import ArgumentError

_JOIN_SECONDS = 5.0


def default_context() -> BaseContext:
    """forkserver where there is one, else spawn: a fork would copy the locks of threads that do not live on in it."""
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")


class ProcessPool:
    """As ThreadPool, with processes.

    Raises: ArgumentError when the dataset or a function given to the loader cannot be pickled; RuntimeError from
        `receive` when a worker died.
    """

    def __init__(
        self, source: Source, num_workers: int, init: Callable[[int], None] | None, context: BaseContext | None
    ) -> None:
        context = context or default_context()
        forks = context.get_start_method() == "fork"
        pipes = [(context.Pipe(duplex=False), context.Pipe(duplex=False)) for _ in range(num_workers)]
        self._tasks = [task[1] for task, _ in pipes]
        self._replies = [reply[0] for _, reply in pipes]
        self._processes: list[Any] = []
        ours = [*self._tasks, *self._replies]
        self._finalizer = weakref.finalize(self, _shut, self._processes, ours)
        try:
            for i, (task, reply) in enumerate(pipes):
                plan = (source, init) if forks else _pickled_plan(source, init)
                # a forked child inherits every pipe: it closes the others, or nobody would see an end of file
                spare = [c for pair in pipes for ends in pair for c in ends if c not in (task[0], reply[1])]
                args = (i, num_workers, plan, task[0], reply[1], spare if forks else [])
                process = context.Process(target=_serve, args=args, name=f"pydl-data-{i}", daemon=True)  # type: ignore[attr-defined]
                process.start()
                self._processes.append(process)
        except BaseException:
            self.close()
            raise
        finally:
            for task, reply in pipes:
                task[0].close()
                reply[1].close()

    def send(self, worker: int, message: Epoch | Task) -> None:
        """Hand a message to the worker, which reads its pipe in a thread of its own and so never makes this wait."""
        try:
            self._tasks[worker].send(message)
        except OSError:
            raise self._death(worker) from None

    def receive(self, worker: int, timeout: float) -> Reply:
        """The worker's next reply. Raises RuntimeError after `timeout` seconds (0: waits for ever), or if it died."""
        pipe = self._replies[worker]
        try:
            if timeout and not pipe.poll(timeout):
                raise RuntimeError(f"DataLoader: timed out after {timeout} seconds")
            return _receive(pipe)  # type: ignore[no-any-return]
        except (EOFError, OSError):
            raise self._death(worker) from None

    def _death(self, worker: int) -> WorkerDeath:
        process = self._processes[worker]
        process.join(_JOIN_SECONDS)
        return WorkerDeath(
            f"DataLoader: worker {worker} (pid {process.pid}) exited unexpectedly, exit code {process.exitcode}"
        )

    def close(self) -> None:
        """Stop the processes: each ends after the sample that it is making, or is killed five seconds later."""
        self._finalizer()


def _shut(processes: list[Any], pipes: list[Connection]) -> None:
    for pipe in pipes:  # an end of file for a worker that reads, a broken pipe for one that writes
        pipe.close()
    for process in processes:
        process.join(_JOIN_SECONDS)
        for end in (process.terminate, process.kill):
            if process.is_alive():
                end()
                process.join(1.0)
        if not process.is_alive():
            process.close()


def _pickled_plan(source: Source, init: Callable[[int], None] | None) -> bytes:
    try:
        file = io.BytesIO()
        _Pickler(file, protocol=5).dump((source, init))
        return file.getvalue()
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ArgumentError(
            f"DataLoader: process workers need a dataset, collate_fn and worker_init_fn that can be pickled ({error}); "
            'use worker_kind="thread" or functions and classes of a module'
        ) from error


class _Pickler(pickle.Pickler):
    """Plain tensors as NumPy arrays, which travel outside the pickle; everything else in its own way."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is pydl.Tensor and not obj.requires_grad and obj.dtype != pydl.bfloat16:
            return pydl.from_numpy, (obj.cpu().numpy(),)
        return NotImplemented


def _send(pipe: Connection, value: Any) -> None:
    """The pickle and the sizes of its buffers, then the buffers."""
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    _Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
    views = [b.raw() for b in buffers]
    pipe.send((file.getvalue(), [v.nbytes for v in views]))
    for view in views:
        if view.nbytes:
            pipe.send_bytes(view)


def _receive(pipe: Connection) -> Any:
    data, sizes = pipe.recv()
    buffers = [bytearray(size) for size in sizes]  # writable, so the arrays on them are too
    for buffer in buffers:
        if buffer:
            pipe.recv_bytes_into(buffer)
    return pickle.loads(data, buffers=buffers)


def _serve(
    number: int, num_workers: int, plan: Any, tasks: Connection, replies: Connection, spare: list[Connection]
) -> None:
    """The process: answers tasks until the pipe or the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    for pipe in spare:
        pipe.close()
    pydl.set_num_threads(1)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks, inbox), daemon=True).start()
    worker, failure = None, None
    try:
        source, init = pickle.loads(plan) if isinstance(plan, bytes) else plan
        worker = Worker(number, num_workers, source, init)
    except Exception as error:
        failure = Failure(error, number)
    try:
        while (message := inbox.get()) is not None:
            if isinstance(message, Epoch):
                _seed_everything(message.seed + number)
            if worker is None:
                reply = None if isinstance(message, Epoch) else Reply(message.run, failure)
            else:
                reply = worker.handle(message)
            if reply is not None:
                _answer(replies, reply, number)
    except OSError:  # the parent closed its end
        pass
    os._exit(0)  # nothing to flush; exit handlers of the parent's libraries are not this process's business


def _answer(replies: Connection, reply: Reply, number: int) -> None:
    try:
        _send(replies, reply)
    except (pickle.PicklingError, TypeError, AttributeError) as error:  # raised before a byte was sent
        _send(replies, Reply(reply.run, Failure(error, number)))


def _read_tasks(tasks: Connection, inbox: queue.SimpleQueue[Any]) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    try:
        while tasks in wait([tasks, parent.sentinel]):
            inbox.put(tasks.recv())
    except (EOFError, OSError):
        pass
    inbox.put(None)


def _seed_everything(seed: int) -> None:
    """Code in a dataset that draws from global generators differs between workers and repeats between runs."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    pydl.manual_seed(seed)
