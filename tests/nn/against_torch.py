"""Runs a module of ours and PyTorch's with the same weights and inputs, and compares outputs and all gradients."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl.autograd import gradcheck, gradgradcheck

torch = pytest.importorskip("torch")

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Normal numbers that stay clear of the kinks at 0, +-0.5, +-1 and +-3."""
    x = rng.standard_normal(shape) * 2
    for kink in (0.0, 0.5, 1.0, 3.0):
        x = np.where(np.abs(np.abs(x) - kink) < 0.02, x + 0.05, x)
    return np.asarray(x.astype(dtype))


def ours_of(a: np.ndarray) -> pydl.Tensor:
    """A tensor that requires gradients if it is floating."""
    return pydl.tensor(a).requires_grad_(a.dtype.kind == "f")


def theirs_of(a: np.ndarray) -> Any:
    t = torch.tensor(a)
    return t.requires_grad_() if a.dtype.kind == "f" else t


def close(ours: pydl.Tensor, theirs: Any, limit: float, what: str) -> None:
    """Asserts equal shape and values, relative to the largest value where that is above 1."""
    e = theirs.detach().numpy()
    assert ours.shape == e.shape, f"{what}: {ours.shape}, expected {e.shape}"
    scale = max(1.0, float(np.abs(e).max())) if e.size else 1.0
    np.testing.assert_allclose(ours.detach().numpy(), e, rtol=0, atol=limit * scale, err_msg=what)


def same(ours: Any, theirs: Any, arrays: list[np.ndarray], dtype: str, limit: float | None = None) -> None:
    """Asserts that both give the same output and the same gradients of inputs and parameters."""
    limit = TOLERANCE[dtype] if limit is None else limit
    if isinstance(ours, pydl.nn.Module):
        ours.to(getattr(pydl, dtype))
        theirs.to(getattr(torch, dtype))
        ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
        assert list(ours.state_dict()) == list(theirs.state_dict())
    xs, ts = [ours_of(a) for a in arrays], [theirs_of(a) for a in arrays]
    y, e = ours(*xs), theirs(*ts)
    close(y, e, limit, "output")
    if not e.requires_grad:
        return
    g = np.random.default_rng(7).standard_normal(e.shape).astype(dtype)
    y.backward(pydl.tensor(g))
    e.backward(torch.tensor(g))
    for i, (x, t) in enumerate(zip(xs, ts, strict=True)):
        if t.grad is not None:
            assert x.grad is not None, f"input {i} has no gradient"
            close(x.grad, t.grad, limit, f"gradient of input {i}")
    if isinstance(ours, pydl.nn.Module):
        for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            close(p.grad, q.grad, limit, f"gradient of {name}")


def differences(function: Any, arrays: list[np.ndarray], parameters: Any = ()) -> None:
    """First and second derivatives by differences, of the inputs in float64 and of what the function closes over."""
    xs = [ours_of(a) for a in arrays]
    if any(x.requires_grad for x in xs):
        gradcheck(function, xs, rtol=1e-5, atol=1e-7)
        gradgradcheck(function, xs, rtol=1e-4, atol=1e-6, fast_mode=True)
    for p in parameters:
        _check_parameter(function, xs, p)


def _check_parameter(function: Any, xs: list[Any], p: Any) -> None:
    """The gradient of one parameter along one random direction, by a central difference."""
    rng = np.random.default_rng(3)
    direction = rng.standard_normal(p.shape)
    weights = pydl.tensor(rng.standard_normal(function(*xs).shape))
    p.grad = None
    (function(*xs) * weights).sum().backward()
    slope = float((p.grad * pydl.tensor(direction)).sum())
    start, sides = p.detach().clone(), []
    for step in (1e-6, -1e-6):
        with pydl.no_grad():
            p.copy_(start + pydl.tensor(direction * step))
            sides.append(float((function(*xs) * weights).sum()))
    with pydl.no_grad():
        p.copy_(start)
    assert abs((sides[0] - sides[1]) / 2e-6 - slope) <= 1e-6 * max(1.0, abs(slope))
