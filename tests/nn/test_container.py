"""Containers, against lists and dicts and against PyTorch's text."""

from typing import Any

import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError, BoundsError, DtypeError


def test_sequential_is_a_list() -> None:
    layers = [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)]
    net = nn.Sequential(*layers)
    assert len(net) == 3 and list(net) == layers and net[-1] is layers[2] and isinstance(net[:2], nn.Sequential)
    assert list(net[1:]) == layers[1:] and list(net[:2].state_dict()) == ["0.weight", "0.bias"]
    x = pydl.ones(4, 2)
    assert net(x).shape == (4, 1) and (net[:2](x) >= 0).all()
    extra = nn.Tanh()
    assert net.append(extra) is net and list(net) == [*layers, extra]
    assert list(net.insert(1, nn.Identity()))[2] is layers[1] and len(net) == 5
    assert [n for n, _ in net.named_children()] == ["0", "1", "2", "3", "4"]
    del net[1]
    assert list(net) == [*layers, extra] and net.pop(-1) is extra
    assert list(net + nn.Sequential(extra)) == [*layers, extra] and len(net) == 3
    net += nn.Sequential(extra)
    assert list(net.extend([nn.ReLU()]))[3] is extra and len(net * 2) == 10
    net[0] = nn.Identity()
    assert type(net[0]) is nn.Identity
    del net[1:4]
    assert [n for n, _ in net.named_children()] == ["0", "1"]


def test_sequential_of_names() -> None:
    net = nn.Sequential({"a": nn.Linear(2, 3), "b": nn.ReLU()})
    assert list(net.state_dict()) == ["a.weight", "a.bias"] and net.b is net[1]
    assert next(iter(net[1:].named_children()))[0] == "b"


def test_sequential_errors() -> None:
    net = nn.Sequential(nn.ReLU())
    with pytest.raises(BoundsError, match="index 1 is out of range for 1 entries"):
        net[1]
    with pytest.raises(BoundsError, match="index 5 is out of range"):
        net.insert(5, nn.ReLU())
    with pytest.raises(DtypeError, match="expected a Module"):
        net.append(3)
    with pytest.raises(DtypeError, match="expected a Module"):
        net.insert(0, 3)
    assert len(net) == 1
    with pytest.raises(ArgumentError, match="expected a Sequential to add"):
        net + [nn.ReLU()]
    with pytest.raises(ArgumentError, match="positive number of repeats"):
        net * 0


def test_module_list() -> None:
    layers = [nn.Linear(2, 2) for _ in range(3)]
    made = nn.ModuleList(layers)
    assert list(made) == layers and made[1] is layers[1] and list(made[1:]) == layers[1:] and len(made) == 3
    made.append(nn.ReLU()).extend([nn.Tanh()])
    made += [nn.ReLU()]
    assert len(made) == 6 and len(made + [nn.ReLU()]) == 7
    made[0] = nn.Identity()
    made.insert(0, nn.GELU())
    assert type(made.pop(0)) is nn.GELU and type(made[0]) is nn.Identity
    del made[0]
    assert [n for n, _ in made.named_children()] == [str(i) for i in range(5)]
    assert list(made.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_module_dict() -> None:
    made = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    assert list(made) == ["a", "b"] == list(made.keys()) and "a" in made and len(made) == 2
    made["c"] = nn.Tanh()
    made.update([("d", nn.Tanh())])
    assert [type(m) for m in made.values()] == [nn.Linear, nn.ReLU, nn.Tanh, nn.Tanh]
    assert dict(made.items())["a"] is made["a"]
    assert type(made.pop("b")) is nn.ReLU and "b" not in made
    del made["c"]
    assert list(made.state_dict()) == ["a.weight", "a.bias"]
    with pytest.raises(KeyError, match="ModuleDict: no module 'z': there are \\['a', 'd'\\]"):
        made["z"]
    with pytest.raises(ArgumentError, match="already has an attribute"):
        made["pop"] = nn.ReLU()
    made.clear()
    assert len(made) == 0


def test_parameter_list() -> None:
    made = nn.ParameterList([pydl.ones(2), nn.Parameter(pydl.zeros(3))])
    made.append(pydl.ones(1)).extend([3])
    assert len(made) == 4 and made[-1] == 3 and type(made[0]) is nn.Parameter
    assert list(made.state_dict()) == ["0", "1", "2"] and [p.numel() for p in made.parameters()] == [2, 3, 1]
    made[0] = pydl.zeros(5)
    assert made[0].shape == (5,) and len(made[1:]) == 3
    with pytest.raises(BoundsError):
        made[4]


def test_parameter_dict() -> None:
    made = nn.ParameterDict({"a": pydl.ones(2), "b": 3})
    made["c"] = pydl.ones(1)
    assert list(made) == ["a", "b", "c"] and list(made.state_dict()) == ["a", "c"] and made.get("z") is None
    assert made.pop("b") == 3 and "b" not in made and [v.numel() for v in made.values()] == [2, 1]
    assert [k for k, _ in made.items()] == ["a", "c"]
    with pytest.raises(KeyError, match="no entry 'z'"):
        made["z"]
    with pytest.raises(DtypeError, match="expected a string"):
        made[0] = pydl.ones(1)
    with pytest.raises(ArgumentError, match="already an attribute"):
        made["update"] = pydl.ones(1)
    del made["a"]
    made.clear()
    assert len(made) == 0 and list(made.parameters()) == []


def text(n: Any) -> list[str]:
    """The text of nested containers."""
    linear = [n.Linear(2, 2) for _ in range(3)]
    return [
        repr(n.ModuleList([*linear, n.ReLU(), n.Sequential(n.Tanh()), n.Sequential(n.Tanh())])),
        repr(n.ModuleList()),
        repr(n.ModuleDict({"a": n.Sequential(n.ReLU(), n.Linear(1, 1))})),
        repr(n.Sequential()),
    ]


def test_text_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert text(nn) == text(torch.nn)


def test_text_of_parameter_containers() -> None:
    assert repr(nn.ParameterList([pydl.zeros(2, 3), 3])) == (
        "ParameterList(\n  (0): Parameter containing: [pydl.float32 of size 2x3]\n  (1): Object of type: int\n)"
    )
    assert repr(nn.ParameterDict()) == "ParameterDict()"
