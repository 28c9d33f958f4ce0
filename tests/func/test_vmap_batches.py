"""vmap of linear algebra, attention and dropout: one call for all examples, equal to the loop."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl import func, linalg, nn
from pydl.errors import AutogradError

mapping = importlib.import_module("pydl.func.mapping")

RNG = np.random.default_rng(0)
SQUARE = RNG.standard_normal((3, 4, 4))
REGULAR = SQUARE @ SQUARE.swapaxes(1, 2) + 4 * np.eye(4)  # symmetric, positive definite
COLUMNS = RNG.standard_normal((3, 4, 2))

OF_ONE: dict[str, Callable[[Any], Any]] = {
    "inv": linalg.inv, "det": linalg.det, "slogdet": lambda a: linalg.slogdet(a).logabsdet, "pinv": linalg.pinv,
    "cholesky": linalg.cholesky, "qr": lambda a: linalg.qr(a).R, "eigvalsh": linalg.eigvalsh,
    "svd": lambda a: linalg.svd(a).S, "eigvals": lambda a: linalg.eigvals(a),
    "logdet": linalg.logdet, "cholesky_inverse": lambda a: pydl.cholesky_inverse(linalg.cholesky(a)),
}  # fmt: skip
OF_TWO: dict[str, Callable[[Any, Any], Any]] = {
    "solve": linalg.solve,
    "right": lambda a, b: linalg.solve(a, b.mT, left=False),
    "triangular": lambda a, b: linalg.solve_triangular(a, b, upper=True),
    "vector": lambda a, b: linalg.solve(a, b[:, 0]),
    "lstsq": lambda a, b: linalg.lstsq(a, b).solution,
}


@pytest.fixture
def no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any) -> Any:
        raise AssertionError("went through the loop")

    monkeypatch.setattr(mapping, "_one_by_one", refused)


def loop(f: Callable[..., Any], *args: pydl.Tensor) -> np.ndarray:
    return np.stack([f(*[a[i] for a in args]).detach().numpy() for i in range(args[0].shape[0])])


@pytest.mark.parametrize("name", OF_ONE)
def test_matrices(name: str, no_loops: None) -> None:
    f, x = OF_ONE[name], pydl.tensor(REGULAR)
    slope = func.grad(lambda a: (f(a) ** 2).sum())
    curve = func.grad(lambda a: (slope(a) * a.sum()).sum())
    for function in (f, slope, curve):
        np.testing.assert_allclose(func.vmap(function)(x).numpy(), loop(function, x), rtol=1e-9, atol=1e-9)
    outer = func.grad(lambda a: func.vmap(lambda a: (f(a) ** 2).sum())(a).sum())(x)
    np.testing.assert_allclose(outer.numpy(), loop(slope, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", OF_TWO)
def test_matrices_with_others(name: str, no_loops: None) -> None:
    f, a, b = OF_TWO[name], pydl.tensor(REGULAR), pydl.tensor(COLUMNS)
    np.testing.assert_allclose(func.vmap(f)(a, b).numpy(), loop(f, a, b), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        func.vmap(f, (None, 0))(a[0], b).numpy(), loop(lambda b: f(a[0], b), b), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        func.vmap(f, (0, None))(a, b[0]).numpy(), loop(lambda a: f(a, b[0]), a), rtol=1e-9, atol=1e-12
    )
    for i in range(2):
        slope = func.grad(lambda a, b: (f(a, b) ** 2).sum(), i)
        np.testing.assert_allclose(func.vmap(slope)(a, b).numpy(), loop(slope, a, b), rtol=1e-9, atol=1e-9)


def test_singular_matrices_raise_as_in_the_loop() -> None:
    with pytest.raises(pydl.errors.LinAlgError, match="inv: the matrix is singular"):
        func.vmap(linalg.inv)(pydl.zeros(2, 3, 3))


def test_attention(no_loops: None) -> None:
    q, k = pydl.tensor(RNG.standard_normal((3, 2, 4, 6, 8))), pydl.tensor(RNG.standard_normal((3, 2, 4, 7, 8)))
    masks = pydl.tensor(RNG.standard_normal((3, 2, 1, 6, 7)) > -0.5)
    attend = F.scaled_dot_product_attention
    cases: list[tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = [
        (lambda q, k: attend(q, k, k), (0, 0), (q, k)),
        (lambda q, k: attend(q, k, k, is_causal=True), (0, None), (q, k[0])),
        (lambda q, k, m: attend(q, k, k, attn_mask=m), (0, 0, 0), (q, k, masks)),
        (lambda q, k, m: attend(q, k, k, attn_mask=m), (0, 0, None), (q, k, masks[0])),
        (lambda q, k, m: attend(q, k, k, attn_mask=m[0, 0]), (0, None, 0), (q, k[0], masks)),
        (lambda q, k, m: attend(q[0], k[0], k[0], attn_mask=m), (0, 0, None), (q, k, masks[0, 0])),
    ]
    for f, dims, args in cases:
        rows = [f(*[a if d is None else a[i] for a, d in zip(args, dims, strict=True)]).numpy() for i in range(3)]
        np.testing.assert_allclose(func.vmap(f, dims)(*args).numpy(), np.stack(rows), rtol=1e-12, atol=1e-12)
    layer = nn.MultiheadAttention(8, 2, batch_first=True).double()
    layer_of = lambda x: layer(x, x, x, need_weights=False)[0]  # noqa: E731
    x = pydl.tensor(RNG.standard_normal((3, 2, 5, 8)))
    np.testing.assert_allclose(func.vmap(layer_of)(x).detach().numpy(), loop(layer_of, x), rtol=1e-10, atol=1e-12)
    slope = func.grad(lambda x: (layer_of(x) ** 2).sum())
    np.testing.assert_allclose(func.vmap(slope)(x).detach().numpy(), loop(slope, x), rtol=1e-9, atol=1e-10)


def test_dropout(no_loops: None) -> None:
    x = pydl.ones(64, 50) * 3
    drop = lambda x: F.dropout(x, 0.25)  # noqa: E731
    pydl.manual_seed(0)
    different = func.vmap(drop, randomness="different")(x).numpy()
    assert set(np.unique(different)) == {0, 4}
    assert len(np.unique(different, axis=0)) == 64 and abs((different == 0).mean() - 0.25) < 0.03
    pydl.manual_seed(1)
    same = func.vmap(drop, randomness="same")(x).numpy()
    after = pydl.rand(1).item()
    pydl.manual_seed(1)
    np.testing.assert_array_equal(same, np.broadcast_to(drop(x[0]).numpy(), (64, 50)))
    assert pydl.rand(1).item() == after  # one example's numbers were drawn
    noise = func.vmap(lambda x: x + pydl.rand(50), randomness="same")(x).numpy()
    assert (noise == noise[0]).all() and len(np.unique(noise)) > 40


def test_gradients_through_dropout(no_loops: None) -> None:
    x = pydl.tensor(RNG.standard_normal((5, 40)))
    for randomness in ("different", "same"):
        pydl.manual_seed(0)
        slopes = func.vmap(func.grad(lambda x: (F.dropout(x, 0.5) ** 2).sum()), randomness=randomness)(x).numpy()
        kept = slopes != 0
        np.testing.assert_allclose(slopes[kept], 8 * x.numpy()[kept], rtol=1e-12)
        assert 0.3 < kept.mean() < 0.7 and (kept == kept[0]).all() == (randomness == "same")
    layer = nn.Sequential(nn.Linear(40, 8), nn.Dropout(), nn.Linear(8, 2)).double()
    grads = func.per_example_grads(layer, lambda y, t: ((y - t) ** 2).sum(), x, x[:, :2], randomness="different")
    assert [tuple(g.shape) for g in grads.values()] == [(5, *p.shape) for p in layer.parameters()]


def test_random_numbers_are_refused_unless_asked_for() -> None:
    for f in (lambda x: F.dropout(x), lambda x: x + pydl.rand(3)):
        with pytest.raises(AutogradError, match="draws random numbers"):
            func.vmap(f)(pydl.ones(4, 3))
    mixed = func.vmap(lambda x: F.dropout(x) + pydl.rand(3), randomness="different")(pydl.ones(4, 3)).numpy()
    assert len(np.unique(mixed % 1)) == 12  # the loop draws for each example
    generator = pydl.Generator().manual_seed(3)
    own = func.vmap(lambda x: pydl.dropout(x, 0.5, generator=generator))(pydl.ones(8, 20)).numpy()
    assert len(np.unique(own, axis=0)) == 8
