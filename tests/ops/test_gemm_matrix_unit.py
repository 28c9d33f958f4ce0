"""Matrix products large enough for the matrix unit, where the machine has one."""

import itertools

import numpy as np
import pytest

import pydl
from pydl import ops
from pydl.nn import functional as F

# Whole tiles and not, one block of k and several, a block of rows and several, long and narrow.
SHAPES = [
    (128, 128, 128),
    (129, 257, 130),
    (16, 513, 250),
    (12, 2100, 47),
    (600, 64, 530),
    (33, 1000, 65),
    (2000, 40, 13),
]


def factors(m: int, k: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)


def error(y: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference from float64, in units of the rounding of a float32 sum of random terms."""
    wide = a.astype(np.float64), b.astype(np.float64)
    return float((abs(y - wide[0] @ wide[1]) / np.sqrt(wide[0] ** 2 @ wide[1] ** 2)).max() / 2**-24)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turned", list(itertools.product([False, True], repeat=2)))
def test_values_are_as_near_as_those_of_float32(shape: tuple[int, int, int], turned: tuple[bool, bool]) -> None:
    a, b = factors(*shape)
    left, right = (
        pydl.from_numpy(np.ascontiguousarray(x.T)).T if t else pydl.from_numpy(x)
        for x, t in zip((a, b), turned, strict=True)
    )
    assert error((left @ right).numpy(), a, b) < 3 * np.sqrt(shape[1]) + 16


def test_long_sums_do_not_run_on() -> None:
    """Blocks of steps are summed up one by one: 16000 steps have errors of a few hundred."""
    a, b = factors(64, 16000, 64)
    assert error((pydl.from_numpy(a) @ pydl.from_numpy(b)).numpy(), a, b) < 40


def test_numbers_of_all_sizes_keep_their_precision() -> None:
    """Errors are relative to each product, not to the largest element of a row."""
    a, b = factors(128, 128, 128)
    rng = np.random.default_rng(1)
    powers = 2.0 ** rng.integers(-40, 40, 128)
    a, b = (a * powers).astype(np.float32), (b / powers[:, None]).astype(np.float32)
    assert error((pydl.from_numpy(a) @ pydl.from_numpy(b)).numpy(), a, b) < 40
    tiny = np.float32(2.0**-60)
    assert error((pydl.from_numpy(a * tiny) @ pydl.from_numpy(b)).numpy().astype(np.float64) / tiny, a, b) < 40


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, np.finfo(np.float32).max])
@pytest.mark.parametrize("shape", [(128, 128, 128), (100, 513, 70), (14, 2100, 47)])
def test_what_has_no_parts_is_multiplied_all_the_same(odd: float, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    a, b = factors(*shape)
    a[m // 3, 5] = odd
    b[k - 1, n - 1] = b[k - 1, n - 1] if np.isfinite(odd) else odd
    b[5] *= 1e-3  # the largest number times these is in range
    with np.errstate(all="ignore"):
        expected = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
    y = (pydl.from_numpy(a) @ pydl.from_numpy(b)).numpy()
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(y), np.isinf(expected))
    kept = np.isfinite(expected) & (abs(expected) < 1e30)
    np.testing.assert_allclose(y[kept], expected[kept], rtol=1e-4, atol=1e-3)


def test_bias_activation_and_addend() -> None:
    a, b = factors(130, 129, 131)
    rng = np.random.default_rng(2)
    bias, add = rng.standard_normal(131).astype(np.float32), rng.standard_normal((130, 131)).astype(np.float32)
    tensors = [pydl.from_numpy(x) for x in (add, a, b)]
    exact = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(ops.addmm(*tensors, beta=0.5, alpha=-2).numpy(), 0.5 * add - 2 * exact, atol=2e-4)
    y = F.linear(tensors[1], tensors[2].T, pydl.from_numpy(bias), activation="relu").numpy()
    np.testing.assert_allclose(y, np.maximum(exact + bias, 0), atol=2e-4)
    y = F.linear(tensors[1], tensors[2].T, pydl.from_numpy(bias), activation="tanh").numpy()
    np.testing.assert_allclose(y, np.tanh(exact + bias), atol=1e-4)
    np.testing.assert_allclose(ops.addmm(pydl.from_numpy(bias), *tensors[1:]).numpy(), exact + bias, atol=2e-4)


@pytest.mark.parametrize("dtype", [pydl.float16, pydl.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_half_precision(dtype: pydl.dtype, shape: tuple[int, int, int]) -> None:
    a, b = (pydl.from_numpy(x).to(dtype) for x in factors(*shape))
    exact = a.double().numpy() @ b.double().numpy()
    step = 2**-11 if dtype is pydl.float16 else 2**-8
    near = 2**-18 * np.sqrt(a.double().numpy() ** 2 @ b.double().numpy() ** 2)
    assert (abs((a @ b).double().numpy() - exact) <= 1.01 * step * abs(exact) + near).all()


def test_any_strides() -> None:
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((260, 300)).astype(np.float32)
    for a, b in [
        (wide[::2, ::2], wide[:150:1, 1::2]),
        (wide[:130, 7:157], wide[5:155, :299:2]),
        (np.broadcast_to(wide[0, :150], (140, 150)), wide[:150, :140]),
        (wide[:140, :150], np.broadcast_to(wide[:150, :1], (150, 140))),
        (wide.T[:150:1, ::2], wide[::-1][:130, :140].copy()),
    ]:
        x = pydl.from_numpy(wide)  # views of pydl's own, with the strides of NumPy's
        left = x.as_strided(a.shape, [s // 4 for s in a.strides], (a.ctypes.data - wide.ctypes.data) // 4)
        right = (
            pydl.from_numpy(np.ascontiguousarray(b))
            if b.base is not wide
            else x.as_strided(b.shape, [s // 4 for s in b.strides], (b.ctypes.data - wide.ctypes.data) // 4)
        )
        assert error((left @ right).numpy(), a, b) < 60


@pytest.mark.parametrize("shape", [*SHAPES, (512, 512, 512)])
def test_the_same_bits_for_any_number_of_threads(shape: tuple[int, int, int]) -> None:
    a, b = (pydl.from_numpy(x) for x in factors(*shape))
    before, results = pydl.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            pydl.set_num_threads(threads)
            results.append((a @ b).numpy().tobytes())
    finally:
        pydl.set_num_threads(before)
    assert len(set(results)) == 1
