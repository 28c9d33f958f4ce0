"""Linear, bilinear, embedding, distances and shapes against PyTorch and by differences."""

from typing import Any

import numpy as np
import pytest
from against_torch import differences, same, torch, values

import pydl
import pydl.nn.functional as F
from pydl import nn
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any], list[tuple[int, ...]]]] = [
    ("Linear", (5, 3), {}, [(4, 5)]),
    ("Linear", (5, 3), {"bias": False}, [(2, 4, 5)]),
    ("Linear", (1, 1), {}, [(1,)]),
    ("Linear", (4, 2), {}, [(0, 4)]),
    ("Bilinear", (3, 4, 5), {}, [(6, 3), (6, 4)]),
    ("Bilinear", (3, 4, 2), {"bias": False}, [(2, 6, 3), (2, 6, 4)]),
    ("Bilinear", (2, 3, 1), {}, [(2,), (3,)]),
    ("Identity", (3,), {"any": 1}, [(2, 3)]),
    ("Flatten", (), {}, [(2, 3, 4)]),
    ("Flatten", (0, 1), {}, [(2, 3, 4)]),
    ("Unflatten", (1, (2, 3)), {}, [(4, 6, 2)]),
    ("Unflatten", (-1, (-1, 2)), {}, [(4, 6)]),
    ("PixelShuffle", (2,), {}, [(2, 8, 3, 4)]),
    ("PixelShuffle", (3,), {}, [(9, 1, 2)]),
    ("PixelUnshuffle", (2,), {}, [(2, 3, 4, 6)]),
    ("PixelUnshuffle", (1,), {}, [(2, 2, 3)]),
    ("ChannelShuffle", (3,), {}, [(2, 6, 4)]),
    ("ChannelShuffle", (2,), {}, [(2, 4, 3, 2)]),
    ("ConstantPad1d", (2, 1.5), {}, [(2, 3, 4)]),
    ("ConstantPad1d", ((1, -2), 1.5), {}, [(3, 4)]),
    ("ConstantPad2d", ((1, 2, 0, 3), -1.0), {}, [(2, 3, 4)]),
    ("ConstantPad3d", (1, 0.5), {}, [(1, 2, 2, 3)]),
    ("ZeroPad1d", ((3, 1),), {}, [(2, 3)]),
    ("ZeroPad2d", (2,), {}, [(1, 2, 3, 3)]),
    ("ZeroPad3d", ((1, 1, 0, 1, 2, 0),), {}, [(2, 2, 2, 2)]),
    ("CosineSimilarity", (), {}, [(3, 4), (3, 4)]),
    ("CosineSimilarity", (), {"dim": -1}, [(2, 3, 4), (4,)]),
    ("PairwiseDistance", (), {}, [(3, 4), (3, 4)]),
    ("PairwiseDistance", (3.0,), {"keepdim": True}, [(2, 3, 4), (2, 3, 4)]),
    ("PairwiseDistance", (1.0,), {}, [(3, 4), (3, 4)]),
    ("PairwiseDistance", (float("inf"),), {}, [(3, 4), (3, 4)]),
]
IDS = [f"{name}{args}{kwargs}" for name, args, kwargs, _ in CASES]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "args", "kwargs", "shapes"), CASES, ids=IDS)
def test_against_torch(name: str, args: Any, kwargs: Any, shapes: Any, dtype: str) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    same(ours, theirs, [values(rng, s, dtype) for s in shapes], dtype)


@pytest.mark.parametrize(("name", "args", "kwargs", "shapes"), CASES, ids=IDS)
def test_differences(name: str, args: Any, kwargs: Any, shapes: Any) -> None:
    rng = np.random.default_rng(1)
    m = getattr(nn, name)(*args, **kwargs).double()
    if all(np.prod(s) for s in shapes):
        differences(m, [values(rng, s, "float64") for s in shapes], m.parameters())


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_linear_with_activation(activation: str) -> None:
    m = nn.Linear(4, 3, activation=activation).double()
    assert repr(m) == f"Linear(in_features=4, out_features=3, bias=True, activation='{activation}')"
    x = values(np.random.default_rng(0), (5, 4), "float64")
    plain = getattr(pydl, activation)(F.linear(pydl.tensor(x), m.weight, m.bias))
    np.testing.assert_allclose(m(pydl.tensor(x)).detach().numpy(), plain.detach().numpy(), rtol=1e-12)
    differences(m, [x], m.parameters())
    with pytest.raises(ArgumentError, match="activation must be None"):
        nn.Linear(4, 3, activation="gelu")


def test_linear_starts_within_its_bound() -> None:
    m = nn.Linear(100, 400)
    for p in m.parameters():
        w = p.detach().numpy()
        assert np.abs(w).max() <= 0.1 and abs(w.std() - 0.1 / np.sqrt(3)) < 0.01
    nn.Linear(0, 2)  # no division by 0
    assert nn.Linear(2, 2, dtype=pydl.float64).weight.dtype is pydl.float64
    with pytest.raises(ArgumentError, match="in1_features must be positive"):
        nn.Bilinear(0, 1, 1)


def test_layer_errors() -> None:
    with pytest.raises(ShapeError, match="expected last dimensions 3 and 4"):
        nn.Bilinear(3, 4, 5)(pydl.ones(2, 4), pydl.ones(2, 4))
    with pytest.raises(ShapeError, match="do not fit"):
        nn.Bilinear(3, 4, 5)(pydl.ones(2, 3), pydl.ones(3, 4))


# ---------------------------------------------------------------- embedding

