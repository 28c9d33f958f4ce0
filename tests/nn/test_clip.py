"""Gradient clipping and parameters as vectors."""

import math
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError, AutogradError, ShapeError
from pydl.nn.utils import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
    parameters_to_vector,
    vector_to_parameters,
)

SHAPES = [(3, 4), (5,), (), (2, 2, 2), (0, 3)]


def parameters(scale: float = 1.0, dtype: str = "float64") -> list[nn.Parameter]:
    rng = np.random.default_rng(0)
    made = []
    for shape in SHAPES:
        p = nn.Parameter(pydl.zeros(*shape, dtype=getattr(pydl, dtype)))
        p.grad = pydl.tensor(np.asarray(rng.standard_normal(shape) * scale).astype(dtype))
        made.append(p)
    made.append(nn.Parameter(pydl.zeros(2)))  # without gradient
    return made


def flat(ps: list[nn.Parameter]) -> np.ndarray:
    return np.concatenate([np.asarray(p.grad.numpy()).ravel() for p in ps if p.grad is not None]).astype(float)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [2.0, 1.0, 3.0, math.inf])
def test_norm_against_torch(p: float, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    ours, max_norm = parameters(3.0, dtype), 0.7
    kept = ours[:4] if p == math.inf else ours  # there torch has no maximum of nothing
    theirs = [torch.nn.Parameter(torch.tensor(q.detach().numpy())) for q in kept]
    for q, t in zip(kept, theirs, strict=True):
        t.grad = None if q.grad is None else torch.tensor(q.grad.numpy())
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, p)
    got = clip_grad_norm_(kept, max_norm, p)
    assert got.shape == () and got.item() == pytest.approx(expected.item(), rel=1e-6)
    for q, t in zip(kept, theirs, strict=True):
        if q.grad is not None:
            np.testing.assert_allclose(q.grad.numpy(), t.grad.numpy(), rtol=2e-6)


def test_norm_clipping_is_exact_and_keeps_the_direction() -> None:
    ps = parameters(100.0)
    before = flat(ps)
    total = clip_grad_norm_(ps, 2.5)
    after = flat(ps)
    assert total.item() == pytest.approx(np.linalg.norm(before), rel=1e-14)
    assert np.linalg.norm(after) == pytest.approx(2.5 * total.item() / (total.item() + 1e-6), rel=1e-14)
    assert after @ before / np.linalg.norm(after) / np.linalg.norm(before) == pytest.approx(1, abs=1e-15)


def test_small_gradients_stay_as_they_are() -> None:
    ps = parameters(0.1)
    before = flat(ps)
    clip_grad_norm_(ps, np.linalg.norm(before) * 1.01)
    np.testing.assert_array_equal(flat(ps), before)
    clip_grad_value_(ps, 10.0)
    np.testing.assert_array_equal(flat(ps), before)


def test_value_clipping_is_exact_and_turns_the_direction() -> None:
    ps = parameters(2.0)
    before = flat(ps)
    clip_grad_value_(ps, 0.5)
    after = flat(ps)
    np.testing.assert_array_equal(after, np.clip(before, -0.5, 0.5))
    assert after @ before / np.linalg.norm(after) / np.linalg.norm(before) < 0.99
    with pytest.raises(ArgumentError, match="must not be negative"):
        clip_grad_value_(ps, -1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_norms_that_are_not_finite(bad: float) -> None:
    ps = parameters()
    ps[1].grad = pydl.full((5,), bad, dtype=pydl.float64)
    before = ps[0].grad.numpy().copy()
    for p in (2.0, 1.0, math.inf):
        with pytest.raises(AutogradError, match="the total norm of order"):
            clip_grad_norm_(ps, 1.0, p, error_if_nonfinite=True)
        np.testing.assert_array_equal(ps[0].grad.numpy(), before)
    total = clip_grad_norm_(ps, 1.0).item()
    assert math.isnan(total) if math.isnan(bad) else total == math.inf


def test_nothing_to_clip() -> None:
    assert clip_grad_norm_([nn.Parameter(pydl.ones(2))], 1.0).item() == 0
    assert get_total_norm([]).item() == 0 and get_total_norm([pydl.tensor([0.0, 2.0, 3.0])], 0).item() == 2
    with pytest.raises(ArgumentError, match="must not be negative"):
        get_total_norm([pydl.ones(2)], -1.0)


def test_one_tensor_and_gaps_in_memory() -> None:
    p = nn.Parameter(pydl.zeros(2, 3))
    p.grad = pydl.full((3, 2), 2.0).T
    assert clip_grad_norm_(p, 1.0).item() == pytest.approx(math.sqrt(24))
    np.testing.assert_allclose(p.grad.numpy(), 1 / math.sqrt(6), rtol=1e-5)
    assert get_total_norm(pydl.full((3, 2), 2.0).T).item() == pytest.approx(math.sqrt(24))


def test_low_precision_gradients() -> None:
    p = nn.Parameter(pydl.zeros(4000, dtype=pydl.float16))
    p.grad = pydl.full((4000,), 30.0, dtype=pydl.float16)  # the sum of squares is beyond float16
    assert clip_grad_norm_(p, 1.0).item() == pytest.approx(30 * math.sqrt(4000), rel=1e-3)
    np.testing.assert_allclose(p.grad.float().numpy(), 1 / math.sqrt(4000), rtol=2e-3)


def test_in_two_steps() -> None:
    a, b = parameters(5.0), parameters(5.0)
    clip_grad_norm_(a, 1.0)
    clip_grads_with_norm_(b, 1.0, get_total_norm([p.grad for p in b if p.grad is not None]))
    np.testing.assert_array_equal(flat(a), flat(b))


# ---------------------------------------------------------------- vectors


def test_vector_and_back() -> None:
    net: Any = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vector = parameters_to_vector(net.parameters())
    assert vector.shape == (13,)
    vector.sum().backward()
    assert all((p.grad == 1).all() for p in net.parameters())
    new = pydl.arange(13, dtype=pydl.float32)
    vector_to_parameters(new, net.parameters())
    assert net[0].weight.tolist() == [[0, 1], [2, 3], [4, 5]] and net[1].bias.tolist() == [12]
    np.testing.assert_array_equal(parameters_to_vector(net.parameters()).detach().numpy(), new.numpy())
    assert net[0].weight.requires_grad and net[0].weight.data_ptr() == new.data_ptr()


def test_vector_errors() -> None:
    with pytest.raises(ShapeError, match=r"expected \(9,\)"):
        vector_to_parameters(pydl.zeros(8), nn.Linear(2, 3).parameters())
    with pytest.raises(ArgumentError, match="at least one parameter"):
        parameters_to_vector([])
