"""DropConnect, adaptive and annealed dropout, penalties, dropped branches, adaptive clipping."""

import math

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError
from pydl.nn import functional as F


def within_errors(samples, want, errors=4.0):
    """Whether the means of the samples, (n, ...), are within so many standard errors of what they must be."""
    deviation = samples.std(0, ddof=1) / math.sqrt(len(samples))
    return bool((np.abs(samples.mean(0) - want) <= errors * deviation + 1e-12).all())


# ---- DropConnect


@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_dropconnect_keeps_the_expectation(p, per_example):
    pydl.manual_seed(0)
    layer = nn.DropConnectLinear(5, 3, p=p, per_example=per_example)
    x = pydl.randn(4, 5)
    outputs = np.stack([layer(x).detach().numpy() for _ in range(3000)])
    assert within_errors(outputs, layer.eval()(x).detach().numpy())
    assert (layer(x) == F.linear(x, layer.weight, layer.bias)).all()


def test_dropconnect_masks_single_weights():
    """With rows of the identity as examples, outputs are weights: dropped or not, each on its own."""
    pydl.manual_seed(0)
    p, n = 0.3, 40
    layer = nn.DropConnectLinear(n, n, bias=False, p=p)
    eye = pydl.eye(n)
    first, second = ((layer(eye) / layer.weight.T).detach().numpy() for _ in range(2))
    for ratio in (first, second):
        assert set(np.unique(np.round(ratio * (1 - p), 5))) == {0.0, 1.0}
        dropped = ratio == 0
        assert abs(dropped.mean() - p) < 4 * math.sqrt(p * (1 - p) / n**2)
        assert dropped.mean(0).min() > 0 and dropped.mean(0).max() < 1  # no whole unit, no whole input
        assert dropped.mean(1).min() > 0 and dropped.mean(1).max() < 1
    assert (first != second).any()
    ones = pydl.ones(6, n)
    shared, own = nn.DropConnectLinear(n, 8, p=p)(ones), nn.DropConnectLinear(n, 8, p=p, per_example=True)(ones)
    assert (shared == shared[:1]).all() and not (own == own[:1]).all()


@pytest.mark.parametrize("per_example", [False, True])
def test_dropconnect_gradients_and_shapes(per_example):
    pydl.manual_seed(0)
    layer = nn.DropConnectLinear(4, 3, p=0.5, per_example=per_example, dtype=pydl.float64)
    x = pydl.randn(2, 7, 4, dtype=pydl.float64, requires_grad=True)
    y = layer(x)
    assert y.shape == (2, 7, 3) and layer(x[:0]).shape == (0, 7, 3) and layer(x[0, 0]).shape == (3,)
    state = pydl.get_rng_state()

    def loss():
        pydl.set_rng_state(state)
        return (layer(x) ** 2).sum()

    loss().backward()
    with pydl.no_grad():
        for p in (layer.weight, layer.bias, x):
            way = pydl.randn(p.shape, dtype=pydl.float64)
            start, h = p.detach().clone(), 1e-6
            p.copy_(start + h * way)
            high = float(loss())
            p.copy_(start - h * way)
            slope = (high - float(loss())) / (2 * h)
            p.copy_(start)
            assert slope == pytest.approx(float((p.grad * way).sum()), rel=1e-6, abs=1e-8)


def test_dropconnect_of_any_module():
    pydl.manual_seed(0)
    conv = nn.utils.parametrizations.drop_connect(nn.Conv2d(2, 3, 3), p=0.25)
    weight = conv.parametrizations.weight.original
    ratio = (conv.weight / weight).detach().numpy()
    assert set(np.unique(np.round(ratio * 0.75, 5))) == {0.0, 1.0}
    assert (conv.eval().weight == weight).all()
    for p in (1.0, -0.1):
        with pytest.raises(ArgumentError, match=r"p must be in \[0, 1\)"):
            nn.utils.parametrizations.drop_connect(nn.Linear(2, 2), p=p)
        with pytest.raises(ArgumentError, match=r"DropConnectLinear: p must be in \[0, 1\)"):
            nn.DropConnectLinear(2, 2, p=p)
    assert "p=0.5" in repr(nn.DropConnectLinear(2, 2)) and set(nn.DropConnectLinear(2, 2).state_dict()) == {
        "weight",
        "bias",
    }


