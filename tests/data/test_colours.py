"""Changes of colour against their formulas, colorsys and statistics."""

import colorsys
import itertools

import numpy as np
import pytest

from pydl.data import transforms as T

RNG = np.random.default_rng(0)
COLOUR = RNG.random((5, 3, 9, 7), np.float32)


def stream(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_colour_formulas():
    from pydl.data.transforms import color

    x = RNG.random((3, 3, 4, 5))
    factor = np.array([0.3, 1.0, 1.7])[:, None, None, None]
    luma = (np.array([0.2989, 0.587, 0.114])[:, None, None] * x).sum(1, keepdims=True)
    np.testing.assert_allclose(color.brightness(x, factor, 1.0), np.clip(x * factor, 0, 1), atol=1e-12)
    mean = luma.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(color.contrast(x, factor, 1.0), np.clip(factor * x + (1 - factor) * mean, 0, 1))
    np.testing.assert_allclose(color.saturation(x, factor, 1.0), np.clip(factor * x + (1 - factor) * luma, 0, 1))
    np.testing.assert_allclose(T.Grayscale(3)(x), luma.repeat(3, 1))


def test_hue_against_colorsys():
    from pydl.data.transforms import color

    x = np.round(RNG.random((200, 3, 1, 1)), 1)  # ties between channels, and greys
    x[:5] = x[:5, :1]
    for shift in (-0.5, -0.13, 0.0, 0.2, 0.5):
        got = color.hue(x, np.full((200, 1, 1, 1), shift), 1.0)[:, :, 0, 0]
        for before, after in zip(x[:, :, 0, 0], got, strict=True):
            h, s, v = colorsys.rgb_to_hsv(*before)
            np.testing.assert_allclose(after, colorsys.hsv_to_rgb((h + shift) % 1, s, v), atol=1e-12)


def test_jitter_is_one_of_the_24_orders():
    from pydl.data.transforms import color

    x = RNG.random((60, 3, 4, 4))
    fixed = T.ColorJitter((1.4, 1.4), (0.6, 0.6), (1.5, 1.5), (0.1, 0.1))
    y, seen = fixed(x, 4), set()
    steps = [(color.brightness, 1.4), (color.contrast, 0.6), (color.saturation, 1.5), (color.hue, 0.1)]
    for before, after in zip(x, y, strict=True):
        for order in itertools.permutations(range(4)):
            z = before[None]
            for k in order:
                z = steps[k][0](z, np.full((1, 1, 1, 1), steps[k][1]), 1.0)
            if np.allclose(z[0], after, atol=1e-9):
                seen.add(order)
                break
        else:
            pytest.fail("no order gives this image")
    assert len(seen) > 12
    np.testing.assert_array_equal(T.ColorJitter()(x), x)
    np.testing.assert_array_equal(T.ColorJitter(0, 0, 0.9, 0.4)(x[:, :1], 1), x[:, :1])  # grey


def test_jitter_in_bytes_is_that_of_fractions():
    levels = RNG.integers(0, 256, (6, 3, 5, 5)).astype(np.uint8)
    jitter = T.ColorJitter(0.3, 0.3, 0.3, 0.2)
    wanted = jitter(levels / 255.0, 9) * 255
    assert np.abs(jitter(levels, 9) - wanted).max() < 0.51


def test_pca_colour():
    x = np.zeros((100000, 3, 1, 1))
    spread = T.PCAColor(0.1)
    shift = spread(x, 8)[:, :, 0, 0]
    p, values = spread.components, spread.eigenvalues
    wanted = 0.01 * p @ np.diag(values**2) @ p.T
    assert np.abs(np.cov(shift.T) - wanted).max() < 0.02 * np.abs(wanted).max()
    assert (spread(COLOUR, 1) - COLOUR).std((2, 3)).max() < 1e-6  # one draw for the whole image
    np.testing.assert_array_equal(T.PCAColor(0.0)(COLOUR), COLOUR)
    fitted = T.PCAColor.fit(COLOUR)
    covariance = np.cov(np.moveaxis(COLOUR.astype(float), 1, 0).reshape(3, -1))
    rebuilt = fitted.components @ np.diag(fitted.eigenvalues) @ fitted.components.T
    np.testing.assert_allclose(rebuilt, covariance, atol=1e-7)
    levels = T.PCAColor.fit((COLOUR * 255).astype(np.uint8))
    np.testing.assert_allclose(levels.eigenvalues, fitted.eigenvalues, rtol=0.02)
