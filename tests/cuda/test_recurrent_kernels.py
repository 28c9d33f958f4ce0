"""Recurrent layers on a CUDA device (or the emulation of one) against those of the CPU."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl.ops.recurrence import KERNELS, Recurrent, recurrent

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

WITHIN = {"float64": 1e-12, "float32": 2e-6, "bfloat16": 6e-3, "float16": 8e-4}


@pytest.fixture(autouse=True)
def fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel, no result."""
    monkeypatch.setattr(Recurrent, "reference", None)


def arrays(cell: str, sizes: list[int], i: int, h: int, p: int | None) -> list[np.ndarray | None]:
    """Packed rows, first states and weights."""
    rng = np.random.default_rng(0)
    g, fed, b = KERNELS[cell], p or h, sizes[0]
    shapes = [(sum(sizes), i), (b, fed), (b, h), (g * h, i), (g * h, fed), (g * h,), (g * h,), (fed, h)]
    made: list[np.ndarray | None] = [
        rng.standard_normal(s) / (s[-1] ** 0.5 if k > 2 else 1) for k, s in enumerate(shapes)
    ]
    if cell != "lstm":
        made[2] = None
    if p is None:
        made[7] = None
    return made


def results(given: list[np.ndarray | None], device: str, dtype: str, **options: Any) -> list[np.ndarray]:
    """Outputs and the gradients of all inputs."""
    inputs = [None if a is None else pydl.tensor(a).to(device, getattr(pydl, dtype)).requires_grad_() for a in given]
    made = [t for t in recurrent(inputs[0], *inputs[1:3], inputs[3:], **options) if t is not None]  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    seeds = [pydl.tensor(rng.standard_normal(t.shape)).to(device, t.dtype) for t in made]
    found = pydl.autograd.grad(made, [t for t in inputs if t is not None], seeds)
    assert all(t is not None and t.device.type == device for t in [*made, *found])
    return [t.detach().cpu().double().numpy() for t in [*made, *found]]


def same(given: list[np.ndarray | None], dtype: str, **options: Any) -> None:
    """Those of the device are those of the CPU in float64, with the same bits in a second run."""
    rounded = [None if a is None else pydl.tensor(a).to(getattr(pydl, dtype)).double().numpy() for a in given]
    made = results(rounded, "cuda", dtype, **options)
    for y, exact in zip(made, results(rounded, "cpu", "float64", **options), strict=True):
        assert np.linalg.norm(y - exact) <= WITHIN[dtype] * np.linalg.norm(exact)
    for y, again in zip(made, results(rounded, "cuda", dtype, **options), strict=True):
        assert y.tobytes() == again.tobytes()


@pytest.mark.parametrize("cell", [*sorted(KERNELS), "projected"])
def test_cells(cell: str) -> None:
    """Both ways over steps of as many rows or of fewer and fewer, with and without what may be left out."""
    p = 3 if cell == "projected" else None
    cell = "lstm" if p else cell
    for reverse in (False, True):
        for sizes, left_out in (([6, 6, 6], ()), ([9, 5, 1, 1], (1, 5)), ([3], (2, 6)), ([5, 5, 2], (1, 2, 5, 6))):
            given = [None if k in left_out else a for k, a in enumerate(arrays(cell, sizes, 3, 7, p))]
            same(given, "float64", cell=cell, reverse=reverse, sizes=sizes)


@pytest.mark.parametrize("dtype", list(WITHIN))
def test_dtypes(dtype: str) -> None:
    """Teams of blocks, rows in several chunks, copies of 16 bytes."""
    for cell, p in (("lstm", 12), ("gru", None), ("gru_before", None), ("tanh", None)):
        same(arrays(cell, [70, 41, 3], 5, 36, p), dtype, cell=cell, reverse=True, sizes=[70, 41, 3])


@pytest.mark.parametrize(
    ("cell", "p", "reverse"), [("lstm", 2, False), ("gru", None, True), ("gru_before", None, False)]
)
def test_step_by_step(cell: str, p: int | None, reverse: bool) -> None:
    """More rows than teams take."""
    same(arrays(cell, [516, 2], 1, 3, p), "float64", cell=cell, reverse=reverse, sizes=[516, 2])


@pytest.mark.slow
def test_large_weight() -> None:
    """One that is too large for the emulated chip."""
    same(arrays("tanh", [1, 1], 2, 350, None), "float64", cell="tanh", reverse=False, sizes=[1, 1])


def test_many_sizes() -> None:
    """More steps than one launch tells the sizes of."""
    sizes = [2] * 300 + [1] * 200
    same(arrays("gru", sizes, 1, 2, None), "float64", cell="gru", reverse=False, sizes=sizes)


def test_layers_of_half() -> None:
    """Layers in both directions, packed sequences and projections, in 16 bits and under autocast."""
    x = np.random.default_rng(0).standard_normal((4, 3, 6))
    made = {}
    for device in ("cpu", "cuda"):
        pydl.manual_seed(0)
        net = pydl.nn.LSTM(6, 8, 2, bidirectional=True, proj_size=4).to(device)
        wide = net(pydl.tensor(x, dtype=pydl.float32, device=device))[0]
        with pydl.autocast(device, dtype=pydl.bfloat16):
            cast = net(pydl.tensor(x, dtype=pydl.float32, device=device))[0].float()
        net = net.to(pydl.bfloat16)
        half = net(pydl.tensor(x, dtype=pydl.bfloat16, device=device))[0].float()
        made[device] = [t.detach().cpu().numpy() for t in (wide, cast, half)]
    for y, exact, within in zip(made["cuda"], made["cpu"], (1e-5, 2e-2, 2e-2), strict=True):
        np.testing.assert_allclose(y, exact, atol=within)
