"""Schedules by their formulas, and what all schedules refuse."""

import json
import math

import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError, CheckpointError
from pydl.optim import lr_scheduler


def ours():
    groups = [{"params": [pydl.zeros(1, requires_grad=True)], "lr": 0.5}]
    return optim.SGD([*groups, {"params": [pydl.zeros(1, requires_grad=True)]}], lr=0.2, momentum=0.5)


@pytest.mark.parametrize(
    "name, options, formula",
    [
        ("InverseTimeLR", {}, lambda t: 1 / (1 + t)),
        ("InverseTimeLR", {"decay": 0.1}, lambda t: 1 / (1 + 0.1 * t)),
        ("InverseSquareRootLR", {"decay": 0.5}, lambda t: (1 + 0.5 * t) ** -0.5),
        (
            "NoamLR",
            {"d_model": 512, "warmup_steps": 30},
            lambda t: 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 30**-1.5),
        ),
        ("WarmupCosineLR", {"warmup_iters": 0, "total_iters": 100}, lambda t: (1 + math.cos(math.pi * t / 100)) / 2),
    ],
)
def test_formulas(name, options, formula):
    o = ours()
    s = getattr(lr_scheduler, name)(o, **options)
    for t in range(100):
        assert s.get_last_lr() == pytest.approx([0.5 * formula(t), 0.2 * formula(t)], rel=1e-12, abs=1e-16)
        o.step()
        s.step()
        if t == 40:
            state = json.loads(json.dumps(s.state_dict()))
            s = getattr(lr_scheduler, name)(ours(), **options)
            s.optimizer.load_state_dict(o.state_dict())
            s.load_state_dict(state)
            o = s.optimizer


def test_noam_has_its_peak_behind_the_warm_up():
    o = optim.Adam([pydl.zeros(1, requires_grad=True)], lr=1.0)
    s = lr_scheduler.NoamLR(o, 512)
    o.step()
    rates = []
    for epoch in (3998, 3999, 4000):
        s.step(epoch)
        rates += s.get_last_lr()
    assert rates[1] == max(rates) == pytest.approx((512 * 4000) ** -0.5, rel=1e-12)


@pytest.mark.parametrize(
    "rate, reaches, settles",
    [
        (lambda t: 0.1, True, False),
        (lambda t: 3 / (1 + t), True, True),
        (lambda t: t**-0.75, True, True),
        (lambda t: 1 / math.sqrt(t), True, False),
        (lambda t: t**-0.25, True, False),
        (lambda t: t**-1.5, False, True),
        (lambda t: 0.9 ** min(t, 10**5), False, True),
        (lambda t: 0.0, False, True),
    ],
)
def test_robbins_monro(rate, reaches, settles):
    found = lr_scheduler.robbins_monro(rate)
    assert (found.reaches, found.settles, found.ok) == (reaches, settles, reaches and settles)


def test_robbins_monro_refuses_what_is_no_rate():
    for rate in (lambda t: -1.0, lambda t: math.nan):
        with pytest.raises(ArgumentError, match="rates must be >= 0"):
            lr_scheduler.robbins_monro(rate)


