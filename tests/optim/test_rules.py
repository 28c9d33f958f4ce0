"""Every update rule against its formula, written in float64 NumPy, and what the course says about it."""

import numpy as np
import pytest

import pydl
from pydl import optim

RNG = np.random.default_rng(0)
GRADIENTS = RNG.standard_normal((5, 4)) * np.array([1e-3, 1.0, 30.0, 0.1])
START = RNG.standard_normal(4)


def trace(make, gradients=GRADIENTS, start=START):
    """(steps, d): where the optimizer goes along given gradients."""
    p = pydl.tensor(start, requires_grad=True)
    optimizer, seen = make([p]), []
    for g in gradients:
        p.grad = pydl.tensor(g)
        optimizer.step()
        seen.append(p.detach().numpy().copy())
    return np.array(seen)


def by_formula(rule, gradients=GRADIENTS, start=START):
    """(steps, d): rule(state, g, t) gives the change of step t from 1 on."""
    x, state, seen = start.copy(), {}, []
    for t, g in enumerate(gradients, 1):
        x = x + rule(state, g, t)
        seen.append(x)
    return np.array(seen)


def mean(state, name, beta, x):
    state[name] = beta * state.get(name, 0.0) + (1 - beta) * x
    return state[name]


def classical(state, g, t):
    state["v"] = 0.9 * state.get("v", 0.0) + 0.1 / t * g
    return -state["v"]


def nesterov(state, g, t):
    state["v"] = 0.9 * state.get("v", 0.0) + g
    return -0.1 * (g + 0.9 * state["v"])


def adagrad(state, g, t):
    state["G"] = state.get("G", 0.0) + g * g
    return -0.1 * g / np.sqrt(state["G"] + 1e-4)


def adadelta(state, g, t):
    steps = state.get("d2", np.zeros(4))
    change = -np.sqrt(steps + 1e-6) / np.sqrt(mean(state, "g2", 0.9, g * g) + 1e-6) * g
    mean(state, "d2", 0.9, change * change)
    return change


def rmsprop(state, g, t):
    return -0.1 * g / np.sqrt(mean(state, "v", 0.9, g * g) + 1e-4)


def adam(state, g, t, inside=False):
    m, v = mean(state, "m", 0.9, g) / (1 - 0.9**t), mean(state, "v", 0.99, g * g) / (1 - 0.99**t)
    return -0.1 * m / (np.sqrt(v + 1e-4) if inside else np.sqrt(v) + 1e-4)


def amsgrad(state, g, t):
    m = mean(state, "m", 0.9, g) / (1 - 0.9**t)
    state["x"] = np.maximum(state.get("x", 0.0), mean(state, "v", 0.99, g * g))
    return -0.1 * m / (np.sqrt(state["x"] / (1 - 0.99**t)) + 1e-8)


def adamax(state, g, t):
    state["u"] = np.maximum(0.99 * state.get("u", 0.0), np.abs(g))
    return -0.1 * mean(state, "m", 0.9, g) / (1 - 0.9**t) / state["u"]


def nadam(state, g, t):
    m, v = mean(state, "m", 0.8, g), mean(state, "v", 0.99, g * g)
    mu = 0.4  # 0.8 (1 - 0.96^0 / 2)
    m = mu * m / (1 - mu ** (t + 1)) + (1 - mu) * g / (1 - mu**t)
    return -0.1 * m / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)


def lion(state, g, t):
    c = 0.9 * state.get("m", np.zeros(4)) + 0.1 * g
    mean(state, "m", 0.99, g)
    return -0.1 * np.sign(c)


