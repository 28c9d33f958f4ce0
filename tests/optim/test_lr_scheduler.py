"""Schedulers against PyTorch's, epoch by epoch."""

import copy
import json
import math
import random

import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError
from pydl.optim import lr_scheduler


class Falling:
    """A function with a memory, which belongs to the state."""

    def __init__(self, rate=0.97):
        self.rate = rate

    def __call__(self, t):
        return self.rate**t


CASES = {
    "LambdaLR": [{"lr_lambda": lambda t: 0.9**t}, {"lr_lambda": [lambda t: 1 / (1 + t), Falling()]}],
    "MultiplicativeLR": [{"lr_lambda": lambda t: 0.95}, {"lr_lambda": (lambda t: 1 - 0.01 / t, Falling(0.999))}],
    "StepLR": [{"step_size": 3}, {"step_size": 1, "gamma": 0.5}, {"step_size": 30}],
    "MultiStepLR": [{"milestones": [30, 80]}, {"milestones": (50, 4, 4, 90), "gamma": 0.7}, {"milestones": []}],
    "ConstantLR": [{}, {"factor": 0.5, "total_iters": 40}, {"factor": 1.0, "total_iters": 0}],
    "LinearLR": [{}, {"start_factor": 0.01, "total_iters": 60}, {"start_factor": 1.0, "end_factor": 0.0}],
    "ExponentialLR": [{"gamma": 0.9}, {"gamma": 1.02}],
    "PolynomialLR": [{}, {"total_iters": 70, "power": 2.5}, {"total_iters": 120, "power": 0.5}],
    "CosineAnnealingLR": [{"T_max": 5}, {"T_max": 7, "eta_min": 0.01}, {"T_max": 1}, {"T_max": 100}],
    "CosineAnnealingWarmRestarts": [{"T_0": 10}, {"T_0": 3, "T_mult": 2, "eta_min": 0.01}, {"T_0": 1, "T_mult": 3}],
    "CyclicLR": [
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 10},
        {"base_lr": 0.01, "max_lr": [0.3, 0.1], "step_size_up": 7, "step_size_down": 12, "mode": "triangular2"},
        {"base_lr": [0.1, 0.2], "max_lr": 0.3, "step_size_up": 9, "mode": "exp_range", "gamma": 0.98,
         "base_momentum": [0.7, 0.8], "max_momentum": 0.95},
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 9, "scale_fn": lambda c: 1 / c, "cycle_momentum": False},
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 9, "scale_fn": Falling(), "scale_mode": "iterations"},
    ],
    "OneCycleLR": [
        {"max_lr": 1.0, "total_steps": 101},
        {"max_lr": [0.5, 1.0], "epochs": 11, "steps_per_epoch": 10, "pct_start": 0.4, "anneal_strategy": "linear"},
        {"max_lr": 0.3, "total_steps": 120, "three_phase": True, "div_factor": 10.0, "final_div_factor": 100.0,
         "base_momentum": [0.7, 0.8], "max_momentum": 0.9},
        {"max_lr": 0.3, "total_steps": 101, "cycle_momentum": False, "pct_start": 0.0},
    ],
    "SWALR": [
        {"swa_lr": 0.05},
        {"swa_lr": [0.05, 0.7], "anneal_epochs": 40, "anneal_strategy": "linear"},
        {"swa_lr": 0.3, "anneal_epochs": 0},
    ],
}  # fmt: skip
ROWS = [(name, options) for name, listed in CASES.items() for options in listed]
COMBINED = {
    "warm-up, then cosine": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=10), s.CosineAnnealingLR(o, 80)], [10]
    ),
    "three in a row": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 20), s.ExponentialLR(o, 0.9), s.MultiStepLR(o, [5, 10])], milestones=[20, 60]
    ),
    "restarts, then a function": lambda s, o: s.SequentialLR(
        o, [s.CosineAnnealingWarmRestarts(o, 5), s.LambdaLR(o, lambda t: 0.9**t), s.StepLR(o, 7)], [22, 50]
    ),
    "multiplied": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 20), s.ExponentialLR(o, 0.97), s.StepLR(o, 30, 0.5), s.PolynomialLR(o, 200)]
    ),
    "cosine of a multiplied rate": lambda s, o: s.ChainedScheduler(
        [s.LinearLR(o, 0.2, total_iters=30), s.CosineAnnealingLR(o, 23, 0.001)], o
    ),
}


def ours():
    groups = [{"params": [pydl.zeros(1, requires_grad=True)], "lr": 0.5}]
    return optim.SGD([*groups, {"params": [pydl.zeros(1, requires_grad=True)]}], lr=0.2, momentum=0.5)


def theirs():
    torch = pytest.importorskip("torch")
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": 0.5}]
    return torch.optim.SGD([*groups, {"params": [torch.zeros(1, requires_grad=True)]}], lr=0.2, momentum=0.5)


