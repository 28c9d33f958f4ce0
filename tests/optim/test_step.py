"""Every option of every optimizer against PyTorch, step by step."""

import copy
from itertools import product

import numpy as np
import pytest

import pydl
from pydl import optim

torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (), (17,), (2, 1, 5), (0, 3)]
STEPS = 25
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
LOOSER = {"ASGD": 1e-6, "NAdam": 1e-6}  # torch keeps eta and mu_product in float32
CENTRED = 1e-5  # a difference of nearly equal numbers: float32 itself is no better

SGD = [
    {"lr": 0.05, "momentum": m, "dampening": d, "weight_decay": w, "nesterov": n, "maximize": x}
    for m, d, w, n, x in product((0, 0.9), (0, 0.3), (0, 0.1), (False, True), (False, True))
    if not n or (m and not d)
]
ADAM = [
    {"lr": 0.05, "betas": b, "eps": e, "weight_decay": w, "amsgrad": a, "maximize": x, "decoupled_weight_decay": d}
    for b, e, w, a, x, d in product(
        ((0.9, 0.999), (0.5, 0.8)), (1e-8, 1e-2), (0, 0.1), (False, True), (False, True), (False, True)
    )
]
ADAMW = [{"lr": 0.05, "weight_decay": w, "amsgrad": a} for w, a in product((0, 0.1), (False, True))] + [{}]
DECAYS = [{"weight_decay": w, "maximize": x} for w, x in product((0, 0.1), (False, True))]
RULES = {
    "ASGD": [{"lr": 0.05}, {"lr": 0.1, "lambd": 0.02, "alpha": 0.6, "t0": 5}],
    "Adagrad": [{"lr": 0.1}, {"lr": 0.1, "lr_decay": 0.2, "initial_accumulator_value": 0.3, "eps": 1e-3}],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.7, "eps": 1e-3}],
    "RMSprop": [
        {"lr": 0.02, "momentum": m, "centered": c, "alpha": a}
        for m, c, a in product((0, 0.8), (False, True), (0.99, 0.6))
    ],
    "Adamax": [{"lr": 0.05}, {"lr": 0.05, "betas": (0.5, 0.8), "eps": 1e-2}],
    "NAdam": [{"lr": 0.05}, {"lr": 0.05, "betas": (0.5, 0.8), "momentum_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{"lr": 0.05}, {"lr": 0.05, "betas": (0.5, 0.99), "decoupled_weight_decay": True}],
}
OTHERS = [(name, {**o, **d}) for name, options in RULES.items() for o, d in product(options, DECAYS)]
RPROP = [
    {"lr": 0.05, "maximize": x, **o}
    for x in (False, True)
    for o in ({}, {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.1)})
]
OTHERS += [("Rprop", o) for o in RPROP]
NAMES = ["SGD", "SGDW", "Adam", "AdamW", *RULES, "Rprop", "Lion"]
CASES = [("SGD", o) for o in SGD] + [("Adam", o) for o in ADAM] + [("AdamW", o) for o in ADAMW] + [("SGD", {})] + OTHERS


def parameters(dtype, seed=0):
    """The same parameters for pydl and for torch."""
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    ours = [pydl.tensor(np.array(v), requires_grad=True) for v in values]
    theirs = [torch.tensor(np.array(v), requires_grad=True) for v in values]
    return ours, theirs


def set_gradients(ours, theirs, seed, skip=()):
    rng = np.random.default_rng([7, seed])
    for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
        g = rng.standard_normal(q.shape).astype(p.detach().numpy().dtype)
        p.grad = None if i in skip else pydl.tensor(np.array(g))
        q.grad = None if i in skip else torch.tensor(np.array(g))


def assert_same(ours, theirs, tolerance):
    for p, q in zip(ours, theirs, strict=True):
        want = q.detach().numpy()
        got = p.detach().numpy()
        assert got.dtype == want.dtype and got.shape == want.shape
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name, options", CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_equals_torch(name, options, dtype):
    ours, theirs = parameters(dtype)
    a = getattr(optim, name)(ours, **options)
    b = getattr(torch.optim, name)(theirs, **options, foreach=False)
    for t in range(STEPS):
        set_gradients(ours, theirs, t)
        a.step()
        b.step()
        loose = CENTRED if options.get("centered") and dtype == "float32" else LOOSER.get(name, 0)
        assert_same(ours, theirs, max(loose, TOLERANCE[dtype]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("Rprop", "Lion")])  # signs jump where means turn
