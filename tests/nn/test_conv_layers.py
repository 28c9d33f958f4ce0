"""Convolutional layers against PyTorch: outputs, gradients, text, states, lazy forms, padding modes, equivariance."""

from typing import Any

import numpy as np
import pytest
from against_torch import differences, same, torch, values

import pydl
from pydl import nn
from pydl.errors import ArgumentError, ShapeError

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("Conv1d", (3, 4, 3), {}, (2, 3, 9)),
    ("Conv1d", (3, 4, 3), {"padding": "same", "dilation": 2, "bias": False}, (3, 9)),
    ("Conv1d", (4, 6, 2), {"stride": 2, "groups": 2, "padding": (1,)}, (2, 4, 9)),
    ("Conv1d", (2, 3, 3), {"padding": 2, "padding_mode": "circular"}, (2, 2, 5)),
    ("Conv2d", (3, 4, 3), {}, (2, 3, 6, 7)),
    ("Conv2d", (3, 4, (3, 2)), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}, (2, 3, 6, 7)),
    ("Conv2d", (4, 4, 3), {"groups": 4, "padding": 1, "stride": 2}, (2, 4, 6, 7)),
    ("Conv2d", (3, 2, 3), {"padding": "valid"}, (3, 6, 7)),
    ("Conv2d", (3, 2, 3), {"padding": 1, "padding_mode": "reflect"}, (2, 3, 4, 5)),
    ("Conv2d", (3, 2, 3), {"padding": (2, 1), "padding_mode": "replicate"}, (3, 4, 5)),
    ("Conv2d", (3, 2, 3), {"padding": "same", "padding_mode": "circular", "dilation": 2}, (2, 3, 4, 5)),
    ("Conv2d", (1, 2, 1), {}, (0, 1, 4, 5)),
    ("Conv3d", (2, 3, (2, 1, 3)), {"padding": (1, 0, 1)}, (2, 2, 3, 4, 5)),
    ("Conv3d", (2, 2, 2), {"padding": 1, "padding_mode": "replicate", "stride": 2}, (1, 2, 3, 4, 5)),
    ("ConvTranspose1d", (3, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (2, 3, 5)),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": 2, "groups": 2, "bias": False}, (2, 4, 4, 3)),
    ("ConvTranspose2d", (3, 2, 3, 1, 1), {"dilation": 2}, (3, 4, 5)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": (1, 2, 2), "output_padding": (0, 1, 0)}, (1, 2, 3, 2, 3)),
]
IDS = [f"{name}{args}{kwargs}" for name, args, kwargs, _ in CASES]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), CASES, ids=IDS)
def test_against_torch(name: str, args: Any, kwargs: Any, shape: Any, dtype: str) -> None:
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    same(ours, theirs, [values(np.random.default_rng(0), shape, dtype)], dtype)


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), CASES, ids=IDS)
def test_differences(name: str, args: Any, kwargs: Any, shape: Any) -> None:
    m = getattr(nn, name)(*args, **kwargs).double()
    if np.prod(shape):
        differences(m, [values(np.random.default_rng(1), shape, "float64")], m.parameters())


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_activation_is_part_of_the_layer(activation: str) -> None:
    m = nn.Conv2d(3, 5, 3, padding=1, activation=activation).double()
    assert repr(m).endswith(f"padding=(1, 1), activation='{activation}')")
    x = values(np.random.default_rng(0), (2, 3, 5, 6), "float64")
    plain = getattr(pydl, activation)(pydl.conv2d(pydl.tensor(x), m.weight, m.bias, padding=1))
    np.testing.assert_allclose(m(pydl.tensor(x)).detach().numpy(), plain.detach().numpy(), rtol=1e-12)
    differences(m, [x], m.parameters())


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
def test_start(name: str) -> None:
    """Uniform within 1 / sqrt(fan in), as PyTorch draws it."""
    m = getattr(nn, name)(64, 64, 3, groups=2)
    bound = 1 / np.sqrt(32 * 9)
    for p in (m.weight.detach().numpy(), m.bias.detach().numpy()):
        assert np.abs(p).max() <= bound
    assert abs(m.weight.detach().numpy().std() - bound / np.sqrt(3)) < 0.02 * bound
    assert sum(p.numel() for p in nn.Conv2d(6, 16, 5).parameters()) == 5 * 5 * 6 * 16 + 16


def test_output_size() -> None:
    x = pydl.zeros(2, 3, 5, 6)
    m = nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1)
    theirs = torch.nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1)
    for size in ((9, 11), (10, 12), (10, 11), (2, 4, 10, 12)):
        assert m(x, output_size=size).shape == tuple(theirs(torch.zeros(2, 3, 5, 6), output_size=size[-2:]).shape)
    for bad in ((11, 12), (8, 11)):
        with pytest.raises(ArgumentError, match=r"output_size must lie between \(9, 11\) and \(10, 12\)"):
            m(x, output_size=bad)
    with pytest.raises(ArgumentError, match="expected 2 sizes"):
        m(x, output_size=(9,))
    down = nn.Conv2d(4, 3, 3, stride=2, padding=1)
    image = pydl.zeros(2, 4, 10, 12)
    assert m(down(image), output_size=image.shape).shape == image.shape


