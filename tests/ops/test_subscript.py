"""x[key] and x[key] = v."""

from typing import Any

import numpy as np
import pytest
from registry import ALL

import pydl
from pydl.errors import ArgumentError, AutogradError, BoundsError, DtypeError, ShapeError

X = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
KEYS: list[Any] = [
    0,
    -1,
    slice(None),
    slice(None, None, -1),
    slice(5, 0, -2),
    ...,
    None,
    (0, 1),
    (..., 0),
    (slice(1), ..., -1),
    (None, 0),
    (slice(None), None, 1),
    ([0, 1, 1],),
    ([1, 0], [2, 1]),
    (slice(None), [0, 2]),
    (slice(None), [[0], [2]], [1, 3]),
    ([0, 1], slice(None), [1, 2]),
    (..., [1, 3], slice(None, None, 2)),
    X > 50,
    (slice(None), X[0, :, 0, 0] > 10),
    (0, X[0, :, :, 0] > 10),
    X[..., 0] > 30,
    ([],),
    (slice(0), 0),
    (True,),
    (False,),
    (slice(None, None, -1), [2, 0], None),
    (X[:, 0, 0, 0] >= 0, slice(None), [1, 2]),
    np.array([1, 0], dtype=np.int16),
    np.int64(1),
    (np.array(1), slice(2)),
]


def _ours(key: Any) -> Any:
    """Arrays as tensors."""
    convert = lambda k: pydl.from_numpy(k) if isinstance(k, np.ndarray) and k.dtype != np.int16 else k  # noqa: E731
    return tuple(map(convert, key)) if isinstance(key, tuple) else convert(key)


@pytest.mark.parametrize("key", KEYS, ids=[str(i) for i in range(len(KEYS))])
def test_get_and_set(key: Any) -> None:
    """As NumPy, with the gradient of what was read, and values put in."""
    np.testing.assert_array_equal(pydl.from_numpy(X)[_ours(key)].numpy(), X[key])
    a, x = X.copy(), pydl.tensor(X)
    a[key] = -X[key]
    x[_ours(key)] = pydl.tensor(-X[key])
    np.testing.assert_array_equal(x.numpy(), a)
    a[key] = 7
    x[_ours(key)] = 7
    np.testing.assert_array_equal(x.numpy(), a)
    t = pydl.tensor(X.astype(float), requires_grad=True)
    t[_ours(key)].sum().backward()
    counts = np.zeros(X.shape)
    np.add.at(counts, key, 1)
    np.testing.assert_array_equal(np.zeros(X.shape) if t.grad is None else t.grad.numpy(), counts)


def test_integers_beside_lists_act_first() -> None:
    """As in torch: the axis of the integer is gone before the lists meet; NumPy moves the result's axes in front."""
    torch = pytest.importorskip("torch")
    for key in [(0, slice(None), [1, 2]), (slice(None), 1, slice(None), [0, 1]), ([0, 1], 2, [0, 1])]:
        np.testing.assert_array_equal(pydl.from_numpy(X)[key].numpy(), torch.tensor(X)[key].numpy())


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        (2, BoundsError, ": 2 is out of range for axis 0 of shape (2, 3, 4, 5)"),
        ((0,) * 5, BoundsError, ": 5 indices for shape (2, 3, 4, 5): expected at most 4"),
        ((..., ...), BoundsError, "more than one ellipsis"),
        ([2], BoundsError, "index 2 is out of range for size 2"),
        (1.0, DtypeError, "expected integers, slices"),
        ([0.5], DtypeError, ": expected integers or bools, got [0.5]"),
        ("a", DtypeError, "expected integers, slices"),
        (pydl.ones(2), DtypeError, ": expected integers or bool"),
        (pydl.ones(3).bool(), ShapeError, ": mask (3,) does not match axes (2,)"),
        (([0, 1], [0, 1, 2]), ShapeError, ": shapes (2,) and (3,) do not broadcast"),
        ((None,) * 5, ShapeError, "at most 8 axes"),
        (slice("a"), DtypeError, "expected integers or None as bounds"),
        ((0, slice(0, 2, 0)), ArgumentError, "expected a step that is not 0"),
    ],
)
def test_wrong_keys(key: Any, error: type[Exception], text: str) -> None:
    for call in (lambda x: x[key], lambda x: x.__setitem__(key, 0)):
        with pytest.raises(error) as caught:
            call(pydl.tensor(X))
        assert text in str(caught.value)


