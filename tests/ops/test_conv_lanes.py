"""Products whose lanes are images: small images of few channels, against torch in float64."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl import _C

torch = pytest.importorskip("torch")

Array = np.ndarray[Any, np.dtype[Any]]

# image (b, c, ...), channels of the output, kernel, settings; more images than lanes, and a block that is not full
CASES: list[tuple[tuple[int, ...], int, tuple[int, ...], dict[str, int]]] = [
    ((64, 4, 14, 14), 6, (5, 5), {}),
    ((28, 1, 32, 32), 4, (5, 5), {}),
    ((16, 5, 7, 9), 10, (3, 4), {"padding": 2}),
    ((29, 3, 11, 8), 16, (3, 3), {"padding": 1, "stride": 2}),
    ((32, 2, 9, 13), 7, (2, 3), {"padding": 3, "dilation": 2}),
    ((16, 16, 5, 5), 1, (5, 5), {"padding": 4}),
    ((47, 3, 40), 5, (7,), {"padding": 3}),
    ((16, 2, 5, 6, 7), 5, (3, 2, 3), {"padding": 1}),
    ((16, 2, 60, 50), 3, (3, 5), {}),
]


def settings(kernel: tuple[int, ...], options: dict[str, int]) -> tuple[Any, ...]:
    """stride, padding, dilation and groups as the kernels take them."""
    return *[(options.get(n, n != "padding"),) * len(kernel) for n in ("stride", "padding", "dilation")], 1


def products(x: Any, w: Any, bias: Any, g: Any, options: tuple[Any, ...], activation: str = "none") -> list[Any]:
    """Forward, and the gradients of the input and of the weights for g."""
    y = _C.conv(x.array, w.array, bias.array, *options, g.shape[2:], activation)
    gx = _C.conv_input_grad(g.array, w.array, None, *options, x.shape[2:], "none")
    gw = _C.conv_weight_grad(x.array, g.array, *options, w.shape[2:])
    return [pydl.Tensor(made) for made in (y, gx, gw)]


def exact(x: Array, w: Array, bias: Array, g: Array, options: dict[str, int]) -> list[Array]:
    tx, tw, tb = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, w, bias))
    y = getattr(torch.nn.functional, f"conv{x.ndim - 2}d")(tx, tw, tb, **options)
    y.backward(torch.tensor(g, dtype=torch.float64))
    return [t.detach().numpy() for t in (y, tx.grad, tw.grad)]


def made_up(case: int) -> tuple[list[Array], tuple[int, ...], dict[str, int]]:
    """x, w, bias and g of small integers, whose sums are exact in every dtype and order."""
    image, rows, kernel, options = CASES[case]
    rng = np.random.default_rng(case)
    stride, padding, dilation = (options.get(n, n != "padding") for n in ("stride", "padding", "dilation"))
    size = [(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(image[2:], kernel, strict=True)]
    shapes = [image, (rows, image[1], *kernel), (rows,), (image[0], rows, *size)]
    return [rng.integers(-2, 3, s).astype(np.float32) for s in shapes], kernel, options


@pytest.mark.parametrize("case", list(range(len(CASES))))
def test_products(case: int) -> None:
    arrays, kernel, options = made_up(case)
    true = exact(*arrays, options)
    for dtype in (pydl.float32, pydl.float64):
        made = products(*[pydl.tensor(a).to(dtype) for a in arrays], settings(kernel, options))
        for m, t in zip(made, true, strict=True):
            np.testing.assert_array_equal(m.numpy(), t)


def test_ways() -> None:
    """Batches of small images go by lanes; few images, many channels and large outputs do not."""

    def way(product: str, b: int, c: int, m: int, h: int) -> str:
        x, w, y = pydl.zeros(b, c, h, h), pydl.zeros(m, c, 5, 5), pydl.zeros(b, m, h - 4, h - 4)
        same: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        return str(_C.conv_path(product, x.array, w.array, y=y.array, **same))

    for product in ("forward", "input_grad", "weight_grad"):
        assert way(product, 64, 4, 2, 14) == "lanes"
        for b, c, m, h in ((1, 4, 2, 14), (64, 17, 20, 14), (16, 16, 16, 90)):
            assert way(product, b, c, m, h) != "lanes"


def test_layouts_halves_activations_and_threads() -> None:
    """Any strides and dtypes are turned over; the number of threads changes no bit."""
    arrays, kernel, options = made_up(0)
    true = exact(*arrays, options)
    for dtype in (pydl.float32, pydl.bfloat16, pydl.float16):
        x, w, bias, g = (pydl.tensor(a).to(dtype) for a in arrays)
        for turned in (False, True):
            if turned:
                x, w, g = (t.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) for t in (x, w, g))
            for m, t in zip(products(x, w, bias, g, settings(kernel, options)), true, strict=True):
                assert (m.float().numpy() == pydl.tensor(t).to(dtype).float().numpy()).all()
    rng = np.random.default_rng(1)
    x, w, bias, g = (pydl.tensor(rng.standard_normal(a.shape, dtype=np.float32)) for a in arrays)
    for name, function in (("relu", lambda v: np.maximum(v, 0)), ("tanh", np.tanh)):
        expected = function(exact(*[t.numpy() for t in (x, w, bias, g)], options)[0])
        results = []
        for threads in (1, 2, 3):
            pydl.set_num_threads(threads)
            results.append([m.numpy() for m in products(x, w, bias, g, settings(kernel, options), name)])
            assert all((a == b).all() for a, b in zip(results[0], results[-1], strict=True))
        np.testing.assert_allclose(results[0][0], expected, rtol=0, atol=3e-5)


def test_images_do_not_meet() -> None:
    """What is infinite or NaN in one image stays there, and what lies in no image is nowhere."""
    arrays, kernel, options = made_up(2)
    arrays[0][3], arrays[3][3] = np.inf, np.nan
    y, gx, _ = (m.numpy() for m in products(*[pydl.tensor(a) for a in arrays], settings(kernel, options)))
    others = np.arange(len(arrays[0])) != 3
    assert np.isfinite(y[others]).all() and np.isfinite(gx[others]).all()
    assert np.isnan(gx[3]).all() and not np.isfinite(y[3]).all()
