"""GPT against the GPT-2 of `transformers`, and its cache against the whole sequence."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pydl
from pydl import nn
from pydl.errors import ArgumentError, BoundsError, CheckpointError, DtypeError, ShapeError
from pydl.models import GPT, GPTConfig
from pydl.ops.attention import cached_attention

SMALL = GPTConfig(vocab_size=61, block_size=24, n_layer=2, n_head=3, n_embd=24)


def tokens(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, SMALL.vocab_size, shape)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Any, Path]:
    """A GPT-2 with random weights, and the folder it was saved to."""
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=61, n_positions=24, n_layer=2, n_head=3, n_embd=24, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
    )
    model = transformers.GPT2LMHeadModel(config)
    for p in model.parameters():
        p.data.add_(p.data.new_empty(p.shape).normal_(0, 0.05))
    model.save_pretrained(tmp_path, safe_serialization=True)
    return model, tmp_path


@pytest.mark.filterwarnings("ignore")
def test_the_gpt2_of_transformers(saved: tuple[Any, Path]) -> None:
    """Logits, loss and all gradients of one with random weights, from its safetensors file."""
    import torch

    theirs, folder = saved
    theirs.eval()
    ours = GPT.from_gpt2(folder)
    ids = tokens(3, 20)
    made = theirs(torch.from_numpy(ids), labels=torch.from_numpy(ids))
    targets = np.concatenate([ids[:, 1:], np.full((3, 1), -1)], 1)
    logits, loss = ours(pydl.tensor(ids), pydl.tensor(targets))
    np.testing.assert_allclose(logits.detach().numpy(), made.logits.detach().numpy(), atol=2e-5)
    np.testing.assert_allclose(float(loss), float(made.loss), rtol=1e-5)
    made.loss.backward()
    loss.backward()
    grads = {name: p.grad.numpy() for name, p in ours.named_parameters()}
    compared = 0
    for name, p in theirs.named_parameters():
        expected = p.grad.numpy()
        turned = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        np.testing.assert_allclose(grads[name], expected.T if turned else expected, atol=2e-5, err_msg=name)
        compared += 1
    assert compared == len(grads) == 2 + 12 * 2 + 2


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_other_sizes_is_refused(saved: tuple[Any, Path]) -> None:
    _, folder = saved
    with pytest.raises(CheckpointError):
        GPT(vocab_size=60, block_size=24, n_layer=2, n_head=3, n_embd=24).load_gpt2(folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="does not hold a GPT-2"):
        GPT.from_gpt2(folder)
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(CheckpointError, match="lacks"):
        GPT.from_gpt2(folder)


def test_decoding_with_a_cache_is_the_whole_sequence() -> None:
    """In pieces of 1, 3, 5, ... tokens."""
    model = GPT(SMALL).double()
    ids = tokens(2, 24)
    whole = model(pydl.tensor(ids)).detach().numpy()
    state, start = None, 0
    for n in (1, 3, 1, 5, 1, 1, 7, 5):
        logits, state = model.decode(pydl.tensor(ids[:, start : start + n]), state)
        start += n
        np.testing.assert_allclose(logits.numpy(), whole[:, start - 1], atol=1e-12)
    assert start == 24 and not logits.requires_grad


@pytest.mark.parametrize("captured", [False, True])
def test_a_step_goes_on_from_a_state(captured: bool) -> None:
    """One recording serves all places, as does the eager step; the state stays as it was."""
    model = GPT(SMALL).double()
    ids = tokens(2, 24)
    whole = model(pydl.tensor(ids)).detach().numpy()
    _, state = model.decode(pydl.tensor(ids[:, :7]))
    function = model.step(state, 17)
    step = pydl.capture(function) if captured else function
    for n in range(7, 24):
        logits = step(pydl.tensor(ids[:, n : n + 1]))
        np.testing.assert_allclose(logits.numpy(), whole[:, n], atol=1e-12)
    if captured:
        assert len(step.plans) == 1
    with pytest.raises(BoundsError):
        step(pydl.tensor(ids[:, :1]))
    with pytest.raises(BoundsError):
        step(pydl.tensor(ids[:, :1]) + 1000)
    again, _ = model.decode(pydl.tensor(ids[:, 7:8]), state)
    np.testing.assert_allclose(again.numpy(), whole[:, 7], atol=1e-12)


def test_a_step_refuses_what_it_cannot_go_on_from() -> None:
    model = GPT(SMALL)
    ids = pydl.tensor(tokens(2, 6))
    _, state = model.decode(ids)
    step = model.step(state, 2)
    with pytest.raises(BoundsError, match="at most 24"):
        model.step(state, 19)
    with pytest.raises(ShapeError, match="expected ids"):
        step(ids)
    with pytest.raises(ArgumentError, match="of a step"):
        model.decode(ids, step.state)
    _, padded = model.decode(ids, attention_mask=pydl.tensor([[0, 1, 1, 1, 1, 1]] * 2))
    with pytest.raises(ArgumentError, match="padding"):
        model.step(padded, 1)


def test_a_memory_takes_only_what_fits() -> None:
    """Nothing is written before the shapes, dtypes and places were looked at."""
    x, keys, values = pydl.randn(2, 3, 3, 4, 5), pydl.zeros(2, 4, 8, 5), pydl.zeros(2, 4, 8, 5)
    assert cached_attention(x, keys, values, 5).shape == (2, 3, 20)
    assert not keys[:, :, :5].numpy().any() and (keys[:, :, 5:].numpy() != 0).all()
    wrong = [(keys, 6), (keys, -1), (pydl.zeros(2, 3, 8, 5), 0), (pydl.zeros(2, 4, 8, 6), 0), (pydl.zeros(8, 5), 0)]
    for memory, length in wrong:
        with pytest.raises(ShapeError, match="does not take"):
            cached_attention(x, memory, values, length)
    with pytest.raises(DtypeError, match="float64"):
        cached_attention(x, keys.double(), values, 0)
    with pytest.raises(ShapeError, match="do not broadcast"):
        cached_attention(x, keys, values, 0, pydl.zeros(7))
    with pytest.raises(ShapeError, match="expected"):
        cached_attention(x[:, :, 0], keys, values, 0)
    assert not keys[:, :, :5].numpy().any()
    few = cached_attention(pydl.zeros(2, 0, 3, 4, 5), keys, values, 2)
    assert few.shape == (2, 0, 20)


def test_a_state_can_be_gone_on_from_twice() -> None:
    model = GPT(SMALL).double()
    ids = tokens(2, 9)
    _, state = model.decode(pydl.tensor(ids[:, :4]))
    first, _ = model.decode(pydl.tensor(ids[:, 4:5]), state)
    other, _ = model.decode(pydl.tensor(ids[:, 5:8]), state)
    again, _ = model.decode(pydl.tensor(ids[:, 4:5]), state)
    np.testing.assert_array_equal(first.numpy(), again.numpy())
    expected = model(pydl.tensor(np.concatenate([ids[:, :4], ids[:, 5:8]], 1)))[:, -1]
    np.testing.assert_allclose(other.numpy(), expected.detach().numpy(), atol=1e-12)


def test_sequences_are_selected() -> None:
    model = GPT(SMALL).double()
    ids = tokens(3, 6)
    _, state = model.decode(pydl.tensor(ids[:, :5]))
    picked = model.select(state, pydl.tensor([2, 0, 2]))
    made, _ = model.decode(pydl.tensor(ids[[2, 0, 2], 5:]), picked)
    np.testing.assert_allclose(made.numpy(), model(pydl.tensor(ids[[2, 0, 2]]))[:, -1].detach().numpy(), atol=1e-12)


def test_every_layer_is_called_as_a_module() -> None:
    """So that hooks and what is put in a layer's place are seen, in training and in decoding."""
    model, called = GPT(SMALL), []
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear | nn.LayerNorm | nn.Embedding)}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda m, args, y, name=name: called.append(name))
    for run in (model, model.decode):
        called.clear()
        run(pydl.tensor(tokens(2, 5)))
        assert set(called) == set(layers)


