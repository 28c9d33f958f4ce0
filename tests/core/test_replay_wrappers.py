"""Captured steps of optimizers around others: what Python decides by its count of steps, each replay decides too."""

from collections.abc import Callable
from typing import Any

import pytest
from recorded import bits, normal, scaled_step

import pydl
from pydl import amp, nn, optim
from pydl.errors import CaptureError

Make = Callable[[list[list[pydl.Tensor]]], Any]
WRAPPERS: dict[str, Make] = {
    "lookahead": lambda w: optim.Lookahead(optim.Adam([*w[0], *w[1]], 0.01), k=3, alpha=0.4),
    "lookahead of two groups": lambda w: optim.Lookahead(optim.SGD([{"params": x} for x in w], 0.05, 0.9), k=4),
    "lookahead, adafactor": lambda w: optim.Lookahead(optim.Adafactor([*w[0], *w[1]], 0.01), k=2),
    "easgd": lambda w: optim.EASGD(w, 0.05, period=3, momentum=0.5),
    "sam": lambda w: optim.SAM([*w[0], *w[1]], optim.Adam, rho=0.1, lr=0.01),
    "entropy": lambda w: optim.EntropySGD([*w[0], *w[1]], 3.0, L=3, gamma1=0.05, noise=0.01, momentum=0.5),
}
# options that a replay must follow, set half way
TURNED = {"lookahead": ("alpha", 0.7), "easgd": ("alpha", 0.1), "sam": ("rho", 0.3), "entropy": ("gamma0", 0.1)}


def trained(name: str, captured: bool, steps: int = 40) -> tuple[Any, ...]:
    """The losses of both models, their weights, and the optimizer's state and options."""
    pydl.manual_seed(1)
    models = [nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)) for _ in range(2)]
    opt = WRAPPERS[name]([list(m.parameters()) for m in models])
    schedule = optim.lr_scheduler.ExponentialLR(opt, 0.98)

    def step(x: pydl.Tensor) -> pydl.Tensor:
        def closure() -> pydl.Tensor:
            opt.zero_grad()
            loss = sum((m(x).square().sum() for m in models), pydl.zeros(()))
            loss.backward()
            return loss

        loss = opt.step(closure)
        schedule.step()
        return loss

    run = pydl.capture(step) if captured else step
    losses = []
    for i in range(steps):
        losses.append(bits(run(normal(5, 4, seed=i))))
        if i == 25:
            option, value = TURNED[name.split()[0].strip(",")]
            for group in opt.param_groups:
                group[option] = value
        if i == 31:
            opt.load_state_dict(opt.state_dict())
    if captured:
        assert len(run.plans) == 1
        assert run.plans[0].ready.count > 4
    saved = opt.state_dict()
    state = [bits(v) for s in saved["state"].values() for v in s.values() if isinstance(v, pydl.Tensor)]
    options = [{k: v for k, v in group.items() if k != "params"} for group in saved["param_groups"]]
    return losses, [bits(list(m.parameters())) for m in models], state, options


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_same_bits(name: str) -> None:
    assert trained(name, True) == trained(name, False)


def left_out(captured: bool) -> tuple[Any, ...]:
    w = normal(6).requires_grad_()
    opt = optim.Lookahead(optim.Adam([w], 0.05), k=3)
    scaler = amp.GradScaler(init_scale=2.0**120, growth_interval=3, backoff_factor=2.0**-30)
    step = scaled_step(w, opt, scaler)
    run = pydl.capture(step) if captured else step
    made = []
    for i in range(40):
        made.append(bits(run(normal(6, seed=i) * (2.0**60 if i % 7 == 6 else 1.0))))
        if i == 20:
            scaler.set_growth_factor(4.0)
    return made, bits([w, opt.state[w]["slow"]]), opt.param_groups[0]["fast_steps"], scaler.state_dict()


def test_steps_that_a_scaler_leaves_out_do_not_count() -> None:
    replayed = left_out(True)
    assert replayed == left_out(False)
    assert replayed[2] < 38


def counts(opt: Any) -> Any:
    """The numbers of steps in an optimizer's state and options."""
    steps = [s["step"].item() for s in opt.state.values() if "step" in s]
    return steps, opt.param_groups[0].get("fast_steps")


def test_an_error_in_a_replay_counts_no_step() -> None:
    """A check fails before the step: counts, and what depends on them, stay."""
    table = normal(6, 3).requires_grad_()
    for make in (lambda p: optim.Lookahead(optim.SGD(p, 0.1), k=2), lambda p: optim.Adafactor(p, 0.1)):
        opt: Any = make([table])

        def step(i: pydl.Tensor, opt: Any = opt) -> None:
            opt.zero_grad()
            table[i].square().sum().backward()
            opt.step()

        run = pydl.capture(step)
        for _ in range(4):
            run(pydl.tensor([1, 2]))
        before = counts(opt)
        with pytest.raises(IndexError):
            run(pydl.tensor([1, 6]))
        assert counts(opt) == before


def test_what_is_not_captured_says_so() -> None:
    w = pydl.ones(2, requires_grad=True)
    workers = optim.EASGD([[w]], 0.1)
    w.grad = pydl.ones(2)
    run = pydl.capture(lambda: workers.step_worker(0))
    run()
    with pytest.raises(CaptureError, match="step_worker cannot be captured"):
        run()
    assert not optim.Lookahead(optim.LBFGS([pydl.ones(2, requires_grad=True)])).captures
    scaler = amp.GradScaler()
    renew = pydl.capture(lambda: scaler.update(4.0))
    renew()
    with pytest.raises(CaptureError, match="new_scale"):
        renew()
