"""Scalers against scikit-learn, in parts, on tensors, and on awkward data."""

import numpy as np
import pytest

import pydl
from pydl.errors import DtypeError, ShapeError
from pydl.preprocessing import MinMaxScaler, Normalizer, NotFiniteError, NotFittedError, StandardScaler

theirs = pytest.importorskip("sklearn.preprocessing")


def table(n=50, d=4, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * [1, 100, 1e-3, 5] + [0, 1e3, -1, 2]).astype(dtype)


SCALERS = [
    ("StandardScaler", {}),
    ("StandardScaler", {"with_mean": False}),
    ("StandardScaler", {"with_std": False}),
    ("StandardScaler", {"with_mean": False, "with_std": False}),
    ("MinMaxScaler", {}),
    ("MinMaxScaler", {"feature_range": (-3, 5)}),
    ("MinMaxScaler", {"clip": True}),
]
OURS = {"StandardScaler": StandardScaler, "MinMaxScaler": MinMaxScaler, "Normalizer": Normalizer}


@pytest.mark.parametrize("name, kwargs", SCALERS)
@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-11), (np.float32, 2e-4), (np.int32, 1e-11)])
def test_like_scikit_learn(name, kwargs, dtype, rtol):
    x, new = table(dtype=dtype), table(7, dtype=dtype, seed=1) * 2
    ours, other = OURS[name](**kwargs).fit(x), getattr(theirs, name)(**kwargs).fit(x)
    for attribute in [a for a in vars(other) if a.endswith("_")]:
        expected, got = getattr(other, attribute), getattr(ours, attribute)
        assert (got is None) == (expected is None)
        if got is not None:
            np.testing.assert_allclose(got, expected, rtol=max(rtol, 1e-6 if dtype == np.float32 else 0), atol=1e-12)
    for data in (x, new):
        got, expected = ours.transform(data), other.transform(data)
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)
    if not kwargs.get("clip"):
        np.testing.assert_allclose(ours.inverse_transform(ours.transform(new)), new, rtol=rtol, atol=rtol)
    np.testing.assert_array_equal(OURS[name](**kwargs).fit_transform(x), ours.transform(x))