BETAS = {"lr": 0.1, "betas": (0.9, 0.99)}
TABLE = {
    "gradient descent": (lambda p: optim.SGD(p, lr=0.1), lambda state, g, t: -0.1 * g),
    "nesterov": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), nesterov),
    "adagrad": (lambda p: optim.Adagrad(p, lr=0.1, eps=1e-4, eps_inside=True), adagrad),
    "adadelta": (lambda p: optim.Adadelta(p, rho=0.9, eps=1e-6), adadelta),
    "rmsprop": (lambda p: optim.RMSprop(p, lr=0.1, alpha=0.9, eps=1e-4, eps_inside=True), rmsprop),
    "adam": (lambda p: optim.Adam(p, eps=1e-4, **BETAS), adam),
    "adam of the table": (
        lambda p: optim.Adam(p, eps=1e-4, eps_inside=True, **BETAS),
        lambda *a: adam(*a, inside=True),
    ),
    "amsgrad": (lambda p: optim.Adam(p, amsgrad=True, **BETAS), amsgrad),
    "adamax": (lambda p: optim.Adamax(p, eps=0.0, **BETAS), adamax),
    "nadam": (lambda p: optim.NAdam(p, lr=0.1, betas=(0.8, 0.99), momentum_decay=0), nadam),
    "lion": (lambda p: optim.Lion(p, **BETAS), lion),
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


def test_adagrad_rate_falls_as_the_root_of_time():
    path = trace(lambda p: optim.Adagrad(p, lr=0.1), np.full((400, 4), 3.0))
    steps = -np.diff(path[:, 0])
    np.testing.assert_allclose(steps, 0.1 / np.sqrt(np.arange(2, 401)), rtol=1e-9)


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


def test_adadelta_without_eps_never_moves():
    assert (trace(lambda p: optim.Adadelta(p, eps=0.0)) == START).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_first_steps_do_not_see_the_scale(scale):
    g = scale * np.array([[1.0, -1.0, 0.5, -3.0]])
    adam = trace(lambda p: optim.Adam(p, lr=0.1, eps=0.0), g)[0] - START
    np.testing.assert_allclose(np.abs(adam), 0.1, rtol=1e-9)
    rms = trace(lambda p: optim.RMSprop(p, lr=0.1, alpha=0.9, eps=0.0), g)[0] - START
    np.testing.assert_allclose(np.abs(rms), 0.1 / np.sqrt(1 - 0.9), rtol=1e-9)
    # what the bias correction of Adam mends
    raw = (1 - 0.9) * g[0] / np.sqrt((1 - 0.999) * g[0] ** 2)
    np.testing.assert_allclose(np.abs(raw) / np.abs(adam / 0.1), (1 - 0.9) / np.sqrt(1 - 0.999), rtol=1e-9)


def test_corrected_second_moment_is_unbiased():
    p = pydl.zeros(200_000, dtype=pydl.float64, requires_grad=True)
    optimizer = optim.Adam([p], lr=0.0)
    rng = np.random.default_rng(0)
    for t in range(1, 6):
        p.grad = pydl.tensor(2.0 * rng.standard_normal(200_000))
        optimizer.step()
        corrected = optimizer.state[p]["exp_avg_sq"].numpy() / (1 - 0.999**t)
        assert abs(corrected.mean() / 4.0 - 1) < 0.02


def test_adamax_is_the_limit_of_large_powers():
    power, beta2, g = 64, 0.99, RNG.uniform(0.5, 2.0, (60, 4))
    m, v, x, want = np.zeros(4), np.zeros(4), START.copy(), []
    for t in range(1, 61):
        m = 0.9 * m + 0.1 * g[t - 1]
        v = beta2**power * v + (1 - beta2**power) * g[t - 1] ** power
        x = x - 0.1 * (m / (1 - 0.9**t)) / (v / (1 - beta2 ** (power * t))) ** (1 / power)
        want.append(x)
    got = trace(lambda p: optim.Adamax(p, lr=0.1, betas=(0.9, beta2)), g)
    ratio = np.diff(got, axis=0) / np.diff(np.array(want), axis=0)
    assert np.abs(ratio.mean() - 1) < 0.02


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