@pytest.mark.parametrize(
    "name", ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]
)
def test_lazy(name: str) -> None:
    lazy, axes = getattr(nn, f"Lazy{name}")(4, 3, stride=2, dtype=pydl.float64), int(name[-2])
    held = list(lazy.parameters())
    x = pydl.tensor(np.random.default_rng(0).standard_normal((2, 5, *(7,) * axes)))
    with pytest.raises(ShapeError, match=f"LazyConv.*expected an input with {axes + 2} axes"):
        lazy(pydl.zeros(3, 3, 3, 3, 3, 3))
    y = lazy(x)
    plain = getattr(nn, name)
    assert type(lazy) is plain and repr(lazy) == repr(plain(5, 4, 3, stride=2))
    assert [p is q for p, q in zip(lazy.parameters(), held, strict=True)] == [True, True]
    other = plain(5, 4, 3, stride=2).double()
    other.load_state_dict(lazy.state_dict())
    np.testing.assert_array_equal(other(x).detach().numpy(), y.detach().numpy())
    y.sum().backward()
    assert held[0].grad is not None and held[0].grad.shape == held[0].shape


def test_layer_errors() -> None:
    for args, kwargs, text in [
        ((3, 4, 3), {"groups": 2}, "in_channels must be positive and divisible by groups, got 3 and 2"),
        ((4, 5, 3), {"groups": 2}, "out_channels must be positive and divisible by groups, got 5 and 2"),
        ((0, 4, 3), {}, "in_channels must be positive"),
        ((3, 4, 0), {}, "kernel_size must be one number or 2 of at least 1, got 0"),
        ((3, 4, (3, 3, 3)), {}, "kernel_size must be one number or 2"),
        ((3, 4, 3), {"stride": 0}, "stride must be one number or 2 of at least 1, got 0"),
        ((3, 4, 3), {"padding": "full"}, "padding must be numbers, 'same' or 'valid', got 'full'"),
        ((3, 4, 3), {"padding": "same", "stride": 2}, "'same' needs a stride of 1"),
        ((3, 4, 3), {"padding_mode": "mirror"}, "padding_mode must be one of"),
        ((3, 4, 3), {"activation": "gelu"}, "activation must be None, 'relu', 'tanh' or 'sigmoid'"),
        ((3, 4, 3), {"groups": 0}, "groups must be a positive number"),
    ]:
        with pytest.raises(ArgumentError, match="Conv2d: ") as caught:
            nn.Conv2d(*args, **kwargs)
        assert text in str(caught.value)
    with pytest.raises(ArgumentError, match="padding_mode must be 'zeros'"):
        nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect")
    with pytest.raises(ShapeError, match=r"reflect padding \(3, 3\) of axis 2: expected at most 2"):
        nn.Conv1d(2, 2, 3, padding=3, padding_mode="reflect")(pydl.zeros(1, 2, 3))
    with pytest.raises(ShapeError, match="expected an input with 4 axes"):
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")(pydl.zeros(1, 2, 3, 4, 5))
    with pytest.raises(ShapeError, match="conv2d: 2 input channels do not match weight"):
        nn.Conv2d(3, 4, 3)(pydl.zeros(1, 2, 5, 5))


# ---------------------------------------------------------------- translation


def shifted(a: np.ndarray, by: tuple[int, int]) -> np.ndarray:
    return np.roll(a, by, (-2, -1))


def equivariance_error(model: Any, x: np.ndarray, by: tuple[int, int]) -> float:
    with pydl.no_grad():
        moved, y = model(pydl.tensor(shifted(x, by))).numpy(), model(pydl.tensor(x)).numpy()
    return float(np.abs(moved - shifted(y, by)).max())


def stack(**kwargs: Any) -> nn.Sequential:
    layers: list[Any] = []
    for i, (c, m) in enumerate(((3, 8), (8, 8), (8, 5))):
        layers += [nn.Conv2d(c, m, 3, **(kwargs if i == 0 else {"padding": 1, "padding_mode": "circular"})), nn.ReLU()]
    return nn.Sequential(*layers)


def test_translation_equivariance() -> None:
    """Exact with circular padding for every shift; broken by zero padding and by strides."""
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype("f")
    circular = stack(padding=1, padding_mode="circular")
    shifts = [(i, j) for i in range(8) for j in range(8)]
    assert max(equivariance_error(circular, x, s) for s in shifts) < 1e-6
    with pydl.no_grad():
        pooled = [circular(pydl.tensor(shifted(x, s))).numpy().mean((2, 3)) for s in shifts]
    assert max(np.abs(p - pooled[0]).max() for p in pooled) < 1e-6
    assert equivariance_error(stack(padding=1), x, (3, 2)) > 1e-3
    strided = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular", stride=2)
    with pydl.no_grad():
        y = strided(pydl.tensor(x)).numpy()
        by_two = strided(pydl.tensor(shifted(x, (2, 2)))).numpy()
        by_one = strided(pydl.tensor(shifted(x, (1, 1)))).numpy()
    assert np.abs(by_two - shifted(y, (1, 1))).max() < 1e-6
    assert min(np.abs(by_one - shifted(y, s)).max() for s in shifts) > 1e-2
