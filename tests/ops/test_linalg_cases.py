"""Linear algebra beyond the rows of test_linalg.py: sizes around the blocks, failures, ranks, older names, threads."""

import inspect
import re
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import linalg
from pydl.errors import ArgumentError, DtypeError, LinAlgError, ShapeError
from pydl.ops import matrices

COVERS = matrices.__all__


def matrix(*shape: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def both_orders(function: Any, *inputs: np.ndarray) -> None:
    """First and second derivatives against differences."""
    xs = [pydl.tensor(x).requires_grad_() for x in inputs]
    assert pydl.autograd.gradcheck(function, xs, fast_mode=True, rtol=1e-5, atol=1e-6)
    assert pydl.autograd.gradgradcheck(function, xs, fast_mode=True, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 31, 32, 33, 97, 200])
def test_sizes_around_the_blocks(n: int, dtype: str) -> None:
    """What is written in blocks: triangles and LU, m by n and in batches."""
    tolerance = 2e-3 if dtype == "float32" else 1e-10
    a, b = matrix(2, n, n, dtype=dtype), matrix(2, n, 3, dtype=dtype, seed=1)
    a += 3 * np.sqrt(n).astype(dtype) * np.eye(n, dtype=dtype)
    for upper in (True, False):
        x = linalg.solve_triangular(pydl.tensor(a), pydl.tensor(b), upper=upper).numpy()
        np.testing.assert_allclose((np.triu(a) if upper else np.tril(a)) @ x, b, rtol=0, atol=tolerance * 10)
    for m in (n, n + 7, max(n - 5, 1)):
        c = matrix(3, m, n, dtype=dtype)
        p, lower, top = linalg.lu(pydl.tensor(c))
        np.testing.assert_allclose((p @ lower @ top).numpy(), c, rtol=0, atol=tolerance)
        assert (
            np.abs(lower.numpy()).max() <= 1
            and (np.tril(lower.numpy(), -1) + np.eye(m, min(m, n))).shape == lower.shape
        )
        assert (np.triu(top.numpy()) == top.numpy()).all() and (np.triu(lower.numpy(), 1) == 0).all()


def test_lu_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    a = matrix(4, 7, 5)
    ours_lu, pivots = linalg.lu_factor(pydl.tensor(a))
    theirs = torch.linalg.lu_factor(torch.from_numpy(a))
    np.testing.assert_allclose(ours_lu.numpy(), theirs.LU.numpy(), rtol=1e-12, atol=1e-12)
    assert pivots.dtype is pydl.int32 and pivots.tolist() == theirs.pivots.tolist()
    for mine, other in zip(linalg.lu(pydl.tensor(a)), torch.linalg.lu(torch.from_numpy(a)), strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-12, atol=1e-12)
    for mine, other in zip(pydl.lu_unpack(ours_lu, pivots), torch.lu_unpack(*theirs), strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-12, atol=1e-12)
    square = a[:, :5] + 5 * np.eye(5)
    p, lower, upper = linalg.lu(pydl.tensor(square), pivot=False)
    assert p.numel() == 0
    np.testing.assert_allclose((lower @ upper).numpy(), square, atol=1e-12)


SINGULAR = np.stack([np.eye(3), np.ones((3, 3)), np.zeros((3, 3))])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda a: linalg.inv(a), "inv: the matrix is singular (batch index 1)"),
        (lambda a: linalg.solve(a, a), "solve: the matrix is singular (batch index 1)"),
        (lambda a: linalg.cholesky(a), "cholesky: the matrix is not positive definite (batch index 1)"),
        (lambda a: linalg.solve_triangular(a, a, upper=True), "solve_triangular: the matrix is singular (batch index"),
        (lambda a: linalg.inv(a.reshape(3, 1, 3, 3)), "(batch index 1, 0)"),
        (lambda a: linalg.inv(a[1]), "inv: the matrix is singular"),
        (lambda a: linalg.inv_ex(a, check_errors=True), "inv_ex: the matrix is singular (batch index 1)"),
        (lambda a: linalg.lu_factor_ex(a, check_errors=True), "lu_factor_ex: the matrix is singular"),
        (lambda a: linalg.matrix_power(a, -1), "singular"),
        (lambda a: linalg.slogdet(a.requires_grad_()).logabsdet.sum().backward(), "slogdet: the matrix is singular"),
        (lambda a: linalg.svd(a * np.nan), "svd: the iteration did not converge: expected finite elements"),
        (lambda a: linalg.eig(pydl.tensor([[0.0, 1.0], [-1.0, 0.0]])), "eig: an eigenvalue is complex, 0+1j, and"),
        (lambda a: linalg.eigvals(pydl.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [-1, 0]]])), "(batch index 1)"),
    ],
)  # fmt: skip
def test_failures_name_the_matrix(call: Any, text: str) -> None:
    with pytest.raises(LinAlgError) as caught:
        call(pydl.tensor(SINGULAR))
    assert text in str(caught.value) and isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64", "bool"])
