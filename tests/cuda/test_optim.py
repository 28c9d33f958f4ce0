"""Steps of optimizers on a CUDA device (or the emulation of one) are those of the CPU."""

import ctypes
import os
from collections.abc import Callable

import numpy as np
import pytest

import pydl
from pydl import amp, nn, optim
from pydl.errors import DeviceError

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

LIBRARY = os.environ.get("PYDL_CUDA_LIBRARY", "")

Rule = Callable[[list[nn.Parameter]], optim.Optimizer]
RULES: dict[str, Rule] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=1e-2),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "asgd": lambda p: optim.ASGD(p, lr=0.1, t0=1.0),
    "rprop": lambda p: optim.Rprop(p, lr=0.1),
    "lion": lambda p: optim.Lion(p, lr=0.01, weight_decay=0.1),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.01),
    "adadelta": lambda p: optim.Adadelta(p, lr=0.5),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.1, momentum=0.5, centered=True),
    "adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=1e-2),
    "adamw": lambda p: optim.AdamW(p, lr=0.1, amsgrad=True),
    "adamax": lambda p: optim.Adamax(p, lr=0.1),
    "nadam": lambda p: optim.NAdam(p, lr=0.1),
    "radam": lambda p: optim.RAdam(p, lr=0.1),
    "lamb": lambda p: optim.LAMB(p, lr=0.1, weight_decay=0.1),
}  # fmt: skip
# more arrays than a launch takes, of all dtypes, ends of vectors and of blocks, nothing
SIZES = [0, 1, 3, 4, 5, 1023, 1024, 1025, 4099, *range(1, 48)]
DTYPES = {"float32": 2e-6, "float64": 1e-13, "bfloat16": 8e-3}
STEPS = 7  # RAdam adapts from the sixth on


def stepped(rule: Rule, device: str, dtype: str) -> list[np.ndarray]:
    """The parameters after steps along given gradients."""
    rng = np.random.default_rng(0)
    kind = getattr(pydl, dtype)
    params = [nn.Parameter(pydl.tensor(rng.standard_normal(n)).to(device, kind)) for n in SIZES]
    step = rule(params)
    for _ in range(STEPS):
        for p, n in zip(params, SIZES, strict=True):
            p.grad = pydl.tensor(rng.standard_normal(n)).to(device, kind)
        step.step()
    return [p.detach().double().numpy() for p in params]


@pytest.mark.parametrize("rule", list(RULES))
def test_rules(rule: str) -> None:
    """Every rule, for parameters of each dtype."""
    for dtype, tolerance in DTYPES.items() if rule in ("adam", "lion") else [("float32", DTYPES["float32"])]:
        for there, here in zip(*(stepped(RULES[rule], d, dtype) for d in ("cuda", "cpu")), strict=True):
            np.testing.assert_allclose(there, here, rtol=20 * tolerance, atol=20 * tolerance)


def test_odd_places() -> None:
    """Parameters that do not begin on a boundary of 16 bytes, and a state wider than they are."""
    made = []
    for device in ("cuda", "cpu"):
        base = pydl.arange(21, dtype=pydl.float32, device=device)
        p = nn.Parameter(base[1:])
        p.grad = pydl.ones_like(p)
        optim.Adam([p], lr=0.5).step()
        made.append(p.detach().cpu().numpy())
    np.testing.assert_allclose(*made, rtol=1e-6)


def test_clipping() -> None:
    """The norm of all gradients, and their shrinking to it: float64 NumPy is the reference."""
    rng = np.random.default_rng(1)
    given = [rng.standard_normal(n) for n in (5, 0, 40_001, 1)]
    params = [nn.Parameter(pydl.zeros(len(g), device="cuda")) for g in given]
    for p, g in zip(params, given, strict=True):
        p.grad = pydl.tensor(g.astype(np.float32)).cuda()
    norm = np.sqrt(sum(float(np.square(g).sum()) for g in given))
    np.testing.assert_allclose(nn.utils.clip_grad_norm_(params, 1.5).item(), norm, rtol=1e-6)
    for p, g in zip(params, given, strict=True):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.cpu().numpy(), g * 1.5 / norm, rtol=1e-5, atol=1e-8)