# ---- adaptive dropout


@pytest.mark.parametrize("gate", ["tied", "learned"])
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_standout_keeps_the_expectation(gate, activation):
    pydl.manual_seed(1)
    layer = nn.StandoutLinear(5, 4, alpha=2.0, beta=0.3, activation=activation, gate=gate)
    x = pydl.randn(6, 5)
    outputs = np.stack([layer(x).detach().numpy() for _ in range(3000)])
    assert within_errors(outputs, layer.eval()(x).detach().numpy())


def test_standout_rates_follow_the_gate():
    pydl.manual_seed(2)
    layer = nn.StandoutLinear(5, 4, alpha=1.5, beta=-0.2, activation=None)
    x = pydl.randn(3, 5)
    q = layer.keep_probability(x).detach().numpy()
    score = x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(q, 1 / (1 + np.exp(-(1.5 * score - 0.2))), rtol=1e-5)
    kept = np.stack([(layer(x) != 0).numpy() for _ in range(4000)])
    assert within_errors(kept.astype(float), q)
    assert q.std() > 0.05 and np.unique(q).size == q.size  # a rate for each unit and example
    wide_open = nn.StandoutLinear(5, 4, beta=50.0)
    assert (wide_open(x) == wide_open.eval()(x)).all()


def test_standout_gates_learn():
    """Half of the inputs are noise in the target's way: a learned gate closes where that pays."""
    pydl.manual_seed(0)
    layer = nn.StandoutLinear(4, 8, activation="tanh", gate="learned")
    head = nn.Linear(8, 1)
    before = layer.gate_weight.detach().numpy().copy()
    parameters = [*layer.parameters(), *head.parameters()]
    descent = pydl.optim.Adam(parameters, lr=0.02)
    x = pydl.randn(64, 4)
    y = x[:, :1] * 2
    losses = []
    for _ in range(200):
        descent.zero_grad()
        loss = F.mse_loss(head(layer(x)), y)
        loss.backward()
        descent.step()
        losses.append(float(loss))
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:5])
    assert np.abs(layer.gate_weight.detach().numpy() - before).max() > 0.05
    assert set(layer.state_dict()) == {"weight", "bias", "gate_weight", "gate_bias"}
    tied = nn.StandoutLinear(4, 8, bias=False)
    tied(x).sum().backward()
    units = F.relu(x @ tied.weight.T)
    assert tied.weight.grad.shape == (8, 4) and units.shape == (64, 8)
    with pytest.raises(ArgumentError, match="'tied' or 'learned', got 'open'"):
        nn.StandoutLinear(2, 2, gate="open")


# ---- annealed dropout

KINDS = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]


def test_schedules():
    rate = nn.DropSchedule(0.6, steps=4)
    seen = []
    for _ in range(6):
        seen.append(rate.value)
        rate.step()
    np.testing.assert_allclose(seen, [0.6, 0.45, 0.3, 0.15, 0, 0], atol=1e-12)
    assert seen[-1] == float(rate) == 0.0
    cosine = nn.DropSchedule(0.2, 0.8, steps=2, shape="cosine")
    cosine.step()
    assert cosine.value == pytest.approx(0.5)
    again = nn.DropSchedule(0.6, steps=4)
    again.load_state_dict(rate.state_dict())
    assert again.count == 6 and repr(rate) == "DropSchedule(0.6, 0.0, steps=4, shape='linear')"