@pytest.mark.parametrize(
    "name", ["inv", "det", "slogdet", "cholesky", "qr", "svd", "svdvals", "eigh", "eig", "lu", "pinv", "matrix_exp"]
)
def test_dtypes_without_lapack(name: str, dtype: str) -> None:
    with pytest.raises(DtypeError, match=f"expected float32 or float64, got pydl.{dtype}"):
        getattr(linalg, name)(pydl.ones(3, 3).to(getattr(pydl, dtype)))


def test_mixed_dtypes_and_what_is_no_tensor() -> None:
    a = pydl.eye(3)
    with pytest.raises(DtypeError, match=r"solve: expected one dtype, got pydl.float32 and"):
        linalg.solve(a, a.double())
    with pytest.raises(DtypeError, match="inv: expected a tensor, got ndarray"):
        linalg.inv(np.eye(3))  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="solve: expected a tensor, got list"):
        linalg.solve(a, [1, 2, 3])  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="solve"):
        linalg.solve(pydl.zeros(2, 3, 3), pydl.zeros(5, 3, 1))


def test_failures_as_numbers() -> None:
    """As torch's: the step or the order that failed; NaN there and the right result elsewhere."""
    torch = pytest.importorskip("torch")
    spd = np.eye(3) * 2
    wrong = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    a = np.stack([spd, wrong, -spd])
    made = linalg.cholesky_ex(pydl.tensor(a))
    assert made.info.tolist() == torch.linalg.cholesky_ex(torch.tensor(a)).info.tolist() == [0, 2, 1]
    np.testing.assert_allclose(made.L[0].numpy(), np.linalg.cholesky(spd))
    assert bool(made.L[1:].isnan().all())
    inverse = linalg.inv_ex(pydl.tensor(SINGULAR))
    assert inverse.info.tolist() == torch.linalg.inv_ex(torch.tensor(SINGULAR)).info.tolist() == [0, 2, 1]
    assert linalg.solve_ex(pydl.tensor(SINGULAR), pydl.ones(3, 3, dtype=pydl.float64)).info.tolist() == [0, 2, 1]
    assert linalg.lu_factor_ex(pydl.tensor(SINGULAR)).info.tolist() == [0, 2, 1]
    single = linalg.inv_ex(pydl.eye(2, dtype=pydl.float64) * 2)
    assert single.info.item() == 0 and single.inverse.tolist() == [[0.5, 0], [0, 0.5]]


def test_det_of_singular_matrices_can_be_differentiated() -> None:
    """To both orders, for every rank, where inverses do not exist."""
    for n in (1, 2, 3, 5):
        for rank in range(n):
            a = matrix(n, rank) @ matrix(rank, n, seed=1) if rank else np.zeros((n, n))
            both_orders(linalg.det, a)
    both_orders(linalg.det, np.stack([matrix(3, 3), np.ones((3, 3))]))


@pytest.mark.parametrize(
    "call", [linalg.svdvals, linalg.eigvalsh, lambda x: linalg.svd(x).S, lambda x: linalg.eigh(x)[0]]
)
def test_equal_values_have_finite_gradients(call: Any) -> None:
    """Of the values alone: their sum is smooth."""
    x = pydl.eye(4, dtype=pydl.float64).requires_grad_()
    call(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.eye(4), atol=1e-12)


def test_columns_that_complete_a_basis() -> None:
    """Functions of the space that they span have the right derivatives."""

    def beyond_q(x: Any) -> Any:
        extra = linalg.qr(x, "complete").Q[..., 2:]
        return extra @ extra.mT

    def beyond_u(x: Any) -> Any:
        u, _, vh = linalg.svd(x)
        k = min(x.shape[-2:])
        return u[..., k:] @ u[..., k:].mT, vh[..., k:, :].mT @ vh[..., k:, :]

    both_orders(beyond_q, matrix(2, 5, 2))
    both_orders(beyond_u, matrix(5, 2))
    both_orders(beyond_u, matrix(2, 5))


