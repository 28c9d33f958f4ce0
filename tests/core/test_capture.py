"""capture: eager == replay bit for bit for whole training steps, what makes a new plan, and what is refused."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorded import normal

import pydl
import pydl.nn.functional as F
from pydl import nn, optim
from pydl.errors import BoundsError, CaptureError
from pydl.optim import lr_scheduler

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: optim.SGD(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "asgd": lambda p: optim.ASGD(p, 0.05, t0=5),
    "rprop": lambda p: optim.Rprop(p, 0.01),
    "lion": lambda p: optim.Lion(p, 1e-3),
    "adagrad": lambda p: optim.Adagrad(p, 0.05, lr_decay=0.01),
    "adadelta": lambda p: optim.Adadelta(p),
    "rmsprop": lambda p: optim.RMSprop(p, 1e-3, momentum=0.5, centered=True),
    "adam": lambda p: optim.Adam(p, 1e-2),
    "amsgrad": lambda p: optim.Adam(p, 1e-2, amsgrad=True, weight_decay=1e-2),
    "adamw": lambda p: optim.AdamW(p, 1e-2),
    "adamax": lambda p: optim.Adamax(p, 1e-2),
    "nadam": lambda p: optim.NAdam(p, 1e-2),
    "radam": lambda p: optim.RAdam(p, 1e-2),
}


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 3))


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    )


def trained(
    build: Callable[[], nn.Module],
    make: Callable[[Any], Any],
    captured: bool,
    shape: tuple[int, ...],
    steps: int = 50,
    clip: float | None = None,
) -> tuple[list[bytes], list[bytes]]:
    """The bits of the losses and, at the end, of parameters, buffers, gradients and the optimizer's state."""
    pydl.manual_seed(3)
    model = build()
    opt = make(model.parameters())
    schedule = lr_scheduler.ExponentialLR(opt, 0.99)

    def step(x: pydl.Tensor, y: pydl.Tensor) -> pydl.Tensor:
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        opt.step()
        schedule.step()
        return loss

    run = pydl.capture(step) if captured else step
    losses = []
    rng = np.random.default_rng(5)
    for i in range(steps):
        y = pydl.tensor(rng.integers(0, 3, shape[0]))
        losses.append(run(normal(*shape, seed=i), y).detach().numpy().tobytes())
    if captured:
        assert len(run.plans) == 1
    state = [t.detach().numpy().tobytes() for t in model.state_dict().values()]
    state += [p.grad.numpy().tobytes() for p in model.parameters()]
    state += [
        v.numpy().tobytes() for s in opt.state_dict()["state"].values() for v in s.values() if hasattr(v, "numpy")
    ]
    return losses, [*state, repr(schedule.get_last_lr()).encode()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_of_every_optimizer(name: str) -> None:
    """Dropout, schedule and optimizer: 50 steps to the same bits."""
    eager, replayed = (trained(mlp, OPTIMIZERS[name], captured, (8, 4)) for captured in (False, True))
    assert eager == replayed


@pytest.mark.parametrize("clip", [None, 0.1])
def test_convolutions_and_batch_norm(clip: float | None) -> None:
    """Running statistics move and gradients are clipped as without capture."""
    eager, replayed = (
        trained(net, OPTIMIZERS["adam"], captured, (6, 1, 8, 8), clip=clip) for captured in (False, True)
    )
    assert eager == replayed


def test_second_derivatives() -> None:
    """A penalty on the gradient of the input, as in WGAN-GP."""

    def penalty(model: nn.Module, x: pydl.Tensor) -> pydl.Tensor:
        x = x.detach().requires_grad_()
        (g,) = pydl.autograd.grad(model(x).sum(), x, create_graph=True)
        loss = ((g * g).sum(1).sqrt() - 1).square().mean()
        return pydl.cat([h.reshape(-1) for h in pydl.autograd.grad(loss, [*model.parameters()][:3])])

    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    captured = pydl.capture(penalty)
    for i in range(5):
        x = normal(7, 4, seed=i)
        assert captured(model, x).numpy().tobytes() == penalty(model, x).numpy().tobytes()


def test_inference_follows_parameters() -> None:
    """Parameters that change in place are read anew."""
    model = nn.Linear(3, 2)
    run = pydl.capture(lambda x: model(x))
    for i in range(5):
        x = normal(4, 3, seed=i)
        with pydl.no_grad():
            assert run(x).tolist() == model(x).tolist()
            model.weight.copy_(normal(2, 3, seed=10 + i))


def test_results_are_copies_outside_the_graph() -> None:
    w = pydl.ones(3, requires_grad=True)
    run = pydl.capture(lambda x: {"y": x * w, "pair": (x + 1, 2.5)})
    kept = [run(pydl.full((3,), float(i))) for i in range(5)]
    for i, made in enumerate(kept):
        assert made["y"].tolist() == [float(i)] * 3
        assert made["pair"][0].tolist() == [i + 1.0] * 3
        assert made["pair"][1] == 2.5
        assert not made["y"].requires_grad


def test_other_arguments_make_other_plans() -> None:
    """Shapes, dtypes, Python values, grad mode and train() each have a plan; the cache is bounded."""
    drop = nn.Dropout(1.0)
    run = pydl.capture(lambda x, k=1: drop(x) * k, max_plans=3)
    for _ in range(3):
        assert run(pydl.ones(2)).tolist() == [0, 0]
        assert run(pydl.ones(3)).tolist() == [0, 0, 0]
        drop.eval()
        assert run(pydl.ones(2)).tolist() == [1, 1]
        assert run(pydl.ones(2), k=3).tolist() == [3, 3]
        drop.train()
    assert len(run.plans) <= 3
    other = pydl.capture(lambda x: x * 2)
    for _ in range(3):
        assert other(pydl.ones(2)).dtype is pydl.float32
        assert other(pydl.ones(2, dtype=pydl.float64)).dtype is pydl.float64
    assert len(other.plans) == 2


def test_autocast_and_the_default_dtype_make_other_plans() -> None:
    model = nn.Linear(2, 2)
    run = pydl.capture(lambda x: model(x) + pydl.ones(2))
    for _ in range(3):
        assert run(pydl.ones(1, 2)).dtype is pydl.float32
        with pydl.amp.autocast("cpu", pydl.bfloat16):
            assert run(pydl.ones(1, 2)).tolist() == (model(pydl.ones(1, 2)) + pydl.ones(2)).tolist()
        pydl.set_default_dtype(pydl.float64)
        try:
            assert run(pydl.ones(1, 2, dtype=pydl.float32)).dtype is pydl.float64
        finally:
            pydl.set_default_dtype(pydl.float32)
    assert len(run.plans) == 3


def test_new_arrays_of_parameters_make_a_new_plan() -> None:
    model = nn.Linear(2, 2, bias=False)
    run = pydl.capture(lambda x: model(x))
    for i in range(6):
        model.weight.data = normal(2, 2, seed=i)
        assert run(pydl.eye(2)).tolist() == model(pydl.eye(2)).tolist()


def test_requires_grad_makes_a_new_plan() -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 1)
    opt = optim.SGD([*a.parameters(), *b.parameters()], 0.1)

    @pydl.capture
    def step(x: pydl.Tensor) -> pydl.Tensor:
        opt.zero_grad()
        loss = b(a(x)).square().sum()
        loss.backward()
        opt.step()
        return loss

    for _ in range(4):
        step(pydl.ones(3, 2))
    a.requires_grad_(False)
    before = a.weight.tolist()
    for _ in range(4):
        step(pydl.ones(3, 2))
    assert a.weight.tolist() == before


