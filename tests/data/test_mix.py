"""Mixed batches: inputs and labels in the same parts."""

import numpy as np
import pytest

import pydl
from pydl.data import DataLoader, TensorDataset
from pydl.data.transforms import CutMix, MixUp
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn import functional as F


def batch(b=6):
    rng = np.random.default_rng(0)
    return pydl.tensor(rng.random((b, 3, 8, 10)).astype(np.float32)), pydl.tensor(np.arange(b) % 4)


@pytest.mark.parametrize("seed", range(5))
def test_mixup(seed):
    x, y = batch()
    mixed, labels = MixUp(alpha=0.7, num_classes=4)(x, y, generator=seed)
    one_hot = np.eye(4)[y.numpy()]
    part = labels.numpy()[0, 0]
    assert 0 < part < 1
    np.testing.assert_allclose(labels.numpy(), part * one_hot + (1 - part) * np.roll(one_hot, 1, 0), atol=1e-6)
    want = part * x.numpy() + (1 - part) * np.roll(x.numpy(), 1, 0)
    np.testing.assert_allclose(mixed.numpy(), want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_cutmix(seed):
    x, y = batch()
    mixed, labels = CutMix(num_classes=4)(x, y, generator=seed)
    x, mixed = x.numpy(), mixed.numpy()
    own = mixed == x
    other = mixed == np.roll(x, 1, 0)
    assert (own | other).all() and (own == own[:1, :1]).all()
    inside = ~own[0, 0]
    if inside.any():  # a box
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    np.testing.assert_allclose(labels.numpy()[0, 0], 1 - inside.mean(), rtol=1e-5)
    np.testing.assert_allclose(labels.numpy().sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_parts_follow_the_beta_distribution(kind):
    stats = pytest.importorskip("scipy.stats")
    x, y = pydl.zeros(2, 1, 200, 200), pydl.tensor([0, 1])
    parts = [float(kind(alpha=0.5, num_classes=2)(x, y, generator=i)[1][0, 0]) for i in range(400)]
    if kind is MixUp:
        assert stats.kstest(parts, stats.beta(0.5, 0.5).cdf).pvalue > 1e-3
    else:  # boxes reach over the edge and are cut off: the same, simulated
        rng = np.random.default_rng(0)
        half = np.sqrt(1 - rng.beta(0.5, 0.5, 20_000)) / 2
        centres = rng.random((2, 20_000))
        sides = np.minimum(centres + half, 1) - np.maximum(centres - half, 0)
        assert stats.ks_2samp(parts, 1 - sides.prod(0)).pvalue > 1e-3


def test_forms_of_batches():
    x, y = batch()
    mix = MixUp(num_classes=4)
    want = mix(x, y, generator=3)
    soft = F.one_hot(y, 4).float()
    for given in ((x, soft), ((x, y),), ([(a, b) for a, b in zip(x, y, strict=True)],), (x.numpy(), y.numpy())):
        got = mix(*given, generator=3)
        assert all((a == b).all() for a, b in zip(got, want, strict=True))
    pydl.manual_seed(1)
    first = mix(x, y)[0]
    second = mix(x, y)[0]
    pydl.manual_seed(1)
    assert (mix(x, y)[0] == first).all() and not (first == second).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_loader(workers):
    x, y = batch(12)
    loaders = [DataLoader(TensorDataset(x, y), 4, shuffle=True, seed=1, num_workers=n, collate_fn=MixUp(num_classes=4))
               for n in (0, workers)]  # fmt: skip
    for (a, p), (b, q) in zip(*loaders, strict=True):
        assert a.shape == (4, 3, 8, 10) and p.shape == (4, 4)
        assert (a == b).all() and (p == q).all()
        assert np.isfinite(float(F.cross_entropy(a.flatten(1)[:, :4], p)))


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda x, y: MixUp(alpha=0.0), ArgumentError, "alpha must be > 0"),
        (lambda x, y: CutMix(num_classes=0), ArgumentError, "num_classes must be >= 1"),
        (lambda x, y: MixUp()(x, y), ArgumentError, "class numbers need num_classes"),
        (lambda x, y: MixUp(num_classes=4)(x.to(pydl.int64), y), DtypeError, "expected a floating dtype"),
        (lambda x, y: MixUp(num_classes=4)(x[:3], y), ShapeError, r"expected \(b, ...\) and \(b,\)"),
        (lambda x, y: CutMix(num_classes=4)(x[:, 0, 0], y), ShapeError, r"expected images \(b, ..., h, w\)"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call(*batch())
