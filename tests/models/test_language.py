"""The recurrent language model: torch's numbers with torch's parts, carried state, generation, truncation."""

from collections import namedtuple

import numpy as np
import pytest

import pydl
from pydl.data import BPTTBatches
from pydl.errors import ArgumentError, BoundsError, ShapeError
from pydl.models import LanguageModel, RNNLanguageModel, Uncached, beam_search, detach_state, generate, unroll
from pydl.nn import functional as F
from pydl.optim import Adam

KINDS = ["lstm", "gru", "rnn_tanh", "rnn_relu"]


def ids(*shape, v=7, seed=0):
    return np.random.default_rng(seed).integers(0, v, shape)


def torch_model(torch, model, kind, layers):
    """The same network of torch's layers with the same weights."""
    v, e = model.embedding.weight.shape
    cell = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(kind, torch.nn.RNN)
    options = {"nonlinearity": kind[4:]} if kind.startswith("rnn") else {}
    made = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(v, e),
            "rnn": cell(e, model.output.weight.shape[1], layers, batch_first=True, **options),
            "output": torch.nn.Linear(model.output.weight.shape[1], v),
        }
    )
    made.load_state_dict({name: torch.from_numpy(p.numpy().copy()) for name, p in model.state_dict().items()})
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2])
def test_agrees_with_torch(kind, layers):
    torch = pytest.importorskip("torch")
    model = RNNLanguageModel(7, 5, 6, layers, kind)
    theirs = torch_model(torch, model, kind, layers)
    x, y = ids(3, 8), ids(3, 8, seed=1)
    state, their_state = None, None
    for part in (slice(0, 5), slice(5, 8)):  # the state goes on
        logits, state = model(pydl.tensor(x[:, part]), state)
        hidden, their_state = theirs["rnn"](theirs["embedding"](torch.tensor(x[:, part])), their_state)
        expected = theirs["output"](hidden)
        np.testing.assert_allclose(logits.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    F.cross_entropy(logits.flatten(0, 1), pydl.tensor(y[:, 5:]).flatten()).backward()
    torch.nn.functional.cross_entropy(expected.flatten(0, 1), torch.tensor(y[:, 5:]).flatten()).backward()
    for name, p in theirs.named_parameters():
        ours = dict(model.named_parameters())[name].grad
        np.testing.assert_allclose(ours.numpy(), p.grad.numpy(), rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_generates(kind):
    model = RNNLanguageModel(7, 5, 16, 2, kind, dropout=0.5)
    assert isinstance(model, LanguageModel)
    prompt = ids(3, 4)
    made = generate(model, prompt, 10, temperature=0)
    assert made.shape == (3, 14) and model.training
    whole = generate(lambda x: model.eval()(x), prompt, 10, temperature=0)  # all tokens anew each time
    assert made.tolist() == whole.tolist()
    cached = beam_search(model, prompt, 5, 4, stop_tokens=0, num_return_sequences=3)
    plain = beam_search(Uncached(model), prompt, 5, 4, stop_tokens=0, num_return_sequences=3)
    assert cached.sequences.tolist() == plain.sequences.tolist()
    np.testing.assert_allclose(cached.scores.numpy(), plain.scores.numpy(), rtol=1e-4)


def test_tied_weights():
    model = RNNLanguageModel(7, 6, 6, 1, tie_weights=True)
    assert model.output.weight is model.embedding.weight
    free = RNNLanguageModel(7, 6, 6, 1)
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    assert count(free) - count(model) == 7 * 6
    logits, _ = model(pydl.tensor(ids(2, 9)))
    assert float(logits.detach().abs().max()) < 3
    F.cross_entropy(logits.flatten(0, 1), pydl.tensor(ids(18))).backward()
    tied = model.embedding.weight.grad.numpy()
    free.load_state_dict({**model.state_dict(), "output.weight": model.output.weight.detach().clone()})
    logits, _ = free(pydl.tensor(ids(2, 9)))
    F.cross_entropy(logits.flatten(0, 1), pydl.tensor(ids(18))).backward()
    both = free.embedding.weight.grad.numpy() + free.output.weight.grad.numpy()
    np.testing.assert_allclose(tied, both, rtol=1e-4, atol=1e-6)
    before = model.embedding.weight.detach().numpy().copy()
    Adam(model.parameters(), 0.1).step()
    assert model.output.weight is model.embedding.weight and not np.allclose(
        before, model.output.weight.detach().numpy()
    )


def test_truncation():
    """The gradient of a stretch is that of the whole text where nothing came before, and stops at detach_state."""
    model = RNNLanguageModel(7, 5, 6, 2)
    tokens = ids(2 * 13)
    whole = BPTTBatches(tokens, 2, 100)

    def gradients(batches, stop):
        model.zero_grad()
        state, total, n = None, 0.0, 0
        for x, y in batches:
            logits, state = model(x, state)
            state = detach_state(state) if stop else state
            total, n = total + F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum"), n + y.numel()
        (total / n).backward()
        return total.item() / n, [p.grad.numpy().copy() for p in model.parameters()]

    loss, exact = gradients(whole, True)
    for bptt, stop in ((4, False), (12, True), (4, True)):
        again, cut = gradients(BPTTBatches(tokens, 2, bptt), stop)
        assert again == pytest.approx(loss, rel=1e-5)
        close = [np.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(exact, cut, strict=True)]
        assert all(close) if not (stop and bptt == 4) else not all(close)


def test_learns_a_text():
    tokens = np.tile([0, 3, 1, 3, 2, 3], 50)  # what follows a 3 depends on what came before it
    model = RNNLanguageModel(4, 8, 16, 1, "gru")
    optimizer = Adam(model.parameters(), 0.02)
    for _ in range(15):
        state = None
        for x, y in BPTTBatches(tokens, 4, 10):
            logits, state = model(x, state)
            state = detach_state(state)
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert loss.item() < 0.1
    assert generate(model, [0, 3], 10, temperature=0).tolist() == [0, 3, 1, 3, 2, 3, 0, 3, 1, 3, 2, 3]


def test_unrolling():
    model, x = RNNLanguageModel(7, 5, 6, 2), pydl.tensor(ids(4, 6))
    forced = unroll(model, x)
    assert forced.tolist() == model(x)[0].tolist()
    nearly = unroll(model, x, 1 - 1e-12)  # step by step, and the true token each time
    np.testing.assert_allclose(nearly.detach().numpy(), forced.detach().numpy(), rtol=1e-4, atol=1e-5)
    pydl.manual_seed(1)
    free = unroll(model, x, 0.0)
    pydl.manual_seed(1)
    poisoned = pydl.tensor(np.concatenate([x.numpy()[:, :1], 6 - x.numpy()[:, 1:]], 1))
    assert unroll(model, poisoned, 0.0).tolist() == free.tolist() != forced.tolist()  # no target leaks
    assert free[:, 0].tolist() == nearly[:, 0].tolist()
    n = 2000
    certain = RNNLanguageModel(7, 5, 6, 1, "gru")
    certain.output.bias.detach()[3] = 1e3  # draws nothing but 3
    read = []
    original = certain.embedding.forward
    certain.embedding.forward = lambda input: read.append(input.numpy().copy()) or original(input)
    unroll(certain, pydl.zeros(n, 2, dtype=pydl.int64), 0.3)
    assert read[0].tolist() == [[0]] * n and 0.65 < (read[1] == 3).mean() < 0.75
    F.cross_entropy(free.flatten(0, 1), pydl.tensor(ids(24))).backward()
    assert all(p.grad is not None for p in model.parameters())
    for wrong, error in (((x, 1.5), ArgumentError), ((x[0], 1.0), ShapeError), ((x[:, :0], 0.0), ShapeError)):
        with pytest.raises(error, match="unroll: "):
            unroll(model, *wrong)


def test_detach_state():
    pair = namedtuple("pair", "h c")
    x = pydl.ones(2, requires_grad=True) * 2
    state = detach_state({"a": [x, (x, 3)], "b": pair(x, None)})
    assert isinstance(state["b"], pair) and state["a"][1][1] == 3 and state["b"].c is None
    assert not any(t.requires_grad for t in (state["a"][0], state["a"][1][0], state["b"].h)) and x.requires_grad


def test_dropout_is_for_training():
    model = RNNLanguageModel(7, 5, 6, 2, dropout=0.5)
    x = pydl.tensor(ids(2, 5))
    assert model(x)[0].tolist() != model(x)[0].tolist()
    model.eval()
    assert model(x)[0].tolist() == model(x)[0].tolist()


def test_wrong_arguments():
    with pytest.raises(ArgumentError, match=r"rnn must be one of .*got 'elman'"):
        RNNLanguageModel(7, rnn="elman")
    with pytest.raises(ArgumentError, match="tie_weights needs embedding_dim == hidden_size, got 5, 6"):
        RNNLanguageModel(7, 5, 6, tie_weights=True)
    with pytest.raises(BoundsError):
        RNNLanguageModel(7, 5, 6)(pydl.tensor([[7]]))
