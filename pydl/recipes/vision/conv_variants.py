"""Convolutions of 1 x 1, with holes, transposed, in groups, and upsampling: each is an ordinary one in disguise."""

from dataclasses import dataclass

import numpy as np

from pydl import cat, float64, no_grad, ops, randn
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting
from pydl.tensor import Tensor

RECIPE = Recipe(
    name="conv-variants",
    ids=("V26",),
    title="1 x 1, dilated, transposed and grouped convolutions",
    source="Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning, chapters 4 and 5",
    time="t0",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    size: int = setting(11, "pixels on a side", least=7)
    seed: int = setting(0, "of images and kernels")


def run(settings: Settings, report: Report) -> None:
    """Compares each with its plain form, in float64."""
    n = settings.size
    x = randn(2, 4, n, n, dtype=float64)
    with no_grad():
        worst = max(_adjoint(x, s, p, d, g) for s in (1, 2, 3) for p in (0, 1) for d in (1, 2) for g in (1, 2))
        report.check("<A x, y> - <x, A' y>, relative, 24 settings", worst, at_most=1e-10)
        w = randn(6, 4, 3, 3, dtype=float64)
        report.check("holes against zeros in the kernel", _gap(F.conv2d(x, w, dilation=2), F.conv2d(x, _stuffed(w))),
                     at_most=1e-12)  # fmt: skip
        halves = [F.conv2d(x[:, i : i + 2], w[3 * j : 3 * j + 3, :2]) for j, i in enumerate((0, 2))]
        report.check("groups against two layers", _gap(F.conv2d(x, w[:, :2], groups=2), cat(halves, 1)), at_most=1e-12)
        dots = ops.einsum("mc,bchw->bmhw", w[:, :, 0, 0], x)
        report.check("1 x 1 against a matrix at each pixel", _gap(F.conv2d(x, w[:, :, :1, :1]), dots), at_most=1e-12)
        ones = x[:, :1] * 0 + 1
        copied = F.conv_transpose2d(x[:, :1], ones[:1, :, :2, :2], stride=2)
        nearest = F.interpolate(x[:, :1], scale_factor=2, mode="nearest")
        report.check("upsampling against a transposed convolution with ones", _gap(copied, nearest), at_most=0)
        tent = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])
        weighed = F.conv_transpose2d(x[:, :1], ops.tensor(tent)[None, None], stride=2, padding=1)
        linear = F.interpolate(x[:, :1], scale_factor=2, mode="bilinear", align_corners=False)
        inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))
        report.check(
            "bilinear upsampling against one with a tent", _gap(weighed[inside], linear[inside]), at_most=1e-12
        )


def _gap(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


def _adjoint(x: Tensor, stride: int, padding: int, dilation: int, groups: int) -> float:
    """|<A x, y> - <x, A' y>| over |<A x, y>| for a convolution A and the transposed one with the same weights."""
    w = randn(6, 4 // groups, 3, 3, dtype=float64)
    ax = F.conv2d(x, w, None, stride, padding, dilation, groups)
    y = randn(*ax.shape, dtype=float64)
    least = F.conv_transpose2d(y, w, None, stride, padding, 0, groups, dilation).shape[2:]
    more = [have - got for have, got in zip(x.shape[2:], least, strict=True)]
    back = F.conv_transpose2d(y, w, None, stride, padding, more, groups, dilation)
    left, right = float((ax * y).sum()), float((x * back).sum())
    return abs(left - right) / abs(left)


def _stuffed(w: Tensor) -> Tensor:
    """A kernel with a zero between each two of its elements."""
    wide = ops.zeros(*w.shape[:2], *(2 * k - 1 for k in w.shape[2:]), dtype=w.dtype)
    wide[:, :, ::2, ::2] = w
    return wide
