"""Random tensors: their distribution, their streams, and that threads do not matter."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from registry import FLOATS
from scipy import stats

import pydl
from pydl import ops
from pydl.errors import ArgumentError, CheckpointError, DtypeError, ShapeError

N = 40_000
DRAWS: dict[str, Callable[..., Any]] = {
    "rand": lambda **k: ops.rand(300, 401, **k),
    "randn": lambda **k: ops.randn(300, 401, **k),
    "randint": lambda **k: ops.randint(0, 1000, (300, 401), **k),
    "randperm": lambda **k: ops.randperm(120_300, **k),
    "rand_like": lambda **k: ops.rand_like(pydl.ones(300, 401), **k),
    "randn_like": lambda **k: ops.randn_like(pydl.ones(300, 401), **k),
    "randint_like": lambda **k: ops.randint_like(pydl.ones(300, 401), 9, **k),
    "normal": lambda **k: ops.normal(2.0, 3.0, (300, 401), **k),
    "bernoulli": lambda **k: ops.bernoulli(pydl.full((300, 401), 0.3), **k),
    "multinomial": lambda **k: ops.multinomial(pydl.ones(300, 40), 20, **k),
    "dropout": lambda **k: ops.dropout(pydl.ones(300, 401), 0.3, **k),
}
COVERS = [
    *DRAWS,
    "Generator",
    "default_generator",
    "manual_seed",
    "seed",
    "initial_seed",
    "get_rng_state",
    "set_rng_state",
]


@pytest.mark.parametrize("name", DRAWS)
def test_same_seed_same_numbers(name: str) -> None:
    """For 1 and 2 threads and for the default generator and one of one's own; the next draw differs."""
    made = []
    for threads in (1, 2):
        pydl.set_num_threads(threads)
        pydl.manual_seed(7)
        made.append(DRAWS[name]().numpy().tobytes())
        assert DRAWS[name]().numpy().tobytes() != made[-1]
    made.append(DRAWS[name](generator=pydl.Generator().manual_seed(7)).numpy().tobytes())
    assert made[0] == made[1] == made[2]
    assert DRAWS[name](generator=pydl.Generator().manual_seed(8)).numpy().tobytes() != made[0]


def _uniform_p(values: np.ndarray, cdf: Any) -> float:
    return float(stats.kstest(values.reshape(-1), cdf).pvalue)


@pytest.mark.parametrize("dtype", FLOATS[:2])
def test_distributions(dtype: str) -> None:
    """Kolmogorov and Smirnov against SciPy's; a wrong one would give a p of 0."""
    d = getattr(pydl, dtype)
    assert _uniform_p(ops.rand(N, dtype=d).numpy(), "uniform") > 1e-3
    assert _uniform_p(ops.randn(N, dtype=d).numpy(), "norm") > 1e-3
    assert _uniform_p(ops.normal(2.0, 3.0, (N,), dtype=d).numpy(), stats.norm(2, 3).cdf) > 1e-3
    assert _uniform_p(pydl.empty(N, dtype=d).uniform_(-2, 5).numpy(), stats.uniform(-2, 7).cdf) > 1e-3
    assert _uniform_p(pydl.empty(N, dtype=d).normal_(1, 0.5).numpy(), stats.norm(1, 0.5).cdf) > 1e-3


def test_uniform_stays_below_one() -> None:
    for dtype in FLOATS:
        x = ops.rand(200_000, dtype=getattr(pydl, dtype)).float()
        assert x.min().item() >= 0 and x.max().item() < 1


