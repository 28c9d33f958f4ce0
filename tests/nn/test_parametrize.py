"""Parametrizations, weight and spectral normalisation, orthogonal weights, against torch and formulas."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError, BoundsError, DtypeError, ShapeError
from pydl.nn.utils import parametrizations, parametrize

torch = pytest.importorskip("torch")
TP, TZ = torch.nn.utils.parametrize, torch.nn.utils.parametrizations

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3))


class Symmetric(nn.Module):
    """The symmetric matrix of the upper triangle."""

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x: pydl.Tensor) -> pydl.Tensor:
        return x.triu()


class Scaled(nn.Module):
    """Twice the tensor."""

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        return x * 2

    def right_inverse(self, x: pydl.Tensor) -> pydl.Tensor:
        return x / 2


class TheirScaled(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2

    def right_inverse(self, x: Any) -> Any:
        return x / 2


class Factors(nn.Module):
    """A product of two matrices."""

    def forward(self, a: pydl.Tensor, b: pydl.Tensor) -> pydl.Tensor:
        return a @ b

    def right_inverse(self, x: pydl.Tensor) -> tuple[pydl.Tensor, pydl.Tensor]:
        return x, pydl.eye(x.shape[1], dtype=x.dtype)


def pair(rows: int = 5, columns: int = 3) -> tuple[nn.Linear, Any]:
    """Our Linear and torch's with the same float64 weights."""
    theirs = torch.nn.Linear(columns, rows).double()
    ours = nn.Linear(columns, rows).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def close(a: Any, b: Any, tol: float = 1e-12) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tol, atol=tol)


