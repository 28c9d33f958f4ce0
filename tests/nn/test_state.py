"""state_dict and load_state_dict: everything that does not fit is listed, and nothing changes."""

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import CheckpointError


def make() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def snapshot(m: nn.Module) -> list[np.ndarray]:
    return [t.numpy().copy() for t in m.state_dict().values()]


def test_round_trip() -> None:
    a, b = make(), make()
    result = b.load_state_dict(a.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    assert result.missing_keys == [] and result.unexpected_keys == []
    for x, y in zip(snapshot(a), snapshot(b), strict=True):
        np.testing.assert_array_equal(x, y)
    assert not np.shares_memory(a[0].weight.detach().numpy(), b[0].weight.detach().numpy())


def test_state_shares_memory_and_keeps_no_graph() -> None:
    m = make()
    state = m.state_dict()
    assert not state["0.weight"].requires_grad
    m[0].weight.data.fill_(2.0)
    assert float(state["0.weight"].sum()) == 12
    assert m.state_dict(keep_vars=True)["0.weight"] is m[0].weight
    filled = {"other": pydl.ones(1)}
    assert m.state_dict(destination=filled, prefix="net.") is filled and "net.1.bias" in filled and "other" in filled


def test_every_misfit_is_listed_and_nothing_changes() -> None:
    m = make()
    before = snapshot(m)
    state = {
        "0.weight": pydl.zeros(3, 2),
        "0.bias": pydl.zeros(4),
        "1.weight": "a text",
        "extra": pydl.zeros(1),
        "more.weight": pydl.zeros(1),
    }
    with pytest.raises(CheckpointError) as caught:
        m.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict: the state does not fit Sequential:\n"
        "  missing: 1.bias\n"
        "  unexpected: extra\n"
        "  unexpected: more.weight\n"
        "  0.bias: shape (4,) does not match the module's (3,)\n"
        "  1.weight: expected a tensor of shape (1, 3), got str"
    )
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(CheckpointError) as caught:
        m.load_state_dict(state, strict=False)
    assert "missing" not in str(caught.value) and "0.bias" in str(caught.value)
    for x, y in zip(before, snapshot(m), strict=True):
        np.testing.assert_array_equal(x, y)


def test_not_strict() -> None:
    m = make()
    result = m.load_state_dict({"0.bias": pydl.ones(3), "extra": pydl.ones(1)}, strict=False)
    assert result.missing_keys == ["0.weight", "1.weight", "1.bias"] and result.unexpected_keys == ["extra"]
    assert m[0].bias.tolist() == [1, 1, 1]
    assert "extra" in repr(result)


def test_a_state_must_be_a_mapping() -> None:
    with pytest.raises(CheckpointError, match="expected a mapping"):
        make().load_state_dict([1])


def test_values_are_cast() -> None:
    m = nn.Linear(2, 1)
    m.load_state_dict({"weight": np.array([[1.5, 2.0]]), "bias": pydl.tensor([3])})
    assert m.weight.dtype is pydl.float32 and m.weight.tolist() == [[1.5, 2.0]] and m.bias.tolist() == [3.0]


def test_assign_takes_the_memory_and_keeps_the_parameter() -> None:
    m = nn.Linear(2, 1)
    m.tied = nn.Linear(2, 1)
    m.tied.weight = m.weight
    weight, given = m.weight, pydl.ones(1, 2, dtype=pydl.float64)
    m.load_state_dict({"weight": given, "tied.weight": given}, strict=False, assign=True)
    assert m.weight is weight is m.tied.weight and weight.dtype is pydl.float64 and weight.requires_grad
    assert weight.data_ptr() == given.data_ptr()
    with pytest.raises(CheckpointError, match="cannot require gradients"):
        m.load_state_dict({"weight": pydl.ones(1, 2, dtype=pydl.int64)}, strict=False, assign=True)


def test_load_notices_backward_over_old_values() -> None:
    m = nn.Linear(2, 1)
    x = pydl.ones(1, 2).requires_grad_()
    y = m(x)
    m.load_state_dict(nn.Linear(2, 1).state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_arrays_of_other_libraries() -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Linear(2, 3), nn.Linear(2, 3)
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_array_equal(ours.weight.detach().numpy(), theirs.weight.detach().numpy())