def made(name, options, optimizer):
    """The scheduler, ours or torch's as the optimizer is; callable objects are fresh, because they are state."""
    options = copy.deepcopy(options)
    own = isinstance(optimizer, optim.Optimizer)
    if not own:
        import torch
    schedules = lr_scheduler if own else torch.optim.lr_scheduler
    if name in COMBINED:
        return COMBINED[name](schedules, optimizer)
    if name == "SWALR":
        schedules = optim.swa_utils if own else torch.optim.swa_utils
    return getattr(schedules, name)(optimizer, **options)


def go(optimizer, scheduler, steps):
    """Steps, and the rates and momenta that were in use after each."""
    seen = []
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        seen.append([(g["lr"], g["momentum"]) for g in optimizer.param_groups])
    return seen


ALL = ROWS + [(name, {}) for name in COMBINED]


@pytest.mark.parametrize("name, options", ALL)
def test_equals_torch(name, options):
    a, b = ours(), theirs()
    mine, other = made(name, options, a), made(name, options, b)
    for _ in range(100):
        assert getattr(mine, "last_epoch", None) == getattr(other, "last_epoch", None)
        assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-12, abs=1e-15)
        assert [g["lr"] for g in a.param_groups] == mine.get_last_lr()
        momenta = [[g["momentum"] for g in o.param_groups] for o in (a, b)]
        assert momenta[0] == pytest.approx(momenta[1], rel=1e-12)
        for o, s in ((a, mine), (b, other)):
            o.step()
            s.step()


@pytest.mark.parametrize("name, options", ALL)
@pytest.mark.parametrize("steps", [0, 4, 33])
def test_resume(name, options, steps):
    whole = ours()
    expected = go(whole, made(name, options, whole), steps + 60)[steps:]
    part = ours()
    before = made(name, options, part)
    go(part, before, steps)
    state = json.loads(json.dumps(before.state_dict()))  # plain values only: a file of JSON holds them
    o = ours()
    s = made(name, options, o)
    o.load_state_dict(part.state_dict())
    s.load_state_dict(state)
    assert go(o, s, 60) == expected


@pytest.mark.parametrize("name, options", ALL)
def test_goes_on_from_a_state_of_torch(name, options):
    a, b = ours(), theirs()
    other = made(name, options, b)
    go(b, other, 17)
    mine = made(name, options, a)
    a.load_state_dict({"state": {}, "param_groups": b.state_dict()["param_groups"]})
    mine.load_state_dict(other.state_dict())
    for mine_seen, other_seen in zip(go(a, mine, 50), go(b, other, 50), strict=True):
        for x, y in zip(mine_seen, other_seen, strict=True):
            assert x == pytest.approx(y, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name, options", [row for row in ROWS if row[0] != "SWALR"])
@pytest.mark.parametrize("steps", [5, 30])
def test_resume_by_last_epoch(name, options, steps):
    """The rates of the loaded optimizer are those of the epoch that was reached: none is scaled twice."""
    whole = ours()
    scheduler = made(name, options, whole)
    go(whole, scheduler, steps)
    o = ours()
    o.load_state_dict(whole.state_dict())
    s = made(name, {**options, "last_epoch": steps - 1}, o)
    assert s.last_epoch == scheduler.last_epoch == steps
    for x, y in zip(go(o, s, 40), go(whole, scheduler, 40), strict=True):
        for one, two in zip(x, y, strict=True):
            assert one == pytest.approx(two, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name, options", [row for row in ROWS if row[0] not in ("SWALR", "MultiplicativeLR")])
def test_jump(name, options):
    """step(epoch) reaches what 37 steps reach."""
    walked, jumped = ours(), ours()
    go(walked, made(name, options, walked), 37)
    jumped.step()
    made(name, options, jumped).step(37)
    rates = [[g["lr"] for g in o.param_groups] for o in (walked, jumped)]
    assert rates[1] == pytest.approx(rates[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_beta1_turns_with_the_rate(name):
    torch = pytest.importorskip("torch")
    a = optim.Adam([pydl.zeros(1, requires_grad=True)], betas=(0.9, 0.99))
    b = torch.optim.Adam([torch.zeros(1, requires_grad=True)], betas=(0.9, 0.99))
    options = CASES[name][0]
    mine, other = made(name, options, a), made(name, options, b)
    for _ in range(100):
        assert a.param_groups[0]["betas"] == pytest.approx(b.param_groups[0]["betas"], rel=1e-12)
        for o, s in ((a, mine), (b, other)):
            o.step()
            s.step()


PLATEAU = [
    {"patience": 2},
    {"patience": 0, "factor": 0.5, "threshold": 0.05, "cooldown": 3},
    {"mode": "max", "patience": 3, "threshold_mode": "abs", "threshold": 0.1, "min_lr": [0.01, 0.1]},
    {"threshold_mode": "abs", "patience": 1, "min_lr": 0.05, "eps": 0.1},
]


@pytest.mark.parametrize("options", PLATEAU)
def test_plateau(options):
    torch = pytest.importorskip("torch")
    noise = random.Random(0)
    metrics = [2.0 * 0.97**t + 0.3 * noise.random() for t in range(100)]
    metrics[7] = math.nan
    a, b = ours(), theirs()
    mine = lr_scheduler.ReduceLROnPlateau(a, **options)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options)
    for t, metric in enumerate(metrics):
        mine.step(pydl.tensor(metric, dtype=pydl.float64))
        other.step(metric)
        assert mine.get_last_lr() == other.get_last_lr() == [g["lr"] for g in a.param_groups]
        assert (mine.num_bad_epochs, mine.in_cooldown) == (other.num_bad_epochs, other.in_cooldown)
        if t == 40:
            state, fresh = json.loads(json.dumps(mine.state_dict())), ours()
            fresh.load_state_dict(a.state_dict())
            a, mine = fresh, lr_scheduler.ReduceLROnPlateau(fresh)
            mine.load_state_dict(state)


def test_plateau_and_new_groups():
    for least in (0.01, [0.01, 0.1]):
        o = ours()
        s = lr_scheduler.ReduceLROnPlateau(o, patience=0, min_lr=least)
        o.add_param_group({"params": [pydl.zeros(1, requires_grad=True)], "lr": 0.3})
        s.step(1.0)
        if least == 0.01:
            s.step(1.0)
            assert s.get_last_lr() == pytest.approx([0.05, 0.02, 0.03])
        else:
            with pytest.raises(ArgumentError, match="2 values for 3 groups"):
                s.step(1.0)


def test_combinations_nest():
    """A chain and a sequence in a sequence are their product and their concatenation."""
    o = ours()
    chain = lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.ConstantLR(o, 0.5, 2)])
    inner = lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 2), lr_scheduler.ExponentialLR(o, 0.8)], [3])
    s = lr_scheduler.SequentialLR(o, [lr_scheduler.ExponentialLR(o, 0.5), chain, inner], [3, 7])
    first = [1, 0.5, 0.25]
    product = [0.5, 0.45, 0.81, 0.729]
    rest = [1, 1, 0.1, 1, 0.8, 0.64]
    seen = [s.get_last_lr()[0], *(pairs[0][0] for pairs in go(o, s, 12))]
    assert seen == pytest.approx([0.5 * f for f in first + product + rest], rel=1e-12)


