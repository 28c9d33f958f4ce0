"""Dropout: what is dropped, how often, and that the expectation stays."""

from typing import Any

import numpy as np
import pytest
from against_torch import differences, torch

import pydl
import pydl.nn.functional as F
from pydl import nn
from pydl.errors import ArgumentError, ShapeError

KINDS = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]


@pytest.mark.parametrize("kind", KINDS)
def test_text_and_probability(kind: str) -> None:
    assert repr(getattr(nn, kind)(0.3)) == repr(getattr(torch.nn, kind)(0.3))
    with pytest.raises(ArgumentError, match=r"p must be in \[0, 1\], got 1.5"):
        getattr(nn, kind)(1.5)


@pytest.mark.parametrize("kind", KINDS)
def test_eval_and_zero_are_the_identity(kind: str) -> None:
    x = pydl.randn(2, 3, 4) if kind != "Dropout3d" else pydl.randn(2, 3, 4, 5)
    assert getattr(nn, kind)(0.5).eval()(x) is x and getattr(nn, kind)(0.0)(x) is x
    assert float(getattr(nn, kind)(1.0)(x).abs().sum()) == 0


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_expectation_over_many_masks(p: float) -> None:
    """The mean over 1e5 masks is within 4 standard errors of the input."""
    x = np.array([1.0, -2.0, 0.5, 3.0])
    masks = 100_000
    wide = pydl.tensor(x).expand(masks, 4)
    y = F.dropout(wide, p).numpy()
    assert set(np.unique(np.round(y[:, 0] * (1 - p), 12))) == {0.0, 1.0}
    error = np.abs(x) * np.sqrt(p / (1 - p) / masks)
    assert (np.abs(y.mean(0) - x) < 4 * error).all()
    plain = F.dropout(wide, p, mode="original").numpy()
    assert (np.abs(plain.mean(0) - (1 - p) * x) < 4 * error * (1 - p)).all()
    np.testing.assert_allclose(np.unique(np.abs(plain[:, 0])), [0, 1], atol=1e-12)
    np.testing.assert_allclose(F.dropout(wide[0], p, False, mode="original").numpy(), (1 - p) * x)


def test_both_modes_give_the_same_function_at_test_time() -> None:
    """'original' scales at test time, 'inverted' in training: with the next weights divided by 1 - p they agree."""
    p = 0.4
    inverted = nn.Sequential(nn.Linear(5, 6), nn.Dropout(p), nn.Linear(6, 2)).double()
    original = nn.Sequential(nn.Linear(5, 6), nn.Dropout(p, mode="original"), nn.Linear(6, 2)).double()
    original.load_state_dict(inverted.state_dict())
    original[2].weight.data = original[2].weight.data / (1 - p)
    assert repr(original[1]) == "Dropout(p=0.4, inplace=False, mode='original')"
    x = pydl.randn(7, 5, dtype=pydl.float64)
    for training in (False, True):  # in training: with the same masks
        outputs = []
        for net in (inverted, original):
            pydl.manual_seed(3)
            outputs.append(net.train(training)(x).detach().numpy())
        np.testing.assert_allclose(*outputs, rtol=1e-12)
    assert not (outputs[0] == inverted.eval()(x).detach().numpy()).all()


def test_original_mode_at_its_ends() -> None:
    x = pydl.tensor([1.0, 2.0])
    for training in (True, False):
        assert F.dropout(x, 0.0, training, mode="original").tolist() == [1, 2]
        assert F.dropout(x, 1.0, training, mode="original").tolist() == [0, 0]
    with pytest.raises(ArgumentError, match="mode must be 'inverted' or 'original'"):
        nn.Dropout(mode="other")


CHANNELS: list[tuple[str, tuple[int, ...], int]] = [
    ("Dropout1d", (50, 40, 3), 2),
    ("Dropout1d", (400, 3), 1),
    ("Dropout2d", (50, 40, 2, 2), 2),
    ("Dropout2d", (50, 40, 3), 2),
    ("Dropout3d", (50, 40, 2, 1, 2), 2),
    ("Dropout3d", (400, 2, 1, 2), 1),
]


@pytest.mark.parametrize(("kind", "shape", "lead"), CHANNELS)
def test_whole_channels(kind: str, shape: tuple[int, ...], lead: int) -> None:
    x = pydl.rand(*shape) + 1.0
    ratio = (getattr(nn, kind)(0.25)(x) / x).numpy().reshape(*shape[:lead], -1)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[..., :1], ratio.shape), atol=1e-6)
    np.testing.assert_allclose(np.unique(np.round(ratio, 4)), [0, 1.3333])
    kept = (ratio[..., 0] > 0).mean()
    assert abs(kept - 0.75) < 4 * np.sqrt(0.1875 / ratio[..., 0].size)


def test_channel_shapes_are_checked() -> None:
    for f, x in ((F.dropout1d, pydl.ones(2)), (F.dropout2d, pydl.ones(2, 3)), (F.dropout3d, pydl.ones(2, 3, 4))):
        with pytest.raises(ShapeError, match=r"expected \d or \d axes"):
            f(x)
    with pytest.raises(ShapeError, match="expected"):
        F.feature_alpha_dropout(pydl.ones(2), training=True)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(p: float) -> None:
    x = pydl.randn(1_000_000, dtype=pydl.float64)
    y = F.alpha_dropout(x, p, training=True).numpy()
    assert abs(y.mean()) < 0.01 and abs(y.var() - 1) < 0.02
    z = F.feature_alpha_dropout(x.reshape(1000, 1000), p, training=True).numpy()
    assert abs(z.mean()) < 0.01 and abs(z.var() - 1) < 0.02
    limit = -1.7580993408473766
    a = ((limit * limit * p + 1) * (1 - p)) ** -0.5
    dropped = a * limit - a * limit * p
    assert abs((np.abs(y - dropped) < 1e-12).mean() - p) < 0.01
    channels = np.abs(F.feature_alpha_dropout(pydl.ones(200, 3, 5), p, training=True).numpy() - dropped) < 1e-5
    assert (channels.all(2) | ~channels.any(2)).all()


FUNCTIONS: list[Any] = [
    lambda x, g: F.dropout(x, 0.4, generator=g),
    lambda x, g: F.dropout(x, 0.4, mode="original", generator=g),
    lambda x, g: F.dropout1d(x, 0.4, generator=g),
    lambda x, g: F.dropout2d(x, 0.4, generator=g),
    lambda x, g: F.dropout3d(x.unsqueeze(0), 0.4, generator=g),
    lambda x, g: F.alpha_dropout(x, 0.4, True, generator=g),
    lambda x, g: F.feature_alpha_dropout(x, 0.4, True, generator=g),
]


@pytest.mark.parametrize("f", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_differences(f: Any) -> None:
    """With the generator put back, dropout is a function; its generator is the only source of chance."""
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    differences(lambda x: f(x * x, pydl.Generator().manual_seed(5)), [x])
    a, b = (f(pydl.tensor(x), pydl.Generator().manual_seed(5)).numpy() for _ in range(2))
    np.testing.assert_array_equal(a, b)