def same_step(ours: nn.Module, theirs: Any, tol: float = 1e-10) -> None:
    """Equal keys, outputs, and gradients of all that is stored."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    a, b = ours(pydl.tensor(X)), theirs(torch.tensor(X))
    close(a, b, tol)
    (a**3).sum().backward()
    (b**3).sum().backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert p.grad is not None, name
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=tol, atol=tol, err_msg=name)


def test_one_and_two_parametrizations() -> None:
    ours, theirs = pair()
    before, parameter = ours.weight.detach().numpy().copy(), ours.weight
    for _ in range(2):
        parametrize.register_parametrization(ours, "weight", Scaled())
        TP.register_parametrization(theirs, "weight", TheirScaled())
        assert type(ours).__name__ == "ParametrizedLinear" and isinstance(ours, nn.Linear)
        assert ours.parametrizations.weight.original is parameter  # type: ignore[attr-defined]
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy())
    assert ours.weight.shape == before.shape and "weight" not in dict(ours.named_parameters())
    same_step(ours, theirs)
    ours.weight = pydl.tensor(before)  # type: ignore[assignment]
    close(ours.weight, torch.tensor(before))
    parametrize.remove_parametrizations(ours, "weight")
    assert type(ours) is nn.Linear and ours.weight is parameter and list(ours.state_dict()) == ["bias", "weight"]
    close(ours.weight, torch.tensor(before))


def test_assignment_keeps_the_constraint_and_buffers_work() -> None:
    m = nn.Linear(3, 3).double()
    parametrize.register_parametrization(m, "weight", Symmetric())
    w = m.weight
    close(w, w.mT)
    m.weight = nn.Parameter(pydl.eye(3).double())
    close(m.weight, torch.eye(3))
    m.weight = pydl.tensor(np.arange(9.0).reshape(3, 3))  # type: ignore[assignment]
    close(m.weight, m.weight.mT)
    holder = nn.Module()
    holder.register_buffer("scale", pydl.ones(2))
    parametrize.register_parametrization(holder, "scale", Scaled())
    assert list(holder.state_dict()) == ["parametrizations.scale.original"] and not list(holder.parameters())
    assert holder.scale.tolist() == [1.0, 1.0]
    parametrize.remove_parametrizations(holder, "scale", leave_parametrized=False)
    assert holder.scale.tolist() == [0.5, 0.5] and list(holder.state_dict()) == ["scale"]


def test_several_stored_tensors() -> None:
    m = nn.Linear(3, 5).double()
    w = m.weight.detach().numpy().copy()
    parametrize.register_parametrization(m, "weight", Factors())
    assert list(m.state_dict()) == ["bias", "parametrizations.weight.original0", "parametrizations.weight.original1"]
    np.testing.assert_allclose(m.weight.detach().numpy(), w)
    with pytest.raises(ArgumentError, match="leave_parametrized=True"):
        parametrize.remove_parametrizations(m, "weight", leave_parametrized=False)
    parametrize.remove_parametrizations(m, "weight")
    assert isinstance(m.weight, nn.Parameter)
    np.testing.assert_allclose(m.weight.detach().numpy(), w)


def test_cached_computes_once() -> None:
    calls = []

    class Counted(nn.Module):
        def forward(self, x: pydl.Tensor) -> pydl.Tensor:
            calls.append(1)
            return x * 1

    m = nn.Linear(3, 3)
    parametrize.register_parametrization(m, "weight", Counted())
    calls.clear()
    with parametrize.cached():
        with parametrize.cached():
            first = m.weight
        assert m.weight is first and len(calls) == 1
        (m(pydl.ones(1, 3)) + m(pydl.ones(1, 3))).sum().backward()
    assert m.weight is not first and len(calls) == 2
    assert m.parametrizations.weight.original.grad is not None  # type: ignore[attr-defined]


def test_copies_are_independent_and_transfer() -> None:
    m, _ = pair()
    parametrize.register_parametrization(m, "weight", Scaled())
    twin = copy.deepcopy(m)
    parametrize.remove_parametrizations(m, "weight")
    assert parametrize.is_parametrized(twin, "weight") and not parametrize.is_parametrized(m)
    close(twin.weight, m.weight)
    assert parametrize.type_before_parametrizations(twin) is nn.Linear
    other = nn.Linear(3, 5).double()
    parametrize.transfer_parametrizations_and_params(twin, other)
    close(other.weight, twin.weight)
    assert other.parametrizations.weight.original is not twin.parametrizations.weight.original  # type: ignore[attr-defined]


def test_functional_call_reaches_what_is_stored() -> None:
    m = nn.Linear(2, 2, bias=False)
    parametrize.register_parametrization(m, "weight", Scaled())
    stored = {"parametrizations.weight.original": pydl.eye(2)}
    assert pydl.func.functional_call(m, stored, pydl.ones(1, 2), strict=True).tolist() == [[2.0, 2.0]]


class Wrong(nn.Module):
    """Another shape."""

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        return x.sum()


def parametrized() -> nn.Linear:
    m = nn.Linear(2, 2)
    parametrize.register_parametrization(m, "weight", nn.Identity())
    return m


CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: parametrize.register_parametrization(nn.Linear(2, 2), "w", Scaled()), ArgumentError, "no tensor 'w'"),
    (lambda: parametrize.register_parametrization(nn.Linear(2, 2), "weight", Wrong()), ShapeError, "expected (2, 2)"),
    (lambda: parametrize.register_parametrization(parametrized(), "weight", Wrong()), ShapeError, "expected (2, 2)"),
    (lambda: parametrize.register_parametrization(nn.Linear(2, 2), "weight", abs), DtypeError, "expected a module"),  # type: ignore[arg-type]
    (lambda: parametrize.remove_parametrizations(nn.Linear(2, 2), "weight"), ArgumentError, "no parametrized 'weight'"),
    (lambda: setattr(parametrized(), "weight", pydl.ones(2, 2)), ArgumentError, "no right_inverse"),
    (lambda: setattr(parametrized(), "weight", 3), DtypeError, "cannot assign a int"),
    (lambda: parametrizations.weight_norm(nn.Linear(2, 2), dim=2), BoundsError, "dim 2"),
    (lambda: parametrizations.weight_norm(nn.Linear(2, 2), "no"), ArgumentError, "'no'"),
    (lambda: parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0), ArgumentError, "positive"),
    (lambda: parametrizations.orthogonal(nn.Linear(2, 2), "bias"), ShapeError, "matrix"),
    (lambda: parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="qr"), ArgumentError, "orthogonal_map"),
    (lambda: nn.utils.weight_norm(nn.utils.weight_norm(nn.Linear(2, 2))), ArgumentError, "already"),
    (lambda: nn.utils.weight_norm(nn.Linear(2, 2), "no"), ArgumentError, "no parameter 'no'"),
    (lambda: nn.utils.remove_weight_norm(nn.Linear(2, 2)), ArgumentError, "no weight_norm"),
    (lambda: nn.utils.spectral_norm(nn.utils.spectral_norm(nn.Linear(2, 2))), ArgumentError, "already"),
    (lambda: nn.utils.remove_spectral_norm(nn.Linear(2, 2)), ArgumentError, "no spectral_norm"),
    (lambda: nn.utils.skip_init(abs), DtypeError, "expected a class of modules"),  # type: ignore[arg-type, type-var]
]


@pytest.mark.parametrize(("call", "error", "text"), CASES)
def test_errors(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


# ---------------------------------------------------------------- norms


@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_weight_norm(dim: int | None) -> None:
    ours, theirs = pair()
    parametrizations.weight_norm(ours, dim=dim)
    TZ.weight_norm(theirs, dim=-1 if dim is None else dim)
    same_step(ours, theirs)
    ours.weight = pydl.tensor(X.repeat(2, 0)[:5])  # type: ignore[assignment]
    np.testing.assert_allclose(ours.weight.detach().numpy(), X.repeat(2, 0)[:5])


@pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm:FutureWarning")
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_by_a_hook(dim: int | None) -> None:
    ours, theirs = pair()
    w = ours.weight.detach().numpy().copy()
    nn.utils.weight_norm(ours, dim=dim)
    torch.nn.utils.weight_norm(theirs, dim=dim)
    np.testing.assert_allclose(ours.weight.detach().numpy(), w)
    same_step(ours, theirs)
    nn.utils.remove_weight_norm(ours)
    assert list(ours.state_dict()) == ["bias", "weight"] and isinstance(ours.weight, nn.Parameter)
    np.testing.assert_allclose(ours.weight.detach().numpy(), w)
    close(ours(pydl.tensor(X)), theirs(torch.tensor(X)))


def test_gradients_of_weight_norm_are_projected() -> None:
    """d/dg is along v, d/dv orthogonal to it (Salimans & Kingma 2016, equations 3 and 4)."""
    m = parametrizations.weight_norm(nn.Linear(3, 5).double())
    (m(pydl.tensor(X)) ** 2).sum().backward()
    g, v = m.parametrizations.weight.original0, m.parametrizations.weight.original1  # type: ignore[attr-defined]
    plain = nn.Linear(3, 5).double()
    plain.load_state_dict({"weight": m.weight.detach(), "bias": m.bias.detach()})  # type: ignore[union-attr]
    (plain(pydl.tensor(X)) ** 2).sum().backward()
    assert plain.weight.grad is not None
    dw, vn, gn = plain.weight.grad.numpy(), v.detach().numpy(), g.detach().numpy()
    length = np.linalg.norm(vn, axis=1, keepdims=True)
    dg = (dw * vn).sum(1, keepdims=True) / length
    np.testing.assert_allclose(g.grad.numpy(), dg, atol=1e-12)
    np.testing.assert_allclose(v.grad.numpy(), gn / length * dw - gn * dg / length**2 * vn, atol=1e-12)
    np.testing.assert_allclose((v.grad.numpy() * vn).sum(1), 0, atol=1e-12)


@pytest.mark.parametrize("form", ["parametrization", "hook"])
def test_spectral_norm(form: str) -> None:
    ours, theirs = pair()
    w = ours.weight.detach().numpy().copy()
    if form == "hook":
        nn.utils.spectral_norm(ours, n_power_iterations=3)
        torch.nn.utils.spectral_norm(theirs, n_power_iterations=3)
    else:
        parametrizations.spectral_norm(ours, n_power_iterations=3)
        TZ.spectral_norm(theirs, n_power_iterations=3)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    same_step(ours, theirs)
    for _ in range(500):  # near singular values converge slowly
        ours(pydl.tensor(X))
    ours.eval()
    made = ours(pydl.tensor(X)).detach().numpy() - ours.bias.detach().numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(made, X @ (w / np.linalg.norm(w, 2)).T, rtol=1e-10, atol=1e-12)
    kept = {k: v.numpy().copy() for k, v in ours.state_dict().items()}
    ours(pydl.tensor(X))
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), kept[name])  # evaluation does not iterate
    if form == "hook":
        nn.utils.remove_spectral_norm(ours)
    else:
        parametrize.remove_parametrizations(ours, "weight")
    assert list(ours.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(ours.weight.detach().numpy(), w / np.linalg.norm(w, 2), rtol=1e-10, atol=1e-12)


def test_spectral_norm_of_a_vector_and_two_passes() -> None:
    m = parametrizations.spectral_norm(nn.Linear(3, 4), "bias")
    np.testing.assert_allclose(np.linalg.norm(m.bias.detach().numpy()), 1, rtol=1e-6)
    net = parametrizations.spectral_norm(nn.Linear(3, 1).double())
    (net(pydl.tensor(X)).sum() - net(2 * pydl.tensor(X)).sum()).backward()  # the second pass iterates again
    assert net.parametrizations.weight.original.grad is not None  # type: ignore[attr-defined]


# ---------------------------------------------------------------- orthogonal


@pytest.mark.parametrize("name", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("trivialized", [True, False])
def test_orthogonal(name: str, shape: tuple[int, int], trivialized: bool) -> None:
    ours, theirs = nn.Linear(shape[1], shape[0]).double(), torch.nn.Linear(shape[1], shape[0]).double()
    parametrizations.orthogonal(ours, orthogonal_map=name, use_trivialization=trivialized)
    TZ.orthogonal(theirs, orthogonal_map=name, use_trivialization=trivialized)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    stored = ours.parametrizations.weight.original  # type: ignore[attr-defined]
    moved = RNG.standard_normal(stored.shape) * 0.3
    if name == "householder":
        moved = np.tril(moved, -1) if shape[0] >= shape[1] else np.triu(moved, 1)
    with pydl.no_grad():
        stored.data = stored + pydl.tensor(moved)
    theirs.parametrizations.weight.original.data += torch.tensor(moved)
    close(ours.weight, theirs.weight, 1e-10)
    w = ours.weight.detach().numpy()
    gram = w.T @ w if shape[0] >= shape[1] else w @ w.T
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-12)
    weights = RNG.standard_normal(shape)
    (ours.weight * pydl.tensor(weights)).sum().backward()
    (theirs.weight * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(stored.grad.numpy(), theirs.parametrizations.weight.original.grad.numpy(), atol=1e-9)


@pytest.mark.parametrize(
    ("name", "trivialized"), [("matrix_exp", True), ("cayley", True), ("householder", True), ("householder", False)]
)
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 4, 3)])
def test_an_orthogonal_matrix_can_be_assigned(name: str, trivialized: bool, shape: tuple[int, ...]) -> None:
    m = nn.Module()
    m.w = nn.Parameter(pydl.tensor(RNG.standard_normal(shape)))
    parametrizations.orthogonal(m, "w", name, use_trivialization=trivialized)
    tall = RNG.standard_normal(shape if shape[-2] >= shape[-1] else shape[::-1])
    q = np.linalg.qr(tall)[0]
    q = q if shape[-2] >= shape[-1] else q.T
    m.w = pydl.tensor(q)
    np.testing.assert_allclose(m.w.detach().numpy(), q, atol=1e-12)


def test_orthogonal_errors_and_trained_orthogonality() -> None:
    m = parametrizations.orthogonal(nn.Linear(4, 4).double(), use_trivialization=False)
    with pytest.raises(ArgumentError, match="no right_inverse"):
        m.weight = pydl.eye(4).double()  # type: ignore[assignment]
    m = parametrizations.orthogonal(nn.Linear(4, 4))
    opt = pydl.optim.SGD(m.parameters(), lr=0.1)
    for _ in range(20):
        opt.zero_grad()
        (m(pydl.ones(2, 4)) - 3).square().sum().backward()
        opt.step()
    w = m.weight.detach().numpy()
    np.testing.assert_allclose(w.T @ w, np.eye(4), atol=1e-5)