def test_neighbours_are_independent() -> None:
    """Along a stream, and between streams of neighbouring seeds."""
    x = ops.randn(N).numpy()
    y = ops.randn(N, generator=pydl.Generator().manual_seed(1)).numpy()
    for a, b in ((x[1:], x[:-1]), (x[4:], x[:-4]), (x, y)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(N)


def test_counts_of_integers() -> None:
    counts = np.bincount(ops.randint(3, 13, (N,)).numpy())[3:]
    assert len(counts) == 10 and stats.chisquare(counts).pvalue > 1e-3
    assert set(ops.randint_like(pydl.ones(100), -2, 1).tolist()) == {-2, -1, 0}
    assert ops.randint(high=5, size=(2, 3)).shape == ops.randint(0, 5, size=(2, 3)).shape == (2, 3)
    assert ops.randint(5, (3,), dtype=pydl.uint8).dtype is pydl.uint8


def test_randperm_is_a_permutation() -> None:
    for n in (0, 1, 2, 1000):
        assert sorted(ops.randperm(n).tolist()) == list(range(n))
    firsts = [ops.randperm(5).tolist()[0] for _ in range(2000)]
    assert stats.chisquare(np.bincount(firsts)).pvalue > 1e-3


def test_bernoulli_and_multinomial_frequencies() -> None:
    p = np.array([0.0, 0.1, 0.5, 1.0])
    drawn = ops.bernoulli(pydl.tensor(np.tile(p, (N, 1)))).numpy().mean(0)
    np.testing.assert_allclose(drawn, p, atol=4 * 0.5 / np.sqrt(N))
    assert ops.bernoulli(pydl.ones(3), 0.0).tolist() == [0, 0, 0]
    weights = np.array([0.0, 1.0, 3.0, 6.0])
    counts = np.bincount(ops.multinomial(pydl.tensor(weights), N, replacement=True).numpy(), minlength=4)
    assert counts[0] == 0 and stats.chisquare(counts[1:], weights[1:] / 10 * N).pvalue > 1e-3
    first = ops.multinomial(pydl.tensor(np.tile(weights, (N, 1))), 3).numpy()
    assert (np.sort(first, 1) == [1, 2, 3]).all()
    counts = np.bincount(first[:, 0], minlength=4)
    assert stats.chisquare(counts[1:], weights[1:] / 10 * N).pvalue > 1e-3


def test_normal_of_tensors() -> None:
    mean, std = pydl.tensor([[0.0], [100.0]]), pydl.tensor([1.0, 10.0])
    x = ops.normal(mean.expand(2, 2).repeat(N, 1, 1), std).numpy()
    np.testing.assert_allclose(x.mean(0), [[0, 0], [100, 100]], atol=0.3)
    np.testing.assert_allclose(x.std(0), [[1, 10], [1, 10]], rtol=0.03)
    assert ops.normal(pydl.zeros(3), 2.0).shape == ops.normal(1.0, pydl.ones(3)).shape == (3,)


def test_state() -> None:
    """A saved state goes on where it was; generators pickle."""
    import pickle

    g = pydl.Generator().manual_seed(3)
    ops.rand(5, generator=g)
    state, copy, pickled = g.get_state(), g.clone_state(), pickle.dumps(g)
    expected = ops.rand(5, generator=g).tolist()
    g.set_state(state)
    for other in (g, copy, pickle.loads(pickled)):
        assert ops.rand(5, generator=other).tolist() == expected
    assert g.initial_seed() == 3
    with pytest.raises(CheckpointError, match="set_state"):
        g.set_state(pydl.zeros(2))


def test_the_default_generator() -> None:
    assert ops.manual_seed(11) is pydl.default_generator
    assert ops.initial_seed() == 11
    state = ops.get_rng_state()
    a = ops.rand(3).tolist()
    ops.set_rng_state(state)
    assert ops.rand(3).tolist() == a
    assert ops.seed() == ops.initial_seed() != 11
    assert pydl.Generator().manual_seed(-1).initial_seed() == 2**64 - 1


# ---------------------------------------------------------------- dropout


def test_dropout() -> None:
    """Keeps 1 - p, scaled; the gradient goes where values went; off outside training."""
    x = pydl.full((300, 400), 3.0, dtype=pydl.float64, requires_grad=True)
    y = ops.dropout(x, 0.25)
    kept = y.detach().numpy() != 0
    assert abs(kept.mean() - 0.75) < 4 * 0.5 / np.sqrt(kept.size)
    np.testing.assert_allclose(y.detach().numpy()[kept], 4.0)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), kept / 0.75)
    assert ops.dropout(x, 0.25, training=False) is x and ops.dropout(x, 0.0) is x
    assert (ops.dropout(x, 1.0) == 0).all().item()


@pytest.mark.parametrize("dtype", FLOATS)
def test_dropout_dtypes_and_layouts(dtype: str) -> None:
    x = pydl.ones(30, 40, dtype=getattr(pydl, dtype))
    for v in (x, x.t(), x[::2], x[:0], x[0, 0]):
        y = ops.dropout(v, 0.5)
        assert y.dtype is x.dtype and y.shape == v.shape
        assert set(y.double().reshape(-1).tolist()) <= {0.0, 2.0}


def test_dropout_differentiates_twice() -> None:
    x = pydl.randn(3, 4, dtype=pydl.float64, requires_grad=True)

    def run(x: Any) -> Any:
        pydl.manual_seed(0)
        return ops.dropout(x * x, 0.5)

    assert pydl.autograd.gradcheck(run, x) and pydl.autograd.gradgradcheck(run, x)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.rand(-1), ShapeError, "has a negative size"),
        (lambda: ops.rand(3, dtype=pydl.int64), DtypeError, "expected a floating dtype, got int64"),
        (lambda: ops.randint(5, 5, (3,)), ArgumentError, "randint: high must be larger than low"),
        (lambda: ops.randint([], (3,)), DtypeError, "randint: expected integers low and high, got 0 and []"),
        (lambda: ops.randint(0.5, 3, (3,)), DtypeError, "randint: expected integers low and high, got 0.5 and 3"),
        (lambda: ops.randint(5), ArgumentError, "randint: expected ([low,] high, size), got 1 arguments"),
        (lambda: ops.randperm(-1), ArgumentError, "randperm: n must not be negative"),
        (lambda: ops.normal(0.0, 1.0), ArgumentError, "normal: give size"),
        (lambda: ops.normal(0.0, -1.0, (3,)), ArgumentError, "normal: std must not be negative"),
        (lambda: ops.bernoulli(pydl.full((3,), 2.0)), ArgumentError, "bernoulli: probabilities must be in [0, 1]"),
        (lambda: ops.bernoulli(pydl.tensor([1])), DtypeError, "bernoulli: expected floating probabilities"),
        (lambda: ops.bernoulli(pydl.ones(3), 2.0), ArgumentError, "p must be in [0, 1]"),
        (lambda: ops.multinomial(pydl.ones(3), 4), ArgumentError, "cannot draw 4 without replacement"),
        (
            lambda: ops.multinomial(pydl.zeros(3), 1),
            ArgumentError,
            "weights must be finite, not negative and not all 0",
        ),
        (lambda: ops.multinomial(pydl.ones(2, 2, 2), 1), ArgumentError, "expected (c,) or (n, c) weights"),
        (lambda: ops.dropout(pydl.ones(3), 1.5), ArgumentError, "dropout: p must be in [0, 1], got 1.5"),
        (lambda: ops.dropout(pydl.tensor([1])), DtypeError, "dropout: expected a floating dtype"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
