"""Initialisation: distributions, shapes, and what they do to signals in deep networks."""

import math
from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl import nn
from pydl.errors import ArgumentError, PydlError, ShapeError
from pydl.nn import init

IN, OUT, FIELD = 64, 256, 9


@pytest.mark.parametrize("args", [("linear",), ("conv2d",), ("sigmoid",), ("tanh",), ("relu",), ("leaky_relu",),
                                  ("leaky_relu", 0.3), ("selu",)])  # fmt: skip
def test_gain(args: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    assert init.calculate_gain(*args) == pytest.approx(torch.nn.init.calculate_gain(*args), rel=1e-15)


VARIANCES: list[tuple[Any, float]] = [
    (lambda t: init.xavier_uniform_(t), 2 / ((IN + OUT) * FIELD)),
    (lambda t: init.xavier_normal_(t, gain=3.0), 18 / ((IN + OUT) * FIELD)),
    (lambda t: init.kaiming_uniform_(t), 2 / (IN * FIELD)),
    (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / (3 * IN * FIELD)),
    (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), 2 / (OUT * FIELD)),
    (lambda t: init.kaiming_normal_(t, nonlinearity="linear"), 1 / (IN * FIELD)),
    (lambda t: init.lecun_uniform_(t), 1 / (IN * FIELD)),
    (lambda t: init.lecun_normal_(t), 1 / (IN * FIELD)),
    (lambda t: init.normal_(t, 0.0, 0.3), 0.09),
    (lambda t: init.uniform_(t, -3.0, 3.0), 3.0),
]


@pytest.mark.parametrize(("fill", "variance"), VARIANCES, ids=range(len(VARIANCES)))
def test_variance(fill: Any, variance: float) -> None:
    """The sample variance of 147456 weights is within 3 % of the formula; the mean within 4 standard errors of 0."""
    t = nn.Parameter(pydl.empty(OUT, IN, 3, 3))
    assert fill(t) is t and t.requires_grad and t.node is None
    w = t.detach().numpy().astype(float)
    assert abs(w.var() / variance - 1) < 0.03
    assert abs(w.mean()) < 4 * math.sqrt(variance / w.size)


def test_bounds_of_the_uniform_ones() -> None:
    t = pydl.empty(OUT, IN)
    for fill, bound in ((init.xavier_uniform_, math.sqrt(6 / (IN + OUT))), (init.lecun_uniform_, math.sqrt(3 / IN))):
        w = np.abs(fill(t).numpy())
        assert w.max() <= bound * (1 + 1e-6) and w.max() > 0.99 * bound


def test_constants() -> None:
    t = nn.Parameter(pydl.empty(2, 3))
    assert init.ones_(t).tolist() == [[1] * 3] * 2 and init.zeros_(t).tolist() == [[0] * 3] * 2
    assert init.constant_(t, 0.3).dtype is pydl.float32 and init.eye_(t).tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(("shape", "groups"), [((4, 4, 3), 1), ((4, 2, 3, 3), 2), ((3, 5, 1, 2, 3), 1)])
def test_dirac(shape: tuple[int, ...], groups: int) -> None:
    torch = pytest.importorskip("torch")
    e = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
    np.testing.assert_array_equal(init.dirac_(pydl.empty(*shape), groups).numpy(), e)


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0, 1, -2, 2), (1, 2, -1, 1.5), (0, 0.02, -2, 2), (0, 1, 2, 3), (5, 1, -1, 4)]
)
def test_truncated_normal(mean: float, std: float, a: float, b: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    made = init.trunc_normal_(pydl.empty(20_000, dtype=pydl.float64), mean, std, a, b).numpy()
    exact = stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std)
    assert made.min() >= a and made.max() <= b
    assert stats.kstest(made, exact.cdf).pvalue > 1e-3


def test_inverse_error_function() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(-0.999999, 0.999999, 4001), np.logspace(-15, -3, 50) - 1, [0.0, 1 - 2.0**-53]])
    made, exact = init._inverse_erf(x), special.erfinv(x)
    rounding = 4 * 2.0**-53 * np.sqrt(np.pi) / 2 * np.exp(exact**2)  # what one rounding of erf(y) near 1 is worth in y
    assert (np.abs(made - exact) <= 1e-14 * np.abs(exact) + rounding * (np.abs(x) > 0.5)).all()


