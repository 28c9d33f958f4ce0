"""Normalisation, against PyTorch."""

from typing import Any

import numpy as np
import pytest
from checks import RowChecks
from registry import row, tensor, via

import pydl
from pydl import nn
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.nn import functional as F


def norm(name: str, **options: Any) -> Any:
    """A function of normalisation beside PyTorch's."""
    return row(getattr(F, name), via(f"nn.functional.{name}"), name=name, **options)


def trained(name: str) -> Any:
    """batch_norm or instance_norm of x, weight and bias by the batch's statistics."""
    theirs = via(f"nn.functional.{name}")
    return (
        lambda x, w, b, **k: getattr(F, name)(x, None, None, w, b, True, **k),
        lambda x, w, b, **k: theirs(x, None, None, w, b, True, **k),
    )


def channels(*shapes: tuple[int, ...]) -> list[tuple[tuple[int, ...], ...]]:
    return [(s, s[1:2], s[1:2]) for s in shapes]


def evaluated(fn: Any) -> Any:
    """batch_norm by running statistics."""
    return lambda x, m, v, w, b: fn(x, m, v, w, b, False)


SLACK = {"float32": 16.0, "float64": 512.0, "float16": 4.0, "bfloat16": 4.0}
IMAGES = channels((2, 3, 4, 5), (4, 2, 3), (6, 5), (3, 70), (2, 4, 2, 3, 2))
ROWS = [
    row(lambda x, w, b: F.layer_norm(x, w.shape, w, b), lambda x, w, b: via("nn.functional.layer_norm")(
        x, w.shape, w, b), name="layer_norm", kinds="fff", slack=SLACK,
        shapes=[((3, 7), (7,), (7,)), ((2, 3, 40), (40,), (40,)), ((2, 3, 4), (3, 4), (3, 4)), ((5,), (5,), (5,)),
                ((0, 4), (4,), (4,))], large=((300, 1025), (1025,), (1025,))),
    row(lambda x: F.layer_norm(x, x.shape[-1:], eps=1e-3), lambda x: via("nn.functional.layer_norm")(
        x, x.shape[-1:], None, None, 1e-3), name="layer_norm", shapes=[(3, 7), (2, 3, 33)], slack=SLACK),
    row(lambda x, w: F.rms_norm(x, w.shape, w, 1e-5), lambda x, w: via("nn.functional.rms_norm")(x, w.shape, w, 1e-5),
        name="rms_norm", kinds="ff", shapes=[((3, 7), (7,)), ((2, 3, 40), (40,))], slack=SLACK),
    row(lambda x, w, b, groups: F.group_norm(x, groups, w, b), lambda x, w, b, groups: via(
        "nn.functional.group_norm")(x, groups, w, b), name="group_norm", kinds="fff", slack=SLACK,
        cases=[(s, {"groups": g}) for s in channels((2, 6, 5), (3, 6, 2, 3), (3, 6)) for g in (1, 2, 6)
               if g < 6 or len(s[0]) > 2], shapes=[], large=((8, 32, 40, 41), (32,), (32,)),),
    row(*trained("batch_norm"), name="batch_norm", kinds="fff", shapes=IMAGES, slack=SLACK,
        large=((16, 8, 40, 41), (8,), (8,))),
    row(*trained("instance_norm"), name="instance_norm", kinds="fff", shapes=IMAGES[:2], slack=SLACK),
    row(evaluated(F.batch_norm), evaluated(via("nn.functional.batch_norm")), name="batch_norm", kinds="fffff",
        shapes=[((2, 3, 4), *((3,),) * 4), ((4, 40), *((40,),) * 4)], low=0.5, slack=SLACK),
    norm("local_response_norm", shapes=[(2, 5, 3), (1, 6, 2, 2)], kwargs=[{"size": 3}, {"size": 2, "alpha": 0.1}],
         slack=SLACK),
]  # fmt: skip


class TestRows(RowChecks):
    """Every row's tests."""


