"""Moments of layers' inputs, and noise that moves them."""

import numpy as np
import pytest

import pydl
from pydl import nn, theory
from pydl.errors import ArgumentError, ShapeError


def test_moments_are_those_of_the_inputs() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.Flatten(), nn.Linear(4 * 9, 2))
    batches = [pydl.randn(5, 2, 6, 6) for _ in range(3)]
    with theory.covariate_shift(model) as moments:
        for x in batches:
            model(x)
        model.eval()(batches[0])  # evaluation is not recorded
    model.train()(batches[0])  # neither is what comes after
    assert list(moments.means) == ["2", "4"] and moments.means["2"].shape == (3, 3)
    inputs = [np.maximum(model[0](x).detach().numpy().astype(np.float64), 0) for x in batches]
    np.testing.assert_allclose(moments.means["2"], [v.mean((0, 2, 3)) for v in inputs], atol=1e-6)
    np.testing.assert_allclose(moments.stds["2"], [v.std((0, 2, 3)) for v in inputs], atol=1e-6)
    mean, std = moments.shift()
    by_hand = [np.abs(np.diff(moments.means[k], axis=0)).mean() for k in ("2", "4")]
    assert mean == pytest.approx(np.mean(by_hand)) and std > 0
    with theory.covariate_shift(model, ["0"]) as first:
        model(batches[0])
    assert list(first.means) == ["0"]
    with pytest.raises(ArgumentError, match="two calls in training mode"):
        first.shift()
    for layers in (["9"], []):
        with pytest.raises(ArgumentError, match="there are no layers"):
            theory.covariate_shift(model, layers)


def test_noise_has_the_moments_of_its_law() -> None:
    """m has variance shift^2 / 3 between units and spread^2 / 3 within; s mean 1 + (scale - 1) / 2."""
    pydl.manual_seed(0)
    noise = theory.MovingNoise(0.5, 1.5, 0.2)
    ones, zeros = pydl.ones(400, 3000), pydl.zeros(400, 3000)
    m = noise(zeros).numpy()
    np.testing.assert_allclose([m.mean(0).var(), m.var(0).mean()], [0.25 / 3, 0.04 / 3], rtol=0.05)
    assert np.abs(m).max() <= 0.7
    both = noise(ones).numpy()
    assert both.mean() == pytest.approx(1.25, abs=0.02)
    np.testing.assert_allclose(both.var(0).mean(), 0.04 / 3 + 0.04, rtol=0.05)  # of m and of s
    maps = noise(pydl.zeros(2, 3, 4, 5)).numpy()
    assert (maps == maps[..., :1, :1]).all() and len(np.unique(maps)) == 6
    assert noise.eval()(ones) is ones
    with pytest.raises(ShapeError, match=r"expected \(examples, units"):
        noise(pydl.ones(3))
    for wrong in ({"shift": -1}, {"scale": 0.5}, {"spread": -0.1}):
        with pytest.raises(ArgumentError, match="MovingNoise: shift and spread must be >= 0"):
            theory.MovingNoise(**wrong)
