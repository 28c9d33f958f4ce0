"""RowChecks: the tests that every row goes through. A test file says `class TestRows(RowChecks): ...`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from registry import (
    ALL,
    FLOATS,
    NUMPY,
    Row,
    Shape,
    draw,
    draw_one,
    expected,
    listed,
    magnitude,
    naive,
    only,
    tensor,
    values,
)
from tolerances import bound, half_bound

import pydl
from pydl.autograd import gradcheck, gradgradcheck
from pydl.autograd.op import Op
from pydl.errors import CaptureError, PydlError
from pydl.replay import passes

TAILS = range(1, 34)  # twice the lanes of the widest vector, and one
FUZZ_SHAPES: list[Shape] = [(), (1,), (0,), (3,), (4,), (2, 3), (3, 1), (1, 4), (0, 3), (3, 4), (2, 3, 4), (1, 1, 2, 3)]
# fmt: off
READ_VALUES = {  # operations that read values on the host, so that they cannot be captured
    "allclose", "argwhere", "as_strided", "as_strided_scatter", "bincount", "cholesky", "cholesky_inverse",
    "cholesky_solve", "cond", "ctc_loss", "det", "det_of_singular_matrices", "eig", "eigh", "eigvalsh", "equal",
    "histc", "histogram", "inv", "logdet", "lstsq", "lu", "lu_factor", "lu_solve", "masked_scatter", "masked_select",
    "matrix_exp", "matrix_norm", "nll_loss", "nonzero", "nonzero_static", "norm", "one_hot",
    "pdist", "pinv", "pinv_symmetric", "qr", "qr_r", "qr_square", "slogdet", "solve", "solve_right",
    "solve_triangular", "solve_triangular_right", "svd", "svdvals", "tensorinv", "tensorsolve", "unique",
    "unique_consecutive", "unique_values",
}
# fmt: on
SPECIALS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-3, np.inf, -np.inf, np.nan]


def agree(row: Row, made: Any, arrays: list[np.ndarray], kwargs: dict[str, Any], dtype: str) -> None:
    """Asserts that what the operation made is what the reference gives for these inputs."""
    exact = expected(row, arrays, kwargs)
    ours = values(made)
    assert len(ours) == len(exact), f"{len(ours)} results, expected {len(exact)}"
    half = naive(row, arrays, kwargs) if dtype in ("float16", "bfloat16") else None
    for i, (y, e) in enumerate(zip(ours, exact, strict=True)):
        assert y.shape == e.shape, f"result {i} has shape {y.shape}, expected {e.shape}"
        if e.dtype.kind in "iub":
            np.testing.assert_array_equal(y, e)
            continue
        slack = row.slack.get(dtype, row.slack.get("float32", 1.0))
        exact_dtype = dtype if dtype in FLOATS else "float32"
        with np.errstate(all="ignore"):
            e = e.astype(np.float64)
            rounded = e.astype(NUMPY[exact_dtype]).astype(np.float64)  # infinite where dtype overflows
        top = magnitude(row, arrays, kwargs, e)
        limit = bound(e, top, exact_dtype, slack) if half is None else half_bound(rounded, half[i], dtype, slack)
        with np.errstate(invalid="ignore"):
            wrong = ~((np.abs(y - e) <= limit) | (y == rounded) | (np.isnan(y) & np.isnan(e)))
        assert not wrong.any(), _report(y, e, limit, wrong, arrays)


def _report(y: Any, e: Any, limit: Any, wrong: Any, arrays: list[np.ndarray]) -> str:
    at = tuple(np.argwhere(wrong)[0])
    allowed = np.broadcast_to(limit, y.shape)[at]
    return (
        f"{wrong.sum()} of {y.size} differ, first at {at}: got {y[at]!r}, expected {e[at]!r} to {allowed:.3g}; {arrays}"
    )


def run(row: Row, arrays: list[np.ndarray], kwargs: dict[str, Any]) -> Any:
    """Calls the operation and asserts that it left its inputs alone."""
    before = [a.copy() for a in arrays]
    made = row.fn(*[tensor(a) for a in arrays], **kwargs)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b, err_msg="an input was changed")
    return made


def dtype_of(row: Row, dtype: str, exact: np.ndarray) -> str:
    """The name of the dtype that a result should have."""
    if row.result is not None:
        return row.result(dtype)
    if exact.dtype.kind == "b":
        return "bool"
    if dtype in FLOATS:
        return dtype if exact.dtype.kind == "f" else "int64"
    return "float32" if exact.dtype.kind == "f" else dtype


def layouts(a: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The same values with other strides."""
    out = [("transposed", np.array(a.T, order="C").T)]
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1] + 1), dtype=a.dtype)
    wide[..., 1::2] = a
    out.append(("strided", wide[..., 1::2]))
    out.append(("flipped", np.array(a[::-1, ...], order="C")[::-1, ...]))
    return out


