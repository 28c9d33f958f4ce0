"""Tensors taken apart."""

from typing import Any

import pytest
from checks import RowChecks
from registry import move, via

import pydl
from pydl import ops
from pydl.errors import ArgumentError, DtypeError, ShapeError


def splits(name: str, **options: Any) -> Any:
    """A function of a tensor and of the number of parts or the places between them."""
    reference = lambda x, parts, **k: via(name)(x, tuple(parts) if isinstance(parts, list) else parts, **k)  # noqa: E731
    return move(parted(name), reference, **{"kwargs": [{"parts": [1, 2]}]} | options | {"name": name})


def parted(name: str) -> Any:
    return lambda x, parts, **k: getattr(ops, name)(x, parts, **k)


ROWS = [
    move(
        ops.split,
        via("split"),
        shapes=[(5, 4), (2, 4)],
        kwargs=[{"split_size_or_sections": 2}, {"split_size_or_sections": [1, 3], "dim": 1}],
        errors=[
            (((5,), [2, 2]), ShapeError, "split: sizes (2, 2) do not add up to 5, the size of dim 0"),
            (((5,), 0), ArgumentError, "split: expected a positive size, got 0"),
        ],
    ),
    move(
        ops.chunk,
        via("chunk"),
        shapes=[(5, 4), (0, 4), (2, 4)],
        kwargs=[{"chunks": 3}, {"chunks": 2, "dim": -1}],
        errors=[(((5,), 0), ArgumentError, "chunk: expected a positive number, got 0")],
    ),
    move(
        ops.unbind,
        via("unbind"),
        shapes=[(3, 4)],
        kwargs=[{}, {"dim": -1}],
        errors=[(((),), ShapeError, "unbind: a tensor without axes has no parts")],
    ),
    move(ops.split_with_sizes, via("split_with_sizes"), shapes=[(5, 2)], kwargs=[{"split_sizes": [1, 4]}]),
    splits(
        "tensor_split",
        shapes=[(7, 2), (3, 4)],
        cases=[
            ((7, 2), {"parts": 3}),
            ((2, 5), {"parts": 2, "dim": 1}),
            ((4,), {"parts": (3, 1, -1)}),
        ],
    ),
    splits(
        "hsplit",
        shapes=[(4,), (2, 4)],
        cases=[((2, 4), {"parts": 2})],
        errors=[(((2, 3), 2), ArgumentError, "hsplit: size 3 of dim 1 does not split into 2 equal parts")],
    ),
    splits("vsplit", shapes=[(4, 2)], errors=[(((4,), 2), ShapeError, "vsplit: expected at least 2 axes")]),
    splits("dsplit", shapes=[(2, 1, 4)]),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("given", [None, 1.5, [1, None], [[1]], pydl.tensor(2.0), pydl.tensor([[1, 2]])])
@pytest.mark.parametrize("name", ["tensor_split", "vsplit"])
def test_places_that_are_none(name: str, given: object) -> None:
    with pytest.raises(DtypeError, match=f"{name}: expected an integer or integers, got"):
        getattr(ops, name)(pydl.ones(4, 2), given)
