"""einsum."""

import numpy as np
import pytest
from checks import RowChecks
from registry import NUMBERS, row

import pydl
from pydl import ops
from pydl.errors import ArgumentError, DtypeError, ShapeError


def np_einsum(*arrays: np.ndarray, equation: str) -> np.ndarray:
    return np.asarray(np.einsum(equation, *arrays))


CASES = [
    ("ij,jk->ik", ((3, 4), (4, 5))),
    ("ij,jk", ((3, 4), (4, 5))),
    ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))),
    ("bhqd,bhkd->bhqk", ((2, 2, 3, 4), (2, 2, 5, 4))),
    ("i,i->", ((4,), (4,))),
    ("i,j->ij", ((4,), (3,))),
    ("ij,ij->ij", ((3, 4), (3, 4))),
    ("ij,kl->ijkl", ((2, 3), (1, 4))),
    ("ijk,jil->kl", ((3, 4, 2), (4, 3, 2))),
    ("ij,k->i", ((3, 4), (2,))),
    ("...ij,...jk->...ik", ((2, 3, 4), (4, 5))),
    ("...i,...i->...", ((2, 3, 4), (3, 4))),
    ("b...,b...->...b", ((2, 3), (2, 3))),
    ("ij, jk -> ki", ((0, 4), (4, 5))),
    (",ij->ji", ((), (2, 3))),
]
ALONE = [("ii->i", (3, 3)), ("ii", (3, 3)), ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("iij->j", (2, 2, 3)), ("ba", (2, 3))]
ONES = pydl.ones(2, 3)

ROWS = [
    row(
        lambda a, b, equation: ops.einsum(equation, a, b),
        np_einsum,
        name="einsum",
        kinds="ff",
        shapes=[],
        cases=[(shapes, {"equation": text}) for text, shapes in CASES],
        dtypes=NUMBERS,
        sums=True,
        tails=lambda n: ((3, n), (n, 2)),
        errors=[
            ((ONES, ONES, "ij,jk"), ShapeError, "einsum: 'j' of 'ij,jk' is 3 and 2: expected equal sizes or 1"),
            ((ONES, ONES, "ij"), ArgumentError, "einsum: 'ij' names 1 operands, got 2"),
            ((ONES, ONES, "ij,j"), ShapeError, "einsum: 'j' does not fit an operand of 2 axes"),
            ((ONES, ONES, "ij,jk=ik"), ArgumentError, "einsum: cannot read the equation 'ij,jk=ik'"),
            ((ONES, ONES, "ij,ij->k"), ArgumentError, "the output 'k' repeats a label or has one that no operand has"),
            ((ONES, 2.0, "ij,ij"), DtypeError, "einsum: expected tensors, got float"),
        ],
    ),
    row(
        lambda a, equation: ops.einsum(equation, a),
        np_einsum,
        name="einsum_of_one",
        shapes=[],
        cases=[(shape, {"equation": text}) for text, shape in ALONE],
        dtypes=NUMBERS,
        sums=True,
        result=lambda d: d,
    ),
    row(
        lambda a, b, c, equation: ops.einsum(equation, [a, b, c]),
        np_einsum,
        name="einsum_of_three",
        kinds="fff",
        shapes=[],
        cases=[
            (((2, 3), (3, 4), (4, 2)), {"equation": "ij,jk,ki->"}),
            (((2, 3), (3, 4), (4, 5)), {"equation": "ij,jk,kl->il"}),
            (((2, 3), (2, 3), (2, 4)), {"equation": "bi,bj,bk->ijk"}),
        ],
        sums=True,
    ),
]


class TestRows(RowChecks):
    """Every row."""


@pytest.mark.parametrize("equation", ["abc,cd->abd", "a...,a->...", "abc,abc,c->b"])
def test_strided_operands(equation: str) -> None:
    rng = np.random.default_rng(0)
    sizes = {"a": 2, "b": 3, "c": 4, "d": 5}
    shapes = [[sizes[c] for c in t.replace("...", "bc")] for t in equation.split("->")[0].split(",")]
    arrays = [rng.normal(size=s[::-1]).T for s in shapes]
    ours = ops.einsum(equation, *[pydl.from_numpy(a) for a in arrays])
    np.testing.assert_allclose(ours.numpy(), np.einsum(equation, *arrays), atol=1e-13)


LISTS = [
    ([(3, 4), (4, 5)], [[0, 1], [1, 2], [0, 2]]),
    ([(3, 4), (4, 5)], [[0, 1], [1, 2]]),
    ([(2, 3, 4), (2, 4, 5)], [[..., 0, 1], [..., 1, 2], [..., 0, 2]]),
    ([(3, 3)], [[7, 7], [7]]),
    ([(3, 4)], [[5, 2]]),
    ([(3, 4)], [[0, 1], []]),
    ([(2, 3), (3,), (2,)], [[30, 51], [51], [30], [30]]),
]


@pytest.mark.parametrize(("shapes", "labels"), LISTS)
def test_labels_as_lists(shapes: list[tuple[int, ...]], labels: list[list[int]]) -> None:
    """einsum(a, [0, 1], b, [1, 2], [0, 2]), as torch's."""
    torch = pytest.importorskip("torch")
    arrays = [np.random.default_rng(i).normal(size=s) for i, s in enumerate(shapes)]

    def interleaved(make: object) -> list[object]:
        out: list[object] = []
        for a, names in zip(arrays, labels, strict=False):
            out += [make(a), names]  # type: ignore[operator]
        return out + labels[len(arrays) :]

    mine = pydl.einsum(*interleaved(pydl.tensor))
    theirs = torch.einsum(*interleaved(torch.tensor))
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-12)


def test_wrong_labels() -> None:
    for labels in ([52, 0], [-1, 0], ["a", 0]):
        with pytest.raises(ArgumentError, match="expected labels from 0 to 51"):
            pydl.einsum(ONES, labels)
    with pytest.raises(ShapeError, match="does not fit an operand of 2 axes"):
        pydl.einsum(ONES, [0])