REFUSED: dict[str, tuple[Callable[[pydl.Tensor], Any], str]] = {
    "item": (lambda x: x * x.sum().item(), "item reads values"),
    "bool": (lambda x: x if x.sum() > 0 else -x, "item reads values"),
    "numpy": (lambda x: pydl.tensor(x.numpy()), "numpy reads values"),
    "print": (lambda x: str(x), "reads values"),
    "nonzero": (lambda x: x.nonzero(), "nonzero reads values"),
    "masked_select": (lambda x: x[x > 0], "reads values"),
    "unique": (lambda x: pydl.unique(x), "reads values"),
    "lapack": (lambda x: pydl.linalg.eigvalsh(x.reshape(2, 2)), "reads values"),
    "random": (lambda x: x * random.random(), "draws Python's or NumPy's"),
    "numpy.random": (lambda x: x * np.random.rand(), "draws Python's or NumPy's"),
    "argument": (lambda x: x.add_(1), "changes an argument in place"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """What a replay would not do again raises while recording, and afterwards all is as before."""
    function, text = REFUSED[name]
    run = pydl.capture(function)
    run(pydl.ones(4))
    with pytest.raises(CaptureError, match=text) as caught:
        run(pydl.ones(4))
    if "reads values" in text:
        assert "test_capture.py:" in str(caught.value)
    assert (pydl.ones(2) + 1).tolist() == [2, 2]
    assert pydl.capture(lambda x: x + 1)(pydl.ones(1)).item() == 2


def test_kept_arrays_are_refused() -> None:
    kept = []
    run = pydl.capture(lambda x: kept.append(x * 2))
    run(pydl.ones(2))
    with pytest.raises(CaptureError, match="keeps 1 arrays"):
        run(pydl.ones(2))


def test_gradients_that_add_up_are_refused() -> None:
    w = pydl.ones(2, requires_grad=True)
    run = pydl.capture(lambda x: (w * x).sum().backward())
    run(pydl.ones(2))
    with pytest.raises(CaptureError, match="gradients add up"):
        run(pydl.ones(2))


def test_gradients_cleared_outside() -> None:
    w = pydl.ones(2, requires_grad=True)
    run = pydl.capture(lambda x: (w * x).sum().backward())
    for i in range(5):
        w.grad = None
        run(pydl.full((2,), float(i)))
        assert w.grad.tolist() == [i, i]
    run(pydl.ones(2))
    assert w.grad.tolist() == [5, 5]
    with pytest.raises(CaptureError, match="gradients add up"):
        run(pydl.ones(2))


def test_gradients_from_outside() -> None:
    """A captured step of an optimizer alone reads the gradients where they are."""
    w, v = pydl.ones(2, requires_grad=True), pydl.ones(2, requires_grad=True)
    opts = [optim.Adam([w], 0.1), optim.Adam([v], 0.1)]
    run = pydl.capture(opts[0].step)
    for i in range(8):
        for p in (w, v):
            p.grad = normal(2, seed=i) if i % 4 == 0 or p.grad is None else p.grad
        run()
        opts[1].step()
        assert w.tolist() == v.tolist()
    assert len(run.plans) == 1


def test_two_steps_of_one_optimizer_are_refused() -> None:
    w = pydl.ones(2, requires_grad=True)
    opt = optim.Adam([w])

    @pydl.capture
    def twice(x: pydl.Tensor) -> None:
        for _ in range(2):
            opt.zero_grad()
            (w * x).sum().backward()
            opt.step()

    twice(pydl.ones(2))
    with pytest.raises(CaptureError, match="one step of an optimizer"):
        twice(pydl.ones(2))


def test_steps_that_python_steers_are_refused() -> None:
    """A line search looks at losses to decide where it goes."""
    w = pydl.ones(2, requires_grad=True)
    opt = optim.LBFGS([w])

    def closure() -> pydl.Tensor:
        opt.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    run = pydl.capture(lambda: opt.step(closure))
    run()
    with pytest.raises(CaptureError, match=r"reads values|cannot be captured"):
        run()


def test_checks_run_in_replays() -> None:
    """Classes and indices are checked each time; negative indices fit a plan that was recorded without them."""
    table = pydl.arange(5)
    run = pydl.capture(lambda i: table[i])
    loss = pydl.capture(lambda x, y: F.cross_entropy(x, y))
    for i in ([0, 1], [2, 3], [4, -1], [-5, 0]):
        assert run(pydl.tensor(i)).tolist() == [j % 5 for j in i]
    for _ in range(3):
        loss(pydl.zeros(2, 3), pydl.tensor([0, 1]))
    with pytest.raises(BoundsError, match="out of range"):
        run(pydl.tensor([0, 5]))
    with pytest.raises(BoundsError, match="target 3 is out of range"):
        loss(pydl.zeros(2, 3), pydl.tensor([0, 3]))
    assert run(pydl.tensor([1, 1])).tolist() == [1, 1]


def test_options_and_state_of_an_optimizer_may_change() -> None:
    """A new learning rate and a loaded state hold from the next call on."""
    results = []
    for captured in (False, True):
        w = pydl.ones(3, requires_grad=True)
        opt = optim.Adam([w], 0.1)

        def step(x: pydl.Tensor, w: Any = w, opt: Any = opt) -> None:
            opt.zero_grad()
            (w * x).square().sum().backward()
            opt.step()

        run = pydl.capture(step) if captured else step
        for i in range(4):
            run(normal(3, seed=i))
        saved = opt.state_dict()
        for group in opt.param_groups:
            group["lr"] = 0.01
        for i in range(4):
            run(normal(3, seed=i))
        opt.load_state_dict(saved)
        for i in range(4):
            run(normal(3, seed=i))
        results.append((w.detach().numpy().tobytes(), opt.state[w]["step"].item()))
    assert results[0] == results[1]


def test_captured_functions_inside_others_and_methods() -> None:
    class Model:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        @pydl.capture
        def scaled(self, x: pydl.Tensor) -> pydl.Tensor:
            return x * self.factor

    first, second = Model(2.0), Model(3.0)
    outer = pydl.capture(lambda x: first.scaled(x) + second.scaled(x))
    for i in range(4):
        assert outer(pydl.full((2,), float(i))).tolist() == [5.0 * i] * 2
        assert second.scaled(pydl.ones(1)).item() == 3.0


def test_report_and_profile(tmp_path: Any) -> None:
    run = pydl.capture(lambda x: (x.tanh() @ x).sum())
    x = normal(8, 8)
    for _ in range(3):
        run(x)
    text = run.report()
    assert "unary tanh" in text
    assert "gemm" in text
    with pydl.profile() as p:
        run(x)
        x.exp()
    names = [(e.kernel, e.op) for e in p.events()]
    assert ("unary", "tanh") in names
    assert ("unary", "exp") in names
    assert all(e.nanoseconds >= 0 and e.bytes > 0 for e in p.events())
    assert {e.flops for e in p.events() if e.kernel == "gemm"} == {2 * 8**3}
    p.export_chrome_trace(tmp_path / "trace.json")
    import json

    assert len(json.loads((tmp_path / "trace.json").read_text())["traceEvents"]) == len(names)