@pytest.mark.parametrize("kind", KINDS)
def test_layers_follow_the_schedule(kind):
    pydl.manual_seed(0)
    rate = nn.DropSchedule(0.9, steps=3)
    a, b = (getattr(nn, kind)(rate) for _ in range(2))
    x = pydl.ones(6, 50, 2, 2, 2) if kind == "Dropout3d" else pydl.ones(6, 50, 2, 2)
    x = x[..., 0, 0].unsqueeze(-1) if kind == "Dropout1d" else x
    shares = []
    for _ in range(4):
        shares.append([float((layer(x) != 1).float().mean()) for layer in (a, b)])
        rate.step()
    assert max(shares[-1]) == 0  # no dropping at the end
    if "Alpha" not in kind:
        y = [float((getattr(nn, kind)(p)(x) == 0).float().mean()) for p in (0.9, 0.6)]
        assert y[0] > 0.7 > y[1] > 0.4
    assert "p=DropSchedule(0.9" in repr(a)


@pytest.mark.parametrize("mode", ["inverted", "original"])
def test_schedule_keeps_the_expectation(mode):
    pydl.manual_seed(0)
    rate = nn.DropSchedule(0.8, steps=2)
    layer, x = nn.Dropout(rate, mode=mode), pydl.tensor([1.0, -2.0, 3.0])
    for _ in range(3):
        outputs = np.stack([layer.train()(x).numpy() for _ in range(2000)])
        want = x.numpy() * (1.0 if mode == "inverted" else 1 - rate.value)
        assert within_errors(outputs, want)
        np.testing.assert_allclose(layer.eval()(x).numpy(), want, rtol=1e-6)
        rate.step()


@pytest.mark.parametrize(
    "options, text",
    [
        ({"start": 1.5, "steps": 3}, "start and end must be in"),
        ({"end": -1, "steps": 3}, "start and end must be in"),
        ({"steps": 0}, "steps must be >= 1"),
        ({"steps": 3, "shape": "round"}, "shape must be one of linear, cosine"),
    ],
)
def test_schedule_errors(options, text):
    with pytest.raises(ArgumentError, match=text):
        nn.DropSchedule(**options)


# ---- penalties


@pytest.mark.parametrize("biases", [False, True])
def test_penalties(biases):
    pydl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    arrays = [p.detach().numpy() for p in model.parameters() if p.ndim > 1 or biases]
    l1, l2 = sum(np.abs(a).sum() for a in arrays), sum((a**2).sum() for a in arrays)
    for penalty, want in (
        (nn.L1Penalty(0.3, biases=biases), 0.3 * l1),
        (nn.L2Penalty(0.4, biases=biases), 0.2 * l2),
        (nn.ElasticNetPenalty(0.3, 0.4, biases=biases), 0.3 * l1 + 0.2 * l2),
        (nn.ElasticNetPenalty(biases=biases), 0.0),
    ):
        assert float(penalty(model)) == pytest.approx(want, rel=1e-12)
    nn.ElasticNetPenalty(0.3, 0.4, biases=biases)(model).backward()
    for p in model.parameters():
        if p.ndim > 1 or biases:
            a = p.detach().numpy()
            np.testing.assert_allclose(p.grad.numpy(), 0.3 * np.sign(a) + 0.4 * a, rtol=1e-12)
        else:
            assert p.grad is None


def test_the_l1_penalty_selects_as_the_lasso():
    """Descent with smaller and smaller steps comes to scikit-learn's lasso, whose zeros are exact."""
    lasso = pytest.importorskip("sklearn.linear_model").Lasso
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 8))
    y = x @ np.array([2.0, -1.5, 0, 0, 1.0, 0, 0, 0]) + 0.1 * rng.standard_normal(100)
    found = lasso(alpha=0.2, fit_intercept=False, tol=1e-10).fit(x, y).coef_
    model = nn.Linear(8, 1, bias=False).double()
    penalty, descent = nn.L1Penalty(0.2), pydl.optim.SGD(model.parameters(), lr=0.3)
    plan = pydl.optim.lr_scheduler.ExponentialLR(descent, 0.98)
    inputs, targets = pydl.tensor(x), pydl.tensor(y)[:, None]
    for _ in range(400):
        descent.zero_grad()
        (0.5 * F.mse_loss(model(inputs), targets) + penalty(model)).backward()
        descent.step()
        plan.step()
    weights = model.weight.detach().numpy()[0]
    np.testing.assert_allclose(weights, found, atol=2e-3)
    assert ((np.abs(weights) < 2e-3) == (found == 0)).all() and (found == 0).sum() == 5


