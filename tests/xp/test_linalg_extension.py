"""pydl.xp.linalg against NumPy's, which follows the same standard."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl import xp
from pydl.errors import DtypeError, PydlError, ShapeError

A = np.random.default_rng(0).normal(size=(2, 4, 4)) + 4 * np.eye(4)
S = A @ np.swapaxes(A, -1, -2)
W = A[:, :3]
V = np.arange(12.0).reshape(4, 3) + A[0, :, :3]

CASES: list[Any] = [
    lambda m, t: m.matmul(t(A), t(V)),
    lambda m, t: m.linalg.matmul(t(A), t(V[:, 0])),
    lambda m, t: m.tensordot(t(A), t(V), axes=1),
    lambda m, t: m.linalg.tensordot(t(A), t(A), axes=((0, 1), (0, 2))),
    lambda m, t: m.vecdot(t(A), t(A[0])),
    lambda m, t: m.linalg.vecdot(t(A), t(A), axis=-2),
    lambda m, t: m.linalg.outer(t(V[0]), t(V[:, 0])),
    lambda m, t: m.linalg.cross(t(V), t(V[::-1])),
    lambda m, t: m.linalg.cross(t(V.T), t(V.T[::-1]), axis=0),
    lambda m, t: m.linalg.trace(t(A)),
    lambda m, t: m.linalg.trace(t(A), offset=1),
    lambda m, t: m.linalg.diagonal(t(W), offset=-1),
    lambda m, t: m.linalg.cholesky(t(S)),
    lambda m, t: m.linalg.cholesky(t(S), upper=True),
    lambda m, t: m.linalg.det(t(A)),
    lambda m, t: m.linalg.slogdet(t(A)).logabsdet,
    lambda m, t: m.linalg.slogdet(t(A)).sign,
    lambda m, t: m.linalg.inv(t(A)),
    lambda m, t: m.linalg.pinv(t(W)),
    lambda m, t: m.linalg.pinv(t(W), rtol=0.5),
    lambda m, t: m.linalg.solve(t(A), t(V)),
    lambda m, t: m.linalg.solve(t(A), t(V[:, 0])),
    lambda m, t: m.linalg.eigh(t(S)).eigenvalues,
    lambda m, t: m.abs(m.linalg.eigh(t(S)).eigenvectors),
    lambda m, t: m.linalg.eigvalsh(t(S)),
    lambda m, t: m.abs(m.linalg.qr(t(W)).Q),
    lambda m, t: m.abs(m.linalg.qr(t(V), mode="complete").R),
    lambda m, t: m.linalg.svd(t(W)).S,
    lambda m, t: m.abs(m.linalg.svd(t(W), full_matrices=False).Vh),
    lambda m, t: m.linalg.svdvals(t(W)),
    lambda m, t: m.linalg.matrix_norm(t(W)),
    lambda m, t: m.linalg.matrix_norm(t(W), ord="nuc", keepdims=True),
    lambda m, t: m.linalg.matrix_norm(t(W), ord=-1),
    lambda m, t: m.linalg.matrix_power(t(A), 3),
    lambda m, t: m.linalg.matrix_power(t(A), -2),
    lambda m, t: m.linalg.matrix_rank(t(S)),
    lambda m, t: m.linalg.matrix_rank(t(S), rtol=0.5),
    lambda m, t: m.linalg.matrix_transpose(t(W)),
    lambda m, t: m.linalg.vector_norm(t(W)),
    lambda m, t: m.linalg.vector_norm(t(W), axis=(0, 2), keepdims=True, ord=3),
    lambda m, t: m.linalg.vector_norm(t(W), axis=-1, ord=np.inf),
    lambda m, t: m.linalg.vector_norm(t(W), keepdims=True),
]


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_numpy(case: int, dtype: str) -> None:
    mine = CASES[case](xp, lambda a: pydl.tensor(a.astype(dtype)))
    theirs = np.asarray(CASES[case](np, lambda a: np.ascontiguousarray(a.astype(dtype))))
    assert mine.shape == theirs.shape and mine.dtype.name == theirs.dtype.name
    tolerance = 2e-4 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(mine.numpy(), theirs, rtol=tolerance, atol=tolerance)


def test_stacks_of_matrices_are_never_vectors() -> None:
    """solve(x1 (2, 4, 4), x2 (2, 4)) is no batch of vectors: a stack of one matrix (2, 4) does not fit."""
    with pytest.raises(ShapeError, match="expected size 4 in axis -2"):
        xp.linalg.solve(pydl.tensor(A), pydl.tensor(A[:, 0]))


def test_kinds() -> None:
    whole = xp.ones((3, 3), dtype=xp.int64)
    assert xp.linalg.trace(whole).dtype is xp.int64 and xp.matmul(whole, whole).dtype is xp.int64
    assert xp.linalg.trace(xp.ones((3, 3), dtype=xp.uint8)).dtype is xp.int64
    assert xp.linalg.trace(whole, dtype=xp.float64).dtype is xp.float64
    for call in (
        lambda: xp.matmul(whole, xp.ones((3, 3))),
        lambda: xp.linalg.inv(whole),
        lambda: xp.linalg.vector_norm(whole),
        lambda: xp.linalg.solve(xp.ones((2, 2)), xp.ones((2, 2), dtype=xp.int64)),
        lambda: xp.matmul(whole, 3),
    ):
        with pytest.raises(DtypeError):
            call()
    for call in (
        lambda: xp.linalg.cross(xp.ones((2, 2)), xp.ones((2, 2))),
        lambda: xp.linalg.outer(xp.ones((2, 2)), xp.ones(2)),
        lambda: xp.vecdot(xp.ones(3), xp.ones(2)),
        lambda: xp.linalg.cross(xp.asarray(1.0), xp.ones(3)),
    ):
        with pytest.raises(PydlError):
            call()
