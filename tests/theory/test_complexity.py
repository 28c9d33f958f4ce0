"""What depends on what, and how many layers information takes."""

from itertools import repeat

import numpy as np
import pytest

import pydl
from pydl import nn, theory
from pydl.errors import ArgumentError, BoundsError, ShapeError


def test_dependencies_of_a_band_and_of_recurrence() -> None:
    x = pydl.tensor(np.random.default_rng(0).standard_normal((7, 3)))
    i = np.arange(7)
    band = theory.dependencies(lambda x: nn.LocalAttention(2)(x, x, x), x)
    np.testing.assert_array_equal(band, abs(i[:, None] - i) <= 2)
    rnn = nn.RNN(3, 4, dtype=pydl.float64)
    np.testing.assert_array_equal(theory.dependencies(lambda x: rnn(x)[0], x), np.tri(7, dtype=bool))
    np.testing.assert_array_equal(theory.dependencies(lambda x: x.detach() * 2 + x[:1] * 0, x), np.zeros((7, 7), bool))


def test_path_length_is_that_of_the_graph() -> None:
    """Against powers of the matrices; layers may differ."""
    rng = np.random.default_rng(1)
    graphs = [rng.random((9, 9)) < 0.25 for _ in range(12)]
    reached, found = np.eye(9, dtype=int), {}
    for depth, g in enumerate(graphs, 1):
        reached = g.astype(int) @ reached
        for t, s in np.argwhere(reached):
            found.setdefault((s, t), depth)
    assert len(found) > 50
    for (s, t), depth in found.items():
        assert theory.path_length(graphs, int(s), int(t)) == depth


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="place 2 never depends on place 0"):
        theory.path_length(repeat(np.eye(3, dtype=bool)), 0, 2, most=10)
    with pytest.raises(ArgumentError, match="never"):
        theory.path_length([], 0, 0)
    with pytest.raises(ShapeError, match="expected as many rows"):
        theory.dependencies(lambda x: x[1:], pydl.ones(3, 2))
    with pytest.raises(ShapeError, match=r"expected \(n, d\)"):
        theory.dependencies(lambda x: x, pydl.ones(3))


def test_places_and_layers_that_do_not_fit() -> None:
    chain = np.tril(np.ones((3, 3), dtype=bool))
    assert theory.path_length([chain.tolist()], 0, 2) == 1  # whatever an array can be made of
    with pytest.raises(BoundsError, match=r"must be in \[0, 3\)"):
        theory.path_length([chain], 0, 9)
    with pytest.raises(ShapeError, match=r"layer 2 has the shape \(4, 4\): expected \(3, 3\)"):
        theory.path_length([np.eye(3, dtype=bool), np.eye(4, dtype=bool)], 0, 2)
    with pytest.raises(ShapeError, match=r"layer 1 has the shape \(3, 2\)"):
        theory.path_length([np.ones((3, 2), dtype=bool)], 0, 1)