@pytest.mark.parametrize("shape", [(8, 3, 5, 4), (9, 70), (6, 3, 7)])
@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
def test_running_statistics(shape: tuple[int, ...], momentum: float | None) -> None:
    """Three batches of training, then evaluation, as PyTorch."""
    torch = pytest.importorskip("torch")
    name = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d"}[len(shape)]
    ours = getattr(nn, name)(shape[1], momentum=momentum).double()
    theirs = getattr(torch.nn, name)(shape[1], momentum=momentum).double()
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.standard_normal(shape) * 3 + 5
        np.testing.assert_allclose(
            ours(tensor(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), atol=1e-12
        )
    state = {k: v.numpy() for k, v in ours.state_dict().items()}
    assert list(state) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(state[key], value.numpy(), rtol=1e-12)
    ours.eval()
    theirs.eval()
    np.testing.assert_allclose(
        ours(tensor(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), atol=1e-12
    )


@pytest.mark.parametrize("shape", [(4099, 20), (70, 1030), (9001, 3), (2, 600)])
def test_columns_of_many_blocks(shape: tuple[int, int]) -> None:
    """Rows in several blocks and channels in several strips: values and gradients in float64, from the definition."""
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal(shape) + 5, rng.standard_normal(shape)
    w, b = rng.standard_normal((2, shape[1]))
    given = [tensor(a).requires_grad_() for a in (x, w, b)]
    made = F.batch_norm(given[0], None, None, given[1], given[2], True)
    made.backward(tensor(g))
    rstd = 1 / np.sqrt(x.var(0) + 1e-5)
    unit = (x - x.mean(0)) * rstd
    np.testing.assert_allclose(made.detach().numpy(), unit * w + b, rtol=1e-11, atol=1e-11)
    slopes = [w * rstd * (g - g.mean(0) - unit * (g * unit).mean(0)), (g * unit).sum(0), g.sum(0)]
    for t, expected in zip(given, slopes, strict=True):
        np.testing.assert_allclose(t.grad.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_half_precision_keeps_float32_statistics() -> None:
    x = np.random.default_rng(0).standard_normal((16, 4, 6)).astype(np.float32) + 3
    layer = nn.BatchNorm1d(4)
    layer(tensor(x).to(pydl.bfloat16))
    exact = tensor(x).to(pydl.bfloat16).double().numpy()
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * exact.mean((0, 2)), rtol=1e-6)
    whole = nn.BatchNorm1d(4).bfloat16()
    whole(tensor(x).to(pydl.bfloat16))
    assert whole.running_mean.dtype is pydl.bfloat16
    np.testing.assert_allclose(whole.running_mean.float().numpy(), 0.1 * exact.mean((0, 2)), rtol=8e-3)


def test_a_large_mean_costs_no_accuracy() -> None:
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((4, 512)) + 1e4).astype(np.float32)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(F.layer_norm(tensor(x), 512).numpy(), expected, atol=2e-3)
    by_channel = F.batch_norm(tensor(np.ascontiguousarray(x.T)), None, None, training=True)
    wide = wide.T
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5)
    np.testing.assert_allclose(by_channel.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("name", ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"])
def test_instance_norm_layers(name: str) -> None:
    torch = pytest.importorskip("torch")
    axes = int(name[-2])
    ours = getattr(nn, name)(3, affine=True, track_running_stats=True).double()
    theirs = getattr(torch.nn, name)(3, affine=True, track_running_stats=True).double()
    x = np.random.default_rng(0).standard_normal((4, 3, *(5, 4, 2)[:axes])) + 2
    for _ in range(2):
        np.testing.assert_allclose(
            ours(tensor(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), atol=1e-12
        )
    np.testing.assert_allclose(ours.running_var.numpy(), theirs.running_var.numpy(), rtol=1e-12)
    ours.eval()
    theirs.eval()
    np.testing.assert_allclose(
        ours(tensor(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), atol=1e-12
    )
    np.testing.assert_allclose(
        ours(tensor(x[0])).detach().numpy(), theirs(torch.from_numpy(x[0])).detach().numpy(), atol=1e-12
    )


LAYERS = [("LayerNorm", ((4, 5),)), ("LayerNorm", (5,)), ("GroupNorm", (3, 6)), ("RMSNorm", (5,)),
          ("LocalResponseNorm", (3,)), ("LayerNorm", (5, 1e-6, True, False))]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), LAYERS)
def test_layers(name: str, args: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args).double(), getattr(torch.nn, name)(*args).double()
    x = np.random.default_rng(0).standard_normal((2, 6, 4, 5))
    np.testing.assert_allclose(
        ours(tensor(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-10, atol=1e-12
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    if "bias=" in repr(theirs) or name in ("RMSNorm", "LocalResponseNorm"):  # bias came with PyTorch 2.13
        assert repr(ours) == repr(theirs)


def test_gradients_come_from_one_kernel_or_the_plain_definition() -> None:
    """Both are the same numbers."""
    rng = np.random.default_rng(5)
    x, w, b = (tensor(rng.standard_normal(s)).requires_grad_() for s in ((6, 3, 4), (3,), (3,)))
    for y in (F.batch_norm(x, None, None, w, b, True), F.group_norm(x, 3, w, b), F.layer_norm(x, 4)):
        seed = tensor(rng.standard_normal(y.shape))
        fused = pydl.autograd.grad(y, [x, w, b], seed, retain_graph=True, allow_unused=True)
        plain = pydl.autograd.grad(y, [x, w, b], seed, create_graph=True, allow_unused=True)
        for p, q in zip(fused, plain, strict=True):
            if p is not None:
                np.testing.assert_allclose(p.numpy(), q.detach().numpy(), atol=1e-12)


def test_errors() -> None:
    x = pydl.randn(2, 3, 4)
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: F.layer_norm(x, 5), ShapeError, "does not end in"),
        (lambda: F.layer_norm(x, 4, pydl.ones(3)), ShapeError, "does not match normalized_shape"),
        (lambda: F.group_norm(x, 2), ShapeError, "2 groups do not divide"),
        (lambda: F.batch_norm(x, None, None), ArgumentError, "outside training"),
        (lambda: F.batch_norm(pydl.ones(3), None, None, training=True), ShapeError, "at least 2 axes"),
        (lambda: F.batch_norm(pydl.ones(1, 3), None, None, training=True), ShapeError, "more than 1 value"),
        (lambda: F.batch_norm(x, None, None, pydl.ones(4), None, True), ShapeError, "expected (3,)"),
        (lambda: F.batch_norm(pydl.ones(2, 3, 4, dtype=pydl.int64), None, None, training=True), DtypeError, "floating"),
        (lambda: nn.BatchNorm2d(3)(x), ShapeError, "expected 4D input"),
        (lambda: nn.BatchNorm1d(4)(x), ShapeError, "expected (3,)"),
        (lambda: nn.GroupNorm(2, 3), ArgumentError, "do not divide"),
        (lambda: F.local_response_norm(x, 0), ArgumentError, "at least 1"),
        (lambda: F.rms_norm(pydl.ones(3, dtype=pydl.int64), 3), DtypeError, "floating"),
    ]
    for call, error, text in cases:
        with pytest.raises(error) as caught:
            call()
        assert text in str(caught.value), str(caught.value)
