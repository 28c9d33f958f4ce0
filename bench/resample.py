"""Resampling of batches of images: other sizes, padding, windows as columns, and reads at free places."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.workload import Array, Inputs, Workload, normals, torch_function

_IMAGES = (8, 16, 64, 64)
_COUNT = 8 * 16 * 64 * 64


def _with_grid(rng: np.random.Generator) -> list[Array]:
    images = rng.standard_normal(_IMAGES, dtype=np.float32)
    return [images, rng.uniform(-1.05, 1.05, (8, 64, 64, 2)).astype(np.float32)]


def _pair(
    label: str, op: str, grown: float, call: Callable[[Any], Callable[..., Any]], inputs: Inputs
) -> list[Workload]:
    """Forward, and with gradients; `grown` is the size of the output in inputs."""
    made = []
    for train in (False, True):
        maker = torch_function(call, inputs, train)
        moved = 4.0 * _COUNT * (1 + grown) * (2 if train else 1)
        name = f"resample/{label}/{'train' if train else 'fwd'}"
        made.append(Workload(name=name, op=op, makers={"torch": maker, "compile": maker}, moved=moved, traffic="copy"))
    return made


def _resize(**how: Any) -> Callable[[Any], Callable[..., Any]]:
    return lambda ns: lambda x: ns.nn.functional.interpolate(x, **how)


def _pad(mode: str) -> Callable[[Any], Callable[..., Any]]:
    return lambda ns: lambda x: ns.nn.functional.pad(x, (2, 2, 2, 2), mode)


def _sample(mode: str) -> Callable[[Any], Callable[..., Any]]:
    return lambda ns: lambda x, grid: ns.nn.functional.grid_sample(x, grid, mode, "zeros", False)


_ONE = normals(_IMAGES)
_PADDED = (68 * 68) / (64 * 64)

WORKLOADS = [
    *_pair("nearest_x2", "interpolate", 4, _resize(scale_factor=2.0), _ONE),
    *_pair("bilinear_x2", "interpolate", 4, _resize(scale_factor=2.0, mode="bilinear"), _ONE),
    *_pair("bilinear_half_antialias", "interpolate", 0.25, _resize(size=32, mode="bilinear", antialias=True), _ONE),
    *_pair("bicubic_x2", "interpolate", 4, _resize(scale_factor=2.0, mode="bicubic"), _ONE),
    *_pair("pad_zeros", "pad", _PADDED, _pad("constant"), _ONE),
    *_pair("pad_reflect", "pad", _PADDED, _pad("reflect"), _ONE),
    *_pair("pad_circular", "pad", _PADDED, _pad("circular"), _ONE),
    *_pair("unfold_k3", "unfold", 9, lambda ns: lambda x: ns.nn.functional.unfold(x, 3, 1, 1), _ONE),
    *_pair("grid_sample_bilinear", "grid_sample", 1, _sample("bilinear"), _with_grid),
    *_pair("grid_sample_bicubic", "grid_sample", 1, _sample("bicubic"), _with_grid),
]
