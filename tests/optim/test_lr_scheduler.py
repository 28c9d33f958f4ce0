"""Schedulers against PyTorch's, epoch by epoch."""

import math

import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError
from pydl.optim import lr_scheduler

CASES = {
    "LambdaLR": [{"lr_lambda": lambda t: 0.9**t}, {"lr_lambda": [lambda t: 1 / (1 + t), math.cos]}],
    "StepLR": [{"step_size": 3}, {"step_size": 1, "gamma": 0.5}],
    "ExponentialLR": [{"gamma": 0.9}],
    "CosineAnnealingLR": [{"T_max": 5}, {"T_max": 7, "eta_min": 0.01}, {"T_max": 1}],
}
ROWS = [(name, options) for name, listed in CASES.items() for options in listed]


def ours():
    groups = [{"params": [pydl.zeros(1, requires_grad=True)], "lr": 0.5}]
    return optim.SGD([*groups, {"params": [pydl.zeros(1, requires_grad=True)]}], lr=0.2)


@pytest.mark.parametrize("name, options", ROWS)
def test_equals_torch(name, options):
    torch = pytest.importorskip("torch")
    a = ours()
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": 0.5}]
    b = torch.optim.SGD([*groups, {"params": [torch.zeros(1, requires_grad=True)]}], lr=0.2)
    mine = getattr(lr_scheduler, name)(a, **options)
    theirs = getattr(torch.optim.lr_scheduler, name)(b, **options)
    for t in range(20):
        assert mine.last_epoch == theirs.last_epoch == t
        assert mine.get_last_lr() == pytest.approx(theirs.get_last_lr(), rel=1e-12, abs=1e-15)
        assert [g["lr"] for g in a.param_groups] == mine.get_last_lr()
        for o, s in ((a, mine), (b, theirs)):
            o.step()
            s.step()


@pytest.mark.parametrize("name, options", ROWS)
def test_resume(name, options):
    made = []
    for steps in (9, 4):
        o = ours()
        s = getattr(lr_scheduler, name)(o, **options)
        for _ in range(steps):
            o.step()
            s.step()
        made.append((o, s))
    (whole, scheduler), (part, before) = made
    o = ours()
    s = getattr(lr_scheduler, name)(o, **options)
    o.load_state_dict(part.state_dict())
    s.load_state_dict(before.state_dict())
    for _ in range(5):
        o.step()
        s.step()
    assert s.get_last_lr() == scheduler.get_last_lr()
    assert [g["lr"] for g in o.param_groups] == [g["lr"] for g in whole.param_groups]


def test_goes_on_from_last_epoch():
    o = ours()
    for group in o.param_groups:
        group["initial_lr"] = group["lr"]
    s = lr_scheduler.CosineAnnealingLR(o, T_max=10, last_epoch=4)
    assert s.last_epoch == 5 and s.get_last_lr() == pytest.approx([0.25, 0.1])
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


def test_errors():
    for make, text in [
        (lambda: lr_scheduler.StepLR(3, 1), "expected an Optimizer, got int"),
        (lambda: lr_scheduler.StepLR(ours(), 0), "step_size must be >= 1"),
        (lambda: lr_scheduler.CosineAnnealingLR(ours(), 0), "T_max must be >= 1"),
        (lambda: lr_scheduler.LambdaLR(ours(), [abs]), "got 1 functions for 2 groups"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            make()
