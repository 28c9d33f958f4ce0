"""The rows of the operations on a CUDA device: values, layouts, tails, gradients and the same bits every time.

The device is a GPU, or the emulation of one that PYDL_CUDA_LIBRARY names (tests/cuda_emulator). A row that needs a
kernel which CUDA does not have must say so, and must be listed here.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import TAILS, agree, dtype_of, listed, slopes, small
from registry import FLOATS, NUMPY, Row, draw, expected, only, tensor, values

import pydl
from pydl.errors import DeviceError, PydlError

pytestmark = pytest.mark.skipif(not pydl.cuda.is_available(), reason="no CUDA device")

FAMILIES = [
    "activation", "arithmetic", "attention", "compare", "conv", "elementary", "gemm", "index", "loss", "norm",
    "place", "pool", "reduce", "resample", "rnn", "rounding", "scan", "shape", "softmax", "sort", "special", "ternary",
]  # fmt: skip
MISSING: set[str] = set()
SPECIALS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan]


def rows() -> list[Row]:
    """The rows of all families whose kernels there are."""
    import sys

    sys.path.insert(0, str(Path(__file__).parent.parent / "ops"))
    return [row for family in FAMILIES for row in import_module(f"test_{family}").ROWS]


EVERY = rows()
ROWS = [row for row in EVERY if row.name not in MISSING]


def there(a: np.ndarray) -> pydl.Tensor:
    """The array on the device."""
    return tensor(a).to("cuda")


def layouts(a: np.ndarray) -> list[pydl.Tensor]:
    """The same values on the device with other strides."""
    axes = list(range(a.ndim))[::-1]
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1] + 1), dtype=a.dtype)
    wide[..., 1::2] = a
    return [
        there(np.ascontiguousarray(a.T)).permute(axes),
        there(wide)[..., 1::2],
        there(np.ascontiguousarray(a[::-1])).flip([0]),
    ]


def on_device(made: Any) -> bool:
    return all(not isinstance(t, pydl.Tensor) or t.device.type == "cuda" for t in listed(made))


class TestRows:
    """Each row on the device."""

    def test_values(self, row: Row) -> None:
        """Values, shapes and dtypes against the reference, for all dtypes; results stay on the device."""
        rng = np.random.default_rng(0)
        for dtype in row.dtypes:
            for shapes, kwargs in row.cases:
                arrays = draw(row, shapes, dtype, rng)
                made = row.fn(*map(there, arrays), **kwargs)
                assert on_device(made)
                agree(row, made, arrays, kwargs, dtype)
                for t, e in zip(listed(made), expected(row, arrays, kwargs), strict=True):
                    if isinstance(t, pydl.Tensor):
                        assert t.dtype.name == dtype_of(row, dtype, e), f"{dtype} gave {t.dtype}"

    @only(lambda row: row.layouts)
    def test_layouts(self, row: Row) -> None:
        """Transposed, strided and flipped inputs."""
        rng = np.random.default_rng(2)
        for shapes, kwargs in row.cases:
            arrays = draw(row, shapes, row.dtypes[0], rng)
            for i, a in enumerate(arrays):
                for b in layouts(a) if a.ndim else []:
                    inputs = [b if j == i else there(x) for j, x in enumerate(arrays)]
                    agree(row, row.fn(*inputs, **kwargs), arrays, kwargs, row.dtypes[0])

    @only(lambda row: row.tails)
    def test_tails(self, row: Row) -> None:
        """Every length up to twice that of a thread's vector, and some around those of a block."""
        rng = np.random.default_rng(3)
        for n in [*TAILS, *((255, 1024, 2049, 4099) if row.specials else (257,))]:
            arrays = draw(row, row.tails(n), row.dtypes[0], rng)
            agree(row, row.fn(*map(there, arrays), **row.cases[0][1]), arrays, row.cases[0][1], row.dtypes[0])

    @only(lambda row: row.specials)
    def test_specials(self, row: Row) -> None:
        """Zeros of both signs, infinities and NaN."""
        for dtype in [d for d in row.dtypes if d in FLOATS[:2]]:
            grids = np.meshgrid(*[np.array(SPECIALS, dtype=NUMPY[dtype])] * len(row.kinds))
            arrays = [g.reshape(-1) for g in grids]
            for kwargs in [k for s, k in row.cases if s == row.cases[0][0]]:
                agree(row, row.fn(*map(there, arrays), **kwargs), arrays, kwargs, dtype)

    @only(lambda row: row.large)
    def test_same_bits(self, row: Row) -> None:
        """Right for long inputs, and the same bits in a second run."""
        kwargs = row.cases[0][1]
        most = {1: 20_001, 4: 100, 5: 100}  # emulated GPUs are slow
        shapes = [(3, 5001) if len(s) == 2 else tuple(min(n, most.get(len(s), n)) for n in s) for s in row.large or ()]
        arrays = draw(row, shapes, "float32", np.random.default_rng(4))
        try:
            expected(row, arrays, kwargs)
        except (ValueError, RuntimeError):  # shapes that belong together otherwise
            return
        made = [values(row.fn(*map(there, arrays), **kwargs)) for _ in range(2)]
        agree(row, made[0], arrays, kwargs, "float32")
        assert [y.tobytes() for y in made[0]] == [y.tobytes() for y in made[1]]

    @only(lambda row: row.grad)
    def test_gradients(self, row: Row) -> None:
        """First and second derivatives are those of the CPU."""
        for arrays, kwargs in small(row):
            inputs = [[tensor(a).to(d) for a in arrays] for d in ("cpu", "cuda")]
            for tensors in inputs:
                for t, kind in zip(tensors, row.kinds, strict=True):
                    t.requires_grad_(kind == "f")
            own, given = (slopes(row, tensors, kwargs) for tensors in inputs)
            for mine, other in zip(own, given, strict=True):
                assert (mine is None) == (other is None)
                if mine is not None:
                    assert other.device.type == "cuda"
                    np.testing.assert_allclose(other.detach().numpy(), mine.detach().numpy(), rtol=1e-10, atol=1e-10)


class TestMissing:
    """What CUDA has no kernel for."""

    @pytest.mark.parametrize("name", sorted(MISSING))
    def test_says_so(self, name: str) -> None:
        row = next(row for row in EVERY if row.name == name)
        shapes, kwargs = row.cases[0]
        arrays = draw(row, shapes, row.dtypes[0], np.random.default_rng(0))
        with pytest.raises(DeviceError, match=r"there is no kernel for cuda:0|no CUDA kernel") as caught:
            row.fn(*map(there, arrays), **kwargs)
        assert isinstance(caught.value, PydlError)
