"""vmap against loops and torch's vmap; per-example gradients; ensembles; functional_call."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl
import pydl.nn.functional as F
from pydl import func, nn
from pydl.errors import ArgumentError, AutogradError, BoundsError, DtypeError, KeyMissingError, ShapeError

torch = pytest.importorskip("torch")
mapping = importlib.import_module("pydl.func.mapping")

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 4))


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What went through the loop, as the errors that ended the attempt without."""
    made: list[str] = []
    plain = mapping._at_once

    def noted(*args: Any) -> Any:
        try:
            return plain(*args)
        except Exception as error:
            made.append(f"{type(error).__name__}: {error}")
            raise

    monkeypatch.setattr(mapping, "_at_once", noted)
    return made


MAPS: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    (lambda x: x * 2 + 1, (A,), {}),
    (lambda x: x.sum(), (A,), {"in_dims": 1}),
    (lambda x: x.sum(), (A,), {"in_dims": -1}),
    (lambda x, y: x @ y, (A, A), {}),
    (lambda x, y: x @ y, (A, B), {"in_dims": (0, 1)}),
    (lambda x, y: y @ x, (A, RNG.standard_normal((5, 3))), {"in_dims": (0, None)}),
    (lambda x: (x, x.sum()), (A,), {"out_dims": (1, 0)}),
    (lambda x: {"a": x, "b": (x[0], x[1:])}, (A,), {}),
    (lambda p, y: p["u"] * p["v"] + y, ({"u": A, "v": B}, A), {"in_dims": ({"u": 0, "v": 1}, 0)}),
    (lambda p, y: p[0] * p[1] + y, ((A, A[0]), A), {"in_dims": ((0, None), 0)}),
    (lambda x: x.reshape(-1, 1).expand(3, 2), (A,), {"out_dims": 2}),
    (lambda x, y: x.outer(y), (A, A), {"chunk_size": 3}),
]


def each(tree: Any, to: Callable[[Any], Any]) -> Any:
    return importlib.import_module("pydl.func.tree").tree_map(lambda x: to(x) if isinstance(x, np.ndarray) else x, tree)


@pytest.mark.parametrize(("f", "args", "kwargs"), MAPS)
def test_against_torch(f: Callable[..., Any], args: Any, kwargs: Any, loops: list[str]) -> None:
    flatten = importlib.import_module("pydl.func.tree").flatten
    made, shape = flatten(func.vmap(f, **kwargs)(*each(args, pydl.tensor)))
    expected, same_shape = flatten(torch.vmap(f, **kwargs)(*each(args, torch.tensor)))
    assert shape == same_shape and not loops
    for y, e in zip(made, expected, strict=True):
        np.testing.assert_allclose(y.numpy(), e.numpy(), rtol=1e-12)


def test_what_lanes_cannot_do_goes_through_the_loop(loops: list[str]) -> None:
    def branch(x: pydl.Tensor) -> pydl.Tensor:
        return x * 2 if x.sum() > 0 else -x

    made = func.vmap(branch)(pydl.tensor(A))
    np.testing.assert_array_equal(made.numpy(), [2 * a if a.sum() > 0 else -a for a in A])
    assert len(loops) == 1

    def changed(x: pydl.Tensor) -> pydl.Tensor:
        y = x.clone()
        y[0] = 0.0
        return y

    made = func.vmap(changed)(pydl.tensor(A))
    np.testing.assert_array_equal(made.numpy(), np.concatenate([0 * A[:, :1], A[:, 1:]], 1))

    class Twice(pydl.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: pydl.Tensor) -> pydl.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: pydl.Tensor) -> pydl.Tensor:
            return g * 2

    w = pydl.tensor(A[0])
    made = func.grad(lambda w: func.vmap(lambda x: Twice.apply(w * x).sum())(pydl.tensor(A)).sum())(w)
    np.testing.assert_allclose(made.numpy(), 2 * A.sum(0))


