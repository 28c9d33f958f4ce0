"""Workers of the loader: failures, early ends, what travels, how processes start."""

import gc
import os
import threading
import time

import numpy as np
import pytest

import pydl
from pydl.data import DataLoader, Dataset, IterableDataset, get_worker_info

WORKERS = [(2, "thread"), (2, "process")]


def identity(batch):
    return batch


class Mixed(Dataset):
    """Everything that may travel."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return {
            "array": np.full((2, i), i, np.int32),
            "tensor": pydl.full((300, 100), i),
            "strided": pydl.arange(6).reshape(2, 3).T,
            "half": pydl.tensor([1.5, i]).to(pydl.bfloat16),
            "leaf": pydl.tensor([1.0], requires_grad=True),
            "other": ("text", b"bytes", i, None, 2.5),
        }


class Stream(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, 11, info.num_workers))


class Share(IterableDataset):
    """A range that worker_init_fn cuts into shares."""

    def __init__(self, start, stop):
        self.start, self.stop = start, stop

    def __iter__(self):
        return iter(range(self.start, self.stop))


def cut_share(worker):
    info = get_worker_info()
    assert info.id == worker
    data = info.dataset
    size = (data.stop - data.start) // info.num_workers
    data.start, data.stop = data.start + worker * size, data.start + (worker + 1) * size


class Moody(Dataset):
    """Raises what `error` makes at index 5."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 8

    def __getitem__(self, i):
        if i == 5:
            raise self.error("unlucky number")
        return i


