"""Groups, state, hooks and errors of optimizers."""

import copy
import pickle

import numpy as np
import pytest

import pydl
from pydl import optim
from pydl.errors import ArgumentError, AutogradError, CheckpointError, DtypeError

MAKERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1),
    "plain SGD": lambda p: optim.SGD(p, lr=0.1),
    "GD": lambda p: optim.GD(p, lr=0.1),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "AMSGrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
    "SGDW": lambda p: optim.SGDW(p, lr=0.1, momentum=0.9, rate_inside=True),
    "ASGD": lambda p: optim.ASGD(p, lr=0.1, lambd=0.01, t0=2),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.5),
    "Adadelta": lambda p: optim.Adadelta(p),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1, momentum=0.5, centered=True),
    "Adamax": lambda p: optim.Adamax(p, lr=0.1),
    "NAdam": lambda p: optim.NAdam(p, lr=0.1, momentum_decay=0.1),
    "RAdam": lambda p: optim.RAdam(p, lr=0.1, betas=(0.9, 0.99)),
    "Rprop": lambda p: optim.Rprop(p, lr=0.1),
    "Lion": lambda p: optim.Lion(p, lr=0.1, weight_decay=0.1),
}


def parameters():
    rng = np.random.default_rng(0)
    return [pydl.tensor(rng.standard_normal(s), requires_grad=True) for s in ((3, 2), (5,))]


def train(optimizer, params, steps, start=0):
    for t in range(start, start + steps):
        optimizer.zero_grad()
        sum(((p - t % 3) ** 2).sum() * (i + 1) for i, p in enumerate(params)).backward()
        optimizer.step()


def equal(a, b):
    return all((x.detach().numpy() == y.detach().numpy()).all() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", MAKERS)
def test_resume_is_bit_equal(name):
    whole = parameters()
    train(MAKERS[name](whole), whole, 9)
    first = parameters()
    optimizer = MAKERS[name](first)
    train(optimizer, first, 4)
    second = [p.detach().clone().requires_grad_() for p in first]
    other = MAKERS[name](second)
    other.load_state_dict(optimizer.state_dict())
    train(optimizer, first, 2, 4)  # goes on: what was loaded is a copy
    train(other, second, 5, 4)
    assert equal(second, whole)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize("name", MAKERS)
def test_copies_go_on_alone(name, copied):
    params = parameters()
    optimizer = MAKERS[name](params)
    train(optimizer, params, 3)
    twin = copied(optimizer)
    theirs = twin.param_groups[0]["params"]
    train(optimizer, params, 3, 3)
    assert not equal(params, theirs)
    train(twin, theirs, 3, 3)
    assert equal(params, theirs)


@pytest.mark.parametrize(
    "name, options",
    [
        ("SGD", {"momentum": 0.9, "nesterov": True}), ("Adam", {"amsgrad": True}), ("AdamW", {}), ("SGD", {}),
        ("ASGD", {"lambd": 0.1, "t0": 0}), ("Adagrad", {"lr_decay": 0.1}), ("Adadelta", {}), ("Adamax", {}),
        ("RMSprop", {"momentum": 0.5, "centered": True}), ("NAdam", {}), ("RAdam", {}), ("Rprop", {}),
    ],
)  # fmt: skip
def test_states_go_to_torch_and_back(name, options):
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.tensor(p.detach().numpy().copy(), requires_grad=True) for p in ours]
    a, b = getattr(optim, name)(ours, lr=0.1, **options), getattr(torch.optim, name)(theirs, lr=0.1, **options)
    for p, q in zip(ours, theirs, strict=True):
        p.grad, q.grad = pydl.ones(p.shape, dtype=p.dtype), torch.ones_like(q)
    a.step()
    b.step()
    mine, torchs = a.state_dict(), b.state_dict()
    assert set(mine) == set(torchs)
    own = {"eps_inside", "rate_inside"} | ({"decoupled_weight_decay"} if name == "SGD" else set())
    assert set(mine["param_groups"][0]) - own == set(torchs["param_groups"][0])
    assert {k: set(s) for k, s in mine["state"].items()} == {k: set(s) for k, s in torchs["state"].items()}
    as_torch = {k: {n: torch.from_dlpack(v.clone()) for n, v in s.items()} for k, s in mine["state"].items()}
    c = getattr(torch.optim, name)(theirs, lr=0.3)
    c.load_state_dict({"state": as_torch, "param_groups": mine["param_groups"]})
    c.step()
    d = getattr(optim, name)(ours, lr=0.3)
    d.load_state_dict(torchs)
    d.step()
    for p, q in zip(ours, theirs, strict=True):
        tolerance = 1e-6 if name in ("ASGD", "NAdam") else 1e-12  # torch keeps eta and mu_product in float32
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=tolerance)


