"""What theory says about gradient descent, heavy balls and Nesterov's method on quadratics."""

import numpy as np
import pytest

import pydl
from pydl import optim


def quadratic(d=12, condition=30.0, seed=0):
    """A symmetric positive definite H (d, d) and its largest and smallest eigenvalue."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((d, d)))
    eigenvalues = np.geomspace(1.0, condition, d)
    return q @ np.diag(eigenvalues) @ q.T, condition, 1.0


def iterates(H, make, start, steps, before_step=None):
    """(steps + 1, d): start and what the optimizer makes of it on x H x / 2."""
    p = pydl.tensor(start, requires_grad=True)
    optimizer, matrix = make([p]), pydl.tensor(H)
    seen = [start]
    for t in range(steps):
        if before_step is not None:
            before_step(optimizer, t)
        optimizer.zero_grad()
        (0.5 * (p @ (matrix @ p))).backward()
        optimizer.step()
        seen.append(p.detach().numpy().copy())
    return np.array(seen)


def test_error_of_gradient_descent_is_a_power_of_the_matrix():
    H, L, _ = quadratic()
    e0 = np.random.default_rng(1).standard_normal(len(H))
    got = iterates(H, lambda p: optim.GD(p, lr=1 / L), e0, 60)
    step = np.eye(len(H)) - H / L
    want = np.array([np.linalg.matrix_power(step, t) @ e0 for t in range(61)])
    assert np.abs(got - want).max() < 1e-10


@pytest.mark.parametrize("times, converges", [(1.99, True), (2.01, False)])
def test_two_over_l_is_the_limit(times, converges):
    H, L, _ = quadratic(d=4, condition=10.0)
    got = iterates(H, lambda p: optim.GD(p, lr=times / L), np.ones(4), 1500)
    error = np.linalg.norm(got, axis=1)
    assert error[-1] < 1e-5 if converges else error[-1] > 1e5


def test_heavy_ball_is_the_two_term_form():
    H, L, _ = quadratic()
    start, lr, momentum = np.ones(len(H)), 1 / L, 0.9
    got = iterates(H, lambda p: optim.SGD(p, lr=lr, momentum=momentum), start, 80)
    want = [start, start - lr * H @ start]
    for _ in range(79):
        want.append(want[-1] - lr * H @ want[-1] + momentum * (want[-1] - want[-2]))
    assert np.abs(got - np.array(want)).max() < 1e-12


def test_damped_form_with_a_larger_step_is_the_same():
    H, L, _ = quadratic()
    start, lr, momentum = np.ones(len(H)), 0.5 / L, 0.9

    def warm(optimizer, t):
        if t == 0:  # m = (1 - momentum) g: the first step of v = g, damped
            group = optimizer.param_groups[0]
            group["lr"] = lr / (1 - momentum)
            (p,) = group["params"]
            optimizer.state[p]["momentum_buffer"] = pydl.zeros(p.shape, dtype=p.dtype)

    plain = iterates(H, lambda p: optim.SGD(p, lr=lr, momentum=momentum), start, 80)
    damped = iterates(H, lambda p: optim.SGD(p, lr=lr, momentum=momentum, dampening=momentum), start, 80, warm)
    assert np.abs(plain - damped).max() < 1e-12


def test_rate_of_the_best_heavy_ball():
    H, L, m = quadratic(d=30, condition=100.0)
    root = (np.sqrt(L) - np.sqrt(m)) / (np.sqrt(L) + np.sqrt(m))
    lr, momentum = 4 / (np.sqrt(L) + np.sqrt(m)) ** 2, root**2
    got = iterates(H, lambda p: optim.SGD(p, lr=lr, momentum=momentum), np.ones(30), 130)
    norms = np.linalg.norm(got, axis=1)
    window = slice(60, 131)
    rate = np.exp(np.polyfit(np.arange(131)[window], np.log(norms[window]), 1)[0])
    assert abs(rate / np.sqrt(momentum) - 1) < 0.02


def chain(d):
    """Nesterov's worst function for first-order methods: (H, b) of x H x / 2 - b x, H with largest eigenvalue < 4."""
    H = 2 * np.eye(d) - np.eye(d, k=1) - np.eye(d, k=-1)
    return H, np.eye(d)[0]


def test_nesterov_keeps_its_bound_where_gradient_descent_does_not():
    d, L, steps = 200, 4.0, 400
    H, b = chain(d)
    best = np.linalg.solve(H, b)
    matrix, vector = pydl.tensor(H), pydl.tensor(b)

    def gaps(make, schedule):
        p = pydl.tensor(np.zeros(d), requires_grad=True)
        optimizer = make([p])
        seen = []
        for t in range(steps):
            optimizer.param_groups[0].update(schedule(t))
            optimizer.zero_grad()
            (0.5 * (p @ (matrix @ p)) - vector @ p).backward()
            behind = p.detach().numpy() - p.grad.numpy() / L  # x_{t+1}: the step from the point looked at
            optimizer.step()
            seen.append(0.5 * (behind - best) @ H @ (behind - best))
        return np.array(seen)

    t = np.arange(1, steps + 1)
    bound = 2 * L * (best @ best) / (t + 1) ** 2
    nesterov = gaps(lambda p: optim.SGD(p, lr=1 / L, momentum=0.5, nesterov=True), lambda t: {"momentum": t / (t + 3)})
    descent = gaps(lambda p: optim.GD(p, lr=1 / L), lambda t: {})
    assert (nesterov <= bound).all()
    assert t[descent > bound][0] == 127 and (descent > bound)[126:].all()