def test_narrow_parameters_stay_within_two_roundings_of_float64(name, dtype):
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(50), rng.standard_normal((5, 50))
    narrow = pydl.tensor(start, dtype=getattr(pydl, dtype)).requires_grad_()
    wide = narrow.detach().double().requires_grad_()
    options = {"momentum": 0.9} if name.startswith("SGD") else {}
    a, b = (getattr(optim, name)([p], lr=0.01, **options) for p in (narrow, wide))
    for g in gradients:
        narrow.grad = pydl.tensor(g, dtype=narrow.dtype)
        wide.grad = narrow.grad.double()
        a.step()
        b.step()
    step = 2.0 ** (-10 if dtype == "float16" else -7)
    error = np.abs(narrow.detach().double().numpy() - wide.detach().numpy())
    assert narrow.dtype is getattr(pydl, dtype)
    assert {v.dtype for v in a.state[narrow].values() if v.ndim} == {pydl.float32}
    assert error.max() < 5 * step * np.abs(wide.detach().numpy()).max()


@pytest.mark.parametrize(
    "name, options",
    [("SGD", {"momentum": 0.9, "dampening": 0.2}), *((n, {}) for n in NAMES if n not in ("SGDW", "Lion"))],
)
def test_parameters_without_gradient_are_skipped_and_come_back(name, options):
    ours, theirs = parameters("float64")
    a, b = getattr(optim, name)(ours, lr=0.1, **options), getattr(torch.optim, name)(theirs, lr=0.1, **options)
    for t in range(STEPS):
        set_gradients(ours, theirs, t, skip=[(), (0, 2), (2,), (1,), (0, 1, 2, 3, 4)][t % 5])
        a.step()
        b.step()
        assert_same(ours, theirs, LOOSER.get(name, 1e-12))
    if name != "SGD":
        assert [int(a.state[p]["step"]) for p in ours] == [int(b.state[q]["step"]) for q in theirs]


def test_options_of_groups():
    ours, theirs = parameters("float64")
    made = []
    for lib, p in ((optim, ours), (torch.optim, theirs)):
        made.append(lib.SGD([{"params": p[:2], "lr": 0.2}, {"params": p[2:], "momentum": 0.5}], lr=0.1))
    for t in range(STEPS):
        set_gradients(ours, theirs, t)
        for o in made:
            o.param_groups[0]["lr"] *= 0.9
            o.param_groups[1]["momentum"] = 0.0 if t % 7 == 3 else 0.5
            o.step()
        assert_same(ours, theirs, 1e-12)


def test_options_may_be_tensors_and_change():
    ours, theirs = parameters("float64")
    a, b = optim.AdamW(ours, lr=pydl.tensor(0.1, dtype=pydl.float64)), torch.optim.AdamW(theirs, lr=0.1)
    for t in range(6):
        set_gradients(ours, theirs, t)
        a.step()
        b.step()
    assert_same(ours, theirs, 1e-12)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("SGDW", "Lion")])
def test_memory_with_gaps(name):
    values = np.random.default_rng(0).standard_normal((6, 8))
    big = values.copy()
    ours = [pydl.from_numpy(big[:, ::2]).requires_grad_(), pydl.tensor(values[0], requires_grad=True)]
    theirs = [torch.tensor(values[:, ::2].copy(), requires_grad=True), torch.tensor(values[0], requires_grad=True)]
    a, b = getattr(optim, name)(ours, lr=0.1), getattr(torch.optim, name)(theirs, lr=0.1)
    for t in range(3):
        g = np.random.default_rng(t).standard_normal((4, 6))
        ours[0].grad, theirs[0].grad = pydl.tensor(g).t(), torch.tensor(g.T.copy())
        ours[1].grad, theirs[1].grad = pydl.tensor(values[t])[:], torch.tensor(values[t])
        a.step()
        b.step()
    assert_same(ours, theirs, LOOSER.get(name, 1e-12))
    np.testing.assert_array_equal(big[:, 1::2], values[:, 1::2])


@pytest.mark.parametrize("name", ["GD", *(n for n in NAMES if n != "Rprop")])
def test_lr_zero_leaves_parameters_alone(name):
    ours, theirs = parameters("float32")
    before = [p.detach().numpy().copy() for p in ours]
    o = getattr(optim, name)(ours, lr=0.0)
    for t in range(3):
        set_gradients(ours, theirs, t)
        o.step()
    for p, v in zip(ours, before, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), v)


