"""Steps that the graph goes through: the rules in operations, beside the kernels and PyTorch."""

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.autograd import gradcheck, gradgradcheck
from pydl.errors import AutogradError, CaptureError

RNG = np.random.default_rng(0)
START, GRADIENTS, WEIGHTS = RNG.standard_normal((3, 2)), RNG.standard_normal((4, 3, 2)), RNG.standard_normal((3, 2))
CASES = [
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "rate_inside": True, "nesterov": True}),
    ("SGDW", {"lr": 0.1, "momentum": 0.5}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 1, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.1}),
    ("Adagrad", {"lr": 0.1, "eps_inside": True, "eps": 1e-3}),
    ("Adadelta", {"lr": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.5, "centered": True, "eps": 1e-2}),
    ("RMSprop", {"lr": 0.1, "eps_inside": True, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "eps_inside": True, "eps": 1e-3}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1, "betas": (0.9, 0.9)}),
    ("RAdam", {"lr": 0.1, "betas": (0.9, 0.4), "weight_decay": 0.1}),
    ("Rprop", {"lr": 0.1}),
    ("Lion", {"lr": 0.1, "weight_decay": 0.1}),
    ("LAMB", {"lr": 0.1, "weight_decay": 0.1}),
]
# PyTorch lacks some of these, cuts the graph at the first momentum buffer, and overwrites what it needs of others
NOT_TORCHS = {"SGDW", "Lion", "LAMB", "Adamax", "Rprop", "rate_inside", "eps_inside", "momentum", "centered", "amsgrad"}
TORCHS = [(n, o) for n, o in CASES if not {n, *o} & NOT_TORCHS]


def ids(cases):
    return [f"{name}-{i}" for i, (name, _) in enumerate(cases)]


def descended(lib, name, options, start, gradients):
    """The parameter after one differentiable step for each gradient."""
    p = start.clone()
    o = getattr(lib.optim, name)([p], differentiable=True, **options)
    for g in gradients:
        p.grad = g
        o.step()
    return p, o.state[p]


@pytest.mark.parametrize("name, options", CASES, ids=ids(CASES))
def test_the_rule_is_what_the_kernel_does(name, options):
    gradients = [pydl.tensor(g) for g in GRADIENTS]
    start = pydl.tensor(START, requires_grad=True)
    got, state = descended(pydl, name, options, start, gradients)
    p = pydl.tensor(START.copy())
    o = getattr(optim, name)([p], **options)
    for g in gradients:
        p.grad = g
        o.step()
    assert got.requires_grad and state.keys() == o.state[p].keys()
    np.testing.assert_allclose(got.detach().numpy(), p.numpy(), rtol=1e-12)
    for key, value in o.state[p].items():
        held = state[key].detach().numpy() if isinstance(state[key], pydl.Tensor) else state[key]
        np.testing.assert_allclose(held, value.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name, options", TORCHS, ids=ids(TORCHS))
def test_gradients_through_steps_equal_torchs(name, options):
    torch = pytest.importorskip("torch")
    found = []
    for lib in (pydl, torch):
        start = lib.tensor(START, requires_grad=True)
        gradients = [lib.tensor(g, requires_grad=True) for g in GRADIENTS]
        end, _ = descended(lib, name, options, start, gradients)
        (end * lib.tensor(WEIGHTS)).sum().backward()
        found.append([start.grad.numpy(), *(g.grad.numpy() for g in gradients if g.grad is not None)])
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)  # it counts steps in float32


@pytest.mark.parametrize("name, options", [CASES[i] for i in (1, 8, 9, 11, 16, 18, 21)])
def test_against_differences(name, options):
    """By the start, two gradients and the rate, first and second order."""
    leaves = [pydl.tensor(x, requires_grad=True) for x in (START, GRADIENTS[0], GRADIENTS[1], np.array(0.1))]

    def end(start, one, two, lr):
        return descended(pydl, name, {**options, "lr": lr}, start, [one, two])[0]

    assert gradcheck(end, leaves)
    assert gradgradcheck(end, leaves, fast_mode=True)


def test_a_rate_learnt_by_its_own_gradient():
    """The rate that one step needs to the minimum of a quadratic, by descent through that step."""
    rate = pydl.tensor(np.array(0.1), requires_grad=True)
    outer = optim.SGD([rate], lr=0.005)
    for _ in range(60):
        start = pydl.tensor(np.array([1.0, -2.0]), requires_grad=True)
        x = start.clone()
        inner = optim.SGD([x], lr=rate, differentiable=True)
        (x.grad,) = pydl.autograd.grad((2 * start * start).sum(), start, create_graph=True)
        inner.step()
        outer.zero_grad()
        (x * x).sum().backward()
        outer.step()
    assert rate.item() == pytest.approx(0.25, abs=1e-6)


def test_parameters_of_16_bits_and_no_gradients():
    p, q = (pydl.tensor(START, dtype=pydl.bfloat16, requires_grad=True).clone() for _ in range(2))
    o = optim.Adam([p, q], lr=0.1, differentiable=True)
    p.grad = pydl.ones(3, 2, dtype=pydl.bfloat16)
    before = p.detach().float().numpy().copy()
    o.step()
    assert o.state[p]["exp_avg"].dtype == pydl.float32 and q not in o.state
    np.testing.assert_allclose(p.detach().float().numpy(), before - 0.1, atol=0.02)
    assert p.requires_grad and p.dtype == pydl.bfloat16


def test_switching_between_the_rule_and_the_kernel():
    """A state with a graph is not written to by a kernel, and the other way round the step count goes on."""
    start = pydl.tensor(START, requires_grad=True)
    p = start.clone()
    o = optim.Adam([p], lr=0.1, differentiable=True)
    plain = pydl.tensor(START.copy())
    other = optim.Adam([plain], lr=0.1)
    held = []
    for t, g in enumerate(GRADIENTS):
        o.param_groups[0]["differentiable"] = t % 2 == 0
        g = pydl.tensor(g, requires_grad=True)
        p.grad, plain.grad = g, g.detach()
        if t == 1:
            held = [(p.clone().sum(), g)]
            p = o.param_groups[0]["params"][0] = p.detach().clone()
            o.state[p] = o.state.pop(next(iter(o.state)))
            p.grad = g.detach()
        o.step()
        other.step()
    np.testing.assert_allclose(p.detach().numpy(), plain.numpy(), rtol=1e-12)
    assert int(o.state[p]["step"]) == 4
    held[0][0].backward()
    assert (start.grad.numpy() == 1).all()


def test_errors():
    leaf = pydl.ones(2, requires_grad=True)
    leaf.grad = pydl.ones(2)
    o = optim.SGD([leaf], differentiable=True)
    with pytest.raises(AutogradError, match=r"SGD: a differentiable step .* is a leaf: give it a clone"):
        o.step()
    assert leaf.tolist() == [1, 1]
    with pytest.raises(AutogradError, match="expected a leaf"):
        optim.SGD([leaf.clone()])

    x = pydl.ones(2)
    x.grad = pydl.ones(2)
    o = optim.SGD([x], lr=0.5, differentiable=True)

    @pydl.capture
    def step():
        o.step()
        return x.sum()

    with pytest.raises(CaptureError, match="cannot be captured"):
        for _ in range(3):
            step()
