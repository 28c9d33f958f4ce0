"""The TCN's networks: against their parts, causal, and the same text with and without looking at all of it."""

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError, ShapeError
from pydl.models import LanguageModel, TCNLanguageModel, TCNSequenceModel, Uncached, generate


def test_sequence_model_is_blocks_and_a_readout() -> None:
    torch = pytest.importorskip("torch")
    model = TCNSequenceModel(2, 3, [4], kernel_size=3, convs=1, weight_norm=False)
    x = np.random.default_rng(0).standard_normal((2, 6, 2)).astype(np.float32)
    p = {name: torch.tensor(q.detach().numpy()) for name, q in model.named_parameters()}
    conv, short = p["tcn.blocks.0.path.1.weight"], p["tcn.blocks.0.shortcut.weight"]
    z = torch.tensor(x).transpose(1, 2)
    h = torch.relu(torch.conv1d(torch.nn.functional.pad(z, (2, 0)), conv, p["tcn.blocks.0.path.1.bias"]))
    h = torch.relu(h + torch.conv1d(z, short, p["tcn.blocks.0.shortcut.bias"]))
    expected = torch.nn.functional.linear(h.transpose(1, 2), p["output.weight"], p["output.bias"])
    np.testing.assert_allclose(model(pydl.tensor(x)).detach().numpy(), expected.numpy(), atol=1e-6)
    model.last = True
    np.testing.assert_allclose(model(pydl.tensor(x)).detach().numpy(), expected[:, -1].numpy(), atol=1e-6)


@pytest.mark.parametrize("weight_norm", [True, False])
def test_small_weights(weight_norm: bool) -> None:
    pydl.manual_seed(0)
    model = TCNSequenceModel(8, 8, [32, 32], small_init=True, weight_norm=weight_norm)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv1d)]
    assert len(convs) == 5 and model.receptive_field == 37
    for part in (*convs, model.output):
        assert 0.005 < float(part.weight.std()) < 0.015


@pytest.mark.parametrize("tied", [False, True])
def test_language_model_decodes_within_its_receptive_field(tied: bool) -> None:
    pydl.manual_seed(1)
    model = TCNLanguageModel(9, 6, [6, 6], kernel_size=2, tie_weights=tied)
    for p in model.parameters():
        p.detach().mul_(8.0 if p.ndim > 1 else 1.0)
    assert isinstance(model, LanguageModel) and (model.output.weight is model.embedding.weight) is tied
    assert model.receptive_field == 7
    ids = np.random.default_rng(0).integers(0, 9, (3, 4))
    made = generate(model, ids, 20, temperature=0).tolist()
    assert made == generate(Uncached(model), ids, 20, temperature=0).tolist()
    model.eval()
    x = pydl.tensor(np.random.default_rng(1).integers(0, 9, (2, 30)))
    whole = model(x)[:, -1].detach().numpy()
    logits, state = model.decode(x[:, :20])
    logits, state = model.decode(x[:, 20:], state)
    assert state.shape == (2, 7)
    np.testing.assert_allclose(logits.detach().numpy(), whole, atol=1e-5)
    np.testing.assert_array_equal(model.select(state, pydl.tensor([1])).numpy(), x[1:, -7:].numpy())


def test_it_learns() -> None:
    """The next of a cycle, after one look back."""
    pydl.manual_seed(0)
    model = TCNLanguageModel(5, 8, [16], kernel_size=2, dropout=0.0, embedding_dropout=0.0)
    ids = pydl.tensor((np.arange(40) * 2 % 5)[None])
    optimizer = pydl.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match="tie_weights needs"):
        TCNLanguageModel(5, 3, [4], tie_weights=True)
    with pytest.raises(ShapeError, match="at least one token"):
        TCNLanguageModel(5, 3, [4])(pydl.zeros(1, 0, dtype=pydl.int64))
    with pytest.raises(ShapeError, match=r"expected \(b, t, features\)"):
        TCNSequenceModel(2, 3, [4])(pydl.ones(2, 3))
