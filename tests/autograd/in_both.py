"""A function of two matrices in pydl and in torch: the same numbers, first and second gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl

A, B = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]), np.array([[1.0, 2.0, -0.5], [0.5, 3.0, 1.25]])


def both(function: Callable[[Any, Any, Any], Any]) -> None:
    """function(library, a, b) gives the same numbers and the same first and second gradients in both libraries."""
    torch = pytest.importorskip("torch")
    made = []
    for lib in (pydl, torch):
        a, b = lib.tensor(A, requires_grad=True), lib.tensor(B, requires_grad=True)
        y = function(lib, a, b)
        first = lib.autograd.grad((y * y * y).sum(), (a, b), create_graph=True, allow_unused=True)
        total = sum((g * g).sum() for g in first if g is not None)
        second = lib.autograd.grad(total, (a, b), allow_unused=True)
        made.append([y.detach(), *(g if g is None else g.detach() for g in (*first, *second))])
    for ours, theirs in zip(*made, strict=True):
        if ours is None or theirs is None:  # one library's zeros are the other's None
            assert all(g is None or not g.numpy().any() for g in (ours, theirs))
        else:
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
