"""Hooks around states, extra state, hooks of all modules, and the rest of Module's methods, as in PyTorch."""

from typing import Any

import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError, AttributeMissingError, CheckpointError, DtypeError

torch = pytest.importorskip("torch")


def saved(package: Any) -> tuple[list[str], list[str]]:
    """The order of the hooks around state_dict, and the keys that come out."""
    log: list[str] = []
    net = package.Sequential(package.Linear(2, 3), package.Sequential(package.Linear(3, 1, bias=False)))
    for name, m in net.named_modules():
        m.register_state_dict_pre_hook(lambda m, prefix, keep, n=name: log.append(f"pre {n} {prefix} {keep}"))
        m.register_state_dict_post_hook(lambda m, state, prefix, meta, n=name: log.append(f"post {n} {len(state)}"))
    net[0].register_state_dict_post_hook(lambda m, state, prefix, meta: state.__delitem__(prefix + "bias"))
    return log, list(net.state_dict(prefix="x."))


def test_order_of_state_hooks() -> None:
    assert saved(nn) == saved(torch.nn)


def test_a_post_hook_must_not_return() -> None:
    m = nn.Linear(1, 1)
    handle = m.register_state_dict_post_hook(lambda m, state, prefix, meta: state)
    with pytest.raises(DtypeError, match="returns None"):
        m.state_dict()
    handle.remove()
    assert list(m.state_dict()) == ["weight", "bias"]


def test_load_hooks_rename_and_forgive() -> None:
    m = nn.Sequential(nn.Linear(2, 1))

    def rename(module: Any, state: Any, prefix: str, meta: Any, strict: bool, *lists: Any) -> None:
        state[prefix + "weight"] = state.pop(prefix + "w")

    m[0].register_load_state_dict_pre_hook(rename)
    given = {"0.w": pydl.ones(1, 2)}
    with pytest.raises(CheckpointError, match=r"missing: 0\.bias"):
        m.load_state_dict(given)
    m[0].register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    assert m.load_state_dict(given).missing_keys == [] and m[0].weight.tolist() == [[1, 1]]
    assert list(given) == ["0.w"]  # the hook changed a copy


def test_load_pre_hooks_may_add_errors() -> None:
    m = nn.Linear(1, 1)
    m.register_load_state_dict_pre_hook(lambda *a: a[-1].append("made elsewhere"))
    with pytest.raises(CheckpointError, match="made elsewhere"):
        m.load_state_dict(m.state_dict(), strict=False)


def counter(package: Any) -> Any:
    class Counter(package.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0
            self.child = package.Linear(1, 1)

        def get_extra_state(self) -> Any:
            return {"count": self.count}

        def set_extra_state(self, state: Any) -> None:
            self.count = state["count"]

    return Counter()


def test_extra_state() -> None:
    ours, theirs = counter(nn), counter(torch.nn)
    ours.count = theirs.count = 5
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict()) and state["_extra_state"] == {"count": 5}
    other = counter(nn)
    other.load_state_dict(state)
    assert other.count == 5
    del state["_extra_state"]
    with pytest.raises(CheckpointError, match="missing: _extra_state"):
        other.load_state_dict(state)
    assert other.load_state_dict(state, strict=False).missing_keys == ["_extra_state"]
    with pytest.raises(CheckpointError, match="unexpected: _extra_state"):
        nn.Linear(1, 1).load_state_dict({**nn.Linear(1, 1).state_dict(), "_extra_state": 1})
    with pytest.raises(AttributeMissingError, match="does not define get_extra_state"):
        nn.ReLU().get_extra_state()


def watched(package: Any, hooks: Any, x: Any) -> list[str]:
    """The order of global and own hooks."""
    log: list[str] = []
    net = package.Sequential(package.Linear(2, 2), package.Tanh())
    net[1].register_forward_hook(lambda m, a, y: log.append("own forward"))
    net[1].register_forward_pre_hook(lambda m, a: log.append("own pre"))
    kind = lambda m: type(m).__name__  # noqa: E731
    handles = [
        hooks.register_module_forward_pre_hook(lambda m, a: log.append(f"pre {kind(m)}")),
        hooks.register_module_forward_hook(lambda m, a, y: log.append(f"forward {kind(m)}")),
        hooks.register_module_full_backward_pre_hook(lambda m, g: log.append(f"back pre {kind(m)}")),
        hooks.register_module_full_backward_hook(lambda m, gi, go: log.append(f"back {kind(m)}")),
    ]
    net(x).sum().backward()
    for handle in handles:
        handle.remove()
    net(x)
    return log


