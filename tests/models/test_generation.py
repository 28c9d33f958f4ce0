"""Generation on models small enough to know everything about: chains whose next token depends on the last two."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydl
from pydl import nn
from pydl.data.text import ByteTokenizer, CharTokenizer, WordTokenizer
from pydl.errors import ArgumentError, DtypeError, ShapeError
from pydl.models import LanguageModel, Uncached, beam_search, generate, generate_text, stream, stream_text
from pydl.models.generation import Sampling
from pydl.nn import functional as F

V = 4


class Chain:
    """p(next | last two tokens); its state is the last token. Counts the tokens it is given."""

    def __init__(self, v=V, seed=0, scale=2.0):
        self.v, self.given = v, 0
        self.table = np.random.default_rng(seed).standard_normal((v, v, v)) * scale

    def decode(self, ids, state=None):
        self.given += ids.numel()
        both = ids if state is None else pydl.cat([state, ids], 1)
        last = both[:, -1].numpy()
        before = both[:, -2].numpy() if both.shape[1] > 1 else np.zeros_like(last)
        return pydl.from_numpy(self.table[before, last]), both[:, -2:]

    def select(self, state, rows):
        return state[rows]

    def log_p(self, tokens):
        """(v,) behind a list of tokens."""
        scores = self.table[tokens[-2] if len(tokens) > 1 else 0, tokens[-1]]
        return scores - np.log(np.exp(scores).sum())


class Net(nn.Module):
    """The same as a module without a state; dropout shows whether it is in training."""

    def __init__(self, chain, context=None):
        super().__init__()
        self.chain, self.context, self.lengths = chain, context, []
        self.drop = nn.Dropout(0.999)
        self.weight = nn.Parameter(pydl.ones(1))

    def forward(self, ids):
        self.lengths.append(ids.shape[1])
        before = np.concatenate([np.zeros((len(ids.numpy()), 1), np.int64), ids.numpy()[:, :-1]], 1)
        return self.drop(pydl.from_numpy(self.chain.table[before, ids.numpy()]) * self.weight)


def generator(seed):
    return pydl.Generator().manual_seed(seed)


def test_greedy_follows_the_most_probable():
    chain, tokens = Chain(), [1]
    for _ in range(20):
        tokens.append(int(chain.log_p(tokens).argmax()))
    before = pydl.default_generator.get_state().tolist()
    for model in (chain, Net(chain), Uncached(Net(chain))):
        assert generate(model, [1], 20, temperature=0).tolist() == tokens
    assert pydl.default_generator.get_state().tolist() == before
    assert generate(chain, [[1], [2]], 20, temperature=0)[0].tolist() == tokens
    assert generate(chain, [1], 20, temperature=1e-9).tolist() == tokens
    assert generate(chain, [1], 20, top_k=1).tolist() == generate(chain, [1], 20, top_p=1e-9).tolist() == tokens


def test_what_the_model_is_given():
    chain = Chain()
    generate(chain, [[1, 2, 3], [3, 2, 1]], 10)
    assert chain.given == 2 * (3 + 9)  # each token once: what has been seen is in the state
    assert isinstance(chain, LanguageModel) and not isinstance(Net(chain), LanguageModel)


@given(st.integers(0, 2**31), st.sampled_from([0.3, 1.0, 5.0]), st.none() | st.integers(1, 8),
       st.none() | st.floats(0.01, 1), st.sampled_from([1.0, 1.7, 0.5]))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_probabilities(seed, temperature, k, p, penalty):
    rng = np.random.default_rng(seed)
    logits, seen = rng.standard_normal((3, 6)), rng.integers(0, 6, (3, 4))
    made = Sampling(temperature, k, p, penalty).probabilities(pydl.tensor(logits), pydl.tensor(seen)).numpy()
    for row, tokens, found in zip(logits, seen, made, strict=True):
        scores = dict(enumerate(row))
        for i in set(tokens.tolist()):
            scores[i] = scores[i] * penalty if scores[i] < 0 else scores[i] / penalty
        order = sorted(scores, key=lambda i: -scores[i])[:k]
        weight = {i: math.exp(scores[i] / temperature) for i in order}
        total, kept, sum_ = sum(weight.values()), {}, 0.0
        for i in order:
            if p is not None and p < 1 and sum_ / total >= p:
                break
            kept[i], sum_ = weight[i], sum_ + weight[i]
        expected = [kept.get(i, 0.0) / sum(kept.values()) for i in range(6)]
        np.testing.assert_allclose(found / found.sum(), expected, rtol=1e-9, atol=1e-12)


def test_draws_have_the_probabilities():
    chain, n = Chain(scale=1.0), 20_000
    made = generate(chain, np.tile([[2, 1]], (n, 1)), 2, generator=generator(0)).numpy()[:, 2:]
    p = np.exp(chain.log_p([2, 1]))
    joint = np.array([p[i] * np.exp(chain.log_p([1, i])) for i in range(V)]).ravel()
    counts = np.bincount(made[:, 0] * V + made[:, 1], minlength=V * V)
    chi2 = ((counts - n * joint) ** 2 / (n * joint)).sum()
    assert chi2 < 37.7  # 15 degrees of freedom: one in a thousand


def test_seeds():
    chain = Chain()
    first = generate(chain, [[0], [1]], 30, generator=generator(5)).tolist()
    assert generate(chain, [[0], [1]], 30, generator=generator(5)).tolist() == first
    assert generate(chain, [[0], [1]], 30, generator=generator(6)).tolist() != first
    one = generate(chain, [1], 30, top_k=3, generator=generator(7)).tolist()
    assert [1, *stream(chain, [1], 30, top_k=3, generator=generator(7))] == one
    pydl.manual_seed(3)
    default = generate(chain, [1], 30).tolist()
    pydl.manual_seed(3)
    assert generate(chain, [1], 30).tolist() == default


def test_repetition_penalty():
    class Flat(Chain):
        def decode(self, ids, state=None):
            return pydl.tensor([[3.0, 2.0, 1.0, 0.5]]).expand(ids.shape[0], 4), 0

    assert generate(Flat(), [0], 4, temperature=0).tolist() == [0, 0, 0, 0, 0]
    assert generate(Flat(), [0], 4, temperature=0, repetition_penalty=100.0).tolist() == [0, 1, 2, 3, 0]


def test_stop_tokens_and_padding():
    chain = Chain(scale=0.2)
    free = generate(chain, [[0], [1], [2]], 25, generator=generator(1)).numpy()
    made = generate(chain, [[0], [1], [2]], 25, stop_tokens=[3], pad_id=9, generator=generator(1)).numpy()
    ends = []
    for row, whole in zip(made, free, strict=True):
        end = int(np.flatnonzero(whole[1:] == 3)[0]) + 1
        ends.append(end)
        assert row[: end + 1].tolist() == whole[: end + 1].tolist() and (row[end + 1 :] == 9).all()
    assert made.shape[1] == max(ends) + 1 < 26 and len(set(ends)) > 1
    padded = generate(chain, [[0], [1], [2]], 25, stop_tokens=3, generator=generator(1)).numpy()
    assert [row[end:].tolist() for row, end in zip(padded, ends, strict=True)] == [
        [3] * (len(row) - end) for row, end in zip(padded, ends, strict=True)
    ]
    streamed = list(stream(chain, [1], 100, stop_tokens=(3,), generator=generator(2)))
    assert streamed.index(3) == len(streamed) - 1
    assert generate(chain, [1, 3], 0).tolist() == [1, 3] and list(stream(chain, [1], 0)) == []


def test_window():
    net = Net(Chain(), context=5)
    assert len(generate(net, [1, 2, 3], 6)) == 9 and net.lengths == [3, 4, 5, 5, 5, 5]
    chain = Chain()
    chain.context = 2
    assert (
        generate(chain, [1, 2, 0, 1], 8, temperature=0).tolist()
        == generate(Chain(), [1, 2, 0, 1], 8, temperature=0).tolist()
    )
    assert chain.given == 2 * 8


def test_mode_and_gradients():
    net = Net(Chain())
    made = generate(net, [1], 5, temperature=0)
    assert net.training and net.drop.training and net.weight.grad is None and not made.requires_grad
    assert made.tolist() == generate(Chain(), [1], 5, temperature=0).tolist()  # without dropout
    net.eval()
    net.drop.train()
    tokens = stream(net, [1], 5)
    next(tokens)
    assert not net.training and net.drop.training and pydl.is_grad_enabled()
    net.forward = lambda ids: 1 / 0
    with pytest.raises(ZeroDivisionError):
        next(tokens)
    assert net.drop.training and pydl.is_grad_enabled()


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"temperature": -1.0}, ArgumentError, "temperature must be finite and >= 0"),
        ({"temperature": math.nan}, ArgumentError, "temperature"),
        ({"top_k": 0}, ArgumentError, "top_k must be an integer >= 1, got 0"),
        ({"top_k": 1.5}, ArgumentError, "top_k"),
        ({"top_p": 0.0}, ArgumentError, "top_p must be above 0"),
        ({"top_p": 1.5}, ArgumentError, "top_p"),
        ({"repetition_penalty": 0.0}, ArgumentError, "repetition_penalty must be finite and > 0"),
        ({"stop_tokens": [1.5]}, DtypeError, "stop_tokens must be integers"),
        ({"max_new_tokens": -1}, ArgumentError, "max_new_tokens must be an integer >= 0, got -1"),
        ({"prompt": []}, ShapeError, "at least one token"),
        ({"prompt": [[[1]]]}, ShapeError, r"expected \(t,\) or \(b, t\)"),
        ({"prompt": [0.5]}, DtypeError, "prompt must be integers, got"),
    ],
)
def test_wrong_arguments(options, error, text):
    arguments = {"prompt": [1], "max_new_tokens": 3, **options}
    for make in (generate, lambda *a, **k: list(stream(*a, **k))):
        with pytest.raises(error, match=text):
            make(Chain(), **arguments)


def test_wrong_models():
    with pytest.raises(ShapeError, match=r"gave logits .*: expected \(b, t, v\)"):
        generate(lambda ids: pydl.ones(1, 4), [1], 2)
    broken = Chain()
    broken.table[:] = math.nan
    with pytest.raises(ArgumentError, match="finite"):
        generate(broken, [1], 2)
    with pytest.raises(ArgumentError, match="not numbers"):
        beam_search(broken, [1], 2, 2)
    with pytest.raises(ShapeError, match=r"expected one prompt \(t,\)"):
        stream(Chain(), [[1]], 2)


# ---- beam search


def exhaustive(chain, prompt, n, penalty, stops):
    """All continuations with their scores, the best first."""
    ended = []
    for length in range(1, n + 1):
        for tokens in itertools.product(range(chain.v), repeat=length):
            if (length == n or tokens[-1] in stops) and not set(tokens[:-1]) & set(stops):
                whole = [*prompt, *tokens]
                log_p = sum(chain.log_p(whole[:i])[whole[i]] for i in range(len(prompt), len(whole)))
                ended.append((log_p / penalty(length), list(tokens)))
    return sorted(ended, key=lambda one: -one[0])


def naive(chain, prompt, n, k, penalty, stops):
    """Beam search in lists, to the end."""
    beams, ended = [(0.0, [])], []
    for length in range(1, n + 1):
        grown = [(s + chain.log_p([*prompt, *t])[v], [*t, v]) for s, t in beams for v in range(chain.v)]
        ended += [(s / penalty(length), t) for s, t in grown if t[-1] in stops]
        beams = sorted((one for one in grown if one[1][-1] not in stops), key=lambda one: -one[0])[:k]
    return sorted(ended + [(s / penalty(n), t) for s, t in beams], key=lambda one: -one[0])


def check_beams(found, row, expected, prompt, pad):
    for j, (score, tokens) in enumerate(expected):
        length = int(found.lengths[row, j])
        line = found.sequences[row, j].tolist()
        assert line[:length] == [*prompt, *tokens] and set(line[length:]) <= {pad}
        assert float(found.scores[row, j]) == pytest.approx(score, rel=1e-9)


PENALTIES = [(0.0, lambda n: 1.0), (1.0, lambda n: n), (-0.5, lambda n: n**-0.5), (2.0, lambda n: n**2)]


@pytest.mark.parametrize("alpha, penalty", PENALTIES)
@pytest.mark.parametrize("stops", [(), (3,), (0, 2)])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_wide_beams_find_the_best(alpha, penalty, stops, n):
    chain, k = Chain(seed=n), V ** (n - 1)
    prompts = [[1, 2], [3, 3], [0, 1]]
    count = min(k, 3)
    for model in (chain, Net(chain)):
        found = beam_search(
            model, prompts, n, k, length_penalty=alpha, stop_tokens=stops, num_return_sequences=count, pad_id=7
        )
        assert found.sequences.shape[:2] == found.scores.shape == (3, count)
        for i, prompt in enumerate(prompts):
            best = exhaustive(chain, prompt, n, penalty, stops)[: 1 if alpha else count]
            check_beams(found, i, best, prompt, 7)


@pytest.mark.parametrize("alpha, penalty", [*PENALTIES, (lambda n: ((5 + n) / 6) ** 0.6,) * 2])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("v", [3, 8, 40])
def test_narrow_beams(alpha, penalty, k, v):
    for seed, stops in itertools.product(range(3), ((), (1,), (0, 2))):
        chain = Chain(v, seed)
        found = beam_search(
            chain, [[1, 2], [2, 0]], 6, k, length_penalty=alpha, stop_tokens=stops, num_return_sequences=k
        )
        for i, prompt in enumerate([[1, 2], [2, 0]]):
            expected = naive(chain, prompt, 6, k, penalty, stops)[:k]
            check_beams(found, i, expected, prompt, stops[0] if stops else 0)


def test_one_beam_is_greedy():
    greedy = generate(Chain(), [1, 2], 12, temperature=0)
    assert beam_search(Chain(), [1, 2], 12, 1).sequences[0, 0].tolist() == greedy.tolist()


def test_search_ends_early():
    chain = Chain()
    chain.table[:] = np.log([0.01, 0.01, 0.01, 0.97])  # the stop token, nearly always
    found = beam_search(chain, [1], 50, 2, length_penalty=0.0, stop_tokens=3)
    assert found.sequences.tolist() == [[[1, 3]]] and found.lengths.tolist() == [[2]] and chain.given == 1
    everything = beam_search(chain, [1], 5, 2, stop_tokens=(0, 1, 2, 3), num_return_sequences=2, pad_id=8)
    assert everything.sequences[0, 0].tolist() == [1, 3] and everything.lengths.tolist() == [[2, 2]]
    assert beam_search(Chain(1), [0], 3, 4, num_return_sequences=2).scores.tolist() == [[0.0, -math.inf]]


def test_wrong_beams():
    for options, error, text in (
        ({"num_beams": 0}, ArgumentError, "num_beams must be an integer >= 1, got 0"),
        (
            {"num_return_sequences": 3},
            ArgumentError,
            "must be an integer >= 1 and <= num_beams = 2",
        ),
        ({"max_new_tokens": 0}, ArgumentError, "at least 1"),
        ({"length_penalty": lambda n: -1.0}, ArgumentError, "length_penalty must give finite numbers above 0"),
        ({"length_penalty": math.nan}, ArgumentError, "length_penalty"),
        ({"prompt": []}, ShapeError, "at least one token"),
    ):
        arguments = {"prompt": [1], "max_new_tokens": 3, "num_beams": 2, **options}
        with pytest.raises(error, match=text):
            beam_search(Chain(), **arguments)


# ---- strings


class Parrot(Chain):
    """Says the given tokens, whatever it hears."""

    def __init__(self, tokens, v):
        super().__init__(1)
        self.tokens, self.v = tokens, v

    def decode(self, ids, state=None):
        at = 0 if state is None else state + 1
        return F.one_hot(pydl.tensor([self.tokens[at]]), self.v).float() * 100, at

    def select(self, state, rows):
        return state


@given(st.text(min_size=1), st.text(min_size=1))
@settings(max_examples=200, deadline=None)
def test_pieces_make_the_text(prompt, text):
    kinds = [CharTokenizer.train(prompt + text, eos="<eos>"), ByteTokenizer(bos="<bos>", eos="<eos>"), ByteTokenizer()]
    for tokenizer in kinds:
        ids = tokenizer.encode(text, eos=tokenizer.eos_id is not None)
        pieces = list(stream_text(Parrot(ids, len(tokenizer)), tokenizer, prompt, len(ids), temperature=0))
        assert "".join(pieces) == text and all(pieces)
        assert len(pieces) <= len(text)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=12))
@settings(max_examples=300, deadline=None)
def test_pieces_of_any_bytes(ids):
    tokenizer = ByteTokenizer()
    made = generate_text(Parrot(ids, 256), tokenizer, "é", len(ids), temperature=0)
    assert made == bytes(ids).decode(errors="replace")


def test_words():
    tokenizer = WordTokenizer.train("Speak, speak (now). All:\nWe", newlines=True)
    words = ["Speak", ",", "speak", "(", "now", ")", ".", "\n", "We"]
    ids = [tokenizer.token_to_id(word) for word in words]
    pieces = list(stream_text(Parrot(ids, len(tokenizer)), tokenizer, "All:", len(ids), temperature=0))
    assert pieces == [" Speak", ",", " speak", " (", "now", ")", ".", "\n", "We"]


def test_text_errors():
    with pytest.raises(ArgumentError, match="the prompt has no tokens"):
        generate_text(Chain(), CharTokenizer("abcd"), "", 3)
    assert generate_text(Parrot([3], 5), CharTokenizer("abcd", bos="<bos>"), "", 1, temperature=0) == "c"
