"""Prompts of unlike lengths, padded on the left: each goes on as it would alone."""

from typing import Any

import numpy as np
import pytest

import pydl
from pydl.errors import ArgumentError, ShapeError
from pydl.models import GPT, RNNLanguageModel, Uncached, beam_search, generate

PROMPTS = [[3, 1, 4, 1, 5], [9, 2], [6]]
PADDED = np.array([[3, 1, 4, 1, 5], [0, 0, 0, 9, 2], [0, 0, 0, 0, 6]])
MASK = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]])


@pytest.fixture(params=["gpt", "lstm", "gru"])
def model(request: pytest.FixtureRequest) -> Any:
    pydl.manual_seed(0)
    if request.param == "gpt":
        made: Any = GPT(vocab_size=11, block_size=16, n_layer=2, n_head=2, n_embd=8)
    else:
        made = RNNLanguageModel(11, 6, 8, 2, request.param)
    for p in made.parameters():
        p.detach().mul_(6.0 if p.ndim > 1 else 1.0)  # far from uniform
    return made.eval()


def test_each_goes_on_as_alone(model: Any) -> None:
    made = generate(model, PADDED, 8, temperature=0, attention_mask=MASK).numpy()
    for row, prompt in zip(made, PROMPTS, strict=True):
        alone = generate(model, np.array([prompt]), 8, temperature=0).numpy()[0]
        np.testing.assert_array_equal(row[5:], alone[len(prompt) :])
    logits, state = model.decode(pydl.tensor(PADDED), attention_mask=pydl.tensor(MASK > 0))
    more, _ = model.decode(pydl.tensor([[7], [7]]), model.select(state, pydl.tensor([2, 0])))
    for i, prompt in enumerate(PROMPTS):
        expected, own = model.decode(pydl.tensor([prompt]))
        np.testing.assert_allclose(logits[i].detach().numpy(), expected[0].detach().numpy(), atol=2e-5)
        if i != 1:
            expected, _ = model.decode(pydl.tensor([[7]]), own)
            np.testing.assert_allclose(more[int(i == 0)].detach().numpy(), expected[0].detach().numpy(), atol=2e-5)


def test_penalty_and_beams_pass_padding_over(model: Any) -> None:
    options = {"temperature": 0, "repetition_penalty": 3.0}
    made = generate(model, PADDED, 8, attention_mask=MASK, **options).numpy()
    beams = beam_search(model, PADDED, 5, 3, attention_mask=MASK)
    for i, prompt in enumerate(PROMPTS):
        alone = generate(model, np.array([prompt]), 8, **options).numpy()[0]
        np.testing.assert_array_equal(made[i, 5:], alone[len(prompt) :])
        best = beam_search(model, np.array([prompt]), 5, 3)
        np.testing.assert_array_equal(beams.sequences.numpy()[i, 0, 5:], best.sequences.numpy()[0, 0, len(prompt) :])
        np.testing.assert_allclose(beams.scores.numpy()[i, 0], best.scores.numpy()[0, 0], rtol=1e-4)


def test_beyond_the_context() -> None:
    """Once the window has passed the padding, it is that of the sequence alone."""
    pydl.manual_seed(0)
    gpt = GPT(vocab_size=11, block_size=8, n_layer=1, n_head=2, n_embd=8)
    made = generate(gpt, PADDED, 20, temperature=0, attention_mask=MASK).numpy()
    np.testing.assert_array_equal(made[0], generate(gpt, PADDED[:1], 20, temperature=0).numpy()[0])
    assert made.shape == (3, 25)


@pytest.mark.filterwarnings("ignore")
def test_padding_of_transformers() -> None:
    """Logits behind left padding, and with the mask in a whole pass, as of its GPT-2."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=11, n_positions=16, n_layer=2, n_head=2, n_embd=8, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    for p in theirs.parameters():
        p.data.mul_(6.0)
    ours = GPT(vocab_size=11, block_size=16, n_layer=2, n_head=2, n_embd=8)
    turned = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    state = {k: v.numpy().T if k.endswith(turned) else v.numpy() for k, v in theirs.state_dict().items()}
    ours.load_state_dict({k: pydl.tensor(np.ascontiguousarray(state[k])) for k in ours.state_dict()})
    places = np.maximum(MASK.cumsum(1) - 1, 0)
    with torch.no_grad():
        e = theirs(torch.tensor(PADDED), attention_mask=torch.tensor(MASK), position_ids=torch.tensor(places)).logits
    y = ours(pydl.tensor(PADDED), attention_mask=pydl.tensor(MASK))
    real = MASK > 0
    np.testing.assert_allclose(y.detach().numpy()[real], e.numpy()[real], atol=2e-4)


def test_wrong_arguments(model: Any) -> None:
    with pytest.raises(ShapeError, match="does not match the prompt"):
        generate(model, PADDED, 2, attention_mask=MASK[:, 1:])
    for wrong in (MASK[:, ::-1], MASK * 0, [[1, 0, 1, 1, 1]] * 3):
        with pytest.raises(ArgumentError, match="must hide the beginning"):
            generate(model, PADDED, 2, attention_mask=wrong)
    with pytest.raises(ArgumentError, match="takes no attention_mask"):
        generate(Uncached(lambda ids: model(ids)), PADDED, 2, attention_mask=MASK)
    full = generate(Uncached(lambda ids: model(ids)), PADDED, 2, temperature=0, attention_mask=np.ones_like(MASK))
    assert full.tolist() == generate(model, PADDED, 2, temperature=0).tolist()
    gpt = GPT(vocab_size=11, block_size=8, n_layer=1, n_head=2, n_embd=8)
    with pytest.raises(ShapeError, match="does not match ids"):
        gpt(pydl.tensor(PADDED), attention_mask=pydl.tensor(MASK[:2]))