def test_errors():
    for make, text in [
        (lambda: lr_scheduler.StepLR(3, 1), "expected an Optimizer, got int"),
        (lambda: lr_scheduler.StepLR(ours(), 0), "step_size must be >= 1"),
        (lambda: lr_scheduler.CosineAnnealingLR(ours(), 0), "T_max must be >= 1"),
        (lambda: lr_scheduler.LambdaLR(ours(), [abs]), "got 1 functions for 2 groups"),
        (lambda: lr_scheduler.LambdaLR(ours(), 3), "lr_lambda must be a function, got int"),
        (lambda: lr_scheduler.LambdaLR(3, abs), "expected an Optimizer, got int"),
        (lambda: lr_scheduler.ConstantLR(ours(), 1.5), "factor must be between 0 and 1"),
        (lambda: lr_scheduler.LinearLR(ours(), 0), "start_factor must be above 0"),
        (lambda: lr_scheduler.LinearLR(ours(), 0.5, -1), "end_factor must be between 0 and 1"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(ours(), 0), "T_0 must be >= 1"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(ours(), 2, 1.5), "T_mult must be >= 1 and an integer"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(ours(), 2).step(-1), "epoch must be >= 0"),
        (lambda: lr_scheduler.CyclicLR(ours(), 0.1, 0.2, mode="square"), "mode must be one of triangular"),
        (lambda: lr_scheduler.CyclicLR(ours(), [0.1], 0.2), "base_lr has 1 values for 2 groups"),
        (lambda: lr_scheduler.CyclicLR(ours(), 0.1, 0.2, 0), "step_size_up and _down must be > 0"),
        (lambda: lr_scheduler.OneCycleLR(ours(), 0.1), "expected total_steps, or epochs"),
        (lambda: lr_scheduler.OneCycleLR(ours(), 0.1, 0), "total_steps must be >= 1"),
        (lambda: lr_scheduler.OneCycleLR(ours(), 0.1, 5, pct_start=2), "pct_start must be between 0 and 1"),
        (lambda: lr_scheduler.OneCycleLR(ours(), 0.1, 5, anneal_strategy="up"), "must be one of cos, linear"),
        (lambda: lr_scheduler.OneCycleLR(ours(), 0.1, 5)._update_lr(6), "step 6 is beyond total_steps 5"),
        (lambda: lr_scheduler.ReduceLROnPlateau(ours(), factor=1.0), "factor must be < 1"),
        (lambda: lr_scheduler.ReduceLROnPlateau(ours(), "up"), "mode must be one of min, max"),
        (lambda: lr_scheduler.ReduceLROnPlateau(ours(), min_lr=[1]), "min_lr has 1 values for 2 groups"),
        (lambda: lr_scheduler.InverseTimeLR(ours(), -1), "decay must be >= 0"),
        (lambda: lr_scheduler.NoamLR(ours(), 0), "d_model must be >= 1"),
        (lambda: lr_scheduler.WarmupCosineLR(ours(), 5, 5), "warmup_iters must be < total_iters"),
        (lambda: lr_scheduler.ChainedScheduler([]), "expected at least one scheduler"),
        (lambda: lr_scheduler.ChainedScheduler([3], ours()), "number 0 must be a scheduler, got int"),
        (lambda: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(ours(), 1)], ours()), "the same optimizer"),
        (lambda: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(ours())]), "needs a metric"),
        (lambda: lr_scheduler.SequentialLR(ours(), [], []), "one milestone fewer"),
        (lambda: optim.swa_utils.SWALR(ours(), 0.1, -1), "anneal_epochs must be >= 0"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            make()


def test_sequences_need_milestones_in_order():
    o = ours()
    three = [lr_scheduler.StepLR(o, 2) for _ in range(3)]
    with pytest.raises(ArgumentError, match="milestones must not fall"):
        lr_scheduler.SequentialLR(o, three, [5, 3])
    with pytest.raises(ArgumentError, match="only the next epoch"):
        lr_scheduler.SequentialLR(o, three, [3, 5]).step(4)


def test_states_that_do_not_fit():
    o = ours()
    s = lr_scheduler.StepLR(o, 2)
    both = lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(o, 2), lr_scheduler.ExponentialLR(o, 0.5)])
    before = both.state_dict()
    for scheduler, state, text in [
        (s, [], "expected a state dict, got list"),
        (s, lr_scheduler.ExponentialLR(ours(), 0.5).state_dict(), "StepLR: the state has no step_size"),
        (both, {**before, "_schedulers": before["_schedulers"][:1]}, "1 schedulers, expected 2"),
        (both, {**before, "_schedulers": before["_schedulers"][::-1]}, "the state has no step_size"),
        (
            lr_scheduler.LambdaLR(o, abs),
            {**lr_scheduler.LambdaLR(o, abs).state_dict(), "lr_lambdas": []},
            "0 functions",
        ),
    ]:
        with pytest.raises(CheckpointError, match=text):
            scheduler.load_state_dict(state)
    assert both.state_dict() == before
