"""Changes of brightness and colour. Channels are red, green, blue; values run from 0 to 1, or to 255 in uint8."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pydl.data.transforms.draws import Draws, Floats
from pydl.data.transforms.transform import Images, Transform, as_array, check_p, stored, white, working
from pydl.errors import ArgumentError, ShapeError

__all__ = ["ColorJitter", "Grayscale", "PCAColor", "RandomGrayscale"]

# Principal components (columns) of the colours of ImageNet's training pixels in [0, 1], and what their draws are
# multiplied by, as published with Facebook's ResNet training code (2016).
_IMAGENET_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
_IMAGENET_VALUES = (0.2175, 0.0188, 0.0045)
_LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601


def check_channels(name: str, x: Images, allowed: tuple[int, ...] = (1, 3)) -> None:
    """Raises ShapeError for images with other numbers of channels."""
    if x.shape[1] not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise ShapeError(f"{name}: images have {x.shape[1]} channels: expected {wanted}")


def gray(x: Images) -> Images:
    """(n, 1 or 3, h, w) floating -> (n, 1, h, w): the brightness that one sees."""
    if x.shape[1] == 1:
        return x
    return np.asarray(np.einsum("c,nchw->nhw", np.asarray(_LUMA, x.dtype), x)[:, None])


def _blend(x: Images, other: Images, factor: Images, top: float) -> Images:
    return np.asarray(np.clip(factor * x + (1 - factor) * other, 0, top))


def brightness(x: Images, factor: Images, top: float) -> Images:
    """Towards black (factor 0)."""
    return np.asarray(np.clip(factor * x, 0, top))


def contrast(x: Images, factor: Images, top: float) -> Images:
    """Towards the mean brightness of the image (factor 0)."""
    return _blend(x, gray(x).mean((1, 2, 3), keepdims=True), factor, top)


def saturation(x: Images, factor: Images, top: float) -> Images:
    """Towards grey (factor 0)."""
    return x if x.shape[1] == 1 else _blend(x, gray(x), factor, top)


def hue(x: Images, shift: Images, top: float) -> Images:
    """Turns the hue by a share of the circle of colours, value and saturation unchanged (Smith 1978)."""
    if x.shape[1] == 1:
        return x
    value, least = x.max(1, keepdims=True), x.min(1, keepdims=True)
    chroma = value - least
    with np.errstate(divide="ignore", invalid="ignore"):
        r, g, b = (np.where(chroma > 0, (value - c) / chroma, 0) for c in np.split(x, 3, 1))
    red, green = x[:, :1] == value, x[:, 1:2] == value
    sector = np.where(red, b - g, np.where(green, 2 + r - b, 4 + g - r)) + 6 * shift
    place = np.mod(np.array([5.0, 3.0, 1.0], x.dtype)[:, None, None] + sector, 6)
    return np.asarray(np.clip(value - chroma * np.clip(np.minimum(place, 4 - place), 0, 1), 0, top))


def factors(name: str, what: str, value: float | Sequence[float]) -> tuple[float, float]:
    """Range of the factors: max(0, 1 - value) .. 1 + value (hue: -value .. value), or the pair that is given."""
    middle, low, high = (0.0, -0.5, 0.5) if what == "hue" else (1.0, 0.0, math.inf)
    if isinstance(value, (int, float)):
        pair = (max(low, middle - value) if what != "hue" else -value, middle + value)
        wrong = value < 0
    else:
        pair, wrong = (value[0], value[1]), len(value) != 2
    if wrong or not low <= pair[0] <= pair[1] <= high:
        raise ArgumentError(f"{name}: {what} must be >= 0 or a range within {low:g} and {high:g}, got {value!r}")
    return pair


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue of each image by random factors, in random order.

    Args:
        brightness, contrast, saturation: v for factors in [max(0, 1 - v), 1 + v], or the range itself.
        hue: v <= 0.5 for turns in [-v, v] of the circle of colours, or the range itself.
    Grey images have neither saturation nor hue.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        self.brightness = factors("ColorJitter", "brightness", brightness)
        self.contrast = factors("ColorJitter", "contrast", contrast)
        self.saturation = factors("ColorJitter", "saturation", saturation)
        self.hue = factors("ColorJitter", "hue", hue)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, 1 or 3, h, w) -> the same."""
        check_channels("ColorJitter", x)
        order = draws.uniform(4).argsort(1)  # (n, 4): which comes first, second, ...
        z, top = np.array(working(x), order="C"), white(x)
        steps: list[tuple[Callable[[Images, Images, float], Images], tuple[float, float]]] = [
            (brightness, self.brightness),
            (contrast, self.contrast),
            (saturation, self.saturation),
            (hue, self.hue),
        ]
        drawn = [draws.between(*limits).astype(z.dtype)[:, None, None, None] for _, limits in steps]
        idle = [limits == ((0.0, 0.0) if change is hue else (1.0, 1.0)) for change, limits in steps]
        for turn in range(4):
            for k, (change, _) in enumerate(steps):
                now = np.flatnonzero(order[:, turn] == k)
                if len(now) and not idle[k]:
                    z[now] = change(z[now], drawn[k][now], top)
        return stored(z, x.dtype)


