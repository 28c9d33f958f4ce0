"""Synthetic problems: shapes, seeds, and the geometry that each promises."""

import numpy as np
import pytest

import pydl
from pydl.data import synthetic
from pydl.errors import ShapeError

MAKERS = {
    "moons": (synthetic.make_moons, 2, 2),
    "circles": (synthetic.make_circles, 2, 2),
    "spirals": (synthetic.make_spirals, 2, 2),
    "xor": (synthetic.make_xor, 2, 2),
    "ring": (synthetic.make_ring, 2, 8),
    "blobs": (synthetic.make_blobs, 2, 3),
    "separable": (synthetic.make_separable, 2, 2),
}


@pytest.mark.parametrize("name", MAKERS)
def test_contract(name):
    make, d, k = MAKERS[name]
    x, y = make(101, random_state=3)
    assert isinstance(x, pydl.Tensor) and tuple(x.shape) == (101, d) and x.dtype == pydl.float32
    assert tuple(y.shape) == (101,) and y.dtype == pydl.int64
    a, b = make(101, random_state=3, as_tensor=False)
    assert isinstance(a, np.ndarray) and a.dtype == np.float32 and b.dtype == np.int64
    np.testing.assert_array_equal(x.numpy(), a)
    np.testing.assert_array_equal(y.numpy(), b)
    assert set(b) == set(range(k)) and np.isfinite(a).all()
    counts = np.bincount(b)
    assert name == "separable" or counts.max() - counts.min() <= (2 if name == "xor" else 1)
    other, _ = make(101, random_state=4, as_tensor=False)
    assert not np.array_equal(a, other)
    pydl.manual_seed(1)
    first, second = (make(20)[0].tolist() for _ in range(2))
    pydl.manual_seed(1)
    assert make(20)[0].tolist() == first != second
    with pytest.raises(ValueError, match="positive integers"):
        make(0)


@pytest.mark.parametrize("name", ["moons", "circles"])
def test_same_curves_as_scikit_learn(name):
    theirs = getattr(pytest.importorskip("sklearn.datasets"), f"make_{name}")
    x, y = theirs(51, shuffle=False)
    a, b = MAKERS[name][0](51, shuffle=False, as_tensor=False)
    np.testing.assert_array_equal(b, y)
    np.testing.assert_allclose(a, x, atol=1e-6)


def test_noise_has_the_given_size():
    clean, _ = synthetic.make_moons(4000, shuffle=False, as_tensor=False)
    noisy, _ = synthetic.make_moons(4000, shuffle=False, noise=0.3, random_state=0, as_tensor=False)
    assert abs((noisy - clean).std() - 0.3) < 0.01


def test_circles_and_spirals():
    x, y = synthetic.make_circles(100, factor=0.4, as_tensor=False)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), np.where(y == 0, 1, 0.4), rtol=1e-6)
    with pytest.raises(ValueError, match="factor"):
        synthetic.make_circles(factor=1.0)
    x, y = synthetic.make_spirals(300, 3, turns=1.5, shuffle=False, as_tensor=False)
    assert np.bincount(y).tolist() == [100] * 3
    radius = np.linalg.norm(x, axis=1).reshape(3, 100)
    np.testing.assert_allclose(radius, np.tile(0.05 + 0.95 * np.linspace(0, 1, 100), (3, 1)), rtol=1e-5)
    angle = np.unwrap(np.arctan2(x[:100, 1], x[:100, 0]))
    assert abs((angle[-1] - angle[0]) / (2 * np.pi) - 1.5) < 1e-5


def test_xor_and_ring():
    x, y = synthetic.make_xor(400, noise=0.1, random_state=0, as_tensor=False)
    assert ((x[:, 0] * x[:, 1] < 0) == (y == 1)).all()
    x, y = synthetic.make_ring(800, radius=3.0, cluster_std=0.05, random_state=0, as_tensor=False)
    angle = 2 * np.pi * y / 8
    offset = x - 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert abs(offset.std() - 0.05) < 0.003


def test_blobs():
    centers = np.array([[0.0, 0, 0], [9, 0, 0]])
    x, y = synthetic.make_blobs(2000, centers=centers, cluster_std=0.5, random_state=0, as_tensor=False)
    assert x.shape == (2000, 3)
    for k in range(2):
        np.testing.assert_allclose(x[y == k].mean(0), centers[k], atol=0.06)
        np.testing.assert_allclose(x[y == k].std(0), 0.5, atol=0.04)
    x, y = synthetic.make_blobs(50, 4, centers=5, center_box=(-1, 1), cluster_std=0.0, random_state=0, as_tensor=False)
    assert x.shape == (50, 4) and len(np.unique(x, axis=0)) == 5 and np.abs(x).max() <= 1
    with pytest.raises(ShapeError, match="centers"):
        synthetic.make_blobs(centers=[1.0, 2.0])


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.4])
def test_blobs_with_a_margin(margin):
    centers = np.array([[0.0, 0], [3, 0], [0, 4]])
    x, y = synthetic.make_blobs(3000, centers=centers, cluster_std=2, margin=margin, random_state=1, as_tensor=False)
    for a in range(3):
        for b in range(a):
            w = centers[a] - centers[b]
            length = np.linalg.norm(w)
            side = (x - (centers[a] + centers[b]) / 2) @ (w / length)
            assert side[y == a].min() >= margin and side[y == b].max() <= -margin
    assert np.linalg.norm(x - centers[y], axis=1).max() > 1.5 - margin - 1e-3  # no narrower than needed
    for bad in (1.5, -0.1):
        with pytest.raises(ValueError, match="margin must be in"):
            synthetic.make_blobs(centers=centers, margin=bad)


@pytest.mark.parametrize("d", [1, 2, 20])
@pytest.mark.parametrize("margin, radius", [(0.1, 1.0), (0.0, 1.0), (2.9, 3.0)])
def test_separable_keeps_its_bounds(d, margin, radius):
    x, y, w = synthetic.make_separable(
        2000, d, margin=margin, radius=radius, random_state=0, as_tensor=False, return_direction=True
    )
    x, w = x.astype(np.float64), w.astype(np.float64)
    assert np.linalg.norm(x, axis=1).max() <= radius and abs(np.linalg.norm(w) - 1) < 1e-6
    signed = (x @ w) * (2 * y - 1)
    assert signed.min() >= margin and set(y) == {0, 1}


def test_perceptron_respects_the_bound():
    x, y = synthetic.make_separable(500, 5, margin=0.2, radius=1.0, random_state=2, as_tensor=False)
    w, mistakes, sign = np.zeros(5), 0, 2 * y - 1
    for _ in range(100):
        wrong = [i for i in range(500) if (w @ x[i]) * sign[i] <= 0]
        if not wrong:
            break
        for i in range(500):
            if (w @ x[i]) * sign[i] <= 0:
                w += sign[i] * x[i]
                mistakes += 1
    assert not wrong and 0 < mistakes <= 25


@pytest.mark.parametrize("kw", [{"margin": 1.0}, {"margin": -0.1}, {"radius": 0.0}])
def test_impossible_margins(kw):
    with pytest.raises(ValueError, match="0 <= margin < radius"):
        synthetic.make_separable(**kw)