def test_a_leaf_made_inside_belongs_to_one_example() -> None:
    """autograd.grad inside of the mapped function."""

    def slope(x: pydl.Tensor) -> pydl.Tensor:
        w = pydl.ones(3, dtype=pydl.float64, requires_grad=True)
        g = pydl.autograd.grad((w * x).sum(), w)[0]
        assert g is not None
        return g

    np.testing.assert_array_equal(func.vmap(slope)(pydl.tensor(A)).numpy(), A)


def test_what_is_outside_gets_the_sum() -> None:
    w = pydl.tensor(A[0], requires_grad=True)
    y = func.vmap(lambda x: (x * w).exp())(pydl.tensor(A))
    y.sum().backward()
    assert w.grad is not None
    np.testing.assert_allclose(w.grad.numpy(), (A * np.exp(A * A[0])).sum(0))


def test_randomness() -> None:
    x = pydl.zeros(4, 3)
    noise = lambda x: x + pydl.rand(3)  # noqa: E731
    with pytest.raises(AutogradError, match="random"):
        func.vmap(noise)(x)
    different = func.vmap(noise, randomness="different")(x).numpy()
    assert len(np.unique(different)) == 12
    same = func.vmap(noise, randomness="same")(x).numpy()
    assert (same == same[0]).all() and len(np.unique(same)) == 3
    pydl.manual_seed(3)
    drawn = pydl.rand(3).numpy()
    pydl.manual_seed(3)
    np.testing.assert_array_equal(func.vmap(noise, randomness="same")(x).numpy()[2], drawn)


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: func.vmap(lambda x: x, randomness="no"), ArgumentError, "randomness"),
    (lambda: func.vmap(lambda x: x, chunk_size=0), ArgumentError, "chunk_size"),
    (lambda: func.vmap(lambda x: x, in_dims=None)(pydl.ones(2)), ArgumentError, "all of in_dims are None"),
    (lambda: func.vmap(lambda x: x, in_dims=2)(pydl.ones(2)), BoundsError, "in_dims has 2"),
    (lambda: func.vmap(lambda x: x)(3), DtypeError, "cannot map over a int"),
    (lambda: func.vmap(lambda x, y: x)(pydl.ones(2), pydl.ones(3)), ShapeError, "sizes [2, 3]"),
    (lambda: func.vmap(lambda x: x, in_dims=(0, 0))(pydl.ones(2)), ArgumentError, "does not fit the structure"),
    (lambda: func.vmap(lambda x: 1)(pydl.ones(2)), DtypeError, "must return tensors, got int"),
    (lambda: func.vmap(lambda x: x, out_dims=3)(pydl.ones(2)), BoundsError, "out_dims has 3"),
    (lambda: func.vmap(lambda x: x, out_dims=None)(pydl.ones(2)), ArgumentError, "out_dims must be integers"),
    (lambda: func.vmap(lambda x: x.item() * x)(pydl.ones(0, 2)), ShapeError, "no examples"),
    (lambda: func.vmap(lambda x: x @ x)(pydl.ones(2, 3, 4)), ShapeError, "(3, 4)"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


# ---------------------------------------------------------------- modules


def net(kind: Any, seed: int = 0) -> Any:
    return kind.Sequential(kind.Linear(6, 8), kind.ReLU(), kind.Linear(8, 8), kind.Tanh(), kind.Linear(8, 3))


def cnn(pool: nn.Module) -> nn.Module:
    """(b, 2, 6, 6) to (b, 3)."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(4, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)
    )


class Gated(nn.Module):
    """A module of its own kind: shared weights, a branch on nothing, an embedding, softmax over pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 6)
        self.gate = nn.Linear(6, 6)
        self.out = nn.Linear(6, 3)

    def forward(self, ids: pydl.Tensor) -> pydl.Tensor:
        h = self.table(ids)  # (b, t, 6)
        weights = (h @ h.transpose(1, 2)).softmax(-1)
        return self.out((weights @ self.gate(self.gate(h)).sigmoid()).mean(1))


def by_loop(module: nn.Module, loss: Any, x: pydl.Tensor, y: pydl.Tensor) -> dict[str, np.ndarray]:
    made = []
    for i in range(x.shape[0]):
        names, params = zip(*module.named_parameters(), strict=True)
        value = loss(module(x[i : i + 1]), y[i : i + 1])
        made.append([g.numpy() for g in pydl.autograd.grad(value, params) if g is not None])
    return {name: np.stack(column) for name, column in zip(names, zip(*made, strict=True), strict=True)}