def test_hooks_of_all_modules() -> None:
    theirs = watched(torch.nn, torch.nn.modules.module, torch.ones(1, 2, requires_grad=True))
    assert watched(nn, nn, pydl.ones(1, 2).requires_grad_()) == theirs
    assert nn.Module._hooks is None and nn.ReLU()._hooks is None


def test_global_hooks_replace_outputs() -> None:
    with nn.register_module_forward_hook(lambda m, a, y: y * 2):
        assert nn.Identity()(pydl.ones(1)).tolist() == [2]
    assert nn.Identity()(pydl.ones(1)).tolist() == [1]


def test_registration_hooks() -> None:
    log: list[str] = []
    with (
        nn.register_module_parameter_registration_hook(lambda m, name, p: log.append(f"parameter {name}")),
        nn.register_module_buffer_registration_hook(lambda m, name, b: log.append(f"buffer {name}")),
        nn.register_module_module_registration_hook(lambda m, name, c: log.append(f"module {name}")),
    ):
        m = nn.Sequential(nn.Linear(1, 1))
        m.register_buffer("b", pydl.ones(1))
    nn.Linear(1, 1)
    assert log == ["parameter weight", "parameter bias", "module 0", "buffer b"]
    with nn.register_module_parameter_registration_hook(lambda m, name, p: nn.Parameter(p.detach() * 0 + 7)):
        m = nn.Identity()
        m.weight = nn.Parameter(pydl.ones(1))
    assert m.weight.tolist() == [7]


def test_submodules_are_put_by_name() -> None:
    net = nn.Sequential(nn.Sequential(nn.ReLU()))
    net.set_submodule("0.0", nn.Tanh())
    assert isinstance(net[0][0], nn.Tanh)
    net.set_submodule("0.new", nn.ReLU())
    assert "new" in dict(net[0].named_children())
    for name, error in (("0.other", AttributeMissingError), ("", ArgumentError), ("9.0", AttributeMissingError)):
        with pytest.raises(error):
            net.set_submodule(name, nn.ReLU(), strict=True)
    with pytest.raises(DtypeError, match="expected a Module"):
        net.set_submodule("0.0", pydl.ones(1))  # type: ignore[arg-type]


def test_forms_of_to() -> None:
    m = nn.Linear(2, 2)
    for args, kwargs in (
        ((pydl.float64,), {}), (("cpu",), {}), (("cpu", pydl.float64), {}), ((pydl.ones(1, dtype=pydl.float64),), {}),
        ((), {"dtype": pydl.float64, "device": "cpu", "non_blocking": True}), ((pydl.float64, True), {}),
    ):  # fmt: skip
        assert m.to(*args, **kwargs) is m
    assert m.weight.dtype is pydl.float64 and m.type(pydl.float32).weight.dtype is pydl.float32
    weight = m.weight
    assert m.to_empty(device="cpu").weight is weight and weight.shape == (2, 2)
    with pytest.raises(ArgumentError, match="memory_format is not taken"):
        m.to(memory_format=1)
    with pytest.raises(TypeError):
        m.to(colour="red")  # type: ignore[call-arg]
    with pytest.raises(DtypeError, match="only be put into a floating dtype"):
        m.to(pydl.int64)


def test_modules_with_duplicates() -> None:
    relu = nn.ReLU()
    net = nn.Sequential(relu, relu)
    assert len(list(net.modules())) == 2 and len(list(net.modules(remove_duplicate=False))) == 3


def test_parameter_dict_as_a_dict() -> None:
    a = nn.ParameterDict({"x": pydl.ones(1)})
    b = a.copy()
    b["y"] = pydl.zeros(1)
    assert list(a) == ["x"] and list(reversed(b)) == ["y", "x"] and list(a | b) == ["x", "y"]
    assert a.setdefault("z", pydl.ones(2)).shape == (2,) and a.setdefault("x").tolist() == [1]
    assert a.popitem()[0] == "z" and list(a.fromkeys(["p", "q"], 1).values()) == [1, 1]
    a |= b
    assert list(a) == ["x", "y"] and isinstance(a["y"], nn.Parameter)
    net = nn.Sequential(nn.ReLU())
    net *= 3
    assert len(net) == 3