def test_least_squares() -> None:
    torch = pytest.importorskip("torch")
    for m, n in ((6, 3), (3, 3), (3, 6)):
        a, b = matrix(2, m, n), matrix(2, m, 2, seed=1)
        mine = linalg.lstsq(pydl.tensor(a), pydl.tensor(b))
        theirs = torch.linalg.lstsq(torch.tensor(a), torch.tensor(b), driver="gelsd")
        for x, y in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-10, atol=1e-10)
    low = matrix(5, 2) @ matrix(2, 4)
    made = linalg.lstsq(pydl.tensor(low), pydl.tensor(matrix(5)))
    assert made.rank.item() == 2 and made.residuals.numel() == 0
    np.testing.assert_allclose(made.solution.numpy(), np.linalg.pinv(low) @ matrix(5), atol=1e-10)
    with pytest.raises(ArgumentError, match="driver"):
        linalg.lstsq(pydl.tensor(low), pydl.tensor(matrix(5)), driver="magic")


def test_rank_and_tolerances() -> None:
    torch = pytest.importorskip("torch")
    a = np.stack([matrix(4, 2) @ matrix(2, 5), matrix(4, 5), np.zeros((4, 5))])
    for kwargs in ({}, {"atol": 1.0}, {"rtol": 0.5}, {"tol": 0.1}, {"atol": np.array([0.1, 2.0, 0.1])}):
        theirs = {k: torch.as_tensor(v) for k, v in kwargs.items()}
        mine = {k: pydl.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
        expected = torch.linalg.matrix_rank(torch.tensor(a), **theirs)
        assert linalg.matrix_rank(pydl.tensor(a), **mine).tolist() == expected.tolist()
    assert linalg.matrix_rank(pydl.tensor(np.diag([1.0, -2.0, 0.0])), hermitian=True).item() == 2
    with pytest.raises(ArgumentError, match="not negative"):
        linalg.matrix_rank(pydl.eye(2), atol=-1.0)


def test_condition_of_singular_matrices() -> None:
    a = pydl.tensor(SINGULAR)
    assert linalg.cond(a).tolist()[0] == 1 and linalg.cond(a, "fro").tolist()[1:] == [np.inf, np.inf]


@pytest.mark.parametrize("scale", [1e-8, 1.0, 30.0, 200.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matrix_exp_over_many_scales(scale: float, dtype: str) -> None:
    linalg_of_scipy = pytest.importorskip("scipy.linalg")
    a = matrix(6, 6)
    a = (scale * (a - a.T) / np.abs(a - a.T).sum(0).max()).astype(dtype)  # orthogonal results stay of size 1
    exact = linalg_of_scipy.expm(a.astype(float))
    np.testing.assert_allclose(
        linalg.matrix_exp(pydl.tensor(a)).numpy(), exact, atol=np.finfo(dtype).eps * (20 + 8 * scale)
    )
    assert bool(linalg.matrix_exp(pydl.tensor(a) * np.inf).isnan().all())


def test_older_names() -> None:
    """torch's functions outside of torch.linalg, as functions and as methods."""
    torch = pytest.importorskip("torch")
    a = matrix(3, 3) + 4 * np.eye(3)
    s = a @ a.T
    x, t, sx, st = pydl.tensor(a), torch.tensor(a), pydl.tensor(s), torch.tensor(s)
    for name in ("det", "logdet", "slogdet", "inverse", "pinverse", "matrix_exp"):
        for mine, theirs in zip(_listed(getattr(pydl, name)(sx)), _listed(getattr(torch, name)(st)), strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-9)
        assert _listed(getattr(x, name)())
    for upper in (False, True):
        factor, theirs = pydl.cholesky(sx, upper), torch.linalg.cholesky(st, upper=upper)
        np.testing.assert_allclose(factor.numpy(), theirs.numpy(), atol=1e-12)
        np.testing.assert_allclose(pydl.cholesky_inverse(factor, upper).numpy(), np.linalg.inv(s), atol=1e-12)
        np.testing.assert_allclose(pydl.cholesky_solve(x, factor, upper).numpy(), np.linalg.solve(s, a), atol=1e-12)
        for turned in (False, True):
            triangle = (np.triu(s) if upper else np.tril(s)).T if turned else np.triu(s) if upper else np.tril(s)
            mine = pydl.triangular_solve(x, sx, upper, turned).solution
            np.testing.assert_allclose(mine.numpy(), np.linalg.solve(triangle, a), atol=1e-12)
    for some in (True, False):
        q, r = pydl.qr(x[:, :2], some)
        assert q.shape == (3, 2 if some else 3)
        np.testing.assert_allclose((q @ r).numpy(), a[:, :2], atol=1e-12)
    u, values, v = pydl.svd(x)
    np.testing.assert_allclose((u * values @ v.mT).numpy(), a, atol=1e-12)
    assert pydl.svd(x, compute_uv=False).U.numpy().any() == False  # noqa: E712
    np.testing.assert_allclose(pydl.lu_solve(x, *linalg.lu_factor(sx)).numpy(), np.linalg.solve(s, a), atol=1e-12)
    np.testing.assert_allclose(pydl.chain_matmul(x, x, sx).numpy(), a @ a @ s, atol=1e-9)
    np.testing.assert_allclose(pydl.matrix_power(x, 3).numpy(), a @ a @ a, atol=1e-9)
    np.testing.assert_allclose(
        pydl.orgqr(x, pydl.tensor(a[0])).numpy(), torch.orgqr(t, torch.tensor(a[0])).numpy(), atol=1e-9
    )


def _listed(made: Any) -> list[Any]:
    return list(made) if isinstance(made, tuple) else [made]


def test_signatures_are_torchs() -> None:
    """Names of arguments and defaults, of every function that torch.linalg has too (out= aside)."""
    torch = pytest.importorskip("torch")
    theirs = {n for n, v in vars(torch.linalg).items() if n[0] != "_" and callable(v)}
    assert theirs - set(vars(linalg)) <= {"ldl_factor", "ldl_factor_ex", "ldl_solve"}
    compared = 0
    for name in sorted(theirs & set(linalg.__all__) - {"LinAlgError"}):
        signature = re.search(rf"^\s*(?:torch\.)?(?:linalg\.)?{name}\((.*)\) ->", getattr(torch.linalg, name).__doc__)
        if signature is None:
            continue
        compared += 1
        wanted = {part.split("=")[0].split()[-1] for part in re.sub(r"\([^)]*\)", "", signature[1]).split(",")} - {
            "*",
            "out",
        }
        assert wanted - {"A", "M", "input"} <= set(inspect.signature(getattr(linalg, name)).parameters), name
    assert compared > 30


def test_other_threads() -> None:
    """LAPACK called from several threads at once gives what one alone gives."""
    from concurrent.futures import ThreadPoolExecutor

    a = pydl.tensor(matrix(60, 60)).requires_grad_()

    def work(_: int) -> list[float]:
        u, s, _ = linalg.svd(a)
        (g,) = pydl.autograd.grad((u * u).sum() + s.sum() + linalg.det(a / 8), a)
        return g.tolist()

    alone = work(0)
    with ThreadPoolExecutor(4) as pool:
        assert all(other == alone for other in pool.map(work, range(8)))


def test_importing_pydl_does_not_import_it() -> None:
    import subprocess
    import sys

    code = "import sys, pydl; print([n for n in sys.modules if n in ('pydl.linalg', 'pydl.ops.lapack', 'pydl.ops.lu')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---------------------------------------------------------------- blocks


@pytest.mark.parametrize("shape", [(70, 70), (200, 200), (200, 110), (110, 200), (3, 65, 65), (2, 2, 50, 49)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_lu_by_panels(shape: tuple[int, ...], dtype: str) -> None:
    """The exchanges are torch's, the factors put the matrix together again."""
    torch = pytest.importorskip("torch")
    a = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    packed, pivots = linalg.lu_factor(pydl.from_numpy(a))
    theirs = torch.linalg.lu_factor(torch.from_numpy(a))
    np.testing.assert_array_equal(pivots.numpy(), theirs.pivots.numpy())
    p, lower, upper = linalg.lu(pydl.from_numpy(a))
    np.testing.assert_allclose((p @ lower @ upper).numpy(), a, atol=1e-12 if dtype == "float64" else 1e-4)
    assert packed.shape == shape


@pytest.mark.parametrize("n", [1, 5, 64, 65, 150])
@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("unit", [True, False])
def test_triangles_by_halves(n: int, upper: bool, unit: bool) -> None:
    """Right sides of every width modulo the vectors, triangles that lie in memory by rows and by columns."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, n, n)) / n + 2 * np.eye(n)
    triangle = np.triu(a) if upper else np.tril(a)
    used = np.where(np.eye(n) > 0, 1.0, triangle) if unit else triangle
    for k in (1, 3, 8, 31, 40):
        b = rng.standard_normal((2, n, k))
        for x in (pydl.from_numpy(a), pydl.from_numpy(np.ascontiguousarray(a.swapaxes(-1, -2))).mT):
            made = linalg.solve_triangular(x, pydl.from_numpy(b), upper=upper, unitriangular=unit)
            np.testing.assert_allclose(used @ made.numpy(), b, atol=1e-11)


@pytest.mark.parametrize("shape", [(128, 128), (2, 200, 200), (300, 170), (170, 300), (95, 96)])
def test_factors_by_halves(shape: tuple[int, ...]) -> None:
    """Of sizes around the panels and no multiple of them; rows are exchanged as SciPy does."""
    scipy = pytest.importorskip("scipy.linalg")
    a = matrix(*shape)
    packed, pivots = linalg.lu_factor(pydl.tensor(a))
    parts = [v.reshape(-1, *v.shape[-k:]) for v, k in ((a, 2), (packed.numpy(), 2), (pivots.numpy(), 1))]
    for x, made, order in zip(*parts, strict=True):
        expected, swaps = scipy.lu_factor(x)
        np.testing.assert_array_equal(order, swaps + 1)
        np.testing.assert_allclose(made, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("shape", [(127,), (128,), (3, 150), (257,)])
def test_large_systems(shape: tuple[int, ...]) -> None:
    """Where our own factors take LAPACK's place: residuals, determinants of both signs, and the matrix that fails."""
    *batch, n = shape
    a, b = matrix(*batch, n, n) / n**0.5, matrix(*batch, n, 3, seed=1)
    x = pydl.tensor(a)
    np.testing.assert_allclose(a @ linalg.solve(x, pydl.tensor(b)).numpy(), b, atol=1e-9)
    np.testing.assert_allclose(a @ linalg.inv(x).numpy(), np.broadcast_to(np.eye(n), a.shape), atol=1e-9)
    np.testing.assert_allclose(linalg.det(x).numpy(), np.linalg.det(a), rtol=1e-9)
    for made, expected in zip(linalg.slogdet(x), np.linalg.slogdet(a), strict=True):
        np.testing.assert_allclose(made.numpy(), expected, rtol=1e-9)
    flipped = a[..., ::-1, :].copy()
    np.testing.assert_array_equal(linalg.slogdet(pydl.tensor(flipped))[0].numpy(), np.linalg.slogdet(flipped)[0])
    a[(*[-1] * len(batch), slice(None), 5)] = 0
    x = pydl.tensor(a)
    assert linalg.det(x).numpy().reshape(-1)[-1] == 0
    for call in (lambda: linalg.solve(x, pydl.tensor(b)), lambda: linalg.inv(x)):
        with pytest.raises(LinAlgError, match=r"singular( \(batch index 2\))?" if batch else "singular$"):
            call()


def test_blocks_refuse_what_does_not_fit() -> None:
    """The kernels' own checks: no array of another shape or dtype reaches them."""
    x, whole = pydl.ones(1, 3, 3).array, pydl.zeros(1, 3).long().array
    for call in (
        lambda: pydl._C.substitute(pydl.ones(1, 2, 2).array, x, True, False),
        lambda: pydl._C.substitute(pydl.ones(1, 3, 3).double().array, x, True, False),
        lambda: pydl._C.take_product(x, x, pydl.ones(1, 2, 3).array),
        lambda: pydl._C.lu_panel(x, 0, 4, True, whole),
        lambda: pydl._C.lu_panel(x, 2, 1, True, whole),
        lambda: pydl._C.lu_panel(x, 0, 3, True, pydl.zeros(1, 2).long().array),
    ):
        with pytest.raises(ShapeError, match=r"do not (match|fit)"):
            call()
    with pytest.raises(DtypeError, match="expected float32 or float64"):
        pydl._C.lu_panel(pydl.ones(1, 3, 3).half().array, 0, 3, True, whole)