def test_rates_in_tensors_are_filled():
    o = optim.SGD([pydl.zeros(1, requires_grad=True)], lr=pydl.tensor(0.5, dtype=pydl.float64))
    held = o.param_groups[0]["lr"]
    s = lr_scheduler.ExponentialLR(o, 0.5)
    go_on = [s.get_last_lr()[0]]
    for _ in range(2):
        o.step()
        s.step()
        go_on.append(held.item())
    assert go_on == [0.5, 0.25, 0.125] and o.param_groups[0]["lr"] is held


def test_warm_up_and_cosine():
    torch = pytest.importorskip("torch")
    a, b = ours(), theirs()
    mine = lr_scheduler.WarmupCosineLR(a, 10, 60, eta_min=0.01, start_factor=0.2)
    s = torch.optim.lr_scheduler
    other = s.SequentialLR(b, [s.LinearLR(b, 0.2, total_iters=10), s.CosineAnnealingLR(b, 50, 0.01)], [10])
    assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-12)
    for x, y in zip(go(a, mine, 60), go(b, other, 60), strict=True):
        for one, two in zip(x, y, strict=True):
            assert one == pytest.approx(two, rel=1e-12)
    go(a, mine, 20)
    assert mine.get_last_lr() == [0.01, 0.01]


def test_restarts_at_fractions():
    torch = pytest.importorskip("torch")
    a, b = ours(), theirs()
    mine = lr_scheduler.CosineAnnealingWarmRestarts(a, 3, 2, 0.01)
    other = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(b, 3, 2, 0.01)
    for quarter in range(1, 100):
        mine.step(quarter / 4)
        other.step(quarter / 4)
        assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-12)
        assert mine.last_epoch == other.last_epoch


def test_a_constant_of_0_ends():
    o = ours()
    s = lr_scheduler.ConstantLR(o, 0.0, 2)
    assert s.get_last_lr() == [0, 0]
    go(o, s, 2)
    assert s.get_last_lr() == [0.5, 0.2]


def test_goes_on_from_last_epoch():
    o = ours()
    for group in o.param_groups:
        group["initial_lr"] = group["lr"]
        group["lr"] /= 2
    s = lr_scheduler.CosineAnnealingLR(o, T_max=10, last_epoch=4)
    assert s.last_epoch == 5 and s.base_lrs == [0.5, 0.2] and s.get_last_lr() == [0.25, 0.1]
    with pytest.raises(ArgumentError, match="needs initial_lr"):
        lr_scheduler.StepLR(ours(), 2, last_epoch=4)


def test_the_next_step_uses_the_new_rate():
    p = pydl.tensor([0.0], requires_grad=True)
    o = optim.Adam([p], lr=0.5)
    s = lr_scheduler.ExponentialLR(o, gamma=0.1)
    moved = []
    for _ in range(3):
        p.grad, before = pydl.ones(1), p.item()
        o.step()
        s.step()
        moved.append(before - p.item())
    assert moved == pytest.approx([0.5, 0.05, 0.005], rel=1e-4)


def test_warns_of_the_wrong_order():
    s = lr_scheduler.StepLR(ours(), 2)
    with pytest.warns(UserWarning, match=r"called before optimizer\.step"):
        s.step()
