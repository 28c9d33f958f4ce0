"""Hogwild: threads that share weights."""

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError, BoundsError, ShapeError


def sparse_problem(n=4000, d=1000, density=0.01, seed=0):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((n, d)) < density, rng.standard_normal((n, d)), 0.0)
    y = (rng.random(n) < 1 / (1 + np.exp(-3 * x @ rng.standard_normal(d)))).astype(float)
    return x, y


def test_one_worker_is_sgd():
    x, y = sparse_problem(50, 8, 0.4)
    w = pydl.zeros(8, dtype=pydl.float64)
    got = optim.hogwild(x, y, w, lr=0.2, weight_decay=0.01, epochs=2, workers=1, seed=3)
    v, rng = np.zeros(8), np.random.default_rng(3)
    for _ in range(2):
        for i in rng.permutation(50):
            slope = 1 / (1 + np.exp(-x[i] @ v)) - y[i]
            v -= 0.2 * np.where(x[i] != 0, slope * x[i] + 0.01 * v, 0.0)
    np.testing.assert_allclose(w.numpy(), v, rtol=1e-12)
    margin = x @ v
    assert got.losses[-1] == pytest.approx(np.mean(np.logaddexp(0, margin) - y * margin))
    assert got.overwrites == 0 and got.written == 2 * np.count_nonzero(x)


def test_two_workers_lose_nothing_on_sparse_rows():
    x, y = sparse_problem()
    serial, shared = (pydl.zeros(1000, dtype=pydl.float64) for _ in range(2))
    one = optim.hogwild(x, y, serial, lr=0.1, epochs=5, workers=1)
    two = optim.hogwild(x, y, shared, lr=0.1, epochs=5, workers=2)
    assert abs(two.losses[-1] / one.losses[-1] - 1) < 0.02
    assert one.losses[-1] < 0.8 * np.log(2)


@pytest.mark.slow
def test_dense_rows_are_overwritten_ten_times_as_often():
    """Counted while two threads really run at once: on a busy machine several tries may be needed."""
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((1000, 1000))
    x, y = sparse_problem(20_000, 1000, 0.01)
    sparse = optim.hogwild(x, y, pydl.zeros(1000, dtype=pydl.float64), lr=1e-3, epochs=10)
    most = 0.0
    for _ in range(5):
        got = optim.hogwild(dense, y[:1000], pydl.zeros(1000, dtype=pydl.float64), lr=1e-3, epochs=5)
        most = max(most, got.overwrite_rate)
    if most == 0:
        pytest.skip("the threads never ran at once")
    assert most >= 10 * sparse.overwrite_rate


def test_sparse_matrices_of_scipy():
    sparse = pytest.importorskip("scipy.sparse")
    x, y = sparse_problem(100, 30, 0.1)
    a, b = (pydl.zeros(30, dtype=pydl.float64) for _ in range(2))
    optim.hogwild(x, y, a, workers=1)
    optim.hogwild(sparse.csr_matrix(x), pydl.tensor(y), b, workers=1)
    np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(
    "change, error, text",
    [
        ({"y": np.zeros(4)}, ShapeError, "does not match"),
        ({"weights": pydl.zeros(4, dtype=pydl.float64)}, ShapeError, "does not match"),
        ({"weights": pydl.zeros(3)}, ArgumentError, "dense vector of"),
        ({"y": np.full(5, 2.0)}, ArgumentError, "must be 0 and 1"),
        ({"workers": 0}, ArgumentError, "0 workers"),
        ({"lr": float("nan")}, ArgumentError, "lr nan"),
        ({"x": np.zeros(3)}, ShapeError, "expected a matrix"),
    ],
)
def test_hogwild_errors(change, error, text):
    given = {"x": np.ones((5, 3)), "y": np.zeros(5), "weights": pydl.zeros(3, dtype=pydl.float64), **change}
    with pytest.raises(error, match=text):
        optim.hogwild(**given)


def test_hogwild_checks_what_the_kernel_trusts():
    def arrays(**change):
        given = {
            "starts": np.array([0, 2, 3]), "columns": np.array([0, 1, 2]), "values": np.ones(3), "y": np.zeros(2),
            "order": np.array([0, 1]), "w": np.zeros(3),
        }  # fmt: skip
        return [pydl._C.from_numpy(v) for v in {**given, **change}.values()]

    pydl._C.hogwild(*arrays(), 0.1, 0.0)
    for change in ({"columns": np.array([0, 1, 3])}, {"order": np.array([0, 2])}, {"columns": np.array([0, -1, 2])}):
        with pytest.raises(BoundsError, match="has the index"):
            pydl._C.hogwild(*arrays(**change), 0.1, 0.0)
    for change in ({"starts": np.array([0, 4, 3])}, {"starts": np.array([-1, 2, 3])}, {"values": np.ones(2)}):
        with pytest.raises(ArgumentError):
            pydl._C.hogwild(*arrays(**change), 0.1, 0.0)
