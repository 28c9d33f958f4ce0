"""L-BFGS beside PyTorch's and SciPy's, and the bridge to scipy.optimize."""

import copy

import numpy as np
import pytest

import pydl
from pydl import nn, optim
from pydl.errors import ArgumentError, CheckpointError


def rosenbrock(p):
    return ((1 - p[:-1]) ** 2).sum() + 100 * ((p[1:] - p[:-1] ** 2) ** 2).sum()


def closure_of(o, loss, count=None):
    def closure():
        if count is not None:
            count.append(1)
        o.zero_grad()
        value = loss()
        value.backward()
        return value

    return closure


def test_quadratic_in_few_evaluations():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((20, 20)))
    h, b = q @ np.diag(np.geomspace(1, 10, 20)) @ q.T, rng.standard_normal(20)
    p = pydl.zeros(20, dtype=pydl.float64, requires_grad=True)
    o = optim.LBFGS([p], max_iter=100, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe")
    matrix, vector, count = pydl.tensor(h), pydl.tensor(b), []
    o.step(closure_of(o, lambda: 0.5 * (p @ (matrix @ p)) - vector @ p, count))
    x, best = p.detach().numpy(), np.linalg.solve(h, b)
    value = 0.5 * x @ h @ x - b @ x
    assert value - (0.5 * best @ h @ best - b @ best) < 1e-10
    reached = evaluations_until(lambda r: 0.5 * (r @ (matrix @ r)) - vector @ r, np.zeros(20), -0.5 * b @ best + 1e-10)
    assert reached <= 40


def evaluations_until(loss, start, goal):
    """How often the loss is computed until it is below goal."""
    p = pydl.tensor(np.array(start), requires_grad=True)
    o = optim.LBFGS([p], max_iter=1, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe")
    count = []
    for _ in range(200):
        o.step(closure_of(o, lambda: loss(p), count))
        if loss(p).item() < goal:
            return o.state[p]["func_evals"] - o.state[p]["n_iter"]  # each call of step looks once more where it begins
    raise AssertionError("not reached")


def test_rosenbrock_in_few_evaluations():
    assert evaluations_until(rosenbrock, [-1.2, 1.0], 1e-8) <= 60


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("history", [100, 3])
def test_equals_torch(search, history):
    torch = pytest.importorskip("torch")
    start = [np.array([-1.2, 1.0, 0.3]), np.array([[0.5, -0.4]])]
    ours = [pydl.tensor(s.copy(), requires_grad=True) for s in start]
    theirs = [torch.tensor(s.copy(), requires_grad=True) for s in start]
    options = {"lr": 1.0 if search else 1e-3, "max_iter": 7, "history_size": history, "line_search_fn": search}
    a, b = optim.LBFGS(ours, **options), torch.optim.LBFGS(theirs, **options)
    for _ in range(8):
        mine = a.step(closure_of(a, lambda: rosenbrock(pydl.cat([ours[0], ours[1].reshape(-1)]))))
        other = b.step(closure_of(b, lambda: rosenbrock(torch.cat([theirs[0], theirs[1].reshape(-1)]))))
        assert mine.item() == pytest.approx(other.item(), rel=1e-6)
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6, atol=1e-9)
    mine, other = a.state[ours[0]], b.state[theirs[0]]
    assert set(mine) | {"al"} == set(other)  # what its two loops leave behind
    assert (mine["func_evals"], mine["n_iter"]) == (other["func_evals"], other["n_iter"])
    assert set(a.state_dict()["param_groups"][0]) == set(b.state_dict()["param_groups"][0])
    c = optim.LBFGS(ours, lr=5.0)
    c.load_state_dict(b.state_dict())  # goes on as torch's does
    c.step(closure_of(c, lambda: rosenbrock(pydl.cat([ours[0], ours[1].reshape(-1)]))))
    b.step(closure_of(b, lambda: rosenbrock(torch.cat([theirs[0], theirs[1].reshape(-1)]))))
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6, atol=1e-9)


def logistic():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 6))
    y = (x @ rng.standard_normal(6) + rng.standard_normal(100) > 0).astype(float)
    a, b = pydl.tensor(x), pydl.tensor(y)

    def loss(w):
        return nn.functional.binary_cross_entropy_with_logits(a @ w, b) + 0.01 * (w * w).sum()

    return x, y, loss


