"""Samplers: what they give, how often, from which seed."""

import numpy as np
import pytest

import pydl
from pydl.data import BatchSampler, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from pydl.data.seeds import Seeds, permutation, random_indices, uniform, weighted_indices

# with NumPy 2.4
PERMUTATION = [0, 3, 7, 5, 1, 2, 6, 4]
INDICES = [14, 257, 471, 91]
SEEDS = [3948308845846928943, 1858688918973179007]


def test_sequential():
    assert list(SequentialSampler("abc")) == [0, 1, 2] and len(SequentialSampler("abc")) == 3


def test_random_is_a_permutation_that_changes():
    sampler = RandomSampler(range(50), generator=np.random.default_rng(0))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50)) and first != second
    assert all(type(i) is int for i in first)
    assert list(RandomSampler(range(50), generator=np.random.default_rng(0))) == first
    assert list(RandomSampler([])) == [] and len(RandomSampler([])) == 0


def test_num_samples():
    data = range(10)
    many = list(RandomSampler(data, num_samples=25, generator=np.random.default_rng(1)))
    assert len(many) == 25 and sorted(many[:10]) == sorted(many[10:20]) == list(data) and many[:10] != many[10:20]
    few = list(RandomSampler(data, num_samples=4))
    assert len(few) == len(set(few)) == 4
    with_replacement = RandomSampler(data, replacement=True, num_samples=1000)
    drawn = list(with_replacement)
    assert len(with_replacement) == len(drawn) == 1000 and set(drawn) == set(data)


def test_default_generator():
    pydl.manual_seed(4)
    first = [list(RandomSampler(range(20))) for _ in range(2)]
    pydl.manual_seed(4)
    assert [list(RandomSampler(range(20))) for _ in range(2)] == first and first[0] != first[1]


def test_subset_random():
    sampler = SubsetRandomSampler([3, 30, 300], generator=np.random.default_rng(0))
    assert {tuple(sampler) for _ in range(60)} == {
        (3, 30, 300), (3, 300, 30), (30, 3, 300), (30, 300, 3), (300, 3, 30), (300, 30, 3),
    }  # fmt: skip
    assert len(sampler) == 3


def test_weighted_frequencies():
    weights = [0.0, 1.0, 3.0, 0.0, 6.0, 0.0]
    drawn = list(WeightedRandomSampler(weights, 20000, generator=np.random.default_rng(2)))
    share = np.bincount(drawn, minlength=6) / 20000
    np.testing.assert_allclose(share, np.array(weights) / 10, atol=4 * np.sqrt(0.25 / 20000))
    assert share[[0, 3, 5]].sum() == 0
    tensor = WeightedRandomSampler(pydl.tensor([0.0, 1.0]), 5)
    assert list(tensor) == [1] * 5


def test_weighted_without_replacement():
    weights = np.array([1.0, 2.0, 3.0, 0.0])
    rng = np.random.default_rng(3)
    sampler = WeightedRandomSampler(weights, 2, replacement=False, generator=rng)
    pairs = [tuple(sampler) for _ in range(6000)]
    assert all(a != b and 3 not in (a, b) for a, b in pairs)
    first = np.bincount([a for a, _ in pairs], minlength=4) / 6000
    np.testing.assert_allclose(first, weights / 6, atol=0.03)
    second = np.mean([b == 2 for a, b in pairs if a == 0])  # given 0 came first: 3 / (2 + 3)
    assert abs(second - 0.6) < 0.07


def test_weighted_extremes():
    assert set(weighted_indices(0, np.array([1e-300, 1e300, 0.0]), 100, True)) == {1}
    assert sorted(weighted_indices(0, np.array([1e-300, 1.0, 0.0, 1e-5]), 3, False)) == [0, 1, 3]


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: RandomSampler([1], num_samples=0), "num_samples"),
        (lambda: RandomSampler([1], num_samples=1.5), "num_samples"),
        (lambda: RandomSampler([1], replacement=1), "replacement"),
        (lambda: WeightedRandomSampler([1.0], None), "num_samples"),
        (lambda: WeightedRandomSampler([1.0], 0), "num_samples"),
        (lambda: WeightedRandomSampler([1.0, -1.0], 1), "non-negative"),
        (lambda: WeightedRandomSampler([0.0, 0.0], 1), "not all zero"),
        (lambda: WeightedRandomSampler([np.nan], 1), "finite"),
        (lambda: WeightedRandomSampler([[1.0]], 1), "shape"),
        (lambda: WeightedRandomSampler([1.0, 0.0], 2, replacement=False), "without replacement"),
        (lambda: BatchSampler([1], 0, False), "batch_size"),
        (lambda: BatchSampler([1], True, False), "batch_size"),
        (lambda: BatchSampler([1], 1, 1), "drop_last"),
    ],
)
def test_bad_arguments(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_batches():
    assert list(BatchSampler(range(7), 3, False)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(BatchSampler(range(7), 3, True)) == [[0, 1, 2], [3, 4, 5]]
    assert list(BatchSampler(iter(range(2)), 2, True)) == [[0, 1]]
    assert len(BatchSampler(range(7), 3, False)) == 3 and len(BatchSampler(range(7), 3, True)) == 2
    assert list(BatchSampler([], 3, False)) == []


def test_orders_are_fixed_for_ever():
    """Raw Philox words never change; a resumed run depends on it."""
    assert permutation(0, 8).tolist() == PERMUTATION
    assert random_indices(0, 1000, 4).tolist() == INDICES
    assert [Seeds(0).draw(), Seeds(1).draw()] == SEEDS


def test_uniform_law():
    u = uniform(1, 50000)
    assert u.min() > 0 and u.max() < 1
    counts = np.histogram(u, 20, (0, 1))[0]
    assert ((counts - 2500) ** 2 / 2500).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001
    hits = np.zeros((5, 5))
    for seed in range(4000):
        hits[np.arange(5), permutation(seed, 5)] += 1
    assert ((hits - 800) ** 2 / 800).sum() * 4 / 5 < 39.3  # 16 degrees of freedom


def test_seed_sources():
    assert [Seeds(3).draw() for _ in range(2)] == [Seeds(3).draw()] * 2
    counted = Seeds(3)
    first = [counted.draw() for _ in range(4)]
    assert len(set(first)) == 4 and all(0 <= s < 2**62 for s in first)
    resumed = Seeds(0)
    counted.count = 2
    resumed.load_state_dict(counted.state_dict())
    assert [resumed.draw(), resumed.draw()] == first[2:]
    g = pydl.Generator().manual_seed(0)
    source, other = Seeds(g), Seeds(pydl.Generator())
    source.draw()
    other.load_state_dict(source.state_dict())
    assert source.draw() == other.draw()
