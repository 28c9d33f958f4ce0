"""DataLoader: order, seeds, arguments, workers of both kinds, failures, early ends."""

import gc
import os
import threading
import time

import numpy as np
import pytest

import pydl
from pydl.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    batch_rng,
    get_worker_info,
)

KINDS = [(0, "thread"), (2, "thread"), (2, "process")]
WORKERS = KINDS[1:]


class Squares(Dataset):
    """Sample i is i*i, as a NumPy row."""

    def __init__(self, n=20):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return np.array([i, i * i], np.float32)


class Stream(IterableDataset):
    """0..n-1, dealt to the workers in turn."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        return iter(range(first, self.n, step))


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
        time.sleep(1.0)
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


class Noise(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        return batch_rng().random()


def identity(batch):
    return batch


def fail_init(worker):
    raise LookupError(f"no luck for {worker}")


def flat(loader):
    return [v for batch in loader for v in (batch.tolist() if isinstance(batch, pydl.Tensor) else batch)]


def table(n=20):
    return TensorDataset(pydl.from_numpy(np.arange(2 * n, dtype=np.float32).reshape(n, 2)), pydl.arange(n))


@pytest.mark.parametrize("workers, kind", KINDS)
def test_order_and_values(workers, kind):
    loader = DataLoader(table(), 6, num_workers=workers, worker_kind=kind)
    batches = list(loader)
    assert [b[1].tolist() for b in batches] == [list(range(i, min(i + 6, 20))) for i in range(0, 20, 6)]
    assert all(isinstance(b, list) and tuple(b[0].shape) == (len(b[1]), 2) for b in batches)
    assert batches[1][0].dtype == pydl.float32 and batches[1][1].dtype == pydl.int64
    np.testing.assert_array_equal(batches[1][0].numpy(), np.arange(12, 24, dtype=np.float32).reshape(6, 2))
    batches[0][0].numpy()[0, 0] = 99  # a batch is the caller's own: writable, not a view of the dataset
    assert next(iter(loader))[0].numpy()[0, 0] == 0
    assert len(loader) == len(iter(loader)) == 4
    assert len(DataLoader(table(), 6, drop_last=True)) == 3 == len(list(DataLoader(table(), 6, drop_last=True)))


def test_shuffle_depends_on_the_seed_alone():
    def epochs(seed, workers=0, kind="thread", **kw):
        loader = DataLoader(table(), 3, shuffle=True, seed=seed, num_workers=workers, worker_kind=kind, **kw)
        return [[v for b in loader for v in b[1].tolist()] for _ in range(3)]

    base = epochs(7)
    assert all(sorted(e) == list(range(20)) for e in base)
    assert base[0] != base[1] != base[2] != base[0]
    assert base != epochs(8)
    for workers, kind in WORKERS:
        assert epochs(7, workers, kind) == base
        assert epochs(7, workers, kind, persistent_workers=True) == base
    assert epochs(7, 3, prefetch_factor=5) == base


def test_generators_fix_the_order():
    def order(**kw):
        return [v for b in DataLoader(table(), 4, shuffle=True, **kw) for v in b[1].tolist()]

    pydl.manual_seed(5)
    first, second = order(), order()
    pydl.manual_seed(5)
    assert (order(), order(num_workers=2)) == (first, second) and first != second
    for make in (lambda: pydl.Generator().manual_seed(3), lambda: np.random.default_rng(3)):
        a, b = make(), make()
        assert order(generator=a) == order(generator=b, num_workers=2)
        assert order(generator=a) == order(generator=b)


@pytest.mark.parametrize("workers, kind", KINDS)
def test_batches_of_samples(workers, kind):
    options = {"num_workers": workers, "worker_kind": kind}
    batches = list(DataLoader(Squares(), 8, **options))
    assert [tuple(b.shape) for b in batches] == [(8, 2), (8, 2), (4, 2)]
    assert batches[2][3].tolist() == [19, 361]
    got = list(DataLoader(Squares(5), 2, collate_fn=identity, **options))
    assert [len(b) for b in got] == [2, 2, 1] and isinstance(got[0][0], np.ndarray)
    singles = list(DataLoader(Squares(3), None, **options))
    assert [tuple(s.shape) for s in singles] == [(2,)] * 3
    assert list(DataLoader(["a", "b", "c"], 2, **options)) == [["a", "b"], ["c"]]
    own = DataLoader(Squares(6), batch_sampler=[[5, 0], [1], [2, 3, 4]], **options)
    assert [b[:, 0].tolist() for b in own] == [[5, 0], [1], [2, 3, 4]] and len(own) == 3
    assert flat(DataLoader(range(5), 2, sampler=[4, 2, 0], **options)) == [4, 2, 0]


@pytest.mark.parametrize("workers, kind", KINDS)
@pytest.mark.parametrize("persistent", [False, True])
def test_streams(workers, kind, persistent):
    options = {"num_workers": workers, "worker_kind": kind, "persistent_workers": persistent and workers > 0}
    loader = DataLoader(Stream(11), 2, **options)
    for _ in range(2):
        batches = [b.tolist() for b in loader]
        assert sorted(v for b in batches for v in b) == list(range(11))
        assert batches[0] == ([0, 2] if workers else [0, 1])
    assert batches == ([[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9]] if workers else batches)
    full = [b.tolist() for b in DataLoader(Stream(11), 2, drop_last=True, **options)]
    assert all(len(b) == 2 for b in full) and len(full) == 5
    assert sorted(DataLoader(Stream(7), None, **options)) == list(range(7))
    assert list(DataLoader(Stream(0), 2, **options)) == []
    with pytest.raises(TypeError):
        len(loader)


@pytest.mark.parametrize("workers, kind", WORKERS)
def test_worker_init_may_cut_shares(workers, kind):
    data = Share(0, 8)
    loader = DataLoader(data, 2, num_workers=workers, worker_kind=kind, worker_init_fn=cut_share)
    assert [b.tolist() for b in loader] == [[0, 1], [4, 5], [2, 3], [6, 7]]
    assert (data.start, data.stop) == (0, 8)
    assert get_worker_info() is None


@pytest.mark.parametrize("workers, kind", WORKERS)
@pytest.mark.parametrize("error", [ValueError, KeyError, StopIteration, pydl.errors.ShapeError, two_arguments])
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


def test_errors_without_workers():
    with pytest.raises(ValueError, match="unlucky"):
        list(DataLoader(Moody(ValueError), 2))
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(DataLoader(Moody(StopIteration), 2))


@pytest.mark.parametrize("workers, kind", WORKERS)
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


@pytest.mark.parametrize("workers, kind", WORKERS)
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


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
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


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_batch_rng_depends_on_seed_and_batch_alone(kind):
    base = [flat(DataLoader(Noise(), 3, seed=1)), flat(DataLoader(Noise(), 3, seed=2))]
    assert len(set(base[0])) == 12 and base[0] != base[1]
    assert flat(DataLoader(Noise(), 3, seed=1, num_workers=2, worker_kind=kind)) == base[0]
    assert 0 <= batch_rng().random() < 1


def test_state_of_loaders_side_by_side():
    loader = DataLoader(table(), 5, shuffle=True, seed=0, num_workers=2)
    pairs = [(a[1].tolist(), b[1].tolist()) for a, b in zip(loader, loader, strict=True)]
    assert sorted(v for a, _ in pairs for v in a) == sorted(v for _, b in pairs for v in b) == list(range(20))


@pytest.mark.parametrize(
    "kwargs, text",
    [
        ({"shuffle": True, "sampler": [0]}, "sampler and shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "shuffle": True}, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "sampler": [0]}, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "drop_last": True}, "batch_sampler excludes"),
        ({"batch_size": None, "drop_last": True}, "drop_last"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"batch_size": 2.0}, "batch_size must be"),
        ({"num_workers": -1}, "num_workers must be"),
        ({"timeout": -1}, "timeout must be"),
        ({"prefetch_factor": 2}, "prefetch_factor needs"),
        ({"prefetch_factor": 0, "num_workers": 1}, "prefetch_factor must be"),
        ({"persistent_workers": True}, "persistent_workers needs"),
        ({"worker_kind": "fiber"}, "worker_kind must be"),
        ({"seed": 1, "generator": np.random.default_rng()}, "seed and generator"),
    ],
)
def test_conflicting_arguments(kwargs, text):
    with pytest.raises(ValueError, match=text):
        DataLoader(range(4), **kwargs)


@pytest.mark.parametrize("kwargs", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_streams_have_their_own_order(kwargs):
    with pytest.raises(ValueError, match="sets its own order"):
        DataLoader(Stream(3), **kwargs)


def test_attributes_follow_torch():
    loader = DataLoader(range(10), 3, num_workers=2)
    assert loader.batch_size == 3 and loader.prefetch_factor == 2 and isinstance(loader.sampler, SequentialSampler)
    assert isinstance(loader.batch_sampler, BatchSampler) and not loader.drop_last
    assert isinstance(DataLoader(range(3), shuffle=True).sampler, RandomSampler)
    assert DataLoader(range(3), batch_sampler=[[0]]).batch_size is None
    assert DataLoader(range(3)).prefetch_factor is None
