"""vmap of every operation that has a row: one call on all examples gives what the loop gives, forward, inside of grad
and outside of it."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

import pydl
from pydl import func
from pydl.errors import PydlError

OPS = Path(__file__).parents[1] / "ops"
sys.path[:0] = [str(OPS.parent), str(OPS)]
from checks import small  # noqa: E402
from registry import Row, listed  # noqa: E402
from test_complete import FAMILIES, _module  # noqa: E402

mapping = importlib.import_module("pydl.func.mapping")
# These must not need the loop. Others may: then only the speed differs.
AT_ONCE = """
add sub mul div pow neg abs exp log sqrt square sin cos tanh sigmoid relu gelu silu erf clamp where maximum
matmul linear bmm sum mean amax amin max min var std logsumexp prod cumsum reshape permute transpose expand flip narrow
select split cat stack squeeze unsqueeze softmax log_softmax cross_entropy gather scatter_add index_select tril triu
diagonal
"""


def rows() -> list[Row]:
    """The differentiable rows of all families."""
    return [row for path in FAMILIES for row in getattr(_module(path), "ROWS", ()) if row.grad]


ROWS = rows()  # each test gets one as `row`


def results(made: Any) -> list[pydl.Tensor]:
    return [y for y in listed(made) if isinstance(y, pydl.Tensor)]


def examples(arrays: list[np.ndarray], kinds: str) -> list[pydl.Tensor]:
    """Three versions of each array, in front; indices and masks stay as they are."""
    rng = np.random.default_rng(3)
    made = []
    for a, kind in zip(arrays, kinds, strict=True):
        copies = [a] + [rng.permutation(a.reshape(-1)).reshape(a.shape) if kind == "f" else a for _ in range(2)]
        made.append(pydl.tensor(np.stack(copies)))
    return made


def one_by_one(function: Any, inputs: list[pydl.Tensor]) -> list[np.ndarray]:
    outs = [results(function(*[x[i] for x in inputs])) for i in range(3)]
    return [np.stack([y.detach().numpy() for y in column]) for column in zip(*outs, strict=True)]


def at_once(function: Any, inputs: list[pydl.Tensor]) -> list[pydl.Tensor]:
    """vmap without the loop to fall back on."""
    given = mapping.Examples(tuple(inputs), 0)
    return mapping._at_once(lambda *xs: results(function(*xs)), given, {})[0]


def close(ours: list[Any], theirs: list[np.ndarray], what: str) -> None:
    assert len(ours) == len(theirs)
    for y, e in zip(ours, theirs, strict=True):
        assert y.shape == e.shape, f"{what}: {y.shape}, expected {e.shape}"
        np.testing.assert_allclose(y.detach().numpy(), e, rtol=1e-10, atol=1e-12, err_msg=what)


def test_row(row: Row) -> None:
    for arrays, kwargs in small(row):
        inputs = examples(arrays, row.kinds)
        places = tuple(i for i, kind in enumerate(row.kinds) if kind == "f")
        call = lambda *xs, kwargs=kwargs: row.fn(*xs, **kwargs)  # noqa: E731
        try:
            want = one_by_one(call, inputs)
        except PydlError:
            continue  # the permuted values do not fit this operation

        def weighted(*xs: pydl.Tensor, call: Any = call) -> pydl.Tensor:
            terms = [(y * (y + 0.5)).sum() for y in results(call(*xs)) if y.dtype is pydl.float64]
            return sum(terms[1:], terms[0]) if terms else pydl.zeros((), dtype=pydl.float64)

        inner = func.grad(weighted, places)
        slopes = one_by_one(inner, inputs)
        close(results(func.vmap(call)(*inputs)), want, "values")
        close(results(func.vmap(inner)(*inputs)), slopes, "vmap of grad")
        outer = func.grad(lambda *xs: func.vmap(weighted)(*xs).sum(), places)(*inputs)
        close(list(outer), slopes, "grad of vmap")
        try:
            values, gradients = at_once(call, inputs), at_once(inner, inputs)
        except Exception:
            assert row.name not in AT_ONCE.split()
            continue
        close(values, want, "values at once")
        close(gradients, slopes, "vmap of grad at once")