def small(row: Row) -> list[tuple[list[np.ndarray], dict[str, Any]]]:
    """The cases small enough for differences, in float64."""
    rng = np.random.default_rng(1)
    cases = [c for c in row.cases if all(0 < np.prod(s, dtype=int) <= 64 for s in c[0])]
    return [(draw(row, shapes, "float64", rng), kwargs) for shapes, kwargs in cases]


def differentiable(row: Row, arrays: list[np.ndarray]) -> list[pydl.Tensor]:
    return [tensor(a).requires_grad_(kind == "f") for a, kind in zip(arrays, row.kinds, strict=True)]


def same_bits(made: Any, expected_: Any) -> None:
    """Asserts that results agree in every bit."""
    for y, e in zip(listed(made), listed(expected_), strict=True):
        if isinstance(e, pydl.Tensor):
            assert (y.shape, y.dtype) == (e.shape, e.dtype)
            y, e = (t.detach().contiguous() for t in (y, e))
            bits = [(t.float() if t.dtype is pydl.bfloat16 else t).numpy().tobytes() for t in (y, e)]
            assert bits[0] == bits[1]
        else:
            assert y == e


@contextmanager
def small_tiles() -> Iterator[None]:
    """Chains of any size are fused, in tiles of which small arrays have several too; launches of any size are merged;
    arrays of any size are bound."""
    before = passes.FUSED_FROM, passes.TILE, passes.MERGED, passes.BOUND_FROM
    passes.FUSED_FROM, passes.TILE, passes.MERGED, passes.BOUND_FROM = 1, 64, (0, 1 << 60), 1
    try:
        yield
    finally:
        passes.FUSED_FROM, passes.TILE, passes.MERGED, passes.BOUND_FROM = before


def replays(fn: Any, draws: list[Any], **options: Any) -> None:
    """Asserts that fn, captured, gives what it gives: run as it is, recorded, and replayed with other values."""
    captured = pydl.capture(fn, **options)
    with small_tiles():
        for number, inputs in enumerate(draws):
            pydl.manual_seed(number)
            expected_ = fn(*inputs)
            pydl.manual_seed(number)
            same_bits(captured(*inputs), expected_)
    assert len(captured.plans) == 1


