"""Datasets, batches and made-up problems, asked for what they do not have: they say so, and what would fit."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl import data
from pydl.data import synthetic
from pydl.errors import ArgumentError, BoundsError, DtypeError, KeyMissingError, PydlError

TABLE = data.TensorDataset(pydl.ones(10, 3))
SETS = {
    "table": TABLE,
    "tokens": data.TokenWindows(np.arange(20), 4),
    "series": data.SlidingWindows(np.arange(20.0), 4, stride=3),
}


@pytest.mark.parametrize("name", SETS)
def test_batches_of_places_that_are_not_there(name: str) -> None:
    chosen = SETS[name]
    n = len(chosen)
    for first, last in zip(chosen.getbatch([0, -n]), chosen.getbatch([-1, n - 1]), strict=True):
        assert first.numpy()[0].tobytes() == first.numpy()[1].tobytes()
        assert last.numpy()[0].tobytes() == last.numpy()[1].tobytes()
    for outside in (n, -n - 1, 99):
        with pytest.raises(BoundsError, match=f"index {outside} is out of range for length {n}"):
            chosen.getbatch([0, outside])
        with pytest.raises(BoundsError, match="out of range"):
            list(data.DataLoader(chosen, sampler=[0, outside], batch_size=2))
    for fraction in ([1.5], np.ones(2)):
        with pytest.raises(DtypeError, match="indices must be integers"):
            chosen.getbatch(fraction)
    assert all(len(part) == 0 for part in chosen.getbatch([]))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: SETS["tokens"][1.5], DtypeError, "indices must be integers"),
        (lambda: data.BPTTBatches(np.arange(20), 2, 3)["a"], DtypeError, "indices must be integers"),
        (lambda: data.Subset(TABLE, [1.5])[0], TypeError, "integer"),
        (lambda: data.key_padding_mask([1, 2], 2.5), ArgumentError, "max_len must be an integer >= 0, got 2.5"),
        (lambda: data.key_padding_mask([], -1), ArgumentError, "max_len"),
        (lambda: data.default_collate([1.5, "a"]), DtypeError, "sample 1 is a str, sample 0 a float"),
        (lambda: data.default_collate([pydl.ones(1), None]), DtypeError, "sample 1 is a NoneType"),
        (lambda: data.default_collate([[1], 2]), DtypeError, "sample 1 is a int"),
        (lambda: data.default_collate([{"a": 1}, {"b": 2}]), KeyMissingError, "sample 1 has no 'a'"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_numbers_of_several_kinds_are_one_batch() -> None:
    assert data.default_collate([1.5, 2, np.float32(3), True]).tolist() == [1.5, 2, 3, 1]
    assert data.default_collate([True, 2]).tolist() == [1, 2]


@pytest.mark.parametrize("name", ["moons", "circles", "spirals", "xor", "ring", "blobs", "separable"])
def test_problems(name: str) -> None:
    make = getattr(synthetic, f"make_{name}")
    np.testing.assert_array_equal(make(9, random_state=np.int64(3))[0].numpy(), make(9, random_state=3)[0].numpy())
    for state in ("a", -1, 1.5, True):
        with pytest.raises(ArgumentError, match="random_state must be a seed"):
            make(random_state=state)
    deviation = "cluster_std" if name in ("ring", "blobs") else "noise"
    for wrong in (-1.0, float("nan")) if name != "separable" else ():
        with pytest.raises(ArgumentError, match=r"deviation (must be )?>= 0"):
            make(**{deviation: wrong})


def test_clusters() -> None:
    assert synthetic.make_blobs(6, centers=np.int64(2))[1].numpy().max() == 1
    for options in ({"n_features": 0}, {"n_features": 2.5}, {"center_box": (5, -5)}, {"centers": 0}):
        with pytest.raises(PydlError, match="make_blobs"):
            synthetic.make_blobs(**options)