def test_eps_inside_the_root():
    g, eps = np.array([1e-3, -2.0]), 1e-2
    p = pydl.tensor(np.array([0.5, 0.5]), requires_grad=True)
    o = optim.Adam([p], lr=0.1, eps=eps, eps_inside=True)
    m, v, want = np.zeros(2), np.zeros(2), np.array([0.5, 0.5])
    for t in range(1, 6):
        p.grad = pydl.tensor(g)
        o.step()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        want -= 0.1 * (m / (1 - 0.9**t)) / np.sqrt(v / (1 - 0.999**t) + eps)
    np.testing.assert_allclose(p.detach().numpy(), want, rtol=1e-13)


def test_replaced_data_and_gradients_of_wrong_kind():
    p = pydl.tensor([1.0, 2.0], requires_grad=True)
    o = optim.SGD([p], lr=1.0)
    p.grad = pydl.tensor([1.0, 1.0])
    o.step()
    p.data = pydl.tensor([5.0, 5.0])
    o.step()
    assert p.tolist() == [4.0, 4.0]
    for bad, error, text in [
        (pydl.tensor([1.0, 1.0], dtype=pydl.float64), pydl.errors.DtypeError, "do not match a parameter of dtype"),
        (pydl.tensor([1.0]), pydl.errors.ShapeError, "does not match a parameter of shape"),
        (pydl.tensor([1, 1]), pydl.errors.DtypeError, "must be floating"),
    ]:
        p.grad = bad
        with pytest.raises(error, match=text):
            o.step()
    assert p.tolist() == [4.0, 4.0]


def test_a_failed_step_does_not_count():
    p = pydl.tensor([1.0, 2.0], requires_grad=True)
    o = optim.Adam([p], lr=0.1)
    for g in ([1.0, 1.0], [1.0], [1.0, 1.0]):
        p.grad = pydl.tensor(g)
        if len(g) == 1:
            with pytest.raises(pydl.errors.ShapeError):
                o.step()
        else:
            o.step()
    q = torch.tensor([1.0, 2.0], requires_grad=True)
    b = torch.optim.Adam([q], lr=0.1)
    for _ in range(2):
        q.grad = torch.ones(2)
        b.step()
    np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6)


def test_dtype_changed_after_the_state_was_made():
    p = pydl.tensor([1.0, 2.0], requires_grad=True)
    o = optim.Adam([p])
    p.grad = pydl.ones(2)
    o.step()
    p.data, p.grad = p.data.double(), pydl.ones(2, dtype=pydl.float64)
    with pytest.raises(pydl.errors.DtypeError, match="first moments of dtype"):
        o.step()


def test_read_only_parameters_are_refused():
    frozen = np.ones((2, 4), np.float32)
    frozen.flags.writeable = False
    for p in (pydl.from_numpy(frozen), pydl.from_numpy(frozen)[:, ::2]):
        q = p.detach().requires_grad_()
        q.grad = pydl.ones(q.shape)
        with pytest.raises(pydl.errors.ArgumentError, match="read-only"):
            optim.SGD([q]).step()
    assert (frozen == 1).all()


def test_backward_notices_a_step_in_between():
    p = pydl.tensor([1.0, 2.0], requires_grad=True)
    loss = (p * p).sum()
    p.grad = pydl.ones(2)
    optim.SGD([p]).step()
    with pytest.raises(pydl.errors.AutogradError, match="changed in place"):
        loss.backward()


def test_advance_writes_what_a_replayed_step_reads():
    ours, theirs = parameters("float64")
    o = optim.Adam(ours, lr=0.1)
    set_gradients(ours, theirs, 0)
    o.step()
    twin = copy.deepcopy(o)
    launch = o._plans[0].launches[0]
    o.param_groups[0]["lr"] = 0.05
    o.advance()
    pydl._C.adam([p.array for p in ours], [p.grad.array for p in ours], launch.buffers, launch.hyper)
    twins = twin.param_groups[0]["params"]
    twin.param_groups[0]["lr"] = 0.05
    for p, q in zip(twins, ours, strict=True):
        p.grad = q.grad
    twin.step()
    for p, q in zip(twins, ours, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    assert int(o.state[ours[0]]["step"]) == 2
