"""Optimizers whose steps depend on the norms of whole parameters: LAMB, Adafactor, Muon, SAM."""

import copy
import pickle
from itertools import product

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError, CheckpointError, ShapeError

SHAPES = [(3, 4), (6, 4), (3, 4), (5,), (), (2, 3, 4)]


def parameters(shapes=SHAPES, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [pydl.tensor(np.asarray(rng.standard_normal(s), dtype=dtype), requires_grad=True) for s in shapes]


def gradients(params, t):
    rng = np.random.default_rng([3, t])
    return [np.asarray(rng.standard_normal(p.shape) * 10.0 ** rng.integers(-3, 2)) for p in params]


def walk(optimizer, params, steps=100, start=0):
    """The parameters after each step along given gradients; every seventh step leaves one out."""
    for t in range(start, start + steps):
        for i, (p, g) in enumerate(zip(params, gradients(params, t), strict=True)):
            p.grad = None if t % 7 == i else pydl.tensor(g).to(p.dtype)
        optimizer.step()
        yield [p.detach().numpy().copy() for p in params]


# ---------------------------------------------------------------- LAMB


def lamb(x, state, g, lr, decay, beta1=0.9, beta2=0.99, eps=1e-6):
    state["t"] = t = state.get("t", 0) + 1
    state["m"] = m = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    state["v"] = v = beta2 * state.get("v", 0.0) + (1 - beta2) * g * g
    u = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps) + decay * x
    size, length = np.linalg.norm(x), np.linalg.norm(u)
    return x - lr * (size / length if size > 0 and length > 0 else 1.0) * u


@pytest.mark.parametrize("decay, maximize", list(product([0.0, 0.1], [False, True])))
def test_lamb_is_its_algorithm(decay, maximize):
    params = parameters()
    params[3].data = pydl.zeros(5, dtype=pydl.float64)  # a norm of 0
    want, states = [p.detach().numpy().copy() for p in params], [{} for _ in params]
    o = optim.LAMB(params, lr=0.01, betas=(0.9, 0.99), weight_decay=decay, maximize=maximize)
    for t, got in enumerate(walk(o, params)):
        for i, g in enumerate(gradients(params, t)):
            if t % 7 != i:
                want[i] = lamb(want[i], states[i], -g if maximize else g, 0.01, decay)
            np.testing.assert_allclose(got[i], want[i], rtol=1e-10, atol=1e-12)


def test_steps_of_lamb_are_as_long_as_the_weights_allow():
    params = parameters([(30, 40), (30, 40)])
    params[1].data = params[1].data * 1e3
    before = [p.detach().numpy().copy() for p in params]
    for p in params:
        p.grad = pydl.ones(p.shape, dtype=p.dtype)
    optim.LAMB(params, lr=0.01).step()
    for p, b in zip(params, before, strict=True):
        np.testing.assert_allclose(np.linalg.norm(p.detach().numpy() - b), 0.01 * np.linalg.norm(b), rtol=1e-9)


# ---------------------------------------------------------------- Adafactor


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"weight_decay": 0.1}, {"maximize": True}, {"beta2_decay": -0.5, "d": 2.0, "lr": 0.1},
        {"eps": (1e-4, 0.1), "weight_decay": 0.02},
    ],
)  # fmt: skip
def test_adafactor_equals_torch(options, dtype):
    torch = pytest.importorskip("torch")
    params = parameters(dtype=dtype)
    theirs = [torch.tensor(p.detach().numpy().copy(), requires_grad=True) for p in params]
    o, other = optim.Adafactor(params, **options), torch.optim.Adafactor(theirs, **options, foreach=False)
    for t, got in enumerate(walk(o, params)):
        for i, (q, g) in enumerate(zip(theirs, gradients(params, t), strict=True)):
            q.grad = None if t % 7 == i else torch.tensor(g).to(q.dtype)
        other.step()
        for p, q in zip(got, theirs, strict=True):
            tolerance = 1e-6 if dtype == "float64" else 1e-5
            np.testing.assert_allclose(p, q.detach().numpy(), rtol=tolerance, atol=tolerance)
    mine, torchs = o.state_dict(), other.state_dict()
    assert {k: set(v) for k, v in mine["state"].items()} == {k: set(v) for k, v in torchs["state"].items()}
    assert set(mine["param_groups"][0]) == set(torchs["param_groups"][0])
    twin = optim.Adafactor(params, lr=5.0)
    twin.load_state_dict(torchs)
    assert twin.param_groups[0]["lr"] == o.param_groups[0]["lr"]
    with pytest.raises(CheckpointError, match="row_var of shape"):
        torchs["state"][0]["row_var"] = torch.zeros(4, 3)
        twin.load_state_dict(torchs)


