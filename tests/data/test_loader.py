"""DataLoader: order, seeds, batches, streams, arguments, in the calling thread and with threads."""

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

WORKERS = [0, 2]


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


class Noise(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        return batch_rng().random()


def identity(batch):
    return batch


def flat(loader):
    return [v for batch in loader for v in (batch.tolist() if isinstance(batch, pydl.Tensor) else batch)]


def table(n=20):
    return TensorDataset(pydl.from_numpy(np.arange(2 * n, dtype=np.float32).reshape(n, 2)), pydl.arange(n))


@pytest.mark.parametrize("workers", WORKERS)
def test_order_and_values(workers):
    loader = DataLoader(table(), 6, num_workers=workers)
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
    def epochs(seed, workers=0, **kw):
        loader = DataLoader(table(), 3, shuffle=True, seed=seed, num_workers=workers, **kw)
        return [[v for b in loader for v in b[1].tolist()] for _ in range(3)]

    base = epochs(7)
    assert all(sorted(e) == list(range(20)) for e in base)
    assert base[0] != base[1] != base[2] != base[0]
    assert base != epochs(8)
    assert epochs(7, 2) == epochs(7, 3, prefetch_factor=5) == base
    assert epochs(7, 2, persistent_workers=True) == base
    assert epochs(7, 2, worker_kind="process", persistent_workers=True) == base


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


@pytest.mark.parametrize("workers", WORKERS)
def test_batches_of_samples(workers):
    options = {"num_workers": workers}
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


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("persistent", [False, True])
def test_streams(workers, persistent):
    options = {"num_workers": workers, "persistent_workers": persistent and workers > 0}
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
