"""state_dict and load_state_dict: the batches that were still to come, for every sampler and kind of worker."""

import copy
import json

import numpy as np
import pytest

import pydl
from pydl.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    batch_rng,
    get_worker_info,
)

N = 14
THREADS = [0, 2]


class Numbers(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        return i


class Watched(Numbers):
    """Remembers what was asked for."""

    def __init__(self):
        self.asked = []

    def __getitem__(self, i):
        self.asked.append(i)
        return i


class Augmented(Numbers):
    def __getitem__(self, i):
        return i + batch_rng().random()


class Stream(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, N, info.num_workers) if info else range(N))


class Rotating(Sampler):
    """A sampler with its own state: epoch k starts at k."""

    def __init__(self):
        self.turn = -1

    def __iter__(self):
        self.turn += 1
        return iter([(i + self.turn) % N for i in range(N)])

    def __len__(self):
        return N

    def state_dict(self):
        return {"turn": self.turn}

    def load_state_dict(self, state):
        self.turn = state["turn"]


def generator():
    return pydl.Generator().manual_seed(11)


def numpy_generator():
    return np.random.default_rng(11)


LOADERS = {
    "sequential": lambda **kw: DataLoader(Numbers(), 3, **kw),
    "explicit sequential": lambda **kw: DataLoader(Numbers(), 3, sampler=SequentialSampler(Numbers()), **kw),
    "seed": lambda **kw: DataLoader(Numbers(), 3, shuffle=True, seed=5, **kw),
    "generator": lambda **kw: DataLoader(Numbers(), 3, shuffle=True, generator=generator(), **kw),
    "numpy generator": lambda **kw: DataLoader(Numbers(), 3, shuffle=True, generator=numpy_generator(), **kw),
    "drop last": lambda **kw: DataLoader(Numbers(), 3, shuffle=True, drop_last=True, seed=5, **kw),
    "random": lambda **kw: DataLoader(Numbers(), 3, sampler=RandomSampler(Numbers(), generator=generator()), **kw),
    "replacement": lambda **kw: DataLoader(
        Numbers(), 3, sampler=RandomSampler(Numbers(), True, 20, generator=generator()), **kw
    ),
    "long": lambda **kw: DataLoader(
        Numbers(), 3, sampler=RandomSampler(Numbers(), num_samples=32, generator=generator()), **kw
    ),
    "subset": lambda **kw: DataLoader(
        Numbers(), 2, sampler=SubsetRandomSampler([1, 3, 5, 7, 9, 11], generator=generator()), **kw
    ),
    "weighted": lambda **kw: DataLoader(
        Numbers(), 3, sampler=WeightedRandomSampler(np.arange(N) + 1.0, 17, generator=generator()), **kw
    ),
    "weighted without replacement": lambda **kw: DataLoader(
        Numbers(), 3, sampler=WeightedRandomSampler(np.arange(N) + 1.0, 12, False, generator=generator()), **kw
    ),
    "batch sampler": lambda **kw: DataLoader(
        Numbers(), batch_sampler=BatchSampler(RandomSampler(Numbers(), generator=generator()), 4, False), **kw
    ),
    "own sampler": lambda **kw: DataLoader(Numbers(), 3, sampler=Rotating(), **kw),
    "samples": lambda **kw: DataLoader(Numbers(), None, shuffle=True, seed=5, **kw),
    "augmented": lambda **kw: DataLoader(Augmented(), 3, shuffle=True, seed=5, **kw),
    "stream": lambda **kw: DataLoader(Stream(), 3, seed=5, **kw),
    "stream of samples": lambda **kw: DataLoader(Stream(), None, seed=5, **kw),
}


def values(loader):
    return [b.tolist() if isinstance(b, pydl.Tensor) else b for b in loader]


def resumes(make, stop, **kw):
    """Three epochs without and with a break after `stop` batches of the second."""
    whole = make(**kw)
    expected = [values(whole) for _ in range(3)]
    first = make(**kw)
    assert values(first) == expected[0]
    batches = iter(first)
    for i in range(stop):
        batch = next(batches)
        assert (batch.tolist() if isinstance(batch, pydl.Tensor) else batch) == expected[1][i]
    state = copy.deepcopy(first.state_dict())
    second = make(**kw)
    second.load_state_dict(state)
    assert second.state_dict() == state
    assert values(second) == expected[1][stop:]
    assert values(second) == expected[2]


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("workers", THREADS)
def test_every_sampler_with_threads(name, workers):
    whole = len(values(LOADERS[name](num_workers=workers)))
    for stop in (0, 1, whole - 1, whole):
        resumes(LOADERS[name], stop, num_workers=workers)