TABLES: list[dict[str, Any]] = [
    {},
    {"padding_idx": 2},
    {"padding_idx": -1},
    {"scale_grad_by_freq": True},
    {"padding_idx": 0, "scale_grad_by_freq": True},
    {"max_norm": 1.5},
    {"max_norm": 1.0, "norm_type": 1.0},
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kwargs", TABLES, ids=str)
def test_embedding(kwargs: dict[str, Any], dtype: str) -> None:
    ours, theirs = nn.Embedding(7, 3, **kwargs), torch.nn.Embedding(7, 3, **kwargs)
    assert repr(ours) == repr(theirs)
    for index in (np.array([[1, 2, 2], [0, 6, 1]]), np.array([3], np.int64), np.array(4), np.zeros((0, 2), np.int64)):
        ours.zero_grad()
        theirs.zero_grad()
        same(ours, theirs, [index], dtype)
        np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), atol=1e-6)


def test_embedding_differences() -> None:
    for kwargs in TABLES[:1]:
        m = nn.Embedding(5, 2, **kwargs).double()
        differences(m, [np.array([[1, 1, 4]])], m.parameters())
    w = pydl.randn(5, 2, dtype=pydl.float64).requires_grad_()
    pydl.autograd.gradcheck(lambda w: F.embedding(pydl.tensor([1, 1, 4]), w) ** 2, [w])
    pydl.autograd.gradgradcheck(lambda w: F.embedding(pydl.tensor([1, 1, 4]), w) ** 2, [w])


def test_embedding_start_and_table() -> None:
    m = nn.Embedding(2000, 50, padding_idx=3)
    w = m.weight.detach().numpy()
    assert (w[3] == 0).all() and abs(w.std() - 1) < 0.02 and abs(w.mean()) < 0.02
    table = pydl.randn(4, 2)
    made = nn.Embedding.from_pretrained(table)
    assert not made.weight.requires_grad and made.weight.data_ptr() == table.data_ptr()
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    assert nn.Embedding(3, 2, sparse=True)(pydl.tensor([1], dtype=pydl.int32)).shape == (1, 2)


def test_embedding_errors() -> None:
    m = nn.Embedding(3, 2, max_norm=0.1)
    before = m.weight.detach().numpy().copy()
    with pytest.raises(BoundsError):
        m(pydl.tensor([0, 3]))
    with pytest.raises(BoundsError, match="embedding: index -1 is out of range for size 3"):
        m(pydl.tensor([0, -1]))
    with pytest.raises(DtypeError, match="expected int64 or int32 indices"):
        m(pydl.ones(2))
    np.testing.assert_array_equal(m.weight.detach().numpy(), before)
    with pytest.raises(BoundsError, match="padding_idx 3 is out of range for 3 rows"):
        nn.Embedding(3, 2, padding_idx=3)
    with pytest.raises(ShapeError, match="does not match"):
        nn.Embedding(3, 2, _weight=pydl.ones(2, 2))
    with pytest.raises(ShapeError, match=r"expected a table \(v, d\)"):
        nn.Embedding.from_pretrained(pydl.ones(2))
    with pytest.raises(ShapeError, match=r"expected weight \(v, d\)"):
        F.embedding(pydl.tensor([0]), pydl.ones(3))


# ---------------------------------------------------------------- functions without a module


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kwargs", [{}, {"p": 1.0}, {"dim": 0}, {"p": 3.0, "dim": -1}, {"eps": 100.0}], ids=str)
def test_normalize(kwargs: dict[str, Any], dtype: str) -> None:
    x = values(np.random.default_rng(0), (3, 4), dtype)
    same(lambda x: F.normalize(x, **kwargs), lambda x: torch.nn.functional.normalize(x, **kwargs), [x], dtype)
    if dtype == "float64":
        differences(lambda x: F.normalize(x, **kwargs), [x])


@pytest.mark.parametrize("pad", [(1, 2), (0, 0), (1, 0, 2, 3), (-1, 2), (1, -1, -1, 0), (1, 1, 1, 1, 1, 1)])
def test_pad(pad: tuple[int, ...]) -> None:
    x = values(np.random.default_rng(0), (2, 3, 4), "float64")
    same(lambda x: F.pad(x, pad), lambda x: torch.nn.functional.pad(x, pad), [x], "float64")
    same(lambda x: F.pad(x, pad, value=2.5), lambda x: torch.nn.functional.pad(x, pad, value=2.5), [x], "float64")
    differences(lambda x: F.pad(x, pad), [x])


def test_pad_errors() -> None:
    with pytest.raises(ShapeError, match="expected pairs"):
        F.pad(pydl.ones(2), (1,))
    with pytest.raises(ShapeError, match="expected pairs"):
        F.pad(pydl.ones(2), (1, 1, 1, 1))
    with pytest.raises(ShapeError, match="cuts more than the size 2"):
        F.pad(pydl.ones(2), (-2, -1))
    with pytest.raises(ArgumentError, match="mode must be one of constant, reflect, replicate, circular"):
        F.pad(pydl.ones(2), (1, 1), mode="wrap")


def test_one_hot() -> None:
    x = np.array([[0, 2], [1, 0]])
    for classes in (-1, 4):
        e = torch.nn.functional.one_hot(torch.tensor(x), classes).numpy()
        np.testing.assert_array_equal(F.one_hot(pydl.tensor(x), classes).numpy(), e)


def test_weights_differentiate_twice() -> None:
    rng = np.random.default_rng(2)
    linear = [values(rng, s, "float64") for s in ((4, 3), (2, 3), (2,))]
    differences(F.linear, linear)
    for activation in ("tanh", "sigmoid"):
        differences(lambda x, w, b, a=activation: F.linear(x, w, b, a), linear)
    differences(F.bilinear, [values(rng, s, "float64") for s in ((3, 2), (3, 4), (2, 2, 4), (2,))])