class TwoArguments(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


def two_arguments(text):
    return TwoArguments(text, 2)


class Slow(Dataset):
    def __len__(self):
        return 100

    def __getitem__(self, i):
        time.sleep(0.02 if i else 0)
        return i


class Sleeper(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        time.sleep(0.3)
        return i


class Dying(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        if i == 4:
            os._exit(3)
        return i


class Heavy(Dataset):
    """Batches larger than a pipe's buffer, with tasks larger than it too."""

    def __len__(self):
        return 60000

    def getbatch(self, indices):
        return pydl.from_numpy(np.asarray(indices, np.float64))


class Strange(Dataset):
    """Samples that no pipe can carry."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return {"f": "text", "g": (lambda: i) if i else "text"}


def fail_init(worker):
    raise LookupError(f"no luck for {worker}")


def test_errors_without_workers():
    with pytest.raises(ValueError, match="unlucky"):
        list(DataLoader(Moody(ValueError), 2))
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(DataLoader(Moody(StopIteration), 2))


@pytest.mark.parametrize("workers, kind", [(2, "thread"), (1, "process")])
def test_what_travels(workers, kind):
    loader = DataLoader(Mixed(), 2, collate_fn=identity, num_workers=workers, worker_kind=kind)
    samples = [sample for batch in loader for sample in batch]
    for i, got in enumerate(samples):
        assert got["array"].dtype == np.int32 and got["array"].shape == (2, i) and (got["array"] == i).all()
        assert got["tensor"].numpy().shape == (300, 100) and (got["tensor"].numpy() == i).all()
        got["tensor"].numpy()[0, 0] = 7  # writable
        assert got["strided"].tolist() == [[0, 3], [1, 4], [2, 5]]
        assert got["half"].dtype == pydl.bfloat16 and got["half"].to(pydl.float32).tolist() == [1.5, i]
        assert got["leaf"].requires_grad and got["leaf"].tolist() == [1]
        assert got["other"] == ("text", b"bytes", i, None, 2.5)


def test_process_streams():
    loader = DataLoader(Stream(), 2, num_workers=2, worker_kind="process", persistent_workers=True)
    for _ in range(2):
        assert [b.tolist() for b in loader] == [[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9]]


@pytest.mark.parametrize("workers, kind", WORKERS)
def test_worker_init_may_cut_shares(workers, kind):
    data = Share(0, 8)
    loader = DataLoader(data, 2, num_workers=workers, worker_kind=kind, worker_init_fn=cut_share)
    assert [b.tolist() for b in loader] == [[0, 1], [4, 5], [2, 3], [6, 7]]
    assert (data.start, data.stop) == (0, 8)
    assert get_worker_info() is None


@pytest.mark.parametrize(
    "workers, kind, error",
    [(2, "thread", e) for e in (ValueError, KeyError, StopIteration, pydl.errors.ShapeError, two_arguments)]
    + [(1, "process", e) for e in (ValueError, KeyError, two_arguments)],
)
def test_worker_errors_reach_the_caller(workers, kind, error):
    loader = DataLoader(Moody(error), 2, num_workers=workers, worker_kind=kind)
    batches = iter(loader)
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    expected = RuntimeError if error in (StopIteration, two_arguments) else error
    with pytest.raises(expected) as caught:
        next(batches)
    text = str(caught.value)
    assert "unlucky number" in text and "in __getitem__" in text and f"worker {2 % workers}" in text and "\n" in text
    if error is ValueError:
        assert str(caught.value.__cause__) == "unlucky number"
    assert next(batches).tolist() == [6, 7]  # the others still come
    with pytest.raises(StopIteration):
        next(batches)


@pytest.mark.parametrize("workers, kind", [(2, "thread"), (1, "process")])
def test_a_failing_init_and_sampler(workers, kind):
    with pytest.raises(LookupError, match="no luck for 0"):
        list(DataLoader(range(4), 2, num_workers=workers, worker_kind=kind, worker_init_fn=fail_init))

    def batches():
        yield [0, 1]
        yield [2]
        raise ValueError("sampler broke")

    seen = []
    with pytest.raises(ValueError, match="sampler broke"):
        for batch in DataLoader(range(4), batch_sampler=batches(), num_workers=workers, worker_kind=kind):
            seen.append(batch.tolist())
    assert seen == [[0, 1], [2]]


def test_a_dead_process_is_named():
    loader = DataLoader(Dying(), 2, num_workers=2, worker_kind="process")
    batches = iter(loader)
    assert next(batches).tolist() == [0, 1]
    with pytest.raises(RuntimeError, match=r"worker 0 \(pid \d+\) exited unexpectedly, exit code 3"):
        list(batches)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        next(batches)


@pytest.mark.parametrize("workers, kind", [(2, "thread"), (1, "process")])
def test_timeout(workers, kind):
    batches = iter(DataLoader(Sleeper(), 1, num_workers=workers, worker_kind=kind, timeout=0.05))
    with pytest.raises(RuntimeError, match=r"timed out after 0\.05 seconds"):
        next(batches)


def test_what_cannot_travel():
    with pytest.raises(ValueError, match='worker_kind="thread"'):
        next(iter(DataLoader(range(3), 1, collate_fn=lambda b: b, num_workers=1, worker_kind="process")))
    batches = iter(DataLoader(Strange(), 1, collate_fn=identity, num_workers=1, worker_kind="process"))
    assert next(batches) == [{"f": "text", "g": "text"}]
    with pytest.raises((AttributeError, RuntimeError), match=r"pickle|local object"):
        next(batches)


def pool_threads():
    return [t for t in threading.enumerate() if t.name.startswith("pydl-data")]


def test_early_break_leaves_no_thread():
    for _ in range(3):
        for _ in DataLoader(Slow(), 2, num_workers=3):
            break
    gc.collect()
    assert pool_threads() == []
    loader = DataLoader(Slow(), 2, num_workers=2, persistent_workers=True)
    for _ in loader:
        break
    assert len(pool_threads()) == 2
    assert next(iter(loader)).tolist() == [0, 1]  # nothing of the abandoned epoch is left over
    del loader
    gc.collect()
    assert pool_threads() == []


@pytest.mark.parametrize("persistent", [False, True])
def test_early_break_leaves_no_process(persistent):
    loader = DataLoader(Slow(), 2, num_workers=2, worker_kind="process", persistent_workers=persistent)
    batches = iter(loader)
    assert next(batches).tolist() == [0, 1]
    processes = list(batches._pool._processes)
    pids = [p.pid for p in processes]
    assert all(p.is_alive() for p in processes)
    if persistent:
        again = iter(loader)
        assert next(again).tolist() == [0, 1]
        assert [p.pid for p in again._pool._processes] == pids
        with pytest.raises(RuntimeError, match="newer one began"):
            next(batches)
        del again
    started = time.perf_counter()
    del batches, loader
    gc.collect()
    assert time.perf_counter() - started < 4  # ended by themselves, were not killed
    for process in processes:
        with pytest.raises(ValueError, match="closed"):
            process.is_alive()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_start_methods_and_large_batches(method):
    loader = DataLoader(
        Heavy(),
        30000,
        shuffle=True,
        seed=1,
        num_workers=2,
        worker_kind="process",
        multiprocessing_context=method,
        prefetch_factor=2,
    )
    expected = [b.tolist() for b in DataLoader(Heavy(), 30000, shuffle=True, seed=1)]
    assert [b.tolist() for b in loader] == expected
    for _ in loader:  # a worker that still writes a large batch must end as well
        break
