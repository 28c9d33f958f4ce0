"""What holds for all inputs, tried on inputs that hypothesis makes up."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydl
from pydl import ops
from pydl.errors import PydlError

settings.register_profile("pydl", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("pydl")

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
FULL = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
SEEDS = st.integers(0, 2**31)


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@given(SHAPES, SEEDS, st.data())
def test_permute_and_back(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    x, axes = numbers(shape, seed), data.draw(st.permutations(range(len(shape))))
    y = pydl.tensor(x).permute(axes)
    np.testing.assert_array_equal(y.numpy(), x.transpose(axes))
    np.testing.assert_array_equal(y.permute(list(np.argsort(axes).tolist())).numpy(), x)


@given(FULL, SEEDS, st.data())
def test_split_then_cat(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = data.draw(st.integers(1, 5))
    x = pydl.tensor(numbers(shape, seed))
    parts = x.split(size, dim)
    assert ops.cat(parts, dim).tolist() == x.tolist()
    assert ops.cat(ops.chunk(x, size, dim), dim).tolist() == x.tolist()
    assert ops.stack(ops.unbind(x, dim), dim).tolist() == x.tolist()


@given(SHAPES, SEEDS, st.data())
def test_reshape_and_back(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    """From any strided view, to any shape of the same size."""
    x = numbers(shape, seed)
    axes = data.draw(st.permutations(range(len(shape))))
    steps = tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1]))) for _ in shape)
    view, ours = x.transpose(axes)[steps], pydl.from_numpy(x).permute(axes)[steps]
    target = _factors(view.size, data)
    y = ours.reshape(target)
    np.testing.assert_array_equal(y.numpy(), view.reshape(target))
    np.testing.assert_array_equal(y.reshape(view.shape).numpy(), view)


def _factors(n: int, data: st.DataObject) -> list[int]:
    if n == 0:
        return [0, data.draw(st.integers(0, 3))]
    out: list[int] = []
    while n > 1 and len(out) < 6:
        f = data.draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
        out.append(f)
        n //= f
    return [*out, n]


@given(FULL, SEEDS, st.floats(0.1, 50), st.data())
def test_softmax_sums_to_one(shape: tuple[int, ...], seed: int, scale: float, data: st.DataObject) -> None:
    """And does not change when a number is added to all scores."""
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = pydl.tensor(numbers(shape, seed) * scale)
    p = ops.softmax(x, dim)
    np.testing.assert_allclose(p.sum(dim).numpy(), 1, rtol=1e-14)
    np.testing.assert_allclose(ops.softmax(x + 7, dim).numpy(), p.numpy(), rtol=1e-11)
    np.testing.assert_allclose(ops.log_softmax(x, dim).exp().numpy(), p.numpy(), rtol=1e-12)


@given(FULL, FULL, SEEDS)
def test_broadcasting(a: tuple[int, ...], b: tuple[int, ...], seed: int) -> None:
    """As NumPy, or a ShapeError where NumPy refuses; the gradient has the shape of its input."""
    x, y = numbers(a, seed), numbers(b, seed + 1)
    t, u = pydl.tensor(x, requires_grad=True), pydl.tensor(y, requires_grad=True)
    try:
        expected = x * y
    except ValueError:
        with pytest.raises(pydl.errors.ShapeError):
            t * u
        return
    z = t * u
    np.testing.assert_array_equal(z.detach().numpy(), expected)
    z.sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), _summed(np.broadcast_to(y, expected.shape), a), atol=1e-13)
    np.testing.assert_allclose(u.grad.numpy(), _summed(np.broadcast_to(x, expected.shape), b), atol=1e-13)


def _summed(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1), keepdims=True)


@given(st.sampled_from(["exp", "tanh", "sigmoid", "sqrt", "square", "softmax", "prod", "cumsum", "matmul"]), SEEDS)
def test_rules_are_linear_in_the_gradient(name: str, seed: int) -> None:
    x = pydl.tensor(np.abs(numbers((3, 4), seed)) + 0.1, requires_grad=True)
    calls = {"softmax": lambda x: ops.softmax(x, 1), "prod": lambda x: x.prod(1), "cumsum": lambda x: x.cumsum(0)}
    calls["matmul"] = lambda x: x @ x.t()
    y = calls.get(name, getattr(ops, name))(x)
    g, h = (pydl.tensor(numbers(y.shape, seed + i)) for i in (1, 2))
    pull = lambda v: pydl.autograd.grad(y, x, v, retain_graph=True)[0].numpy()  # noqa: E731
    np.testing.assert_allclose(pull(2 * g - 3 * h), 2 * pull(g) - 3 * pull(h), rtol=1e-10, atol=1e-10)


@given(FULL, SEEDS, st.data())
def test_reductions_over_any_axes(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1))
    keep = data.draw(st.booleans())
    order = data.draw(st.permutations(range(len(shape))))
    x = numbers(shape, seed).transpose(order)
    ours = pydl.from_numpy(x)
    for name, full in (("sum", np.sum), ("amax", np.max), ("prod", np.prod), ("mean", np.mean)):
        expected = full(x, axis=tuple(axes), keepdims=keep)
        np.testing.assert_allclose(getattr(ops, name)(ours, axes, keep).numpy(), expected, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- indexing


def _slices(n: int) -> st.SearchStrategy[slice]:
    ends = st.none() | st.integers(-n - 2, n + 2)
    return st.builds(slice, ends, ends, st.sampled_from([None, 1, 2, 3, -1, -2]))


@st.composite
def keys(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """A key for x of this shape: integers, slices, None, ..., lists of one length and at most one mask."""
    out: list[Any] = []
    length = draw(st.integers(0, 4))
    axis, lists, integers, ellipsis = 0, False, False, False
    while axis < len(shape) and len(out) < 6:
        n = shape[axis]
        kind = draw(st.sampled_from(["int", "slice", "slice", "none", "ellipsis", "list", "mask", "stop"]))
        if kind == "stop":
            break
        if kind == "none":
            out.append(None)
            continue
        if kind == "ellipsis":
            if not ellipsis:
                ellipsis = True
                out.append(...)
                axis += draw(st.integers(0, len(shape) - axis))
            continue
        if kind == "int" and n and not lists:
            integers = True
            out.append(draw(st.integers(-n, n - 1)))
        elif kind == "list" and n and not integers:
            lists = True
            out.append(draw(st.lists(st.integers(-n, n - 1), min_size=length, max_size=length)))
        elif kind == "mask" and not lists and not integers:
            lists = integers = True  # no other list fits the number of its true elements
            out.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool))
        else:
            out.append(draw(_slices(n)))
        axis += 1
    return tuple(out)


def _usable(key: tuple[Any, ...], x: np.ndarray) -> bool:
    """NumPy accepts the key, and an empty list is no float array."""
    try:
        x[tuple(np.array(k, dtype=int) if isinstance(k, list) else k for k in key)]
    except (IndexError, ValueError):
        return False
    return True


def _numpy_key(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(np.array(k, dtype=int) if isinstance(k, list) else k for k in key)


def _our_key(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(pydl.from_numpy(k) if isinstance(k, np.ndarray) else k for k in key)


@settings(max_examples=300)
@given(SHAPES, SEEDS, st.data())
def test_indexing_as_numpy(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    """Reading, writing and the gradient of reading; where NumPy refuses, so do we, with a PydlError."""
    x, key = numbers(shape, seed), data.draw(keys(shape))
    t = pydl.tensor(x, requires_grad=True)
    if not _usable(key, x):
        with pytest.raises(PydlError):
            t[_our_key(key)]
        return
    part = x[_numpy_key(key)]
    ours = t[_our_key(key)]
    np.testing.assert_array_equal(ours.detach().numpy(), part)
    weights = numbers(part.shape, seed + 1)
    expected = np.zeros(shape)
    np.add.at(expected, _numpy_key(key), weights)
    (g,) = pydl.autograd.grad(ours, t, pydl.tensor(weights))
    np.testing.assert_allclose(g.numpy(), expected, atol=1e-12)
    changed, target = x.copy(), pydl.tensor(x)
    changed[_numpy_key(key)] = weights
    target[_our_key(key)] = pydl.tensor(weights)
    np.testing.assert_array_equal(target.numpy(), changed)
