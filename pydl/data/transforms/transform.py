"""What a transform is, and transforms made of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import pydl
from pydl.data.transforms.draws import Draws, GeneratorLike, as_draws
from pydl.errors import ArgumentError, DtypeError, ShapeError

__all__ = ["Compose", "Lambda", "RandomApply", "Transform"]

Images: TypeAlias = npt.NDArray[Any]

_DTYPES = (np.uint8, np.float16, np.float32, np.float64)


class Transform:
    """A change of images: arrays or tensors (n, c, h, w), (c, h, w) or (h, w), returned as they came.

    Every image of a batch has its own random numbers. Within a DataLoader they are fixed by the epoch's seed and the
    batch's number, whatever the workers; elsewhere `manual_seed` fixes them, or the generator given to the call.
    A subclass defines `apply`. Gradients do not pass through.
    """

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> (n, c', h', w')."""
        raise TypeError(f"{type(self).__name__}: a transform must define apply")

    def __call__(self, images: Any, generator: GeneratorLike = None) -> Any:
        """The transformed images.

        Args: generator: a seed or a generator (NumPy's or pydl's) that fixes the random numbers.
        Raises: ShapeError, DtypeError for what is not an image: uint8, or floating.
        """
        x = as_array(images, type(self).__name__)
        batch = np.ascontiguousarray(x).reshape((1,) * (4 - x.ndim) + x.shape)
        y = self.apply(batch, as_draws(generator, len(batch)))
        y = y if x.ndim == 4 else y[0] if x.ndim == 3 or y.shape[1] != 1 else y[0, 0]
        return pydl.from_numpy(np.ascontiguousarray(y)) if isinstance(images, pydl.Tensor) else y

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


def as_array(images: Any, name: str) -> Images:
    """The images as an array of 2 to 4 axes; that of a CPU tensor is not copied."""
    if isinstance(images, pydl.Tensor):
        if images.dtype == pydl.bfloat16:
            raise DtypeError(f"{name}: images are bfloat16: expected uint8, float16, float32 or float64")
        images = images.detach().cpu().numpy()
    if not isinstance(images, np.ndarray):
        raise DtypeError(f"{name}: expected an array or a tensor, got {type(images).__name__}")
    if images.dtype not in _DTYPES:
        raise DtypeError(f"{name}: images are {images.dtype}: expected uint8, float16, float32 or float64")
    if not 2 <= images.ndim <= 4:
        raise ShapeError(f"{name}: got images of shape {images.shape}: expected (h, w), (c, h, w) or (n, c, h, w)")
    return images


def working(x: Images) -> Images:
    """x in the dtype that is computed in: float64 stays, the rest is float32."""
    return x.astype(np.float64 if x.dtype == np.float64 else np.float32, copy=False)


def stored(y: Images, dtype: npt.DTypeLike) -> Images:
    """y in the dtype of the images: rounded and cut off at 0 and 255 where they are uint8."""
    if dtype == np.uint8:
        y = np.clip(np.rint(y), 0, 255)
    return y.astype(dtype, copy=False)


def white(x: Images) -> float:
    """The value of full brightness."""
    return 255.0 if x.dtype == np.uint8 else 1.0


def check_p(name: str, p: float) -> float:
    """p, if it is a probability."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"{name}: p must be between 0 and 1, got {p}")
    return p


class Compose(Transform):
    """One transform after the other; other functions are called with the images alone.

    The whole chain draws from one stream for each image.
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = list(transforms)
        wrong = [t for t in self.transforms if not callable(t)]
        if wrong:
            raise ArgumentError(f"Compose: expected transforms or functions, got {type(wrong[0]).__name__}")

    def __call__(self, images: Any, generator: GeneratorLike = None) -> Any:
        """The images after all transforms."""
        draws = as_draws(generator, len(images) if getattr(images, "ndim", 0) == 4 else 1)
        for transform in self.transforms:
            images = transform(images, draws) if isinstance(transform, Transform) else transform(images)
        return images

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> (n, c', h', w')."""
        y: Images = self(x, draws)
        return y


class Lambda(Transform):
    """A function of the images as they are given."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise ArgumentError(f"Lambda: expected a function, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, images: Any, generator: GeneratorLike = None) -> Any:
        """lambd(images)."""
        return self.lambd(images)

    def apply(self, x: Images, draws: Draws) -> Images:
        """lambd(x)."""
        y: Images = self.lambd(x)
        return y


class RandomApply(Transform):
    """Each image goes through all the transforms with probability p, else it stays; they must keep its size."""

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 0.5) -> None:
        self.transforms = Compose(transforms)
        self.p = check_p("RandomApply", p)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, c, h, w) -> the same."""
        chosen = draws.chance(self.p)
        y = self.transforms.apply(x, draws)
        if y.shape != x.shape:
            raise ShapeError(f"RandomApply: the transforms changed the shape {x.shape} to {y.shape}: expected the same")
        return np.where(chosen[:, None, None, None], y, x).astype(x.dtype, copy=False)
