"""Recurrent layers and cells against PyTorch: outputs, states, gradients; packed sequences."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from against_torch import torch

import pydl
from pydl import nn
from pydl.autograd import gradcheck, gradgradcheck
from pydl.errors import ArgumentError, DtypeError, PydlError, ShapeError
from pydl.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
LIMIT = {"float32": 2e-5, "float64": 1e-11}
KINDS = {"RNN": {}, "RNN relu": {"nonlinearity": "relu"}, "LSTM": {}, "GRU": {}, "LSTM proj": {"proj_size": 3}}


def pair(kind: str, *args: Any, dtype: str = "float64", **kwargs: Any) -> tuple[Any, Any]:
    """The same layer of both libraries, with the same weights."""
    name = kind.split()[0]
    kwargs = KINDS[kind] | kwargs
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs, dtype=getattr(torch, dtype))
    ours = getattr(nn, name)(*args, **kwargs, dtype=getattr(pydl, dtype))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def both(a: np.ndarray) -> tuple[pydl.Tensor, Any]:
    return pydl.tensor(a).requires_grad_(), torch.tensor(a, requires_grad=True)


def agree(ours: Any, theirs: Any, limit: float, what: str) -> None:
    e = theirs.detach().numpy()
    assert ours.shape == e.shape, what
    scale = max(1.0, float(np.abs(e).max(initial=0)))
    np.testing.assert_allclose(ours.detach().numpy(), e, rtol=0, atol=limit * scale, err_msg=what)


def flat(made: Any) -> list[Any]:
    """All tensors of a result: y, or the data of packed rows, and the states."""
    if isinstance(made, (PackedSequence, torch.nn.utils.rnn.PackedSequence)):
        return [made.data]
    return [t for m in made for t in flat(m)] if isinstance(made, (tuple, list)) else [made]


def compare(ours: Any, theirs: Any, made: Any, wanted: Any, inputs: list[tuple[Any, Any]], limit: float) -> None:
    """Outputs, and the gradients of a random function of all of them."""
    listed = list(zip(flat(made), flat(wanted), strict=True))
    rng = np.random.default_rng(3)
    left, right = 0, 0
    for i, (y, e) in enumerate(listed):
        agree(y, e, limit, f"output {i}")
        g = rng.standard_normal(e.shape)
        left, right = left + (y * pydl.tensor(g).to(y.dtype)).sum(), right + (e * torch.tensor(g).to(e.dtype)).sum()
    left.backward()
    right.backward()
    for i, (x, t) in enumerate(inputs):
        agree(x.grad, t.grad, limit, f"gradient of input {i}")
    for (name, p), t in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        agree(p.grad, t.grad, limit, f"gradient of {name}")


def states(kind: str, layers: int, b: int, h: int, dtype: str) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(2)
    p = 3 if "proj" in kind else h
    shapes = [(layers, b, p), (layers, b, h)] if "LSTM" in kind else [(layers, b, h)]
    return [both(rng.standard_normal(s).astype(dtype)) for s in shapes]


def as_hx(found: list[tuple[Any, Any]], which: int) -> Any:
    return found[0][which] if len(found) == 1 else tuple(s[which] for s in found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bias", "batch_first", "bidirectional", "given"), list(product([True, False], repeat=4)))
def test_layers(kind: str, bias: bool, batch_first: bool, bidirectional: bool, given: bool) -> None:
    options = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
    for layers, dtype in ((1, "float32"), (2, "float64"), (3, "float64")):
        ours, theirs = pair(kind, 5, 7, layers, **options, dtype=dtype)
        x = both(np.random.default_rng(1).standard_normal((4, 6, 5)).astype(dtype))
        b = 4 if batch_first else 6
        hx = states(kind, layers * (2 if bidirectional else 1), b, 7, dtype) if given else []
        made, wanted = (ours(x[0], as_hx(hx, 0)), theirs(x[1], as_hx(hx, 1))) if given else (ours(x[0]), theirs(x[1]))
        compare(ours, theirs, made, wanted, [x, *hx], LIMIT[dtype])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 4), (2, 1, 3, 5), (9, 2, 8, 33), (3, 3, 40, 17), (2, 16, 5, 65), (5, 40, 9, 70)]
)
def test_sizes(kind: str, sizes: tuple[int, ...]) -> None:
    """Few rows and many, units that fill vectors and blocks and that do not."""
    t, b, i, h = sizes
    for dtype in LIMIT:
        ours, theirs = pair(kind, i, h, bidirectional=True, dtype=dtype)
        x = both(np.random.default_rng(1).standard_normal((t, b, i)).astype(dtype))
        compare(ours, theirs, ours(x[0]), theirs(x[1]), [x], LIMIT[dtype])


@pytest.mark.parametrize(
    ("kind", "steps", "h"), [("LSTM", 48, 64), ("GRU", 64, 64), ("RNN", 192, 64), ("LSTM", 45, 70)]
)
def test_beyond_the_caches(kind: str, steps: int, h: int) -> None:
    """From 24 MiB on, gradients of the products are written past the caches, but for units that do not fill vectors."""
    ours, theirs = pair(kind, 3, h, dtype="float32")
    x = both(np.random.default_rng(1).standard_normal((steps, 512, 3)).astype(np.float32))
    compare(ours, theirs, ours(x[0]), theirs(x[1]), [x], LIMIT["float32"])


@pytest.mark.parametrize("kind", KINDS)
def test_without_batch(kind: str) -> None:
    for batch_first in (False, True):
        ours, theirs = pair(kind, 5, 7, 2, batch_first=batch_first)
        x = both(np.random.default_rng(1).standard_normal((4, 5)))
        compare(ours, theirs, ours(x[0]), theirs(x[1]), [x], 1e-11)
        hx = [(a.detach().select(1, 0), b.detach().select(1, 0)) for a, b in states(kind, 2, 1, 7, "float64")]
        y, e = ours(x[0], as_hx(hx, 0)), theirs(x[1], as_hx(hx, 1))
        for a, b in zip(flat(y), flat(e), strict=True):
            agree(a, b, 1e-11, "with states")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [[5, 5, 3, 1], [4, 2, 2, 2], [6, 6, 6, 6], [1, 1, 1, 1]])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_packed(kind: str, lengths: list[int], bidirectional: bool, given: bool) -> None:
    """Sorted and not; every sequence is read to its own end and back."""
    from torch.nn.utils import rnn as theirs_rnn

    for sort in (True, False):
        ours, theirs = pair(kind, 5, 7, 2, bidirectional=bidirectional)
        own = lengths if sort else [lengths[i] for i in (2, 0, 3, 1)]
        x = both(np.random.default_rng(1).standard_normal((6, 4, 5)))
        hx = states(kind, 4 if bidirectional else 2, 4, 7, "float64") if given else []
        packed = pack_padded_sequence(x[0], own, enforce_sorted=sort)
        wanted = theirs_rnn.pack_padded_sequence(x[1], torch.tensor(own), enforce_sorted=sort)
        np.testing.assert_array_equal(packed.batch_sizes.numpy(), wanted.batch_sizes.numpy())
        if not sort:
            np.testing.assert_array_equal(np.sort(packed.sorted_indices.numpy()), np.arange(4))
            order = packed.sorted_indices.numpy()  # ties may be in another order than PyTorch's
            wanted = theirs_rnn.pack_padded_sequence(x[1][:, order], torch.tensor(own)[order])
            back = np.argsort(order)
            wanted = theirs_rnn.PackedSequence(wanted.data, wanted.batch_sizes, torch.tensor(order), torch.tensor(back))
        made = ours(packed, as_hx(hx, 0)) if given else ours(packed)
        e = theirs(wanted, as_hx(hx, 1)) if given else theirs(wanted)
        compare(ours, theirs, made, e, [x, *hx], 1e-11)
        padded, found = pad_packed_sequence(made[0])
        np.testing.assert_array_equal(found.numpy(), own)
        agree(padded, theirs_rnn.pad_packed_sequence(e[0])[0], 1e-11, "padded")


def test_padded_rows_are_sequences_of_their_own() -> None:
    net = nn.GRU(3, 4, bidirectional=True, dtype=pydl.float64)
    x = pydl.tensor(np.random.default_rng(0).standard_normal((5, 3, 3)))
    lengths = [2, 5, 3]
    y, h = net(pack_padded_sequence(x, lengths, enforce_sorted=False))
    padded, _ = pad_packed_sequence(y, padding_value=-7.0)
    for i, n in enumerate(lengths):
        alone, last = net(x[:n, i : i + 1])
        np.testing.assert_allclose(padded[:n, i].detach().numpy(), alone[:, 0].detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(h[:, i].detach().numpy(), last[:, 0].detach().numpy(), atol=1e-12)
        assert (padded[n:, i].detach().numpy() == -7).all()


@pytest.mark.parametrize("kind", [k for k in KINDS if "proj" not in k])
@pytest.mark.parametrize("bias", [True, False])
def test_cells(kind: str, bias: bool) -> None:
    name, options = f"{kind.split()[0]}Cell", KINDS[kind]
    theirs = getattr(torch.nn, name)(5, 7, bias, **options).double()
    ours = getattr(nn, name)(5, 7, bias, **options).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(1)
    for lead in ((4,), ()):
        x, h, c = (both(rng.standard_normal((*lead, n))) for n in (5, 7, 7))
        hx = [h, c] if "LSTM" in kind else [h]
        ours.zero_grad()
        theirs.zero_grad()
        compare(ours, theirs, ours(x[0], as_hx(hx, 0)), theirs(x[1], as_hx(hx, 1)), [x, *hx], 1e-11)
        for a, b in zip(flat(ours(x[0])), flat(theirs(x[1])), strict=True):
            agree(a, b, 1e-11, "without a state")


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "LSTM proj"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half(kind: str, dtype: str) -> None:
    """Computed in float32: as exact as rounding the inputs and the result allows."""
    ours, theirs = pair(kind, 5, 7, 2, dtype="float64")
    x = np.random.default_rng(1).standard_normal((4, 3, 5))
    low = getattr(pydl, dtype)
    rounded = {k: v.to(low) for k, v in ours.state_dict().items()}
    theirs.load_state_dict({k: torch.tensor(v.double().numpy()) for k, v in rounded.items()})
    ours.to(low)
    given = pydl.tensor(x).to(low).requires_grad_()
    y = ours(given)[0]
    assert y.dtype is low
    e = theirs(torch.tensor(given.detach().double().numpy()))[0]
    limit = 2 * (2.0**-10 if dtype == "float16" else 2.0**-7)
    np.testing.assert_allclose(y.detach().double().numpy(), e.detach().numpy(), atol=limit)
    y.sum().backward()
    assert given.grad.dtype is low and all(p.grad.dtype is low for p in ours.parameters())


def test_mixed_precision() -> None:
    """Under autocast a narrow input meets wide weights: computed in float32, given back as it came."""
    net, first = nn.LSTM(5, 7), nn.Linear(3, 5)
    x = pydl.randn(4, 2, 3)
    with pydl.amp.autocast("cpu"):
        y, _ = net(first(x))
    assert y.dtype is pydl.bfloat16
    np.testing.assert_allclose(y.detach().float().numpy(), net(first(x))[0].detach().numpy(), atol=0.02)
    y.float().sum().backward()
    assert net.weight_ih_l0.grad.dtype is pydl.float32
    with pytest.raises(DtypeError, match="does not match weight_ih"):
        net(first(x).bfloat16())


def test_texts() -> None:
    for kind, options in product(KINDS, [{}, {"num_layers": 2, "dropout": 0.5, "bias": False}, {"batch_first": True}]):
        ours, theirs = pair(kind, 5, 7, **options)
        if "relu" not in kind:
            assert repr(ours) == repr(theirs)


# ---------------------------------------------------------------- dropout, bits, second derivatives


def test_dropout_is_between_layers_alone() -> None:
    net = nn.LSTM(4, 6, 2, dropout=0.5)
    x = pydl.randn(3, 2, 4)
    assert not np.array_equal(net(x)[0].detach().numpy(), net(x)[0].detach().numpy())
    net.eval()
    assert np.array_equal(net(x)[0].detach().numpy(), net(x)[0].detach().numpy())
    one = nn.LSTM(4, 6, 1, dropout=0.5)
    assert np.array_equal(one(x)[0].detach().numpy(), one(x)[0].detach().numpy())
    net.train()
    net.dropout = 1.0  # the second layer sees zeros
    silent, _ = net(x)
    zeros, _ = net.eval()(x * 0)
    assert not np.array_equal(silent.detach().numpy(), zeros.detach().numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_for_any_number_of_threads(kind: str) -> None:
    net = getattr(nn, kind.split()[0])(130, 300, **KINDS[kind])
    x = pydl.randn(4, 40, 130)
    made = []
    for threads in (1, 2, 2):
        pydl.set_num_threads(threads)
        net.zero_grad()
        y, _ = net(x)
        y.sum().backward()
        made.append([y.detach().numpy().tobytes(), *(p.grad.numpy().tobytes() for p in net.parameters())])
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_second_derivatives(kind: str, packed: bool) -> None:
    """Gradients of both orders against differences, of input, states and weights."""
    net = getattr(nn, kind.split()[0])(2, 4, bidirectional=packed, dtype=pydl.float64, **KINDS[kind])
    rng = np.random.default_rng(5)
    x = pydl.tensor(rng.standard_normal((3, 2, 2))).requires_grad_()
    hx = [s for s, _ in states(kind, 2 if packed else 1, 2, 4, "float64")]
    weights = list(net.parameters())
    function = getattr(pydl, {"RNN": "rnn_tanh", "RNN relu": "rnn_relu"}.get(kind, net.cell))

    def call(x: pydl.Tensor, *rest: pydl.Tensor) -> Any:
        given = rest[0] if len(hx) == 1 else tuple(rest[: len(hx)])
        x = pack_padded_sequence(x, [3, 2]).data if packed else x
        sizes = [2, 2, 1] if packed else None
        return function(x, given, rest[len(hx) :], True, 1, 0.0, True, packed, batch_sizes=sizes)

    assert gradcheck(call, [x, *hx, *weights], rtol=1e-5, atol=1e-7)
    assert gradgradcheck(call, [x, *hx, *weights], fast_mode=True, rtol=1e-4, atol=1e-6)


def test_gradient_through_fifteen_steps() -> None:
    net = nn.RNN(2, 3, dtype=pydl.float64)
    x = pydl.tensor(np.random.default_rng(0).standard_normal((15, 1, 2))).requires_grad_()
    assert gradcheck(lambda x: net(x)[0][-1], [x], rtol=1e-6)


# ---------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.LSTM(3, 4)(pydl.ones(2, 2, 5)), ShapeError, "expected 2 axes or 3 axes, the last of size 3"),
        (lambda: nn.LSTM(3, 4)(pydl.ones(3)), ShapeError, "expected 2 axes or 3 axes"),
        (lambda: nn.LSTM(3, 4)(pydl.ones(2, 2, 3), pydl.ones(1, 2, 4)), DtypeError, "hx must be a pair"),
        (lambda: nn.LSTM(3, 4)(pydl.ones(2, 2, 3), (pydl.ones(1, 3, 4),) * 2), ShapeError, r"expected \(1, 2, 4\)"),
        (lambda: nn.GRU(3, 4)(pydl.ones(2, 2, 3), pydl.ones(2, 2, 4)), ShapeError, r"expected \(1, 2, 4\)"),
        (lambda: nn.GRU(3, 4)(pydl.ones(2, 3), pydl.ones(1, 1, 4)), ShapeError, r"expected \(1, 4\)"),
        (lambda: nn.GRU(3, 4)(pydl.ones(0, 2, 3)), ShapeError, "has no steps"),
        (lambda: nn.GRU(3, 4)(pydl.ones(2, 2, 3).double()), DtypeError, "does not match input"),
        (lambda: nn.GRU(3, 4)(pydl.ones(2, 2, 3, dtype=pydl.int64)), DtypeError, "floating"),
        (lambda: nn.GRU(3, 4)(None), DtypeError, "expected a tensor or a PackedSequence"),
        (lambda: nn.RNN(3, 4, nonlinearity="elu"), ArgumentError, "nonlinearity must be"),
        (lambda: nn.RNN(0, 4), ArgumentError, "input_size must be positive"),
        (lambda: nn.RNN(3, 4.0), DtypeError, "hidden_size must be an integer"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ArgumentError, "proj_size"),
        (lambda: nn.LSTM(3, 4, dropout=1.5), ArgumentError, "dropout"),
        (lambda: nn.RNNBase("LSTN", 3, 4), ArgumentError, "mode must be one of"),
        (lambda: nn.LSTMCell(3, 4)(pydl.ones(2, 4)), ShapeError, r"expected \(batch, 3\)"),
        (lambda: nn.LSTMCell(3, 4)(pydl.ones(2, 3), (pydl.ones(3, 4),) * 2), ShapeError, r"expected \(2, 4\)"),
        (lambda: nn.GRUCell(3, 4)(pydl.ones(2, 3), pydl.ones(2, 5)), ShapeError, r"expected \(2, 4\)"),
        (lambda: nn.Bidirectional(nn.GRU(3, 4, 2)), ArgumentError, "one layer"),
    ],
)  # fmt: skip
def test_errors(call: Any, error: type[PydlError], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_empty_batch() -> None:
    """No sequences, no outputs; gradients of the weights are zero."""
    for kind in KINDS:
        ours, theirs = pair(kind, 3, 4, 2, bidirectional=True)
        x = both(np.zeros((5, 0, 3)))
        compare(ours, theirs, ours(x[0]), theirs(x[1]), [x], 0)


def test_nan_stays_in_its_row() -> None:
    for kind in KINDS:
        net = getattr(nn, kind.split()[0])(3, 4, **KINDS[kind])
        x = pydl.ones(4, 2, 3)
        x[1, 0, 0] = float("nan")
        y = net(x)[0].detach().numpy()
        assert np.isnan(y[1:, 0]).all() and not np.isnan(y[:, 1]).any() and not np.isnan(y[0]).any()