def test_a_slice_step_of_zero() -> None:
    with pytest.raises(ValueError, match="step"):
        pydl.tensor(X)[::0]


def test_setting_what_does_not_fit() -> None:
    x = pydl.zeros(3, 4)
    with pytest.raises(ShapeError, match=r"setitem: \(3,\) does not broadcast to \(4,\)|do not broadcast"):
        x[0] = pydl.ones(3)
    with pytest.raises(ShapeError, match="does not fit the indexed part"):
        x[[0, 1]] = pydl.ones(3)
    with pytest.raises(DtypeError, match="setitem: expected a tensor or a number, got str"):
        x[0] = "a"


def test_setting_in_the_graph_is_refused() -> None:
    x = pydl.zeros(3, requires_grad=True)
    with pytest.raises(AutogradError, match="a leaf that requires gradients is changed in place only"):
        x[0] = 1.0
    with pydl.no_grad():
        x[0] = 1.0
    assert x.tolist() == [1, 0, 0]


def test_setting_read_only_memory() -> None:
    a = np.zeros(3)
    a.flags.writeable = False
    x = pydl.from_numpy(a)
    for key in (0, [0, 1]):
        with pytest.raises(ArgumentError, match="read-only memory"):
            x[key] = 1.0
    assert a.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", ALL)
def test_setting_in_every_dtype(dtype: str) -> None:
    x = pydl.zeros(4, dtype=getattr(pydl, dtype))
    x[[0, 2]] = 1
    x[3:] = pydl.tensor([1.0])
    assert x.tolist() == [1, 0, 1, 1]


def test_setting_from_itself() -> None:
    """The source is read whole before it is overwritten."""
    x = pydl.arange(5)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3]


def test_setting_bumps_the_version() -> None:
    x = pydl.ones(3, requires_grad=True)
    buffer = pydl.ones(3)
    y = (x * buffer).sum()
    buffer[[0]] = 5.0
    with pytest.raises(AutogradError, match="changed in place"):
        y.backward()


# ---------------------------------------------------------------- in the graph


@pytest.mark.parametrize("key", [k for k in KEYS if str(k) != "([0, 1, 1],)"], ids=str)
def test_setting_in_the_graph(key: Any) -> None:
    """Gradients of first and second order of what was there and of what was put, against torch (which gives one also to
    values that were overwritten by later ones)."""
    torch = pytest.importorskip("torch")
    key_of = lambda lib: tuple(map(as_index(lib), key)) if isinstance(key, tuple) else as_index(lib)(key)  # noqa: E731
    if any(isinstance(k, slice) and (k.step or 1) < 0 for k in (key if isinstance(key, tuple) else (key,))):
        pytest.skip("torch has no negative steps")
    grads = []
    for lib in (pydl, torch):
        x = lib.tensor(X.astype(float), requires_grad=True)
        v = lib.tensor(np.sin(X)[key], requires_grad=True)
        y = x * 2
        y[key_of(lib)] = v * v
        first = lib.autograd.grad((y**3).sum(), [x, v], create_graph=True)
        again = lib.autograd.grad(sum((g**2).sum() for g in first), [x, v])
        grads.append([g.detach().numpy() for g in (y, *first, *again)])
    for ours, theirs in zip(*grads, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def as_index(lib: Any) -> Any:
    """Arrays as the library's tensors."""
    return lambda k: (
        lib.from_numpy(k.astype(np.int64 if k.dtype == np.int16 else k.dtype)) if hasattr(k, "dtype") and k.ndim else k
    )


def test_filling_a_buffer() -> None:
    """Steps write into a buffer that does not require gradients itself."""
    w = pydl.tensor([0.5, 2.0], dtype=pydl.float64, requires_grad=True)
    out = pydl.zeros(3, 2, dtype=pydl.float64)
    state = pydl.ones(2, dtype=pydl.float64)
    for t in range(3):
        state = state * w
        out[t] = state
    assert out.requires_grad
    out.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), [1 + 2 * 0.5 + 3 * 0.25, 1 + 2 * 2 + 3 * 4])