def test_state_dict_numbers_run_over_the_groups():
    params = parameters()
    o = optim.SGD([{"params": [params[0]], "lr": 1.0}, {"params": params[1]}], lr=0.5, momentum=0.9)
    params[1].grad = pydl.ones(5, dtype=pydl.float64)
    o.step()
    state = o.state_dict()
    assert [g["params"] for g in state["param_groups"]] == [[0], [1]]
    assert [g["lr"] for g in state["param_groups"]] == [1.0, 0.5]
    assert list(state["state"]) == [1]


def test_closure():
    p = pydl.tensor([3.0], requires_grad=True)
    o = optim.SGD([p], lr=0.1)

    def closure():
        o.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with pydl.no_grad():  # the closure records all the same
        losses = [o.step(closure).item() for _ in range(3)]
    np.testing.assert_allclose(losses, [9.0, 9.0 * 0.64, 9.0 * 0.64**2], rtol=1e-6)
    assert o.step() is None


def test_zero_grad():
    params = parameters()
    o = optim.SGD(params)
    (params[0].sum() + params[1].sum()).backward()
    o.zero_grad(set_to_none=False)
    assert all((p.grad.numpy() == 0).all() for p in params)
    o.zero_grad()
    assert all(p.grad is None for p in params)
    (params[0] ** 2).sum().backward(create_graph=True)
    o.zero_grad(set_to_none=False)
    assert params[0].grad.node is None and params[1].grad is None


def test_add_param_group():
    params = parameters()
    o = optim.Adam([params[0]], lr=0.1)
    train(o, params, 2)
    before = params[1].detach().numpy().copy()
    o.add_param_group({"params": params[1], "lr": 0.5})
    train(o, params, 1)
    np.testing.assert_allclose(np.abs(params[1].detach().numpy() - before), 0.5, rtol=1e-6)
    assert o.param_groups[1]["betas"] == (0.9, 0.999)


def test_parameters_appended_to_a_group_step_too():
    params = parameters()
    o = optim.SGD([params[0]], lr=0.1, momentum=0.5)
    train(o, params, 1)
    o.param_groups[0]["params"].append(params[1])
    before = params[1].detach().numpy().copy()
    train(o, params, 1)
    assert (params[1].detach().numpy() != before).all()


def test_names():
    params = parameters()
    o = optim.SGD([("a", params[0]), ("b", params[1])])
    assert o.param_groups[0]["param_names"] == ["a", "b"]
    assert o.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    with pytest.raises(ArgumentError, match="either all groups name"):
        o.add_param_group({"params": [pydl.zeros(2, requires_grad=True)]})


def test_hooks():
    params = parameters()
    o = optim.SGD(params)
    seen = []
    handles = [
        o.register_step_pre_hook(lambda opt, args, kwargs: seen.append(("pre", opt is o, args, kwargs))),
        o.register_step_post_hook(lambda opt, args, kwargs: seen.append(("post", opt is o, args, kwargs))),
    ]
    o.step()
    assert seen == [("pre", True, (None,), {}), ("post", True, (None,), {})]
    for handle in handles:
        handle.remove()
    o.step()
    assert len(seen) == 2
    o.register_step_pre_hook(lambda opt, args, kwargs: ((lambda: 5,), {}))
    assert o.step() == 5


