"""Module: registration, names, modes, conversion, copies, text."""

import copy
import pickle

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError, AttributeMissingError, DeviceError, DtypeError, ShapeError


class Net(nn.Module):
    """Parameters before children, a buffer of each kind, a child that is None."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(pydl.ones(4))
        self.register_buffer("seen", pydl.zeros(1))
        self.register_buffer("scratch", pydl.zeros(2), persistent=False)
        self.second = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        self.register_module("absent", None)

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        return self.second(self.first(x) * self.scale)


NAMES = ["scale", "first.weight", "first.bias", "second.1.weight", "second.1.bias"]


def test_names_in_order() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == NAMES
    assert [n for n, _ in net.named_parameters("net", recurse=False)] == ["net.scale"]
    assert [n for n, _ in net.named_buffers()] == ["seen", "scratch"]
    assert list(net.state_dict()) == ["scale", "seen", *NAMES[1:]]
    assert [n for n, _ in net.named_children()] == ["first", "second"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "second", "second.0", "second.1"]
    assert len(list(net.parameters())) == 5 and len(list(net.modules())) == 5 and len(list(net.buffers())) == 2
    assert [type(m) for m in net.children()] == [nn.Linear, nn.Sequential]


def test_state_names_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")

    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(3, 4)
            self.scale = torch.nn.Parameter(torch.ones(4))
            self.register_buffer("seen", torch.zeros(1))
            self.register_buffer("scratch", torch.zeros(2), persistent=False)
            self.second = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(4, 2))
            self.register_module("absent", None)

    theirs, ours = Theirs(), Net()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert repr(ours).replace("Net", "Theirs") == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[name].numpy(), value.numpy())


def test_shared_parameter_counts_once() -> None:
    net = Net()
    other = nn.Linear(3, 4)
    other.weight = net.first.weight
    net.third = other
    assert [n for n, _ in net.named_parameters()] == [*NAMES, "third.bias"]
    assert "third.weight" in dict(net.named_parameters(remove_duplicate=False))
    assert "third.weight" in net.state_dict()
    copied = copy.deepcopy(net)
    assert copied.third.weight is copied.first.weight and copied.first.weight is not net.first.weight
    loaded = pickle.loads(pickle.dumps(net))
    assert loaded.third.weight is loaded.first.weight
    net.fourth = net.first
    assert [n for n, _ in net.named_modules()].count("fourth") == 0
    assert "fourth" in [n for n, _ in net.named_modules(remove_duplicate=False)]


def test_a_tensor_does_not_replace_a_part() -> None:
    net = Net()
    with pytest.raises(TypeError, match="as parameter 'scale': expected a Parameter or None") as caught:
        net.scale = pydl.ones(4)
    assert isinstance(caught.value, DtypeError)
    with pytest.raises(DtypeError, match="as child module 'first': expected a Module or None"):
        net.first = pydl.ones(4)
    with pytest.raises(DtypeError, match="as buffer 'seen': expected a Tensor or None"):
        net.seen = 3
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    net.scale = nn.Parameter(pydl.zeros(4))
    assert [n for n, _ in net.named_parameters()] == NAMES
    net.seen = pydl.ones(1)
    assert net.state_dict()["seen"].item() == 1
    net.first = nn.Parameter(pydl.zeros(1))
    assert "first" in dict(net.named_parameters()) and "first" not in dict(net.named_children())


def test_plain_values_become_plain_attributes() -> None:
    net = Net()
    net.note = pydl.ones(2)
    net.count = 3
    assert "note" not in net.state_dict() and net.count == 3
    net.kept = nn.Buffer(pydl.ones(2))
    net.lost = nn.Buffer(pydl.ones(2), persistent=False)
    assert "kept" in net.state_dict() and "lost" not in net.state_dict() and "lost" in dict(net.named_buffers())
    assert type(copy.deepcopy(net).lost) is nn.Buffer and not pickle.loads(pickle.dumps(net)).lost.persistent


def test_deleting() -> None:
    net = Net()
    del net.scale
    del net.second
    assert [n for n, _ in net.named_parameters()] == ["first.weight", "first.bias"]
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'scale'"):
        net.scale  # noqa: B018
    with pytest.raises(AttributeError):
        del net.scale


def test_registration_errors() -> None:
    net = Net()
    with pytest.raises(ArgumentError, match=r"contain a dot, got 'a\.b'"):
        net.register_parameter("a.b", None)
    with pytest.raises(ArgumentError, match="already has an attribute"):
        net.register_buffer("scale", None)
    with pytest.raises(ArgumentError, match="already has an attribute"):
        net.register_module("forward", nn.ReLU())
    with pytest.raises(DtypeError, match="expected a Parameter or None"):
        net.register_parameter("new", pydl.ones(1))
    with pytest.raises(DtypeError, match="expected a Tensor or None"):
        net.register_buffer("new", 3)
    with pytest.raises(DtypeError, match="expected a Module or None"):
        net.add_module("new", 3)
    with pytest.raises(DtypeError, match="name must be a string"):
        net.register_buffer(3, None)


def test_init_must_run_first() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(pydl.ones(1))

    with pytest.raises(AttributeMissingError, match=r"before Module\.__init__"):
        Early()


def test_forward_is_needed() -> None:
    with pytest.raises(AttributeMissingError, match="Module does not define forward"):
        nn.Module()(1)


def test_dotted_look_up() -> None:
    net = Net()
    assert net.get_submodule("") is net and net.get_submodule("second.1") is net.second[1]
    assert net.get_parameter("second.1.weight") is net.second[1].weight and net.get_buffer("seen") is net.seen
    with pytest.raises(AttributeError, match="Net has no child module 'x'"):
        net.get_submodule("x.y")
    with pytest.raises(AttributeError, match="Linear has no parameter 'wait'"):
        net.get_parameter("first.wait")
    with pytest.raises(AttributeError, match="no buffer 'scale'"):
        net.get_buffer("scale")


def test_modes_and_apply() -> None:
    net = Net()
    assert net.train(False) is net and not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules()) and not net.eval().second[1].training
    seen = []
    assert net.apply(seen.append) is net
    assert seen == [net.first, net.second[0], net.second[1], net.second, net]
    with pytest.raises(ArgumentError, match="mode must be True or False"):
        net.train(1)


def test_gradients_on_and_off() -> None:
    net = Net()
    net(pydl.ones(2, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(float(p.grad.abs().sum()) == 0 for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert net.requires_grad_(False) is net and not net(pydl.ones(2, 3)).requires_grad


def test_conversion_keeps_the_objects() -> None:
    net = Net()
    net.register_buffer("steps", pydl.tensor([3]))
    before = list(net.parameters())
    net(pydl.ones(2, 3)).sum().backward()
    assert net.double() is net and all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert {p.dtype for p in net.parameters()} == {pydl.float64} == {p.grad.dtype for p in net.parameters()}
    assert net.seen.dtype is pydl.float64 and net.steps.dtype is pydl.int64
    for name, dtype in (("half", pydl.float16), ("bfloat16", pydl.bfloat16), ("float", pydl.float32)):
        assert getattr(net, name)().scale.dtype is dtype
    assert net.to(pydl.ones(1, dtype=pydl.float64)).scale.dtype is pydl.float64
    assert net.to("cpu", pydl.float32).cpu().scale.dtype is pydl.float32
    assert net(pydl.ones(2, 3)).dtype is pydl.float32
    with pytest.raises(DtypeError, match=r"floating dtype, got pydl\.int64"):
        net.to(pydl.int64)
    with pytest.raises(DtypeError, match="expected a dtype, a device or a tensor"):
        net.to(3.0)
    if not pydl.cuda.is_available():
        with pytest.raises(DeviceError):
            net.cuda()


def test_copies() -> None:
    net = Net().eval()
    net(pydl.ones(2, 3)).sum().backward()
    for made in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(made.state_dict()) == list(net.state_dict()) and not made.training
        for a, b in zip(net.parameters(), made.parameters(), strict=True):
            assert (
                type(b) is nn.Parameter
                and b.requires_grad
                and not np.shares_memory(a.detach().numpy(), b.detach().numpy())
            )
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        made.scale.data.fill_(7.0)
        assert float(net.scale.sum()) == 4


def test_parameter() -> None:
    p = nn.Parameter(pydl.tensor([1.0, 2.0]))
    assert repr(p) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    assert isinstance(p, pydl.Tensor) and type(p + 1) is pydl.Tensor and p.is_leaf
    assert nn.Parameter(pydl.tensor([1]), requires_grad=False).dtype is pydl.int64
    with pytest.raises(DtypeError, match="only floating tensors can require gradients"):
        nn.Parameter(pydl.tensor([1]))
    with pytest.raises(DtypeError, match="expected a tensor, got list"):
        nn.Parameter([1.0])
    assert nn.Parameter().shape == (0,)


def test_text_of_nested_modules() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(2, 2), nn.Tanh())

        def extra_repr(self) -> str:
            return "a=1\nb=2"

    assert repr(Block()) == (
        "Block(\n  a=1\n  b=2\n  (body): Sequential(\n    (0): Linear(in_features=2, out_features=2, bias=True)\n"
        "    (1): Tanh()\n  )\n)"
    )


def test_arguments_reach_forward() -> None:
    class Two(nn.Module):
        def forward(self, a: int, b: int = 2, *, c: int = 3) -> tuple[int, int, int]:
            return a, b, c

    m = Two()
    assert m(1) == (1, 2, 3) and m(1, 4) == (1, 4, 3) and m(1, c=5) == (1, 2, 5) and m(a=0) == (0, 2, 3)
    with pytest.raises(TypeError):
        m()


def test_shape_error_names_the_layer_sizes() -> None:
    with pytest.raises(ShapeError, match="linear"):
        nn.Linear(3, 4)(pydl.ones(2, 5))