def test_grad_scaler() -> None:
    """A step whose gradients are finite is made with the unscaled ones; one that has an infinity is left out."""
    scaler = amp.GradScaler(init_scale=8.0)
    p = nn.Parameter(pydl.zeros(300, device="cuda"))
    step = optim.SGD([p], lr=1.0)
    p.grad = pydl.full((300,), 16.0, device="cuda")
    scaler.step(step)
    scaler.update()
    np.testing.assert_array_equal(p.detach().cpu().numpy(), np.full(300, -2.0, dtype=np.float32))
    bad = np.ones(300, dtype=np.float32)
    for wrong in (np.inf, -np.inf, np.nan):
        bad[299] = wrong
        p.grad = pydl.tensor(bad).cuda()
        scaler.step(step)
        scaler.update()
    np.testing.assert_array_equal(p.detach().cpu().numpy(), np.full(300, -2.0, dtype=np.float32))
    assert scaler.get_scale() == 1.0


@pytest.mark.skipif("emulated" not in LIBRARY, reason="a GPU does not count how often it is waited for")
def test_nothing_is_waited_for() -> None:
    """Unscaling and clipping leave their numbers on the device; a step reads one, whatever the count of parameters."""
    waits = ctypes.CDLL(os.path.abspath(LIBRARY)).emulator_waits
    params = [nn.Parameter(pydl.ones(n, device="cuda")) for n in range(1, 60)]
    step, scaler = optim.SGD(params, lr=1.0), amp.GradScaler(init_scale=8.0)
    counts = []
    for kind in (2.0, 2.0, float("inf"), 1.0):  # the first makes constants, which other streams may wait for
        for p in params:
            p.grad = pydl.full_like(p, 8.0)
        begin = waits()
        scaler.unscale_(step)
        nn.utils.clip_grad_norm_(params, 1e9, kind)
        unscaled = waits()
        scaler.step(step)
        scaler.update()
        counts.append((unscaled - begin, waits() - unscaled))
    assert counts[1:] == [(0, 1)] * 3
    np.testing.assert_array_equal(params[-1].detach().numpy(), np.full(59, -3.0, dtype=np.float32))


@pytest.mark.skipif(pydl.cuda.device_count() < 2, reason="one device")
@pytest.mark.parametrize("rule", ["adam", "lamb"])
def test_parameters_of_several_devices(rule: str) -> None:
    """Steps, loss scaling and clipping of one optimizer whose parameters lie apart are those of the CPU."""
    found = []
    for places in (("cpu",) * 3, ("cuda:0", "cuda:1", "cpu")):
        params = [nn.Parameter(pydl.full((5,), 1.0 + k, device=d)) for k, d in enumerate(places)]
        step, scaler = RULES[rule](params), amp.GradScaler(init_scale=8.0)
        norms = []
        for turn in range(4):
            for k, p in enumerate(params):
                p.grad = pydl.full_like(p, 8.0 * (k - 0.5 * turn + 0.1)) * (np.inf if turn == k == 1 else 1.0)
            scaler.unscale_(step)
            norms += [nn.utils.clip_grad_norm_(params, 0.5, kind).item() for kind in (2.0, 3.0, float("inf"), 0.0)]
            scaler.step(step)
            scaler.update()
        assert [str(p.device) for p in params] == list(places) and len(step._plans[0].launches) == len(set(places))
        found.append([norms, scaler.get_scale(), *(p.detach().numpy() for p in params)])
    assert found[0][1] == found[1][1] == 4.0
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-6)


def test_lookahead() -> None:
    """add_scaled: slow weights follow the fast ones."""
    made = []
    for device in ("cuda", "cpu"):
        p = nn.Parameter(pydl.ones(7, device=device))
        step = optim.Lookahead(optim.SGD([p], lr=0.5), k=2, alpha=0.5)
        for _ in range(4):
            p.grad = pydl.arange(7, dtype=pydl.float32, device=device)
            step.step()
        made.append(p.detach().cpu().numpy())
    np.testing.assert_allclose(*made, rtol=1e-6)


def test_hogwild_is_of_the_cpu() -> None:
    """Threads of the CPU share its weights; arrays of a device are refused before anything is read."""
    whole, one = pydl.zeros(2, dtype=pydl.int64), pydl.zeros(1, dtype=pydl.int64)
    values = pydl.zeros(1, dtype=pydl.float64)
    args = [whole, one, values, values, one, values]
    for i in range(len(args)):
        given = [a.cuda() if i == j else a for j, a in enumerate(args)]
        with pytest.raises(DeviceError, match=r"hogwild: .* on cuda:0: expected"):
            pydl._C.hogwild(*[a.array for a in given], 0.1, 0.0)
