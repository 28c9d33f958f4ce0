"""Replays of everyday functions: what is watched, the context form, embeddings, loss scaling."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorded import bits, integers, normal, scaled_step

import pydl
import pydl.nn.functional as F
from pydl import amp, nn, ops, optim
from pydl.errors import ArgumentError, BoundsError, CaptureError

# ---------------------------------------------------------------- what is watched


def test_numbers_that_change_make_a_new_plan() -> None:
    """Attributes of modules, variables of closures and attributes of objects that the function names."""
    drop, beta = nn.Dropout(1.0), 2.0
    settings = type("Settings", (), {})()
    settings.gamma, settings.steps = 0.5, 0
    run = pydl.capture(lambda x: drop(x) + x * beta * settings.gamma)
    for p, b, gamma in [(1.0, 2.0, 0.5), (0.0, 2.0, 0.5), (0.0, 3.0, 0.5), (0.0, 3.0, 0.25)]:
        drop.p, beta, settings.gamma = p, b, gamma
        for _ in range(4):
            settings.steps += 1  # not named by the function
            assert run(pydl.ones(1)).item() == (1 - p) + b * gamma
        assert len(run.plans) == 1 and run.plans[0].ready.count == 2


def test_lost_side_effects_are_refused() -> None:
    calls: list[int] = []
    count = 0
    layer = nn.Linear(1, 1)

    def counting(x: pydl.Tensor) -> pydl.Tensor:
        nonlocal count
        count += 1
        return x * 2

    def noting(x: pydl.Tensor) -> pydl.Tensor:
        layer.seen = len(x)
        layer.calls = getattr(layer, "calls", 0) + 1
        return layer(x)

    for function, text in [
        (lambda x: calls.append(len(x)), "changes a list"),
        (counting, "a variable of its closure"),
        (noting, "changes 'calls'"),
    ]:
        run = pydl.capture(function)
        run(pydl.ones(1, 1))
        with pytest.raises(CaptureError, match=text):
            run(pydl.ones(1, 1))


def test_it_gives_up_where_numbers_never_rest() -> None:
    scale = 0.0
    run = pydl.capture(lambda x: x * scale)
    with pytest.warns(RuntimeWarning, match="change with nearly every call"):
        for i in range(40):
            scale = float(i)
            assert run(pydl.ones(1)).item() == i
    for i in range(3):
        scale = float(i)
        assert run(pydl.ones(1)).item() == i
    assert not run.plans


def test_arguments_that_are_no_tensors() -> None:
    run = pydl.capture(lambda x, k, how="add": x + k if how == "add" else x * k)
    x = pydl.ones(2)
    for _ in range(4):
        assert run(x, 2).tolist() == [3, 3]
        assert run(x, 3.0).tolist() == [4, 4]
        assert run(x, 3, how="mul").tolist() == [3, 3]
        assert str(run(x, -0.0, "mul").tolist()) == "[-0.0, -0.0]"
        assert str(run(x, 0.0, "mul").tolist()) == "[0.0, 0.0]"
    assert len(run.plans) == 5


# ---------------------------------------------------------------- the context form


def test_a_block_runs_again_on_the_same_memory() -> None:
    x, w = pydl.ones(3), pydl.ones(3, requires_grad=True)
    opt = optim.Adam([w], 0.1)
    twin = pydl.ones(3, requires_grad=True)
    other = optim.Adam([twin], 0.1)

    def step(p: pydl.Tensor, o: Any) -> pydl.Tensor:
        o.zero_grad()
        loss = (p * x).square().sum()
        loss.backward()
        o.step()
        return loss

    step(w, opt)
    step(twin, other)
    with pydl.capture() as plan:
        loss = step(w, opt)
    assert loss.item() == step(twin, other).item()
    for i in range(5):
        x.copy_(normal(3, seed=i))
        for group in (*opt.param_groups, *other.param_groups):
            group["lr"] = 0.1 / (i + 1)
        plan.replay()
        assert loss.item() == step(twin, other).item()
        assert bits([w, w.grad]) == bits([twin, twin.grad])
    assert "adam" in plan.report()
    opt.load_state_dict(opt.state_dict())
    with pytest.raises(CaptureError, match="no longer as it was recorded"):
        plan.replay()


def test_a_block_that_cannot_be_recorded() -> None:
    block = pydl.capture()
    with pytest.raises(CaptureError, match="nothing to replay"):
        block.replay()
    with pytest.raises(CaptureError, match=r"item reads values.*test_replay.py:\d+: pydl.ones\(1\).item\(\)"), block:
        pydl.ones(1).item()
    with pytest.raises(ZeroDivisionError), block:
        _ = 1 / 0
    with pytest.raises(CaptureError, match="random numbers"), block:
        np.random.rand()
    assert pydl.ones(1).item() == 1


@pytest.mark.parametrize("draw", [
    random.random, lambda: random.gauss(0, 1), lambda: [random.random() for _ in range(312)], np.random.randn,
    lambda: np.random.rand(312), lambda: np.random.shuffle([1, 2]),
])  # fmt: skip
def test_random_numbers_of_others_are_noticed(draw: Callable[[], Any]) -> None:
    """The second one of a pair of normal ones, too, and as many as the generator makes at a time."""
    random.seed(1)
    np.random.seed(1)
    for _ in range(4):
        run = pydl.capture(lambda x: (x, draw())[0])
        random.gauss(0, 1), np.random.randn()
        run(pydl.ones(1))
        with pytest.raises(CaptureError, match="random numbers"):
            run(pydl.ones(1))


def test_other_generators_behind_numpy() -> None:
    before = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(1))
    try:
        run, drawing = pydl.capture(lambda x: x * 2), pydl.capture(lambda x: x * np.random.rand())
        assert [run(pydl.ones(1)).item() for _ in range(3)] == [2, 2, 2]
        drawing(pydl.ones(1))
        with pytest.raises(CaptureError, match="random numbers"):
            drawing(pydl.ones(1))
    finally:
        np.random.set_bit_generator(before)


# ---------------------------------------------------------------- embeddings


def test_embedding_is_captured_and_checked() -> None:
    layer = nn.Embedding(5, 3, padding_idx=1)

    def slope(i: pydl.Tensor) -> Any:
        layer.weight.grad = None
        y = layer(i)
        y.square().sum().backward()
        return y, layer.weight.grad

    run = pydl.capture(slope)
    for seed in range(5):
        i = integers(5, 2, 4, seed=seed)
        assert bits(run(i)) == bits(slope(i))
    for bad in (-1, 5):
        with pytest.raises(BoundsError, match=f"embedding: index {bad} is out of range for size 5"):
            run(pydl.tensor([[0, 1, 2, bad]] * 2))
        with pytest.raises(BoundsError, match=f"embedding: index {bad} is out of range for size 5"):
            layer(pydl.tensor([[0, 1, 2, bad]] * 2))
    limited = nn.Embedding(5, 3, max_norm=0.5)
    short = pydl.capture(lambda i: limited(i))
    for seed in range(4):
        limited.weight.data.copy_(normal(5, 3, seed=seed))
        assert (short(integers(5, 6, seed=seed)).norm(dim=1) < 0.5001).all()


def test_a_step_that_ends_with_an_error_is_not_counted() -> None:
    made = []
    for captured in (False, True):
        pydl.manual_seed(0)
        layer = nn.Embedding(5, 3)
        opt = optim.NAdam(layer.parameters(), 0.1)

        def step(i: pydl.Tensor, layer: Any = layer, opt: Any = opt) -> None:
            opt.zero_grad()
            layer(i).square().sum().backward()
            opt.step()

        run = pydl.capture(step) if captured else step
        for n in range(8):
            if n == 5:
                with pytest.raises(BoundsError):
                    run(pydl.tensor([0, 1, 2, 9]))
            run(integers(5, 4, seed=n))
        made.append((bits(layer.weight), [v.item() for v in opt.state[layer.weight].values() if v.ndim == 0]))
    assert made[0] == made[1]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_is_captured(mode: str) -> None:
    torch = pytest.importorskip("torch")
    table = normal(6, 3)
    run = pydl.capture(lambda i, o: F.embedding_bag(i, table, o, mode=mode, padding_idx=2))
    for seed, starts in enumerate([[0, 2, 2, 5], [0, 0, 1, 8], [0, 3, 4, 6], [0, 1, 2, 3]]):
        i, o = integers(6, 8, seed=seed), pydl.tensor(starts)
        made = run(i, o)
        expected = torch.nn.functional.embedding_bag(
            *(torch.from_numpy(t.numpy()) for t in (i, table, o)), mode=mode, padding_idx=2
        )
        np.testing.assert_allclose(made.numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)
    with pytest.raises(ArgumentError, match="offsets must rise from 0 to at most 8"):
        run(i, pydl.tensor([0, 5, 2, 6]))


# ---------------------------------------------------------------- checks, choices, loss scaling, other optimizers


def test_checks_of_values_run_in_replays() -> None:
    draw = pydl.capture(lambda p: ops.bernoulli(p))
    for _ in range(3):
        draw(pydl.full((3,), 0.5))
    with pytest.raises(ArgumentError, match=r"probabilities must be in \[0, 1\]"):
        draw(pydl.full((3,), 2.0))
    hinge = pydl.capture(lambda s, t: F.hinge_loss(s, t))
    for _ in range(3):
        hinge(pydl.ones(2), pydl.ones(2))
    with pytest.raises(ArgumentError, match="targets must be"):
        hinge(pydl.ones(2), pydl.zeros(2))


def test_a_mask_found_causal_must_stay_so() -> None:
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), 1)
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    run = pydl.capture(lambda x, m: layer(x, mask=m))
    for seed in range(4):
        x = normal(2, 3, 4, seed=seed)
        assert bits(run(x, mask)) == bits(layer(x, mask=mask))
    with pytest.raises(CaptureError, match="came out otherwise"):
        run(x, pydl.zeros(3, 3))


def scaled(name: str, captured: bool) -> Any:
    """Float16 products with a scale so large that steps are left out, on the way down to one that fits."""
    w = pydl.tensor(np.linspace(-1, 1, 6).astype(np.float32), requires_grad=True)
    opt: Any = {
        "adam": lambda: optim.Adam([w], 0.05), "sgd": lambda: optim.SGD([w], 0.05, momentum=0.9),
        "nadam": lambda: optim.NAdam([w], 0.05), "asgd": lambda: optim.ASGD([w], 0.05, t0=2),
    }[name]()  # fmt: skip
    scaler = amp.GradScaler(init_scale=2.0**120, growth_interval=3, backoff_factor=2.0**-30)
    step = scaled_step(w, opt, scaler)
    run = pydl.capture(step) if captured else step
    made = []
    for i in range(40):
        factor = 2.0**60 if i % 7 == 6 else 1.0
        made.append((bits(run(normal(6, seed=i) * factor)), scaler.get_scale(), bits(w)))
    state = [v.item() if v.ndim == 0 else bits(v) for v in opt.state[w].values() if v is not None]
    if captured:
        assert len(run.plans) == 1
    return made, state, scaler.state_dict()


@pytest.mark.parametrize("name", ["adam", "sgd", "nadam", "asgd"])
def test_loss_scaling(name: str) -> None:
    eager, replayed = scaled(name, False), scaled(name, True)
    assert len({scale for _, scale, _ in eager[0]}) > 3  # it went down and up
    assert eager == replayed


OTHERS: dict[str, Callable[[Any], Any]] = {
    "lamb": lambda p: optim.LAMB(p, 0.01, weight_decay=0.1),
    "sgld": lambda p: optim.SGLD(p, 1e-3),
    "muon": lambda p: optim.Muon([q for q in p if q.ndim == 2], 0.02),
    "adafactor": lambda p: optim.Adafactor(p, 0.01, weight_decay=0.1),
    "sgdw": lambda p: optim.SGDW(p, 0.01, momentum=0.9, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_optimizers_of_several_launches(name: str) -> None:
    """50 steps under a schedule to the same bits, with a state that is saved and loaded half way."""
    made = []
    for captured in (False, True):
        pydl.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
        opt = OTHERS[name](list(model.parameters()))
        schedule = optim.lr_scheduler.ExponentialLR(opt, 0.98)

        def step(x: pydl.Tensor, model: Any = model, opt: Any = opt, schedule: Any = schedule) -> pydl.Tensor:
            model.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            opt.step()
            schedule.step()
            return loss

        run = pydl.capture(step) if captured else step
        losses = []
        for i in range(50):
            losses.append(bits(run(normal(5, 4, seed=i))))
            if i == 25:
                opt.load_state_dict(opt.state_dict())
        if captured:
            assert len(run.plans) == 1
        state = [bits(v) for s in opt.state_dict()["state"].values() for v in s.values() if hasattr(v, "numpy")]
        made.append((losses, bits(list(model.parameters())), state))
    assert made[0] == made[1]


def test_sharpness_aware_steps() -> None:
    made = []
    for captured in (False, True):
        w = pydl.tensor([1.0, -2.0, 3.0], requires_grad=True)
        opt = optim.SAM([w], optim.SGD, rho=0.1, lr=0.05, momentum=0.9)

        def step(x: pydl.Tensor, w: Any = w, opt: Any = opt) -> None:
            for turn in (opt.first_step, opt.second_step):
                opt.zero_grad()
                (w * x).square().sum().backward()
                turn()

        run = pydl.capture(step) if captured else step
        for i in range(8):
            run(normal(3, seed=i))
            if i == 5:
                opt.param_groups[0]["rho"] = 0.3
        made.append(bits(w))
    assert made[0] == made[1]


def test_batch_norm_of_all_batches() -> None:
    """momentum=None: the running statistics are the means over all batches."""
    layers = [nn.BatchNorm1d(3, momentum=None) for _ in range(2)]
    run = pydl.capture(lambda x: layers[0](x))
    seen = []
    for i in range(6):
        x = normal(8, 3, seed=i)
        assert bits(run(x)) == bits(layers[1](x))
        seen.append(x.numpy())
    np.testing.assert_allclose(layers[0].running_mean.numpy(), np.mean([s.mean(0) for s in seen], 0), atol=1e-6)
    np.testing.assert_allclose(layers[0].running_var.numpy(), np.mean([s.var(0, ddof=1) for s in seen], 0), rtol=1e-5)
    assert bits(layers[0].running_var) == bits(layers[1].running_var)