def test_the_future_has_no_influence() -> None:
    """Changing a token changes no earlier logits, and no later token has a gradient there."""
    model = GPT(SMALL).double()
    ids = tokens(1, 10)
    before = model(pydl.tensor(ids)).detach().numpy()
    ids[0, 6] = (ids[0, 6] + 1) % 61
    after = model(pydl.tensor(ids)).detach().numpy()
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert np.abs(before[:, 6:] - after[:, 6:]).max() > 1e-6


def test_parameters_and_first_loss() -> None:
    """124 million of them in the small GPT-2, the head's being the embedding's; a new model knows nothing."""
    sizes = GPTConfig()
    c, layers = sizes.n_embd, sizes.n_layer
    expected = (sizes.vocab_size + sizes.block_size) * c + layers * (12 * c * c + 13 * c) + 2 * c
    small = GPT(SMALL)
    assert sum(p.numel() for p in small.parameters()) == (61 + 24) * 24 + 2 * (12 * 576 + 13 * 24) + 48
    assert expected == 124439808
    assert small.lm_head.weight is small.transformer["wte"].weight
    ids = tokens(4, 24)
    assert abs(float(small(pydl.tensor(ids), pydl.tensor(60 - ids))[1]) - math.log(61)) < 0.2


def test_it_learns() -> None:
    """A sequence by heart, with dropout in training and none outside."""
    pydl.manual_seed(0)
    model = GPT(vocab_size=11, block_size=12, n_layer=2, n_head=2, n_embd=32, dropout=0.1)
    opt = pydl.optim.AdamW(model.parameters(), lr=1e-2)
    ids = np.random.default_rng(0).integers(0, 11, (4, 13))
    x, y = pydl.tensor(ids[:, :-1]), pydl.tensor(ids[:, 1:])
    for _ in range(120):
        _, loss = model(x, y)
        opt.zero_grad()
        loss.backward()
        opt.step()
    model.eval()
    assert float(model(x, y)[1]) < 0.35


def test_wrong_arguments() -> None:
    model = GPT(SMALL)
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: GPT(n_embd=10, n_head=3), ArgumentError, "do not share"),
        (lambda: model(pydl.tensor(tokens(5))), ShapeError, "expected ids (b, t)"),
        (lambda: model(pydl.tensor(tokens(1, 25))), BoundsError, "at most 24"),
        (lambda: model(pydl.tensor([[61]])), BoundsError, "out of range"),
        (lambda: model.decode(pydl.tensor(tokens(1, 0))), ShapeError, "at least one token"),
        (lambda: model.decode(pydl.tensor(tokens(1, 25))), BoundsError, "at most 24"),
    ]
    for call, error, text in cases:
        with pytest.raises(error) as caught:
            call()
        assert text in str(caught.value), str(caught.value)
    assert model(pydl.tensor(tokens(0, 5))).shape == (0, 5, 61)