def test_what_used_the_old_value_keeps_its_graph() -> None:
    """An operation before the change gets the gradient of the old tensor, one after it that of the new."""
    torch = pytest.importorskip("torch")
    grads = []
    for lib in (pydl, torch):
        x, v = lib.tensor([1.0, 2.0, 3.0], requires_grad=True), lib.tensor(5.0, requires_grad=True)
        h = x * 1.0
        before = h.sum() * 10
        h[1] = v
        (before + h.sum()).backward()
        grads.append([x.grad.tolist(), v.grad.tolist()])
    assert grads[0] == grads[1] == [[11, 10, 11], 1]


def test_a_constant_used_before_it_took_part_gets_no_gradient() -> None:
    v, w = pydl.tensor(5.0, requires_grad=True), pydl.ones(3, requires_grad=True)
    x = pydl.zeros(3)
    before = (x + w).sum()
    x[0] = v
    before.backward()
    assert v.grad is None
    assert w.grad.tolist() == [1, 1, 1]


def test_saved_values_that_were_overwritten_are_noticed() -> None:
    x, v = pydl.ones(3, requires_grad=True), pydl.tensor(2.0, requires_grad=True)
    h = x * 1.0
    y = h * h
    h[0] = v
    with pytest.raises(AutogradError, match="changed in place"):
        y.sum().backward()


def test_setting_a_view_in_the_graph() -> None:
    x, v = pydl.zeros(2, 3), pydl.ones(3, requires_grad=True)
    x[0][:] = v
    assert x.requires_grad
    (x * pydl.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).sum().backward()
    assert v.grad.tolist() == [1, 2, 3]


def test_the_last_of_equal_positions_gets_the_gradient() -> None:
    v = pydl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = pydl.zeros(4)
    x[[1, 1, 2]] = v
    assert x.tolist() == [0, 2, 3, 0]
    x.sum().backward()
    assert v.grad.tolist() == [0, 1, 1]


def test_a_mask_with_one_number_in_the_graph() -> None:
    x, v = pydl.ones(2, 3, requires_grad=True), pydl.tensor(7.0, requires_grad=True)
    y = x * 2
    mask = pydl.tensor([[True, False, True], [False, False, True]])
    y[mask] = v
    y.sum().backward()
    assert v.grad.item() == 3
    assert x.grad.tolist() == [[0, 2, 0], [2, 2, 0]]


def test_setting_a_leaf_needs_no_grad() -> None:
    x = pydl.zeros(3, requires_grad=True)
    with pytest.raises(AutogradError, match="a leaf that requires gradients"):
        x[0] = pydl.tensor(1.0)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_masks_and_lists(threads: int) -> None:
    pydl.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((700, 900)).astype(np.float32)
    mask, rows = rng.random((700, 900)) < 0.3, rng.integers(-700, 700, 400)
    np.testing.assert_array_equal(pydl.tensor(x)[pydl.tensor(mask)].numpy(), x[mask])
    np.testing.assert_array_equal(pydl.tensor(x)[pydl.tensor(rows)].numpy(), x[rows])
    np.testing.assert_array_equal(pydl.nonzero(pydl.tensor(mask)).numpy(), np.argwhere(mask))
    for key, value in [(mask, 1.5), (mask, x[mask] * 2), (mask[:, 0], 2.0), (rows, x[:400] + 1)]:
        a, t = x.copy(), pydl.tensor(x)
        a[key] = value
        t[pydl.tensor(key)] = value if isinstance(value, float) else pydl.tensor(value)
        np.testing.assert_array_equal(t.numpy(), a)
