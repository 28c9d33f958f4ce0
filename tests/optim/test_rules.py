"""Every update rule against its formula, written in float64 NumPy, and what the course says about it."""

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.recipes.optimisation import update_rules
from pydl.recipes.optimisation.update_rules import RULES, mean

RNG = np.random.default_rng(0)
GRADIENTS = RNG.standard_normal((5, 4)) * np.array([1e-3, 1.0, 30.0, 0.1])
START = RNG.standard_normal(4)


def trace(make, gradients=GRADIENTS, start=START):
    return update_rules.trace(make, gradients, start)


def by_formula(rule, gradients=GRADIENTS, start=START):
    return update_rules.by_formula(rule, gradients, start)


def classical(state, g, t):
    state["v"] = 0.9 * state.get("v", 0.0) + 0.1 / t * g
    return -state["v"]


def nesterov(state, g, t):
    state["v"] = 0.9 * state.get("v", 0.0) + g
    return -0.1 * (g + 0.9 * state["v"])


def amsgrad(state, g, t):
    m = mean(state, "m", 0.9, g) / (1 - 0.9**t)
    state["x"] = np.maximum(state.get("x", 0.0), mean(state, "v", 0.99, g * g))
    return -0.1 * m / (np.sqrt(state["x"] / (1 - 0.99**t)) + 1e-8)


def lion(state, g, t):
    c = 0.9 * state.get("m", np.zeros(4)) + 0.1 * g
    mean(state, "m", 0.99, g)
    return -0.1 * np.sign(c)


BETAS = {"lr": 0.1, "betas": (0.9, 0.99)}
TABLE = {
    "gradient descent": (lambda p: optim.SGD(p, lr=0.1), lambda state, g, t: -0.1 * g),
    "nesterov": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), nesterov),
    "amsgrad": (lambda p: optim.Adam(p, amsgrad=True, **BETAS), amsgrad),
    "lion": (lambda p: optim.Lion(p, **BETAS), lion),
    **RULES,
}


@pytest.mark.parametrize("name", TABLE)
def test_five_steps_by_hand(name):
    make, rule = TABLE[name]
    np.testing.assert_allclose(trace(make), by_formula(rule), rtol=1e-12)


def test_classical_momentum_keeps_the_rate_of_each_step():
    def make(p):
        optimizer = optim.SGD(p, lr=0.1, momentum=0.9, rate_inside=True)
        optimizer.register_step_post_hook(lambda o, a, k: falling(o))
        return optimizer

    def falling(o):
        o.param_groups[0]["lr"] = 0.1 / (round(0.1 / o.param_groups[0]["lr"]) + 1)

    np.testing.assert_allclose(trace(make), by_formula(classical), rtol=1e-12)


def test_rprop_by_hand():
    gradients = np.array([[1.0], [2.0], [-1.0], [-0.5], [0.0], [0.0], [3.0]])
    # sizes 0.1, 0.12, turned: 0.06 and no step, its gradient forgotten: 0.06, zero: no move, 0.06
    want = np.cumsum([-0.1, -0.12, 0.0, 0.06, 0.0, 0.0, -0.06])
    np.testing.assert_allclose(trace(lambda p: optim.Rprop(p, lr=0.1), gradients, np.zeros(1))[:, 0], want, atol=1e-14)


def test_adadelta_hardly_sees_the_scale_of_the_loss():
    def path(scale, make):
        p = pydl.tensor([1.0, -2.0], dtype=pydl.float64, requires_grad=True)
        optimizer, seen = make([p]), []
        for _ in range(300):
            optimizer.zero_grad()
            (scale * (p * p * pydl.tensor([1.0, 10.0], dtype=pydl.float64)).sum()).backward()
            optimizer.step()
            seen.append(p.detach().numpy().copy())
        return np.array(seen)

    one, thousand = (path(s, lambda p: optim.Adadelta(p, eps=1e-6)) for s in (1.0, 1e3))
    assert np.abs(one - thousand).max() < 0.01 * np.abs(one).max()
    with np.errstate(over="ignore", invalid="ignore"):
        assert not np.abs(path(1e3, lambda p: optim.SGD(p, lr=0.02))[-1]).max() < 1e9


