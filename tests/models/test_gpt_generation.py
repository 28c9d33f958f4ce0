"""Generation from a GPT with its cache is generation without one."""

import numpy as np
import pytest

import pydl
from pydl.models import GPT, LanguageModel, Uncached, beam_search, generate, stream

PROMPT = np.random.default_rng(0).integers(0, 11, (3, 4))


@pytest.fixture(scope="module")
def gpt():
    pydl.manual_seed(0)
    model = GPT(vocab_size=11, block_size=16, n_layer=2, n_head=2, n_embd=8, dropout=0.5)
    for p in model.parameters():
        p.detach().mul_(8.0 if p.ndim > 1 else 1.0)  # far from uniform
    return model


def test_tokens(gpt):
    assert isinstance(gpt, LanguageModel) and gpt.training
    made = generate(gpt, PROMPT, 12, temperature=0)
    assert made.tolist() == generate(Uncached(gpt), PROMPT, 12, temperature=0).tolist() and gpt.training
    source = [pydl.Generator().manual_seed(3) for _ in range(2)]
    drawn = generate(gpt, PROMPT[0], 12, top_k=5, top_p=0.9, repetition_penalty=1.2, generator=source[0]).tolist()
    options = {"top_k": 5, "top_p": 0.9, "repetition_penalty": 1.2, "generator": source[1]}
    assert drawn == [*PROMPT[0], *stream(gpt, PROMPT[0], 12, **options)]


def test_window(gpt):
    """Once there are more tokens than the model looks back on, it sees the last ones, as if the text began there."""
    made = generate(gpt, PROMPT, 30, temperature=0)
    gpt.eval()
    expected = PROMPT
    for _ in range(30):
        logits = gpt(pydl.tensor(expected[:, -16:]))[:, -1].detach().numpy()
        expected = np.concatenate([expected, logits.argmax(-1)[:, None]], 1)
    gpt.train()
    assert made.tolist() == expected.tolist()


@pytest.mark.parametrize("stops", [(), (3,)])
def test_beams(gpt, stops):
    options = {"stop_tokens": stops, "num_return_sequences": 3, "length_penalty": 0.6}
    cached, plain = (beam_search(model, PROMPT, 8, 4, **options) for model in (gpt, Uncached(gpt)))
    assert cached.sequences.tolist() == plain.sequences.tolist()
    np.testing.assert_allclose(cached.scores.numpy(), plain.scores.numpy(), rtol=1e-5)


OPTIONS = [
    {"temperature": 0},
    {"temperature": 0.7, "top_k": 6},
    {"top_p": 0.8},
    {"stop_tokens": (3,), "top_k": 9},
    {"repetition_penalty": 1.3},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("count", [17, 44, 60])
def test_recorded_steps(options, count):
    """Many tokens are one recording, and the same as step by step, beyond the context too and in what follows."""
    pydl.manual_seed(1)
    gpt = GPT(vocab_size=11, block_size=48, n_layer=1, n_head=2, n_embd=8, dropout=0.5).double()
    found = []
    for watched in (False, True):
        calls = []
        if watched:  # a hook wants every call
            gpt.transformer["ln_f"].register_forward_hook(lambda *_, calls=calls: calls.append(1))
        source = pydl.Generator().manual_seed(5)
        made = generate(gpt, PROMPT, count, generator=source, **options).tolist()
        found.append([made, pydl.rand(3, generator=source).tolist()])
        assert watched is False or len(calls) == len(made[0]) - 4
    assert found[0] == found[1] and all(m.training for m in gpt.modules())


def test_a_stream_that_is_left():
    """Other work between the tokens changes nothing, as does the end of it."""
    pydl.manual_seed(1)
    gpt = GPT(vocab_size=11, block_size=48, n_layer=1, n_head=2, n_embd=8)
    whole = generate(gpt, PROMPT[0], 40, temperature=0).tolist()
    some = []
    for token in stream(gpt, PROMPT[0], 40, temperature=0):
        some.append(token)
        assert generate(gpt, PROMPT[1], 20, temperature=0).shape == (24,) and pydl.is_grad_enabled()
        if len(some) == 30:
            break
    assert some == whole[4:34]


class Nosy(pydl.nn.Module):
    """Reads a value, which no recording can hold, but leaves what it is given."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, x):
        self.seen.append(float(x.detach().sum()))
        return self.inner(x)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 6}])
def test_a_part_that_cannot_be_recorded(options):
    pydl.manual_seed(1)
    gpt = GPT(vocab_size=11, block_size=48, n_layer=1, n_head=2, n_embd=8).double()
    found = []
    for nosy in (False, True):
        if nosy:
            gpt.transformer["ln_f"] = Nosy(gpt.transformer["ln_f"])
        source = pydl.Generator().manual_seed(5)
        found.append(generate(gpt, PROMPT, 30, generator=source, **options).tolist())
    assert found[0] == found[1] and len(gpt.transformer["ln_f"].seen) >= 30