class RowChecks:
    """The tests of one row."""

    def test_replay(self, row: Row) -> None:
        """eager == replay, bit for bit, forward and two times back, for the first cases; and of copies, in whose place
        its results may be written."""
        rng = np.random.default_rng(8)
        dtype = "float64" if row.grad else row.dtypes[0]
        refused = 0
        for shapes, kwargs in row.cases[:3]:
            draws = [[tensor(a) for a in draw(row, shapes, dtype, rng)] for _ in range(4)]
            try:
                replays(lambda *xs, kwargs=kwargs: row.fn(*xs, **kwargs), draws)
                copied = lambda *xs, kwargs=kwargs: row.fn(*[x.clone() for x in xs], **kwargs)  # noqa: E731
                replays(copied, draws, passes=("reuse",))
                if row.grad:
                    wanted = [differentiable(row, [x.numpy() for x in inputs]) for inputs in draws]
                    replays(lambda *xs, kwargs=kwargs: slopes(row, xs, kwargs), wanted)
            except CaptureError as error:
                assert "reads values" in str(error), error
                refused += 1
        assert row.name in READ_VALUES or not refused

    def test_forward(self, row: Row) -> None:
        """Values, shapes and dtypes against the reference, for all dtypes; inputs stay as they were."""
        rng = np.random.default_rng(0)
        for dtype in row.dtypes:
            for shapes, kwargs in row.cases:
                arrays = draw(row, shapes, dtype, rng)
                made = run(row, arrays, kwargs)
                agree(row, made, arrays, kwargs, dtype)
                for t, e in zip(listed(made), expected(row, arrays, kwargs), strict=True):
                    if isinstance(t, pydl.Tensor):
                        assert t.dtype.name == dtype_of(row, dtype, e), f"{dtype} gave {t.dtype}"

    @only(lambda row: row.layouts)
    def test_layouts(self, row: Row) -> None:
        """Strided, transposed, flipped and broadcast inputs."""
        rng = np.random.default_rng(2)
        for dtype in row.dtypes[:2]:
            for shapes, kwargs in row.cases:
                arrays = draw(row, shapes, dtype, rng)
                for i, a in enumerate(arrays):
                    variants = layouts(a) if a.ndim else []
                    if a.ndim and a.shape[0]:
                        variants.append(("broadcast", np.broadcast_to(a[:1], a.shape)))
                    for _, b in variants:
                        changed = [b if j == i else x for j, x in enumerate(arrays)]
                        agree(row, run(row, changed, kwargs), changed, kwargs, dtype)

    @only(lambda row: row.tails)
    def test_tails(self, row: Row) -> None:
        """Every length up to twice the widest vector."""
        rng = np.random.default_rng(3)
        kwargs = row.cases[0][1]
        for dtype in row.dtypes[:2]:
            for n in TAILS:
                arrays = draw(row, row.tails(n), dtype, rng)
                agree(row, run(row, arrays, kwargs), arrays, kwargs, dtype)

    @only(lambda row: row.specials)
    def test_specials(self, row: Row) -> None:
        """Zeros of both signs, infinities and NaN."""
        arity = len(row.kinds)
        for dtype in [d for d in row.dtypes if d in FLOATS[:2]]:
            grids = np.meshgrid(*[np.array(SPECIALS, dtype=NUMPY[dtype])] * arity)
            arrays = [g.reshape(-1) for g in grids]
            for kwargs in [k for s, k in row.cases if s == row.cases[0][0]]:
                agree(row, run(row, arrays, kwargs), arrays, kwargs, dtype)

    @only(lambda row: row.large)
    def test_same_bits(self, row: Row) -> None:
        """One thread, two threads and a second run give the same bits, and the right ones."""
        kwargs = row.cases[0][1]
        arrays = draw(row, row.large, "float32", np.random.default_rng(4))
        made = []
        for threads in (1, 2, 2):
            pydl.set_num_threads(threads)
            made.append([np.array(y, order="C") for y in values(run(row, arrays, kwargs))])
        agree(row, made[0], arrays, kwargs, "float32")
        for other in made[1:]:
            assert [y.tobytes() for y in other] == [y.tobytes() for y in made[0]]

    @only(lambda row: row.grad)
    def test_gradients(self, row: Row) -> None:
        """First and second derivatives against differences."""
        for arrays, kwargs in small(row):
            inputs = differentiable(row, arrays)
            fast = sum(a.size for a in arrays) > 12
            call = lambda *xs, kwargs=kwargs: row.fn(*xs, **kwargs)  # noqa: E731
            gradcheck(call, inputs, fast_mode=fast, rtol=1e-5, atol=1e-7)
            gradgradcheck(call, inputs, fast_mode=True, rtol=1e-4, atol=1e-6)

    @only(lambda row: row.grad)
    def test_plain_definition(self, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every fused operation on the way, forward and backward, is its plain definition."""
        calls: list[tuple[Any, Any, Any, Any]] = []
        monkeypatch.setattr(Op, "record", classmethod(spy(Op.record.__func__, calls)))
        for arrays, kwargs in small(row):
            twice(row, arrays, kwargs)
        monkeypatch.undo()
        for op, inputs, attrs, made in calls:
            if op.reference is not None:
                with pydl.no_grad():
                    plain = listed(op.reference(*inputs, **attrs))[0]
                np.testing.assert_allclose(pydl.Tensor(made).numpy(), plain.numpy(), rtol=1e-11, atol=1e-12)

    @only(lambda row: row.errors)
    def test_errors(self, row: Row) -> None:
        """Wrong input raises the error that says so."""
        for args, error, text in row.errors:
            call, kwargs = arguments(args)
            with pytest.raises(error) as caught:
                row.fn(*call, **kwargs)
            assert isinstance(caught.value, PydlError)
            assert text in str(caught.value), f"{str(caught.value)!r} does not say {text!r}"

    def test_fuzz(self, row: Row) -> None:
        """Random shapes and dtypes: the right result or a PydlError."""
        fuzz(row, 12, seed=5)

    @pytest.mark.slow
    def test_fuzz_long(self, row: Row) -> None:
        """The same, many more times."""
        fuzz(row, 400, seed=6)


def spy(record: Any, calls: list[Any]) -> Any:
    """Op.record that also notes what it was called with."""

    def noted(cls: Any, made: Any, inputs: Any, residuals: Any, attrs: Any) -> Any:
        calls.append((cls, inputs, attrs, made))
        return record(cls, made, inputs, residuals, attrs)

    return noted


def twice(row: Row, arrays: list[np.ndarray], kwargs: dict[str, Any]) -> None:
    """Runs the operation and walks back over it twice, so that every operation of its rules is recorded."""
    slopes(row, differentiable(row, arrays), kwargs)


def slopes(row: Row, inputs: Any, kwargs: dict[str, Any]) -> list[Any]:
    """The gradients of an operation and theirs."""
    wanted = [x for x in inputs if x.requires_grad]
    outputs = [y for y in listed(row.fn(*inputs, **kwargs)) if isinstance(y, pydl.Tensor) and y.requires_grad]
    if not outputs:
        return []
    seeds = [pydl.ones_like(y).requires_grad_() for y in outputs]
    found = pydl.autograd.grad(outputs, wanted, seeds, create_graph=True, allow_unused=True)
    again = [g for g in found if g is not None and g.requires_grad]
    if not again:
        return list(found)
    ones = [pydl.ones_like(g) for g in again]
    return [*found, *pydl.autograd.grad(again, [*wanted, *seeds], ones, create_graph=True, allow_unused=True)]


def arguments(args: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of an error row: shapes become tensors."""
    listed_ = list(args) if isinstance(args, tuple) else [args]
    kwargs = listed_.pop() if listed_ and isinstance(listed_[-1], dict) else {}
    is_shape = lambda a: isinstance(a, tuple) and all(isinstance(s, int) for s in a)  # noqa: E731
    return [pydl.zeros(a) if is_shape(a) else a for a in listed_], kwargs


def comparable(row: Row, kinds: list[str]) -> bool:
    """Whether the reference knows these dtypes, and neither half precision nor weak promotion comes in between."""
    used = {k for k in kinds if k not in "ib"}
    known = used <= set(row.dtypes) and not used & {"float16", "bfloat16"}
    return known and (len(used) < 2 or used <= {"int64", "float64"})


def fuzz(row: Row, count: int, seed: int) -> None:
    """Calls the operation on random shapes and dtypes. A PydlError is fine; a result must be the reference's."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shapes, kwargs = row.cases[rng.integers(len(row.cases))]
        picked = [FUZZ_SHAPES[rng.integers(len(FUZZ_SHAPES))] if rng.random() < 0.5 else s for s in shapes]
        kinds = [k if k != "f" and rng.random() < 0.8 else ALL[rng.integers(len(ALL))] for k in row.kinds]
        arrays = [draw_one(row, i, picked[i], kind, rng) for i, kind in enumerate(kinds)]
        try:
            made = run(row, arrays, kwargs)
        except PydlError:
            continue
        try:
            exact = expected(row, arrays, kwargs)
        except Exception:
            continue
        if not comparable(row, kinds):
            continue
        for y, e in zip(values(made), exact, strict=True):
            context = f"{[(k, a.shape) for k, a in zip(kinds, arrays, strict=True)]} {kwargs}"
            assert y.shape == e.shape, f"{context}: {y.shape}, expected {e.shape}"
            finite = np.isfinite(e) if e.dtype.kind == "f" else np.ones(e.shape, bool)
            np.testing.assert_allclose(
                y[finite].astype(float), e[finite].astype(float), rtol=0.1, atol=0.3, err_msg=context
            )