MODELS: list[tuple[Callable[[], nn.Module], Any, Any]] = [
    (lambda: net(nn), RNG.standard_normal((7, 6)), F.cross_entropy),
    (lambda: nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 3)), RNG.standard_normal((7, 6)), F.cross_entropy),
    (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.LogSoftmax(1)),
        RNG.standard_normal((7, 2, 3)),
        F.nll_loss,
    ),
    (lambda: cnn(nn.MaxPool2d(2)), RNG.standard_normal((7, 2, 6, 6)), F.cross_entropy),
    (lambda: cnn(nn.AvgPool2d(2)), RNG.standard_normal((7, 2, 6, 6)), F.cross_entropy),
    (Gated, RNG.integers(0, 5, (7, 4)), F.cross_entropy),
]


@pytest.mark.parametrize(("make", "x", "loss"), MODELS)
def test_per_example_grads_are_those_of_the_loop(make: Any, x: Any, loss: Any, loops: list[str]) -> None:
    model = make().double()
    inputs, targets = pydl.tensor(x), pydl.tensor(RNG.integers(0, 3, 7))
    made = func.per_example_grads(model, loss, inputs, targets)
    expected = by_loop(model, loss, inputs, targets)
    assert list(made) == list(expected) and not loops
    for name, e in expected.items():
        assert not made[name].requires_grad
        np.testing.assert_allclose(made[name].numpy(), e, rtol=1e-10, atol=1e-13, err_msg=name)


def test_per_example_grads_with_dropout_and_frozen_weights() -> None:
    model = nn.Sequential(nn.Linear(6, 400), nn.Dropout(0.5), nn.Linear(400, 1))
    model[0].weight.requires_grad_(False)
    x, y = pydl.ones(3, 6), pydl.zeros(3, 1)
    with pytest.raises(AutogradError, match="random"):
        func.per_example_grads(model, F.mse_loss, x, y)
    made = func.per_example_grads(model, F.mse_loss, x, y, randomness="different")
    assert sorted(made) == ["0.bias", "2.bias", "2.weight"]
    kept = made["2.weight"].numpy()[:, 0] != 0
    assert (kept[0] != kept[1]).any() and 0.4 < kept.mean() < 0.6
    with pytest.raises(ShapeError, match="per_example_grads"):
        func.per_example_grads(nn.Linear(6, 1), lambda a, b: a - b, x, y)


def test_idiom_of_torch() -> None:
    ours, theirs = net(nn).double(), net(torch.nn).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x, y = RNG.standard_normal((5, 6)), RNG.integers(0, 3, 5)

    def mine(params: Any, x: Any, y: Any) -> Any:
        return F.cross_entropy(func.functional_call(ours, params, (x.unsqueeze(0),)), y.unsqueeze(0))

    def other(params: Any, x: Any, y: Any) -> Any:
        made = torch.func.functional_call(theirs, params, (x.unsqueeze(0),))
        return torch.nn.functional.cross_entropy(made, y.unsqueeze(0))

    a = func.vmap(func.grad(mine), (None, 0, 0))(
        {k: v.detach() for k, v in ours.named_parameters()}, pydl.tensor(x), pydl.tensor(y)
    )
    b = torch.vmap(torch.func.grad(other), (None, 0, 0))(
        {k: v.detach() for k, v in theirs.named_parameters()}, torch.tensor(x), torch.tensor(y)
    )
    assert list(a) == list(b)
    for name, g in a.items():
        np.testing.assert_allclose(g.numpy(), b[name].numpy(), rtol=1e-10, atol=1e-13)