def test_truncated_far_away() -> None:
    with pytest.warns(UserWarning, match="so far from the mean"):
        assert init.trunc_normal_(pydl.empty(3), 0.0, 1.0, 50.0, 60.0).tolist() == [50.0] * 3


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (25, 25), (8, 3, 2, 2), (16, 3, 2, 2)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = init.orthogonal_(pydl.empty(*shape, dtype=pydl.float64), gain=2.0).numpy().reshape(shape[0], -1)
    square = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-12)


def test_orthogonal_is_uniform_over_signs() -> None:
    signs = [np.linalg.det(init.orthogonal_(pydl.empty(3, 3, dtype=pydl.float64)).numpy()) for _ in range(400)]
    assert abs(np.mean(signs)) < 4 / math.sqrt(400)


def test_sparse() -> None:
    w = init.sparse_(pydl.empty(30, 40), 0.35, std=2.0).numpy()
    assert ((w == 0).sum(0) == 11).all() and abs(w[w != 0].std() - 2) < 0.3


def test_generator() -> None:
    for fill in (init.uniform_, init.normal_, init.xavier_normal_, init.trunc_normal_, init.orthogonal_):
        a, b, c = (fill(pydl.empty(4, 4), generator=pydl.Generator().manual_seed(s)).numpy() for s in (1, 1, 2))
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


ERRORS: list[tuple[Any, type[PydlError], str]] = [
    (lambda: init.calculate_gain("nothing"), ArgumentError, "unknown nonlinearity 'nothing'"),
    (lambda: init.xavier_uniform_(pydl.empty(3)), ShapeError, "expected at least 2 axes"),
    (lambda: init.kaiming_normal_(pydl.empty(3, 3), mode="fan"), ArgumentError, "mode must be 'fan_in' or 'fan_out'"),
    (lambda: init.eye_(pydl.empty(3)), ShapeError, "expected 2 axes"),
    (lambda: init.dirac_(pydl.empty(3, 3)), ShapeError, "expected 3 to 5 axes"),
    (lambda: init.dirac_(pydl.empty(3, 3, 3), 2), ArgumentError, "cannot be split into 2 groups"),
    (lambda: init.orthogonal_(pydl.empty(3)), ShapeError, "expected at least 2 axes"),
    (lambda: init.sparse_(pydl.empty(3), 0.1), ShapeError, "expected 2 axes"),
    (lambda: init.sparse_(pydl.empty(3, 3), 1.1), ArgumentError, "sparsity must be in"),
    (lambda: init.normal_(pydl.empty(3), std=-1.0), ArgumentError, "std must not be negative"),
    (lambda: init.trunc_normal_(pydl.empty(3), a=1.0, b=0.0), ArgumentError, "expected std > 0 and a < b"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=range(len(ERRORS)))
def test_errors(call: Any, error: type[PydlError], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


# ---------------------------------------------------------------- signals through depth

WIDTH, DEPTH, NETS = 512, 30, 20


def growth(fill: Any) -> float:
    """The mean over random ReLU networks of |a_depth|^2 / |a_0|^2."""
    ratios = []
    with pydl.no_grad():
        for seed in range(NETS):
            generator = pydl.Generator().manual_seed(seed)
            a = pydl.randn(1, WIDTH, generator=generator)
            start = float((a * a).sum())
            for _ in range(DEPTH):
                a = F.linear(a, fill(pydl.empty(WIDTH, WIDTH), generator), None, "relu")
            ratios.append(float((a * a).sum()) / start)
    return float(np.mean(ratios))


def test_he_keeps_the_size_of_signals() -> None:
    assert 0.5 <= growth(lambda t, g: init.kaiming_normal_(t, nonlinearity="relu", generator=g)) <= 2


def test_without_the_factor_two_signals_die() -> None:
    assert growth(lambda t, g: init.lecun_normal_(t, generator=g)) <= 2.0**-20
