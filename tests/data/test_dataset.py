"""Datasets that hold, join and cut, and collation."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import pydl
from pydl.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    default_collate,
    default_convert,
    random_split,
)
from pydl.errors import DtypeError, ShapeError

Point = namedtuple("Point", "x y")


class Letters(Dataset):
    def __init__(self, text):
        self.text = text

    def __len__(self):
        return len(self.text)

    def __getitem__(self, i):
        return self.text[i]


class Count(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


class Fetching(Letters):
    """Offers many samples at once."""

    def __getitems__(self, indices):
        return [self.text[i].upper() for i in indices]


class Doubled(TensorDataset):
    def __getitem__(self, i):
        return tuple(2 * t for t in super().__getitem__(i))


def table(n=6):
    return TensorDataset(pydl.from_numpy(np.arange(3.0 * n, dtype=np.float32).reshape(n, 3)), pydl.arange(n))


def test_tensor_dataset():
    data = table()
    assert len(data) == 6
    x, y = data[-1]
    assert x.tolist() == [15, 16, 17] and y.tolist() == 5
    batch = data.getbatch([4, -1, 4])
    assert isinstance(batch, list) and batch[0].tolist() == [[12, 13, 14], [15, 16, 17], [12, 13, 14]]
    assert batch[1].tolist() == [4, 5, 4]
    assert [b.tolist() for b in default_collate([data[i] for i in (4, -1, 4)])] == [b.tolist() for b in batch]
    data.tensors[0].numpy()[0, 0] = 7  # read without a copy of the whole
    assert data.getbatch([0])[0].tolist() == [[7, 1, 2]]
    with pytest.raises(IndexError):
        data.getbatch([6])
    for bad in ([], [pydl.zeros(3), pydl.zeros(4)], [pydl.zeros(3, 2), pydl.tensor(1.0)]):
        with pytest.raises(ShapeError, match="TensorDataset"):
            TensorDataset(*bad)


def test_tensor_dataset_of_other_dtypes_and_graphs():
    leaf = pydl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    half = pydl.tensor([1.0, 2.0]).to(pydl.bfloat16)
    x, h = next(iter(DataLoader(TensorDataset(leaf, half), sampler=[1, 1, 0], batch_size=3)))
    assert h.dtype == pydl.bfloat16 and h.to(pydl.float32).tolist() == [2, 2, 1]
    x.sum().backward()
    assert leaf.grad.tolist() == [[1, 1], [2, 2]]


def test_overridden_getitem_is_used_in_batches():
    data = Doubled(*table().tensors)
    assert next(iter(DataLoader(data, 2)))[1].tolist() == [0, 2]
    assert next(iter(DataLoader(Subset(data, [3, 1]), 2)))[1].tolist() == [6, 2]
    assert next(iter(DataLoader(Fetching("abc"), 2))) == ["A", "B"]


def test_subset():
    part = Subset(table(), [5, 1, 3])
    assert len(part) == 3 and part[0][1].tolist() == 5
    assert part.getbatch(np.array([2, 0]))[1].tolist() == [3, 5]
    nested = Subset(part, np.array([1, 2]))
    assert next(iter(DataLoader(nested, 2)))[1].tolist() == [1, 3]
    assert [Subset(Letters("abcd"), [3, 0])[i] for i in range(2)] == ["d", "a"]
    assert next(iter(DataLoader(Subset([10, 20, 30], [2, 0]), 2))).tolist() == [30, 10]


def test_concat_and_add():
    joined = Letters("ab") + Letters("") + Letters("cde")
    assert isinstance(joined, ConcatDataset) and len(joined) == 5
    assert [joined[i] for i in range(5)] == list("abcde") and joined[-1] == "e" and joined[-5] == "a"
    for i in (5, -6):
        with pytest.raises(IndexError, match="out of range for length 5"):
            joined[i]
    assert ConcatDataset([Letters("ab"), Letters("c")]).cumulative_sizes == [2, 3]
    assert next(iter(DataLoader(ConcatDataset([table(), table(2)]), 8)))[1].tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])
    with pytest.raises(ValueError, match="ChainDataset"):
        ConcatDataset([Count(2)])


def test_chain():
    chained = Count(2) + Count(3)
    assert isinstance(chained, ChainDataset) and list(chained) == [0, 1, 0, 1, 2] and len(chained) == 5
    assert len(DataLoader(chained, 2)) == 3 and len(DataLoader(chained, 2, drop_last=True)) == 2
    assert len(DataLoader(chained, None)) == 5
    with pytest.raises(ValueError, match="iterable datasets only"):
        ChainDataset([Letters("a")])


def test_stack():
    pair = StackDataset(Letters("ab"), [1, 2])
    assert pair[1] == ("b", 2) and len(pair) == 2
    assert StackDataset(letter=Letters("ab"), number=[1, 2])[0] == {"letter": "a", "number": 1}
    with pytest.raises(ShapeError, match="same length"):
        StackDataset(Letters("ab"), [1])
    with pytest.raises(ValueError, match="by position or all by keyword"):
        StackDataset()


def test_random_split():
    parts = random_split(range(10), [7, 3], np.random.default_rng(0))
    assert [len(p) for p in parts] == [7, 3] and sorted([*parts[0], *parts[1]]) == list(range(10))
    again = random_split(range(10), [0.7, 0.3], np.random.default_rng(0))
    assert [p.indices for p in again] == [p.indices for p in parts]
    assert [p.indices for p in random_split(range(10), [7, 3], np.random.default_rng(1))] != [p.indices for p in parts]
    assert [len(p) for p in random_split(range(10), [1 / 3, 1 / 3, 1 / 3])] == [4, 3, 3]
    pydl.manual_seed(0)
    first = random_split(range(10), [5, 5])[0].indices
    pydl.manual_seed(0)
    assert random_split(range(10), [5, 5])[0].indices == first
    for bad in ([5, 4], [0.5, 0.6], [-1, 11], [2.5, 7.5], [1.5, -0.5]):
        with pytest.raises(ValueError, match="random_split"):
            random_split(range(10), bad)
    with pytest.warns(UserWarning, match="part 1 .* is empty"):
        random_split(range(2), [0.9, 0.1])


def test_bases_say_what_is_missing():
    with pytest.raises(TypeError, match="must define __getitem__"):
        Dataset()[0]
    with pytest.raises(TypeError, match="must define __iter__"):
        iter(IterableDataset())


def test_collate_numbers_and_arrays():
    for batch, dtype, values in [
        ([1, 2], pydl.int64, [1, 2]),
        ([1.0, 2.5], pydl.float64, [1.0, 2.5]),
        ([True, False], pydl.bool, [True, False]),
        ([np.float32(1), np.float32(2)], pydl.float32, [1, 2]),
        ([np.int64(1), np.int64(2)], pydl.int64, [1, 2]),
        ([np.bool_(True)], pydl.bool, [True]),
        ([np.ones(2, np.float32)] * 2, pydl.float32, [[1, 1]] * 2),
        ([np.ones(2)] * 2, pydl.float64, [[1, 1]] * 2),
        ([np.array(3, np.uint8)] * 2, pydl.uint8, [3, 3]),
        ([pydl.tensor([1.0]), pydl.tensor([2.0])], pydl.float32, [[1], [2]]),
        ([np.ones((2, 0))] * 3, pydl.float64, [[[], []]] * 3),
    ]:
        got = default_collate(batch)
        assert got.dtype == dtype and got.tolist() == values


def test_collate_containers():
    assert default_collate(["a", "b"]) == ["a", "b"] and default_collate([b"a"]) == [b"a"]
    pairs = default_collate([(1, "a"), (2, "b")])
    assert isinstance(pairs, list) and pairs[0].tolist() == [1, 2] and pairs[1] == ["a", "b"]
    lists = default_collate([[1, 2.0], [3, 4.0]])
    assert isinstance(lists, list) and [v.tolist() for v in lists] == [[1, 3], [2, 4]]
    named = default_collate([Point(1, 2), Point(3, 4)])
    assert isinstance(named, Point) and named.x.tolist() == [1, 3]
    ordered = default_collate([OrderedDict(a=1, b=[2]), OrderedDict(a=3, b=[4])])
    assert isinstance(ordered, OrderedDict) and ordered["a"].tolist() == [1, 3] and ordered["b"][0].tolist() == [2, 4]
    assert default_collate([range(2), range(2)])[1].tolist() == [1, 1]


@pytest.mark.parametrize(
    "batch, error, text",
    [
        ([], ShapeError, "empty"),
        ([object()], DtypeError, "got object"),
        ([None, None], DtypeError, "got NoneType"),
        ([np.array(["a"])], DtypeError, "must hold numbers"),
        ([np.zeros(2), np.zeros(3)], ShapeError, r"sample 1 has shape \(3,\), sample 0 has \(2,\)"),
        ([(1, 2), (1,)], ShapeError, "same number of parts"),
    ],
)
def test_collate_errors(batch, error, text):
    with pytest.raises(error, match=text):
        default_collate(batch)


def test_collate_unequal_tensors():
    with pytest.raises(ShapeError, match="collate_fn that pads"):
        default_collate([pydl.zeros(2), pydl.zeros(3)])


def test_convert():
    got = default_convert(
        {"a": np.ones(2, np.float32), "b": ("x", np.float64(2)), "c": Point(1, np.zeros(1)), "d": [3]}
    )
    assert got["a"].tolist() == [1, 1] and got["b"][0] == "x" and got["b"][1].tolist() == 2
    assert isinstance(got["c"], Point) and got["c"].x == 1 and got["c"].y.tolist() == [0] and got["d"] == [3]
    frozen = np.zeros(2)
    frozen.flags.writeable = False
    assert default_convert(frozen).tolist() == [0, 0]
    assert default_convert("text") == "text" and default_convert(None) is None