def test_penalty_errors():
    for make in (lambda: nn.L1Penalty(-1), lambda: nn.L2Penalty(-1), lambda: nn.ElasticNetPenalty(1, math.nan)):
        with pytest.raises(ArgumentError, match="weights of penalties must be >= 0"):
            make()
    with pytest.raises(ArgumentError, match="ReLU has no parameters with two axes or more"):
        nn.L1Penalty(1.0)(nn.ReLU())


# ---- branches


def test_branches_are_dropped_more_the_deeper_they_are():
    pydl.manual_seed(0)
    branches = [nn.Linear(3, 3) for _ in range(4)]
    handles = nn.drop_branches(branches, 0.8)
    x = pydl.randn(2000, 3)
    for i, branch in enumerate(branches, 1):
        rate = 0.8 * i / 4
        y = branch(x)
        dropped = (y == 0).all(1).numpy()
        assert abs(dropped.mean() - rate) < 4 * math.sqrt(rate * (1 - rate) / 2000)
        plain = F.linear(x, branch.weight, branch.bias).detach().numpy()
        np.testing.assert_allclose(y.detach().numpy()[~dropped], plain[~dropped] / (1 - rate), rtol=1e-5)
        np.testing.assert_array_equal(branch.eval()(x).detach().numpy(), plain)
        branch.train()
    for handle in handles:
        handle.remove()
    assert (branches[3](x) == F.linear(x, branches[3].weight, branches[3].bias)).all()
    nn.drop_branches(branches, 0.5, "batch", rule="uniform")
    shares = [float((branches[0](x) == 0).all(1).float().mean()) for _ in range(30)]
    assert set(shares) == {0.0, 1.0} and nn.drop_branches([], 0.5) == []
    for options in ({"rule": "steep"}, {"mode": "all"}):
        with pytest.raises(ArgumentError, match="expected rule 'linear' or 'uniform'"):
            nn.drop_branches(branches, 0.5, **options)
    with pytest.raises(ArgumentError, match=r"p must be in \[0, 1\]"):
        nn.drop_branches(branches, 1.5)


# ---- adaptive clipping


def clipped_by_hand(w, g, factor, eps, order):
    """Brock et al., equation 3, unit by unit."""
    shape, units = w.shape, len(w) if w.ndim > 1 else 1
    if w.size == 0:
        return g
    w, g = w.reshape(units, -1), g.reshape(units, -1)
    out = g.copy()
    for i in range(len(w)):
        most = factor * max(np.linalg.norm(w[i], order), eps)
        size = np.linalg.norm(g[i], order)
        if size > most:
            out[i] = g[i] * most / size
    return out.reshape(shape)


@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 3, 3), (6,), (), (0, 3)])
def test_adaptive_clipping(shape, order):
    rng = np.random.default_rng(0)
    w, g = rng.standard_normal(shape), rng.standard_normal(shape)
    if len(shape) > 1 and shape[0]:
        w[0], g[1] = 0, 1e-4 * g[1]
    p = nn.Parameter(pydl.tensor(w))
    p.grad = pydl.tensor(g)
    nn.utils.adaptive_clip_grad_([p, nn.Parameter(pydl.ones(2))], 0.1, norm_type=order)
    want = clipped_by_hand(np.asarray(w), np.asarray(g), 0.1, 1e-3, order)
    np.testing.assert_allclose(p.grad.numpy(), want, rtol=1e-10)
    if len(shape) > 1 and shape[0]:
        np.testing.assert_array_equal(p.grad.numpy()[1], g[1])
    with pytest.raises(ArgumentError, match="must be >= 0"):
        nn.utils.adaptive_clip_grad_(p, -1.0)