def test_a_subclass_of_the_users():
    class SignSGD(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def _update(self):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.data = p.data - group["lr"] * p.grad.sign()

    params = parameters()
    o = SignSGD(params, 0.5)
    params[0].grad = -pydl.ones(3, 2, dtype=pydl.float64)
    before = params[0].detach().numpy().copy()
    o.step()
    np.testing.assert_array_equal(params[0].detach().numpy(), before + 0.5)
    with pytest.raises(pydl.errors.PydlError, match="must define _update"):
        optim.Optimizer(params, {}).step()


def leaf(*shape):
    return pydl.zeros(*shape, requires_grad=True)


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: optim.SGD([]), ArgumentError, "SGD: the list of parameters is empty"),
        (lambda: optim.SGD(leaf(2)), ArgumentError, "must be a list"),
        (lambda: optim.SGD({"params": leaf(2)}), ArgumentError, "got dict"),
        (lambda: optim.SGD([1.0]), DtypeError, "must be tensors, got float"),
        (lambda: optim.SGD([leaf(2) * 2]), AutogradError, "result of an operation"),
        (lambda: optim.SGD([pydl.zeros(2, dtype=pydl.int64)]), DtypeError, "must be floating, got pydl.int64"),
        (lambda: optim.SGD([leaf(2)] * 2), ArgumentError, r"shape \(2,\) is given more than once"),
        (lambda: (lambda p: optim.SGD([{"params": p}, {"params": [p]}]))(leaf(2)), ArgumentError, "more than once"),
        (lambda: optim.SGD([{"lr": 1.0}]), ArgumentError, 'dict with "params"'),
        (lambda: optim.SGD([{"params": {leaf(2)}}]), DtypeError, "got a set"),
        (lambda: optim.SGD([leaf(2)], lr=-1), ArgumentError, "lr must be >= 0, got -1"),
        (lambda: optim.SGD([leaf(2)], lr=float("nan")), ArgumentError, "lr must be >= 0, got nan"),
        (lambda: optim.SGD([leaf(2)], momentum=-0.1), ArgumentError, "momentum must be >= 0"),
        (lambda: optim.SGD([leaf(2)], weight_decay=-0.1), ArgumentError, "weight_decay must be >= 0"),
        (lambda: optim.SGD([leaf(2)], nesterov=True), ArgumentError, "nesterov needs momentum"),
        (lambda: optim.SGD([leaf(2)], 0.1, 0.9, 0.1, nesterov=True), ArgumentError, "nesterov needs momentum"),
        (lambda: optim.SGD([{"params": [leaf(2)], "lr": -2}]), ArgumentError, "got -2"),
        (lambda: optim.Adam([leaf(2)], lr=-1), ArgumentError, "Adam: lr"),
        (lambda: optim.Adam([leaf(2)], eps=-1), ArgumentError, "eps"),
        (lambda: optim.Adam([leaf(2)], betas=(1.0, 0.9)), ArgumentError, r"two numbers in \[0, 1\)"),
        (lambda: optim.Adam([leaf(2)], betas=(0.9,)), ArgumentError, "two numbers"),
        (lambda: optim.AdamW([leaf(2)], betas=(0.9, -0.1)), ArgumentError, "AdamW: betas"),
        (lambda: optim.SGDW([leaf(2)], weight_decay=-1), ArgumentError, "SGDW: weight_decay"),
        (lambda: optim.Adagrad([leaf(2)], lr_decay=-1), ArgumentError, "Adagrad: lr_decay"),
        (lambda: optim.Adadelta([leaf(2)], rho=1.5), ArgumentError, "rho must be between 0 and 1, got 1.5"),
        (lambda: optim.RMSprop([leaf(2)], alpha=-1), ArgumentError, "alpha must be >= 0"),
        (lambda: optim.Adamax([leaf(2)], betas=(2, 0.9)), ArgumentError, "Adamax: betas"),
        (lambda: optim.NAdam([leaf(2)], momentum_decay=-1), ArgumentError, "momentum_decay"),
        (lambda: optim.RAdam([leaf(2)], lr=-1), ArgumentError, "RAdam: lr"),
        (lambda: optim.Rprop([leaf(2)], etas=(1.2, 0.5)), ArgumentError, "etas must be one number below 1"),
        (lambda: optim.Rprop([leaf(2)], step_sizes=(2, 1)), ArgumentError, "step_sizes must be a range"),
        (lambda: optim.Lion([leaf(2)], betas=(0.9, 1.0)), ArgumentError, "Lion: betas"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda s: None, "expected a state dict"),
        (lambda s: {"state": {}}, "expected a state dict"),
        (lambda s: {**s, "param_groups": []}, "has 0 groups, expected 1"),
        (lambda s: {**s, "param_groups": [{**s["param_groups"][0], "params": [0]}]}, "has 1 parameters, expected 2"),
        (lambda s: {**s, "state": {7: {}}}, "entry 7 that no group lists"),
        (lambda s: {**s, "state": {0: {"exp_avg": pydl.zeros(3)}}}, r"exp_avg of shape \(3,\) does not fit"),
    ],
)
def test_foreign_states_change_nothing(change, text):
    params = parameters()
    o = optim.Adam(params, lr=0.1)
    train(o, params, 2)
    twin = copy.deepcopy(o)
    with pytest.raises(CheckpointError, match=text):
        o.load_state_dict(change(o.state_dict()))
    train(o, params, 2, 2)
    theirs = twin.param_groups[0]["params"]
    train(twin, theirs, 2, 2)
    assert equal(params, theirs)


def test_state_takes_the_dtype_of_the_parameter():
    params = parameters()
    o = optim.Adam(params)
    train(o, params, 1)
    narrow = [p.detach().float().requires_grad_() for p in params]
    other = optim.Adam(narrow)
    other.load_state_dict(o.state_dict())
    assert other.state[narrow[0]]["exp_avg"].dtype is pydl.float32
    train(other, narrow, 1)


def test_repr():
    text = repr(optim.SGD([{"params": leaf(2)}, {"params": leaf(3), "lr": 0.5}], lr=0.1))
    assert text.startswith("SGD (\nParameter Group 0") and "    lr: 0.5" in text and "params" not in text