class Grayscale(Transform):
    """The brightness that one sees, 0.2989 r + 0.587 g + 0.114 b. Args: num_output_channels: 1, or 3 equal ones."""

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ArgumentError(f"Grayscale: num_output_channels must be 1 or 3, got {num_output_channels!r}")
        self.num_output_channels = num_output_channels

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, 1 or 3, h, w) -> (n, num_output_channels, h, w)."""
        check_channels("Grayscale", x)
        return np.repeat(stored(gray(working(x)), x.dtype), self.num_output_channels, 1)


class RandomGrayscale(Transform):
    """Takes the colours away with probability p."""

    def __init__(self, p: float = 0.1) -> None:
        self.p = check_p("RandomGrayscale", p)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, 1 or 3, h, w) -> the same."""
        check_channels("RandomGrayscale", x)
        chosen = draws.chance(self.p)[:, None, None, None]
        return np.where(chosen, stored(gray(working(x)), x.dtype), x)


class PCAColor(Transform):
    """Adds to every pixel of an image the same sum_k a_k l_k p_k, a ~ N(0, std^2) drawn once for each image.

    p are the principal components of the colours and l their eigenvalues: those of ImageNet if none are given.
    Args:
        std: of the draws.
        components: (3, 3), p_k in column k.   eigenvalues: (3,), for values in [0, 1].
    Nothing is cut off in floating images. Source: Krizhevsky, Sutskever & Hinton 2012, section 4.1.
    """

    def __init__(
        self,
        std: float = 0.1,
        components: npt.ArrayLike = _IMAGENET_VECTORS,
        eigenvalues: npt.ArrayLike = _IMAGENET_VALUES,
    ) -> None:
        if not 0 <= std < math.inf:
            raise ArgumentError(f"PCAColor: std must be >= 0, got {std}")
        self.std = std
        self.components, self.eigenvalues = np.asarray(components, float), np.asarray(eigenvalues, float)
        if self.components.shape != (3, 3) or self.eigenvalues.shape != (3,):
            raise ShapeError(
                f"PCAColor: components {self.components.shape} and eigenvalues {self.eigenvalues.shape}: "
                "expected (3, 3) and (3,)"
            )

    @classmethod
    def fit(cls, images: Images, std: float = 0.1) -> PCAColor:
        """The transform for the colours of images (n, 3, h, w) or (3, h, w)."""
        x = as_array(images, "PCAColor")
        if x.ndim < 3 or x.shape[-3] != 3 or x.size < 6:
            raise ShapeError(f"PCAColor: got images of shape {x.shape}: expected (n, 3, h, w) with two pixels at least")
        pixels = np.moveaxis(x, -3, 0).reshape(3, -1).astype(float) / white(x)
        values, vectors = np.linalg.eigh(np.cov(pixels))
        return cls(std, vectors[:, ::-1], values[::-1])

    def shifts(self, draws: Draws) -> Floats:
        """(n, 3): what is added, for values in [0, 1]."""
        return np.asarray((self.std * draws.normal(3) * self.eigenvalues) @ self.components.T)

    def apply(self, x: Images, draws: Draws) -> Images:
        """(n, 3, h, w) -> the same."""
        check_channels("PCAColor", x, (3,))
        z = working(x)
        return stored(z + (white(x) * self.shifts(draws)).astype(z.dtype)[:, :, None, None], x.dtype)