def test_nadam_with_a_still_second_moment_is_nesterovs_momentum():
    """With v held at 1 the step is lr (mu m + (1 - mu) g): Nesterov's look ahead along the mean."""
    p = pydl.tensor(START, requires_grad=True)
    optimizer = optim.NAdam([p], lr=0.1, betas=(0.8, 1 - 1e-12), eps=0.0, momentum_decay=0)
    optimizer.load_state_dict(
        {
            "state": {0: {"step": 10**14, "mu_product": 0.0, "exp_avg": np.zeros(4), "exp_avg_sq": np.ones(4)}},
            "param_groups": [{**optimizer.state_dict()["param_groups"][0]}],
        }
    )
    x, m = START.copy(), np.zeros(4)
    for g in GRADIENTS:
        p.grad = pydl.tensor(g)
        optimizer.step()
        m = 0.8 * m + 0.2 * g
        x = x - 0.1 * (0.4 * m + 0.6 * g)
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-8)


# ---------------------------------------------------------------- weight decay


def quadratic_path(make, penalty=0.0, steps=100, seed=0):
    rng = np.random.default_rng(seed)
    h = pydl.tensor(np.diag(np.geomspace(0.1, 2, 6)))
    w, b = (pydl.tensor(rng.standard_normal(6), requires_grad=True) for _ in range(2))
    optimizer, seen = make(w, b), []
    for _ in range(steps):
        optimizer.zero_grad()
        gap = w + b - 1
        (gap @ (h @ gap) + 0.5 * penalty * (w * w).sum()).backward()
        optimizer.step()
        seen.append(np.concatenate([w.detach().numpy(), b.detach().numpy()]))
    return np.array(seen)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_penalty_in_the_loss_is_decay_in_the_step(momentum):
    """Biases are left out of both, by a group of their own."""
    in_loss = quadratic_path(lambda w, b: optim.SGD([w, b], lr=0.05, momentum=momentum), penalty=0.3)
    in_step = quadratic_path(
        lambda w, b: optim.SGD(
            [{"params": w, "weight_decay": 0.3}, {"params": b}], lr=0.05, momentum=momentum, weight_decay=0
        )
    )
    np.testing.assert_allclose(in_loss, in_step, rtol=0, atol=1e-12)
    plain = quadratic_path(lambda w, b: optim.SGD([w, b], lr=0.05, momentum=momentum))
    assert np.abs(plain - in_step).max() > 1e-2


def test_decoupled_decay_equals_the_penalty_for_plain_descent_alone():
    def both(coupled, decoupled, steps=2, **options):
        paths = [
            quadratic_path(lambda w, b, k=kind: k([w, b], lr=0.1, weight_decay=0.2, **options), steps=steps)
            for kind in (coupled, decoupled)
        ]
        return np.abs(paths[0] - paths[1]).max()

    assert both(optim.SGD, optim.SGDW, steps=100) < 1e-13
    assert both(optim.SGD, optim.SGDW, momentum=0.9) > 1e-4
    assert both(optim.Adam, optim.AdamW) > 1e-3


@pytest.mark.parametrize("name", ["AdamW", "SGDW", "Lion", "NAdam", "RAdam"])
def test_without_gradients_decoupled_decay_shrinks_by_a_factor(name):
    more = {} if name in ("AdamW", "SGDW", "Lion") else {"decoupled_weight_decay": True}
    path = trace(lambda p: getattr(optim, name)(p, lr=0.1, weight_decay=0.3, **more), np.zeros((6, 4)))
    np.testing.assert_allclose(path, START * (1 - 0.1 * 0.3) ** np.arange(1, 7)[:, None], rtol=1e-14)
    coupled = trace(lambda p: optim.Adam(p, lr=0.1, weight_decay=0.3), np.zeros((6, 4)))
    assert np.abs(coupled[-1] / START - (1 - 0.03) ** 6).max() > 1e-2


# ---------------------------------------------------------------- where Adam fails


def reddi(amsgrad, steps=30_000):
    """Reddi's losses on [-1, 1]: C x every third step, else -x, C = 3; the best point is -1."""
    p = pydl.tensor([0.0], dtype=pydl.float64, requires_grad=True)
    optimizer = optim.Adam([p], lr=1.0, betas=(0.0, 0.1), eps=1e-8, amsgrad=amsgrad)
    for t in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = 0.5 / np.sqrt(t)
        p.grad = pydl.tensor([3.0 if t % 3 == 1 else -1.0], dtype=pydl.float64)
        optimizer.step()
        with pydl.no_grad():
            p.clamp_(-1, 1)
    return p.item()


def test_adam_goes_to_the_worst_point_and_amsgrad_to_the_best():
    assert reddi(False, 6000) > 0.98
    assert reddi(True, 6000) < -0.98