@pytest.mark.parametrize("name", ["generator", "augmented", "stream"])
def test_processes(name):
    options = {"num_workers": 2, "worker_kind": "process", "persistent_workers": True}
    resumes(LOADERS[name], 2, **options)


@pytest.mark.parametrize("name", ["seed", "weighted", "augmented"])
def test_the_number_of_workers_may_change(name):
    first = LOADERS[name](num_workers=2)
    expected = [values(LOADERS[name]()), values(first)]
    assert expected[0] == expected[1]
    batches = iter(first)
    next(batches)
    second = LOADERS[name](num_workers=0)
    second.load_state_dict(first.state_dict())
    assert values(second) == values(batches)


def test_state_is_json():
    for make in LOADERS.values():
        loader = make()
        next(iter(loader))
        state = json.loads(json.dumps(loader.state_dict()))
        second = make()
        second.load_state_dict(state)
        assert len(values(second)) == len(values(make())) - 1


def test_given_samples_are_not_made_again():
    loader = DataLoader(Watched(), 3, shuffle=True, seed=1)
    batches = iter(loader)
    given = [v for _ in range(3) for v in next(batches).tolist()]
    second = DataLoader(Watched(), 3, shuffle=True, seed=1)
    second.load_state_dict(loader.state_dict())
    rest = [v for b in second for v in b.tolist()]
    assert second.dataset.asked == rest and sorted(given + rest) == list(range(N))


def test_default_generator_resumes_this_epoch():
    pydl.manual_seed(3)
    loader = DataLoader(Numbers(), 3, shuffle=True)
    expected = values(loader)
    pydl.manual_seed(3)
    batches = iter(loader)
    next(batches)
    second = DataLoader(Numbers(), 3, shuffle=True)
    second.load_state_dict(loader.state_dict())
    pydl.manual_seed(99)  # makes no difference: the epoch's seed is in the state
    assert values(second) == expected[1:]


def test_a_broken_off_epoch_is_followed_by_the_next():
    expected = [values(loader) for loader in [LOADERS["seed"]()] for _ in range(2)]
    loader = LOADERS["seed"]()
    for _ in loader:
        break
    assert loader.state_dict()["batch"] == 1
    assert values(loader) == expected[1]
    assert loader.state_dict()["epoch"] == 2 and loader.state_dict()["batch"] == 0


def test_loading_while_iterating_starts_over():
    loader = LOADERS["seed"]()
    state = loader.state_dict()
    expected = values(loader)
    old = iter(loader)
    next(old)
    loader.load_state_dict(state)
    assert values(loader) == expected
    list(old)  # the old iteration goes on, uncounted
    assert loader.state_dict()["epoch"] == 1


@pytest.mark.parametrize(
    "state, text",
    [
        (None, "got NoneType"),
        ({}, "must have the entries"),
        ({"epoch": 0, "batch": 0, "seed": 1, "seeds": {"count": 0}}, "must have the entries"),
        ({"epoch": -1, "batch": 0, "seed": None, "seeds": {"count": 0, "seed": 5}, "sampler": None}, "numbers >= 0"),
        ({"epoch": 0, "batch": "x", "seed": None, "seeds": {"count": 0, "seed": 5}, "sampler": None}, "numbers >= 0"),
        ({"epoch": 0, "batch": 0, "seed": None, "seeds": {"count": 0}, "sampler": None}, "this loader or sampler has"),
    ],
)
def test_foreign_states(state, text):
    loader = LOADERS["seed"]()
    before = loader.state_dict()
    with pytest.raises(ValueError, match=text):
        loader.load_state_dict(state)
    assert loader.state_dict() == before


def test_states_of_other_sources():
    kinds = [LOADERS[k] for k in ("sequential", "seed", "generator", "numpy generator")]
    for i, make in enumerate(kinds):
        for j, other in enumerate(kinds):
            if i != j:
                with pytest.raises(ValueError, match="state was saved"):
                    make().load_state_dict(other().state_dict())
