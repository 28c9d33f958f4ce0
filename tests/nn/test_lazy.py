"""Lazy layers: sizes from the first input, as in PyTorch."""

import copy
import pickle

import pytest
from against_torch import torch

import pydl
from pydl import nn
from pydl.errors import ArgumentError, CheckpointError


def test_becomes_a_linear_layer() -> None:
    ours, theirs = nn.LazyLinear(3), torch.nn.LazyLinear(3)
    assert repr(ours) == repr(theirs) and isinstance(ours.weight, nn.UninitializedParameter)
    assert ours.has_uninitialized_params() and list(ours.state_dict()) == list(theirs.state_dict())
    assert ours(pydl.ones(2, 5)).shape == (2, 3)
    theirs(torch.ones(2, 5))
    assert repr(ours) == repr(theirs) and type(ours) is nn.Linear and ours._hooks is None
    assert type(ours.weight) is nn.Parameter and ours.weight.shape == (3, 5) and ours.bias.shape == (3,)
    assert float(ours.weight.detach().abs().max()) <= 5**-0.5
    assert ours(pydl.ones(5)).shape == (3,)


def test_without_bias_and_in_another_dtype() -> None:
    m = nn.LazyLinear(4, bias=False, dtype=pydl.float64)
    assert m.bias is None and m(pydl.ones(2, 3, dtype=pydl.float64)).dtype is pydl.float64
    m = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2)).double()
    assert m(pydl.ones(5, 7, dtype=pydl.float64)).shape == (5, 2)
    assert m[2].weight.shape == (2, 4) and m[2].weight.dtype is pydl.float64


def test_state_gives_shapes_too() -> None:
    full, lazy = nn.Linear(5, 3), nn.LazyLinear(3)
    lazy.load_state_dict(full.state_dict())
    assert type(lazy.weight) is nn.Parameter and (lazy.weight == full.weight).all().item()
    x = pydl.randn(2, 5)
    assert (lazy(x) == full(x)).all().item() and type(lazy) is nn.Linear and lazy.in_features == 5
    with pytest.raises(CheckpointError, match="no shape yet"):
        full.load_state_dict(nn.LazyLinear(3).state_dict())
    other = nn.LazyLinear(3)
    other.load_state_dict(nn.LazyLinear(3).state_dict())
    assert other.has_uninitialized_params()


def test_shape_of_what_has_none() -> None:
    p = nn.UninitializedParameter(dtype=pydl.float64)
    assert repr(p) == "<UninitializedParameter>" and p.dtype is pydl.float64 and p.requires_grad
    with pytest.raises(ArgumentError, match="not initialized: run the module once"):
        _ = p.shape
    p.materialize((2, 3))
    assert p.shape == (2, 3) and type(p) is nn.Parameter and p.dtype is pydl.float64
    b = nn.UninitializedBuffer(dtype=pydl.int64)
    b.materialize((4,), dtype=pydl.float32)
    assert type(b) is nn.Buffer and b.dtype is pydl.float32 and b.persistent


def test_copies_stay_lazy() -> None:
    for m in (copy.deepcopy(nn.LazyLinear(3)), pickle.loads(pickle.dumps(nn.UninitializedParameter()))):
        assert "Uninitialized" in repr(m) or m.has_uninitialized_params()
    m = copy.deepcopy(nn.LazyLinear(3))
    assert m(pydl.ones(2, 5)).shape == (2, 3) and type(m) is nn.Linear


def test_errors_come_before_anything_changes() -> None:
    m = nn.LazyLinear(3)
    with pytest.raises(TypeError):
        m()
    with pytest.raises(pydl.errors.PydlError):
        m(pydl.tensor(1.0))
    assert m(pydl.ones(2, 4)).shape == (2, 3)


def test_a_lazy_layer_of_ones_own() -> None:
    class Scale(nn.LazyModuleMixin):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.UninitializedParameter()

        def initialize_parameters(self, x: pydl.Tensor) -> None:
            self.factor.materialize(x.shape[-1:])
            nn.init.constant_(self.factor, 2.0)

        def forward(self, x: pydl.Tensor) -> pydl.Tensor:
            return x * self.factor

    m = Scale()
    assert m(pydl.ones(2, 3)).tolist() == [[2.0] * 3] * 2 and type(m) is Scale and m._hooks is None
    with pytest.raises(TypeError, match="does not define initialize_parameters"):
        nn.LazyModuleMixin()(pydl.ones(1))