@pytest.mark.parametrize("name, kwargs", SCALERS)
def test_in_parts(name, kwargs):
    x = table(200)
    whole, parts = OURS[name](**kwargs).fit(x), OURS[name](**kwargs)
    for part in np.split(x, [1, 2, 50, 130]):
        parts.partial_fit(part)
    for attribute in [a for a in vars(whole) if a.endswith("_") and getattr(whole, a) is not None]:
        np.testing.assert_allclose(getattr(parts, attribute), getattr(whole, attribute), rtol=1e-12)
    parts.fit(x[:30])  # forgets
    assert parts.n_samples_seen_ == 30
    np.testing.assert_array_equal(parts.transform(x), OURS[name](**kwargs).fit(x[:30]).transform(x))


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_normalizer(norm):
    x = table()
    x[3] = 0
    np.testing.assert_allclose(Normalizer(norm).fit_transform(x), theirs.Normalizer(norm).fit_transform(x), rtol=1e-13)
    huge = Normalizer(norm).transform(np.array([[3e200, 4e200], [3e-200, -4e-200]]))
    expected = {"l1": [3 / 7, 4 / 7], "l2": [0.6, 0.8], "max": [0.75, 1]}[norm]
    np.testing.assert_allclose(np.abs(huge), [expected] * 2, rtol=1e-13)
    assert Normalizer(norm).transform(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("name", OURS)
def test_tensors_in_tensors_out(name):
    x = table(dtype=np.float32)
    scaler = OURS[name]()
    got = scaler.fit_transform(pydl.from_numpy(x))
    assert isinstance(got, pydl.Tensor) and got.dtype == pydl.float32
    np.testing.assert_allclose(got.numpy(), OURS[name]().fit_transform(x), rtol=1e-5, atol=1e-5)
    if name != "Normalizer":
        np.testing.assert_allclose(scaler.inverse_transform(got).numpy(), x, rtol=1e-5, atol=1e-4)
    whole = scaler.transform(pydl.from_numpy(x.astype(np.int64)))
    assert whole.dtype == pydl.float32
    leaf = pydl.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    scaler.transform(leaf).sum().backward()
    assert np.isfinite(leaf.grad.numpy()).all() and leaf.grad.numpy()[0].any()


@pytest.mark.parametrize("norm", ["l1", "max"])
def test_normalizer_of_tensors(norm):
    x = table(dtype=np.float32)
    x[0] = 0
    got = Normalizer(norm).transform(pydl.from_numpy(x))
    np.testing.assert_allclose(got.numpy(), Normalizer(norm).transform(x), rtol=1e-5)


def test_constant_features():
    x = np.column_stack([np.full(100, 0.1), np.full(100, 1e12), np.arange(100.0)])
    for name in ("StandardScaler", "MinMaxScaler"):
        got = OURS[name]().fit_transform(x)
        assert (got[:, :2] == 0).all() and got[:, 2].std() > 0
    assert StandardScaler().fit(x).scale_[:2].tolist() == [1, 1]
    np.testing.assert_array_equal(MinMaxScaler((2, 3)).fit_transform(x)[:, 0], np.full(100, 2.0))
    assert StandardScaler().fit_transform(x[:1]).tolist() == [[0, 0, 0]]
    merged = StandardScaler().partial_fit(x[:30]).partial_fit(x[30:])
    np.testing.assert_allclose(merged.transform(x)[:, :2], 0, atol=1e-3)


def test_far_from_zero():
    x = np.random.default_rng(0).normal(size=(1000, 1)) + 1e9
    scaled = StandardScaler().fit_transform(x)
    assert abs(scaled.mean()) < 1e-6 and abs(scaled.std() - 1) < 1e-6


@pytest.mark.parametrize("name", OURS)
def test_input_is_never_changed_or_shared(name):
    x = table()
    before = x.copy()
    out = OURS[name]().fit_transform(x)
    assert not np.shares_memory(out, x)
    np.testing.assert_array_equal(x, before)
    plain = StandardScaler(with_mean=False, with_std=False)
    assert not np.shares_memory(plain.fit_transform(x), x)
    assert not np.shares_memory(plain.inverse_transform(x), x)


@pytest.mark.parametrize("name", OURS)
def test_errors(name):
    scaler = OURS[name]()
    if name != "Normalizer":
        with pytest.raises(NotFittedError, match=f"{name}: call fit"):
            scaler.transform(table())
        with pytest.raises(ShapeError, match="at least one sample"):
            scaler.fit(np.zeros((0, 3)))
        scaler.fit(table())
        with pytest.raises(ShapeError, match="expected 4 features"):
            scaler.transform(np.zeros((2, 3)))
        with pytest.raises(ShapeError, match="expected 4 features"):
            scaler.partial_fit(np.zeros((2, 3)))
        assert scaler.fit(np.zeros((2, 3))).n_features_in_ == 3
    for bad in (np.nan, np.inf):
        x = table()
        x[2, 1] = bad
        with pytest.raises(NotFiniteError, match="NaN or infinity"):
            scaler.fit(x)
    with pytest.raises(ShapeError, match=r"expected shape \(n, d\), got \(3,\)"):
        scaler.fit(np.zeros(3))
    with pytest.raises(ShapeError, match=r"expected shape \(n, d\)"):
        scaler.fit(pydl.zeros(2, 3, 4))
    with pytest.raises(DtypeError, match="expected numbers"):
        scaler.fit(np.array([["a"]]))


def test_bad_settings():
    with pytest.raises(ValueError, match="feature_range"):
        MinMaxScaler((1, 1)).fit(table())
    with pytest.raises(ValueError, match="norm must be one of"):
        Normalizer("l3").fit(table())