def test_ensemble(loops: list[str]) -> None:
    models = [net(nn).double() for _ in range(3)]
    params, buffers = func.stack_module_state(models)
    assert all(p.requires_grad and p.shape[0] == 3 for p in params.values()) and not buffers
    x = pydl.tensor(RNG.standard_normal((5, 6)))
    call = lambda p, b, x: func.functional_call(models[0], (p, b), (x,))  # noqa: E731
    made = func.vmap(call, (0, 0, None))(params, buffers, x)
    assert not loops
    np.testing.assert_allclose(made.detach().numpy(), np.stack([m(x).detach().numpy() for m in models]), rtol=1e-12)
    (made**2).sum().backward()
    sum((m(x) ** 2).sum() for m in models).backward()  # type: ignore[union-attr]
    for name, p in params.items():
        assert p.grad is not None
        np.testing.assert_allclose(
            p.grad.numpy(),
            np.stack([dict(m.named_parameters())[name].grad.numpy() for m in models]),
            rtol=1e-10,
            atol=1e-12,
        )  # type: ignore[union-attr]


def test_stack_module_state_errors() -> None:
    with pytest.raises(ArgumentError, match="at least one"):
        func.stack_module_state([])
    with pytest.raises(ArgumentError, match="one class"):
        func.stack_module_state([nn.Linear(2, 2), nn.Identity()])
    with pytest.raises(ArgumentError, match="one class"):
        func.stack_module_state([nn.Linear(2, 2), nn.Linear(2, 2).eval()])
    with pytest.raises(ArgumentError, match="differs in shape"):
        func.stack_module_state([nn.Linear(2, 2), nn.Linear(3, 2)])
    with pytest.raises(ArgumentError, match="different names"):
        func.stack_module_state([nn.Linear(2, 2), nn.Linear(2, 2, bias=False)])


class Tied(nn.Module):
    """One weight under two names, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 3, bias=False)
        self.two = nn.Linear(3, 3, bias=False)
        self.two.weight = self.one.weight
        self.register_buffer("shift", pydl.ones(3))

    def forward(self, x: pydl.Tensor, scale: float = 1.0) -> pydl.Tensor:
        return self.two(self.one(x)) * scale + self.shift


def test_functional_call() -> None:
    m, x, w = Tied(), pydl.ones(2, 3), pydl.tensor(np.diag([1.0, 2.0, 3.0]).astype(np.float32))
    before = m(x).detach().numpy()
    for given in ({"one.weight": w}, {"two.weight": w}, {"one.weight": w, "two.weight": w}, ({"one.weight": w}, {})):
        made = func.functional_call(m, given, x)
        np.testing.assert_array_equal(made.numpy(), [[2, 5, 10]] * 2)
    half = func.functional_call(m, {"two.weight": w}, (x,), tie_weights=False)
    np.testing.assert_allclose(half.detach().numpy(), m.one(x).detach().numpy() * [1, 2, 3] + 1)
    made = func.functional_call(m, [{"one.weight": w}, {"shift": pydl.zeros(3)}], (x,), {"scale": 2.0}, strict=True)
    np.testing.assert_array_equal(made.numpy(), [[2, 8, 18]] * 2)
    np.testing.assert_array_equal(m(x).detach().numpy(), before)
    assert nn.utils.stateless.functional_call(m, {"one.weight": w}, x).shape == (2, 3)


def test_functional_call_errors() -> None:
    m, x, w = Tied(), pydl.ones(2, 3), pydl.ones(3, 3)
    before = m.one.weight
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        ({"no": w}, {}, KeyMissingError, "no tensor 'no'"),
        ({"one.weight": w, "two.weight": w + 1}, {}, ArgumentError, "one tensor and were given different"),
        ({"one.weight": w}, {"strict": True}, KeyMissingError, "no tensor was given for 'shift'"),
        ([{"shift": w}, {"shift": w}], {}, ArgumentError, "in several"),
        ({"shift": 3}, {}, DtypeError, "'shift' is a int"),
        (3, {}, DtypeError, "expected a dict"),
        ({"one.weight": pydl.ones(4, 4)}, {}, ShapeError, "linear"),
    ]
    for given, kwargs, error, text in cases:
        with pytest.raises(error) as caught:
            func.functional_call(m, given, (x,), **kwargs)
        assert text in str(caught.value)
        assert m.one.weight is before and m.two.weight is before
    with pytest.raises(DtypeError, match="expected a module"):
        func.functional_call(lambda x: x, {}, (x,))  # type: ignore[arg-type]