@pytest.mark.parametrize("kind", ["LBFGS", "L-BFGS-B", "BFGS", "CG"])
def test_logistic_regression_has_scipys_optimum(kind):
    optimize = pytest.importorskip("scipy.optimize")
    x, y, loss = logistic()
    w = pydl.zeros(6, dtype=pydl.float64, requires_grad=True)
    if kind == "LBFGS":
        o = optim.LBFGS([w], max_iter=100, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe")
    else:
        o = optim.ScipyMinimizer([w], method=kind, tol=1e-12)
    before = o.step(closure_of(o, lambda: loss(w)))
    assert before.item() == pytest.approx(np.log(2))

    def value(v):
        return np.mean(np.logaddexp(0, x @ v) - y * (x @ v)) + 0.01 * v @ v

    want = optimize.minimize(value, np.zeros(6), method="BFGS", tol=1e-9).x
    np.testing.assert_allclose(w.detach().numpy(), want, atol=1e-6)


def test_lbfgs_goes_on_from_its_state():
    p = pydl.tensor([-1.2, 1.0], dtype=pydl.float64, requires_grad=True)
    o = optim.LBFGS([p], max_iter=3, line_search_fn="strong_wolfe")
    o.step(closure_of(o, lambda: rosenbrock(p)))
    q = p.detach().clone().requires_grad_()
    twin = optim.LBFGS([q])
    twin.load_state_dict(o.state_dict())
    other = copy.deepcopy(o)
    (r,) = other.params
    for _ in range(3):
        o.step(closure_of(o, lambda: rosenbrock(p)))
        twin.step(closure_of(twin, lambda: rosenbrock(q)))
        other.step(closure_of(other, lambda: rosenbrock(r)))
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    np.testing.assert_array_equal(p.detach().numpy(), r.detach().numpy())
    state = o.state_dict()
    state["state"][0]["d"] = pydl.zeros(3)
    with pytest.raises(CheckpointError, match="does not fit 2 parameters"):
        twin.load_state_dict(state)


def test_lbfgs_with_nothing_to_do():
    p = pydl.zeros(3, requires_grad=True)
    o = optim.LBFGS([p], line_search_fn="strong_wolfe")
    o.step(closure_of(o, lambda: (p * p).sum()))
    assert p.tolist() == [0, 0, 0] and o.state[p]["func_evals"] == 1
    empty = pydl.zeros(0, requires_grad=True)
    o = optim.LBFGS([empty])
    o.step(closure_of(o, lambda: (empty * empty).sum()))


def test_lbfgs_meets_a_loss_that_is_not_a_number():
    p = pydl.tensor([1.0], dtype=pydl.float64, requires_grad=True)
    o = optim.LBFGS([p], line_search_fn="strong_wolfe", lr=3.0)
    with np.errstate(all="ignore"):
        o.step(closure_of(o, lambda: (p - p.log()).sum()))  # a step to the left of 0 gives NaN
    assert np.isfinite(p.item())


def test_scipy_with_bounds_options_and_several_dtypes():
    pytest.importorskip("scipy")
    p = pydl.tensor([0.5, 0.5], requires_grad=True)
    q = pydl.tensor([[0.5]], dtype=pydl.float64, requires_grad=True)
    unused = pydl.ones(2, requires_grad=True)
    o = optim.ScipyMinimizer([p, q, unused], bounds=(0.0, 1.0), options={"maxiter": 50})
    o.step(closure_of(o, lambda: ((p - 2) ** 2).sum() + ((q + 1) ** 2).sum().float()))
    np.testing.assert_allclose(p.detach().numpy(), [1, 1])
    assert q.item() == 0 and unused.tolist() == [1, 1] and o.result.success
    assert p.dtype is pydl.float32 and q.dtype is pydl.float64


def test_an_error_in_the_loss_leaves_scipys_parameters_alone():
    pytest.importorskip("scipy")
    p = pydl.tensor([3.0], requires_grad=True)
    o, calls = optim.ScipyMinimizer([p]), []

    def closure():
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("stop")
        o.zero_grad()
        loss = (p**4).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="stop"):
        o.step(closure)
    assert p.tolist() == [3.0]


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda p: optim.LBFGS([p]).step(), "needs a closure"),
        (lambda p: optim.LBFGS([p], line_search_fn="armijo"), "line_search_fn must be"),
        (lambda p: optim.LBFGS([p], lr=-1), "lr must be >= 0"),
        (lambda p: optim.LBFGS([p], history_size=0), "history_size must be >= 1"),
        (lambda p: optim.LBFGS([{"params": p}, {"params": pydl.zeros(1, requires_grad=True)}]), "in one group"),
        (lambda p: optim.ScipyMinimizer([p]).step(), "needs a closure"),
        (lambda p: optim.ScipyMinimizer([{"params": p}, {"params": pydl.ones(1)}]), "in one group"),
    ],
)
def test_errors(make, text):
    with pytest.raises(ArgumentError, match=text):
        make(pydl.ones(2, requires_grad=True))


def test_an_interval_that_has_closed_ends_the_search():
    from pydl.optim.line_search import Point, cubic_minimum

    g = pydl.zeros(1)
    assert cubic_minimum(Point(0.5, 1.0, g, -1.0), Point(0.5, 1.0, g, -1.0)) == 0.5