def test_adafactor_keeps_rows_and_columns_alone():
    (p,) = parameters([(300, 200)])
    p.grad = pydl.ones(p.shape, dtype=p.dtype)
    o = optim.Adafactor([p])
    o.step()
    assert sum(v.numel() for v in o.state[p].values()) == 300 + 200 + 1


# ---------------------------------------------------------------- Muon


def newton_schulz(x, steps=5, eps=1e-7):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = x / max(np.linalg.norm(x), eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


@pytest.mark.parametrize(
    "decay, nesterov, adjust", list(product([0.0, 0.1], [False, True], [None, "original", "match_rms_adamw"]))
)
def test_muon_is_its_algorithm(decay, nesterov, adjust):
    params = parameters([(3, 4), (6, 4), (3, 4), (5, 5)])
    want, means = [p.detach().numpy().copy() for p in params], [0.0] * 4
    o = optim.Muon(params, lr=0.02, weight_decay=decay, momentum=0.9, nesterov=nesterov, adjust_lr_fn=adjust)
    for t, got in enumerate(walk(o, params)):
        for i, g in enumerate(gradients(params, t)):
            if t % 7 == i:
                continue
            means[i] = 0.9 * means[i] + 0.1 * g
            u = 0.1 * g + 0.9 * means[i] if nesterov else means[i]
            rows, columns = g.shape
            u = newton_schulz(u) if rows <= columns else newton_schulz(u.T).T
            scale = 0.2 * max(rows, columns) ** 0.5 if adjust == "match_rms_adamw" else max(1, rows / columns) ** 0.5
            want[i] = want[i] * (1 - 0.02 * decay) - 0.02 * scale * u
        for x, y in zip(got, want, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-10)


def test_muon_is_near_torchs_which_computes_in_bfloat16():
    torch = pytest.importorskip("torch")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    params = parameters([(20, 30), (30, 20)], np.float32)
    theirs = [torch.tensor(p.detach().numpy().copy(), requires_grad=True) for p in params]
    o, other = optim.Muon(params, lr=0.1), torch.optim.Muon(theirs, lr=0.1)
    for t, got in enumerate(walk(o, params, 10)):
        last = got
        for i, (q, g) in enumerate(zip(theirs, gradients(params, t), strict=True)):
            q.grad = None if t % 7 == i else torch.tensor(g, dtype=q.dtype)
        other.step()
    for x, q in zip(last, theirs, strict=True):
        assert np.abs(x - q.detach().numpy()).max() < 0.02 * np.abs(x).max()
    assert set(o.state[params[0]]) == set(other.state[theirs[0]])


def test_singular_values_come_near_one():
    from pydl.optim.muon import orthogonalized

    x = np.random.default_rng(0).standard_normal((4, 12, 30))
    got = orthogonalized(pydl.tensor(x), (3.4445, -4.7750, 2.0315), 5, 1e-7).numpy()
    values = np.linalg.svd(got, compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = np.linalg.svd(x, full_matrices=False)
    cosine = (got * (u @ v)).sum((1, 2)) / np.linalg.norm(got, axis=(1, 2)) / np.sqrt(12)
    assert cosine.min() > 0.97


# ---------------------------------------------------------------- SAM


def sam_path(rho, adaptive, steps=100):
    """x (2, 3) and y (4,) of SAM on a quadratic in both, and the same in NumPy."""
    rng = np.random.default_rng(0)
    h = [rng.uniform(0.1, 2, (2, 3)), rng.uniform(0.1, 2, 4)]
    starts = [rng.standard_normal((2, 3)), rng.standard_normal(4)]
    params = [pydl.tensor(s, requires_grad=True) for s in starts]
    weights = [pydl.tensor(x) for x in h]
    o = optim.SAM(params, optim.SGD, rho=rho, adaptive=adaptive, lr=0.1, momentum=0.9)

    def closure():
        o.zero_grad()
        loss = sum((w * p * p).sum() for w, p in zip(weights, params, strict=True)) * 0.5
        loss.backward()
        return loss

    x, v, loss = [s.copy() for s in starts], [0.0, 0.0], None
    for _ in range(steps):
        got = o.step(closure)
        loss = sum((a * b * b).sum() for a, b in zip(h, x, strict=True)) * 0.5
        assert abs(got.item() - loss) < 1e-10  # that of the point the step began at
        g = [a * b for a, b in zip(h, x, strict=True)]
        t = [np.abs(b) if adaptive else np.ones_like(b) for b in x]
        norm = np.sqrt(sum((a * b * b * a).sum() for a, b in zip(t, g, strict=True)))
        for i in range(2):
            there = x[i] + rho * t[i] ** 2 * g[i] / (norm + 1e-12)
            v[i] = 0.9 * v[i] + h[i] * there
        x = [a - 0.1 * b for a, b in zip(x, v, strict=True)]
        for p, want in zip(params, x, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), want, rtol=1e-9, atol=1e-12)
    return o


@pytest.mark.parametrize("rho, adaptive", [(0.05, False), (0.5, True), (0.0, False)])
def test_sam_is_its_algorithm(rho, adaptive):
    sam_path(rho, adaptive)


def test_sam_by_hand_and_its_errors():
    p = pydl.tensor([1.0, 2.0], requires_grad=True)
    o = optim.SAM([p], optim.SGD, rho=0.1, lr=0.5)
    with pytest.raises(ArgumentError, match="needs a closure"):
        o.step()
    with pytest.raises(ArgumentError, match="needs a first_step"):
        o.second_step()
    (p * p).sum().backward()
    o.first_step(zero_grad=True)
    assert p.grad is None
    np.testing.assert_allclose(p.detach().numpy(), [1 + 0.1 / 5**0.5, 2 + 0.2 / 5**0.5], rtol=1e-6)
    (p * p).sum().backward()
    o.second_step(zero_grad=True)
    np.testing.assert_allclose(p.detach().numpy(), [-0.1 / 5**0.5, -0.2 / 5**0.5], rtol=1e-5)
    with pytest.raises(ArgumentError, match="rho must be >= 0"):
        optim.SAM([p], optim.SGD, rho=-1)


# ---------------------------------------------------------------- what all share

MAKERS = {
    "LAMB": lambda p: optim.LAMB(p, lr=0.01, weight_decay=0.1),
    "Adafactor": lambda p: optim.Adafactor(p, weight_decay=0.1),
    "Muon": lambda p: optim.Muon([q for q in p if q.ndim == 2]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_resume_is_bit_equal(name):
    whole = parameters()
    want = list(walk(MAKERS[name](whole), whole, 9))[-1]
    first = parameters()
    optimizer = MAKERS[name](first)
    list(walk(optimizer, first, 4))
    second = [p.detach().clone().requires_grad_() for p in first]
    other = MAKERS[name](second)
    other.load_state_dict(optimizer.state_dict())
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert repr(twin) == repr(optimizer)
    list(walk(optimizer, first, 2, 4))
    got = list(walk(other, second, 5, 4))[-1]
    for x, y in zip(got, want, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", MAKERS)
def test_narrow_parameters_have_a_wide_state(name, dtype):
    narrow = [p.detach().to(getattr(pydl, dtype)).requires_grad_() for p in parameters([(6, 4)])]
    wide = [p.detach().double().requires_grad_() for p in narrow]
    a, b = MAKERS[name](narrow), MAKERS[name](wide)
    rng = np.random.default_rng(0)
    for _ in range(5):
        g = pydl.tensor(rng.standard_normal((6, 4)), dtype=narrow[0].dtype)
        narrow[0].grad, wide[0].grad = g, g.double()
        a.step()
        b.step()
    assert {v.dtype for k, v in a.state[narrow[0]].items() if k != "step"} == {pydl.float32}
    error = np.abs(narrow[0].detach().double().numpy() - wide[0].detach().numpy()).max()
    assert error < 5 * 2.0 ** (-10 if dtype == "float16" else -7) * np.abs(wide[0].detach().numpy()).max()


@pytest.mark.parametrize("name", MAKERS)
def test_empty_parameters_and_memory_with_gaps(name):
    big = np.random.default_rng(0).standard_normal((4, 6))
    gaps = pydl.from_numpy(big.copy()[:, ::2]).requires_grad_()
    dense = pydl.tensor(big[:, ::2], requires_grad=True)
    none = pydl.zeros((0, 3), dtype=pydl.float64, requires_grad=True)
    for p in (gaps, dense, none):
        p.grad = pydl.ones(p.shape, dtype=p.dtype)
        MAKERS[name]([p]).step()
    np.testing.assert_array_equal(gaps.detach().numpy(), dense.detach().numpy())


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda p: optim.LAMB(p, lr=-1), ArgumentError, "LAMB: lr"),
        (lambda p: optim.LAMB(p, betas=(0.9, 1)), ArgumentError, "LAMB: betas"),
        (lambda p: optim.Adafactor(p, beta2_decay=0.5), ArgumentError, "beta2_decay must be <= 0"),
        (lambda p: optim.Adafactor(p, d=0.5), ArgumentError, "d must be >= 1"),
        (lambda p: optim.Adafactor(p, eps=(None, -1)), ArgumentError, "eps must be >= 0"),
        (lambda p: optim.Muon(p), ShapeError, r"expected matrices, got a parameter of shape \(5,\)"),
        (lambda p: optim.Muon(p[:1], ns_steps=100), ArgumentError, "ns_steps"),
        (lambda p: optim.Muon(p[:1], ns_coefficients=(1, 2)), ArgumentError, "three numbers"),
        (lambda p: optim.Muon(p[:1], adjust_lr_fn="no"), ArgumentError, "adjust_lr_fn"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make(parameters([(3, 4), (5,)]))
